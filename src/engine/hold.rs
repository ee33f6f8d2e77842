//! Having a container stand still while its files are read.
//!
//! One that is down is held by the right to work on it: nobody starts it meanwhile. One that runs
//! is frozen by its cgroup; before, its monitor is told (`Hold`), which thaws it when whoever froze
//! it says so or has gone, however that came. Where the monitor dies as well, the one that adopts
//! the container thaws it.

use super::patience::Patience;
use super::{Engine, spec};
use crate::container::{Client, Dir, Frame, Live, Status};
use crate::error::{Error, OsContext, Result};

enum Hold {
    Down(Live),
    Frozen(Client),
    /// It runs on.
    Loose,
}

impl Engine {
    /// Does `work` while the container stands still; or, without `pause`, as it runs.
    pub(super) fn hold<T>(
        &self,
        dir: &Dir,
        pause: bool,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let hold = match self.down(dir)? {
            Some(live) => Hold::Down(live),
            None if pause => self.freeze(dir)?,
            None => Hold::Loose,
        };
        let done = work();
        let released = self.release(dir, hold);
        done.and_then(|done| released.map(|()| done))
    }

    fn freeze(&self, dir: &Dir) -> Result<Hold> {
        let mut patience = Patience::new(dir);
        loop {
            if let Ok(mut client) = Client::connect(&dir.socket())
                && client.send(&Frame::Hold).is_ok()
                && is_granted(&mut client)?
            {
                // Between two runs there is nobody to freeze.
                if dir.state()?.status != Status::Running {
                    return Ok(Hold::Frozen(client));
                }
                match self.cgroups()?.open(&spec::cgroup_path(dir))?.freeze() {
                    Ok(()) => return Ok(Hold::Frozen(client)),
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
            Hold::Frozen(mut client) => {
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
