//! The bridge that joins containers with their host, and the pairs of links that lead to it.
//!
//! The bridge is ours by its MAC address, which is made from the root directory's path: so two
//! roots on one host each have a bridge (`coracle0`, `coracle1`, ...), and a link that merely has
//! the name is left alone.

use super::lease::Leases;
use super::rules::{Policy, Rules};
use super::{NetworkLock, Subnet, files, forwarding, subnet};
use crate::error::{Context, Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::netlink::nftables::Tables;
use crate::sys::netlink::{self, Link, Mac, Request, Socket, Veth};
use crate::types::{ContainerId, Digest, Pid, Port, Published};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const NAME: &str = "coracle";

/// The first two bytes of the MAC address of every bridge of ours (locally administered).
const OURS: [u8; 2] = [0x02, 0xc0];

/// The index of eth0 in a container. Above those of the fallback tunnels (tunl0, sit0, gre0, ...)
/// that some kernels put into every new namespace.
const ETH0_INDEX: u32 = 16;

/// Added to a process's number, the index of the port that leads to it: above all that the kernel
/// chooses by itself.
const PORT_INDEX: u32 = 1 << 24;

/// The networking of one root directory.
#[derive(Debug)]
pub struct Network {
    dir: PathBuf,
    run: PathBuf,
    mac: Mac,
    leases: Leases,
    /// Opened when first needed.
    tables: RefCell<Option<Tables>>,
}

/// `bridge.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Config {
    name: String,
    subnet: Subnet,
}

/// The bridge as it is in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    pub index: u32,
    pub subnet: Subnet,
    pub policy: Policy,
}

impl Bridge {
    /// What tells the ports of containers from other ports, and those of one bridge from those of
    /// another.
    pub(super) fn port_group(&self) -> u32 {
        self.subnet.address().into()
    }
}

impl Network {
    /// `dir` is `<root>/network`, `run` what does not survive a reboot; they need not exist.
    pub fn new(dir: &Path, run: &Path) -> Network {
        let digest = Digest::of(dir.as_os_str().as_bytes()).hex();
        let hash = u32::from_str_radix(digest.get(..8).unwrap_or_default(), 16).unwrap_or(0);
        let [a, b, c, d] = hash.to_be_bytes();
        Network {
            dir: dir.to_path_buf(),
            run: run.to_path_buf(),
            mac: [OURS[0], OURS[1], a, b, c, d],
            leases: Leases::new(dir.join("leases")),
            tables: RefCell::default(),
        }
    }

    /// The bridge, made where it is missing.
    ///
    /// Errors: the chosen range clashes with a route of the host, or the name with a link.
    pub fn ensure_bridge(&self, _: &NetworkLock) -> Result<Bridge> {
        let mut socket = Socket::open()?;
        let known = self.read_config()?;
        if let Some(config) = &known
            && let Some(link) = socket.link_by_name(&config.name)?
            && self.is_ours(&link)
        {
            return self.complete(&mut socket, config, &link);
        }
        let known = match known {
            Some(config) if self.may_move(&mut socket, &config)? => None,
            other => other,
        };
        self.make(&mut socket, known).doing(|| "make the bridge".into())
    }

    /// Whether a chosen name and range can be given up: the host uses them for something else
    /// now, and no container has an address there.
    fn may_move(&self, socket: &mut Socket, config: &Config) -> Result<bool> {
        if !self.leases.all()?.is_empty() {
            return Ok(false);
        }
        let is_taken = socket.link_by_name(&config.name)?.is_some()
            || taken(socket)?.iter().any(|route| route.overlaps(&config.subnet));
        Ok(is_taken)
    }

    /// The bridge, where it exists.
    pub fn bridge(&self) -> Result<Option<Bridge>> {
        let Some(config) = self.read_config()? else {
            return Ok(None);
        };
        let link = Socket::open()?.link_by_name(&config.name)?.filter(|link| self.is_ours(link));
        Ok(link.map(|link| Bridge {
            name: config.name,
            index: link.index,
            subnet: config.subnet,
            policy: Policy::default(),
        }))
    }

