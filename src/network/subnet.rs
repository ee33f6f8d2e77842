//! IPv4 ranges in CIDR form, and the choice of one that nobody uses.

use crate::error::{Error, Result};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of addresses: `172.17.0.0/16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// The range of `prefix` bits that `address` is in.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Option<Subnet> {
        let range = Subnet { base: u32::from(address), prefix };
        (prefix <= 32).then(|| Subnet { base: range.base & range.mask(), prefix })
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The range's own address.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base)
    }

    pub fn mask_octets(&self) -> [u8; 4] {
        self.mask().to_be_bytes()
    }

    /// The first address that is not the range's own: the bridge's.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// All of them, in order.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        (self.base..=self.base | !self.mask()).map(Ipv4Addr::from)
    }

    /// Whether a station can have `address`: not the range's own, nor the broadcast address.
    pub fn is_host(&self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        address > self.base && address < self.base | !self.mask()
    }

    /// Whether all of `other` is in it.
    pub fn has(&self, other: &Subnet) -> bool {
        self.prefix <= other.prefix && self.contains(other.address())
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.base
    }

    pub fn overlaps(&self, other: &Subnet) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    /// The first private range that overlaps none of `taken`.
    pub fn choose(taken: &[Subnet]) -> Result<Subnet> {
        let free = |range: &Subnet| !taken.iter().any(|other| range.overlaps(other));
        candidates().find(free).ok_or_else(|| {
            Error::conflict("every private range of addresses is in use by a route")
                .hint("remove a route, or run with --net=host or --net=none")
        })
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    /// Needs room for a gateway and a container: /30 or wider.
    fn from_str(text: &str) -> Result<Subnet> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let prefix = prefix.parse().ok().filter(|prefix| (1..=30).contains(prefix))?;
            Subnet::of(address.parse().ok()?, prefix)
        });
        parsed.ok_or_else(|| {
            Error::invalid(format!("\"{text}\" is not a range of addresses"))
                .hint("write it as 172.17.0.0/16, with a prefix of at most 30")
        })
    }
}

crate::types::serde_by_text!(Subnet);

/// All addresses.
pub const ANY: Subnet = Subnet { base: 0, prefix: 0 };

/// The ranges tried in turn: sixteen bits in 172.17-31 and 10, eight in 192.168.
fn candidates() -> impl Iterator<Item = Subnet> {
    let range = |a, b, c, prefix| Subnet::of(Ipv4Addr::new(a, b, c, 0), prefix);
    let b = (17..=31).filter_map(move |b| range(172, b, 0, 16));
    let a = (0..=255).filter_map(move |b| range(10, b, 0, 16));
    let c = (0..=255).filter_map(move |c| range(192, 168, c, 24));
    b.chain(a).chain(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_know_their_addresses() {
        let r = range("10.1.2.77/29");
        assert_eq!(r.to_string(), "10.1.2.72/29");
        assert_eq!(r.gateway(), Ipv4Addr::new(10, 1, 2, 73));
        let hosts = r.addresses().filter(|address| r.is_host(*address));
        let hosts: Vec<String> = hosts.map(|a| a.to_string()).collect();
        assert_eq!(
            hosts,
            ["10.1.2.73", "10.1.2.74", "10.1.2.75", "10.1.2.76", "10.1.2.77", "10.1.2.78"]
        );
        assert!(r.contains(Ipv4Addr::new(10, 1, 2, 79)));
        assert!(!r.contains(Ipv4Addr::new(10, 1, 2, 80)));
        for bad in ["", "10.0.0.0", "10.0.0.0/31", "10.0.0.0/0", "10.0.0/8", "x/8"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_free_range_is_chosen() {
        assert_eq!(Subnet::choose(&[]).unwrap(), range("172.17.0.0/16"));
        let taken = [range("172.17.5.0/24"), range("172.18.0.0/15")];
        assert_eq!(Subnet::choose(&taken).unwrap(), range("172.20.0.0/16"));
        let taken = [range("172.16.0.0/12"), range("10.0.0.0/9")];
        assert_eq!(Subnet::choose(&taken).unwrap(), range("10.128.0.0/16"));
        let taken = [range("172.16.0.0/12"), range("10.0.0.0/8"), range("192.168.0.0/24")];
        assert_eq!(Subnet::choose(&taken).unwrap(), range("192.168.1.0/24"));
        let all = [range("172.16.0.0/12"), range("10.0.0.0/8"), range("192.168.0.0/16")];
        assert!(Subnet::choose(&all).is_err());
    }
}
