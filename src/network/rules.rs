//! What becomes of packets: the nf_tables tables of one bridge, which have its name.
//!
//! ```text
//! table inet
//!   map published      protocol . port           -> address . port    on every address of the host
//!   map published_at   address . protocol . port -> address . port    on one
//!   set itself         address . address         a container with published ports, twice
//!   set links          client . server . protocol . port              without icc
//!
//!   raw          from the bridge                loopback
//!   loopback     for the host's loopback, or as if from it   drop
//!   prerouting   for an address of the host     publish
//!   output       for an address of the host     publish
//!   publish      in a map                       to the container
//!   forward      into the bridge                into
//!   into         neither an answer, nor from the bridge, nor published   drop
//!   postrouting  from the range to elsewhere; from the loopback; to oneself     masquerade
//!
//! table bridge, without icc
//!   set links          as above
//!   set linked         address . address         both ends of a link, both ways
//!
//!   forward      between containers, neither by a link nor by a published port   drop
//! ```
//!
//! What a bridge passes from port to port the inet table sees only where br_netfilter shows it:
//! so the bridge table isolates containers. It knows no connections and lets answers through by
//! their ports. It knows the ports of containers by their group.
//!
//! A container asks the host for a port that a neighbour has published. Where br_netfilter is off,
//! the neighbour would answer it directly, and as somebody else than was asked; so would it in the
//! bridge table without icc. There the neighbour sees the bridge's address instead of the client's.
//!
//! The rules follow from the bridge's policy, and what a container publishes is elements of the
//! maps, which enter and leave in one batch. The kernel is the truth: what leaves is what leads to
//! the address. The table's comment tells what its rules were made for; where that is no longer so,
//! or somebody flushed it, it is made anew, with what all running containers publish.
//!
//! The tables stay with their bridge, with nothing in their maps: to remove them with the last
//! container and to make them with the next one took 2 to 5 ms of each `run`, for which the kernel
//! holds up whoever else changes rules.
//!
//! All changes are made under the network lock.

use super::{Bridge, Subnet, forwarding};
use crate::error::{Error, Result};
use crate::sys::netlink::Socket;
use crate::sys::netlink::conntrack::Connection;
use crate::sys::netlink::nftables::{
    self as nft, Batch, Element, Family, Field, Hook, Source, Step, Tables,
};
use crate::types::{Port, Protocol, Published};
use std::net::{IpAddr, Ipv4Addr};

/// What a bridge's rules let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Containers of the bridge reach each other. Else they do so by links only.
    pub icc: bool,
    /// What leaves has the host's address.
    pub masquerade: bool,
    /// Nothing leaves, nothing comes in, nothing is published.
    pub internal: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { icc: true, masquerade: true, internal: false }
    }
}

const PUBLISHED: &str = "published";
const PUBLISHED_AT: &str = "published_at";
const ITSELF: &str = "itself";
const LINKS: &str = "links";
const LINKED: &str = "linked";
const PUBLISH: &str = "publish";
const INTO: &str = "into";

/// How the comment of each table of ours begins.
const OURS: &str = "coracle ";

/// Every set of addresses and where it may be.
const OF_ADDRESSES: [(Family, &str); 4] = [
    (Family::Inet, ITSELF),
    (Family::Inet, LINKS),
    (Family::Bridge, LINKS),
    (Family::Bridge, LINKED),
];

/// The rules of the bridge called `name`.
pub(super) struct Rules<'a> {
    pub name: &'a str,
    pub tables: &'a mut Tables,
}

