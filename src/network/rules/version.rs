//! What rules do for either version of IP, each with sets of its own.

use super::super::Bridge;
use crate::sys::netlink::nftables::{self as nft, Family, Field, Register, Source, Step};
use std::net::{IpAddr, Ipv4Addr};

/// A version of IP.
#[derive(Debug)]
pub struct Version {
    /// `NFPROTO_...`
    pub family: u8,
    /// That of tables that see nothing else.
    pub table: Family,
    pub field: Field,
    pub source: Source,
    pub destination: Source,
    /// How many registers an address takes.
    pub width: Register,
    /// What a frame with such a packet says it carries.
    pub ether_type: [u8; 2],
    /// The protocol of its errors, and their types.
    pub icmp: u8,
    pub unreachable: u8,
    /// The types of solicitations and advertisements of neighbours, which IPv4 has ARP for.
    pub neighbours: &'static [u8],
    pub published: &'static str,
    pub published_at: &'static str,
    pub itself: &'static str,
    pub links: &'static str,
    pub linked: &'static str,
}

static VERSIONS: [Version; 2] = [
    Version {
        family: nft::NFPROTO_IPV4,
        table: Family::Ipv4,
        field: Field::Ipv4,
        source: Source::Ipv4Source,
        destination: Source::Ipv4Destination,
        width: 1,
        ether_type: [0x08, 0x00],
        icmp: 1,
        unreachable: 3,
        neighbours: &[],
        published: "published",
        published_at: "published_at",
        itself: "itself",
        links: "links",
        linked: "linked",
    },
    Version {
        family: nft::NFPROTO_IPV6,
        table: Family::Ipv6,
        field: Field::Ipv6,
        source: Source::Ipv6Source,
        destination: Source::Ipv6Destination,
        width: 4,
        ether_type: [0x86, 0xdd],
        icmp: 58,
        unreachable: 1,
        neighbours: &[135, 136],
        published: "published6",
        published_at: "published_at6",
        itself: "itself6",
        links: "links6",
        linked: "linked6",
    },
];

/// That which every bridge has.
pub fn ipv4() -> &'static Version {
    let [ipv4, _] = &VERSIONS;
    ipv4
}

/// Those that a bridge has.
pub fn all(has_ipv6: bool) -> &'static [Version] {
    if has_ipv6 { &VERSIONS } else { std::slice::from_ref(ipv4()) }
}

impl Version {
    /// In an address.
    pub fn bytes(&self) -> usize {
        4 * self.width as usize
    }

    pub fn is_ipv4(&self) -> bool {
        self.field == Field::Ipv4
    }

    /// The address by this version of who has that one.
    pub fn address(&self, bridge: &Bridge, address: Ipv4Addr) -> Option<IpAddr> {
        match self.is_ipv4() {
            true => Some(address.into()),
            false => bridge.twin(address).map(IpAddr::V6),
        }
    }

    /// Every set of addresses and where it may be.
    pub fn of_addresses(&self) -> [(Family, &'static str); 4] {
        [
            (Family::Inet, self.itself),
            (Family::Inet, self.links),
            (Family::Bridge, self.links),
            (Family::Bridge, self.linked),
        ]
    }

    /// Of a key of `links`.
    pub fn link(&self) -> [Field; 4] {
        [self.field, self.field, Field::Protocol, Field::Port]
    }

    /// From client to server: by a key of `links`.
    pub fn of_link(&self) -> [Step<'static>; 5] {
        self.by_key(self.source, self.destination, Source::DestinationPort)
    }

    /// From server to client.
    pub fn of_answer(&self) -> [Step<'static>; 5] {
        self.by_key(self.destination, self.source, Source::SourcePort)
    }

    fn by_key(&self, client: Source, server: Source, port: Source) -> [Step<'static>; 5] {
        [
            Step::Load(client, 0),
            Step::Load(server, self.width),
            Step::Load(Source::Protocol, 2 * self.width),
            Step::Load(port, 2 * self.width + 1),
            Step::In(self.links, 0),
        ]
    }

    /// An error, or what else has this type.
    pub fn of_icmp<'a>(&'a self, kind: &'a u8) -> [Step<'a>; 4] {
        [
            Step::Load(Source::Protocol, 0),
            Step::Is(0, std::slice::from_ref(&self.icmp)),
            Step::Load(Source::IcmpType, 0),
            Step::Is(0, std::slice::from_ref(kind)),
        ]
    }

    /// From one of two addresses to the other, which are in a set.
    pub fn of_pair(&self, set: &'static str) -> [Step<'static>; 3] {
        [Step::Load(self.source, 0), Step::Load(self.destination, self.width), Step::In(set, 0)]
    }
}
