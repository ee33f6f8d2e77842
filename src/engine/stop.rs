//! `stop` and `restart`: the stop signal, a time of grace, SIGKILL. The monitor keeps the time, so
//! that a stop goes on when whoever asked for it dies.

use super::Engine;
use crate::container::{Client, Dir, Frame, Status, Want};
use crate::error::{OsContext, Result};
use crate::types::Signal;
use std::io;

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

    pub(super) fn stop_dir(&self, dir: &Dir, signal: Signal, seconds: Option<u32>) -> Result<()> {
        let up = dir.update_state(|state| {
            state.want = Want::Down;
            matches!(state.status, Status::Starting | Status::Running | Status::Restarting)
        })?;
        if !up {
            return Ok(());
        }
        let number = u8::try_from(signal.number()).unwrap_or(15);
        match Client::connect(&dir.socket()) {
            Ok(mut client) => {
                // A monitor that is just ending hangs up in the middle.
                let asked = client.send(&Frame::Stop { signal: number, seconds });
                while asked.is_ok()
                    && let Ok(Some(frame)) = client.receive()
                {
                    if let Frame::Exited { .. } = frame {
                        return Ok(());
                    }
                }
            }
            // It is just ending, or not there yet; either way it looks at what is wanted.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::BrokenPipe
                ) => {}
            Err(e) => return Err(e).on("connect to", dir.socket()),
        }
        // The monitor ended without a word: whatever it left is repaired by the next to hold it.
        match dir.wait_live() {
            Ok(live) if dir.exists() => self.repair(dir, live),
            Ok(live) => live.finish(),
            Err(error) => Err(error),
        }
    }
}