impl Rules<'_> {
    /// Has the host's ports lead to the container at `address`. Where the tables are missing or
    /// out of date, they are made, and `running` tells what else is to be in them. Tells whether
    /// they were missing.
    pub fn publish(
        &mut self,
        bridge: &Bridge,
        address: Ipv4Addr,
        ports: &[Published],
        running: impl FnOnce() -> Result<Vec<(Ipv4Addr, Vec<Published>)>>,
    ) -> Result<bool> {
        let making = Making::of(bridge);
        let mut batch = Batch::new(self.name);
        let there = self.tables.table(Family::Inet, self.name)?;
        if there.as_ref().is_some_and(|made| !made.starts_with(OURS)) {
            self.check_ours()?;
        }
        // A kernel that keeps no comments keeps none of ours.
        if there.as_ref().is_none_or(|made| !made.is_empty() && *made != making.comment()) {
            self.make(&mut batch, bridge, &making)?;
            for (address, ports) in running()? {
                enter(&mut batch, bridge, address, &ports);
            }
        }
        enter(&mut batch, bridge, address, ports);
        self.tables.commit(batch)?;
        self.forget_before(ports)?;
        Ok(there.is_none())
    }

    /// Opens these ports of `server` to `client`, where containers do not reach each other anyway.
    pub fn link(
        &mut self,
        bridge: &Bridge,
        client: Ipv4Addr,
        server: Ipv4Addr,
        ports: &[Port],
    ) -> Result<()> {
        if bridge.policy.icc || ports.is_empty() {
            return Ok(());
        }
        let (client, server) = (nft::ipv4(client), nft::ipv4(server));
        let element = |key: Vec<u8>| Element { key, value: None };
        let link = |port: &Port| {
            let port = [nft::protocol(port.protocol.number()), nft::port(port.number.get())];
            element([client, server, port[0], port[1]].concat())
        };
        let links: Vec<Element> = ports.iter().map(link).collect();
        let ends = [[client, server].concat(), [server, client].concat()].map(element);
        let mut batch = Batch::new(self.name);
        batch.add(LINKS, &links);
        batch.turn_to(Family::Bridge);
        batch.add(LINKS, &links);
        batch.add(LINKED, &ends);
        self.tables.commit(batch)
    }

    /// Takes away all that leads to `address`, and the links it has a part in: with none, all that
    /// lead to anybody.
    pub fn withdraw(&mut self, address: Option<Ipv4Addr>) -> Result<()> {
        let mut batch = Batch::new(self.name);
        let is_it = |octets: &[u8]| address.is_none_or(|address| octets == nft::ipv4(address));
        let mut published = self.published()?;
        for (map, elements) in &mut published {
            let to = |element: &Element| Some(is_it(element.value.as_ref()?.get(..4)?));
            elements.retain(|element| to(element) == Some(true));
            batch.remove(map, elements);
        }
        self.part(&mut batch, |key| key.chunks_exact(4).take(2).any(is_it))?;
        self.tables.commit(batch)?;
        self.forget_after(&published)
    }

    /// Closes what `link` opened. What goes on by it already is let through to its end.
    pub fn unlink(&mut self, client: Ipv4Addr, server: Ipv4Addr) -> Result<()> {
        let (client, server) = (nft::ipv4(client), nft::ipv4(server));
        let (there, back) = ([client, server].concat(), [server, client].concat());
        let mut batch = Batch::new(self.name);
        self.part(&mut batch, |key| key.starts_with(&there) || key == back)?;
        self.tables.commit(batch)
    }

    /// Takes the elements with such keys out of all sets of addresses.
    fn part(&mut self, batch: &mut Batch, has: impl Fn(&[u8]) -> bool) -> Result<()> {
        for (family, set) in OF_ADDRESSES {
            let mut elements = self.tables.elements(family, self.name, set)?;
            elements.retain(|element| has(&element.key));
            batch.turn_to(family);
            batch.remove(set, &elements);
        }
        Ok(())
    }

    /// That no table of the bridge's name is somebody else's: ours has a map of ours.
    fn check_ours(&mut self) -> Result<()> {
        for (family, set) in [(Family::Inet, PUBLISHED), (Family::Bridge, LINKS)] {
            let is_there = self.tables.table(family, self.name)?.is_some();
            if is_there && !self.tables.has_set(family, self.name, set)? {
                let text = format!("there is an nf_tables table {} that is not ours", self.name);
                return Err(Error::conflict(text).hint("give the bridge another name"));
            }
        }
        Ok(())
    }

    /// Removes the tables.
    pub fn remove(&mut self) -> Result<()> {
        self.check_ours()?;
        let published = self.published()?;
        let mut batch = Batch::new(self.name);
        for family in [Family::Inet, Family::Bridge] {
            if self.tables.table(family, self.name)?.is_some() {
                batch.turn_to(family);
                batch.remove_table();
            }
        }
        self.tables.commit(batch)?;
        self.forget_after(&published)
    }

    /// What leads to containers, by map.
    fn published(&mut self) -> Result<Vec<(&'static str, Vec<Element>)>> {
        let maps = [PUBLISHED, PUBLISHED_AT].into_iter();
        let elements = |map| Ok((map, self.tables.elements(Family::Inet, self.name, map)?));
        maps.map(elements).collect()
    }

    /// The tables without containers; links of before stay.
    fn make(&mut self, batch: &mut Batch, bridge: &Bridge, making: &Making) -> Result<()> {
        let mut kept = Vec::new();
        for family in [Family::Inet, Family::Bridge] {
            batch.turn_to(family);
            if self.tables.table(family, self.name)?.is_some() {
                batch.remove_table();
            }
        }
        if !bridge.policy.icc {
            for (family, set) in OF_ADDRESSES.into_iter().filter(|(_, set)| *set != ITSELF) {
                kept.push((family, set, self.tables.elements(family, self.name, set)?));
            }
            batch.turn_to(Family::Bridge);
            frames(batch, bridge);
        }
        batch.turn_to(Family::Inet);
        packets(batch, bridge, making);
        for (family, set, elements) in kept {
            batch.turn_to(family);
            batch.add(set, &elements);
        }
        batch.turn_to(Family::Inet);
        Ok(())
    }

    /// Has the kernel forget who was sending to these ports: it would lead them where it did
    /// before.
    fn forget_before(&mut self, ports: &[Published]) -> Result<()> {
        let is_udp = |p: &&Published| p.port.protocol == Protocol::Udp;
        let ports: Vec<&Published> = ports.iter().filter(is_udp).collect();
        let port = match &ports[..] {
            [] => return Ok(()),
            [one] => Some(one.host.get()),
            _ => None,
        };
        let own = Socket::open()?.addresses()?;
        let is_own = |address: Ipv4Addr| {
            address.is_loopback() || own.iter().any(|own| own.address == address)
        };
        self.tables.forget_udp(port, |Connection { destination, .. }| {
            ports.iter().any(|published| {
                let is_at = match published.address {
                    IpAddr::V4(at) if at.is_unspecified() => is_own(*destination.ip()),
                    at => at == *destination.ip(),
                };
                is_at && published.host.get() == destination.port()
            })
        })
    }

    /// Has the kernel forget who was led to containers by these elements: the addresses may be
    /// others' next.
    fn forget_after(&mut self, published: &[(&str, Vec<Element>)]) -> Result<()> {
        let udp = nft::protocol(Protocol::Udp.number());
        // Host's port, then the container's address and port.
        let way = |element: &Element| {
            let (rest, port) = element.key.split_last_chunk::<4>()?;
            let value = element.value.as_ref().filter(|_| rest.ends_with(&udp))?;
            Some([&port[..], value].concat())
        };
        let ways: Vec<Vec<u8>> =
            published.iter().flat_map(|(_, all)| all).filter_map(way).collect();
        let port = match &ways[..] {
            [] => return Ok(()),
            [one] => one.first_chunk().map(|port| u16::from_be_bytes(*port)),
            _ => None,
        };
        self.tables.forget_udp(port, |Connection { destination, server }| {
            let way =
                [nft::port(destination.port()), nft::ipv4(*server.ip()), nft::port(server.port())];
            ways.contains(&way.concat())
        })
    }
}

