//! A container's place on a network, and the links that lead to it.

use super::bridge::Bridge;
use super::definition::Definition;
use super::networks::Request;
use super::{Subnet, Subnet6, mac_of, sysctl};
use crate::error::{Error, OsContext, Result};
use crate::sys::netlink::{
    self, EADDRINUSE, EBUSY, ENODEV, EOPNOTSUPP, Link, Mac, Socket, Veth, Vlan,
};
use crate::sys::netns;
use crate::types::{ContainerId, Pid};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The index of eth0 in a container, to which those of the others add up. Above those of the
/// fallback tunnels (tunl0, sit0, gre0, ...) that some kernels put into every new namespace.
const ETH0_INDEX: u32 = 16;

/// Where the indexes of the host's ends begin: above all that the kernel chooses by itself. Each
/// eth has two ranges as wide as there are process numbers, to which that of the container's first
/// process is added.
const PORTS: u32 = 1 << 24;
const PROCESSES: u32 = 1 << 22;

/// How long a namespace that nobody is in may take to go, and how often to look: it gives no word
/// of its end.
pub const GOING: Duration = Duration::from_secs(5);
pub const LOOK: Duration = Duration::from_millis(2);

/// How many networks a container can be on.
pub const NETWORKS_MAX: u8 = 64;

/// A container's place on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    id: ContainerId,
    pub network: String,
    pub network_id: String,
    pub way: Way,
    /// Its link is called `eth` and this.
    pub number: u8,
    pub address: Ipv4Addr,
    pub mac: Mac,
    /// The container's way out leads by it.
    pub leads_out: bool,
    pub(super) publishes: bool,
    /// What rules of others keep from the containers of the network: told to the first one.
    pub obstacles: Vec<String>,
}

/// What a container's link lies upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A pair of links, one end of which is a port of the bridge.
    Bridge(Bridge),
    /// A link upon one of the host.
    Upon(Parent),
}

/// A link of the host that those of containers lie upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub name: String,
    pub index: u32,
    pub subnet: Subnet,
    pub subnet6: Option<Subnet6>,
    pub gateway: Option<Ipv4Addr>,
    pub kind: netlink::VlanKind,
    pub mtu: Option<u32>,
}

impl Parent {
    /// Does what takes a station or an address upon the link, which may be those of the container's
    /// last run, whose namespace is still on its way out.
    fn when_free(&self, patience: Duration, mut act: impl FnMut() -> Result<()>) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let Err(error) = act() else { return Ok(()) };
            if is_taken(&error) && Instant::now() < until {
                sleep(LOOK);
                continue;
            }
            return Err(match error.errno() {
                Some(EADDRINUSE) => {
                    error.hint(format!("another link upon {} is the same station", self.name))
                }
                Some(EOPNOTSUPP) => {
                    error.hint(format!("the kernel needs its module {}", self.kind.name()))
                }
                _ => error,
            });
        }
    }
}

impl Way {
    pub fn subnet(&self) -> Subnet {
        match self {
            Way::Bridge(bridge) => bridge.subnet,
            Way::Upon(parent) => parent.subnet,
        }
    }

    pub fn subnet6(&self) -> Option<Subnet6> {
        match self {
            Way::Bridge(bridge) => bridge.subnet6,
            Way::Upon(parent) => parent.subnet6,
        }
    }

    pub fn gateway(&self) -> Option<Ipv4Addr> {
        match self {
            Way::Bridge(bridge) => Some(bridge.gateway),
            Way::Upon(parent) => parent.gateway,
        }
    }

    /// Upon a link of the host it is for routers there to tell.
    pub fn gateway6(&self) -> Option<Ipv6Addr> {
        match self {
            Way::Bridge(bridge) => bridge.twin(bridge.gateway),
            Way::Upon(_) => None,
        }
    }

    /// The link upon which no two may have the same address.
    fn knows_addresses(&self) -> Option<&Parent> {
        match self {
            Way::Upon(parent) => Some(parent).filter(|parent| parent.kind.knows_addresses()),
            Way::Bridge(_) => None,
        }
    }
}

impl Attachment {
    pub(super) fn new(
        id: &ContainerId,
        definition: &Definition,
        way: Way,
        address: Ipv4Addr,
        leads_out: bool,
        request: Request,
    ) -> Attachment {
        Attachment {
            id: id.clone(),
            network: definition.name.clone(),
            network_id: definition.id.clone(),
            way,
            number: request.number,
            address,
            mac: request.mac.unwrap_or(mac_of(address)),
            leads_out,
            publishes: false,
            obstacles: Vec::new(),
        }
    }

