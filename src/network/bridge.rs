//! The bridge that joins containers with their host.
//!
//! A bridge is ours by its MAC address, which is made from the path of the network's directory: so
//! two roots on one host each have a bridge (`coracle0`, `coracle1`, ...), and a link that merely
//! has the name is left alone.

use super::attachment::{Parent, Way};
use super::definition::{DEFAULT, Definition};
use super::networks::Networks;
use super::rules::Policy;
use super::{NetworkLock, Subnet, Subnet6, files, subnet, sysctl};
use crate::error::{Context, Error, Result};
use crate::sys::netlink::{self, EEXIST, EOPNOTSUPP, Link, Mac, Socket};
use crate::types::Digest;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;

const NAME: &str = "coracle";

/// The first two bytes of the MAC address of every bridge of ours (locally administered).
const OURS: [u8; 2] = [0x02, 0xc0];

/// A bridge as it is in the kernel, and what is to hold on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    pub index: u32,
    pub subnet: Subnet,
    pub subnet6: Option<Subnet6>,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// Bytes.
    pub mtu: u32,
    pub policy: Policy,
    /// The user keeps the rules himself.
    pub without_rules: bool,
}

impl Bridge {
    /// What tells the ports of containers from other ports, and those of one bridge from those of
    /// another.
    pub(super) fn port_group(&self) -> u32 {
        self.subnet.address().into()
    }

    /// The IPv6 address of who has this one.
    pub(super) fn twin(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        self.subnet6.map(|range| range.twin(&self.subnet, address))
    }
}

impl Networks {
    /// The bridge of a network, made where it is missing.
    ///
    /// Errors: the range clashes with a route of the host, or the name with a link.
    pub(super) fn ensure_bridge(
        &self,
        lock: &NetworkLock,
        definition: Definition,
    ) -> Result<Bridge> {
        let mut socket = Socket::open()?;
        if definition.is_foreign {
            let bridge = foreign_bridge(&mut socket, &definition)?;
            return self.remember(lock, definition, &bridge).map(|()| bridge);
        }
        if let (name, Some(subnet)) = (&definition.link, definition.subnet)
            && let Some(link) = socket.link_by_name(name)?.filter(|_| !name.is_empty())
            && self.is_ours(&definition, &link)
        {
            return complete(&mut socket, &definition, subnet, &link);
        }
        let definition = match self.may_move(&mut socket, &definition)? {
            true => Definition { link: definition.asked_link(), subnet: None, ..definition },
            false => definition,
        };
        self.make(lock, &mut socket, definition).doing(|| "make the bridge".into())
    }

    /// The range of the user's bridge, for who looks at the record.
    fn remember(&self, lock: &NetworkLock, known: Definition, bridge: &Bridge) -> Result<()> {
        let subnet = Some(bridge.subnet);
        match known.subnet == subnet {
            true => Ok(()),
            false => self.write(lock, &Definition { subnet, ..known }),
        }
    }

    /// Whether a chosen name and range can be given up: the host uses them for something else
    /// now, and no container has an address there.
    fn may_move(&self, socket: &mut Socket, definition: &Definition) -> Result<bool> {
        let Some(subnet) = definition.subnet.filter(|_| !definition.is_fixed) else {
            return Ok(false);
        };
        if !self.holders(&definition.name)?.is_empty() {
            return Ok(false);
        }
        let is_taken = socket.link_by_name(&definition.link)?.is_some()
            || taken(socket)?.iter().any(|route| route.overlaps(&subnet));
        Ok(is_taken)
    }

    /// The bridge, where it exists.
    pub(super) fn bridge_of(&self, definition: &Definition) -> Result<Option<Bridge>> {
        let Some(subnet) = definition.subnet.filter(|_| definition.is_bridge()) else {
            return Ok(None);
        };
        let link = Socket::open()?.link_by_name(&definition.link)?;
        let link = link.filter(|link| definition.is_foreign || self.is_ours(definition, link));
        Ok(link.map(|link| bridge(definition, subnet, &link)))
    }