/// What rules depend on besides the bridge's name and range.
struct Making {
    subnet: Subnet,
    policy: Policy,
    /// The inet table sees what passes from port to port of a bridge.
    sees_bridged: bool,
}

impl Making {
    fn of(bridge: &Bridge) -> Making {
        Making {
            subnet: bridge.subnet,
            policy: bridge.policy,
            sees_bridged: forwarding::sees_bridged(),
        }
    }

    fn comment(&self) -> String {
        let mut text = format!("{OURS}{} {}", env!("CARGO_PKG_VERSION"), self.subnet);
        let Policy { icc, masquerade, internal } = self.policy;
        for (holds, word) in [
            (icc, "icc"),
            (masquerade, "masquerade"),
            (internal, "internal"),
            (self.sees_bridged, "br_netfilter"),
        ] {
            if holds {
                text.extend([" ", word]);
            }
        }
        text
    }
}

fn enter(batch: &mut Batch, bridge: &Bridge, address: Ipv4Addr, ports: &[Published]) {
    let ports = if bridge.policy.internal { &[] } else { ports };
    let (mut everywhere, mut somewhere) = (Vec::new(), Vec::new());
    for published in ports {
        // Containers have no IPv6 address.
        let IpAddr::V4(host) = published.address else { continue };
        let Published { host: number, port, .. } = published;
        let key = [nft::protocol(port.protocol.number()), nft::port(number.get())].concat();
        let value = Some([nft::ipv4(address), nft::port(port.number.get())].concat());
        match host.is_unspecified() {
            true => everywhere.push(Element { key, value }),
            false => somewhere.push(Element { key: [&nft::ipv4(host)[..], &key].concat(), value }),
        }
    }
    batch.add(PUBLISHED, &everywhere);
    batch.add(PUBLISHED_AT, &somewhere);
    if !ports.is_empty() {
        let twice = [nft::ipv4(address), nft::ipv4(address)].concat();
        batch.add(ITSELF, &[Element { key: twice, value: None }]);
    }
}

