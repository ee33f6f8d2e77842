//! `network create`.

use super::Engine;
use crate::error::{Error, OsContext, Result};
use crate::network::{self, Definition, Driver, Subnet, Subnet6};
use crate::sys::netlink::Socket;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is asked of a new network; what is not said is chosen.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    pub name: String,
    pub driver: Driver,
    pub subnet: Option<Subnet>,
    pub gateway: Option<Ipv4Addr>,
    /// The part of the range that containers get their addresses from.
    pub pool: Option<Subnet>,
    /// `--aux-address`: whose they are.
    pub reserved: BTreeMap<String, Ipv4Addr>,
    pub is_attachable: bool,
    pub ipv6: bool,
    /// Means `ipv6`.
    pub subnet6: Option<Subnet6>,
    pub gateway6: Option<Ipv6Addr>,
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
    /// `-o`: `parent`, `mtu`, Docker's long words for what a bridge is like.
    pub options: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a network; its links are made for its first container. Gives its id.
    pub fn create_network(&self, options: &NetworkOptions) -> Result<String> {
        self.refuse_rootless("network create")?;
        network::check_name(&options.name)?;
        let random = crate::sys::random::bytes().on("read", "random bytes")?;
        let mut definition = Definition::new(&options.name, random);
        define(&mut definition, options)?;
        self.begin()?;
        let lock = self.network_lock()?;
        let networks = self.networks();
        if networks.read(&definition.name)?.is_some() {
            return Err(Error::conflict(format!("there is a network {} already", definition.name)));
        }
        let mut socket = Socket::open()?;
        if !definition.is_bridge() && socket.link_by_name(&definition.link)?.is_none() {
            let text = format!("the parent {} does not exist", definition.link);
            return Err(Error::not_found(text).hint("see the links there are: ip link"));
        }
        if definition.is_bridge() && !definition.link.is_empty() {
            let mut others = networks.all()?.into_iter();
            let other = others.find(|other| other.link == definition.link).map(|other| other.name);
            let other = other.map(|name| format!("is that of network {name}"));
            let there = socket.link_by_name(&definition.link)?.map(|_| "is there already".into());
            if let Some(what) = other.or(there) {
                let text = format!("the link {} {what}", definition.link);
                return Err(Error::conflict(text).hint("choose another name for the bridge"));
            }
        }
        let taken = networks.spoken_for(&mut socket, &definition)?;
        match definition.subnet {
            Some(subnet) => {
                if let Some(other) = taken.iter().find(|other| other.overlaps(&subnet)) {
                    let text = format!("the range {subnet} overlaps {other}, which is in use");
                    return Err(Error::conflict(text)
                        .hint("choose another range, or leave out --subnet to have one chosen"));
                }
            }
            None => definition.subnet = Some(Subnet::choose(&taken)?),
        }
        if options.ipv6 || options.subnet6.is_some() {
            definition.enable_ipv6(options.subnet6)?;
            networks.check_free6(&mut socket, &definition)?;
        }
        if let Some(gateway) = options.gateway6 {
            check_gateway6(&definition, gateway)?;
        }
        networks.write(&lock, &definition)?;
        let id = definition.id.clone();
        self.tell_of_network("create", &definition.into());
        Ok(id)
    }
}

/// It cannot be chosen freely: a container may have the address.
fn check_gateway6(definition: &Definition, asked: Ipv6Addr) -> Result<()> {
    let (Some(subnet), Some(range)) = (definition.subnet, definition.subnet6) else {
        return Err(Error::invalid(format!("--gateway {asked}: the network has no IPv6"))
            .hint("give it a range: --subnet fd00:1:2:3::/64"));
    };
    let gateway = range.twin(&subnet, definition.gateway.unwrap_or(subnet.gateway()));
    match asked == gateway {
        true => Ok(()),
        false => Err(Error::invalid(format!("--gateway {asked}: in {range} it is {gateway}"))
            .hint("leave it out: the host has the same place in both ranges")),
    }
}

