//! Sockets that hold a port of the host and do nothing else, and those of a server.

use super::{check, raw};
use crate::types::Protocol;
use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A socket for addresses of the family of `address`; one of IPv6 is of that alone.
///
/// Errors: EAFNOSUPPORT and EPROTONOSUPPORT where the kernel lacks the family or the protocol.
pub fn open(address: SocketAddr, protocol: Protocol) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let (kind, number) = match protocol {
        Protocol::Tcp => (libc::SOCK_STREAM, libc::IPPROTO_TCP),
        Protocol::Udp => (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
        Protocol::Sctp => (libc::SOCK_STREAM, libc::IPPROTO_SCTP),
    };
    // SAFETY: integers only; the answer is a new descriptor.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, number) })?;
    // SAFETY: it is new and so ours.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if address.is_ipv6() {
        raw::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    Ok(socket)
}

/// Gives the socket its address, which nobody else has then; it does not listen.
pub fn bind(socket: BorrowedFd, address: SocketAddr) -> io::Result<()> {
    let port = address.port().to_be();
    let ret = match address {
        SocketAddr::V4(address) => {
            // SAFETY: all-zero is a valid sockaddr_in.
            let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            raw.sin_family = libc::AF_INET as _;
            raw.sin_port = port;
            raw.sin_addr.s_addr = u32::from(*address.ip()).to_be();
            let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            // SAFETY: a live struct and its size.
            unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), len) }
        }
        SocketAddr::V6(address) => {
            // SAFETY: all-zero is a valid sockaddr_in6.
            let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as _;
            raw.sin6_port = port;
            raw.sin6_addr.s6_addr = address.ip().octets();
            let len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            // SAFETY: a live struct and its size.
            unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), len) }
        }
    };
    check(ret).map(drop)
}

/// As `bind`, for TCP, also where nothing is left on the port but connections that have ended and
/// wait out their last minute. A server would set SO_REUSEADDR; that alone lets two sockets in
/// that do not listen. So it listens for a moment, as then the kernel looks at all others.
pub fn bind_over_ended(socket: BorrowedFd, address: SocketAddr) -> io::Result<()> {
    raw::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    bind(socket, address)?;
    // SAFETY: integers only.
    check(unsafe { libc::listen(socket.as_raw_fd(), 0) })?;
    raw::set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 0)?;
    // A listening socket goes back to bound.
    // SAFETY: integers only.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) }).map(drop)
}

/// A server's socket, which does not block: for UDP, or for TCP with connections to be accepted.
pub fn serve(address: SocketAddr, protocol: Protocol) -> io::Result<OwnedFd> {
    let socket = open(address, protocol)?;
    if protocol == Protocol::Tcp {
        raw::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    }
    bind(socket.as_fd(), address)?;
    if protocol == Protocol::Tcp {
        // SAFETY: integers only.
        check(unsafe { libc::listen(socket.as_raw_fd(), 16) })?;
    }
    super::fd::set_nonblocking(socket.as_fd(), true)?;
    Ok(socket)
}

/// The kernel has no SCTP.
pub fn lacks_protocol(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::AddrInUse;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;

    fn hold(address: SocketAddr, protocol: Protocol) -> io::Result<OwnedFd> {
        let socket = open(address, protocol)?;
        bind(socket.as_fd(), address)?;
        Ok(socket)
    }

    #[test]
    fn a_bound_socket_keeps_all_others_away_until_it_is_closed() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let held = hold(tcp, Protocol::Tcp).unwrap();
        assert_eq!(hold(tcp, Protocol::Tcp).unwrap_err().kind(), AddrInUse);
        assert_eq!(TcpListener::bind(tcp).unwrap_err().kind(), AddrInUse);
        let again = open(tcp, Protocol::Tcp).unwrap();
        assert_eq!(bind_over_ended(again.as_fd(), tcp).unwrap_err().kind(), AddrInUse);
        drop((held, again));
        drop(TcpListener::bind(tcp).unwrap());

        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        assert_eq!(hold(address, Protocol::Udp).unwrap_err().kind(), AddrInUse);
        drop(udp);
        let _held = hold(address, Protocol::Udp).unwrap();
        assert_eq!(UdpSocket::bind(address).unwrap_err().kind(), AddrInUse);
    }

    #[test]
    fn connections_that_have_ended_are_not_in_the_way() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        // Who closes first waits.
        drop(server.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop((client, server));
        assert_eq!(hold(address, Protocol::Tcp).unwrap_err().kind(), AddrInUse);

        let socket = open(address, Protocol::Tcp).unwrap();
        bind_over_ended(socket.as_fd(), address).unwrap();
        assert!(TcpStream::connect(address).is_err(), "it does not listen");
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), AddrInUse);
        let second = open(address, Protocol::Tcp).unwrap();
        assert_eq!(bind_over_ended(second.as_fd(), address).unwrap_err().kind(), AddrInUse);
    }
}
