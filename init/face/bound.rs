//! A unix socket with a name: made, taken over from whoever has died, removed.

use coracle::error::{OsContext, Result};
use coracle::sys::process;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The file is removed with this value.
#[derive(Debug)]
pub struct Bound {
    pub listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Bound {
    /// A listener there, unless somebody else has one. What nobody listens on any more is replaced.
    pub fn new(path: &Path, mode: u32) -> Result<Option<Bound>> {
        // Nobody else gets in before its mode is right.
        let old = process::set_umask(0o177);
        let mut bound = UnixListener::bind(path);
        if bound.as_ref().is_err_and(|e| e.kind() == ErrorKind::AddrInUse) && is_stale(path) {
            bound = fs::remove_file(path).and_then(|()| UnixListener::bind(path));
        }
        process::set_umask(old);
        let listener = match bound {
            Err(e) if e.kind() == ErrorKind::AddrInUse => return Ok(None),
            other => other.on("listen on", path)?,
        };
        listener.set_nonblocking(true).on("set up", path)?;
        if mode != 0o600 {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).on("set up", path)?;
        }
        let inode = fs::symlink_metadata(path).on("look at", path)?.ino();
        Ok(Some(Bound { listener, path: path.to_path_buf(), inode }))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Somebody else's by now?
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether it is a socket that nobody listens on.
fn is_stale(path: &Path) -> bool {
    // mio's connect does not wait, whatever the state of the other side.
    let refused = || {
        let connected = mio::net::UnixStream::connect(path);
        connected.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
    };
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) && refused()
}
