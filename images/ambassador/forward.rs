//! forward: what comes in at a port goes to a target.
//!
//! ```text
//! forward tcp 6379 redis:6379
//! forward udp 53 10.0.0.3:53
//! ```
//!
//! A target's name is looked up anew for each connection, and for each client of UDP that comes, so
//! that it may move; by a thread of that client's, so that others do not wait for a slow name server.
//! A TCP connection has two threads, each of which passes on one direction and closes that half when
//! it ends. A client of UDP has a socket of its own towards the target, by which the answers find
//! back, and a thread that waits for these; both end with the first answer that does not come for
//! `IDLE`. So many clients of each port are served at a time; who comes beyond is turned away.

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
/// At a time. Whoever can forge addresses could be any number.
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
    let clients = Arc::new(());
    loop {
        let Ok((client, _)) = listener.accept() else {
            // Too many are open, most likely.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        if Arc::strong_count(&clients) > CLIENTS_MAX {
            continue;
        }
        let (target, one) = (Arc::clone(&target), Arc::clone(&clients));
        // An error closes the connection, which is all that can be told to the client.
        let _ = begin(move || {
            let _ = connect(&target).and_then(|server| join(client, server));
            drop(one);
        });
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

/// The sockets towards the target, by their clients; none while the target is looked up.
type Clients = Mutex<HashMap<SocketAddr, Option<Arc<UdpSocket>>>>;

fn udp(port: u16, target: &str) -> io::Result<()> {
    let outside = Arc::new(UdpSocket::bind(&everywhere(port)[..])?);
    let target: Arc<str> = target.into();
    let clients = Arc::new(Clients::default());
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        // An error is about an answer that a client did not take.
        let Ok((size, client)) = outside.recv_from(&mut datagram) else { continue };
        let known = locked(&clients).get(&client).cloned();
        // What cannot be sent is lost, as datagrams are; so is what comes in a hurry.
        match known {
            Some(inside) => drop(inside.map(|inside| inside.send(&datagram[..size]))),
            None if locked(&clients).len() >= CLIENTS_MAX => {}
            None => {
                locked(&clients).insert(client, None);
                let all = Arc::clone(&clients);
                let own = (Arc::clone(&target), Arc::clone(&outside), datagram[..size].to_vec());
                let begun = begin(move || {
                    let (target, outside, first) = own;
                    let _ = serve(client, &target, &outside, &all, &first);
                    locked(&all).remove(&client);
                });
                if begun.is_err() {
                    locked(&clients).remove(&client);
                }
            }
        }
    }
}

/// Passes on the first datagram of a client, and the answers to all.
fn serve(
    client: SocketAddr,
    target: &str,
    outside: &UdpSocket,
    clients: &Clients,
    first: &[u8],
) -> io::Result<()> {
    let target = target.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let own: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let inside = Arc::new(UdpSocket::bind((own, 0))?);
    inside.connect(target)?;
    inside.set_read_timeout(Some(IDLE))?;
    inside.send(first)?;
    locked(clients).insert(client, Some(Arc::clone(&inside)));
    let mut datagram = vec![0; DATAGRAM_MAX];
    while let Ok(size) = inside.recv(&mut datagram) {
        let _ = outside.send_to(&datagram[..size], client);
    }
    Ok(())
}

fn locked(clients: &Clients) -> MutexGuard<'_, HashMap<SocketAddr, Option<Arc<UdpSocket>>>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}
