//! `logs`: what a container has written, and with `follow` what it writes until it is down.

use super::Engine;
use super::patience::Patience;
use crate::container::log::{self, Driver, Follower, Piece, Query, Reader};
use crate::container::{Again, Client, Dir, Frame, Status};
use crate::error::{Error, OsContext, Result};
use crate::sys::poll;
use crate::types::Timestamp;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

impl Engine {
    /// Hands the log to `sink`, piece by piece; `rest` is called before waiting for more, which ends
    /// where nobody reads `audience` any more.
    pub fn logs(
        &self,
        name: &str,
        query: Query,
        follow: bool,
        sink: &mut dyn FnMut(Piece) -> Result<()>,
        rest: &mut dyn FnMut() -> Result<()>,
        audience: BorrowedFd,
    ) -> Result<()> {
        let dir = self.find(name)?;
        let path = dir.log();
        if dir.config()?.log.driver == Driver::None {
            let text = format!("container {name} keeps no log: it was made with --log-driver none");
            return Err(Error::conflict(text).hint("attach to it to see what it writes"));
        }
        // A container that was never started has none.
        if !log::exists(&path) {
            return Ok(());
        }
        if !follow {
            return Reader::open(&path, query)?.read(sink).map(drop);
        }
        let mut follower = Follower::open(&path, query)?;
        let mut life = Life::of(&dir);
        loop {
            // The end is looked for before the log is read, or the last words would be missed.
            let until = query.until.map(|until| Timestamp::now().until(until));
            let is_over = life.is_over(&dir)? || until.is_some_and(|left| left.is_zero());
            if !follower.read(sink)? || is_over {
                return Ok(());
            }
            rest()?;
            if let Some(fd) = life.fd()
                && follower.wait(fd, audience, until)?
            {
                return Ok(());
            }
        }
    }
}

/// What tells us that a container is down.
enum Life {
    Monitor(Client),
    /// Its monitor died: the container's own first process.
    Process(OwnedFd),
    Over,
}

impl Life {
    fn of(dir: &Dir) -> Life {
        let mut patience = Patience::new(dir);
        loop {
            // A container that was removed meanwhile is down as well.
            let Ok(state) = dir.state() else { return Life::Over };
            if !state.status.is_up() {
                return Life::Over;
            }
            if let Ok(client) = Client::connect(&dir.socket()) {
                return Life::Monitor(client);
            }
            if let Some(process) = state.process.and_then(|process| process.open()) {
                return Life::Process(process);
            }
            // Between two runs its monitor comes and goes.
            if state.status == Status::Running || patience.wait().is_err() {
                return Life::Over;
            }
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Life::Monitor(client) => Some(client.as_fd()),
            Life::Process(process) => Some(process.as_fd()),
            Life::Over => None,
        }
    }

    fn is_over(&mut self, dir: &Dir) -> Result<bool> {
        loop {
            let Some(fd) = self.fd() else { return Ok(true) };
            if !poll::readable(fd, Some(Duration::ZERO)).on("poll", dir.path())? {
                return Ok(false);
            }
            let is_alive = match self {
                Life::Monitor(client) => {
                    let got = client.fill().on("hear from", "the monitor")?;
                    while let Some(frame) = client.buffered().on("hear from", "the monitor")? {
                        if let Frame::Exited { again: Again::No, .. } = frame {
                            return Ok(true);
                        }
                    }
                    got > 0
                }
                Life::Process(_) | Life::Over => false,
            };
            if !is_alive {
                *self = Life::of(dir);
            }
        }
    }
}
