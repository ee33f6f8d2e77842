//! `wait`: until a container ends, and its exit code.

use super::Engine;
use crate::container::{Client, Frame, Status};
use crate::error::Result;

impl Engine {
    /// Waits for the end of the container's present run. One that is down answers at once, with
    /// the code of its last run.
    pub fn wait(&self, name: &str) -> Result<i32> {
        let dir = self.find(name)?;
        loop {
            let state = dir.state()?;
            if !matches!(state.status, Status::Starting | Status::Running | Status::Restarting) {
                return Ok(state.exit_code);
            }
            match Client::connect(&dir.socket()) {
                Ok(mut client) => {
                    while let Ok(Some(frame)) = client.receive() {
                        if let Frame::Exited { code } = frame {
                            return Ok(code);
                        }
                    }
                }
                Err(_) => {
                    // No monitor: whoever repairs it, we; then look again.
                    self.begin()?;
                    if let Some(process) = dir.state()?.process.and_then(|p| p.open()) {
                        use std::os::fd::AsFd;
                        let _ = crate::sys::pidfd::wait_ended(
                            process.as_fd(),
                            Some(std::time::Duration::from_millis(100)),
                        );
                    }
                }
            }
        }
    }
}