/// Reads what was asked for into a definition.
fn define(definition: &mut Definition, asked: &NetworkOptions) -> Result<()> {
    definition.driver = asked.driver;
    definition.internal = asked.internal;
    definition.labels = asked.labels.clone();
    definition.options = asked.options.clone();
    definition.is_attachable = asked.is_attachable;
    definition.subnet = asked.subnet;
    definition.is_fixed = asked.subnet.is_some();
    for (key, value) in &asked.options {
        set(definition, key, value)?;
    }
    if asked.driver != Driver::Bridge {
        definition.vlan_kind()?;
        if definition.link.is_empty() {
            return Err(Error::invalid(format!(
                "a {} network needs a link of the host to lie upon",
                asked.driver
            ))
            .hint("name it: -o parent=eth0"));
        }
    }
    let Some(subnet) = asked.subnet else {
        return match (asked.gateway, asked.pool, asked.reserved.is_empty()) {
            (None, None, true) => Ok(()),
            _ => {
                let text = "--gateway, --ip-range and --aux-address are parts of a range";
                Err(Error::invalid(text).hint("give the whole of it: --subnet"))
            }
        };
    };
    if let Some(gateway) = asked.gateway.filter(|gateway| !subnet.is_host(*gateway)) {
        return Err(Error::invalid(format!(
            "--gateway {gateway} is no address for a host of {subnet}"
        )));
    }
    if let Some(pool) = asked.pool.filter(|pool| !subnet.has(pool)) {
        return Err(Error::invalid(format!("--ip-range {pool} is not a part of {subnet}")));
    }
    let foreign = |(_, address): &(&String, &Ipv4Addr)| !subnet.is_host(**address);
    if let Some((name, address)) = asked.reserved.iter().find(foreign) {
        let text = format!("--aux-address {name}={address}: no address for a host of {subnet}");
        return Err(Error::invalid(text));
    }
    definition.reserved = asked.reserved.clone();
    definition.gateway = asked.gateway;
    definition.pool = asked.pool;
    if asked.driver != Driver::Bridge && !asked.internal {
        definition.gateway = Some(asked.gateway.unwrap_or(subnet.gateway()));
    }
    Ok(())
}

const BRIDGE: &str = "com.docker.network.bridge.";
const KEYS: [&str; 7] = [
    "parent",
    "mode",
    "mtu",
    "com.docker.network.bridge.name",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.bridge.host_binding_ipv4",
];

/// One `-o`, in Docker's words or Podman's.
fn set(definition: &mut Definition, key: &str, value: &str) -> Result<()> {
    let bad = |what: &str| Error::invalid(format!("-o {key}={value}: this is no {what}"));
    let switch = || match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad("true or false")),
    };
    let is_bridge = definition.is_bridge();
    match key.strip_prefix(BRIDGE) {
        Some("name") if is_bridge => {
            network::check_link_name(value)?;
            definition.link = value.to_string();
        }
        Some("enable_icc") if is_bridge => definition.icc = switch()?,
        Some("enable_ip_masquerade") if is_bridge => definition.masquerade = switch()?,
        Some("host_binding_ipv4") if is_bridge => {
            let address = value.parse().map_err(|_| bad("IPv4 address"))?;
            definition.host_address = Some(std::net::IpAddr::V4(address));
        }
        None if key == "mtu" || key == "com.docker.network.driver.mtu" => {
            let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
            definition.mtu = Some(mtu.ok_or_else(|| bad("MTU, 68 to 65535 bytes"))?);
        }
        None if key == "parent" && !is_bridge => {
            network::check_link_name(value)?;
            definition.link = value.to_string();
        }
        None if ["mode", "macvlan_mode", "ipvlan_mode"].contains(&key) && !is_bridge => {
            definition.mode = value.to_string();
        }
        _ => {
            let driver = definition.driver;
            let text = format!("-o {key}: a {driver} network has no such option");
            return Err(Error::invalid(text).hint(format!("there are {}", KEYS.join(", "))));
        }
    }
    Ok(())
}
