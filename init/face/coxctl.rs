//! The socket that `coxctl` talks to.
//!
//! A unix stream socket, mode 0600: `control` in the runtime directory, or wherever `--socket` or
//! $COX_SOCKET says. A connection carries one request, a line whose words are separated by tabs:
//! those of coxctl's command line. The answer is lines that begin with a mark:
//!
//! ```text
//! +text     for stdout; the cells of a table are separated by tabs
//! !text     for stderr
//! @name     and behind a tab the path of the file that the service's lines are in
//! =code     the end: the exit code
//! ```
//!
//! So `printf 'status\tweb\n' | nc -U /run/cox/control` works too. An answer that ends without `=`
//! is not a whole one.
//!
//! Nobody here is waited for. Whoever has not sent a whole request within `PATIENCE`, or takes
//! nothing of an answer for as long, is dropped; so is whoever falls `BEHIND` with a stream of
//! events or lines. `MOST` are served at a time, others wait in the kernel's queue.

use super::bound::Bound;
use super::runtime_dir;
use crate::event_loop::{EventLoop, Source, Timer};
use crate::message::{say, say_error};
use crate::policy::after;
use crate::spare;
use coracle::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The name of the socket in the runtime directory.
pub const NAME: &str = "control";
/// A request may have so many bytes.
const LONGEST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
const BEHIND: usize = 64 * 1024;
const MOST: usize = 64;

/// Where the socket is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// In the runtime directory.
    Default,
    At(PathBuf),
    None,
}

impl Address {
    /// As an option or a variable has it.
    pub fn from_text(text: PathBuf) -> Address {
        if text.as_os_str() == "none" { Address::None } else { Address::At(text) }
    }
}

/// The supervisor's side. The socket is removed with this value.
#[derive(Debug, Default)]
pub struct Server {
    bound: Option<Bound>,
    /// By their numbers. They are few.
    connections: Vec<(u32, Connection)>,
    next: u32,
    /// More may be waiting in the queue than were accepted.
    full: bool,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    stage: Stage,
    /// When it is to be looked at, whatever happens; as the event loop has it.
    due: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The request is not whole yet.
    Asking,
    /// More is to come.
    Answering,
    /// All of the answer is in `output`.
    Ending,
}

/// What became of a connection that something happened to.
#[derive(PartialEq, Eq, Debug)]
pub enum Heard {
    Nothing,
    Request(Vec<String>),
    TooLong,
    Gone,
}

impl Server {
    /// Listens there; or says why not, and goes on without.
    pub fn open(place: Address, events: &EventLoop) -> Server {
        let path = match place {
            Address::None => return Server::default(),
            Address::At(path) => Some(path),
            Address::Default => {
                let dir = runtime_dir::candidates().find(|dir| runtime_dir::is_usable(dir));
                dir.map(|dir| dir.join(NAME))
            }
        };
        let Some(path) = path else {
            say("no place for coxctl's socket; give one with --socket");
            return Server::default();
        };
        match Bound::new(&path, 0o600) {
            Ok(Some(bound)) => {
                if let Err(e) = events.watch(bound.listener.as_fd(), Source::Listener) {
                    say_error(&Error::os("watch", path.display().to_string(), e));
                }
                Server { bound: Some(bound), ..Server::default() }
            }
            Ok(None) => {
                let path = path.display();
                say(&format!("another cox listens on {path}: coxctl reaches that; give --socket"));
                Server::default()
            }
            Err(error) => {
                say_error(&error.hint("coxctl will not reach this cox"));
                Server::default()
            }
        }
    }

