//! `start`, and `run`: a container that exists gets a monitor, which starts it.

use super::Engine;
use super::create::New;
use super::options::Options;
use crate::container::{Client, Dir, Frame, Live, Status, Want};
use crate::error::Result;
use crate::types::ContainerId;

/// A container that was started: its id, and the connection over which its end will be told.
pub struct Started {
    pub id: ContainerId,
    pub client: Client,
}

impl Engine {
    /// Starts a container and lets it be. One that runs already is fine.
    pub fn start(&self, name: &str) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        match self.take_down(&dir)? {
            Some(live) => self.start_live(&dir, live, None).map(drop),
            None => Ok(()),
        }
    }

    /// Starts a container with its outputs (and stdin) attached from the first byte.
    pub fn start_attached(&self, name: &str, stdin: bool) -> Result<Started> {
        self.begin()?;
        let dir = self.find(name)?;
        let attach = Frame::Attach { stdin, stdout: true, stderr: true };
        match self.take_down(&dir)? {
            Some(live) => {
                let client = self.start_live(&dir, live, Some(attach))?;
                Ok(Started { id: dir.id, client })
            }
            None => self.attach(name, stdin),
        }
    }

    /// Creates and starts; `attach` is what to attach from the first byte. A container that
    /// could not be started and was to be removed at its end is gone.
    pub fn run(&self, options: &Options, attach: Option<Frame>) -> Result<Started> {
        let New { dir, live } = self.create_live(options)?;
        self.run_created(&dir, live, attach)
    }

    pub(super) fn run_created(
        &self,
        dir: &Dir,
        live: Live,
        attach: Option<Frame>,
    ) -> Result<Started> {
        let client = self.start_live(dir, live, attach)?;
        Ok(Started { id: dir.id.clone(), client })
    }

    fn start_live(&self, dir: &Dir, live: Live, attach: Option<Frame>) -> Result<Client> {
        dir.update_state(|state| {
            state.want = Want::Up;
            state.status = Status::Starting;
            state.restarts = 0;
            state.backoff = 0;
            state.error.clear();
        })?;
        self.start_monitor(dir, live, attach)
    }

    /// The right to start a container; `None` where it is up already.
    fn take_down(&self, dir: &Dir) -> Result<Option<Live>> {
        if let Some(live) = dir.try_live()? {
            return Ok(Some(live));
        }
        match dir.state()?.status {
            Status::Starting | Status::Running | Status::Restarting => Ok(None),
            // Its monitor is about to leave.
            _ => dir.wait_live().map(Some),
        }
    }
}
