//! Places in the new root. They are opened with RESOLVE_IN_ROOT, so that no symbolic link of an
//! image leads outside.

use crate::sys::raw::{self, Errno, check};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A path inside the new root, as the list of its growing prefixes: `a`, `a/b`, `a/b/c`.
#[derive(Debug, Clone)]
pub struct Target {
    prefixes: Vec<CString>,
    missing: Missing,
}

/// What to do where a target does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    MakeDir,
    MakeFile,
    /// Leave it: the steps on it do nothing.
    Skip,
}

impl Target {
    /// `path` is absolute in the new root. `.` and empty parts vanish, `..` goes up lexically.
    pub fn new(path: &[u8], missing: Missing) -> Result<Target, std::ffi::NulError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                _ => parts.push(part),
            }
        }
        let prefixes = (1..=parts.len()).map(|n| CString::new(parts[..n].join(&b'/')));
        Ok(Target { prefixes: prefixes.collect::<Result<_, _>>()?, missing })
    }

    pub(super) fn path(&self) -> String {
        match self.prefixes.last() {
            Some(path) => format!("/{}", path.to_string_lossy()),
            None => "/".to_string(),
        }
    }

    /// Opens the target with O_PATH below `root`; `None` where it is to be skipped.
    pub(super) fn open(&self, root: BorrowedFd) -> Result<Option<OwnedFd>, Errno> {
        let Some(last) = self.prefixes.last() else {
            return raw::dup(root.as_raw_fd(), 0).map(Some);
        };
        let skip = self.missing == Missing::Skip;
        match raw::open_in_root(root, last, libc::O_PATH, 0) {
            Err(Errno(libc::ENOENT | libc::ENOTDIR)) if skip => Ok(None),
            Err(Errno(libc::ENOENT)) => self.make(root).map(Some),
            other => other.map(Some),
        }
    }

    /// Makes what is missing of the path, and opens its end.
    fn make(&self, root: BorrowedFd) -> Result<OwnedFd, Errno> {
        let mut place = raw::dup(root.as_raw_fd(), 0)?;
        let count = self.prefixes.len();
        for (i, prefix) in self.prefixes.iter().enumerate() {
            let (parent, name) = (place.as_raw_fd(), base_name(prefix).as_ptr());
            if self.missing == Missing::MakeFile && i + 1 == count {
                let create = || {
                    let flags = libc::O_CREAT | libc::O_WRONLY;
                    raw::open_in_root(root, prefix, flags, 0o644)
                };
                // Through a link, where it leads inside; one that leads nowhere gives way.
                match create() {
                    Err(Errno(libc::ENOENT)) => {
                        // SAFETY: a C string.
                        check(unsafe { libc::unlinkat(parent, name, 0) })?;
                        create()?
                    }
                    other => other?,
                };
            } else {
                // SAFETY: a C string.
                match check(unsafe { libc::mkdirat(parent, name, 0o755) }) {
                    Ok(_) | Err(Errno(libc::EEXIST)) => {}
                    Err(e) => return Err(e),
                }
            }
            place = raw::open_in_root(root, prefix, libc::O_PATH, 0)?;
        }
        Ok(place)
    }
}

fn base_name(path: &CStr) -> &CStr {
    let start = path.to_bytes().iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
    CStr::from_bytes_until_nul(path.to_bytes_with_nul().get(start..).unwrap_or_default())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_inside_and_list_their_prefixes() {
        let t = Target::new(b"/a/./b//../c", Missing::MakeDir).unwrap();
        assert_eq!(t.prefixes, [c"a".to_owned(), c"a/c".to_owned()]);
        assert_eq!(t.path(), "/a/c");
        assert_eq!(Target::new(b"/../..", Missing::Skip).unwrap().path(), "/");
        assert_eq!(base_name(c"a/b"), c"b");
    }
}
