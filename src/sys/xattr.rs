//! Extended attributes (xattr(7)) of names in open directories.

use super::fs::{done, with_c_str};
use super::{check, userns};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets an extended attribute of `name`, of a symbolic link itself too.
pub fn set_at(dir: BorrowedFd, name: &[u8], key: &[u8], value: &[u8]) -> io::Result<()> {
    with_entry(dir, name, |path| {
        with_c_str(key, |key| {
            // SAFETY: live C strings; pointer and length of the value agree.
            done(unsafe {
                let (data, len) = (value.as_ptr().cast(), value.len());
                libc::lsetxattr(path.as_ptr(), key.as_ptr(), data, len, 0)
            })
        })
    })
}

/// Sets one of what a link of /proc/self/fd leads to.
pub(super) fn set_through(path: &CStr, key: &[u8], value: &[u8]) -> io::Result<()> {
    // SAFETY: live C strings; pointer and length of the value agree.
    with_c_str(key, |key| unsafe {
        let (data, len) = (value.as_ptr().cast(), value.len());
        done(libc::setxattr(path.as_ptr(), key.as_ptr(), data, len, 0))
    })
}

pub fn fset(fd: BorrowedFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    // SAFETY: a live C string; pointer and length of the value agree.
    with_c_str(key, |key| unsafe {
        let (data, len) = (value.as_ptr().cast(), value.len());
        done(libc::fsetxattr(fd.as_raw_fd(), key.as_ptr(), data, len, 0))
    })
}

pub fn remove_at(dir: BorrowedFd, name: &[u8], key: &[u8]) -> io::Result<()> {
    with_entry(dir, name, |path| {
        // SAFETY: live C strings.
        with_c_str(key, |key| unsafe { done(libc::lremovexattr(path.as_ptr(), key.as_ptr())) })
    })
}

/// The value of an extended attribute, or `None` where it is not set or the file system has none.
pub fn get_at(dir: BorrowedFd, name: &[u8], key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let got = with_entry(dir, name, |path| {
        with_c_str(key, |key| {
            fill(|data, len| {
                // SAFETY: live C strings; pointer and length of the buffer agree.
                unsafe { libc::lgetxattr(path.as_ptr(), key.as_ptr(), data, len) }
            })
        })
    });
    match got {
        Err(e) if is_no_attribute(&e) => Ok(None),
        got => got.map(Some),
    }
}

/// The names of the extended attributes of `name`.
pub fn list_at(dir: BorrowedFd, name: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let got = with_entry(dir, name, |path| {
        // SAFETY: a live C string; pointer and length of the buffer agree.
        fill(|data, len| unsafe { libc::llistxattr(path.as_ptr(), data.cast(), len) })
    });
    match got {
        Err(e) if e.raw_os_error() == Some(libc::ENOTSUP) => Ok(Vec::new()),
        Err(e) => Err(e),
        Ok(names) => {
            let names = names.split(|b| *b == 0).filter(|n| !n.is_empty());
            Ok(names.map(<[u8]>::to_vec).collect())
        }
    }
}

/// All extended attributes of `name` with their values, but those that vanish meanwhile.
pub fn all_at(dir: BorrowedFd, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut all = Vec::new();
    for key in list_at(dir, name)? {
        let value = get_at(dir, name, &key)?;
        all.extend(value.map(|value| (key, value)));
    }
    Ok(all)
}

/// Attributes of overlayfs, and of ours, that others do not take for theirs. In a user namespace
/// nobody has `trusted.` ones, and overlayfs reads `user.` ones there (`userxattr`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// Hides what lower layers have in a directory.
    Opaque,
    /// Makes an empty file one that hides.
    Whiteout,
    /// A directory that no archive listed yet.
    Implied,
}

impl Reserved {
    pub fn key(self) -> &'static [u8] {
        let names: [&[u8]; 2] = match self {
            Reserved::Opaque => [b"trusted.overlay.opaque", b"user.overlay.opaque"],
            Reserved::Whiteout => [b"trusted.overlay.whiteout", b"user.overlay.whiteout"],
            Reserved::Implied => [b"trusted.coracle.implied", b"user.coracle.implied"],
        };
        names[usize::from(!userns::is_initial())]
    }
}

/// Whether overlayfs or we understand something by this attribute.
pub fn is_reserved(key: &[u8]) -> bool {
    let ours = [b"trusted.coracle.".as_slice(), b"user.coracle."];
    is_overlays(key) || ours.iter().any(|prefix| key.starts_with(prefix))
}

/// Whether it is by this attribute that overlayfs knows how layers lie on each other.
pub fn is_overlays(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")
}

/// A file system without such attributes does without.
pub fn supported(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.raw_os_error() == Some(libc::ENOTSUP) => Ok(()),
        other => other,
    }
}

/// Calls `get` with a buffer that is as long as `get` of nothing says.
fn fill(get: impl Fn(*mut libc::c_void, usize) -> isize) -> io::Result<Vec<u8>> {
    let result = |n: isize| check(n).map(|n| n as usize);
    let mut buffer = vec![0; result(get(std::ptr::null_mut(), 0))?];
    let filled = result(get(buffer.as_mut_ptr().cast(), buffer.len()))?;
    buffer.truncate(filled);
    Ok(buffer)
}

/// The xattr calls take no directory descriptor (setxattrat came with Linux 6.13): the way to
/// the entry of an open directory leads through /proc.
fn with_entry<T>(
    dir: BorrowedFd,
    name: &[u8],
    call: impl FnOnce(&CStr) -> io::Result<T>,
) -> io::Result<T> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    with_c_str(&path, call)
}

/// Whether `error` says that the extended attribute is not set (or cannot be).
pub fn is_no_attribute(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODATA | libc::ENOTSUP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs;
    use std::os::fd::AsFd;

    #[test]
    fn extended_attributes_of_a_symbolic_link_are_its_own() {
        let dir = std::env::temp_dir().join(format!("coracle-xattr-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let at = fs::open_directory(&dir).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.join("link")).unwrap();
        set_at(at.as_fd(), b"link", b"trusted.test", b"a\nb\0").unwrap();
        let got = get_at(at.as_fd(), b"link", b"trusted.test").unwrap();
        assert_eq!(got.unwrap(), b"a\nb\0");
        assert_eq!(list_at(at.as_fd(), b"link").unwrap(), [b"trusted.test".to_vec()]);
        remove_at(at.as_fd(), b"link", b"trusted.test").unwrap();
        assert!(get_at(at.as_fd(), b"link", b"trusted.test").unwrap().is_none());
        fs::remove_tree(&dir).unwrap();
    }
}