    /// The link of the host that a network without a bridge lies upon.
    pub(super) fn ensure_parent(&self, lock: &NetworkLock, definition: &Definition) -> Result<Way> {
        let mut socket = Socket::open()?;
        let name = &definition.link;
        let Some(link) = socket.link_by_name(name)? else {
            let text =
                format!("the network {} lies upon {name}, which does not exist", definition.name);
            return Err(Error::not_found(text).hint("bring that link up, or make the network anew"));
        };
        let subnet = match definition.subnet {
            Some(subnet) => subnet,
            None => {
                let subnet = Subnet::choose(&self.spoken_for(&mut socket, definition)?)?;
                let subnet_known = Definition { subnet: Some(subnet), ..definition.clone() };
                self.write(lock, &subnet_known)?;
                subnet
            }
        };
        let kind = definition.vlan_kind()?;
        let Definition { gateway, mtu, subnet6, .. } = *definition;
        let (name, index) = (link.name, link.index);
        Ok(Way::Upon(Parent { name, index, subnet, subnet6, gateway, kind, mtu }))
    }

    /// The station address of a network's bridge.
    fn mac(&self, name: &str) -> Mac {
        let digest = Digest::of(self.dir(name).as_os_str().as_bytes()).hex();
        let hash = u32::from_str_radix(digest.get(..8).unwrap_or_default(), 16).unwrap_or(0);
        let [a, b, c, d] = hash.to_be_bytes();
        [OURS[0], OURS[1], a, b, c, d]
    }

    pub(super) fn is_ours(&self, definition: &Definition, link: &Link) -> bool {
        link.kind == "bridge" && link.mac == Some(self.mac(&definition.name))
    }

    /// The ranges that a new network must stay clear of: those of other networks and, as what
    /// lies upon a link of the host is where that leads, for a bridge those of the host.
    pub fn spoken_for(&self, socket: &mut Socket, wanted: &Definition) -> Result<Vec<Subnet>> {
        let mut ranges = match wanted.is_bridge() || wanted.subnet.is_none() {
            true => taken(socket)?,
            false => Vec::new(),
        };
        let others = self.all()?.into_iter().filter(|other| other.name != wanted.name);
        ranges.extend(others.filter_map(|other| other.subnet));
        Ok(ranges)
    }

    /// Refuses an IPv6 range that is in use.
    pub fn check_free6(&self, socket: &mut Socket, wanted: &Definition) -> Result<()> {
        let Some(range) = wanted.subnet6 else { return Ok(()) };
        let mut ranges = if wanted.is_bridge() { taken6(socket)? } else { Vec::new() };
        let others = self.all()?.into_iter().filter(|other| other.name != wanted.name);
        ranges.extend(others.filter_map(|other| other.subnet6));
        match ranges.iter().find(|other| other.overlaps(&range)) {
            Some(other) => {
                let text = format!("the range {range} overlaps {other}, which is in use");
                Err(Error::conflict(text).hint("choose another range: --subnet fd00:1:2:3::/64"))
            }
            None => Ok(()),
        }
    }

    /// Fills in a name and a range that are free, or those of a bridge of ours whose record is
    /// lost.
    fn choose(&self, socket: &mut Socket, mut wanted: Definition) -> Result<Definition> {
        let links = socket.links()?;
        let addresses = socket.addresses()?;
        for link in links.iter().filter(|link| self.is_ours(&wanted, link)) {
            let at = addresses.iter().find(|a| a.index == link.index);
            if let Some(subnet) = at.and_then(|a| Subnet::of(a.address, a.prefix))
                && wanted.subnet.is_none_or(|wanted| wanted == subnet)
            {
                return Ok(Definition { link: link.name.clone(), subnet: Some(subnet), ..wanted });
            }
        }
        if wanted.link.is_empty() {
            wanted.link = match wanted.name.as_str() {
                DEFAULT => self.choose_name(&wanted, &links)?,
                _ => format!("br-{}", &wanted.id[..12]),
            };
        }
        if wanted.subnet.is_none() {
            wanted.subnet = Some(Subnet::choose(&self.spoken_for(socket, &wanted)?)?);
        }
        Ok(wanted)
    }

    fn choose_name(&self, wanted: &Definition, links: &[Link]) -> Result<String> {
        let mut number = 0;
        loop {
            let name = format!("{NAME}{number}");
            match links.iter().find(|link| link.name == name) {
                Some(link) if self.is_ours(wanted, link) => return Ok(name),
                Some(link) if is_of_a_root(link) => number += 1,
                Some(_) => return Err(foreign(&name)),
                None => return Ok(name),
            }
        }
    }

