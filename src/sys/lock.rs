//! Locks that die with their holder: OFD byte-range locks (fcntl(2), F_OFD_SETLK) on a permanent
//! file, and whole-file locks that can be handed to another process with their descriptor.
//!
//! A lock belongs to an open file description: each `lock` opens the file anew, so that two
//! guards of one process exclude each other too, and a guard inherited by a child keeps the lock
//! until both are gone. A holder can sign its lock with a number, which is there exactly as long as
//! the lock is: who finds it held so learns whose it was in the first place.

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

    /// Signs a lock on the byte 0: with another lock, on the byte at `number`, which is not 0.
    pub fn sign(&self, number: u64) -> io::Result<()> {
        set(&self.file, number, Mode::Exclusive, libc::F_OFD_SETLK)
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

/// The lock on the byte 0; where somebody holds it, with what they signed it.
pub fn try_lock_or_signature(path: &Path) -> io::Result<Result<Guard, Option<u64>>> {
    let file = open(path)?;
    match set(&file, 0, Mode::Exclusive, libc::F_OFD_SETLK) {
        Ok(()) => Ok(Ok(Guard { file })),
        Err(e) if is_held_by_others(&e) => signature(&file).map(Err),
        Err(e) => Err(e),
    }
}

fn is_held_by_others(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES))
}

/// As `try_lock`, on an open file.
pub fn try_lock_file(file: File, offset: u64, mode: Mode) -> io::Result<Option<Guard>> {
    match set(&file, offset, mode, libc::F_OFD_SETLK) {
        Ok(()) => Ok(Some(Guard { file })),
        Err(e) if is_held_by_others(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether somebody else holds a lock that excludes this one. Changes nothing; the file may be
/// open for reading only.
pub fn is_held(file: &File, offset: u64, mode: Mode) -> io::Result<bool> {
    let found = control(file, offset, 1, mode, libc::F_OFD_GETLK)?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

/// With what the lock of somebody else was signed.
fn signature(file: &File) -> io::Result<Option<u64>> {
    // All but the byte 0.
    let found = control(file, 1, 0, Mode::Shared, libc::F_OFD_GETLK)?;
    let is_signed = i32::from(found.l_type) != libc::F_UNLCK;
    Ok(u64::try_from(found.l_start).ok().filter(|_| is_signed))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

fn set(file: &File, offset: u64, mode: Mode, command: i32) -> io::Result<()> {
    control(file, offset, 1, mode, command).map(drop)
}

/// What the command left in its argument.
fn control(
    file: &File,
    offset: u64,
    len: u64,
    mode: Mode,
    command: i32,
) -> io::Result<libc::flock> {
    // SAFETY: all-zero is a valid flock (l_pid must be 0 for OFD locks).
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    } as _;
    range.l_whence = libc::SEEK_SET as _;
    range.l_start = offset as _;
    range.l_len = len as _;
    // SAFETY: fcntl reads, and for GETLK fills, the live struct.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut range) })?;
    Ok(range)
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

    #[test]
    fn a_signature_is_there_as_long_as_its_lock() {
        let path = std::env::temp_dir().join(format!("coracle-signed-{}", std::process::id()));
        let held = lock(&path, 0, Mode::Exclusive).unwrap();
        let look = || signature(&File::open(&path).unwrap()).unwrap();
        assert_eq!(look(), None);
        for _ in 0..2 {
            held.sign(u64::from(u32::MAX) << 23).unwrap();
            assert_eq!(look(), Some(u64::from(u32::MAX) << 23));
        }
        let copy = held.as_fd().try_clone_to_owned().unwrap();
        drop(held);
        assert!(look().is_some());
        drop(copy);
        assert_eq!(look(), None);
        std::fs::remove_file(path).unwrap();
    }
}
