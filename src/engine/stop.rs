//! `stop` and `restart`: the stop signal, a time of grace, SIGKILL. The monitor keeps the time, so
//! that a stop goes on when whoever asked for it dies.

use super::patience::{A_WHILE, Patience, Queue, look_away};
use super::{Engine, monitor};
use crate::container::{Again, Client, Dir, Frame, Live, Status, Want};
use crate::error::{Error, OsContext, Result};
use crate::sys::poll;
use crate::types::{Signal, Timestamp};
use std::os::fd::AsFd;
use std::time::Duration;

/// What is asked of a container's monitor: to stop it, and with `Want::Up` to start it again.
struct Order {
    want: Want,
    signal: Signal,
    seconds: Option<u32>,
    /// How long to wait for who holds the container; else as long as it takes.
    limit: Option<Duration>,
}

enum Given {
    WasDown,
    Done,
}

impl Engine {
    /// Stops a container, and returns when it is down and recorded. One that is down already is
    /// fine. `signal` and `seconds` replace the container's own stop signal and time of grace.
    pub fn stop(&self, name: &str, signal: Option<Signal>, seconds: Option<u32>) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let config = dir.config()?;
        let settings = dir.settings()?;
        let signal = signal.unwrap_or(config.stop_signal);
        if dir.state()?.status == Status::Running {
            self.tell_of(&dir, "kill", &[("signal", &signal.number().to_string())]);
        }
        if self.stop_dir(&dir, signal, seconds.or(Some(config.stop_timeout)), None)? {
            self.tell_of_this(&config, &settings.name, "stop", &[]);
        }
        Ok(())
    }

    /// Stops a container and starts it again; both are its monitor's work, so that it comes up
    /// again even where we die, and one with `--rm` is not removed in between.
    pub fn restart(&self, name: &str, signal: Option<Signal>, seconds: Option<u32>) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let config = dir.config()?;
        let before = dir.state()?.started;
        let order = Order {
            want: Want::Up,
            signal: signal.unwrap_or(config.stop_signal),
            seconds: seconds.or(Some(config.stop_timeout)),
            limit: None,
        };
        match self.give(&dir, order)? {
            Given::Done if self.came_up(&dir, before)? => {}
            _ => self.start(name)?,
        }
        self.tell_of(&dir, "restart", &[]);
        Ok(())
    }

    /// Returns when the container is down, recorded, and with `--rm` gone. Whether it was up.
    pub(super) fn stop_dir(
        &self,
        dir: &Dir,
        signal: Signal,
        seconds: Option<u32>,
        limit: Option<Duration>,
    ) -> Result<bool> {
        if let Given::Done = self.give(dir, Order { want: Want::Down, signal, seconds, limit })? {
            return Ok(true);
        }
        // It was down already, but its monitor may not be done with it, or have died over it.
        match dir.state() {
            Ok(state) if state.status == Status::Created || !state.ephemeral => {}
            _ => self.repair(dir, dir.wait_live()?)?,
        }
        Ok(false)
    }

    /// Goes on until the run has ended, whoever dies in between: a monitor that is gone is made
    /// anew, and asked again.
    fn give(&self, dir: &Dir, order: Order) -> Result<Given> {
        let Order { want, signal, seconds, limit } = order;
        let signal = u8::try_from(signal.number()).unwrap_or(15);
        let restart = want == Want::Up;
        let mut patience = Patience::new(dir);
        let mut queue = Queue::new(self, dir, limit);
        loop {
            let up = dir.update_state(|state| {
                if state.status.is_up() {
                    state.want = want;
                }
                state.status.is_up()
            });
            match up {
                Ok(true) => {}
                Ok(false) => return Ok(Given::WasDown),
                // Removed meanwhile.
                Err(error) if error.is_not_found() && !restart => return Ok(Given::WasDown),
                Err(error) => return Err(error),
            }
            let Ok(mut client) = Client::connect(&dir.socket()) else {
                self.begin()?;
                patience.wait()?;
                continue;
            };
            let asked = client.send(&Frame::Stop { signal, seconds, restart });
            // A monitor that dies, or is just ending, hangs up.
            while asked.is_ok() {
                if !client.has_frame()
                    && !poll::readable(client.as_fd(), Some(A_WHILE)).on("poll", "")?
                {
                    queue.look()?;
                    continue;
                }
                let Ok(Some(frame)) = client.receive() else { break };
                // Where its policy has it started again, the next monitor is asked.
                let wanted = if restart { Again::Asked } else { Again::No };
                if let Frame::Exited { again, .. } = frame
                    && again == wanted
                {
                    return Ok(Given::Done);
                }
            }
            patience.wait()?;
        }
    }

    /// Waits for a container that its monitor is starting again. `false` where it is down and has
    /// not started since `before`: whoever was to do it died.
    fn came_up(&self, dir: &Dir, before: Timestamp) -> Result<bool> {
        let mut patience = Patience::new(dir);
        loop {
            let state = match dir.state() {
                // Up, down, and removed already.
                Err(error) if error.is_not_found() => return Ok(true),
                state => state?,
            };
            match state.status {
                Status::Running => return Ok(true),
                status if status.is_up() => {}
                _ if state.started != before => return Ok(true),
                _ if state.error.is_empty() => return Ok(false),
                _ => return Err(Error::conflict(state.error)),
            }
            let Ok(mut client) = Client::connect(&dir.socket()) else {
                self.begin()?;
                patience.wait()?;
                continue;
            };
            if dir.state().is_ok_and(|state| state.status == Status::Running) {
                return Ok(true);
            }
            while let Ok(Some(frame)) = client.receive() {
                match frame {
                    Frame::Started => return Ok(true),
                    Frame::Failed { code, text, hint } => {
                        return Err(monitor::failure(code, text, hint));
                    }
                    _ => {}
                }
            }
            patience.wait()?;
        }
    }

    /// The right to work on a container that is down; `None` where it is up. Its last monitor may
    /// be just about to leave.
    pub(super) fn down(&self, dir: &Dir) -> Result<Option<Live>> {
        self.down_within(dir, None)
    }

    /// The same, where nobody holds it for longer than `limit`.
    pub(super) fn down_within(&self, dir: &Dir, limit: Option<Duration>) -> Result<Option<Live>> {
        let mut queue = Queue::new(self, dir, limit);
        loop {
            if let Some(live) = dir.try_live()? {
                // Nobody stands by it, and yet it may live: then it is the sweep's business.
                return match dir.state() {
                    Ok(state) if state.status.is_up() => {
                        self.repair(dir, live)?;
                        match dir.state()?.status.is_up() {
                            true => Ok(None),
                            false => continue,
                        }
                    }
                    _ => Ok(Some(live)),
                };
            }
            if dir.state().is_ok_and(|state| state.status.is_up()) {
                return Ok(None);
            }
            // Whoever holds it may have much to remove.
            look_away();
            queue.look()?;
        }
    }
}