    /// Its bridge, where rules are to be.
    pub(super) fn ruled(&self) -> Option<&Bridge> {
        match &self.way {
            Way::Bridge(bridge) => Some(bridge).filter(|bridge| !bridge.without_rules),
            Way::Upon(_) => None,
        }
    }

    /// The link of the host that its own lies upon.
    pub fn upon(&self) -> &str {
        match &self.way {
            Way::Bridge(bridge) => &bridge.name,
            Way::Upon(parent) => &parent.name,
        }
    }

    pub fn prefix(&self) -> u8 {
        self.way.subnet().prefix()
    }

    /// The way out, where it leads through this network.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.way.gateway().filter(|_| self.leads_out)
    }

    pub fn address6(&self) -> Option<Ipv6Addr> {
        self.way.subnet6().map(|range| range.twin(&self.way.subnet(), self.address))
    }

    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [Some(IpAddr::V4(self.address)), self.address6().map(IpAddr::V6)].into_iter().flatten()
    }

    pub fn link_name(&self) -> String {
        format!("eth{}", self.number)
    }

    fn link_index(&self) -> u32 {
        ETH0_INDEX + u32::from(self.number)
    }

    /// What is to be asked for in the container's own namespace, once `connect` is done.
    pub fn requests(&self) -> Vec<netlink::Request> {
        let index = self.link_index();
        let mut requests = vec![netlink::link_up(index)];
        if self.way.knows_addresses().is_none() {
            requests.extend(self.address_requests().into_iter().map(|(_, request)| request));
        }
        requests.extend(self.routes());
        requests
    }

    fn address_requests(&self) -> Vec<(IpAddr, netlink::Request)> {
        let index = self.link_index();
        let add = netlink::addr_add(index, self.address, self.prefix());
        let add6 = self.address6().zip(self.way.subnet6()).map(|(address, range)| {
            (address.into(), netlink::addr_add6(index, address, range.prefix()))
        });
        [Some((self.address.into(), add)), add6].into_iter().flatten().collect()
    }

    /// The ways out, where they lead through this network.
    pub fn routes(&self) -> Vec<netlink::Request> {
        let gateway6 = self.way.gateway6().filter(|_| self.leads_out);
        let gateways = [self.gateway().map(IpAddr::V4), gateway6.map(IpAddr::V6)];
        let route = |gateway| netlink::route_default(gateway, self.link_index());
        gateways.into_iter().flatten().map(route).collect()
    }

    /// Gives a network namespace its link. It was made for `process`. Waits for as long as
    /// `patience` where the address is still that of a namespace on its way out.
    pub fn connect(&self, process: Pid, namespace: BorrowedFd, patience: Duration) -> Result<()> {
        let mut socket = Socket::open()?;
        match &self.way {
            Way::Bridge(bridge) => self.connect_port(&mut socket, bridge, process, namespace)?,
            Way::Upon(parent) => {
                parent.when_free(patience, || self.connect_upon(&mut socket, parent, namespace))?
            }
        }
        let prepared = netns::within(namespace, || self.prepare(patience));
        prepared.on("enter", "the container's network")?
    }

    /// What is to be done inside before the link is up, and all that is asked for there.
    fn prepare(&self, patience: Duration) -> Result<()> {
        let link = self.link_name();
        match (&self.way, self.way.subnet6()) {
            (_, None) => sysctl::disable_ipv6_on(&link)?,
            (Way::Bridge(_), Some(_)) => {
                sysctl::enable_ipv6_on(&link)?;
                sysctl::ignore_routers_on(&link)?;
            }
            (Way::Upon(_), Some(_)) => sysctl::enable_ipv6_on(&link)?,
        }
        let Way::Upon(parent) = &self.way else { return Ok(()) };
        let mut socket = Socket::open()?;
        let up = netlink::link_up(self.link_index());
        parent.when_free(patience, || socket.request("bring up", &link, &up))?;
        let addresses = match parent.kind.knows_addresses() {
            true => self.address_requests(),
            false => Vec::new(),
        };
        addresses.iter().try_for_each(|(address, add)| {
            parent.when_free(patience, || socket.request("add address", &address.to_string(), add))
        })
    }

    fn connect_upon(
        &self,
        socket: &mut Socket,
        parent: &Parent,
        namespace: BorrowedFd,
    ) -> Result<()> {
        let name = self.link_name();
        let create = netlink::vlan_create(&Vlan {
            name: &name,
            index: self.link_index(),
            parent: parent.index,
            kind: parent.kind,
            mac: self.mac,
            mtu: parent.mtu,
            namespace,
        });
        socket.request("make link", &name, &create)
    }

    fn connect_port(
        &self,
        socket: &mut Socket,
        bridge: &Bridge,
        process: Pid,
        namespace: BorrowedFd,
    ) -> Result<()> {
        let name = port_name(&self.id, self.number, process);
        let index = PORTS + 2 * PROCESSES * u32::from(self.number) + process.raw().unsigned_abs();
        let peer_name = self.link_name();
        let veth = Veth {
            name: &name,
            index,
            bridge: bridge.index,
            group: bridge.port_group(),
            peer_name: &peer_name,
            peer_index: self.link_index(),
            peer_mac: self.mac,
            peer_namespace: namespace,
            mtu: bridge.mtu,
        };
        let mut create = |index| {
            let request = netlink::veth_create(&Veth { index, ..veth });
            socket.request("make link", &name, &request).map(|()| index)
        };
        let port = match create(index) {
            // That of an earlier process of this number.
            Err(e) if e.errno() == Some(EBUSY) => create(index + PROCESSES)?,
            other => other?,
        };
        // For the same reason the bridge may know this station behind a dead port.
        let request = netlink::fdb_replace(port, self.mac);
        socket.request("tell the bridge about", &name, &request)?;
        if self.publishes {
            // Its own published port leads back through the port that the packet came by.
            socket.request("set hairpin mode of", &name, &netlink::hairpin(port, true))?;
        }
        Ok(())
    }

    /// Has ports that are published from now on lead back to the container itself too: `connect`
    /// did so for those of before.
    pub fn turn_back(&self, process: Pid) -> Result<()> {
        let mut socket = Socket::open()?;
        let name = port_name(&self.id, self.number, process);
        match socket.link_by_name(&name)?.filter(|_| self.publishes) {
            Some(link) => {
                let on = netlink::hairpin(link.index, true);
                socket.request("set hairpin mode of", &name, &on)
            }
            None => Ok(()),
        }
    }
}

