//! The sockets of a container's name server, and of the questions that it passed on.
//!
//! All are watched by one epoll, which the monitor watches as one descriptor. Nothing here waits,
//! and an idle one holds three descriptors and no buffers. However many questions come: so many
//! are under way, so many clients are connected, and the others are told or let go.

use super::conn::Conn;
use super::exchange::{ATTEMPTS, Exchange, Next};
use super::message::{self, Code};
use super::redirect::redirect;
use super::resolver::{Decision, Names, Over, Resolver};
use super::{ADDRESS, PORT};
use crate::error::{Context, OsContext, Result};
use crate::sys::netlink::{self, nftables::Tables};
use crate::sys::{inet, netns, random};
use crate::types::Protocol;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// Questions under way, each with up to `ATTEMPTS` sockets.
const EXCHANGES_MAX: usize = 128;
const CLIENTS_MAX: usize = 16;
/// Questions of one connection that are under way: what comes after them is read when they are
/// answered.
const QUESTIONS_MAX: usize = 16;
/// How long a client may be connected without a whole question.
const IDLE: Duration = Duration::from_secs(10);
/// Questions and rounds before others of the monitor's get their turn.
const TURN: usize = 64;
/// More than any question has.
const QUESTION: usize = 4096;

const UDP: usize = 0;
const TCP: usize = 1;
/// A client or an exchange has a number; its tokens are this many times that, and what follows:
/// attempt by attempt, or `CLIENT`.
const TOKENS: usize = ATTEMPTS + 1;
const CLIENT: usize = ATTEMPTS;

/// How soon a name server that could not be opened is tried again, and at most how late.
const SOON: Duration = Duration::from_millis(250);
const LATE: Duration = Duration::from_secs(4);

pub struct Config {
    pub names: Box<dyn Names>,
    /// The servers that know the rest, as they are at the moment; on networks that lead nowhere,
    /// none.
    pub servers: Box<dyn Fn() -> Vec<SocketAddr>>,
    /// They are asked from the container's namespace.
    pub asks_inside: bool,
}

pub struct Service {
    poll: Poll,
    /// The container's first process.
    process: OwnedFd,
    listening: Listening,
    resolver: Resolver,
    servers: Box<dyn Fn() -> Vec<SocketAddr>>,
    asks_inside: bool,
    clients: BTreeMap<usize, Client>,
    exchanges: BTreeMap<usize, Forwarded>,
    /// The next number of a client or an exchange; those of sockets begin above `TCP`.
    next: usize,
    /// There may be more to read than was: by UDP, and from these clients.
    again: bool,
    ready: BTreeSet<usize>,
}

enum Listening {
    Open {
        udp: UdpSocket,
        tcp: TcpListener,
        /// See there for why it is kept.
        _tables: Option<Tables>,
    },
    /// It is tried again then, and after as long again.
    Closed { at: Instant, after: Duration },
}

struct Client {
    conn: Conn,
    deadline: Instant,
}

struct Forwarded {
    exchange: Exchange,
    from: From,
    attempts: Vec<Option<Attempt>>,
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Udp(SocketAddr),
    Tcp(usize),
}

enum Attempt {
    Udp(UdpSocket),
    Tcp(Conn),
}

impl Service {
    /// The name server of the container whose first process is behind the pidfd; it is to be
    /// opened, or opens itself in a moment.
    pub fn new(process: BorrowedFd, config: Config) -> Result<Service> {
        Ok(Service {
            poll: Poll::new().on("epoll_create", "")?,
            process: process.try_clone_to_owned().on("dup", "a pidfd")?,
            listening: Listening::Closed { at: Instant::now() + SOON, after: SOON },
            resolver: Resolver::new(config.names),
            servers: config.servers,
            asks_inside: config.asks_inside,
            clients: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            next: 1,
            again: false,
            ready: BTreeSet::new(),
        })
    }

    pub fn open(&mut self) -> Result<()> {
        let opened = netns::within(self.process.as_fd(), sockets);
        let opened = opened.on("enter", "the container's network")?;
        let (udp, tcp, tables) = opened.doing(|| "open the container's name server".into())?;
        let mut udp = UdpSocket::from_std(udp.into());
        let mut tcp = TcpListener::from_std(tcp.into());
        for (source, token) in [(&mut udp as &mut dyn Source, UDP), (&mut tcp, TCP)] {
            let registered =
                source.register(self.poll.registry(), Token(token), Interest::READABLE);
            registered.on("watch", "the container's name server")?;
        }
        self.listening = Listening::Open { udp, tcp, _tables: tables };
        Ok(())
    }

    /// When `serve` is to be called, if nothing is to be read before.
    pub fn deadline(&self) -> Option<Instant> {
        if let Listening::Closed { at, .. } = self.listening {
            return Some(at);
        }
        if self.again || !self.ready.is_empty() {
            return Some(Instant::now());
        }
        let exchanges = self.exchanges.values().map(|forwarded| forwarded.exchange.deadline);
        exchanges.chain(self.clients.values().map(|client| client.deadline)).min()
    }

