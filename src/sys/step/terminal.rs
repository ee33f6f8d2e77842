//! Steps on terminals: making the container's own, taking one.

use crate::sys::raw::{self, Errno, Place, check};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Makes `terminal` the controlling one of this session.
pub fn control(terminal: BorrowedFd) -> Result<(), Errno> {
    // SAFETY: TIOCSCTTY takes an integer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 0) })?;
    Ok(())
}

/// Makes our process group the foreground group of `terminal`.
pub fn take_foreground(terminal: BorrowedFd) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), libc::getpgrp()) })?;
    Ok(())
}

/// A new terminal of the root's own devpts: (master, tty).
pub fn make(root: BorrowedFd, rows: u16, columns: u16) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let master = raw::open_in_root(root, c"dev/pts/ptmx", flags, 0)?;
    let unlock: libc::c_int = 0;
    // SAFETY: the ioctl reads the live integer.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlock) })?;
    raw::set_window_size(master.as_fd(), rows, columns)?;
    // SAFETY: this ioctl takes an integer; the answer is a new descriptor (ioctl_tty(2)).
    let tty = unsafe {
        let flags = flags | libc::O_CLOEXEC;
        OwnedFd::from_raw_fd(check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags))?)
    };
    Ok((master, tty))
}

/// Binds `tty` to the root's /dev/console.
pub fn bind_console(root: BorrowedFd, tty: BorrowedFd) -> Result<(), Errno> {
    let tree = raw::open_tree(Place::Fd(tty), false)?;
    raw::open_in_root(root, c"dev/console", libc::O_CREAT | libc::O_RDONLY, 0o600)?;
    let console = raw::open_in_root(root, c"dev/console", libc::O_PATH, 0)?;
    raw::move_mount(tree.as_fd(), Place::Fd(console.as_fd()))
}
