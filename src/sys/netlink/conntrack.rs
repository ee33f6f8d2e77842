//! ctnetlink: the connections that the kernel keeps in mind, and with them where it leads their
//! packets. Source: linux/netfilter/nfnetlink_conntrack.h.

use super::nftables::{Tables, general};
use super::{ACK, DUMP, Message, Refusal, attribute};
use crate::error::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;

const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;

const NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;

/// Both ends that a client does not choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Where the client sends to.
    pub destination: SocketAddr,
    /// Who answers.
    pub server: SocketAddr,
}

impl Tables {
    /// Has the kernel forget the UDP connections over a family (`NFPROTO_...`) that are `stale`, so
    /// that their next packet is led anew. With a `port` it looks at those to this port only. Nothing happens where the
    /// kernel cannot be asked: they end half a minute after their last packet.
    pub fn forget_udp(
        &mut self,
        family: u8,
        port: Option<u16>,
        stale: impl Fn(&Connection) -> bool,
    ) -> Result<()> {
        let mut requests = Vec::new();
        let request = dump(family, libc::IPPROTO_UDP as u8, port);
        let asked = self.socket.exchange(&request, &mut |_, body| {
            let attributes = body.get(4..).unwrap_or_default();
            if connection(attributes).is_some_and(|connection| stale(&connection)) {
                requests.push(delete(family, attributes));
            }
        });
        match asked {
            // A dump that was disturbed has told most.
            Err(refusal) if refusal.source.kind() == std::io::ErrorKind::Interrupted => {}
            Err(refusal) if is_not_there(&refusal) => return Ok(()),
            other => other.map_err(|refusal| refusal.error("read", "the table of connections"))?,
        }
        for request in requests {
            match self.socket.exchange(&request, &mut |_, _| {}) {
                Err(refusal) if refusal.source.raw_os_error() == Some(libc::ENOENT) => {}
                other => other.map_err(|refusal| refusal.error("forget", "a connection"))?,
            }
        }
        Ok(())
    }
}

/// The kernel has no ctnetlink.
fn is_not_there(refusal: &Refusal) -> bool {
    matches!(refusal.source.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

/// Asks for all of a protocol, or those to one port. Kernels before 5.8 tell all there are.
fn dump(family: u8, protocol: u8, port: Option<u16>) -> Vec<u8> {
    const FILTER_ORIGINAL: u16 = 1;
    const BY_PROTOCOL: u32 = 1 << 3;
    const BY_DESTINATION_PORT: u32 = 1 << 5;
    let mut message = message(family, GET, DUMP);
    message.nest(TUPLE_ORIGINAL, |tuple| {
        tuple.nest(TUPLE_PROTOCOL, |part| {
            part.put(NUMBER, &[protocol]);
            if let Some(port) = port {
                part.put(DESTINATION_PORT, &port.to_be_bytes());
            }
        });
    });
    let by = BY_PROTOCOL | port.map_or(0, |_| BY_DESTINATION_PORT);
    message.nest(FILTER, |filter| filter.put(FILTER_ORIGINAL, &by.to_ne_bytes()));
    message.finish()
}

/// Of this one and no later one.
fn delete(family: u8, connection: &[u8]) -> Vec<u8> {
    let mut message = message(family, DELETE, ACK);
    for kind in [TUPLE_ORIGINAL, ID, ZONE] {
        if let Some(data) = attribute(connection, kind) {
            message.nest_as(kind | nested(kind), |part| part.bytes.extend(data));
        }
    }
    message.finish()
}

fn nested(kind: u16) -> u16 {
    if kind == TUPLE_ORIGINAL { super::NLA_F_NESTED } else { 0 }
}

fn message(family: u8, kind: u16, flags: u16) -> Message {
    Message::new(SUBSYSTEM << 8 | kind, flags, &general(family, 0))
}

/// That of UDP.
fn connection(attributes: &[u8]) -> Option<Connection> {
    // Of either version of IP: the one that is there.
    const SOURCE: [u16; 2] = [1, 3];
    const DESTINATION: [u16; 2] = [2, 4];
    const SOURCE_PORT: u16 = 2;
    let end = |tuple, address: [u16; 2], port| {
        let tuple = attribute(attributes, tuple)?;
        let protocol = attribute(tuple, TUPLE_PROTOCOL)?;
        let is_udp = attribute(protocol, NUMBER)? == [libc::IPPROTO_UDP as u8];
        let ip = attribute(tuple, TUPLE_IP)?;
        let ip = match address.map(|kind| attribute(ip, kind)) {
            [Some(four), _] => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(four).ok()?)),
            [_, six] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(six?).ok()?)),
        };
        let port: [u8; 2] = attribute(protocol, port)?.try_into().ok()?;
        is_udp.then_some(SocketAddr::new(ip, u16::from_be_bytes(port)))
    };
    Some(Connection {
        destination: end(TUPLE_ORIGINAL, DESTINATION, DESTINATION_PORT)?,
        server: end(TUPLE_REPLY, SOURCE, SOURCE_PORT)?,
    })
}