    /// Takes whoever waits in the queue.
    pub fn accept(&mut self, events: &mut EventLoop, now: Instant) {
        let Some(bound) = &self.bound else { return };
        self.full = true;
        while self.connections.len() < MOST {
            let stream = match bound.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.full = false;
                    return;
                }
                // No descriptor is left until a connection is closed.
                Err(_) => return,
            };
            self.next = self.next.wrapping_add(1);
            let n = self.next;
            let watched = spare::of_runs(stream.as_fd())
                .and_then(|()| stream.set_nonblocking(true))
                .and_then(|()| events.watch_both(stream.as_fd(), Source::Connection(n)));
            if watched.is_err() {
                continue;
            }
            let due = Some(after(now, PATIENCE));
            events.arm(Timer::Connection(n), None, due);
            let (input, output) = (Vec::new(), Vec::new());
            let connection = Connection { stream, input, output, stage: Stage::Asking, due };
            self.connections.push((n, connection));
        }
    }

    /// Something happened to a connection.
    pub fn attend(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> Heard {
        let Some(connection) = self.connection(n) else { return Heard::Gone };
        let heard = connection.hear();
        if matches!(heard, Heard::Request(_) | Heard::TooLong) {
            events.arm(Timer::Connection(n), connection.due.take(), None);
        }
        if heard == Heard::Gone || !self.flush(n, events, now) {
            self.drop_connection(n, events, now);
            return Heard::Gone;
        }
        heard
    }

    /// The deadline of a connection has passed: its owner is told whether it was for him.
    pub fn due(&mut self, n: u32, events: &mut EventLoop, now: Instant) -> bool {
        let Some(connection) = self.connection(n) else { return false };
        if connection.due.is_none_or(|due| due > now) {
            return false;
        }
        connection.due = None;
        if connection.stage == Stage::Answering {
            return true;
        }
        self.drop_connection(n, events, now);
        false
    }

    /// When the owner of an answer is to be told by `due`.
    pub fn wake_at(&mut self, n: u32, at: Option<Instant>, events: &mut EventLoop) {
        if let Some(connection) = self.connection(n) {
            events.arm(Timer::Connection(n), connection.due, at);
            connection.due = at;
        }
    }

    /// A line of the answer.
    pub fn tell(&mut self, n: u32, mark: u8, text: &str) {
        if let Some(connection) = self.connection(n) {
            connection.output.push(mark);
            let clean = text.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte });
            connection.output.extend(clean);
            connection.output.push(b'\n');
        }
    }

    /// The answer is whole.
    pub fn end(&mut self, n: u32, code: u8) {
        self.tell(n, b'=', &code.to_string());
        if let Some(connection) = self.connection(n) {
            connection.stage = Stage::Ending;
        }
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
            match (&connection.stream).write(rest) {
                Ok(count @ 1..) => sent = sent.saturating_add(count),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let left = rest.len();
                    break connection.stage == Stage::Ending || left <= BEHIND;
                }
                _ => break false,
            }
        };
        connection.output.drain(..sent);
        if connection.output.is_empty() {
            connection.output = Vec::new();
        }
        if connection.stage == Stage::Ending && (sent > 0 || connection.due.is_none()) {
            let due = Some(after(now, PATIENCE));
            events.arm(Timer::Connection(n), connection.due, due);
            connection.due = due;
        }
        alive
    }

    fn drop_connection(&mut self, n: u32, events: &mut EventLoop, now: Instant) {
        self.connections.retain(|(number, connection)| {
            if *number == n {
                events.unwatch(connection.stream.as_fd());
                events.arm(Timer::Connection(n), connection.due, None);
            }
            *number != n
        });
        if self.full {
            self.accept(events, now);
        }
    }
}

impl Connection {
    fn hear(&mut self) -> Heard {
        let mut bytes = [0; 4096];
        loop {
            let count = match self.stream.read(&mut bytes) {
                // One who has asked, and only closed his own side, may still want the answer.
                Ok(0) if self.stage == Stage::Ending => return Heard::Nothing,
                Ok(0) if self.stage == Stage::Asking && !self.input.is_empty() => 0,
                Ok(0) => return Heard::Gone,
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::Gone,
            };
            if self.stage != Stage::Asking {
                continue;
            }
            self.input.extend_from_slice(bytes.get(..count).unwrap_or_default());
            let end = self.input.iter().position(|byte| *byte == b'\n');
            if end.is_none() && count > 0 && self.input.len() <= LONGEST {
                continue;
            }
            let input = std::mem::take(&mut self.input);
            self.stage = Stage::Answering;
            let line = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
            return if line.len() > LONGEST { Heard::TooLong } else { Heard::Request(words(line)) };
        }
    }
}