    /// Makes the bridge as it is known from before, or a new one. Locks are per root, so another
    /// root may choose the same name or range at the same moment: the name is the kernel's to
    /// decide, and of two equal ranges that of the later link yields.
    fn make(&self, lock: &NetworkLock, socket: &mut Socket, known: Definition) -> Result<Bridge> {
        let is_settled = !known.link.is_empty() && known.subnet.is_some();
        for _ in 0..8 {
            if let Some(subnet) = known.subnet {
                let clash = |route: &Subnet| route.overlaps(&subnet);
                if let Some(route) = taken(socket)?.into_iter().find(clash) {
                    return Err(self.clash(&known, &subnet, &route));
                }
            }
            if let Some(range) = known.subnet6
                && let Some(route) = taken6(socket)?.into_iter().find(|r| r.overlaps(&range))
            {
                return Err(self.clash(&known, &range, &route));
            }
            let definition = match is_settled {
                true => known.clone(),
                false => {
                    let definition = self.choose(socket, known.clone())?;
                    self.write(lock, &definition)?;
                    definition
                }
            };
            let (name, mac) = (&definition.link, self.mac(&definition.name));
            let mtu = match definition.mtu {
                Some(mtu) => mtu,
                None => way_out_mtu(socket)?,
            };
            let created =
                socket.request("make link", name, &netlink::bridge_create(name, mac, mtu));
            let link = socket.link_by_name(name)?;
            let link = match (created, link) {
                (_, Some(link)) if self.is_ours(&definition, &link) => link,
                (Err(e), Some(_)) if e.errno() == Some(EEXIST) && !known.link.is_empty() => {
                    return Err(foreign(name));
                }
                (Err(e), _) if e.errno() == Some(EOPNOTSUPP) => {
                    return Err(e.hint("the kernel needs its modules bridge and veth"));
                }
                (Err(e), _) if e.errno() != Some(EEXIST) => return Err(e),
                _ => continue,
            };
            let subnet = definition.subnet.unwrap_or(subnet::ANY);
            let bridge = complete(socket, &definition, subnet, &link)?;
            if known.subnet.is_some() || !must_yield(socket, &bridge)? {
                return Ok(bridge);
            }
            let delete = netlink::link_delete(bridge.index);
            socket.request("remove link", &bridge.name, &delete)?;
        }
        Err(Error::conflict("other processes take every name and range that is chosen"))
    }

    fn clash(&self, definition: &Definition, subnet: &dyn Display, route: &dyn Display) -> Error {
        let Definition { name, link, .. } = definition;
        let problem = format!("the range {subnet} of {link} overlaps the host's route {route}");
        let error = Error::conflict(problem);
        match name == DEFAULT && !definition.is_fixed {
            true => error.hint(format!(
                "remove {} to have another range chosen, or run with --net=host",
                self.record(name).display()
            )),
            false => error.hint("remove that route, or make the network with another range"),
        }
    }
}

fn foreign(name: &str) -> Error {
    Error::conflict(format!("there is a link {name} that is not ours"))
        .hint(format!("rename it, or remove it with: ip link delete {name}"))
}

fn bridge(definition: &Definition, subnet: Subnet, link: &Link) -> Bridge {
    Bridge {
        name: link.name.clone(),
        index: link.index,
        subnet,
        subnet6: definition.subnet6,
        gateway: definition.gateway.unwrap_or(subnet.gateway()),
        mtu: definition.mtu.unwrap_or(link.mtu),
        policy: definition.policy(),
        without_rules: definition.without_rules,
    }
}

