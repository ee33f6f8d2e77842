//! The bridge table without containers.

use super::super::Bridge;
use super::filter;
use super::version::{self, Version};
use crate::sys::netlink::nftables::{self as nft, Batch, Source, Step};

const FILTER_BRIDGED: i32 = -200;
const ARP: [u8; 2] = [0x08, 0x06];

pub(super) fn make(batch: &mut Batch, bridge: &Bridge) {
    let group = bridge.port_group().to_ne_bytes();
    batch.make_table("");
    let versions = version::all(bridge.subnet6.is_some());
    for version in versions {
        batch.set(version.links, &version.link(), &[]);
        batch.set(version.linked, &[version.field, version.field], &[]);
    }
    batch.chain("forward", filter(nft::FORWARD, FILTER_BRIDGED));
    batch.chain("between", None);
    let among_containers = [
        Step::Load(Source::InputGroup, 0),
        Step::Is(0, &group),
        Step::Load(Source::OutputGroup, 0),
        Step::Is(0, &group),
        Step::Jump("between"),
    ];
    batch.rule("forward", "among containers", &among_containers);
    let arp = [&carries(&ARP)[..], &[Step::Accept]].concat();
    batch.rule("between", "whose address is where", &arp);
    // br_netfilter sends what the host was asked for on, without routing it.
    let published =
        [Step::Load(Source::Receiver, 0), Step::Is(0, &[nft::THE_BRIDGE]), Step::Accept];
    batch.rule("between", "published ports", &published);
    versions.iter().for_each(|version| between(batch, version));
    batch.rule("between", "no other way", &[Step::Drop]);
}

fn carries(kind: &[u8]) -> [Step<'_>; 2] {
    [Step::Load(Source::EtherType, 0), Step::Is(0, kind)]
}

/// What packets of a version pass from container to container.
fn between(batch: &mut Batch, version: &Version) {
    let carries = carries(&version.ether_type);
    let mut rule = |comment: &str, steps: &[&[Step]]| {
        let steps = [&[&carries[..]], steps, &[&[Step::Accept]]].concat();
        batch.rule("between", comment, &steps.concat());
    };
    for kind in version.neighbours {
        rule("whose address is where", &[&version.of_icmp(kind)]);
    }
    rule("links", &[&version.of_link()]);
    rule("answers", &[&version.of_answer()]);
    let linked = version.of_pair(version.linked);
    let later: &[Step] = match version.is_ipv4() {
        true => &[
            Step::Load(Source::Ipv4Fragment, 0),
            Step::Mask(0, &[0x1f, 0xff]),
            Step::IsNot(0, &[0; 2]),
        ],
        false => &[
            Step::Load(Source::Ipv6Next, 0),
            Step::Is(0, &[44]),
            Step::Load(Source::Ipv6Fragment, 0),
            Step::Mask(0, &[0xff, 0xf8]),
            Step::IsNot(0, &[0; 2]),
        ],
    };
    rule("later fragments", &[&linked, later]);
    rule("refusals", &[&linked, &version.of_icmp(&version.unreachable)]);
}
