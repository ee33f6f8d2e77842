//! Where a path leads, in the tree of a container or on the host.
//!
//! Everything is looked up by openat2(2) as a process would whose root the tree's is: no link
//! leads outside, also when the container changes its links meanwhile. What is found is an open
//! directory and one name in it.

use crate::error::{Error, OsContext, Result};
use crate::sys::fs::{self, FileType, Open, Stat};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// As many links the kernel follows in one path (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;

/// A tree, and what its paths begin with in messages: `web:`.
pub struct Root {
    pub fd: OwnedFd,
    pub prefix: String,
}

pub struct Place {
    pub dir: OwnedFd,
    /// What is meant there; `.` for the directory itself.
    pub name: Vec<u8>,
    /// `None` where there is nothing.
    pub stat: Option<Stat>,
}

impl Root {
    pub fn shown(&self, path: &[u8]) -> String {
        format!("{}{}", self.prefix, String::from_utf8_lossy(path))
    }

    /// The directory at `path`, through links.
    pub fn directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"/" } else { path };
        fs::open_in_root(self.fd.as_fd(), path, Open::DirectoryThrough)
    }

    /// Finds `path`, whose last link is followed where `follow`. Its directory must be there.
    pub fn find(&self, path: &[u8], follow: bool) -> Result<Place> {
        let mut at = path.to_vec();
        for _ in 0..LINKS_MAX {
            let (parent, name) = last(&at);
            let open = |path: &[u8]| self.directory(path).map_err(|e| self.missing(path, e));
            if matches!(name, b"" | b"." | b"..") {
                let dir = open(&at)?;
                let stat = Some(fs::fstat(dir.as_fd()).on("look at", self.shown(path))?);
                return Ok(Place { dir, name: b".".to_vec(), stat });
            }
            let dir = open(parent)?;
            let stat = fs::stat_at(dir.as_fd(), name).on("look at", self.shown(path))?;
            if !follow || stat.is_none_or(|stat| stat.file_type != FileType::Symlink) {
                return Ok(Place { dir, name: name.to_vec(), stat });
            }
            let target = fs::read_link_at(dir.as_fd(), name).on("read", self.shown(path))?;
            at = match target.starts_with(b"/") {
                true => target,
                false => [parent, b"/", &target].concat(),
            };
        }
        Err(Error::invalid(format!("{}: too many links lead on", self.shown(path))))
    }

    /// What is there to be copied.
    pub fn find_there(&self, path: &[u8], follow: bool) -> Result<(Place, Stat)> {
        let place = self.find(path, follow)?;
        match place.stat {
            Some(stat) => Ok((place, stat)),
            None => Err(self.missing(path, io::ErrorKind::NotFound.into())),
        }
    }

    fn missing(&self, path: &[u8], error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => {
                Error::not_found(format!("could not find {}", self.shown(path)))
            }
            _ => Error::os("open", self.shown(path), error),
        }
    }
}

/// The directory in `path`, and its last name; slashes at its end do not count.
pub fn last(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    let path = path.get(..end).unwrap_or_default();
    let start = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
    (path.get(..start).unwrap_or_default(), path.get(start..).unwrap_or_default())
}

/// Whether only a directory can be meant: `dir/`, `dir/.`, `..`.
pub fn means_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || matches!(last(path).1, b"" | b"." | b"..")
}

/// Whether what is in a directory is meant, and not the directory: `dir/.`, `/`.
pub fn means_content(path: &[u8]) -> bool {
    matches!(last(path).1, b"" | b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_of_a_directory_is_meant() {
        for (path, parent, name, directory, content) in [
            ("/a/b", "/a/", "b", false, false),
            ("/a/b/", "/a/", "b", true, false),
            ("/a/b/.", "/a/b/", ".", true, true),
            ("b", "", "b", false, false),
            ("/", "", "", true, true),
            ("..", "", "..", true, true),
        ] {
            let found = last(path.as_bytes());
            assert_eq!(found, (parent.as_bytes(), name.as_bytes()), "{path}");
            assert_eq!(means_directory(path.as_bytes()), directory, "{path}");
            assert_eq!(means_content(path.as_bytes()), content, "{path}");
        }
    }
}