    /// An address for `id`: the one it still has, else `wanted` (say, its last one) where that is
    /// free, else the lowest free one.
    pub fn lease(
        &self,
        _: &NetworkLock,
        bridge: &Bridge,
        id: &ContainerId,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Attachment> {
        let address = self.leases.take(id, &bridge.subnet, wanted)?;
        let (id, bridge, mac) = (id.clone(), bridge.clone(), mac_of(address));
        Ok(Attachment { id, bridge, address, mac, publishes: false })
    }

    /// Opens the way of a container to the world, and of the world to what it publishes. Where the
    /// rules are missing, `running` tells what the others publish.
    pub fn publish(
        &self,
        _: &NetworkLock,
        attachment: &mut Attachment,
        ports: &[Published],
        running: impl FnOnce() -> Result<Vec<(Ipv4Addr, Vec<Published>)>>,
    ) -> Result<()> {
        attachment.publishes = !ports.is_empty();
        let bridge = &attachment.bridge;
        forwarding::enable(&self.run)?;
        forwarding::open_loopback(&bridge.name)?;
        self.with_rules(&bridge.name, |mut rules| {
            rules.publish(bridge, attachment.address, ports, running).map(drop)
        })
    }

    /// Opens ports of the container at `server` to the one at `client`, which are both on the
    /// bridge, where containers do not reach each other anyway. Closed when one of both is released.
    pub fn link(
        &self,
        _: &NetworkLock,
        bridge: &Bridge,
        client: Ipv4Addr,
        server: Ipv4Addr,
        ports: &[Port],
    ) -> Result<()> {
        self.with_rules(&bridge.name, |mut rules| rules.link(bridge, client, server, ports))
    }

    /// Closes the ways of `id` and frees its address; it need not have one. With the last one goes
    /// what was set up for all.
    pub fn release(&self, _: &NetworkLock, id: &ContainerId) -> Result<()> {
        let leases = self.leases.all()?;
        let (own, others): (Vec<_>, Vec<_>) =
            leases.into_iter().partition(|(_, holder)| holder == id.as_str());
        let Some(config) = self.read_config()?.filter(|_| !own.is_empty()) else {
            return self.leases.give_back(id);
        };
        self.with_rules(&config.name, |mut rules| match others.is_empty() {
            true => rules.remove(),
            false => own.iter().try_for_each(|(address, _)| rules.withdraw(*address)),
        })?;
        if others.is_empty() {
            forwarding::restore(&self.run, &config.name)?;
        }
        self.leases.give_back(id)
    }

    fn with_rules<T>(&self, name: &str, act: impl FnOnce(Rules) -> Result<T>) -> Result<T> {
        let mut tables = self.tables.borrow_mut();
        let tables = match &mut *tables {
            Some(tables) => tables,
            none => none.insert(Tables::open()?),
        };
        act(Rules { name, tables })
    }

    fn is_ours(&self, link: &Link) -> bool {
        link.kind == "bridge" && link.mac == Some(self.mac)
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("bridge.json")
    }

    fn read_config(&self) -> Result<Option<Config>> {
        let path = self.config_path();
        let text = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.on("read", &path)?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::damaged(format!("{}: {e}", path.display()))
                .hint("remove the file: another name and range are chosen")
        })
    }

    /// A name and a range that are free, or those of a bridge of ours whose record is lost.
    fn choose(&self, socket: &mut Socket) -> Result<Config> {
        let links = socket.links()?;
        let addresses = socket.addresses()?;
        for link in links.iter().filter(|link| self.is_ours(link)) {
            let at = addresses.iter().find(|a| a.index == link.index);
            if let Some(subnet) = at.and_then(|a| Subnet::of(a.address, a.prefix)) {
                return Ok(Config { name: link.name.clone(), subnet });
            }
        }
        let of_another_root = |link: &Link| {
            link.kind == "bridge" && link.mac.is_some_and(|mac| mac.starts_with(&OURS))
        };
        let mut number = 0;
        let name = loop {
            let name = format!("{NAME}{number}");
            match links.iter().find(|link| link.name == name) {
                Some(link) if self.is_ours(link) => break name,
                Some(link) if of_another_root(link) => number += 1,
                Some(_) => return Err(foreign(&name)),
                None => break name,
            }
        };
        Ok(Config { name, subnet: subnet::choose(&taken(socket)?)? })
    }

    /// Makes the bridge as it is `known` from before, or a new one. Locks are per root, so another
    /// root may choose the same name or range at the same moment: the name is the kernel's to
    /// decide, and of two equal ranges that of the later link yields.
    fn make(&self, socket: &mut Socket, known: Option<Config>) -> Result<Bridge> {
        for _ in 0..8 {
            let config = match &known {
                Some(config) => {
                    let clash = |route: &Subnet| route.overlaps(&config.subnet);
                    if let Some(route) = taken(socket)?.into_iter().find(clash) {
                        return Err(self.clash(config, &route));
                    }
                    config.clone()
                }
                None => {
                    let config = self.choose(socket)?;
                    self.write_config(&config)?;
                    config
                }
            };
            let create = netlink::bridge_create(&config.name, self.mac);
            let created = socket.request("make link", &config.name, &create);
            let link = socket.link_by_name(&config.name)?;
            let link = match (created, link) {
                (_, Some(link)) if self.is_ours(&link) => link,
                (Err(e), Some(_)) if e.errno() == Some(EEXIST) && known.is_some() => {
                    return Err(foreign(&config.name));
                }
                (Err(e), _) if e.errno() == Some(EOPNOTSUPP) => {
                    return Err(e.hint("the kernel needs its modules bridge and veth"));
                }
                (Err(e), _) if e.errno() != Some(EEXIST) => return Err(e),
                _ => continue,
            };
            let bridge = self.complete(socket, &config, &link)?;
            if known.is_some() || !self.must_yield(socket, &bridge)? {
                return Ok(bridge);
            }
            let delete = netlink::link_delete(bridge.index);
            socket.request("remove link", &bridge.name, &delete)?;
        }
        Err(Error::conflict("other processes take every name and range that is chosen"))
    }

    /// Whether an older bridge has a part of our range.
    fn must_yield(&self, socket: &mut Socket, bridge: &Bridge) -> Result<bool> {
        let theirs = socket.addresses()?.into_iter().filter(|a| a.index < bridge.index);
        let mut ranges = theirs.filter_map(|a| Subnet::of(a.address, a.prefix));
        Ok(ranges.any(|range| range.overlaps(&bridge.subnet)))
    }

    /// Gives the bridge what a crash may have kept from it: its address, and being up.
    fn complete(&self, socket: &mut Socket, config: &Config, link: &Link) -> Result<Bridge> {
        let gateway = config.subnet.gateway();
        let has = |a: &netlink::Address| a.index == link.index && a.address == gateway;
        if !socket.addresses()?.iter().any(has) {
            let add = netlink::addr_add(link.index, gateway, config.subnet.prefix());
            match socket.request("add address", &gateway.to_string(), &add) {
                Err(e) if e.errno() == Some(EEXIST) => {}
                other => other?,
            }
        }
        if !link.up {
            socket.request("bring up", &link.name, &netlink::link_up(link.index))?;
        }
        let (name, subnet) = (config.name.clone(), config.subnet);
        Ok(Bridge { name, index: link.index, subnet, policy: Policy::default() })
    }

    fn write_config(&self, config: &Config) -> Result<()> {
        fs::create_dir_all(&self.dir).on("make", &self.dir)?;
        let path = self.config_path();
        let mut text = serde_json::to_vec_pretty(config)
            .map_err(|e| Error::invalid(format!("write {}: {e}", path.display())))?;
        text.push(b'\n');
        atomic::replace(&path, &text, Durability::PowerLoss).on("write", &path)
    }

    fn clash(&self, config: &Config, route: &Subnet) -> Error {
        let Config { name, subnet } = config;
        let problem = format!("the range {subnet} of {name} overlaps the host's route {route}");
        Error::conflict(problem).hint(format!(
            "remove {} to have another range chosen, or run with --net=host",
            self.config_path().display()
        ))
    }
}

