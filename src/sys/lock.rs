//! Locks that die with their holder: OFD byte-range locks (fcntl(2), F_OFD_SETLK) on a permanent
//! file, and whole-file locks that can be handed to another process with their descriptor.
//!
//! A lock belongs to an open file description: each `lock` opens the file anew, so that two
//! guards of one process exclude each other too, and a guard inherited by a child keeps the lock
//! until both are gone.

use super::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Shared,
    Exclusive,
}

/// Holds a lock until dropped.
#[derive(Debug)]
#[must_use = "the lock is held only as long as its guard"]
pub struct Guard {
    file: File,
}

impl Guard {
    /// Takes over the lock behind an inherited descriptor.
    pub fn from_fd(fd: OwnedFd) -> Guard {
        Guard { file: File::from(fd) }
    }

    /// Gives up all locks behind this descriptor, flock(2)'s too, and at once: a child that is on its
    /// way to its exec has a copy, and would keep them for that long.
    pub fn unlock(&self) {
        // SAFETY: all-zero is a valid flock; with l_len 0 it is the whole file.
        let mut range: libc::flock = unsafe { std::mem::zeroed() };
        range.l_type = libc::F_UNLCK as _;
        // SAFETY: integers and a live struct. Giving up cannot fail.
        unsafe {
            libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut range);
            libc::flock(self.file.as_raw_fd(), libc::LOCK_UN);
        }
    }
}

impl AsFd for Guard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Waits for the lock on the byte at `offset` of `path`, which is created where it is missing.
pub fn lock(path: &Path, offset: u64, mode: Mode) -> io::Result<Guard> {
    let file = open(path)?;
    loop {
        match set(&file, offset, mode, libc::F_OFD_SETLKW) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(()) => return Ok(Guard { file }),
        }
    }
}

/// The lock, or `None` where somebody holds it.
pub fn try_lock(path: &Path, offset: u64, mode: Mode) -> io::Result<Option<Guard>> {
    try_lock_file(open(path)?, offset, mode)
}

/// As `try_lock`, on an open file.
pub fn try_lock_file(file: File, offset: u64, mode: Mode) -> io::Result<Option<Guard>> {
    match set(&file, offset, mode, libc::F_OFD_SETLK) {
        Ok(()) => Ok(Some(Guard { file })),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether somebody else holds a lock that excludes this one. Changes nothing; the file may be
/// open for reading only.
pub fn is_held(file: &File, offset: u64, mode: Mode) -> io::Result<bool> {
    let found = control(file, offset, mode, libc::F_OFD_GETLK)?;
    Ok(found != libc::F_UNLCK)
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

fn set(file: &File, offset: u64, mode: Mode, command: i32) -> io::Result<()> {
    control(file, offset, mode, command).map(drop)
}

/// The type of lock that the command left in its argument.
fn control(file: &File, offset: u64, mode: Mode, command: i32) -> io::Result<i32> {
    // SAFETY: all-zero is a valid flock (l_pid must be 0 for OFD locks).
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    } as _;
    range.l_whence = libc::SEEK_SET as _;
    range.l_start = offset as _;
    range.l_len = 1;
    // SAFETY: fcntl reads, and for GETLK fills, the live struct.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut range) })?;
    Ok(i32::from(range.l_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_until_its_guard_is_dropped() {
        let path = std::env::temp_dir().join(format!("coracle-lock-{}", std::process::id()));
        let held = lock(&path, 7, Mode::Exclusive).unwrap();
        assert!(try_lock(&path, 7, Mode::Exclusive).unwrap().is_none());
        assert!(try_lock(&path, 7, Mode::Shared).unwrap().is_none());
        assert!(try_lock(&path, 8, Mode::Exclusive).unwrap().is_some());
        drop(held);
        let held = try_lock(&path, 7, Mode::Exclusive).unwrap().unwrap();
        let _copy = held.as_fd().try_clone_to_owned().unwrap();
        held.unlock();
        assert!(try_lock(&path, 7, Mode::Shared).unwrap().is_some());
        std::fs::remove_file(path).unwrap();
    }
}
