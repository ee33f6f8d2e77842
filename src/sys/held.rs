//! Something in a directory, held by a descriptor that is nothing but a place (O_PATH, open(2)):
//! what is looked at, and what is changed, is that thing, whatever its name comes to stand for.

use super::fs::{Stat, Time, done, fstat, with_c_str};
use super::{raw, xattr};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub struct Held(OwnedFd);

impl Held {
    /// Holds the single component `name` of `dir`, a symbolic link itself too; not what somebody
    /// mounted there.
    pub fn at(dir: BorrowedFd, name: &[u8]) -> io::Result<Held> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_XDEV;
        with_c_str(name, |name| Ok(Held(raw::openat2(dir, name, flags, 0, resolve)?)))
    }

    pub fn stat(&self) -> io::Result<Stat> {
        fstat(self.0.as_fd())
    }

    pub fn chown(&self, uid: u32, gid: u32) -> io::Result<()> {
        // SAFETY: a live C string.
        self.with_path(|path| unsafe { done(libc::chown(path.as_ptr(), uid, gid)) })
    }

    /// Not for a symbolic link, which has no mode.
    pub fn chmod(&self, mode: u32) -> io::Result<()> {
        // SAFETY: a live C string.
        self.with_path(|path| unsafe { done(libc::chmod(path.as_ptr(), mode)) })
    }

    pub fn set_xattr(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.with_path(|path| xattr::set_through(path, key, value))
    }

    /// Sets the modification time, and the access time with it.
    pub fn set_time(&self, mtime: Time) -> io::Result<()> {
        let times = mtime.both()?;
        // SAFETY: a live C string and an array of two.
        self.with_path(|path| unsafe {
            done(libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0))
        })
    }

    /// No call but fchownat takes such a descriptor on all kernels: the way leads through /proc,
    /// whose link leads to the thing itself, and no further where that is a link.
    fn with_path<T>(&self, call: impl FnOnce(&CStr) -> io::Result<T>) -> io::Result<T> {
        with_c_str(format!("/proc/self/fd/{}", self.0.as_raw_fd()).as_bytes(), call)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fs::{FileType, mknod_at, open_directory, remove_tree, symlink_at};
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn what_is_held_is_changed_and_not_what_took_its_name() {
        let dir = std::env::temp_dir().join(format!("coracle-held-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let at = open_directory(&dir).unwrap();
        std::fs::write(dir.join("other"), "").unwrap();
        let before = std::fs::metadata(dir.join("other")).unwrap();
        mknod_at(at.as_fd(), b"fifo", FileType::Fifo, (0, 0)).unwrap();
        symlink_at(b"other", at.as_fd(), b"link").unwrap();
        let [fifo, link] = [b"fifo".as_slice(), b"link"].map(|n| Held::at(at.as_fd(), n).unwrap());
        std::fs::rename(dir.join("fifo"), dir.join("moved")).unwrap();
        std::os::unix::fs::symlink("other", dir.join("fifo")).unwrap();
        fifo.chmod(0o640).unwrap();
        for held in [&fifo, &link] {
            held.chown(12, 34).unwrap();
            held.set_time(Time(5)).unwrap();
            held.set_xattr(b"trusted.test", b"1").unwrap();
        }
        let after = std::fs::metadata(dir.join("other")).unwrap();
        let seen =
            |m: &std::fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime_nsec(), m.ctime_nsec());
        assert_eq!(seen(&after), seen(&before));
        assert_eq!(xattr::list_at(at.as_fd(), b"other").unwrap(), Vec::<Vec<u8>>::new());
        let moved = std::fs::metadata(dir.join("moved")).unwrap();
        assert_eq!(
            (moved.permissions().mode() & 0o7777, moved.uid(), moved.gid()),
            (0o640, 12, 34)
        );
        let link = link.stat().unwrap();
        assert_eq!((link.file_type, link.uid, link.mtime), (FileType::Symlink, 12, Time(5)));
        remove_tree(&dir).unwrap();
    }
}
