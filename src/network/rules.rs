//! What becomes of packets: the nf_tables table of one bridge, which has its name.
//!
//! ```text
//! map published      protocol . port           -> address . port    on every address of the host
//! map published_at   address . protocol . port -> address . port    on one
//! set itself         address . address         a container with published ports, twice
//!
//! raw          what comes from the bridge for the host's loopback, or says so   drop
//! prerouting   for an address of the host     publish
//! output       for an address of the host     publish
//! publish      in a map                       to the container
//! forward      into the bridge, neither published nor an answer nor from it   drop
//! postrouting  from the range to elsewhere; from the loopback; to oneself     masquerade
//! ```
//!
//! The rules are always the same; what a container publishes is elements of the maps, which enter
//! and leave in one batch. The kernel is the truth: what leaves is what leads to the address.
//!
//! All changes are made under the network lock. A table that somebody flushed is made anew, with
//! what all running containers publish.

use super::{Bridge, Subnet};
use crate::error::Result;
use crate::sys::netlink::nftables::{
    self as nft, Batch, Element, Field, Hook, Source, Step, Tables,
};
use crate::types::Published;
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
const PUBLISH: &str = "publish";

/// The rules of the bridge called `name`.
pub(super) struct Rules<'a> {
    pub name: &'a str,
    pub tables: &'a mut Tables,
}

impl Rules<'_> {
    /// Has the host's ports lead to the container at `address`. Where the table is missing, it is
    /// made, and `running` tells what else is to be in it.
    pub fn publish(
        &mut self,
        bridge: &Bridge,
        address: Ipv4Addr,
        ports: &[Published],
        running: impl FnOnce() -> Result<Vec<(Ipv4Addr, Vec<Published>)>>,
    ) -> Result<()> {
        let mut batch = Batch::new(self.name);
        if !self.tables.has_table(self.name)? {
            table(&mut batch, bridge);
            for (address, ports) in running()? {
                enter(&mut batch, address, &ports);
            }
        }
        enter(&mut batch, address, ports);
        self.tables.commit(batch)
    }

    /// Takes away all that leads to `address`.
    pub fn withdraw(&mut self, address: Ipv4Addr) -> Result<()> {
        let mut batch = Batch::new(self.name);
        let address = nft::ipv4(address);
        for map in [PUBLISHED, PUBLISHED_AT] {
            let leads_there =
                |e: &Element| e.value.as_ref().is_some_and(|value| value.starts_with(&address));
            let mut elements = self.tables.elements(self.name, map)?;
            elements.retain(leads_there);
            batch.remove(map, &elements);
        }
        let mut elements = self.tables.elements(self.name, ITSELF)?;
        elements.retain(|element| element.key.starts_with(&address));
        batch.remove(ITSELF, &elements);
        self.tables.commit(batch)
    }

    /// Removes the table.
    pub fn remove(&mut self) -> Result<()> {
        let mut batch = Batch::new(self.name);
        batch.remove_table();
        self.tables.commit(batch)
    }
}

fn enter(batch: &mut Batch, address: Ipv4Addr, ports: &[Published]) {
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

/// The table without containers.
fn table(batch: &mut Batch, bridge: &Bridge) {
    let name = nft::link_name(&bridge.name);
    let net = Net::new(&bridge.subnet);
    let loopback = Net { mask: [255, 0, 0, 0], address: [127, 0, 0, 0] };
    let (none, changed) = ([0; 4], nft::DESTINATION_CHANGED.to_ne_bytes());
    let known = nft::ESTABLISHED_OR_RELATED.to_ne_bytes();
    let local = nft::LOCAL.to_ne_bytes();

    let ipv4 = [Step::Load(Source::Family, 0), Step::Is(0, &[nft::NFPROTO_IPV4])];
    let from_bridge = [Step::Load(Source::InputName, 0), Step::Is(0, &name)];
    let into_bridge = [Step::Load(Source::OutputName, 0), Step::Is(0, &name)];
    let elsewhere = [Step::Load(Source::OutputName, 0), Step::IsNot(0, &name)];
    let published =
        [Step::Load(Source::ConnectionStatus, 0), Step::Mask(0, &changed), Step::IsNot(0, &none)];
    let answer =
        [Step::Load(Source::ConnectionState, 0), Step::Mask(0, &known), Step::IsNot(0, &none)];
    let for_the_host = [Step::Load(Source::DestinationKind, 0), Step::Is(0, &local)];

    batch.make_table();
    batch.set(PUBLISHED, &[Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]);
    let at = [Field::Ipv4, Field::Protocol, Field::Port];
    batch.set(PUBLISHED_AT, &at, &[Field::Ipv4, Field::Port]);
    batch.set(ITSELF, &[Field::Ipv4, Field::Ipv4], &[]);

    let filter = |number, priority| Some(Hook { kind: "filter", number, priority });
    let nat = |number, priority| Some(Hook { kind: "nat", number, priority });
    batch.chain("raw", filter(nft::PREROUTING, -300));
    batch.chain(PUBLISH, None);
    batch.chain("prerouting", nat(nft::PREROUTING, -100));
    batch.chain("output", nat(nft::OUTPUT, -100));
    batch.chain("forward", filter(nft::FORWARD, 0));
    batch.chain("postrouting", nat(nft::POSTROUTING, 100));

    let mut rule = |chain: &str, comment: &str, steps: &[&[Step]]| {
        batch.rule(chain, comment, &steps.concat());
    };
    for address in [Source::Ipv4Destination, Source::Ipv4Source] {
        let steps = [&from_bridge[..], &ipv4, &loopback.has(address), &[Step::Drop]];
        rule("raw", "the loopback is the host's own", &steps);
    }
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
    rule("forward", "among containers", &[&into_bridge, &from_bridge, &[Step::Accept]]);
    rule("forward", "answers", &[&into_bridge, &answer, &[Step::Accept]]);
    rule("forward", "published ports", &[&into_bridge, &published, &[Step::Accept]]);
    rule("forward", "no other way in", &[&into_bridge, &[Step::Drop]]);
    let from_range = net.has(Source::Ipv4Source);
    let from_loopback = loopback.has(Source::Ipv4Source);
    rule("postrouting", "out", &[&ipv4, &from_range, &elsewhere, &[Step::Masquerade]]);
    let steps = [&ipv4[..], &from_loopback, &into_bridge, &[Step::Masquerade]];
    rule("postrouting", "from the host's loopback", &steps);
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
