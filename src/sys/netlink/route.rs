//! rtnetlink: links, addresses, routes. Source: rtnetlink(7), linux/if_link.h,
//! linux/if_bridge.h.

use super::{ACK, CREATE, DUMP, Message, REPLACE, Request, Socket};
use super::{attribute, text, u32_at};
use crate::error::{Error, Result};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

pub type Mac = [u8; 6];

/// The index of `lo` in every network namespace.
pub const LOOPBACK: u32 = 1;

const UP: u32 = libc::IFF_UP as u32;
const DOWN: u32 = 0;

// linux/if_link.h, linux/veth.h, linux/neighbour.h
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const NDA_LLADDR: u16 = 2;
const NTF_MASTER: u8 = 4;
const NUD_NOARP: u16 = 0x40;

pub fn link_up(index: u32) -> Request {
    Message::new(libc::RTM_NEWLINK, ACK, &link_header(0, index, UP)).finish()
}

pub fn link_delete(index: u32) -> Request {
    Message::new(libc::RTM_DELLINK, ACK, &link_header(0, index, 0)).finish()
}

pub fn addr_add(index: u32, address: Ipv4Addr, prefix: u8) -> Request {
    // struct ifaddrmsg: family, prefix, flags, scope, index.
    let mut header = vec![libc::AF_INET as u8, prefix, 0, 0];
    header.extend(index.to_ne_bytes());
    let broadcast = u32::from(address) | u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE, &header);
    message.put(libc::IFA_LOCAL, &address.octets());
    message.put(libc::IFA_ADDRESS, &address.octets());
    message.put(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
    message.finish()
}

/// Usable at once: nobody is asked whether he has it too.
pub fn addr_add6(index: u32, address: Ipv6Addr, prefix: u8) -> Request {
    let mut header = vec![libc::AF_INET6 as u8, prefix, libc::IFA_F_NODAD as u8, 0];
    header.extend(index.to_ne_bytes());
    let mut message = Message::new(libc::RTM_NEWADDR, CREATE, &header);
    message.put(libc::IFA_LOCAL, &address.octets());
    message.put(libc::IFA_ADDRESS, &address.octets());
    message.finish()
}

pub fn route_default(gateway: IpAddr, index: u32) -> Request {
    // struct rtmsg: family, the lengths of destination and source, tos, table, protocol, scope,
    // type, flags.
    let (family, gateway) = match gateway {
        IpAddr::V4(gateway) => (libc::AF_INET, gateway.octets().to_vec()),
        IpAddr::V6(gateway) => (libc::AF_INET6, gateway.octets().to_vec()),
    };
    let mut header = vec![family as u8, 0, 0, 0];
    header.extend([libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, libc::RT_SCOPE_UNIVERSE]);
    header.extend([libc::RTN_UNICAST, 0, 0, 0, 0]);
    let mut message = Message::new(libc::RTM_NEWROUTE, CREATE, &header);
    message.put(libc::RTA_GATEWAY, &gateway);
    message.put(libc::RTA_OIF, &index.to_ne_bytes());
    message.finish()
}

/// A bridge, down. With an address of its own it does not take over that of a port, and with an
/// MTU (in bytes) not the least one of its ports.
pub fn bridge_create(name: &str, mac: Mac, mtu: u32) -> Request {
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE, &link_header(0, 0, DOWN));
    message.put_name(libc::IFLA_IFNAME, name);
    message.put(libc::IFLA_ADDRESS, &mac);
    message.put(libc::IFLA_MTU, &mtu.to_ne_bytes());
    message.nest(libc::IFLA_LINKINFO, |info| info.put(IFLA_INFO_KIND, b"bridge"));
    message.finish()
}

/// A pair of links: the host's end a port of a bridge, the other one born in another network
/// namespace. The host's end is up; the peer is to be brought up there (veth cannot do it at
/// birth).
#[derive(Clone, Copy, Debug)]
pub struct Veth<'a> {
    pub name: &'a str,
    /// Must be free. (The kernel heeds `peer_index` only where this is given too.)
    pub index: u32,
    pub bridge: u32,
    /// Of the host's end: a number that rules look at.
    pub group: u32,
    pub peer_name: &'a str,
    pub peer_index: u32,
    pub peer_mac: Mac,
    pub peer_namespace: BorrowedFd<'a>,
    /// Of both ends, in bytes.
    pub mtu: u32,
}

