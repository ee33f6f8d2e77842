//! What becomes of packets: the nf_tables tables of one bridge, which have its name.
//!
//! ```text
//! table inet
//!   map published      protocol . port           -> address . port    on every address of the host
//!   map published_at   address . protocol . port -> address . port    on one
//!   set itself         address . address         a container with published ports, twice
//!   set links          client . server . protocol . port              without icc
//!
//!   loopback     for the host's loopback, or as if from it   drop
//!   input        from the bridge, no answer     loopback
//!   prerouting   from the bridge                loopback
//!                for an address of the host     publish
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
//! Where containers have IPv6 addresses, the sets and the rules that look at addresses are there for
//! either version, with a 6 behind their names (`version`). The host's ::1 leads to no container: the
//! kernel takes no answers for it from a bridge (IPv4 has route_localnet for that). Nor does fe80::/10,
//! to be refused at once: what comes from there is not sent on.
//!
//! What a bridge passes from port to port the inet table sees only where br_netfilter shows it:
//! so the bridge table isolates containers. It knows no connections and lets answers through by
//! their ports. It knows the ports of containers by their group.
//!
//! A container asks the host for a port that a neighbour has published. Where br_netfilter is off,
//! the neighbour would answer it directly, and as somebody else than was asked; so would it in the
//! bridge table without icc. There the neighbour sees the bridge's address instead of the client's.
//!
//! The rules follow from the bridge's policy. What a container publishes, and the links from and to
//! it, are elements of the maps and sets, which enter and leave in one batch, on all its networks. The kernel is the truth: what leaves is what leads to
//! the address. The table's comment tells what its rules were made for; where that is no longer so,
//! or somebody flushed it or the bridge table, both are made anew, with what leads to all running
//! containers.
//!
//! The tables stay with their bridge, with nothing in their maps: to remove them with the last
//! container and to make them with the next one took 2 to 5 ms of each `run`, for which the kernel
//! holds up whoever else changes rules.
//!
//! All changes are made under the network lock.

mod frames;
mod packets;
pub(super) mod transit;
pub(super) mod version;

pub(super) use self::version::Version;
use super::{Bridge, Subnet, Subnet6, forwarding};
use crate::error::{Error, Result};
use crate::sys::netlink::Socket;
use crate::sys::netlink::conntrack::Connection;
use crate::sys::netlink::nftables::{self as nft, Batch, Element, Family, Hook, Tables};
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

const PUBLISH: &str = "publish";
const INTO: &str = "into";

/// What leads to running containers of a network.
#[derive(Debug, Default)]
pub struct Running {
    /// The address of each, and its ports.
    pub published: Vec<(Ipv4Addr, Vec<Published>)>,
    pub links: Vec<Link>,
}

/// Who may ask whom without icc, and at which of his ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub client: Ipv4Addr,
    pub server: Ipv4Addr,
    pub ports: Vec<Port>,
}

/// How the comment of each table of ours begins.
const OURS: &str = "coracle ";

/// The rules of the bridge called `name`.
pub(super) struct Rules<'a> {
    pub name: &'a str,
    /// Containers have IPv6 addresses too.
    pub has_ipv6: bool,
    pub tables: &'a mut Tables,
}

