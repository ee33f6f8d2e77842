//! `wait`: until a container ends, and its exit code.

use super::Engine;
use crate::container::{Client, Frame, Status};
use crate::error::Result;
use std::time::Duration;

impl Engine {
    /// Waits until the container is down: an end after which its policy starts it again is none.
    /// One that is down answers at once, with
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
                        if let Frame::Exited { code, again: false } = frame {
                            return Ok(code);
                        }
                    }
                }
                // No monitor listens: it is just coming or going, or was killed.
                Err(_) => {
                    self.begin()?;
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }
}
