//! Waiting: descriptors by mio, deadlines by a sorted set, nothing else. With no deadline set it
//! waits without limit, so an idle cox never wakes.

use crate::log::Channel;
use crate::sorted::Set;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Instant;

/// Descriptors that become readable (or writable, if so watched). mio tells each change once: whoever is told reads until
/// nothing is left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Frames of children that could not be executed. First, as their exits follow by signal.
    Reports,
    Signals,
    /// Scan directories have changed.
    Directories,
    /// The control FIFO of this service.
    Control(u32),
    /// The pipe on which this service says that it is ready.
    Ready(u32),
    /// The socket on which it says so (sd_notify).
    Notify(u32),
    /// The connection that a probe of this service tries to make.
    Probe(u32),
    /// What this service writes.
    Output(u32, Channel),
    /// What is sent to /dev/log.
    Syslog,
    /// cox's own stdout or stderr takes more.
    Container(Channel),
    /// Somebody connects to coxctl's socket.
    Listener,
    /// Something happened to this connection of coxctl.
    Connection(u32),
    /// Somebody connects to this socket of supervisor's interface.
    Door(u32),
    /// Something happened to this connection to it.
    Client(u32),
    /// The pipe to the stdin of this service takes more.
    Input(u32),
    /// What this event listener says.
    Ear(u32),
}

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    Service(u32),
    /// The next question of a probe of this service, or the end of patience with the present one.
    Probe(u32),
    /// The scan directories have been quiet for long enough.
    Quiet,
    /// Logs that could not be written are to be tried again.
    Output,
    /// Patience with this connection of coxctl ends, or what it waits for may have come.
    Connection(u32),
    /// Patience with this connection to supervisor's interface ends.
    Client(u32),
    /// Event listeners want to be told the time.
    Tick,
    Shutdown,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wake {
    Io(Source),
    Due(Timer),
}

pub struct EventLoop {
    poll: Poll,
    events: Events,
    deadlines: Set<(Instant, Timer)>,
}

impl EventLoop {
    pub fn new() -> io::Result<EventLoop> {
        Ok(EventLoop {
            poll: Poll::new()?,
            events: Events::with_capacity(64),
            deadlines: Set::new(),
        })
    }

    pub fn watch(&self, fd: BorrowedFd, source: Source) -> io::Result<()> {
        self.register(fd, source, Interest::READABLE)
    }

    /// Tells when `fd` can be written to, or has failed. Refused where it always can, as a file.
    pub fn watch_writable(&self, fd: BorrowedFd, source: Source) -> io::Result<()> {
        self.register(fd, source, Interest::WRITABLE)
    }

    /// Tells when `fd` can be read, or written to again.
    pub fn watch_both(&self, fd: BorrowedFd, source: Source) -> io::Result<()> {
        self.register(fd, source, Interest::READABLE.add(Interest::WRITABLE))
    }

    fn register(&self, fd: BorrowedFd, source: Source, interest: Interest) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&fd), token(source), interest)
    }

    /// Tells of `fd`, which is watched, once more if it is readable: for whoever did not read to
    /// the end.
    pub fn again(&self, fd: BorrowedFd, source: Source) {
        let fd = fd.as_raw_fd();
        // Fails only where the descriptor is not watched.
        let registry = self.poll.registry();
        let _ = registry.reregister(&mut SourceFd(&fd), token(source), Interest::READABLE);
    }

    pub fn unwatch(&self, fd: BorrowedFd) {
        // Fails only where the descriptor was not watched.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
    }

    /// Moves the deadline of `timer` from `old` to `new`.
    pub fn arm(&mut self, timer: Timer, old: Option<Instant>, new: Option<Instant>) {
        if old != new {
            if let Some(old) = old {
                self.deadlines.remove(&(old, timer));
            }
            self.deadlines.extend(new.map(|new| (new, timer)));
        }
    }

    /// Waits for something to happen, and says what, in the order it is to be dealt with.
    pub fn wait(&mut self) -> Vec<Wake> {
        let next = self.deadlines.first().map(|(at, _)| *at);
        // mio rounds up to whole milliseconds, so that we do not wake early and spin.
        let limit = next.map(|at| at.saturating_duration_since(Instant::now()));
        let mut wakes = Vec::new();
        match self.poll.poll(&mut self.events, limit) {
            Ok(()) => {
                let sources = self.events.iter().filter_map(|event| source(event.token()));
                wakes.extend(sources.map(Wake::Io));
            }
            // Interrupted by a stop and a continuation: look at the clock and wait again.
            Err(_) => return wakes,
        }
        // Nobody asks for the time while nothing is due.
        let now = next.map(|_| Instant::now());
        while let Some((at, timer)) = self.deadlines.pop_first() {
            if now.is_none_or(|now| at > now) {
                self.deadlines.insert((at, timer));
                break;
            }
            wakes.push(Wake::Due(timer));
        }
        wakes.sort_unstable();
        wakes
    }
}

/// A token is the kind of its source in the low bits, and above them which of that kind it is.
const KIND_BITS: u32 = 5;

fn token(source: Source) -> Token {
    let (kind, which) = match source {
        Source::Reports => (0, 0),
        Source::Signals => (1, 0),
        Source::Directories => (2, 0),
        Source::Control(id) => (3, id),
        Source::Ready(id) => (4, id),
        Source::Notify(id) => (5, id),
        Source::Probe(id) => (6, id),
        Source::Output(id, Channel::Out) => (7, id),
        Source::Output(id, Channel::Err) => (8, id),
        Source::Syslog => (9, 0),
        Source::Container(Channel::Out) => (10, 0),
        Source::Container(Channel::Err) => (11, 0),
        Source::Listener => (12, 0),
        Source::Connection(n) => (13, n),
        Source::Door(n) => (14, n),
        Source::Client(n) => (15, n),
        Source::Input(id) => (16, id),
        Source::Ear(id) => (17, id),
    };
    Token((which as usize).wrapping_shl(KIND_BITS) | kind)
}

fn source(token: Token) -> Option<Source> {
    let which = token.0.wrapping_shr(KIND_BITS) as u32;
    let kinds = [
        Source::Reports,
        Source::Signals,
        Source::Directories,
        Source::Control(which),
        Source::Ready(which),
        Source::Notify(which),
        Source::Probe(which),
        Source::Output(which, Channel::Out),
        Source::Output(which, Channel::Err),
        Source::Syslog,
        Source::Container(Channel::Out),
        Source::Container(Channel::Err),
        Source::Listener,
        Source::Connection(which),
        Source::Door(which),
        Source::Client(which),
        Source::Input(which),
        Source::Ear(which),
    ];
    kinds.get(token.0 & ((1 << KIND_BITS) - 1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_source() {
        let id = 0x0fff_ffff;
        let sources = [
            Source::Reports,
            Source::Signals,
            Source::Directories,
            Source::Control(id),
            Source::Ready(id),
            Source::Notify(id),
            Source::Probe(id),
            Source::Output(id, Channel::Out),
            Source::Output(id, Channel::Err),
            Source::Syslog,
            Source::Container(Channel::Out),
            Source::Container(Channel::Err),
            Source::Listener,
            Source::Connection(id),
            Source::Door(id),
            Source::Client(id),
            Source::Input(id),
            Source::Ear(id),
        ];
        for wanted in sources {
            assert_eq!(source(token(wanted)), Some(wanted));
        }
    }
}
