//! `kill`: a signal to a container's first process.

use super::Engine;
use crate::container::{Dir, ProcessId, Status, Want};
use crate::error::{Error, OsContext, Result};
use crate::sys::{pidfd, signal};
use crate::types::{ContainerId, Pid, Signal};
use std::fs;
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

    /// Nobody reads the output any more. The first process of a container is spared what SIGPIPE
    /// does to any other that has no handler for it.
    pub fn break_pipe(&self, id: &ContainerId) -> Result<()> {
        let name = id.to_string();
        let dir = self.find(&name)?;
        let Ok(first) = self.process(&dir, &name) else { return Ok(()) };
        let path = format!("/proc/{}/status", first.pid);
        let status = fs::read_to_string(path).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
        let handles = caught & signal::bit(Signal::PIPE) != 0;
        self.kill(&name, if handles { Signal::PIPE } else { Signal::KILL })
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