impl<'a> Rules<'a> {
    pub fn of(bridge: &'a Bridge, tables: &'a mut Tables) -> Rules<'a> {
        Rules { name: &bridge.name, has_ipv6: bridge.subnet6.is_some(), tables }
    }

    /// Has the host's ports lead to the container at `own`, and opens its links. Where the tables
    /// are missing or out of date, they are made, and `others` tells what else is to be in them.
    /// Tells whether they were missing.
    pub fn publish(
        &mut self,
        batch: &mut Batch,
        bridge: &Bridge,
        own: &Running,
        others: impl FnOnce() -> Result<Running>,
    ) -> Result<bool> {
        let making = Making::of(bridge);
        batch.turn_to_table(self.name);
        let there = self.tables.table(Family::Inet, self.name)?;
        if there.as_ref().is_some_and(|made| !made.starts_with(OURS)) {
            self.check_ours()?;
        }
        let is_whole = bridge.policy.icc || self.tables.table(Family::Bridge, self.name)?.is_some();
        // A kernel that keeps no comments keeps none of ours.
        let is_current = |made: &String| made.is_empty() || *made == making.comment();
        if !is_whole || !there.as_ref().is_some_and(is_current) {
            self.make(batch, bridge, &making)?;
            enter(batch, bridge, &others()?);
        }
        enter(batch, bridge, own);
        Ok(there.is_none())
    }

    /// Opens links that are not open yet.
    pub fn link(&mut self, bridge: &Bridge, links: &[Link]) -> Result<()> {
        let mut batch = Batch::new(self.name);
        for (family, set, mut elements) in openings(bridge, links) {
            let open = self.tables.elements(family, self.name, set)?;
            elements.retain(|element| !open.contains(element));
            batch.turn_to(family);
            batch.add(set, &elements);
        }
        self.tables.commit(batch)
    }

    /// Takes away all that leads to these addresses, and the links they have a part in: with none,
    /// all that lead to anybody. Gives what `forget_after` is to have
    /// once that is done.
    pub fn withdraw(
        &mut self,
        batch: &mut Batch,
        addresses: Option<&[IpAddr]>,
    ) -> Result<Withdrawn> {
        batch.turn_to_table(self.name);
        let mut all = Vec::new();
        for version in version::all(self.has_ipv6) {
            let is_it = |octets: &[u8]| {
                let mut any = addresses.into_iter().flatten();
                addresses.is_none() || any.any(|address| octets == nft::address(*address))
            };
            let mut published = self.published(version)?;
            batch.turn_to(Family::Inet);
            for (map, elements) in &mut published {
                let to = |element: &Element| {
                    Some(is_it(element.value.as_ref()?.get(..version.bytes())?))
                };
                elements.retain(|element| to(element) == Some(true));
                batch.remove(map, elements);
            }
            self.part(batch, version, |key| key.chunks_exact(version.bytes()).take(2).any(is_it))?;
            all.push((version, published));
        }
        Ok(all)
    }

    /// Closes what `link` opened. What goes on by it already is let through to its end.
    pub fn unlink(&mut self, bridge: &Bridge, client: Ipv4Addr, server: Ipv4Addr) -> Result<()> {
        let mut batch = Batch::new(self.name);
        for (version, client, server) in ends(bridge, client, server) {
            let (there, back) = ([&client[..], &server].concat(), [&server[..], &client].concat());
            self.part(&mut batch, version, |key| key.starts_with(&there) || key == back)?;
        }
        self.tables.commit(batch)
    }

    /// Takes the elements with such keys out of all sets of addresses.
    fn part(
        &mut self,
        batch: &mut Batch,
        version: &Version,
        has: impl Fn(&[u8]) -> bool,
    ) -> Result<()> {
        for (family, set) in version.of_addresses() {
            let mut elements = self.tables.elements(family, self.name, set)?;
            elements.retain(|element| has(&element.key));
            batch.turn_to(family);
            batch.remove(set, &elements);
        }
        Ok(())
    }

    /// That no table of the bridge's name is somebody else's: ours has a map of ours.
    fn check_ours(&mut self) -> Result<()> {
        let ipv4 = version::ipv4();
        for (family, set) in [(Family::Inet, ipv4.published), (Family::Bridge, ipv4.links)] {
            let is_there = self.tables.table(family, self.name)?.is_some();
            if is_there && !self.tables.has_set(family, self.name, set)? {
                let text = format!("there is an nf_tables table {} that is not ours", self.name);
                return Err(Error::conflict(text).hint("give the bridge another name"));
            }
        }
        Ok(())
    }

    /// Removes the tables, as `withdraw` does what is in them.
    pub fn remove(&mut self, batch: &mut Batch) -> Result<Withdrawn> {
        self.check_ours()?;
        let versions = version::all(self.has_ipv6).iter();
        let published = versions.map(|version| Ok((version, self.published(version)?)));
        let published: Vec<_> = published.collect::<Result<_>>()?;
        batch.turn_to_table(self.name);
        for family in [Family::Inet, Family::Bridge] {
            if self.tables.table(family, self.name)?.is_some() {
                batch.turn_to(family);
                batch.remove_table();
            }
        }
        Ok(published)
    }

    /// What leads to containers, by map.
    fn published(&mut self, version: &Version) -> Result<ByMap> {
        let maps = [version.published, version.published_at].into_iter();
        let elements = |map| Ok((map, self.tables.elements(Family::Inet, self.name, map)?));
        maps.map(elements).collect()
    }

    /// The tables without containers.
    fn make(&mut self, batch: &mut Batch, bridge: &Bridge, making: &Making) -> Result<()> {
        for family in [Family::Inet, Family::Bridge] {
            batch.turn_to(family);
            if self.tables.table(family, self.name)?.is_some() {
                batch.remove_table();
            }
        }
        if !bridge.policy.icc {
            batch.turn_to(Family::Bridge);
            frames::make(batch, bridge);
        }
        batch.turn_to(Family::Inet);
        packets::make(batch, bridge, making);
        Ok(())
    }

    /// Has the kernel forget who was sending to these ports: it would lead them where it did
    /// before.
    pub fn forget_before(&mut self, ports: &[Published]) -> Result<()> {
        for version in version::all(self.has_ipv6) {
            let is_udp = |p: &&Published| {
                p.port.protocol == Protocol::Udp && p.address.is_ipv4() == version.is_ipv4()
            };
            let ports: Vec<&Published> = ports.iter().filter(is_udp).collect();
            let port = match &ports[..] {
                [] => continue,
                [one] => Some(one.host.get()),
                _ => None,
            };
            let mut socket = Socket::open()?;
            let own: Vec<IpAddr> = match version.is_ipv4() {
                true => socket.addresses()?.iter().map(|own| own.address.into()).collect(),
                false => socket.addresses6()?.iter().map(|(_, own)| (*own).into()).collect(),
            };
            let is_own = |address: IpAddr| address.is_loopback() || own.contains(&address);
            self.tables.forget_udp(
                version.family,
                port,
                |Connection { destination, .. }| {
                    ports.iter().any(|published| {
                        let at = published.address;
                        let is_at = match at.is_unspecified() {
                            true => is_own(destination.ip()),
                            false => at == destination.ip(),
                        };
                        is_at && published.host.get() == destination.port()
                    })
                },
            )?;
        }
        Ok(())
    }
}

