//! The sockets that supervisor's clients ask: HTTP on unix and inet sockets, with a name and a
//! password where those are wanted.
//!
//! `http` reads requests, `xml` what they hold, `call` which of supervisor's methods it is. Nobody
//! here is waited for: whoever has not sent a whole request within `PATIENCE`, or takes nothing of
//! an answer for as long, is dropped, and so is whoever falls `BEHIND` with a log. `MOST` are
//! served at a time, others wait in the kernel's queue. A connection may ask again and again.

pub mod call;
pub mod fault;
pub mod http;
mod login;
pub mod xml;

use self::http::{Answer, Reader, Request};
use super::bound::Bound;
use crate::dialect::supervisord::{Listen, Server};
use crate::event_loop::{EventLoop, Source, Timer};
use crate::message::{say, say_error};
use crate::policy::after;
use crate::spare;
use coracle::error::{Error, OsContext, Result};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
/// So much of a log may wait for its reader.
const BEHIND: usize = 256 * 1024;
const MOST: usize = 64;

#[derive(Debug, Default)]
pub struct Web {
    doors: Vec<Door>,
    /// By their numbers. They are few.
    connections: Vec<(u32, Connection)>,
    next: u32,
    /// More may be waiting in the queues than were accepted.
    full: bool,
}

#[derive(Debug)]
struct Door {
    listener: Listener,
    login: Option<(String, String)>,
}

#[derive(Debug)]
enum Listener {
    Unix(Bound),
    Inet(TcpListener),
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Inet(TcpStream),
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    /// The door it came by.
    door: usize,
    reader: Reader,
    output: Vec<u8>,
    stage: Stage,
    /// When patience with it ends, as the event loop has it.
    due: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The request is not whole yet.
    Asking,
    /// The answer is not whole yet.
    Answering,
    /// A part of an answer that has no end.
    Streaming,
    /// All of the answer is in `output`, and the connection ends with it.
    Ending,
}

/// What became of a connection that something happened to.
#[derive(PartialEq, Eq, Debug)]
pub enum Heard {
    Nothing,
    Request(Request),
    Gone,
}

impl Web {
    /// Listens at each of `servers`, or says why not.
    pub fn open(&mut self, servers: &[Server], events: &EventLoop) {
        for server in servers {
            let number = u32::try_from(self.doors.len()).unwrap_or(u32::MAX);
            match listen(&server.listen) {
                Ok(listener) => {
                    if let Err(e) = events.watch(listener.as_fd(), Source::Door(number)) {
                        say_error(&Error::os("watch", "a socket", e));
                    }
                    self.doors.push(Door { listener, login: server.login.clone() });
                }
                Err(error) => {
                    say_error(&error.hint("supervisorctl will not reach this cox there"));
                }
            }
        }
    }

    /// Takes whoever waits in the queues.
    pub fn accept(&mut self, events: &mut EventLoop, now: Instant) {
        self.full = false;
        for number in 0..self.doors.len() {
            self.accept_at(number, events, now);
        }
    }

    fn accept_at(&mut self, number: usize, events: &mut EventLoop, now: Instant) {
        loop {
            let Some(door) = self.doors.get(number) else { return };
            if self.connections.len() >= MOST {
                self.full = true;
                return;
            }
            let stream = match door.listener.accept() {
                Ok(stream) => stream,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // No descriptor is left until a connection is closed.
                Err(_) => {
                    self.full = true;
                    return;
                }
            };
            self.next = self.next.wrapping_add(1);
            let n = self.next;
            let watched = spare::of_runs(stream.as_fd())
                .and_then(|()| stream.set_nonblocking())
                .and_then(|()| events.watch_both(stream.as_fd(), Source::Client(n)));
            if watched.is_err() {
                continue;
            }
            let due = Some(after(now, PATIENCE));
            events.arm(Timer::Client(n), None, due);
            let connection = Connection {
                stream,
                door: number,
                reader: Reader::default(),
                output: Vec::new(),
                stage: Stage::Asking,
                due,
            };
            self.connections.push((n, connection));
        }
    }

