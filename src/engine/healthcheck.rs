//! `healthcheck run`: a health check at once. It is the container's monitor that makes it, as it makes
//! all of them, so that what comes of it counts like any other.

use super::Engine;
use crate::container::{Client, Frame};
use crate::error::{Error, OsContext, Result};

impl Engine {
    /// Has a running container checked now; whether it went well.
    pub fn healthcheck(&self, name: &str) -> Result<bool> {
        self.begin()?;
        let dir = self.find(name)?;
        if dir.config()?.health.command().is_none() {
            let text = format!("container {name} has no health check");
            return Err(Error::conflict(text).hint("create it with --health-cmd"));
        }
        self.awake(&dir, name, "its health is checked")?;
        let mut client = Client::connect(&dir.socket()).on("connect to", dir.socket())?;
        client.send(&Frame::Check).on("speak to", "the monitor")?;
        loop {
            match client.receive().on("hear from", "the monitor")? {
                Some(Frame::Checked(Some(code))) => return Ok(code == 0),
                Some(Frame::Checked(None)) => {
                    self.awake(&dir, name, "its health is checked")?;
                    return Err(Error::conflict(format!("container {name} is just not checked"))
                        .hint("try again"));
                }
                Some(Frame::Unknown { .. }) => {
                    let text = "the container's monitor is of an older release, and makes no check when it is asked";
                    return Err(Error::conflict(text).hint("restart the container"));
                }
                Some(Frame::Exited { .. } | Frame::Failed { .. }) | None => {
                    let text = format!("container {name} ended, or lost its monitor, meanwhile");
                    return Err(Error::conflict(text));
                }
                Some(_) => {}
            }
        }
    }
}
