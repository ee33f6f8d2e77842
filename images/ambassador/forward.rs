//! forward: what comes in at a port goes to a target.
//!
//! ```text
//! forward tcp 6379 redis:6379
//! forward udp 53 10.0.0.3:53
//! ```
//!
//! A target's name is looked up anew for each connection, and for each client of UDP that comes, so
//! that it may move. A TCP connection has two threads, each of which passes on one direction and
//! closes that half when it ends. A client of UDP has a socket of its own towards the target, by
//! which the answers find back, and a thread that waits for these; both end with the first answer
//! that does not come for `IDLE`.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs,
    UdpSocket,
};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a target may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
/// Of UDP at a time. Whoever can forge addresses could be any number.
const CLIENTS_MAX: usize = 1024;
const DATAGRAM_MAX: usize = 1 << 16;
/// Bytes; `io::copy` has its buffer there.
const STACK: usize = 64 << 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [protocol, port, target] = &words[..] else { return usage() };
    let Ok(port) = port.parse() else { return usage() };
    let ended = match &protocol[..] {
        "tcp" => tcp(port, target),
        "udp" => udp(port, target),
        _ => return usage(),
    };
    if let Err(error) = ended {
        eprintln!("forward: {protocol} {port}: {error}");
    }
    ExitCode::FAILURE
}

fn usage() -> ExitCode {
    eprintln!("usage: forward tcp|udp PORT HOST:PORT");
    ExitCode::FAILURE
}

/// Where to listen: at all addresses, of both families where there are both.
fn everywhere(port: u16) -> [SocketAddr; 2] {
    [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
}

/// Where no thread is to be had, what it was to do is not done.
fn begin(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}

fn tcp(port: u16, target: &str) -> io::Result<()> {
    let listener = TcpListener::bind(&everywhere(port)[..])?;
    let target: Arc<str> = target.into();
    loop {
        let Ok((client, _)) = listener.accept() else {
            // Too many are open, most likely.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let target = Arc::clone(&target);
        // An error closes the connection, which is all that can be told to the client.
        let _ = begin(move || drop(connect(&target).and_then(|server| join(client, server))));
    }
}

fn connect(target: &str) -> io::Result<TcpStream> {
    let mut error = ErrorKind::NotFound.into();
    for address in target.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(server) => return Ok(server),
            Err(e) => error = e,
        }
    }
    Err(error)
}

fn join(client: TcpStream, server: TcpStream) -> io::Result<()> {
    for end in [&client, &server] {
        end.set_nodelay(true)?;
    }
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    begin(move || pass(from, to))?;
    pass(server, client);
    Ok(())
}

/// Until one end closes its half, or either breaks.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    match io::copy(&mut from, &mut to) {
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => [from, to].iter().for_each(|end| drop(end.shutdown(Shutdown::Both))),
    }
}

/// The sockets towards the target, by their clients.
type Clients = Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>;

fn udp(port: u16, target: &str) -> io::Result<()> {
    let outside = Arc::new(UdpSocket::bind(&everywhere(port)[..])?);
    let clients = Arc::new(Clients::default());
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        // An error is about an answer that a client did not take.
        let Ok((size, client)) = outside.recv_from(&mut datagram) else { continue };
        let known = locked(&clients).get(&client).cloned();
        let inside = match known {
            Some(inside) => Ok(inside),
            None => welcome(client, target, &outside, &clients),
        };
        // What cannot be sent is lost, as datagrams are.
        let _ = inside.and_then(|inside| inside.send(&datagram[..size]));
    }
}

fn welcome(
    client: SocketAddr,
    target: &str,
    outside: &Arc<UdpSocket>,
    clients: &Arc<Clients>,
) -> io::Result<Arc<UdpSocket>> {
    if locked(clients).len() >= CLIENTS_MAX {
        return Err(ErrorKind::QuotaExceeded.into());
    }
    let target = target.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let own: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let inside = Arc::new(UdpSocket::bind((own, 0))?);
    inside.connect(target)?;
    inside.set_read_timeout(Some(IDLE))?;
    let known = (Arc::clone(&inside), Arc::clone(outside), Arc::clone(clients));
    begin(move || {
        let (inside, outside, clients) = known;
        let mut datagram = vec![0; DATAGRAM_MAX];
        while let Ok(size) = inside.recv(&mut datagram) {
            let _ = outside.send_to(&datagram[..size], client);
        }
        locked(&clients).remove(&client);
    })?;
    locked(clients).insert(client, Arc::clone(&inside));
    Ok(inside)
}

fn locked(clients: &Clients) -> MutexGuard<'_, HashMap<SocketAddr, Arc<UdpSocket>>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}
