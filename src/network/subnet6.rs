//! IPv6 ranges in CIDR form, and the addresses in them that go with those of an IPv4 range: the
//! same hosts, so that a lease of the one is a lease of the other.

use super::Subnet;
use crate::error::{Error, Result};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: `fd00:1:2:3::/64`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet6 {
    base: u128,
    prefix: u8,
}

impl Subnet6 {
    /// The range of `prefix` bits that `address` is in.
    pub fn of(address: Ipv6Addr, prefix: u8) -> Option<Subnet6> {
        let range = Subnet6 { base: u128::from(address), prefix };
        (prefix <= 128).then(|| Subnet6 { base: range.base & range.mask(), prefix })
    }

    /// A range that nobody else has, and no router leads to (RFC 4193): `fd`, and 56 bits of chance
    /// for the site and the network.
    pub fn unique(random: [u8; 7]) -> Subnet6 {
        let chance = random.iter().fold(0xfd, |sum, byte| sum << 8 | u128::from(*byte));
        Subnet6 { base: chance << 64, prefix: 64 }
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The range's own address.
    pub fn address(&self) -> Ipv6Addr {
        Ipv6Addr::from(self.base)
    }

    pub fn mask_octets(&self) -> [u8; 16] {
        self.mask().to_be_bytes()
    }

    pub fn overlaps(&self, other: &Subnet6) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    /// Whether it has as many hosts as `range`.
    pub fn fits(&self, range: &Subnet) -> bool {
        128 - self.prefix >= 32 - range.prefix()
    }

    /// Its host that `host` is in `range`: of 172.17.0.2 in 172.17.0.0/16 that is ::2.
    pub fn twin(&self, range: &Subnet, host: Ipv4Addr) -> Ipv6Addr {
        let number = u32::from(host) & !u32::from_be_bytes(range.mask_octets());
        Ipv6Addr::from(self.base | u128::from(number))
    }

    /// The host of `range` that this one is here.
    pub fn untwin(&self, range: &Subnet, host: Ipv6Addr) -> Option<Ipv4Addr> {
        let number = u32::try_from(u128::from(host) & !self.mask()).ok()?;
        let twin = Ipv4Addr::from(u32::from(range.address()) | number);
        (self.twin(range, twin) == host).then_some(twin)
    }

    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0)
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

impl FromStr for Subnet6 {
    type Err = Error;

    /// Of addresses that a router passes on.
    fn from_str(text: &str) -> Result<Subnet6> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let prefix = prefix.parse().ok().filter(|prefix| (8..=126).contains(prefix))?;
            let address: Ipv6Addr = address.parse().ok()?;
            let is_special = matches!(address.octets(), [0 | 0xff, ..] | [0xfe, 0x80..=0xbf, ..]);
            Subnet6::of(address, prefix).filter(|_| !is_special)
        });
        parsed.ok_or_else(|| {
            Error::invalid(format!("\"{text}\" is not a range of IPv6 addresses for hosts"))
                .hint("write it as fd00:1:2:3::/64, with a prefix of 8 to 126")
        })
    }
}

crate::types::serde_by_text!(Subnet6);

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Subnet6 {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_have_the_same_number_in_both_ranges() {
        let (four, six): (Subnet, _) = ("172.17.0.0/16".parse().unwrap(), range("fd00:1::5/64"));
        assert_eq!(six.to_string(), "fd00:1::/64");
        let twin = |host| six.twin(&four, host).to_string();
        assert_eq!(twin(four.gateway()), "fd00:1::1");
        assert_eq!(twin(Ipv4Addr::new(172, 17, 1, 2)), "fd00:1::102");
        let back = |host: &str| six.untwin(&four, host.parse().unwrap());
        assert_eq!(back("fd00:1::102"), Some(Ipv4Addr::new(172, 17, 1, 2)));
        for no_twin in ["fd00:2::102", "fd00:1::1:2", "fd00:1::1:0:0:2"] {
            assert_eq!(back(no_twin), None, "{no_twin}");
        }
        assert!(six.fits(&four) && range("fd00::/112").fits(&four));
        assert!(!range("fd00::/113").fits(&four));
    }

    #[test]
    fn ranges_are_of_hosts_and_know_what_overlaps() {
        for bad in
            ["", "fd00::", "fd00::/127", "fd00::/7", "ff02::/64", "fe80::/64", "::1/64", "x/64"]
        {
            assert!(bad.parse::<Subnet6>().is_err(), "{bad}");
        }
        assert!(range("fd00::/48").overlaps(&range("fd00:0:0:7::/64")));
        assert!(!range("fd00::/64").overlaps(&range("fd00:0:0:7::/64")));
        let chosen = Subnet6::unique([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(chosen.to_string(), "fd12:3456:789a:bcde::/64");
        assert_eq!(range(&chosen.to_string()), chosen);
    }
}