    /// Something happened to a connection. What is refused here is answered here.
    pub fn attend(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> Heard {
        let Some(connection) = self.connection(n) else { return Heard::Gone };
        let alive = connection.fill();
        if !alive || !self.flush(n, events, now) {
            self.drop_connection(n, events, now);
            return Heard::Gone;
        }
        self.hear(n, events, now)
    }

    /// The next whole request of a connection that has its answer.
    pub fn hear(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> Heard {
        let Some(connection) = self.connection(n) else { return Heard::Gone };
        if connection.stage != Stage::Asking {
            return Heard::Nothing;
        }
        let door = connection.door;
        let request = match connection.reader.next() {
            None => return Heard::Nothing,
            Some(Err(refused)) => {
                self.answer(n, &Answer::refusal(refused), true);
                return self.sent(n, events, now);
            }
            Some(Ok(request)) => request,
        };
        connection.stage = Stage::Answering;
        events.arm(Timer::Client(n), connection.due.take(), None);
        let login = self.doors.get(door).and_then(|door| door.login.as_ref());
        if login.is_some_and(|login| !login::fits(login, request.login.as_ref())) {
            self.answer(n, &Answer::refusal(http::UNAUTHORIZED), request.close);
            return self.sent(n, events, now);
        }
        Heard::Request(request)
    }

    fn sent(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> Heard {
        match self.send(n, events, now) {
            true => Heard::Nothing,
            false => Heard::Gone,
        }
    }

    /// The deadline of a connection has passed; whether it is gone.
    pub fn due(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> bool {
        let Some(connection) = self.connection(n) else { return true };
        if connection.due.is_none_or(|due| due > now) {
            return false;
        }
        connection.due = None;
        self.drop_connection(n, events, now);
        true
    }

    /// A whole answer.
    pub fn answer(&mut self, n: u32, answer: &Answer, close: bool) {
        if let Some(connection) = self.connection(n) {
            connection.output.extend(answer.whole(close));
            connection.stage = if close { Stage::Ending } else { Stage::Asking };
        }
    }

    /// The beginning of an answer without end.
    pub fn begin_stream(&mut self, n: u32, answer: &Answer) {
        if let Some(connection) = self.connection(n) {
            connection.output.extend(answer.beginning());
            connection.stage = Stage::Streaming;
        }
    }

    /// A part of such an answer.
    pub fn stream(&mut self, n: u32, part: &[u8]) {
        if let Some(connection) = self.connection(n).filter(|_| !part.is_empty()) {
            connection.output.extend(http::chunk(part));
        }
    }

    /// How much of an answer was not taken yet.
    pub fn pending(&mut self, n: u32) -> usize {
        self.connection(n).map_or(0, |connection| connection.output.len())
    }

    /// Sends what can be sent; whether the connection is still there.
    pub fn send(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> bool {
        let there = self.flush(n, events, now);
        if !there {
            self.drop_connection(n, events, now);
        }
        there
    }

    fn connection(&mut self, n: u32) -> Option<&mut Connection> {
        let mut all = self.connections.iter_mut();
        all.find(|(number, _)| *number == n).map(|(_, connection)| connection)
    }

    fn flush(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> bool {
        let Some(connection) = self.connection(n) else { return false };
        let mut sent: usize = 0;
        let alive = loop {
            let rest = connection.output.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break connection.stage != Stage::Ending;
            }
            match connection.stream.write(rest) {
                Ok(count @ 1..) => sent = sent.saturating_add(count),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    break connection.stage != Stage::Streaming || rest.len() <= BEHIND;
                }
                _ => break false,
            }
        };
        connection.output.drain(..sent);
        if connection.output.is_empty() {
            connection.output = Vec::new();
        }
        // Who has to ask or to take something may not be idle for ever; who waits may.
        let idle = connection.output.is_empty() && connection.stage != Stage::Asking;
        let due = match (idle, connection.due) {
            (true, _) => None,
            (false, Some(due)) if sent == 0 => Some(due),
            (false, _) => Some(after(now, PATIENCE)),
        };
        events.arm(Timer::Client(n), connection.due, due);
        connection.due = due;
        alive
    }

    fn drop_connection(&mut self, n: u32, events: &mut EventLoop, now: Instant) {
        self.connections.retain(|(number, connection)| {
            if *number == n {
                events.unwatch(connection.stream.as_fd());
                events.arm(Timer::Client(n), connection.due, None);
            }
            *number != n
        });
        if self.full {
            self.accept(events, now);
        }
    }
}

impl Connection {
    /// Takes in what has come; whether the other side is still there.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                // One who only closed his own side may still want the answer.
                Ok(0) => return matches!(self.stage, Stage::Answering | Stage::Ending),
                // Who reads a log has nothing more to say.
                Ok(_) if self.stage == Stage::Streaming => {}
                Ok(count) => {
                    self.reader.feed(bytes.get(..count).unwrap_or_default());
                    if self.reader.is_full() {
                        // What waits behind a request is of no use before its answer.
                        return true;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

impl Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(bound) => bound.listener.as_fd(),
            Listener::Inet(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(bound) => Ok(Stream::Unix(bound.listener.accept()?.0)),
            Listener::Inet(listener) => Ok(Stream::Inet(listener.accept()?.0)),
        }
    }
}

impl Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Inet(stream) => stream.as_fd(),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_nonblocking(true),
            Stream::Inet(stream) => stream.set_nonblocking(true),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(bytes),
            Stream::Inet(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Inet(stream) => stream.write(bytes),
        }
    }
}

fn listen(at: &Listen) -> Result<Listener> {
    match at {
        Listen::Unix { path, mode, owner } => {
            let bound = Bound::new(path, *mode)?.ok_or_else(|| {
                let error = Error::conflict(format!("{}: somebody listens there", path.display()));
                error.hint("give each supervisor a file of its own")
            })?;
            if let Some((user, group)) = owner {
                chown(path, Some(*user), *group).on("give away", path)?;
            }
            Ok(Listener::Unix(bound))
        }
        Listen::Inet(address, text) => {
            let listener = TcpListener::bind(address).on("listen on", text)?;
            listener.set_nonblocking(true).on("set up", text)?;
            if !address.ip().is_loopback() {
                say(&format!("supervisor's interface listens on {text}, not only for this host"));
            }
            Ok(Listener::Inet(listener))
        }
    }
}