fn filter(number: u32, priority: i32) -> Option<Hook> {
    Some(Hook { kind: "filter", number, priority })
}

const LINK: [Field; 4] = [Field::Ipv4, Field::Ipv4, Field::Protocol, Field::Port];

/// From client to server: a key of `links`.
const OF_LINK: [Step; 5] = [
    Step::Load(Source::Ipv4Source, 0),
    Step::Load(Source::Ipv4Destination, 1),
    Step::Load(Source::Protocol, 2),
    Step::Load(Source::DestinationPort, 3),
    Step::In(LINKS, 0),
];

/// The bridge table without containers.
fn frames(batch: &mut Batch, bridge: &Bridge) {
    const ARP: [u8; 2] = [0x08, 0x06];
    const IPV4: [u8; 2] = [0x08, 0x00];
    const OFFSET: [u8; 2] = [0x1f, 0xff];
    const ICMP: u8 = 1;
    const UNREACHABLE: u8 = 3;
    const FILTER_BRIDGED: i32 = -200;
    let group = bridge.port_group().to_ne_bytes();
    batch.make_table("");
    batch.set(LINKS, &LINK, &[]);
    batch.set(LINKED, &[Field::Ipv4, Field::Ipv4], &[]);
    batch.chain("forward", filter(nft::FORWARD, FILTER_BRIDGED));
    batch.chain("between", None);
    let carries = |kind| [Step::Load(Source::EtherType, 0), Step::Is(0, kind)];
    let ipv4 = carries(&IPV4);
    let mut rule = |chain: &str, comment: &str, steps: &[&[Step]]| {
        batch.rule(chain, comment, &steps.concat());
    };
    let among_containers = [
        Step::Load(Source::InputGroup, 0),
        Step::Is(0, &group),
        Step::Load(Source::OutputGroup, 0),
        Step::Is(0, &group),
        Step::Jump("between"),
    ];
    rule("forward", "among containers", &[&among_containers]);
    rule("between", "whose address is where", &[&carries(&ARP), &[Step::Accept]]);
    // br_netfilter sends what the host was asked for on, without routing it.
    let published = [Step::Load(Source::Receiver, 0), Step::Is(0, &[nft::THE_BRIDGE])];
    rule("between", "published ports", &[&published, &[Step::Accept]]);
    rule("between", "links", &[&ipv4, &OF_LINK, &[Step::Accept]]);
    let back = [
        Step::Load(Source::Ipv4Destination, 0),
        Step::Load(Source::Ipv4Source, 1),
        Step::Load(Source::Protocol, 2),
        Step::Load(Source::SourcePort, 3),
        Step::In(LINKS, 0),
    ];
    rule("between", "answers", &[&ipv4, &back, &[Step::Accept]]);
    let linked = [
        Step::Load(Source::Ipv4Source, 0),
        Step::Load(Source::Ipv4Destination, 1),
        Step::In(LINKED, 0),
    ];
    let later =
        [Step::Load(Source::Ipv4Fragment, 0), Step::Mask(0, &OFFSET), Step::IsNot(0, &[0; 2])];
    rule("between", "later fragments", &[&ipv4, &linked, &later, &[Step::Accept]]);
    let unreachable = [
        Step::Load(Source::Protocol, 0),
        Step::Is(0, &[ICMP]),
        Step::Load(Source::IcmpType, 0),
        Step::Is(0, &[UNREACHABLE]),
    ];
    rule("between", "refusals", &[&ipv4, &linked, &unreachable, &[Step::Accept]]);
    rule("between", "no other way", &[&[Step::Drop]]);
}

