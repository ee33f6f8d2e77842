//! Ports of the host that a container has while it runs.
//!
//! Each is held by a socket that is bound and does not listen: nobody else can have the port, two
//! starters never choose the same, and it is free again with the last copy of the socket, whoever
//! dies. The container's monitor keeps them. What leads to the container is in `rules`.

use crate::sys::inet;
use crate::types::{PortBinding, PortRange, Protocol, Published};
use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};

/// Where ports are chosen from, as Docker did.
const DYNAMIC: [NonZeroU16; 2] = match (NonZeroU16::new(49153), NonZeroU16::new(65535)) {
    (Some(first), Some(last)) => [first, last],
    _ => [NonZeroU16::MAX; 2],
};

/// Where ports are published at that are to be found at every address. The second is for containers
/// that have an IPv6 address.
const EVERYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// Ports that are ours until this is dropped.
#[derive(Debug, Default)]
#[must_use]
pub struct Reservation {
    sockets: Vec<OwnedFd>,
    published: Vec<Published>,
}

/// What could not be had, and why.
#[derive(Debug)]
pub struct Refused {
    pub wanted: PortBinding,
    pub error: io::Error,
}

impl Reservation {
    /// All that is wanted, or nothing; for a container with an IPv6 address or without.
    pub fn new(wanted: &[PortBinding], has_ipv6: bool) -> Result<Reservation, Refused> {
        let mut order: Vec<PortBinding> = wanted.to_vec();
        // Who has least choice comes first.
        order.sort_by_key(|binding| binding.host.map_or(usize::MAX, PortRange::count));
        let mut reservation = Reservation::default();
        let [mut next, end] = DYNAMIC;
        for wanted in order {
            let range = wanted.host.unwrap_or(PortRange { first: next, last: end });
            let host = reservation.take(&wanted, range, has_ipv6);
            let host = host.map_err(|error| Refused { wanted, error })?;
            if wanted.host.is_none() {
                next = host;
            }
        }
        Ok(reservation)
    }

    /// What a container that runs has already. What cannot be held any more it keeps all the same:
    /// the way to it is there.
    pub fn again(published: &[Published]) -> Reservation {
        let mut reservation = Reservation::default();
        for one in published {
            let at = SocketAddr::new(one.address, one.host.get());
            let held = hold(&[at], one.port.protocol, true, &mut None).unwrap_or_default();
            reservation.sockets.extend(held.into_iter().filter_map(|(_, socket)| socket));
        }
        reservation.published = published.to_vec();
        reservation
    }

    /// Leaves the ports to the program that they are for.
    pub fn give_up(&mut self) {
        self.sockets.clear();
    }

    pub fn published(&self) -> &[Published] {
        &self.published
    }

    /// One of `hosts`, the lowest that is free at every address.
    fn take(
        &mut self,
        wanted: &PortBinding,
        hosts: PortRange,
        has_ipv6: bool,
    ) -> io::Result<NonZeroU16> {
        let everywhere = &EVERYWHERE[..=usize::from(has_ipv6)];
        let addresses = wanted.address.as_ref().map_or(everywhere, std::slice::from_ref);
        let over_ended = hosts.count() == 1;
        // One that could not be bound can be tried again with the next port.
        let mut spare = None;
        for host in hosts.numbers() {
            let at = |address: &IpAddr| SocketAddr::new(*address, host.get());
            let at: Vec<_> = addresses.iter().map(at).collect();
            match hold(&at, wanted.port.protocol, over_ended, &mut spare) {
                Err(e) if e.kind() == ErrorKind::AddrInUse => {}
                Err(e) => return Err(e),
                Ok(held) => {
                    for (address, socket) in held {
                        self.published.push(Published { address, host, port: wanted.port });
                        self.sockets.extend(socket);
                    }
                    return Ok(host);
                }
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }
}

/// Sockets at all of `addresses`. Without SCTP in the kernel there is nobody who could take the
/// port, and no socket.
fn hold(
    addresses: &[SocketAddr],
    protocol: Protocol,
    over_ended: bool,
    spare: &mut Option<OwnedFd>,
) -> io::Result<Vec<(IpAddr, Option<OwnedFd>)>> {
    let mut held = Vec::with_capacity(addresses.len());
    for at in addresses {
        let socket = match spare.take().map_or_else(|| inet::open(*at, protocol), Ok) {
            Err(e) if inet::lacks_protocol(&e) => {
                held.push((at.ip(), None));
                continue;
            }
            other => other?,
        };
        let bound = match inet::bind(socket.as_fd(), *at) {
            Err(e)
                if e.kind() == ErrorKind::AddrInUse && over_ended && protocol == Protocol::Tcp =>
            {
                inet::bind_over_ended(socket.as_fd(), *at)
            }
            other => other,
        };
        match bound {
            Ok(()) => held.push((at.ip(), Some(socket))),
            Err(e) => {
                *spare = Some(socket).filter(|_| held.is_empty());
                return Err(e);
            }
        }
    }
    Ok(held)
}

/// The program of the host that has the port of `wanted`: its name and pid, where /proc tells.
pub fn user_of(wanted: &PortBinding) -> Option<String> {
    let sockets = sockets_at(wanted);
    let entries = fs::read_dir("/proc").ok()?.flatten();
    for process in entries.filter(|_| !sockets.is_empty()) {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        if links.any(|link| sockets.contains(link.to_string_lossy().as_ref())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim_end()));
        }
    }
    None
}