    /// Does what there is to do.
    pub fn serve(&mut self) {
        if let Listening::Closed { at, after } = self.listening {
            let now = Instant::now();
            if now < at {
                return;
            }
            if self.open().is_err() {
                let after = (2 * after).min(LATE);
                self.listening = Listening::Closed { at: now + after, after };
                return;
            }
        }
        if std::mem::take(&mut self.again) {
            self.read_udp();
        }
        let mut events = Events::with_capacity(64);
        for round in 0.. {
            if self.poll.poll(&mut events, Some(Duration::ZERO)).is_err() || events.is_empty() {
                break;
            }
            for event in &events {
                match event.token().0 {
                    UDP => self.read_udp(),
                    TCP => self.accept(),
                    token => match (token / TOKENS, token % TOKENS) {
                        (number, CLIENT) => self.client_ready(number),
                        (number, attempt) => self.attempt_ready(number, attempt),
                    },
                }
            }
            if round == TURN {
                self.again = true;
                break;
            }
        }
        self.keep_time();
        for number in std::mem::take(&mut self.ready) {
            self.client_ready(number);
        }
    }

    fn keep_time(&mut self) {
        let now = Instant::now();
        let due = |(number, forwarded): (&usize, &Forwarded)| {
            (forwarded.exchange.deadline <= now).then_some(*number)
        };
        let due: Vec<usize> = self.exchanges.iter().filter_map(due).collect();
        due.into_iter().for_each(|number| self.advance(number));
        let waiting: Vec<From> = self.exchanges.values().map(|forwarded| forwarded.from).collect();
        self.clients.retain(|number, client| {
            if waiting.contains(&From::Tcp(*number)) {
                // It is our turn.
                client.deadline = now + IDLE;
            }
            client.deadline > now
        });
    }

