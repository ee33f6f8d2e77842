//! inotify(7): being told when directories and files change.

use super::check;
use super::raw::{self, Errno};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A watched directory or file, by the kernel's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Watch(i32);

/// Entries come, go, get renamed, finish being written, change mode; or the directory itself goes.
pub const ENTRIES: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_CLOSE_WRITE
    | libc::IN_ATTRIB
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF;

/// Files in the directory are written to.
pub const WRITES: u32 = libc::IN_MODIFY;

/// A non-blocking inotify instance.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

impl Inotify {
    pub fn new() -> io::Result<Inotify> {
        // SAFETY: integers only.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: the kernel just gave us this descriptor.
        Ok(Inotify(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a directory for `events`. Watching it again gives the same `Watch`.
    pub fn watch(&self, directory: &Path, events: u32) -> io::Result<Watch> {
        self.add(directory, events | libc::IN_ONLYDIR)
    }

    /// Watches one file for writes to it.
    pub fn watch_writes(&self, file: &Path) -> io::Result<Watch> {
        self.add(file, libc::IN_MODIFY)
    }

    fn add(&self, path: &Path, events: u32) -> io::Result<Watch> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: a C string.
        let watch =
            check(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), events) })?;
        Ok(Watch(watch))
    }

    /// Ends a watch; one that the kernel already ended is no error.
    pub fn unwatch(&self, watch: Watch) {
        // SAFETY: integers only.
        unsafe { libc::inotify_rm_watch(self.0.as_raw_fd(), watch.0) };
    }

    /// Reads what is pending and tells whether there was anything.
    #[inline(never)]
    pub fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        let mut buffer = [0u8; 4096];
        loop {
            match raw::read(self.0.as_fd(), &mut buffer) {
                Ok(0) | Err(Errno(libc::EAGAIN)) => return Ok(any),
                Ok(_) => any = true,
                Err(Errno(libc::EINTR)) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_entry_is_told_once() {
        let dir = std::env::temp_dir().join(format!("inotify-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let inotify = Inotify::new().unwrap();
        let watch = inotify.watch(&dir, ENTRIES).unwrap();
        assert!(!inotify.drain().unwrap());
        std::fs::write(dir.join("x"), "").unwrap();
        assert!(inotify.drain().unwrap());
        assert!(!inotify.drain().unwrap());
        assert_eq!(inotify.watch(&dir, ENTRIES).unwrap(), watch);
        inotify.unwatch(watch);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
