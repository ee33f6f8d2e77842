//! Places in the new root. They are opened with RESOLVE_IN_ROOT, so that no symbolic link of an
//! image leads outside; nor does one along which something is made.

use crate::sys::raw::{self, Errno, check};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A path inside the new root, without a leading slash; empty for the root itself.
#[derive(Debug, Clone)]
pub struct Target {
    path: CString,
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
        Ok(Target { path: CString::new(parts.join(&b'/'))?, missing })
    }

    pub(super) fn path(&self) -> String {
        format!("/{}", self.path.to_string_lossy())
    }

    /// Opens the target with O_PATH below `root`; `None` where it is to be skipped.
    pub(super) fn open(&self, root: BorrowedFd) -> Result<Option<OwnedFd>, Errno> {
        if self.path.is_empty() {
            return raw::dup(root.as_raw_fd(), 0).map(Some);
        }
        let skip = self.missing == Missing::Skip;
        match raw::open_in_root(root, &self.path, libc::O_PATH, 0) {
            Err(Errno(libc::ENOENT | libc::ENOTDIR)) if skip => Ok(None),
            Err(Errno(libc::ENOENT)) => self.make(root).map(Some),
            other => other.map(Some),
        }
    }

    /// Makes what is missing of the path, and opens its end. A link that leads to nothing is
    /// followed, and what it names is made: inside the root, whatever it says.
    fn make(&self, root: BorrowedFd) -> Result<OwnedFd, Errno> {
        // What is there, without links; what is to come.
        let (mut done, mut rest) = (Text::new(), Text::new());
        rest.push(self.path.to_bytes())?;
        // Each link costs one, and each name that is made: somebody else may remove it again.
        let mut tries = 0;
        loop {
            let mut name = Text::new();
            name.push(rest.first())?;
            match name.bytes() {
                b"" => break,
                b"." => rest.drop_first(),
                b".." => {
                    done.pop();
                    rest.drop_first();
                }
                _ => {
                    if tries > MOST_TRIES {
                        return Err(Errno(libc::ELOOP));
                    }
                    let parent = raw::open_in_root(root, done.path(), libc::O_PATH, 0)?;
                    let mut link = Text::new();
                    match link.read_link(&parent, name.c_str()) {
                        Ok(()) => {
                            tries += 1;
                            if link.bytes().first() == Some(&b'/') {
                                done = Text::new();
                            }
                            rest.drop_first();
                            link.push(b"/")?;
                            link.push(rest.bytes())?;
                            rest = link;
                        }
                        // It is there, and no link.
                        Err(Errno(libc::EINVAL)) => {
                            done.push_name(name.bytes())?;
                            rest.drop_first();
                        }
                        Err(Errno(libc::ENOENT)) => {
                            tries += 1;
                            let is_last = rest.bytes()[name.len..].iter().all(|b| *b == b'/');
                            let file = self.missing == Missing::MakeFile && is_last;
                            make_one(&parent, name.c_str(), file)?;
                        }
                        Err(e) => return Err(e),
                    }
                }
            }
        }
        raw::open_in_root(root, done.path(), libc::O_PATH, 0)
    }
}

/// More names than a path can have.
const MOST_TRIES: u32 = 2100;

/// Makes one name that is missing. What somebody else made meanwhile, the next look finds.
fn make_one(parent: &OwnedFd, name: &CStr, file: bool) -> Result<(), Errno> {
    let (parent, name) = (parent.as_raw_fd(), name.as_ptr());
    // SAFETY: C strings.
    let made = check(unsafe {
        match file {
            true => libc::mknodat(parent, name, libc::S_IFREG | 0o644, 0),
            false => libc::mkdirat(parent, name, 0o755),
        }
    });
    match made {
        Ok(_) | Err(Errno(libc::EEXIST)) => Ok(()),
        Err(e) => Err(e),
    }
}

/// A path in the making, which allocates nothing.
struct Text {
    bytes: [u8; libc::PATH_MAX as usize],
    /// There is always room for a NUL behind.
    len: usize,
}