pub fn veth_create(veth: &Veth) -> Request {
    let header = link_header(0, veth.index, UP);
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE, &header);
    message.put_name(libc::IFLA_IFNAME, veth.name);
    message.put(libc::IFLA_MTU, &veth.mtu.to_ne_bytes());
    message.put(libc::IFLA_MASTER, &veth.bridge.to_ne_bytes());
    message.put(libc::IFLA_GROUP, &veth.group.to_ne_bytes());
    message.nest(libc::IFLA_LINKINFO, |info| {
        info.put(IFLA_INFO_KIND, b"veth");
        info.nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.bytes.extend(link_header(0, veth.peer_index, 0));
                peer.put_name(libc::IFLA_IFNAME, veth.peer_name);
                peer.put(libc::IFLA_ADDRESS, &veth.peer_mac);
                peer.put(libc::IFLA_MTU, &veth.mtu.to_ne_bytes());
                peer.put(libc::IFLA_NET_NS_FD, &veth.peer_namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
    message.finish()
}

/// A link upon another one, born in another network namespace; to be brought up there.
#[derive(Clone, Copy, Debug)]
pub struct Vlan<'a> {
    pub name: &'a str,
    pub index: u32,
    /// The link that it lies upon, of the sender's namespace.
    pub parent: u32,
    pub kind: VlanKind,
    /// Not for ipvlan, which has its parent's.
    pub mac: Mac,
    /// Bytes; its parent's where nothing is said.
    pub mtu: Option<u32>,
    pub namespace: BorrowedFd<'a>,
}

/// What a link upon another one is, and how those upon the same link see each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VlanKind {
    /// `MACVLAN_MODE_...`
    Macvlan(u32),
    /// `IPVLAN_MODE_...`
    Ipvlan(u16),
}

// linux/if_link.h
const MACVLAN_MODES: [(&str, u32); 4] =
    [("private", 1), ("vepa", 2), ("bridge", 4), ("passthru", 8)];
const IPVLAN_MODES: [(&str, u16); 3] = [("l2", 0), ("l3", 1), ("l3s", 2)];

impl VlanKind {
    /// `None` where there is no such mode. Without one, stations reach each other.
    pub fn macvlan(mode: &str) -> Option<VlanKind> {
        let mode = if mode.is_empty() { "bridge" } else { mode };
        let found = MACVLAN_MODES.iter().find(|(word, _)| *word == mode);
        found.map(|(_, number)| VlanKind::Macvlan(*number))
    }

    /// `None` where there is no such mode. Without one it is `l2`.
    pub fn ipvlan(mode: &str) -> Option<VlanKind> {
        let mode = if mode.is_empty() { "l2" } else { mode };
        let found = IPVLAN_MODES.iter().find(|(word, _)| *word == mode);
        found.map(|(_, number)| VlanKind::Ipvlan(*number))
    }

    /// Whether no two links of the kind upon one link can have the same address.
    pub fn knows_addresses(self) -> bool {
        matches!(self, VlanKind::Ipvlan(_))
    }

    /// The kernel's word, which is its module's name too.
    pub fn name(self) -> &'static str {
        match self {
            VlanKind::Macvlan(_) => "macvlan",
            VlanKind::Ipvlan(_) => "ipvlan",
        }
    }
}

/// Makes the link, down: errors that come of its station come when it is brought up.
pub fn vlan_create(vlan: &Vlan) -> Request {
    const MODE: u16 = 1; // IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE
    let header = link_header(0, vlan.index, DOWN);
    let mut message = Message::new(libc::RTM_NEWLINK, CREATE, &header);
    message.put_name(libc::IFLA_IFNAME, vlan.name);
    message.put(libc::IFLA_LINK, &vlan.parent.to_ne_bytes());
    message.put(libc::IFLA_NET_NS_FD, &vlan.namespace.as_raw_fd().to_ne_bytes());
    if let Some(mtu) = vlan.mtu {
        message.put(libc::IFLA_MTU, &mtu.to_ne_bytes());
    }
    if let VlanKind::Macvlan(_) = vlan.kind {
        message.put(libc::IFLA_ADDRESS, &vlan.mac);
    }
    message.nest(libc::IFLA_LINKINFO, |info| {
        info.put(IFLA_INFO_KIND, vlan.kind.name().as_bytes());
        info.nest(IFLA_INFO_DATA, |data| match vlan.kind {
            VlanKind::Macvlan(mode) => data.put(MODE, &mode.to_ne_bytes()),
            VlanKind::Ipvlan(mode) => data.put(MODE, &mode.to_ne_bytes()),
        });
    });
    message.finish()
}

/// Has the bridge send what is for `mac` to this port, whatever it learned before, until it sees
/// the station elsewhere or the port goes. (A static entry: others are not taken before the
/// port's other end is up.)
pub fn fdb_replace(port: u32, mac: Mac) -> Request {
    // struct ndmsg: family, padding, index, state, flags, type.
    let mut header = vec![libc::AF_BRIDGE as u8, 0, 0, 0];
    header.extend(port.to_ne_bytes());
    header.extend(NUD_NOARP.to_ne_bytes());
    header.extend([NTF_MASTER, 0]);
    let mut message = Message::new(libc::RTM_NEWNEIGH, REPLACE, &header);
    message.put(NDA_LLADDR, &mac);
    message.finish()
}

