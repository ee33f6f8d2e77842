//! The inet table without containers.

use super::super::Bridge;
use super::version::{self, Version};
use super::{INTO, Making, PUBLISH, filter};
use crate::sys::netlink::nftables::{self as nft, Batch, Field, Hook, Source, Step};
use std::net::Ipv6Addr;

pub(super) fn make(batch: &mut Batch, bridge: &Bridge, making: &Making) {
    let policy = bridge.policy;
    let name = nft::link_name(&bridge.name);
    let versions = version::all(bridge.subnet6.is_some());
    let loopback = Net { mask: vec![255, 0, 0, 0], address: vec![127, 0, 0, 0] };
    let (none, changed) = ([0; 4], nft::DESTINATION_CHANGED.to_ne_bytes());
    let known = nft::ESTABLISHED_OR_RELATED.to_ne_bytes();
    let local = nft::LOCAL.to_ne_bytes();

    let ipv4 = of_version(&nft::NFPROTO_IPV4);
    let from_bridge = [Step::Load(Source::InputName, 0), Step::Is(0, &name)];
    let into_bridge = [Step::Load(Source::OutputName, 0), Step::Is(0, &name)];
    let from_elsewhere = [Step::Load(Source::InputName, 0), Step::IsNot(0, &name)];
    let elsewhere = [Step::Load(Source::OutputName, 0), Step::IsNot(0, &name)];
    let published =
        [Step::Load(Source::ConnectionStatus, 0), Step::Mask(0, &changed), Step::IsNot(0, &none)];
    let answer =
        [Step::Load(Source::ConnectionState, 0), Step::Mask(0, &known), Step::IsNot(0, &none)];
    let no_answer =
        [Step::Load(Source::ConnectionState, 0), Step::Mask(0, &known), Step::Is(0, &none)];
    let for_the_host = [Step::Load(Source::DestinationKind, 0), Step::Is(0, &local)];

    batch.make_table(&making.comment());
    versions.iter().for_each(|version| sets(batch, version));

    let nat = |number, priority| Some(Hook { kind: "nat", number, priority });
    batch.chain("loopback", None);
    batch.chain("input", filter(nft::INPUT, 0));
    batch.chain(PUBLISH, None);
    batch.chain("prerouting", nat(nft::PREROUTING, -100));
    batch.chain("output", nat(nft::OUTPUT, -100));
    batch.chain(INTO, None);
    batch.chain("forward", filter(nft::FORWARD, 0));
    batch.chain("postrouting", nat(nft::POSTROUTING, 100));

    let mut rule = |chain: &str, comment: &str, steps: &[&[Step]]| {
        batch.rule(chain, comment, &steps.concat());
    };
    // Of IPv6 the kernel drops them itself.
    for address in [Source::Ipv4Destination, Source::Ipv4Source] {
        let steps = [&ipv4[..], &loopback.has(address), &[Step::Drop]];
        rule("loopback", "it is the host's own", &steps);
    }
    // The first packet of a connection passes the one, what is of no connection the other. Only what
    // is sent on passes `forward`, each packet of it: most are through after one rule or two.
    rule("prerouting", "from the bridge", &[&from_bridge, &[Step::Jump("loopback")]]);
    rule("input", "from the bridge", &[&from_bridge, &no_answer, &[Step::Jump("loopback")]]);
    for version in versions {
        let to = Step::Destination(version.family, 0, version.width);
        let of_version = of_version(&version.family);
        let ports = [
            Step::Load(Source::Protocol, 0),
            Step::Load(Source::DestinationPort, 1),
            Step::Map(version.published, 0),
            to,
        ];
        let ports_at = [
            Step::Load(version.destination, 0),
            Step::Load(Source::Protocol, version.width),
            Step::Load(Source::DestinationPort, version.width + 1),
            Step::Map(version.published_at, 0),
            to,
        ];
        if !version.is_ipv4() {
            // The kernel sends nothing on that comes from such an address.
            let [mask, range] =
                [0xffc0, 0xfe80].map(|first| Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0).octets());
            let of_the_link =
                [Step::Load(version.destination, 0), Step::Mask(0, &mask), Step::Is(0, &range)];
            let steps = [&of_version[..], &of_the_link, &[Step::Accept]];
            rule(PUBLISH, "not by what the link alone has", &steps);
        }
        rule(PUBLISH, "ports of one address", &[&of_version, &ports_at]);
        rule(PUBLISH, "ports of all addresses", &[&of_version, &ports]);
        if !version.is_ipv4() {
            let to_itself = Ipv6Addr::LOCALHOST.octets();
            let loopback = [Step::Load(version.destination, 0), Step::Is(0, &to_itself)];
            rule("output", "not by ::1", &[&of_version, &loopback, &[Step::Accept]]);
        }
    }
    for chain in ["prerouting", "output"] {
        rule(chain, "for the host", &[&for_the_host, &[Step::Jump(PUBLISH)]]);
    }
    if policy.internal {
        rule("forward", "no way out", &[&from_bridge, &elsewhere, &[Step::Drop]]);
        rule("forward", "no way in", &[&into_bridge, &from_elsewhere, &[Step::Drop]]);
    }
    rule("forward", "into the bridge", &[&into_bridge, &[Step::Jump(INTO)]]);
    rule(INTO, "answers", &[&answer, &[Step::Accept]]);
    if policy.icc {
        rule(INTO, "among containers", &[&from_bridge, &[Step::Accept]]);
    } else {
        for version in versions {
            let of_version = of_version(&version.family);
            for kind in version.neighbours {
                let asked = version.of_icmp(kind);
                let steps = [&from_bridge[..], &of_version, &asked, &[Step::Accept]];
                rule(INTO, "whose address is where", &steps);
            }
            let link = version.of_link();
            rule(INTO, "links", &[&from_bridge, &of_version, &link, &[Step::Accept]]);
        }
    }
    rule(INTO, "published ports", &[&published, &[Step::Accept]]);
    rule(INTO, "no other way in", &[&[Step::Drop]]);
    for (version, sees_bridged) in versions.iter().zip(making.sees_bridged) {
        let net = Net::of(version, bridge);
        let of_version = of_version(&version.family);
        let from_range = net.has(version.source);
        if policy.masquerade && !policy.internal {
            let steps = [&of_version[..], &from_range, &elsewhere, &[Step::Masquerade]];
            rule("postrouting", "out", &steps);
        }
        if version.is_ipv4() {
            let from_loopback = loopback.has(Source::Ipv4Source);
            let steps = [&ipv4[..], &from_loopback, &into_bridge, &[Step::Masquerade]];
            rule("postrouting", "from the host's loopback", &steps);
        }
        if !policy.icc || !sees_bridged {
            let steps =
                [&of_version[..], &from_range, &into_bridge, &published, &[Step::Masquerade]];
            rule("postrouting", "to a neighbour by the host", &steps);
        }
        let to_itself = version.of_pair(version.itself);
        let steps = [&of_version[..], &to_itself, &published, &[Step::Masquerade]];
        rule("postrouting", "to oneself", &steps);
    }
}

