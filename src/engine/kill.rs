//! `kill`: a signal to a container's first process.

use super::Engine;
use crate::container::{Dir, ProcessId, Status, Want};
use crate::error::{Error, OsContext, Result};
use crate::sys::pidfd;
use crate::types::{Pid, Signal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

impl Engine {
    /// Sends a signal. SIGKILL ends the container for good: its restart policy is not asked, and it
    /// is down and recorded when this returns.
    pub fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let process = self.process(&dir, name)?;
        if signal == Signal::KILL {
            dir.update_state(|state| state.want = Want::Down)?;
        }
        pidfd::send_signal(process.fd.as_fd(), signal).on("signal", name)?;
        self.tell_of(&dir, "kill", &[("signal", &signal.number().to_string())]);
        match signal {
            Signal::KILL => self.stop_dir(&dir, signal, None, None).map(drop),
            // It is to hear of it, as with Docker.
            _ if dir.state()?.paused => self.unpause(name),
            _ => Ok(()),
        }
    }

    /// The same of one that is to do something, and so must not be paused.
    pub(super) fn awake(&self, dir: &Dir, name: &str, what: &str) -> Result<First> {
        let first = self.process(dir, name)?;
        match dir.state()?.paused {
            true => Err(Error::conflict(format!(
                "container {name} is paused, unpause the container before {what}"
            ))),
            false => Ok(first),
        }
    }

    /// The container's first process, while it runs.
    pub(super) fn process(&self, dir: &Dir, name: &str) -> Result<First> {
        // Before it is written down as running, it may still stand outside of its root.
        let state = dir.state()?;
        let up = matches!(state.status, Status::Running);
        let process = state.process.filter(|_| up);
        let first = process.and_then(|id| First::open(&id));
        first.ok_or_else(|| {
            Error::conflict(format!("container {name} is not running"))
                .hint(format!("start it: coracle start {name}"))
        })
    }
}

/// A container's first process.
pub(super) struct First {
    pub fd: OwnedFd,
    /// Its number, for as long as it has not ended.
    pub pid: Pid,
}

impl First {
    /// `None` where it has ended.
    pub fn open(id: &ProcessId) -> Option<First> {
        Some(First { fd: id.open()?, pid: id.pid })
    }

    pub fn has_ended(&self) -> bool {
        pidfd::wait_ended(self.fd.as_fd(), Some(Duration::ZERO)).unwrap_or(false)
    }
}
