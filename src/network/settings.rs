//! What the default network is to be like: what used to be flags of Docker's daemon.
//!
//! Whoever starts the first container on it says so. As long as somebody has an address there,
//! it stays as it is: who asks for something else then is told.

use super::definition::DEFAULT;
use super::networks::Networks;
use super::{Definition, NetworkLock, Subnet, Subnet6};
use crate::error::{Error, Result};
use crate::sys::netlink::Socket;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// The settings of the default network; what is not said is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// A bridge of the user's; one that is to be made, by its name; or `none`.
    pub bridge: Option<String>,
    /// The bridge's address, and with it the range.
    pub bip: Option<LinkAddress>,
    /// The part of the range that containers get their addresses from.
    pub fixed_cidr: Option<Subnet>,
    /// Where their IPv6 addresses come from.
    #[serde(default)]
    pub fixed_cidr_v6: Option<Subnet6>,
    /// Bytes.
    pub mtu: Option<u32>,
    /// Whether containers have IPv6 addresses too.
    #[serde(default)]
    pub ipv6: Option<bool>,
    /// Whether containers reach each other, not only by links.
    pub icc: Option<bool>,
    /// Whether what leaves has the host's address.
    pub ip_masq: Option<bool>,
    /// Whether there are rules of ours at all.
    pub iptables: Option<bool>,
    /// Where ports are published for which no address is given.
    pub ip: Option<IpAddr>,
}

/// In place of a bridge: containers have no network but the loopback.
pub const NO_BRIDGE: &str = "none";

impl Settings {
    /// What one and the other say; `self` where both do.
    pub fn or(self, other: Settings) -> Settings {
        Settings {
            bridge: self.bridge.or(other.bridge),
            bip: self.bip.or(other.bip),
            fixed_cidr: self.fixed_cidr.or(other.fixed_cidr),
            fixed_cidr_v6: self.fixed_cidr_v6.or(other.fixed_cidr_v6),
            mtu: self.mtu.or(other.mtu),
            ipv6: self.ipv6.or(other.ipv6),
            icc: self.icc.or(other.icc),
            ip_masq: self.ip_masq.or(other.ip_masq),
            iptables: self.iptables.or(other.iptables),
            ip: self.ip.or(other.ip),
        }
    }

    /// Checks what no single one shows.
    pub fn check(&self) -> Result<()> {
        if let (Some(pool), Some(bip)) = (self.fixed_cidr, self.bip)
            && !bip.subnet().has(&pool)
        {
            return Err(Error::invalid(format!("fixed-cidr {pool} is not a part of bip {bip}")));
        }
        if self.fixed_cidr.is_some() && self.bip.is_none() && self.bridge.is_none() {
            return Err(Error::invalid("fixed-cidr is a part of a range that nobody gave")
                .hint("give the bridge's address too: bip"));
        }
        if self.fixed_cidr_v6.is_some() && self.ipv6 != Some(true) {
            return Err(Error::invalid("fixed-cidr-v6 is for containers with IPv6")
                .hint("switch it on: ipv6 = true"));
        }
        Ok(())
    }

    /// The name of the first of these that is said otherwise by `other`.
    fn differs_from(&self, other: &Settings) -> Option<&'static str> {
        fn differs<T: PartialEq>(ours: &Option<T>, theirs: &Option<T>) -> bool {
            ours.is_some() && ours != theirs
        }
        // To say what holds anyway is to change nothing.
        let switched = |ours: Option<bool>, theirs: Option<bool>, default: bool| {
            ours.is_some_and(|ours| ours != theirs.unwrap_or(default))
        };
        let all = [
            ("bridge", differs(&self.bridge, &other.bridge)),
            ("bip", differs(&self.bip, &other.bip)),
            ("fixed-cidr", differs(&self.fixed_cidr, &other.fixed_cidr)),
            ("fixed-cidr-v6", differs(&self.fixed_cidr_v6, &other.fixed_cidr_v6)),
            ("mtu", differs(&self.mtu, &other.mtu)),
            ("ipv6", switched(self.ipv6, other.ipv6, false)),
            ("icc", switched(self.icc, other.icc, true)),
            ("ip-masq", switched(self.ip_masq, other.ip_masq, true)),
            ("iptables", switched(self.iptables, other.iptables, true)),
            ("ip", differs(&self.ip, &other.ip)),
        ];
        all.into_iter().find_map(|(name, differs)| differs.then_some(name))
    }

    /// The network that these ask for, in place of one that nobody is on.
    fn define(&self, known: &Definition, is_foreign: bool) -> Definition {
        let mut new = Definition {
            id: known.id.clone(),
            created: known.created,
            is_foreign,
            is_disabled: self.bridge.as_deref() == Some(NO_BRIDGE),
            is_fixed: self.bip.is_some(),
            subnet: self.bip.map(|bip| bip.subnet()),
            gateway: self.bip.map(|bip| bip.address),
            pool: self.fixed_cidr,
            mtu: self.mtu,
            icc: self.icc.unwrap_or(true),
            masquerade: self.ip_masq.unwrap_or(true),
            without_rules: self.iptables == Some(false),
            host_address: self.ip,
            settings: self.clone(),
            ..Definition::new(DEFAULT, [0; 32])
        };
        match &self.bridge {
            Some(name) if name != NO_BRIDGE => new.link = name.clone(),
            None if !known.is_foreign && known.settings.bridge.is_none() => {
                // What was chosen once is chosen again.
                new.link = known.link.clone();
                if !known.is_fixed && self.bip.is_none() {
                    new.subnet = known.subnet;
                }
            }
            _ => {}
        }
        new
    }
}

