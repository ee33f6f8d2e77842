//! The socket at which a container's program says that it is ready (sd_notify(3)): a directory of
//! the run directory, mounted in the container, so that the next monitor can put its own there.

use super::monitor::{Act, Service};
use super::{Dir, Frame};
use crate::error::{OsContext, Result};
use crate::sys::fd;
use crate::types::passed_on;
use std::fs::{self, Permissions};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

/// Where the directory is for the program, and its NOTIFY_SOCKET.
pub const INSIDE: &str = "/dev/notify";
pub const VARIABLE: &str = "NOTIFY_SOCKET";
pub const SOCKET: &str = "/dev/notify/socket";

/// Messages that are passed on before others of the monitor's get their turn.
const TURN: usize = 64;
/// More than any message has that is for us.
const MESSAGE: usize = 4096;

pub struct Notify {
    socket: UnixDatagram,
    /// There may be more.
    more: bool,
}

impl Notify {
    pub fn open(dir: &Dir) -> Result<Notify> {
        let place = dir.notify();
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&place).on("create", &place)?;
        let path = place.join("socket");
        // The last monitor's leads nowhere.
        let _ = fs::remove_file(&path);
        let (_dir, short) = fd::short_path(&path).on("open", &path)?;
        let socket = UnixDatagram::bind(short).on("listen on", &path)?;
        socket.set_nonblocking(true).on("prepare", &path)?;
        // The program may be anybody.
        fs::set_permissions(&path, Permissions::from_mode(0o666)).on("chmod", &path)?;
        Ok(Notify { socket, more: false })
    }
}

impl AsRawFd for Notify {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Service for Notify {
    fn deadline(&self, _: bool) -> Option<Instant> {
        self.more.then(Instant::now)
    }

    fn serve(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut message = [0; MESSAGE];
        for _ in 0..TURN {
            let Ok(length) = self.socket.recv(&mut message) else {
                self.more = false;
                return acts;
            };
            let text = passed_on(message.get(..length).unwrap_or_default());
            if !text.is_empty() {
                acts.push(Act::Tell(Frame::Notify(text)));
            }
        }
        self.more = true;
        acts
    }
}