/// The inet table without containers.
fn packets(batch: &mut Batch, bridge: &Bridge, making: &Making) {
    let policy = bridge.policy;
    let name = nft::link_name(&bridge.name);
    let net = Net::new(&bridge.subnet);
    let loopback = Net { mask: [255, 0, 0, 0], address: [127, 0, 0, 0] };
    let (none, changed) = ([0; 4], nft::DESTINATION_CHANGED.to_ne_bytes());
    let known = nft::ESTABLISHED_OR_RELATED.to_ne_bytes();
    let local = nft::LOCAL.to_ne_bytes();

    let ipv4 = [Step::Load(Source::Family, 0), Step::Is(0, &[nft::NFPROTO_IPV4])];
    let from_bridge = [Step::Load(Source::InputName, 0), Step::Is(0, &name)];
    let into_bridge = [Step::Load(Source::OutputName, 0), Step::Is(0, &name)];
    let from_elsewhere = [Step::Load(Source::InputName, 0), Step::IsNot(0, &name)];
    let elsewhere = [Step::Load(Source::OutputName, 0), Step::IsNot(0, &name)];
    let published =
        [Step::Load(Source::ConnectionStatus, 0), Step::Mask(0, &changed), Step::IsNot(0, &none)];
    let answer =
        [Step::Load(Source::ConnectionState, 0), Step::Mask(0, &known), Step::IsNot(0, &none)];
    let for_the_host = [Step::Load(Source::DestinationKind, 0), Step::Is(0, &local)];

    batch.make_table(&making.comment());
    batch.set(PUBLISHED, &[Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]);
    let at = [Field::Ipv4, Field::Protocol, Field::Port];
    batch.set(PUBLISHED_AT, &at, &[Field::Ipv4, Field::Port]);
    batch.set(ITSELF, &[Field::Ipv4, Field::Ipv4], &[]);
    batch.set(LINKS, &LINK, &[]);

    let nat = |number, priority| Some(Hook { kind: "nat", number, priority });
    batch.chain("loopback", None);
    batch.chain("raw", filter(nft::PREROUTING, -300));
    batch.chain(PUBLISH, None);
    batch.chain("prerouting", nat(nft::PREROUTING, -100));
    batch.chain("output", nat(nft::OUTPUT, -100));
    batch.chain(INTO, None);
    batch.chain("forward", filter(nft::FORWARD, 0));
    batch.chain("postrouting", nat(nft::POSTROUTING, 100));

    let mut rule = |chain: &str, comment: &str, steps: &[&[Step]]| {
        batch.rule(chain, comment, &steps.concat());
    };
    for address in [Source::Ipv4Destination, Source::Ipv4Source] {
        let steps = [&ipv4[..], &loopback.has(address), &[Step::Drop]];
        rule("loopback", "it is the host's own", &steps);
    }
    // Every packet passes here and in `forward`: most are through after one rule or two.
    rule("raw", "from the bridge", &[&from_bridge, &[Step::Jump("loopback")]]);
    let ports = [
        Step::Load(Source::Protocol, 0),
        Step::Load(Source::DestinationPort, 1),
        Step::Map(PUBLISHED, 0),
        Step::Destination(0, 1),
    ];
    let ports_at = [
        Step::Load(Source::Ipv4Destination, 0),
        Step::Load(Source::Protocol, 1),
        Step::Load(Source::DestinationPort, 2),
        Step::Map(PUBLISHED_AT, 0),
        Step::Destination(0, 1),
    ];
    rule(PUBLISH, "ports of one address", &[&ipv4, &ports_at]);
    rule(PUBLISH, "ports of all addresses", &[&ipv4, &ports]);
    for chain in ["prerouting", "output"] {
        rule(chain, "for the host", &[&for_the_host, &[Step::Jump(PUBLISH)]]);
    }
    if policy.internal {
        rule("forward", "no way out", &[&from_bridge, &elsewhere, &[Step::Drop]]);
        rule("forward", "no way in", &[&into_bridge, &from_elsewhere, &[Step::Drop]]);
    }
    rule("forward", "into the bridge", &[&into_bridge, &[Step::Jump(INTO)]]);
    rule(INTO, "answers", &[&answer, &[Step::Accept]]);
    match policy.icc {
        true => rule(INTO, "among containers", &[&from_bridge, &[Step::Accept]]),
        false => rule(INTO, "links", &[&from_bridge, &ipv4, &OF_LINK, &[Step::Accept]]),
    }
    rule(INTO, "published ports", &[&published, &[Step::Accept]]);
    rule(INTO, "no other way in", &[&[Step::Drop]]);
    let from_range = net.has(Source::Ipv4Source);
    let from_loopback = loopback.has(Source::Ipv4Source);
    if policy.masquerade && !policy.internal {
        rule("postrouting", "out", &[&ipv4, &from_range, &elsewhere, &[Step::Masquerade]]);
    }
    let steps = [&ipv4[..], &from_loopback, &into_bridge, &[Step::Masquerade]];
    rule("postrouting", "from the host's loopback", &steps);
    if !policy.icc || !making.sees_bridged {
        let steps = [&ipv4[..], &from_range, &into_bridge, &published, &[Step::Masquerade]];
        rule("postrouting", "to a neighbour by the host", &steps);
    }
    let to_itself = [
        Step::Load(Source::Ipv4Source, 0),
        Step::Load(Source::Ipv4Destination, 1),
        Step::In(ITSELF, 0),
    ];
    rule("postrouting", "to oneself", &[&ipv4, &to_itself, &published, &[Step::Masquerade]]);
}

struct Net {
    mask: [u8; 4],
    address: [u8; 4],
}

impl Net {
    fn new(subnet: &Subnet) -> Net {
        Net { mask: subnet.mask_octets(), address: subnet.address().octets() }
    }

    fn has(&self, address: Source) -> [Step<'_>; 3] {
        [Step::Load(address, 0), Step::Mask(0, &self.mask), Step::Is(0, &self.address)]
    }
}