/// Whether a bridge may send a frame back through the port that it came by.
pub fn hairpin(port: u32, on: bool) -> Request {
    let header = link_header(libc::AF_BRIDGE as u8, port, 0);
    let mut message = Message::new(libc::RTM_SETLINK, ACK, &header);
    message.nest(libc::IFLA_PROTINFO, |port| port.put(IFLA_BRPORT_MODE, &[u8::from(on)]));
    message.finish()
}

/// struct ifinfomsg: family, padding, type, index, flags, which flags to change.
fn link_header(family: u8, index: u32, up: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&up.to_ne_bytes());
    header[12..16].copy_from_slice(&up.to_ne_bytes());
    header
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<Mac>,
    /// `bridge`, `veth`; empty for hardware.
    pub kind: String,
    pub up: bool,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// Bytes.
    pub mtu: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub index: u32,
    pub address: Ipv4Addr,
    pub prefix: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub destination: Ipv4Addr,
    pub prefix: u8,
    /// The link it leads to; `None` for unreachable and several.
    pub index: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route6 {
    pub destination: Ipv6Addr,
    pub prefix: u8,
    pub index: Option<u32>,
    /// The host has it from a router.
    pub is_advertised: bool,
}

impl Socket {
    /// For the network configuration.
    pub fn open() -> Result<Socket> {
        Socket::new(libc::NETLINK_ROUTE).map_err(|e| Error::os("open", "an rtnetlink socket", e))
    }

    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>> {
        self.link(0, name)
    }

    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>> {
        self.link(index, "")
    }

    /// By its index, or where that is zero by its name.
    fn link(&mut self, index: u32, name: &str) -> Result<Option<Link>> {
        let flags = libc::NLM_F_REQUEST as u16;
        let mut message = Message::new(libc::RTM_GETLINK, flags, &link_header(0, index, 0));
        if index == 0 {
            message.put_name(libc::IFLA_IFNAME, name);
        }
        let mut link = None;
        let asked = self.exchange(&message.finish(), &mut |_, body| link = parse_link(body));
        match asked {
            Ok(()) => Ok(link),
            Err(refusal) if refusal.source.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(refusal) => Err(refusal.error("look up link", name)),
        }
    }

    pub fn links(&mut self) -> Result<Vec<Link>> {
        self.dump(libc::RTM_GETLINK, &link_header(0, 0, 0), parse_link)
    }

    /// The IPv4 addresses of all links.
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        self.dump(libc::RTM_GETADDR, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0], parse_address)
    }

    /// The IPv6 addresses of all links, with their indexes.
    pub fn addresses6(&mut self) -> Result<Vec<(u32, Ipv6Addr)>> {
        self.dump(libc::RTM_GETADDR, &[libc::AF_INET6 as u8, 0, 0, 0, 0, 0, 0, 0], |body| {
            let attributes = body.get(8..)?;
            let local = attribute(attributes, libc::IFA_LOCAL);
            let address = local.or_else(|| attribute(attributes, libc::IFA_ADDRESS))?;
            Some((u32_at(body, 4)?, ipv6(address)?))
        })
    }

    /// The IPv4 routes of all tables, those to local and broadcast addresses included.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let mut header = [0; 12];
        header[0] = libc::AF_INET as u8;
        self.dump(libc::RTM_GETROUTE, &header, parse_route)
    }

    /// The IPv6 routes of all tables, as `routes`.
    pub fn routes6(&mut self) -> Result<Vec<Route6>> {
        const BY_ADVERTISEMENT: u8 = 9; // RTPROT_RA
        let mut header = [0; 12];
        header[0] = libc::AF_INET6 as u8;
        self.dump(libc::RTM_GETROUTE, &header, |body| {
            let attributes = body.get(12..)?;
            Some(Route6 {
                destination: match attribute(attributes, libc::RTA_DST) {
                    Some(data) => ipv6(data)?,
                    None => Ipv6Addr::UNSPECIFIED,
                },
                prefix: *body.get(1)?,
                index: attribute(attributes, libc::RTA_OIF).and_then(|data| u32_at(data, 0)),
                is_advertised: *body.get(5)? == BY_ADVERTISEMENT,
            })
        })
    }

    fn dump<T>(
        &mut self,
        kind: u16,
        header: &[u8],
        parse: fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        let request = Message::new(kind, DUMP, header).finish();
        let mut all = Vec::new();
        // A dump disturbed by a change (EINTR) is taken anew.
        for _ in 0..10 {
            all.clear();
            match self.exchange(&request, &mut |_, body| all.extend(parse(body))) {
                Ok(()) => return Ok(all),
                Err(refusal) if refusal.source.kind() == io::ErrorKind::Interrupted => {}
                Err(refusal) => return Err(refusal.error("read", "the network configuration")),
            }
        }
        Ok(all)
    }
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let attributes = body.get(16..)?;
    let info = attribute(attributes, libc::IFLA_LINKINFO);
    let number = |kind| attribute(attributes, kind).and_then(|data| u32_at(data, 0));
    Some(Link {
        index: u32_at(body, 4)?,
        name: text(attribute(attributes, libc::IFLA_IFNAME)?),
        mac: attribute(attributes, libc::IFLA_ADDRESS).and_then(|data| data.try_into().ok()),
        kind: info.and_then(|info| attribute(info, IFLA_INFO_KIND)).map(text).unwrap_or_default(),
        up: u32_at(body, 8)? & UP != 0,
        master: number(libc::IFLA_MASTER),
        mtu: number(libc::IFLA_MTU).unwrap_or_default(),
    })
}

