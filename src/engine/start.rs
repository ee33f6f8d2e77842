//! `start`, and `run`: a container that exists gets a monitor, which starts it.

use super::Engine;
use super::attach::{Log, open_log};
use super::create::New;
use super::notify::Relay;
use super::options::Options;
use crate::container::{Client, Dir, Frame, Live, Status, Want};
use crate::error::{Cause, Error, Result};
use crate::types::{ContainerId, SdNotify};

/// A container that was started: its id, and the connection over which its end will be told.
pub struct Started {
    pub id: ContainerId,
    pub client: Client,
    /// What was attached.
    pub attach: Option<Frame>,
    pub(super) log: Log,
    pub(super) relay: Option<Relay>,
}

impl Engine {
    /// Starts a container and lets it be. One that runs already is fine.
    pub fn start(&self, name: &str) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        match self.down(&dir)? {
            Some(live) => self.start_with(dir, live, None).and_then(|started| self.detach(started)),
            None if dir.state()?.paused => {
                Err(Error::conflict("cannot start a paused container, try unpause instead"))
            }
            None => Ok(()),
        }
    }

    /// Starts a container with its outputs (and stdin) attached from the first byte.
    pub fn start_attached(&self, name: &str, stdin: bool) -> Result<Started> {
        self.begin()?;
        let dir = self.find(name)?;
        let attach = Frame::Attach { stdin, stdout: true, stderr: true };
        match self.down(&dir)? {
            Some(live) => self.start_with(dir, live, Some(attach)),
            None => self.attach(name, stdin),
        }
    }

    /// Creates and starts; `attach` is what to attach from the first byte. A container that did
    /// not come up is gone again, but for one whose program alone is to blame.
    /// `tell` hears its id before it starts.
    pub fn run(
        &self,
        options: &Options,
        attach: Option<Frame>,
        tell: &mut dyn FnMut(&ContainerId) -> Result<()>,
    ) -> Result<Started> {
        let New { dir, live } = self.create_live(options)?;
        if let Err(error) = tell(&dir.id) {
            drop(live);
            self.forget(&dir);
            return Err(error);
        }
        self.start_with(dir.clone(), live, attach).inspect_err(|error| {
            let is_new = || dir.state().is_ok_and(|state| state.status == Status::Created);
            if matches!(error.root(), Cause::Reported { code: 125, .. }) || is_new() {
                self.forget(&dir);
            }
        })
    }

    fn start_with(&self, dir: Dir, live: Live, attach: Option<Frame>) -> Result<Started> {
        let log = open_log(&dir)?;
        if attach.is_some() {
            self.tell_of(&dir, "attach", &[]);
        }
        let relay = Relay::wanted(dir.config()?.sdnotify, attach.is_some());
        let client = self.start_live(&dir, live, attach.clone(), relay.as_ref())?;
        Ok(Started { id: dir.id, client, attach, log, relay })
    }

    /// Leaves a container that was started alone, once it is ready.
    pub fn detach(&self, started: Started) -> Result<()> {
        let Started { id, client, relay, .. } = started;
        match relay {
            Some(relay) => self.await_ready(&Dir::new(&self.home, &id), client, &relay),
            None => Ok(()),
        }
    }

    fn start_live(
        &self,
        dir: &Dir,
        live: Live,
        attach: Option<Frame>,
        relay: Option<&Relay>,
    ) -> Result<Client> {
        self.settle_network(dir)?;
        dir.update_state(|state| {
            state.want = Want::Up;
            state.status = Status::Starting;
            state.restarts = 0;
            state.backoff = 0;
            state.error.clear();
            state.notifies = relay.is_some_and(|relay| relay.mode == SdNotify::Container);
        })?;
        self.start_monitor(dir, live, attach)
    }
}