/// What leads to containers, by map.
type ByMap = Vec<(&'static str, Vec<Element>)>;

/// What led to containers.
pub type Withdrawn = Vec<(&'static Version, ByMap)>;

/// Has the kernel forget who was led to containers by these elements: the addresses may be
/// others' next.
pub fn forget_after(tables: &mut Tables, published: &Withdrawn) -> Result<()> {
    let udp = nft::protocol(Protocol::Udp.number());
    // Host's port, then the container's address and port.
    let way = |element: &Element| {
        let (rest, port) = element.key.split_last_chunk::<4>()?;
        let value = element.value.as_ref().filter(|_| rest.ends_with(&udp))?;
        Some([&port[..], value].concat())
    };
    for (version, published) in published {
        let elements = published.iter().flat_map(|(_, elements)| elements);
        let ways: Vec<Vec<u8>> = elements.filter_map(way).collect();
        let port = match &ways[..] {
            [] => continue,
            [one] => one.first_chunk().map(|port| u16::from_be_bytes(*port)),
            _ => None,
        };
        tables.forget_udp(version.family, port, |Connection { destination, server }| {
            let (from, to) = (nft::port(destination.port()), nft::port(server.port()));
            ways.contains(&[&from[..], &nft::address(server.ip()), &to].concat())
        })?;
    }
    Ok(())
}

/// The elements that open links, by the sets they are to be in: none where containers reach each
/// other anyway.
fn openings(bridge: &Bridge, links: &[Link]) -> Vec<(Family, &'static str, Vec<Element>)> {
    let mut openings = Vec::new();
    let links = if bridge.policy.icc { &[] } else { links };
    for Link { client, server, ports } in links.iter().filter(|link| !link.ports.is_empty()) {
        for (version, client, server) in ends(bridge, *client, *server) {
            let element = |key: Vec<u8>| Element { key, value: None };
            let link = |port: &Port| {
                let protocol = nft::protocol(port.protocol.number());
                let port = nft::port(port.number.get());
                element([&client[..], &server, &protocol, &port].concat())
            };
            let links: Vec<Element> = ports.iter().map(link).collect();
            let linked = [[&client[..], &server].concat(), [&server[..], &client].concat()];
            openings.push((Family::Inet, version.links, links.clone()));
            openings.push((Family::Bridge, version.links, links));
            openings.push((Family::Bridge, version.linked, linked.map(element).to_vec()));
        }
    }
    openings
}

/// The ends of a link by either version that the bridge has.
fn ends(
    bridge: &Bridge,
    client: Ipv4Addr,
    server: Ipv4Addr,
) -> impl Iterator<Item = (&'static Version, Vec<u8>, Vec<u8>)> {
    version::all(bridge.subnet6.is_some()).iter().filter_map(move |version| {
        let [client, server] = [client, server].map(|end| version.address(bridge, end));
        Some((version, nft::address(client?), nft::address(server?)))
    })
}

/// What rules depend on besides the bridge's name.
struct Making {
    subnet: Subnet,
    policy: Policy,
    ipv6: Option<Subnet6>,
    /// The inet table sees what passes from port to port of a bridge: of IPv4, of IPv6.
    sees_bridged: [bool; 2],
}

impl Making {
    fn of(bridge: &Bridge) -> Making {
        let sees_ipv6 = bridge.subnet6.is_some() && forwarding::sees_bridged6();
        let sees_bridged = [forwarding::sees_bridged(), sees_ipv6];
        let Bridge { subnet, subnet6: ipv6, policy, .. } = *bridge;
        Making { subnet, ipv6, policy, sees_bridged }
    }

    fn comment(&self) -> String {
        let mut text = format!("{OURS}{} {}", env!("CARGO_PKG_VERSION"), self.subnet);
        if let Some(range) = self.ipv6 {
            text.extend([" ", &range.to_string()]);
        }
        let Policy { icc, masquerade, internal } = self.policy;
        let [bridged, bridged6] = self.sees_bridged;
        for (holds, word) in [
            (icc, "icc"),
            (masquerade, "masquerade"),
            (internal, "internal"),
            (bridged, "br_netfilter"),
            (bridged6, "br_netfilter6"),
        ] {
            if holds {
                text.extend([" ", word]);
            }
        }
        text
    }
}

/// Has these ports and links in the tables.
fn enter(batch: &mut Batch, bridge: &Bridge, running: &Running) {
    for (address, ports) in &running.published {
        batch.turn_to(Family::Inet);
        lead(batch, bridge, *address, ports);
    }
    for (family, set, elements) in openings(bridge, &running.links) {
        batch.turn_to(family);
        batch.add(set, &elements);
    }
}

fn lead(batch: &mut Batch, bridge: &Bridge, address: Ipv4Addr, ports: &[Published]) {
    let ports = if bridge.policy.internal { &[] } else { ports };
    for version in version::all(bridge.subnet6.is_some()) {
        let Some(address) = version.address(bridge, address).map(nft::address) else { continue };
        let (mut everywhere, mut somewhere) = (Vec::new(), Vec::new());
        for published in ports.iter().filter(|p| p.address.is_ipv4() == version.is_ipv4()) {
            let Published { host: number, port, address: host } = published;
            let key = [nft::protocol(port.protocol.number()), nft::port(number.get())].concat();
            let value = Some([&address[..], &nft::port(port.number.get())].concat());
            match host.is_unspecified() {
                true => everywhere.push(Element { key, value }),
                false => {
                    somewhere.push(Element { key: [nft::address(*host), key].concat(), value })
                }
            }
        }
        batch.add(version.published, &everywhere);
        batch.add(version.published_at, &somewhere);
        if !ports.is_empty() {
            let twice = [&address[..], &address].concat();
            batch.add(version.itself, &[Element { key: twice, value: None }]);
        }
    }
}

fn filter(number: u32, priority: i32) -> Option<Hook> {
    Some(Hook { kind: "filter", number, priority })
}