/// The sockets in the way of `wanted`, as /proc/PID/fd names them (proc_net_tcp.rst).
fn sockets_at(wanted: &PortBinding) -> HashSet<String> {
    let port = wanted.fixed().map_or_else(String::new, |port| format!(":{port:04X}"));
    let word = wanted.port.protocol.word();
    let tables = [format!("/proc/net/{word}"), format!("/proc/net/{word}6")];
    let mut found = HashSet::new();
    for table in tables.into_iter().filter_map(|path| fs::read_to_string(path).ok()) {
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(local), Some(inode)) = (fields.get(1), fields.get(9)) else { continue };
            let Some(address) = local.strip_suffix(&port) else { continue };
            let is_any = address.bytes().all(|digit| digit == b'0');
            let is_in_the_way = match wanted.address {
                Some(wanted) => is_any || wanted.is_unspecified() || address == in_table(wanted),
                None => true,
            };
            if is_in_the_way && *inode != "0" {
                found.insert(format!("socket:[{inode}]"));
            }
        }
    }
    found
}

/// Words of 32 bits, each in the machine's own order.
fn in_table(address: IpAddr) -> String {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = word.iter().rev().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        format!("{:08X}", u32::from_le(word.to_le()))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn reserve(wanted: &[&str]) -> Result<Reservation, Refused> {
        let wanted: Vec<PortBinding> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        Reservation::new(&wanted, false)
    }

    fn told(reservation: &Reservation) -> Vec<String> {
        reservation.published.iter().map(Published::to_string).collect()
    }

    #[test]
    fn the_lowest_free_port_of_a_range_is_taken_and_given_back() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let first = taken.local_addr().unwrap().port();
        let Some(last) = first.checked_add(40) else { return };
        let wanted = format!("127.0.0.1:{first}-{last}:80");
        let one = reserve(&[&wanted]).unwrap();
        let two = reserve(&[&wanted]).unwrap();
        let host = |reservation: &Reservation| reservation.published[0].host.get();
        assert!(first < host(&one) && host(&one) < host(&two) && host(&two) <= last);
        let (fixed, whole) = (host(&one), format!("127.0.0.1:{}:80", host(&one)));
        assert_eq!(reserve(&[&whole]).unwrap_err().error.kind(), ErrorKind::AddrInUse);
        assert!(TcpListener::bind(("127.0.0.1", fixed)).is_err());
        let copy = Reservation::again(&two.published);
        assert_eq!(told(&copy), told(&two));
        drop(one);
        assert_eq!(told(&reserve(&[&whole]).unwrap()), [format!("127.0.0.1:{fixed}->80/tcp")]);
    }

    #[test]
    fn what_has_no_choice_comes_first_and_nothing_is_kept_of_half_a_reservation() {
        let free = UdpSocket::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
        let taken = UdpSocket::bind("127.0.0.2:0").unwrap();
        let fixed = format!("127.0.0.2:{free}:53/udp");
        let other = format!("127.0.0.2:{}:53/udp", taken.local_addr().unwrap().port());
        let refused = reserve(&[&fixed, &other]).unwrap_err();
        assert_eq!(refused.wanted.to_string(), other);
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        let program = format!("{} (pid {})", name.trim_end(), std::process::id());
        assert_eq!(user_of(&refused.wanted), Some(program));

        let both = reserve(&["127.0.0.2::54/udp", &fixed]).unwrap();
        assert_eq!(told(&both)[0], format!("127.0.0.2:{free}->53/udp"));
        assert!(both.published[1].host >= DYNAMIC[0]);
    }

    #[test]
    fn a_port_without_an_address_is_one_at_every_address() {
        let all = reserve(&["80", "80/udp"]).unwrap();
        let [v4, rest @ ..] = &all.published[..] else { panic!("{all:?}") };
        assert_eq!(v4.address, EVERYWHERE[0]);
        assert!(rest.iter().filter(|p| p.port == v4.port).all(|p| p.host == v4.host));
        let both = Reservation::new(&["80".parse().unwrap()], true).unwrap();
        let [v4, v6] = &both.published[..] else { panic!("{both:?}") };
        assert_eq!([v4.address, v6.address], EVERYWHERE);
        assert_eq!(v4.host, v6.host);
        let elsewhere = reserve(&["192.0.2.1:80:80"]).unwrap_err();
        assert_eq!(elsewhere.error.kind(), ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn addresses_are_spelled_as_the_kernel_does() {
        assert_eq!(in_table("127.0.0.1".parse().unwrap()), "0100007F");
        assert_eq!(in_table("::1".parse().unwrap()), "00000000000000000000000001000000");
    }
}
