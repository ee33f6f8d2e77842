//! Having a container stand still: while its files are read, or until it is to go on (`pause`).
//!
//! One that is down is held by the right to work on it: nobody starts it meanwhile; between two runs
//! its monitor holds it down. Who does so writes down what for, and whoever waits for it after a while
//! tells that. One that runs
//! is frozen by its cgroup; before, its monitor is told (`Hold`), which thaws it when whoever froze
//! it says so or has gone, however that came, unless its record says then that it is paused. Where
//! the monitor dies as well, the one that adopts the container does the same.
//!
//! So `pause` holds, freezes, and writes it down; `unpause` holds, takes the word back, and lets
//! go. Killed in between, neither leaves a container frozen of which nobody knows.

use super::patience::Patience;
use super::{Engine, spec};
use crate::container::{Client, Dir, Frame, Live, State, Status};
use crate::error::{Error, OsContext, Result};

enum Hold {
    Down(Live),
    Held(Client),
    /// It runs on.
    Loose,
}

impl Engine {
    /// Does `work`, a part of `verb`, while the container stands still; or, without `pause`, as it
    /// runs. Between two runs it stays down.
    pub(super) fn hold<T>(
        &self,
        dir: &Dir,
        verb: &str,
        pause: bool,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let hold = match self.down(dir)? {
            Some(live) => Hold::Down(live),
            None if !pause && dir.state()?.status == Status::Running => Hold::Loose,
            None => self.grasp(dir, pause)?,
        };
        if !matches!(hold, Hold::Loose) {
            dir.note_holder(verb);
        }
        let done = work();
        let released = self.release(dir, hold);
        done.and_then(|done| released.map(|()| done))
    }

    /// Does `work` while the container is not started; it may end.
    pub(super) fn stay<T>(
        &self,
        dir: &Dir,
        verb: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let hold = match self.down(dir)? {
            Some(live) => Hold::Down(live),
            None => self.grasp(dir, false)?,
        };
        dir.note_holder(verb);
        let done = work();
        match hold {
            Hold::Down(live) => live.finish()?,
            // Its monitor sees that we have gone.
            Hold::Held(_) | Hold::Loose => dir.forget_holder(),
        }
        done
    }

    /// Has a running container stand still until `unpause`, or until it is stopped or killed.
    pub fn pause(&self, name: &str) -> Result<()> {
        self.set_paused(name, true)
    }

    pub fn unpause(&self, name: &str) -> Result<()> {
        self.set_paused(name, false)
    }

    fn set_paused(&self, name: &str, paused: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        self.process(&dir, name)?;
        let is_done = |state: &State| match (state.paused, paused) {
            (true, true) => Err(Error::conflict(format!("container {name} is already paused"))),
            (false, false) => Err(Error::conflict(format!("container {name} is not paused"))),
            _ => Ok(()),
        };
        is_done(&dir.state()?)?;
        let hold = self.grasp(&dir, paused)?;
        let written = match &hold {
            Hold::Held(_) => dir.update_state(|state| {
                is_done(state)?;
                if state.status != Status::Running {
                    return Err(Error::conflict(format!("container {name} is not running")));
                }
                state.paused = paused;
                Ok(())
            }),
            _ => Err(Error::conflict(format!("container {name} has ended"))),
        };
        let released = self.release(&dir, hold);
        written.and_then(|written| written)?;
        self.tell_of(&dir, if paused { "pause" } else { "unpause" }, &[]);
        released
    }

    /// Has a container's monitor hold it, and with `freeze` the container stand still.
    fn grasp(&self, dir: &Dir, freeze: bool) -> Result<Hold> {
        let mut patience = Patience::new(dir);
        loop {
            if let Ok(mut client) = Client::connect(&dir.socket())
                && client.send(&Frame::Hold).is_ok()
                && is_granted(&mut client)?
            {
                // Between two runs there is nobody to freeze.
                if !freeze || dir.state()?.status != Status::Running {
                    return Ok(Hold::Held(client));
                }
                let cgroup = self.cgroups()?.open(&spec::cgroup_path(dir))?;
                if !cgroup.is_there() && self.is_alive(dir)? {
                    let text =
                        "the container runs on meanwhile: only what has a cgroup can be frozen";
                    self.troubles.borrow_mut().push(Error::conflict(text));
                    return Ok(Hold::Loose);
                }
                match cgroup.freeze() {
                    Ok(()) => return Ok(Hold::Held(client)),
                    // Unless it has just ended.
                    Err(e) if self.is_alive(dir)? => return Err(e),
                    Err(_) => {}
                }
            }
            self.begin()?;
            if let Some(live) = self.down(dir)? {
                return Ok(Hold::Down(live));
            }
            patience.wait()?;
        }
    }

    /// Errors: the container did not stand still all the time.
    fn release(&self, dir: &Dir, hold: Hold) -> Result<()> {
        match hold {
            Hold::Down(live) => return live.finish(),
            Hold::Held(mut client) => {
                dir.forget_holder();
                let released = client.send(&Frame::Release).on("speak to", "the monitor");
                if released.is_err() || !is_released(&mut client)? {
                    // A monitor that is gone thaws nobody; the next one does.
                    self.begin()?;
                    return Err(Error::conflict(
                        "the container ended, or lost its monitor, meanwhile",
                    )
                    .hint("try again"));
                }
            }
            Hold::Loose => {}
        }
        // What is being removed was not read whole.
        match dir.state() {
            Ok(state) if state.status != Status::Removing => Ok(()),
            _ => Err(Error::conflict("the container was removed meanwhile")),
        }
    }
}

/// `false` where the monitor is just leaving.
fn is_granted(client: &mut Client) -> Result<bool> {
    loop {
        match client.receive() {
            Ok(Some(Frame::Held)) => return Ok(true),
            Ok(Some(Frame::Unknown { .. })) => {
                let text =
                    "the container's monitor is of an older release, and cannot have it frozen";
                return Err(
                    Error::conflict(text).hint("restart the container, or use --pause=false")
                );
            }
            Ok(Some(Frame::Exited { .. } | Frame::Failed { .. }) | None) | Err(_) => {
                return Ok(false);
            }
            Ok(Some(_)) => {}
        }
    }
}

fn is_released(client: &mut Client) -> Result<bool> {
    loop {
        match client.receive() {
            Ok(Some(Frame::Released)) => return Ok(true),
            Ok(Some(Frame::Exited { .. }) | None) | Err(_) => return Ok(false),
            Ok(Some(_)) => {}
        }
    }
}
