//! Files without a name (O_TMPFILE, open(2)): one goes when its last descriptor is closed, unless it
//! was given a name before.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file on the file system of `dir`, for writing.
pub fn create(dir: &Path) -> io::Result<File> {
    File::options().write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(dir)
}

/// Whether `error` says that this file system knows only files with names (as NFS).
pub fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR))
}

/// Gives it a name; EEXIST where that is taken.
pub fn link(file: &File, path: &Path) -> io::Result<()> {
    // By way of /proc: by the descriptor itself only CAP_DAC_READ_SEARCH may.
    let old = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let new = CString::new(path.as_os_str().as_bytes())?;
    let (here, flags) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: live C strings.
    match unsafe { libc::linkat(here, old.as_ptr(), here, new.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
