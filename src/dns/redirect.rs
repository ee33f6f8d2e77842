//! Port 53 of the name server's address, inside a container.
//!
//! The sockets have other ports: a name server of the container's own (dnsmasq, say) listens on
//! port 53 of all addresses, which it could not if a socket of ours had it on one. A rule of
//! nf_tables leads from the one to the other.

use super::{ADDRESS, PORT};
use crate::error::Result;
use crate::sys::netlink::nftables::{
    self as nft, Batch, Element, Family, Field, Hook, Source, Step, Tables,
};
use crate::types::Protocol;

const TABLE: &str = "coracle_dns";
const SERVERS: &str = "servers";

/// Makes the rule in the namespace of `tables`, or makes it anew: of a monitor that was killed
/// one is there.
pub fn redirect(tables: &mut Tables, udp: u16, tcp: u16) -> Result<()> {
    let address = nft::ipv4(ADDRESS);
    let element = |protocol: Protocol, port| Element {
        key: [nft::protocol(protocol.number()), nft::port(PORT)].concat(),
        value: Some([nft::ipv4(ADDRESS), nft::port(port)].concat()),
    };
    let mut batch = Batch::new(TABLE);
    if tables.table(Family::Inet, TABLE)?.is_some() {
        batch.remove_table();
    }
    batch.make_table("the container's name server");
    batch.set(SERVERS, &[Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]);
    batch.add(SERVERS, &[element(Protocol::Udp, udp), element(Protocol::Tcp, tcp)]);
    batch.chain("output", Some(Hook { kind: "nat", number: nft::OUTPUT, priority: -100 }));
    let steps = [
        Step::Load(Source::Family, 0),
        Step::Is(0, &[nft::NFPROTO_IPV4]),
        Step::Load(Source::Ipv4Destination, 0),
        Step::Is(0, &address),
        Step::Load(Source::Protocol, 0),
        Step::Load(Source::DestinationPort, 1),
        Step::Map(SERVERS, 0),
        Step::Destination(nft::NFPROTO_IPV4, 0, 1),
    ];
    batch.rule("output", "to its sockets", &steps);
    tables.commit(batch)
}