fn parse_address(body: &[u8]) -> Option<Address> {
    let attributes = body.get(8..)?;
    let local = attribute(attributes, libc::IFA_LOCAL);
    Some(Address {
        index: u32_at(body, 4)?,
        address: ipv4(local.or_else(|| attribute(attributes, libc::IFA_ADDRESS))?)?,
        prefix: *body.get(1)?,
    })
}

fn parse_route(body: &[u8]) -> Option<Route> {
    let attributes = body.get(12..)?;
    Some(Route {
        destination: match attribute(attributes, libc::RTA_DST) {
            Some(data) => ipv4(data)?,
            None => Ipv4Addr::UNSPECIFIED,
        },
        prefix: *body.get(1)?,
        index: attribute(attributes, libc::RTA_OIF).and_then(|data| u32_at(data, 0)),
    })
}

fn ipv6(data: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?))
}

fn ipv4(data: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_request_has_the_kernels_layout() {
        let request = addr_add(3, Ipv4Addr::new(172, 17, 0, 2), 16);
        let mut expected = vec![48, 0, 0, 0, 20, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([2, 16, 0, 0, 3, 0, 0, 0]);
        expected.extend([8, 0, 2, 0, 172, 17, 0, 2]);
        expected.extend([8, 0, 1, 0, 172, 17, 0, 2]);
        expected.extend([8, 0, 4, 0, 172, 17, 255, 255]);
        assert_eq!(request, expected);
    }

    #[test]
    fn nested_attributes_are_padded_and_counted() {
        let request = bridge_create("br0", [2, 0, 0, 0, 0, 1], 1500);
        assert_eq!(request.len(), 32 + 8 + 12 + 8 + 16);
        assert_eq!(u32_at(&request, 0), Some(request.len() as u32));
        let attributes = &request[32..];
        assert_eq!(attribute(attributes, libc::IFLA_IFNAME), Some(b"br0\0".as_slice()));
        assert_eq!(attribute(attributes, libc::IFLA_ADDRESS).unwrap().len(), 6);
        let info = attribute(attributes, libc::IFLA_LINKINFO).unwrap();
        assert_eq!(attribute(info, IFLA_INFO_KIND), Some(b"bridge".as_slice()));
        assert_eq!(attribute(info, IFLA_INFO_DATA), None);
    }

    #[test]
    fn damaged_answers_are_not_followed() {
        assert_eq!(attribute(&[0, 0, 9, 0, 0, 0, 0, 0], 5), None);
        assert_eq!(attribute(&[255, 0, 5, 0], 5), None);
        assert_eq!(parse_link(&[0; 15]), None);
    }

    #[test]
    fn loopback_is_there() {
        let mut socket = Socket::open().unwrap();
        let lo = socket.link_by_name("lo").unwrap().unwrap();
        assert_eq!(lo.index, LOOPBACK);
        assert!(socket.links().unwrap().contains(&lo));
        assert_eq!(socket.link_by_index(LOOPBACK).unwrap(), Some(lo));
        assert_eq!(socket.link_by_name("no-such-link").unwrap(), None);
        assert_eq!(socket.link_by_index(999_999).unwrap(), None);
    }

    #[test]
    fn the_kernels_words_are_passed_on() {
        let mut socket = Socket::open().unwrap();
        // A gateway that no route leads to: refused before anything changes.
        let request = route_default(Ipv4Addr::UNSPECIFIED.into(), 999_999);
        let error = socket.request("add", "route", &request).unwrap_err();
        assert!(error.to_string().starts_with("add route"), "{error}");
        assert!(error.errno().is_some());
    }
}