impl Text {
    fn new() -> Text {
        Text { bytes: [0; libc::PATH_MAX as usize], len: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    /// As an argument of openat2(2).
    fn path(&self) -> &CStr {
        if self.len == 0 { c"." } else { self.c_str() }
    }

    fn push(&mut self, more: &[u8]) -> Result<(), Errno> {
        let end = self.len + more.len();
        if end >= self.bytes.len() {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        self.bytes[self.len..end].copy_from_slice(more);
        self.len = end;
        Ok(())
    }

    fn push_name(&mut self, name: &[u8]) -> Result<(), Errno> {
        if self.len > 0 {
            self.push(b"/")?;
        }
        self.push(name)
    }

    /// Takes the last name off.
    fn pop(&mut self) {
        let end = self.bytes().iter().rposition(|b| *b == b'/').unwrap_or(0);
        self.bytes[end..].fill(0);
        self.len = end;
    }

    /// The first name; slashes before it go.
    fn first(&mut self) -> &[u8] {
        let start = self.bytes().iter().take_while(|b| **b == b'/').count();
        self.shift(start);
        self.bytes().split(|b| *b == b'/').next().unwrap_or_default()
    }

    fn drop_first(&mut self) {
        let end = self.first().len();
        self.shift(end);
    }

    fn shift(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.bytes[self.len - count..].fill(0);
        self.len -= count;
    }

    /// Fills an empty text with where the link `name` leads; EINVAL where it is no link.
    fn read_link(&mut self, parent: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        let room = self.bytes.len();
        let to = self.bytes.as_mut_ptr().cast();
        // SAFETY: a C string; pointer and length agree.
        let got = check(unsafe { libc::readlinkat(parent.as_raw_fd(), name.as_ptr(), to, room) })?;
        if got as usize >= room {
            return Err(Errno(libc::ENAMETOOLONG));
        }
        self.len = got as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    #[test]
    fn targets_stay_inside() {
        let path = |path: &[u8]| Target::new(path, Missing::MakeDir).unwrap().path();
        assert_eq!(path(b"/a/./b//../c"), "/a/c");
        assert_eq!(path(b"/../.."), "/");
    }

    /// A directory with a root in it, and something beside the root that must not be touched.
    fn scratch(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("coracle-target-{name}-{}", std::process::id()));
        crate::sys::fs::remove_tree(&dir).unwrap();
        std::fs::create_dir_all(dir.join("root/in/deep")).unwrap();
        std::fs::create_dir(dir.join("outside")).unwrap();
        dir
    }

    #[test]
    fn what_a_link_names_is_made_inside_whatever_it_says() {
        let dir = scratch("links");
        let (root, outside) = (dir.join("root"), dir.join("outside"));
        let absolute = outside.join("made");
        for (n, (link, to, made)) in [
            ("absolute", absolute.to_str().unwrap(), absolute.to_str().unwrap()),
            ("up", "../../../../../../outside/up", "/outside/up"),
            ("in/deep/up", "../../../../outside/deeper/", "/outside/deeper"),
            ("beside", "in/new/./x//y", "/in/new/x/y"),
            ("first", "second/third", "/chain/third"),
            ("through", "in/../first/../fourth", "/chain/fourth"),
            ("rooted", "/", "/"),
        ]
        .into_iter()
        .enumerate()
        {
            symlink(to, root.join(link)).unwrap();
            if link == "first" {
                symlink("/chain", root.join("second")).unwrap();
            }
            let base = crate::sys::fs::open_directory(&root).unwrap();
            for (missing, tail) in [(Missing::MakeDir, "/d"), (Missing::MakeFile, "/f")] {
                let target = Target::new(format!("/{link}{tail}").as_bytes(), missing).unwrap();
                assert!(target.open(base.as_fd()).unwrap().is_some());
                let at = root.join(made.trim_start_matches('/')).join(&tail[1..]);
                assert_eq!(at.is_dir(), missing == Missing::MakeDir, "{n}: {}", at.display());
                assert!(at.exists(), "{n}: {}", at.display());
            }
        }
        // The last name too may be such a link, of a directory or a file.
        symlink("/gone/file", root.join("last")).unwrap();
        let base = crate::sys::fs::open_directory(&root).unwrap();
        let target = Target::new(b"/last", Missing::MakeFile).unwrap();
        target.open(base.as_fd()).unwrap();
        assert!(root.join("gone/file").is_file());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something came out");
        crate::sys::fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn links_that_never_end_are_refused() {
        let dir = scratch("loop");
        let root = dir.join("root");
        symlink("b/x", root.join("a")).unwrap();
        symlink("a/x", root.join("b")).unwrap();
        symlink("gone/../self", root.join("self")).unwrap();
        let base = crate::sys::fs::open_directory(&root).unwrap();
        for path in ["/a", "/self"] {
            let target = Target::new(path.as_bytes(), Missing::MakeDir).unwrap();
            let refused = target.make(base.as_fd()).map(drop).unwrap_err();
            assert!(matches!(refused.0, libc::ELOOP | libc::ENAMETOOLONG), "{path}: {refused:?}");
        }
        crate::sys::fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn a_link_that_somebody_swaps_meanwhile_leads_nowhere_else() {
        let dir = scratch("race");
        let root = dir.join("root");
        let (out, inside) = (dir.join("outside"), root.join("in"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (swap, aside) = (root.join("swap"), root.join("aside"));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for to in [&out, &inside] {
                        let _ = symlink(to, &aside);
                        let _ = std::fs::rename(&aside, &swap);
                    }
                    let _ = std::fs::remove_file(&swap);
                    let _ = std::fs::create_dir(&swap);
                    let _ = std::fs::rename(&swap, root.join("moved"));
                    let _ = std::fs::remove_dir_all(root.join("moved"));
                }
            });
            let base = crate::sys::fs::open_directory(&root).unwrap();
            for n in 0..500 {
                let target = Target::new(format!("/swap/{n}/x").as_bytes(), Missing::MakeDir);
                // What is found in between may be refused; it may not be followed out.
                let _ = target.unwrap().open(base.as_fd());
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "something came out");
        crate::sys::fs::remove_tree(&dir).unwrap();
    }
}
