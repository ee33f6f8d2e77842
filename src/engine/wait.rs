//! `wait`: until a container ends, and its exit code.

use super::Engine;
use super::patience::Patience;
use crate::container::{Client, Frame};
use crate::error::Result;

impl Engine {
    /// Waits for the end of the container's present run, also where its policy starts it again
    /// (as Docker does). One that is down answers at once, with the code of its last run.
    pub fn wait(&self, name: &str) -> Result<i32> {
        let dir = self.find(name)?;
        let mut patience = Patience::new(&dir);
        loop {
            let state = dir.state()?;
            if !state.status.is_up() {
                return Ok(state.exit_code);
            }
            match Client::connect(&dir.socket()) {
                Ok(mut client) => {
                    while let Ok(Some(frame)) = client.receive() {
                        if let Frame::Exited { code, .. } = frame {
                            return Ok(code);
                        }
                    }
                }
                // No monitor listens: it is just coming or going, or was killed.
                Err(_) => {
                    self.begin()?;
                    patience.wait()?;
                }
            }
        }
    }
}
