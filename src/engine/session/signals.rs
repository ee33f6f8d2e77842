//! What signals do to a session: they are forwarded to the program, or end the session.

use super::FORWARDED;
use crate::error::{OsContext, Result};
use crate::sys::signal::{self, SignalFd};
use crate::types::Signal;
use std::os::fd::{AsFd, BorrowedFd};

/// Sends a signal to the program. One that is gone needs none.
pub type Forward = Box<dyn Fn(Signal)>;

/// Blocks the signals of a session: from here on they wait for it. To be called before the
/// container starts, so that none is lost or kills us meanwhile. What nohup(1), or a shell of its
/// background jobs, has us ignore stays ignored: blocked, it would come all the same.
pub fn catch() -> Result<SignalFd> {
    let heard = FORWARDED.iter().fold(signal::bit(Signal::WINCH), |m, s| m | signal::bit(*s));
    let mask = heard & !signal::ignored();
    signal::set_mask(mask).on("block", "signals")?;
    SignalFd::new(mask).on("signalfd", "")
}

pub(super) struct Signals<'a> {
    source: &'a SignalFd,
    /// Without, a signal is meant for ourselves.
    forward: Option<Forward>,
    /// Our terminal has another size.
    pub resized: bool,
    /// We were stopped: our shell has used the terminal meanwhile.
    pub continued: bool,
    /// We are asked to end.
    pub ended_by: Option<Signal>,
}

impl<'a> Signals<'a> {
    pub fn new(source: &'a SignalFd, forward: Option<Forward>) -> Signals<'a> {
        // The terminal's size may have changed since the program's was made.
        Signals { source, forward, resized: true, continued: false, ended_by: None }
    }

    pub fn fd(&self) -> BorrowedFd<'a> {
        self.source.as_fd()
    }

    /// Takes what has come.
    pub fn receive(&mut self) -> Result<()> {
        while let Some(received) = self.source.read().on("read", "a signal")? {
            match (received.signal, &self.forward) {
                (Signal::WINCH, _) => self.resized = true,
                (signal, Some(forward)) => forward(signal),
                (Signal::CONT, None) => (self.continued, self.resized) = (true, true),
                (signal, None) => self.ended_by = Some(signal),
            }
        }
        Ok(())
    }
}