impl Networks {
    /// Has the default network be as it is asked for.
    ///
    /// Errors: containers are on it as it is; a bridge of the user's was given another address.
    pub fn settle(&self, lock: &NetworkLock, wanted: &Settings) -> Result<()> {
        let known = self.get(DEFAULT)?;
        if known.settings == *wanted {
            return Ok(());
        }
        if !self.holders(DEFAULT)?.is_empty() {
            return match wanted.differs_from(&known.settings) {
                None => Ok(()),
                Some(name) => Err(Error::conflict(format!(
                    "{name} is to be changed while containers are on the network {DEFAULT}"
                ))
                .hint("stop them first")),
            };
        }
        let link = match wanted.bridge.as_deref() {
            None | Some(NO_BRIDGE) => None,
            Some(name) => Socket::open()?.link_by_name(name)?,
        };
        let is_foreign = link.is_some_and(|link| !self.is_ours(&known, &link));
        let given = [("bip", wanted.bip.is_some()), ("ipv6", wanted.ipv6 == Some(true))];
        if let Some((name, _)) = given.iter().find(|(_, is_given)| is_foreign && *is_given) {
            let text = format!("{name} is for a bridge of ours, and the given one is not");
            return Err(Error::invalid(text).hint("give that bridge its addresses yourself"));
        }
        let mut new = wanted.define(&known, is_foreign);
        // What was chosen once is chosen again.
        let chosen6 = known.subnet6.filter(|_| known.settings.fixed_cidr_v6.is_none());
        let chosen6 = chosen6.or(known.former_subnet6);
        new.former_subnet6 = chosen6;
        if wanted.ipv6 == Some(true) {
            new.enable_ipv6(wanted.fixed_cidr_v6.or(chosen6))?;
            if new.subnet6 != known.subnet6 {
                self.check_free6(&mut Socket::open()?, &new)?;
            }
        }
        let key = |it: &Definition| (it.link.clone(), it.subnet, it.subnet6, it.gateway, it.mtu);
        self.remove_bridge(&known, key(&known) != key(&new))?;
        self.write(lock, &new)
    }
}

/// An address with the range that it is in: `192.168.5.1/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    address: Ipv4Addr,
    prefix: u8,
}

impl LinkAddress {
    pub fn subnet(&self) -> Subnet {
        // It was checked when it was read.
        Subnet::of(self.address, self.prefix).unwrap_or(super::subnet::ANY)
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for LinkAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<LinkAddress> {
        let subnet: Result<Subnet> = text.parse();
        let address = text.split_once('/').and_then(|(address, _)| address.parse().ok());
        match (subnet, address) {
            (Ok(subnet), Some(address)) if subnet.is_host(address) => {
                Ok(LinkAddress { address, prefix: subnet.prefix() })
            }
            _ => {
                Err(Error::invalid(format!("\"{text}\" is no address of a bridge with its range"))
                    .hint("write it as 192.168.5.1/24"))
            }
        }
    }
}

crate::types::serde_by_text!(LinkAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridges_address_is_one_of_its_range() {
        let bip: LinkAddress = "192.168.5.7/24".parse().unwrap();
        assert_eq!(
            (bip.to_string().as_str(), bip.subnet().to_string().as_str()),
            ("192.168.5.7/24", "192.168.5.0/24")
        );
        for bad in ["192.168.5.0/24", "192.168.5.255/24", "192.168.5.1", "x/24", "10.0.0.1/31", ""]
        {
            assert!(bad.parse::<LinkAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_chosen_stays_unless_something_else_is_asked_for() {
        let known = Definition {
            link: "coracle0".into(),
            subnet: Some("172.17.0.0/16".parse().unwrap()),
            ..Definition::new(DEFAULT, [1; 32])
        };
        let icc = Settings { icc: Some(false), ..Settings::default() };
        let new = icc.define(&known, false);
        assert_eq!((new.link.as_str(), new.subnet, new.icc), ("coracle0", known.subnet, false));

        let bip = Settings { bip: Some("10.1.0.9/24".parse().unwrap()), ..Settings::default() };
        let fixed = bip.define(&known, false);
        assert_eq!(fixed.subnet, Some("10.1.0.0/24".parse().unwrap()));
        assert_eq!(fixed.gateway, Some(Ipv4Addr::new(10, 1, 0, 9)));
        assert!(fixed.is_fixed);
        // Back again: the range was not chosen, so another one is.
        let back = Settings::default().define(&fixed, false);
        assert_eq!((back.link.as_str(), back.subnet, back.gateway), ("coracle0", None, None));

        let own = Settings { bridge: Some("br0".into()), ..Settings::default() };
        let own = own.define(&known, true);
        assert_eq!((own.link.as_str(), own.is_foreign, own.subnet), ("br0", true, None));
        let back = Settings::default().define(&own, false);
        assert_eq!((back.link.as_str(), back.is_foreign), ("", false));

        assert_eq!(icc.differs_from(&Settings::default()), Some("icc"));
        let as_it_is = Settings { icc: Some(true), ipv6: Some(false), ..Settings::default() };
        assert_eq!(as_it_is.differs_from(&Settings::default()), None);
        assert_eq!(as_it_is.differs_from(&icc), Some("icc"));
        assert_eq!(Settings::default().differs_from(&icc), None);
    }
}