/// The words of a request.
fn words(line: &[u8]) -> Vec<String> {
    let words = line.split(|byte| *byte == b'\t');
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::*;
    use crate::corpus::fuzz;

    /// A server in a directory of its own, and the socket's path.
    fn server(name: &str, events: &EventLoop) -> (Server, PathBuf) {
        let path = std::env::temp_dir().join(format!("cox-{name}-{}", std::process::id()));
        let server = Server::open(Address::At(path.clone()), events);
        assert!(server.bound.is_some());
        (server, path)
    }

    #[test]
    fn what_the_corpus_sends_is_a_request_or_an_error() {
        let mut events = EventLoop::new().unwrap();
        let (mut server, path) = server("fuzz", &events);
        let now = Instant::now();
        let words = ["\t", "\n", "-", "*", "?", "+", "=", " ", "\0"];
        fuzz("coxctl", &words, 3_000, |data| {
            let mut verdict = Ok(());
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(data).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            server.accept(&mut events, now);
            let n = server.next;
            match server.attend(n, &mut events, now) {
                Heard::Request(words) => {
                    let code = match Request::parse(&words) {
                        Ok(_) => 0,
                        Err(problem) => {
                            assert!(!problem.is_empty());
                            server.tell(n, b'!', &problem);
                            verdict = Err(problem);
                            100
                        }
                    };
                    server.end(n, code);
                    assert!(!server.send(n, &mut events, now));
                    let mut answer = String::new();
                    client.read_to_string(&mut answer).unwrap();
                    let lines: Vec<&str> = answer.lines().collect();
                    let right = match code {
                        0 => lines == ["=0"],
                        _ => lines.len() == 2 && lines[0].starts_with('!') && lines[1] == "=100",
                    };
                    assert!(right, "{data:?}: {lines:?}");
                }
                heard => assert!(heard == Heard::Gone && data.is_empty(), "{heard:?} {data:?}"),
            }
            assert!(server.connections.is_empty());
            verdict
        });
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn silence_ends_with_patience_and_a_stream_with_its_bound() {
        let mut events = EventLoop::new().unwrap();
        let (mut server, path) = server("slow", &events);
        let now = Instant::now();
        let _silent = UnixStream::connect(&path).unwrap();
        let mut slow = UnixStream::connect(&path).unwrap();
        slow.write_all(b"events\n").unwrap();
        server.accept(&mut events, now);
        assert_eq!(server.attend(2, &mut events, now), Heard::Request(vec!["events".into()]));
        let later = now + PATIENCE;
        assert!(!server.due(1, &mut events, later) && server.connection(1).is_none());
        assert!(server.due(2, &mut events, later) || server.connection(2).is_some());
        let line = "x".repeat(1000);
        let told = (0..100_000).take_while(|_| {
            server.tell(2, b'+', &line);
            server.send(2, &mut events, now)
        });
        assert!(told.count() < 10_000);
        assert!(server.connections.is_empty());
    }

    #[test]
    fn those_above_the_limit_wait_for_their_turn() {
        let mut events = EventLoop::new().unwrap();
        let (mut server, path) = server("many", &events);
        let now = Instant::now();
        let clients: Vec<_> = (0..MOST + 5).map(|_| UnixStream::connect(&path).unwrap()).collect();
        server.accept(&mut events, now);
        assert_eq!(server.connections.len(), MOST);
        drop(clients);
        for n in 1..=MOST as u32 + 5 {
            assert_eq!(server.attend(n, &mut events, now), Heard::Gone);
        }
        assert!(server.connections.is_empty());
    }
}
