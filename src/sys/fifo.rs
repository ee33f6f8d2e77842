//! Named pipes (fifo(7)).

use super::check;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes a FIFO. `mode` is subject to the umask.
pub fn make(path: &Path, mode: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a C string.
    check(unsafe { libc::mkfifo(path.as_ptr(), mode) }).map(drop)
}

/// Opens both ends in one non-blocking descriptor: writers find a reader as long as it lives, and
/// the last writer's end is no end-of-file (Linux allows this, fifo(7)).
pub fn open_both_ends(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)
}

/// Lets a pipe hold one page only, where the kernel would keep room for sixteen.
pub fn keep_small(pipe: BorrowedFd) {
    // Refused, it is no harm.
    // SAFETY: integers only; sizes are rounded up to a page.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
}

/// Opens the reading end without waiting; the descriptor does not block.
pub fn open_for_reading(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Opens the writing end without waiting. `None` where nobody holds the reading end.
pub fn open_for_writing(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path);
    match file {
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        other => other.map(Some),
    }
}
