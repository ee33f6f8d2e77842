//! Names for what is made aside, `.coracle-cp-<16 hex digits>`, and what a killed `cp` left under
//! such names.
//!
//! Whoever has something aside holds a shared lock (flock(2)) on the directory for as long as it
//! has that open. What has such a name in a directory that can be locked alone is nobody's any
//! more: it goes before the first new one is made there. A container that keeps its directory
//! locked keeps what is left in it; nobody waits for it.

use crate::engine::patience::look_away;
use crate::sys::fs::{self, FileType};
use crate::sys::random;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

const PREFIX: &str = ".coracle-cp-";
const DIGITS: usize = 16;
/// How often to look whether a directory can be locked.
const STEPS: u32 = 50;

/// The directories of one `cp` that hold nothing old any more.
#[derive(Default)]
pub struct Asides {
    swept: RefCell<HashSet<(u64, u64)>>,
}

impl Asides {
    /// Makes something in `dir` under a name that nothing has, and gives the name.
    pub fn make<T>(
        &self,
        dir: BorrowedFd,
        make: impl Fn(&[u8]) -> io::Result<T>,
    ) -> io::Result<(T, Vec<u8>)> {
        let lock = File::from(dir.try_clone_to_owned()?);
        let is_new = self.swept.borrow_mut().insert(fs::fstat(dir)?.inode);
        if is_new && lock.try_lock().is_ok() {
            sweep(dir)?;
        }
        // Another may be sweeping.
        let mut left = if is_new { STEPS } else { 0 };
        while let Err(TryLockError::WouldBlock) = lock.try_lock_shared()
            && left > 0
        {
            left -= 1;
            look_away();
        }
        loop {
            let name =
                format!("{PREFIX}{:016x}", u64::from_ne_bytes(random::bytes()?)).into_bytes();
            match make(&name) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|made| (made, name)),
            }
        }
    }
}

fn sweep(dir: BorrowedFd) -> io::Result<()> {
    for entry in fs::entries(dir)? {
        let name = entry?.file_name();
        let name = name.as_bytes();
        if is_aside(name)
            && fs::stat_at(dir, name)?.is_some_and(|stat| stat.file_type != FileType::Directory)
        {
            // What is not ours to remove is another's to sweep.
            let _ = fs::unlink_at(dir, name);
        }
    }
    Ok(())
}

fn is_aside(name: &[u8]) -> bool {
    let digits = name.strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_nobody_has_aside_goes_before_something_new_comes() {
        let path = std::env::temp_dir().join(format!("coracle-aside-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let kept = [".coracle-cp-12", ".coracle-cp-0123456789abcdeg", "file"];
        let left = format!("{PREFIX}0123456789abcdef");
        for name in kept.into_iter().chain([&left[..]]) {
            std::fs::write(path.join(name), "").unwrap();
        }
        let make = |dir: BorrowedFd, asides: &Asides| {
            asides.make(dir, |name| fs::symlink_at(b"x", dir, name)).unwrap().1
        };
        let is_there = |name: &[u8]| path.join(std::ffi::OsStr::from_bytes(name)).is_symlink();
        let first = fs::open_directory(&path).unwrap();
        let one = make(first.as_fd(), &Asides::default());
        assert!(kept.iter().all(|name| path.join(name).exists()));
        assert!(!path.join(&left).exists() && is_there(&one));
        // Another at work in the same directory.
        let second = fs::open_directory(&path).unwrap();
        let asides = Asides::default();
        let two = make(second.as_fd(), &asides);
        assert!(is_there(&one) && is_there(&two) && one != two);
        // One that was killed closed its directory.
        drop((first, second));
        let third = fs::open_directory(&path).unwrap();
        let three = make(third.as_fd(), &asides);
        assert!(is_there(&one), "swept twice");
        make(fs::open_directory(&path).unwrap().as_fd(), &Asides::default());
        assert!(is_there(&three), "swept below another's hands");
        drop(third);
        make(fs::open_directory(&path).unwrap().as_fd(), &Asides::default());
        assert!(!is_there(&one) && !is_there(&two) && !is_there(&three));
        fs::remove_tree(&path).unwrap();
    }
}