const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const EOPNOTSUPP: i32 = 95;

fn foreign(name: &str) -> Error {
    Error::conflict(format!("there is a link {name} that is not ours"))
        .hint(format!("rename it, or remove it with: ip link delete {name}"))
}

/// The ranges that routes lead to (default routes aside) and that hold the host's name servers.
fn taken(socket: &mut Socket) -> Result<Vec<Subnet>> {
    let routes = socket.routes()?.into_iter().filter(|r| r.prefix > 0);
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

/// The station address that goes with an address: 02:42 and its bytes, as Docker has it. The same
/// address is always the same station.
pub fn mac_of(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// A container's place on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    id: ContainerId,
    pub bridge: Bridge,
    pub address: Ipv4Addr,
    /// As it follows from the address, unless somebody changes it.
    pub mac: Mac,
    publishes: bool,
}

impl Attachment {
    pub fn gateway(&self) -> Ipv4Addr {
        self.bridge.subnet.gateway()
    }

    /// What the child sends in its own namespace, once `connect` is done.
    pub fn child_requests(&self) -> Vec<Request> {
        vec![
            netlink::link_up(netlink::LOOPBACK),
            netlink::link_up(ETH0_INDEX),
            netlink::addr_add(ETH0_INDEX, self.address, self.bridge.subnet.prefix()),
            netlink::route_default(self.gateway(), ETH0_INDEX),
        ]
    }

    /// Joins the network namespace of `process` with the bridge: eth0 there, a port here. Gives
    /// the port's name.
    pub fn connect(&self, process: Pid) -> Result<String> {
        let mut socket = Socket::open()?;
        // Not by the id alone: the pair of the container's last run may still be on its way out.
        let name = format!("veth{}{:04x}", &self.id.as_str()[..7], process.raw() & 0xffff);
        let index = PORT_INDEX + process.raw().unsigned_abs();
        let veth = Veth {
            name: &name,
            index,
            bridge: self.bridge.index,
            group: self.bridge.port_group(),
            peer_name: "eth0",
            peer_index: ETH0_INDEX,
            peer_mac: self.mac,
            peer_process: process,
        };
        let mut create = |index| {
            let request = netlink::veth_create(&Veth { index, ..veth });
            socket.request("make link", &name, &request).map(|()| index)
        };
        let port = match create(index) {
            // That of an earlier process of this number.
            Err(e) if e.errno() == Some(EBUSY) => create(index + PORT_INDEX)?,
            other => other?,
        };
        // For the same reason the bridge may know this station behind a dead port.
        let request = netlink::fdb_replace(port, self.mac);
        socket.request("tell the bridge about", &name, &request)?;
        if self.publishes {
            // Its own published port leads back through the port that the packet came by.
            socket.request("set hairpin mode of", &name, &netlink::hairpin(port, true))?;
        }
        Ok(name)
    }
}
