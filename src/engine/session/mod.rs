//! A terminal session: bytes between the caller's standard descriptors and a program in a
//! container, until either ends. Serves `run`, `attach`, `start -a` (through a monitor) and `exec`
//! (straight).
//!
//! While it lasts, our terminal is raw (with `-t`), its size is passed on, signals are forwarded
//! to the program or end the session, and ctrl-p ctrl-q detaches. Neither side's slowness keeps
//! the other direction, or a signal, waiting: what the program does not read yet waits in the
//! peer, what our own output does not take yet in the outbox, and all is moved in small pieces.

mod keys;
mod outbox;
mod signals;

pub use keys::Keys;
pub use outbox::Outbox;
pub use signals::{Forward, catch};

use crate::container::Terminal;
use crate::error::{OsContext, Result};
use crate::sys::poll::{self, Interest};
use crate::sys::signal::SignalFd;
use crate::sys::{fd, tty};
use crate::types::Signal;
use keys::DetachKeys;
use signals::Signals;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The other side. Nothing here blocks.
pub trait Peer {
    /// Readable when something has come.
    fn sources(&self) -> Vec<BorrowedFd<'_>>;
    /// Something has come already, and was read together with what came before it.
    fn has_pending(&self) -> bool {
        false
    }
    /// Takes some of what has come; the exit code at the end.
    fn receive(&mut self, out: &mut Outbox) -> Result<Option<i32>>;
    /// Takes input, to be passed on as the other side takes it.
    fn input(&mut self, data: &[u8]) -> Result<()>;
    fn input_ended(&mut self) -> Result<()>;
    /// Writable when more of the input that waits can go; `None` where none waits.
    fn blocked(&self) -> Option<BorrowedFd<'_>>;
    /// Passes on what waits, as far as it goes.
    fn flush(&mut self) -> Result<()>;
    fn resize(&mut self, rows: u16, columns: u16) -> Result<()>;
    fn forward(&self) -> Result<Forward>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    Stdout,
    Stderr,
}

/// The caller's own standard descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Standard<'a> {
    pub input: BorrowedFd<'a>,
    pub output: BorrowedFd<'a>,
    pub error: BorrowedFd<'a>,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Pass our stdin on.
    pub stdin: bool,
    /// The program has a terminal.
    pub tty: bool,
    /// Signals are for the program; else they end the session.
    pub sig_proxy: bool,
    /// What leaves the container running.
    pub detach_keys: Option<Keys>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Exited(i32),
    Detached,
    /// A signal asked us, not the program, to end; SIGPIPE: nobody reads our output any more.
    Signalled(Signal),
}

/// The signals that are forwarded: what people and scripts send to a foreground program.
const FORWARDED: [Signal; 7] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::CONT,
];

/// How large the terminal is, if it is one.
pub fn terminal_size(fd: BorrowedFd) -> Option<Terminal> {
    let (rows, columns) = tty::size(fd).ok()?;
    Some(Terminal { rows, columns })
}

/// Runs the session. The terminal is put back as it was, whatever happens.
pub fn run(
    peer: &mut dyn Peer,
    standard: Standard,
    options: Options,
    source: &SignalFd,
) -> Result<End> {
    let stdin = standard.input;
    let is_terminal = options.tty && fd::is_terminal(stdin);
    let raw = match is_terminal && options.stdin {
        true => Some(tty::Raw::enter(stdin).on("prepare", "the terminal")?),
        false => None,
    };
    let mut input = options.stdin.then_some(stdin);
    let mut keys = DetachKeys::new(options.detach_keys.filter(|_| options.tty));
    let forward = if options.sig_proxy { Some(peer.forward()?) } else { None };
    let mut signals = Signals::new(source, forward);
    let mut outbox = Outbox::default();
    let mut ended = None;
    loop {
        if let Some(signal) = signals.ended_by {
            return Ok(End::Signalled(signal));
        }
        let next = outbox.next(standard);
        if let (Some(code), None) = (ended, next) {
            return Ok(End::Exited(code));
        }
        if std::mem::take(&mut signals.continued)
            && let Some(raw) = &raw
        {
            raw.again().on("prepare", "the terminal")?;
        }
        if std::mem::take(&mut signals.resized)
            && is_terminal
            && let Ok((rows, columns)) = tty::size(stdin)
        {
            peer.resize(rows, columns)?;
        }
        let feeding = ended.is_none().then_some(input);
        let ready = wait(peer, &signals, next, feeding)?;
        if ready.signals {
            signals.receive()?;
        }
        let mut is_read = true;
        match next {
            Some(to) if ready.output => is_read = outbox.write(to)?,
            None if ready.peer => ended = peer.receive(&mut outbox)?,
            _ => {}
        }
        if !is_read {
            // Any other program is told so by SIGPIPE; we ignore it.
            return Ok(End::Signalled(Signal::PIPE));
        }
        if ready.blocked {
            peer.flush()?;
        }
        if ready.input {
            let mut data = [0; 16384];
            match fd::read(stdin, &mut data) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) if n > 0 => {
                    let (pass, detach) = keys.filter(&data[..n]);
                    peer.input(&pass)?;
                    if detach {
                        return Ok(End::Detached);
                    }
                }
                // The end, or a terminal that hung up.
                _ => {
                    input = None;
                    peer.input_ended()?;
                }
            }
        }
    }
}

#[derive(Default)]
struct Ready {
    signals: bool,
    /// Our output takes more.
    output: bool,
    peer: bool,
    /// The peer can pass on more of our input.
    blocked: bool,
    input: bool,
}

/// Waits for whatever can go on: output first that waits for `next`, then the peer's; input only
/// when the peer has passed on what it had, and neither where nobody is there to be fed.
fn wait(
    peer: &dyn Peer,
    signals: &Signals,
    next: Option<BorrowedFd>,
    feeding: Option<Option<BorrowedFd>>,
) -> Result<Ready> {
    let has_pending = next.is_none() && peer.has_pending();
    let mut fds = vec![(signals.fd(), Interest::Read)];
    match next {
        Some(to) => fds.push((to, Interest::Write)),
        None => fds.extend(peer.sources().into_iter().map(|fd| (fd, Interest::Read))),
    }
    let moving = 1..fds.len();
    let blocked = peer.blocked().filter(|_| feeding.is_some());
    match blocked {
        Some(fd) => fds.push((fd, Interest::Write)),
        None => fds.extend(feeding.flatten().map(|fd| (fd, Interest::Read))),
    }
    let ready = poll::ready(&fds, has_pending.then_some(Duration::ZERO)).on("poll", "")?;
    let last = ready.get(moving.end) == Some(&true);
    let moves = ready.get(moving).is_some_and(|ready| ready.contains(&true));
    Ok(Ready {
        signals: ready.first() == Some(&true),
        output: next.is_some() && moves,
        peer: next.is_none() && (has_pending || moves),
        blocked: blocked.is_some() && last,
        input: blocked.is_none() && last,
    })
}