fn sets(batch: &mut Batch, version: &Version) {
    let at = [version.field, Field::Protocol, Field::Port];
    let to = [version.field, Field::Port];
    batch.set(version.published, &[Field::Protocol, Field::Port], &to);
    batch.set(version.published_at, &at, &to);
    batch.set(version.itself, &[version.field, version.field], &[]);
    batch.set(version.links, &version.link(), &[]);
}

fn of_version(family: &u8) -> [Step<'_>; 2] {
    [Step::Load(Source::Family, 0), Step::Is(0, std::slice::from_ref(family))]
}

struct Net {
    mask: Vec<u8>,
    address: Vec<u8>,
}

impl Net {
    /// The bridge's range.
    fn of(version: &Version, bridge: &Bridge) -> Net {
        match bridge.subnet6.filter(|_| !version.is_ipv4()) {
            Some(range) => Net {
                mask: range.mask_octets().to_vec(),
                address: range.address().octets().to_vec(),
            },
            None => Net {
                mask: bridge.subnet.mask_octets().to_vec(),
                address: bridge.subnet.address().octets().to_vec(),
            },
        }
    }

    fn has(&self, address: Source) -> [Step<'_>; 3] {
        [Step::Load(address, 0), Step::Mask(0, &self.mask), Step::Is(0, &self.address)]
    }
}
