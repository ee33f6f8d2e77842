//! A supervised service seen by a tool, and waiting until services change.
//!
//! The control FIFO stays open for as long as the service is looked at: its writing end tells of an
//! error once nobody holds the other one, so the end of a supervisor, however it comes, is an event
//! too.

use crate::face::fifo;
use crate::face::status::Status;
use coracle::error::{Error, OsContext, Result};
use coracle::sys::fs::read_small;
use coracle::sys::inotify::{ENTRIES, Inotify};
use coracle::sys::poll::{self, Interest};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub struct Peer {
    supervise: PathBuf,
    control: File,
}

/// A status is no larger.
const LARGEST: usize = 256;

impl Peer {
    /// The service in `dir`; `None` where nobody supervises it.
    pub fn open(dir: &Path) -> Result<Option<Peer>> {
        let supervise = fifo::locate(dir);
        let control = fifo::open_control(&supervise)?;
        Ok(control.map(|control| Peer { supervise, control }))
    }

    pub fn status(&self) -> Result<Status> {
        let path = self.supervise.join("status");
        let bytes = read_small(&path, LARGEST).on("read", &path)?;
        let damaged = || Error::damaged(format!("{}: not a status", path.display()));
        Status::decode(&bytes).ok_or_else(damaged)
    }

    pub fn send(&self, letters: &[u8]) -> Result<()> {
        (&self.control).write_all(letters).on("write", self.supervise.join("control"))
    }

    /// Whether it is still supervised.
    pub fn is_alive(&self) -> bool {
        let told = poll::readable(self.control.as_fd(), Some(Duration::ZERO));
        !told.unwrap_or(false)
    }
}

/// Waits for changes of services, up to a deadline.
pub struct Watch {
    inotify: Inotify,
    deadline: Option<Instant>,
}

impl Watch {
    pub fn new(limit: Option<Duration>) -> Result<Watch> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Ok(Watch { inotify: Inotify::new().on("start", "inotify")?, deadline })
    }

    /// From here on no change of `peer` is missed.
    pub fn add(&self, peer: &Peer) -> Result<()> {
        self.inotify.watch(&peer.supervise, ENTRIES).on("watch", &peer.supervise).map(drop)
    }

    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// The time until the deadline.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Waits until some of `peers` may have changed or lost their supervisor, or the deadline has
    /// come, or `at_most` has passed.
    pub fn wait<'a>(
        &self,
        peers: impl Iterator<Item = &'a Peer>,
        at_most: Option<Duration>,
    ) -> Result<()> {
        let limit = [self.left(), at_most].into_iter().flatten().min();
        let fds = peers.map(|peer| peer.control.as_fd()).chain([self.inotify.as_fd()]);
        let fds: Vec<_> = fds.map(|fd| (fd, Interest::Read)).collect();
        poll::ready(&fds, limit).on("wait for", "changes")?;
        self.inotify.drain().on("read", "changes").map(drop)
    }
}
