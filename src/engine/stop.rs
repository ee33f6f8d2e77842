//! `stop` and `restart`: the stop signal, a time of grace, SIGKILL. The monitor keeps the time, so
//! that a stop goes on when whoever asked for it dies.

use super::Engine;
use crate::container::{Client, Dir, Frame, Live, Want};
use crate::error::Result;
use crate::types::Signal;
use std::time::Duration;

impl Engine {
    /// Stops a container, and returns when it is down and recorded. One that is down already is
    /// fine. `seconds` replaces the container's own time of grace.
    pub fn stop(&self, name: &str, seconds: Option<u32>) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let config = dir.config()?;
        self.stop_dir(&dir, config.stop_signal, seconds.or(Some(config.stop_timeout)))
    }

    pub fn restart(&self, name: &str, seconds: Option<u32>) -> Result<()> {
        self.stop(name, seconds)?;
        self.start(name)
    }

    /// Goes on until the container is down, whoever dies in between: a monitor that is gone is
    /// made anew, and asked again.
    pub(super) fn stop_dir(&self, dir: &Dir, signal: Signal, seconds: Option<u32>) -> Result<()> {
        let number = u8::try_from(signal.number()).unwrap_or(15);
        loop {
            let up = dir.update_state(|state| {
                state.want = Want::Down;
                state.status.is_up()
            });
            match up {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
            let Ok(mut client) = Client::connect(&dir.socket()) else {
                self.begin()?;
                std::thread::sleep(COMING_OR_GOING);
                continue;
            };
            let asked = client.send(&Frame::Stop { signal: number, seconds });
            // A monitor that dies, or is just ending, hangs up.
            while asked.is_ok()
                && let Ok(Some(frame)) = client.receive()
            {
                if let Frame::Exited { again: false, .. } = frame {
                    return Ok(());
                }
            }
        }
    }

    /// The right to work on a container that is down; `None` where it is up. Its last monitor may
    /// be just about to leave.
    pub(super) fn down(&self, dir: &Dir) -> Result<Option<Live>> {
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
            std::thread::sleep(COMING_OR_GOING);
        }
    }
}

/// How long to look away while a monitor comes or goes, which has no event to wait for.
pub(super) const COMING_OR_GOING: Duration = Duration::from_millis(2);
