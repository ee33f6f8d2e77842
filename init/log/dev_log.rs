//! The socket that syslog(3) writes to, where the container has none.

use coracle::error::{Error, OsContext, Result};
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Removed with this value.
#[derive(Debug)]
pub struct DevLog {
    socket: UnixDatagram,
    path: PathBuf,
}

impl DevLog {
    /// `None` where something is there already that may be in use.
    pub fn open(path: &Path) -> Result<Option<DevLog>> {
        if let Ok(meta) = fs::symlink_metadata(path) {
            if !meta.file_type().is_socket() || has_owner(path) {
                return Ok(None);
            }
            fs::remove_file(path).on("remove", path)?;
        }
        let bound = UnixDatagram::bind(path).map_err(|e| {
            let read_only = e.kind() == ErrorKind::ReadOnlyFilesystem;
            let error = Error::os("make", path.display().to_string(), e);
            if read_only {
                error.hint("mount a tmpfs on /dev, or set dev-log = false")
            } else {
                error
            }
        });
        let log = DevLog { socket: bound?, path: path.to_path_buf() };
        // Programs of every user write to it.
        fs::set_permissions(path, Permissions::from_mode(0o666)).on("change mode of", path)?;
        log.socket.set_nonblocking(true).on("set up", path)?;
        Ok(Some(log))
    }

    /// The next datagram, as much of it as fits into `buffer`; `WouldBlock` if there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer)
    }
}

impl AsFd for DevLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for DevLog {
    fn drop(&mut self) {
        // It is in the way of nobody where that fails: the next one replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether somebody receives what is sent there: not after a supervisor that was killed.
fn has_owner(path: &Path) -> bool {
    let refused = |e: io::Error| e.kind() == ErrorKind::ConnectionRefused;
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    !connected.is_err_and(refused)
}