    fn read_udp(&mut self) {
        let mut packet = [0; QUESTION];
        for _ in 0..TURN {
            let Listening::Open { udp, .. } = &self.listening else { return };
            match udp.recv_from(&mut packet) {
                Ok((size, from)) => self.asked(&packet[..size], From::Udp(from)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Nothing is left.
                Err(_) => return,
            }
        }
        self.again = true;
    }

    fn accept(&mut self) {
        // Until it would block, as an edge-triggered listener wants.
        while let Listening::Open { tcp, .. } = &self.listening
            && let Ok((mut stream, _)) = tcp.accept()
        {
            if self.clients.len() >= CLIENTS_MAX {
                // Whoever has been silent for longest makes way.
                let oldest = self.clients.iter().min_by_key(|(_, client)| client.deadline);
                let oldest = oldest.map(|(number, _)| *number);
                oldest.and_then(|number| self.clients.remove(&number));
            }
            let number = self.number();
            if self.watch(&mut stream, number * TOKENS + CLIENT).is_ok() {
                let client = Client { conn: Conn::new(stream), deadline: Instant::now() + IDLE };
                self.clients.insert(number, client);
                self.client_ready(number);
            }
        }
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn watch(&self, source: &mut impl Source, token: usize) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        source.register(self.poll.registry(), Token(token), both)
    }

    /// Moves what a connection has for us, and we for it.
    fn client_ready(&mut self, number: usize) {
        for _ in 0..TURN {
            let from = From::Tcp(number);
            let waiting = self.exchanges.values().filter(|f| f.from == from).count();
            let Some(client) = self.clients.get_mut(&number) else { return };
            client.conn.flush();
            if waiting < QUESTIONS_MAX
                && let Some(question) = client.conn.next()
            {
                client.deadline = Instant::now() + IDLE;
                self.asked(&question, from);
                continue;
            }
            if client.conn.is_over(waiting > 0) {
                self.clients.remove(&number);
            }
            return;
        }
        self.ready.insert(number);
    }

    fn asked(&mut self, packet: &[u8], from: From) {
        let over = match from {
            From::Udp(_) => Over::Udp,
            From::Tcp(_) => Over::Tcp,
        };
        if packet.len() > QUESTION {
            // No question is so long; each that waits is kept.
            return;
        }
        let question = match self.resolver.decide(packet, over) {
            Decision::Ignore => return,
            Decision::Answer(answer) => return self.reply(from, &answer),
            Decision::Forward(question) => question,
        };
        let is_repeated = |f: &Forwarded| f.from == from && f.exchange.is_about(&question);
        if self.exchanges.values().any(is_repeated) {
            return;
        }
        if self.exchanges.len() >= EXCHANGES_MAX {
            let limit = over.limit(&question);
            return self.reply(from, &question.answer(Code::ServerFailure, &[], limit));
        }
        let mut servers = (self.servers)();
        // We would ask ourselves.
        servers.retain(|server| server.ip() != ADDRESS);
        let exchange = Exchange::new(question, packet.to_vec(), over, servers, Instant::now());
        let number = self.number();
        self.exchanges.insert(number, Forwarded { exchange, from, attempts: Vec::new() });
        self.advance(number);
    }

    fn reply(&mut self, to: From, answer: &[u8]) {
        match to {
            // As any packet it may be lost.
            From::Udp(address) => {
                if let Listening::Open { udp, .. } = &self.listening {
                    drop(udp.send_to(answer, address));
                }
            }
            From::Tcp(number) => {
                if let Some(client) = self.clients.get_mut(&number) {
                    client.conn.send(answer);
                }
            }
        }
    }

    /// Asks whoever is to be asked now, or ends the exchange.
    fn advance(&mut self, number: usize) {
        while let Some(forwarded) = self.exchanges.get_mut(&number) {
            // Ids that can be guessed are the lesser evil than no answers.
            let id = u16::from_ne_bytes(random::bytes().unwrap_or_default());
            match forwarded.exchange.next(Instant::now(), id) {
                Next::Wait => return,
                Next::Reply(answer) => return self.end(number, &answer),
                Next::Send { server, packet } => {
                    let (at, is_tcp) =
                        (forwarded.attempts.len(), matches!(forwarded.from, From::Tcp(_)));
                    let attempt = self.send(server, &packet, is_tcp, number * TOKENS + at);
                    if let Some(forwarded) = self.exchanges.get_mut(&number) {
                        if attempt.is_err() {
                            forwarded.exchange.failed(at);
                        }
                        forwarded.attempts.push(attempt.ok());
                    }
                }
            }
        }
    }

    fn send(
        &self,
        server: SocketAddr,
        packet: &[u8],
        over_tcp: bool,
        token: usize,
    ) -> io::Result<Attempt> {
        let send = || self.send_here(server, packet, over_tcp, token);
        match self.asks_inside {
            true => netns::within(self.process.as_fd(), send)?,
            false => send(),
        }
    }

    fn send_here(
        &self,
        server: SocketAddr,
        packet: &[u8],
        over_tcp: bool,
        token: usize,
    ) -> io::Result<Attempt> {
        if over_tcp {
            let mut stream = TcpStream::connect(server)?;
            self.watch(&mut stream, token)?;
            let mut conn = Conn::new(stream);
            conn.send(packet);
            return Ok(Attempt::Tcp(conn));
        }
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut socket = UdpSocket::bind(any)?;
        // Only this server is heard.
        socket.connect(server)?;
        socket.register(self.poll.registry(), Token(token), Interest::READABLE)?;
        socket.send(packet)?;
        Ok(Attempt::Udp(socket))
    }

    fn attempt_ready(&mut self, number: usize, at: usize) {
        while let Some(forwarded) = self.exchanges.get_mut(&number) {
            let Some(Some(attempt)) = forwarded.attempts.get_mut(at) else { return };
            match attempt.receive() {
                Ok(Some(packet)) => {
                    if let Some(answer) = forwarded.exchange.answered(at, packet) {
                        return self.end(number, &answer);
                    }
                    // It may have been a refusal.
                    self.advance(number);
                }
                Ok(None) => return,
                Err(_) => {
                    forwarded.exchange.failed(at);
                    forwarded.attempts[at] = None;
                    return self.advance(number);
                }
            }
        }
    }

    fn end(&mut self, number: usize, answer: &[u8]) {
        if let Some(Forwarded { from, .. }) = self.exchanges.remove(&number) {
            self.reply(from, answer);
            if let From::Tcp(client) = from {
                self.ready.insert(client);
            }
        }
    }
}

impl Attempt {
    /// An answer that has come; an error where none will.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Attempt::Udp(socket) => {
                let mut packet = vec![0; message::TCP];
                match socket.recv(&mut packet) {
                    Ok(size) => {
                        packet.truncate(size);
                        packet.shrink_to_fit();
                        Ok(Some(packet))
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                    Err(e) => Err(e),
                }
            }
            Attempt::Tcp(conn) => {
                conn.flush();
                match conn.next() {
                    Some(packet) => Ok(Some(packet)),
                    None if conn.is_over(false) => Err(io::ErrorKind::ConnectionReset.into()),
                    None => Ok(None),
                }
            }
        }
    }
}

/// To be watched for reading.
impl AsRawFd for Service {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

/// Opens the sockets, in the container's namespace; and a rule that leads to them, or, where the
/// kernel has none, on the port itself.
fn sockets() -> Result<(OwnedFd, OwnedFd, Option<Tables>)> {
    // On a loopback that is down a socket can be bound, but answers come from another address.
    let up = netlink::link_up(netlink::LOOPBACK);
    netlink::Socket::open()?.request("bring up", "lo", &up)?;
    let open = |port, protocol| {
        let address = SocketAddr::from((ADDRESS, port));
        inet::serve(address, protocol).on("listen on", address.to_string())
    };
    let (udp, tcp) = (open(0, Protocol::Udp)?, open(0, Protocol::Tcp)?);
    if let Ok(mut tables) = Tables::open()
        && redirect(&mut tables, port(&udp)?, port(&tcp)?).is_ok()
    {
        return Ok((udp, tcp, Some(tables)));
    }
    Ok((open(PORT, Protocol::Udp)?, open(PORT, Protocol::Tcp)?, None))
}

fn port(socket: &OwnedFd) -> Result<u16> {
    let socket = socket.try_clone().on("dup", "")?;
    Ok(std::net::UdpSocket::from(socket).local_addr().on("getsockname", "")?.port())
}