/// The host's end of a pair. Not named by the container alone: the pair of its last run may still
/// be on its way out.
fn port_name(id: &ContainerId, number: u8, process: Pid) -> String {
    let process = process.raw() & 0xffff;
    match number {
        0 => format!("veth{}{process:04x}", &id.as_str()[..7]),
        eth => format!("veth{}{process:04x}{eth:02x}", &id.as_str()[..5]),
    }
}

/// Takes away the link of this number that a namespace made for `process` has, where it is there,
/// whatever it is called by now. Takes the kernel 15 to 110 ms: not under a lock.
pub fn disconnect(id: &ContainerId, number: u8, process: Pid, namespace: BorrowedFd) -> Result<()> {
    let mut socket = Socket::open()?;
    if let Some(port) = socket.link_by_name(&port_name(id, number, process))? {
        return remove(&mut socket, &port);
    }
    strip(&[number], namespace)
}

/// Takes away what a namespace has of links of these numbers that lie upon those of the host: they
/// have no end outside. The other end of a pair goes with the host's.
pub fn strip(numbers: &[u8], namespace: BorrowedFd) -> Result<()> {
    let inside = || {
        let mut socket = Socket::open()?;
        numbers.iter().try_for_each(|number| {
            let link = socket.link_by_index(ETH0_INDEX + u32::from(*number))?;
            let link = link.filter(|link| matches!(link.kind.as_str(), "macvlan" | "ipvlan"));
            link.map_or(Ok(()), |link| remove(&mut socket, &link))
        })
    };
    netns::within(namespace, inside).on("enter", "the container's network")?
}

/// Takes away the pairs of links that lead to the namespace made for `process`, which may outlive
/// it.
pub fn unplug(id: &ContainerId, process: Pid) -> Result<()> {
    let mut socket = Socket::open()?;
    let names: Vec<_> = (0..NETWORKS_MAX).map(|number| port_name(id, number, process)).collect();
    for link in socket.links()?.into_iter().filter(|link| names.contains(&link.name)) {
        remove(&mut socket, &link)?;
    }
    Ok(())
}

/// Removes a link that may be just going.
pub(super) fn remove(socket: &mut Socket, link: &Link) -> Result<()> {
    match socket.request("remove link", &link.name, &netlink::link_delete(link.index)) {
        Err(e) if e.errno() == Some(ENODEV) => Ok(()),
        other => other,
    }
}

/// Whether a link was refused because another one is the same station, or has its address.
pub fn is_taken(error: &Error) -> bool {
    error.errno() == Some(EADDRINUSE)
}
