//! What a network is to be, and the record of it.
//!
//! ```text
//! <root>/networks/<name>/network.json
//! ```

use super::{Policy, Settings, Subnet, Subnet6};
use crate::error::{Error, OsContext, Result};
use crate::sys::netlink::VlanKind;
use crate::sys::random;
use crate::types::{Digest, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::str::FromStr;

/// The network of containers that ask for no other.
pub const DEFAULT: &str = "bridge";

/// `network.json`. What is chosen (a link's name, a range) is kept once it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    /// 64 hex digits.
    pub id: String,
    pub created: Timestamp,
    pub driver: Driver,
    /// The bridge, or the link of the host that macvlan and ipvlan lie upon. Empty where it is yet
    /// to be chosen.
    pub link: String,
    /// The bridge is the user's own, and left as it is.
    #[serde(default)]
    pub is_foreign: bool,
    pub subnet: Option<Subnet>,
    /// The range was given by the user: no other one will do.
    #[serde(default)]
    pub is_fixed: bool,
    /// The range's first address where nothing is said.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// The part of the range that containers get their addresses from.
    #[serde(default)]
    pub pool: Option<Subnet>,
    /// Addresses that others have, by what the user calls them: no container gets one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<String, Ipv4Addr>,
    /// Shown as it was said: there is no swarm whose services could not get on otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_attachable: bool,
    /// Containers have IPv6 addresses too: those of this range that are in the place of the others
    /// in theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet6: Option<Subnet6>,
    /// That which was chosen for the default network when it last had IPv6: it gets it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_subnet6: Option<Subnet6>,
    /// Bytes; that of the host's way out where nothing is said.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Nothing leads out of it or into it.
    #[serde(default)]
    pub internal: bool,
    /// Containers reach each other, not only by links.
    #[serde(default = "yes")]
    pub icc: bool,
    /// What leaves has the host's address.
    #[serde(default = "yes")]
    pub masquerade: bool,
    /// Ports are published at this address of the host where none is given.
    #[serde(default)]
    pub host_address: Option<IpAddr>,
    /// The user keeps the rules himself: there are none of ours.
    #[serde(default)]
    pub without_rules: bool,
    /// Containers that ask for it have the loopback alone.
    #[serde(default)]
    pub is_disabled: bool,
    /// What the default network was asked to be.
    #[serde(default)]
    pub settings: Settings,
    /// `bridge`, `private`, `vepa`, `passthru` for macvlan; `l2`, `l3`, `l3s` for ipvlan.
    #[serde(default)]
    pub mode: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// As the user wrote them.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

impl Definition {
    /// A network with nothing said about it.
    pub fn new(name: &str, random: [u8; 32]) -> Definition {
        Definition {
            name: name.to_string(),
            id: Digest::from_bytes(random).hex(),
            created: Timestamp::now(),
            driver: Driver::Bridge,
            link: String::new(),
            is_foreign: false,
            subnet: None,
            is_fixed: false,
            gateway: None,
            pool: None,
            reserved: BTreeMap::new(),
            is_attachable: false,
            subnet6: None,
            former_subnet6: None,
            mtu: None,
            internal: false,
            icc: true,
            masquerade: true,
            host_address: None,
            without_rules: false,
            is_disabled: false,
            settings: Settings::default(),
            mode: String::new(),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    /// Containers on it know each other by name.
    pub fn has_names(&self) -> bool {
        self.name != DEFAULT
    }

    /// The name that was asked for its bridge, if any.
    pub fn asked_link(&self) -> String {
        self.options.get("com.docker.network.bridge.name").cloned().unwrap_or_default()
    }

    /// Containers get IPv6 addresses too: of a range that was given, else of the one it has, else
    /// of a new one.
    pub fn enable_ipv6(&mut self, range: Option<Subnet6>) -> Result<()> {
        let chosen = match range.or(self.subnet6) {
            Some(range) => range,
            None => Subnet6::unique(random::bytes().on("read", "random bytes")?),
        };
        if let Some(subnet) = self.subnet.filter(|subnet| !chosen.fits(subnet)) {
            let text = format!("the range {chosen} has fewer addresses than {subnet}");
            return Err(Error::invalid(text).hint("give one with a prefix of 64"));
        }
        if !Path::new("/proc/sys/net/ipv6").exists() {
            return Err(Error::conflict("the kernel has no IPv6"));
        }
        self.subnet6 = Some(chosen);
        Ok(())
    }

    /// All addresses of who has this one.
    pub fn addresses(&self, address: Ipv4Addr) -> impl Iterator<Item = IpAddr> + use<> {
        let twin = |(range, range6): (Subnet, Subnet6)| range6.twin(&range, address).into();
        let twin = self.subnet.zip(self.subnet6).map(twin);
        [Some(address.into()), twin].into_iter().flatten()
    }

    pub fn policy(&self) -> Policy {
        Policy { icc: self.icc, masquerade: self.masquerade, internal: self.internal }
    }

    /// What links upon the host's are like.
    pub fn vlan_kind(&self) -> Result<VlanKind> {
        let (kind, modes) = match self.driver {
            Driver::Ipvlan => (VlanKind::ipvlan(&self.mode), "l2, l3 or l3s"),
            _ => (VlanKind::macvlan(&self.mode), "bridge, private, vepa or passthru"),
        };
        kind.ok_or_else(|| {
            Error::invalid(format!("{} has no mode \"{}\"", self.driver, self.mode))
                .hint(format!("choose {modes}"))
        })
    }

    /// The host has an address on it, and rules for it.
    pub fn is_bridge(&self) -> bool {
        self.driver == Driver::Bridge
    }
}

/// How containers are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Bridge,
    /// Links of their own on a link of the host, with stations of their own.
    Macvlan,
    /// The same, with the station of the host's link.
    Ipvlan,
}

const DRIVERS: [(Driver, &str); 3] =
    [(Driver::Bridge, "bridge"), (Driver::Macvlan, "macvlan"), (Driver::Ipvlan, "ipvlan")];

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let word = DRIVERS.iter().find(|(driver, _)| driver == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

impl FromStr for Driver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Driver> {
        let found = DRIVERS.iter().find(|(_, word)| *word == text).map(|(driver, _)| *driver);
        found.ok_or_else(|| {
            Error::invalid(format!("there is no network driver \"{text}\""))
                .hint("choose bridge, macvlan or ipvlan")
        })
    }
}

/// Words that mean something else where a network is named.
const RESERVED: [&str; 6] = [DEFAULT, "default", "host", "none", "pasta", "slirp4netns"];

/// Whether a network can have this name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 128 characters.
pub fn name_fits(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Checks the name of a link: it is what the kernel takes.
pub fn check_link_name(name: &str) -> Result<()> {
    let fits = (1..=15).contains(&name.len())
        && ![".", ".."].contains(&name)
        && name.bytes().all(|b| b.is_ascii_graphic() && !b"/:%".contains(&b));
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(format!("\"{name}\" is no name for a link"))
            .hint("use at most 15 letters, digits and signs but for '/', ':' and '%'")),
    }
}

/// Checks the name of a network that is to be made.
pub fn check_name(name: &str) -> Result<()> {
    if RESERVED.contains(&name) {
        let text = format!("a network cannot be called \"{name}\": the word has a meaning already");
        return Err(Error::invalid(text).hint("choose another name"));
    }
    match name_fits(name) {
        true => Ok(()),
        false => Err(Error::invalid(format!("\"{name}\" is no name for a network")).hint(
            "use at most 128 letters, digits, '_', '.' and '-', beginning with a letter or digit",
        )),
    }
}