/// Gives a bridge that was just made, or that a crash left half made, its address, and has it be up.
fn complete(
    socket: &mut Socket,
    definition: &Definition,
    subnet: Subnet,
    link: &Link,
) -> Result<Bridge> {
    let bridge = bridge(definition, subnet, link);
    let has = |a: &netlink::Address| a.index == link.index && a.address == bridge.gateway;
    if !socket.addresses()?.iter().any(has) {
        let add = netlink::addr_add(link.index, bridge.gateway, subnet.prefix());
        match socket.request("add address", &bridge.gateway.to_string(), &add) {
            Err(e) if e.errno() == Some(EEXIST) => {}
            other => other?,
        }
    }
    if !link.up {
        // From its birth it would believe them.
        sysctl::ignore_routers_on(&link.name)?;
        socket.request("bring up", &link.name, &netlink::link_up(link.index))?;
    }
    if let (Some(range), Some(gateway)) = (bridge.subnet6, bridge.twin(bridge.gateway))
        && !socket.addresses6()?.contains(&(link.index, gateway))
    {
        sysctl::enable_ipv6_on(&link.name)?;
        let add = netlink::addr_add6(link.index, gateway, range.prefix());
        socket.request("add address", &gateway.to_string(), &add)?;
    }
    Ok(bridge)
}

/// Whether it is the bridge of a network of ours, of whichever root directory.
pub(super) fn is_of_a_root(link: &Link) -> bool {
    link.kind == "bridge" && link.mac.is_some_and(|mac| mac.starts_with(&OURS))
}

/// The user's own: what it is on is what containers are on.
fn foreign_bridge(socket: &mut Socket, definition: &Definition) -> Result<Bridge> {
    let name = &definition.link;
    let link = socket.link_by_name(name)?.filter(|link| link.kind == "bridge");
    let Some(link) = link else {
        return Err(Error::not_found(format!("there is no bridge {name}"))
            .hint(format!("make it with: ip link add {name} type bridge")));
    };
    let addresses = socket.addresses()?;
    let at = addresses.iter().find(|a| a.index == link.index);
    match at.and_then(|a| Some((a.address, Subnet::of(a.address, a.prefix)?))) {
        Some((gateway, subnet)) => {
            let known = definition.clone();
            // What its IPv6 addresses are for is not known.
            let definition = Definition { gateway: Some(gateway), subnet6: None, ..known };
            Ok(bridge(&definition, subnet, &link))
        }
        None => Err(Error::conflict(format!("the bridge {name} has no IPv4 address"))
            .hint(format!("give it one: ip addr add 10.9.0.1/24 dev {name}"))),
    }
}

/// Whether an older bridge has a part of our range.
fn must_yield(socket: &mut Socket, bridge: &Bridge) -> Result<bool> {
    let theirs = socket.addresses()?.into_iter().filter(|a| a.index < bridge.index);
    let mut ranges = theirs.filter_map(|a| Subnet::of(a.address, a.prefix));
    Ok(ranges.any(|range| range.overlaps(&bridge.subnet)))
}

/// The ranges that routes lead to and that hold the host's name servers. Default routes are left
/// out, and halves of one, as VPNs make them: nothing wider than a /8 is a network.
fn taken(socket: &mut Socket) -> Result<Vec<Subnet>> {
    let routes = socket.routes()?.into_iter().filter(|r| r.prefix >= 8);
    let mut ranges: Vec<Subnet> =
        routes.filter_map(|r| Subnet::of(r.destination, r.prefix)).collect();
    let (host, upstream) = files::read_resolv_conf()?;
    for server in files::servers(&host).chain(files::servers(&upstream)) {
        if let IpAddr::V4(server) = server {
            ranges.extend(Subnet::of(server, 32));
        }
    }
    Ok(ranges)
}

/// The same of IPv6, without name servers: those of a range that is chosen are nobody else's. Nothing
/// wider than a provider's /32 is a network: dn42 and VPNs lead fd00::/8 somewhere.
fn taken6(socket: &mut Socket) -> Result<Vec<Subnet6>> {
    let routes = socket.routes6()?.into_iter().filter(|r| r.prefix >= 32);
    Ok(routes.filter_map(|r| Subnet6::of(r.destination, r.prefix)).collect())
}

/// What fits through the link of the default route (Docker's `-mtu=0`), in bytes.
fn way_out_mtu(socket: &mut Socket) -> Result<u32> {
    const ETHERNET: u32 = 1500;
    let route = socket.routes()?.into_iter().find(|route| route.prefix == 0);
    let index = route.and_then(|route| route.index);
    let links = socket.links()?;
    let link = links.into_iter().find(|link| Some(link.index) == index);
    Ok(link.map_or(ETHERNET, |link| link.mtu).min(ETHERNET))
}

/// The station address that goes with an address: 02:42 and its bytes, as Docker has it. The same
/// address is always the same station.
pub fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}
