//! A walk through a tree of files: depth first, the names of each directory in the order of their
//! bytes, so that the same tree is always walked in the same way.
//!
//! It holds one descriptor however deep the tree is, and of the directories on the way the names
//! that are still to come: some 20 bytes each. What vanishes while it walks is passed over.

use super::tree::{join, split};
use crate::error::{OsContext, Result};
use crate::sys::fs::{self, Open, Stat};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is in a directory of the walk.
#[derive(Clone, Copy)]
pub struct Entry<'w> {
    /// Where `name` is.
    pub dir: BorrowedFd<'w>,
    pub name: &'w [u8],
    /// From the root of the tree; without a slash at its head.
    pub path: &'w [u8],
    /// `None` for a name that was only added (`Walk::enter`), or has vanished.
    pub stat: Option<Stat>,
}

pub enum Event<'w> {
    Entry(Entry<'w>),
    /// All that is in the directory entered last, but not left yet, has been told.
    Left,
}

pub struct Walk {
    root: OwnedFd,
    dir: OwnedFd,
    /// The entry told last.
    path: Vec<u8>,
    levels: Vec<Level>,
}

/// A directory on the way.
struct Level {
    path: Vec<u8>,
    names: Names,
    next: usize,
}

impl Walk {
    /// A walk through what is in the directory; `more` names are told as if they were there.
    pub fn new(root: OwnedFd, more: Option<BorrowedFd>) -> Result<Walk> {
        let dir = fs::open_at(root.as_fd(), b".", Open::Directory).on("open", "a directory")?;
        let names = Names::read(dir.as_fd(), more, b"")?;
        let levels = vec![Level { path: Vec::new(), names, next: 0 }];
        Ok(Walk { root, dir, path: Vec::new(), levels })
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The next entry; `None` at the end.
    pub fn advance(&mut self) -> Result<Option<Event<'_>>> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(None);
        };
        if level.next == level.names.len() {
            self.levels.pop();
            let Some(level) = self.levels.last_mut() else {
                return Ok(None);
            };
            match open(self.root.as_fd(), &level.path) {
                // It is gone, and so is all that was to come of it.
                None => level.next = level.names.len(),
                Some(dir) => self.dir = dir.on("open", display(&level.path))?,
            }
            return Ok(Some(Event::Left));
        }
        self.path = join(&level.path, level.names.get(level.next));
        level.next += 1;
        let name = split(&self.path).1;
        let stat = fs::stat_at(self.dir.as_fd(), name).on("look at", display(&self.path))?;
        Ok(Some(Event::Entry(Entry { dir: self.dir.as_fd(), name, path: &self.path, stat })))
    }

    /// Goes into the directory told last; the names in `more` are told as well.
    pub fn enter(&mut self, more: Option<BorrowedFd>) -> Result<()> {
        let names = match open(self.root.as_fd(), &self.path) {
            None => Names::default(),
            Some(dir) => {
                self.dir = dir.on("open", display(&self.path))?;
                Names::read(self.dir.as_fd(), more, &self.path)?
            }
        };
        self.levels.push(Level { path: self.path.clone(), names, next: 0 });
        Ok(())
    }
}

/// Opens the directory `path` of a tree; `None` where it is none (any more).
pub fn open(root: BorrowedFd, path: &[u8]) -> Option<std::io::Result<OwnedFd>> {
    let path = if path.is_empty() { b"." } else { path };
    match fs::open_beneath(root, path, Open::Directory) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(e) if fs::is_link_refused(&e) => None,
        other => Some(other),
    }
}

/// A path of the tree for messages.
pub fn display(path: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(path))
}

/// The names in a directory, sorted, close together: a directory may hold a million.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    /// Where each begins in `bytes`, and its length.
    parts: Vec<(u32, u8)>,
}

impl Names {
    fn read(dir: BorrowedFd, more: Option<BorrowedFd>, path: &[u8]) -> Result<Names> {
        let mut names = Names::default();
        for dir in [Some(dir), more].into_iter().flatten() {
            let entries = std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()));
            for entry in entries.on("read", display(path))? {
                let name = entry.on("read", display(path))?.file_name();
                let start = u32::try_from(names.bytes.len()).map_err(std::io::Error::other);
                let length = u8::try_from(name.len()).map_err(std::io::Error::other);
                let part = start.and_then(|start| Ok((start, length?)));
                names.parts.push(part.on("hold the names in", display(path))?);
                names.bytes.extend_from_slice(name.as_bytes());
            }
        }
        let Names { bytes, parts } = &mut names;
        parts.sort_unstable_by(|a, b| slice(bytes, *a).cmp(slice(bytes, *b)));
        parts.dedup_by(|a, b| slice(bytes, *a) == slice(bytes, *b));
        Ok(names)
    }

    fn len(&self) -> usize {
        self.parts.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        self.parts.get(index).map_or(&[], |part| slice(&self.bytes, *part))
    }
}

fn slice(bytes: &[u8], (start, length): (u32, u8)) -> &[u8] {
    let start = start as usize;
    bytes.get(start..start + usize::from(length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_walked_in_the_order_of_its_names() {
        let dir = std::env::temp_dir().join(format!("coracle-walk-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        for path in ["b/y", "b/x/z", "a", "other/b/w"] {
            std::fs::create_dir_all(dir.join(path)).unwrap();
        }
        std::fs::write(dir.join("b-file"), "").unwrap();
        let mut walk = Walk::new(fs::open_directory(&dir).unwrap(), None).unwrap();
        let other = fs::open_directory(&dir.join("other/b")).unwrap();
        let mut told = Vec::new();
        while let Some(event) = walk.advance().unwrap() {
            let (text, is_dir) = match event {
                Event::Left => ("<".to_string(), false),
                Event::Entry(entry) => {
                    let sign = if entry.stat.is_some() { "" } else { "?" };
                    let is_dir = entry.stat.is_some_and(|s| s.file_type == fs::FileType::Directory);
                    (format!("{sign}{}", entry.path.escape_ascii()), is_dir)
                }
            };
            let more = (text == "b").then_some(other.as_fd());
            told.push(text);
            if is_dir {
                walk.enter(more).unwrap();
            }
        }
        let all = "a < b ?b/w b/x b/x/z < < b/y < < b-file other other/b other/b/w < < <";
        assert_eq!(told.join(" "), all);
        fs::remove_tree(&dir).unwrap();
    }
}
