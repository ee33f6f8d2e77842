//! A terminal session: bytes between the caller's standard descriptors and a container, until
//! either ends. Serves `run`, `attach`, `start -a` (through a monitor) and `exec -t` (straight).
//!
//! While it lasts, our terminal is raw (with `-t`), its size is passed on, signals are forwarded
//! to the container where asked, and ctrl-p ctrl-q detaches.

use crate::container::Terminal;
use crate::error::{OsContext, Result};
use crate::sys::signal::{self, SignalFd};
use crate::sys::{fd, poll, tty};
use crate::types::Signal;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the other side does with what we pass on.
pub trait Peer {
    /// Readable when something has come.
    fn fd(&self) -> BorrowedFd<'_>;
    /// Something has come already, and was read together with what came before it.
    fn has_pending(&self) -> bool {
        false
    }
    fn input(&mut self, data: &[u8]) -> Result<()>;
    fn input_ended(&mut self) -> Result<()>;
    fn resize(&mut self, rows: u16, columns: u16) -> Result<()>;
    fn signal(&mut self, signal: Signal) -> Result<()>;
    /// Takes what has come; the exit code at the end.
    fn receive(&mut self, sink: &mut dyn FnMut(Output, &[u8]) -> Result<()>)
    -> Result<Option<i32>>;
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

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pass our stdin on.
    pub stdin: bool,
    /// The container has a terminal.
    pub tty: bool,
    /// ctrl-p ctrl-q, or whatever was chosen, leaves the container running.
    pub detach_keys: Option<[u8; 2]>,
}

impl Options {
    pub const DETACH_KEYS: [u8; 2] = [16, 17];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Exited(i32),
    Detached,
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

/// Blocks the forwarded signals: from here on they wait for the session. To be called before the
/// container starts, so that none is lost or kills us meanwhile.
pub fn catch_signals(sig_proxy: bool) -> Result<SignalFd> {
    let mut mask = signal::bit(Signal::WINCH);
    if sig_proxy {
        mask |= FORWARDED.iter().fold(0, |mask, s| mask | signal::bit(*s));
    }
    signal::set_mask(mask).on("block", "signals")?;
    SignalFd::new(mask).on("signalfd", "")
}

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
    signals: &SignalFd,
) -> Result<End> {
    let stdin = standard.input;
    let is_terminal = options.tty && fd::is_terminal(stdin);
    let _raw = match is_terminal && options.stdin {
        true => Some(tty::Raw::enter(stdin).on("prepare", "the terminal")?),
        false => None,
    };
    if is_terminal && let Ok((rows, columns)) = tty::size(stdin) {
        peer.resize(rows, columns)?;
    }
    let mut input = options.stdin.then_some(stdin);
    let mut keys = DetachKeys::new(options.detach_keys.filter(|_| options.tty));
    loop {
        let ready = if peer.has_pending() {
            vec![true]
        } else {
            let mut fds = vec![peer.fd(), signals.as_fd()];
            fds.extend(input);
            poll::all_readable(&fds).on("poll", "")?
        };
        let [from_peer, from_signals, from_input] =
            [0, 1, 2].map(|i| ready.get(i).copied().unwrap_or(false));
        if from_peer {
            let end = peer.receive(&mut |output, data| match output {
                Output::Stdout => write_all(standard.output, data),
                Output::Stderr => write_all(standard.error, data),
            })?;
            if let Some(code) = end {
                return Ok(End::Exited(code));
            }
        }
        if from_signals {
            while let Some(received) = signals.read().on("read", "a signal")? {
                match received.signal {
                    Signal::WINCH if is_terminal => {
                        if let Ok((rows, columns)) = tty::size(stdin) {
                            peer.resize(rows, columns)?;
                        }
                    }
                    Signal::WINCH => {}
                    signal => peer.signal(signal)?,
                }
            }
        }
        if from_input {
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

fn write_all(to: BorrowedFd, data: &[u8]) -> Result<()> {
    let mut rest = data;
    while !rest.is_empty() {
        match fd::write(to, rest) {
            Ok(n) => rest = &rest[n..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                poll::writable(to, std::time::Duration::from_secs(3600)).on("poll", "")?;
            }
            Err(e) => return Err(crate::error::Error::os("write", "standard output", e)),
        }
    }
    Ok(())
}

/// Finds the detach sequence in what is typed, over the borders of reads.
struct DetachKeys {
    keys: Option<[u8; 2]>,
    /// The first key was typed last, and is held back.
    pending: bool,
}

impl DetachKeys {
    fn new(keys: Option<[u8; 2]>) -> DetachKeys {
        DetachKeys { keys, pending: false }
    }

    /// What to pass on, and whether the sequence is complete.
    fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let Some([first, second]) = self.keys else {
            return (typed.to_vec(), false);
        };
        let mut pass = Vec::with_capacity(typed.len() + 1);
        for &key in typed {
            if self.pending && key == second {
                return (pass, true);
            }
            if self.pending {
                pass.push(first);
            }
            self.pending = key == first;
            if !self.pending {
                pass.push(key);
            }
        }
        (pass, false)
    }
}

/// The master of a terminal whose program is our own child.
pub struct Direct {
    pub master: OwnedFd,
    pub process: OwnedFd,
}

impl Peer for Direct {
    fn fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
    fn input(&mut self, data: &[u8]) -> Result<()> {
        write_all(self.master.as_fd(), data)
    }
    fn input_ended(&mut self) -> Result<()> {
        Ok(())
    }
    fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        tty::set_size(self.master.as_fd(), rows, columns).on("resize", "the terminal")
    }
    fn signal(&mut self, signal: Signal) -> Result<()> {
        // A process that is gone needs none.
        let _ = crate::sys::pidfd::send_signal(self.process.as_fd(), signal);
        Ok(())
    }
    fn receive(
        &mut self,
        sink: &mut dyn FnMut(Output, &[u8]) -> Result<()>,
    ) -> Result<Option<i32>> {
        let mut data = [0; 65536];
        match fd::read(self.master.as_fd(), &mut data) {
            Ok(n) if n > 0 => sink(Output::Stdout, &data[..n]).map(|()| None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(None),
            // EIO: nobody has the terminal open any more.
            _ => {
                let exit = crate::sys::pidfd::wait(self.process.as_fd());
                Ok(Some(exit.on("wait for", "the program")?.code()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_keys_are_found_and_nothing_else_is_lost() {
        let mut keys = DetachKeys::new(Some([16, 17]));
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11z"), (Vec::new(), true));
        assert_eq!(DetachKeys::new(None).filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
