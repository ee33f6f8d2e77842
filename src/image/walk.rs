//! A walk through a tree of files: depth first, the names of each directory in the order of their
//! bytes, so that the same tree is always walked in the same way.
//!
//! It holds one descriptor for each of the trees that are merged, however deep they are, and of
//! the directories on the way the names that are still to come: some 20 bytes each. What vanishes
//! while it walks is passed over.

use super::merged::{Directory, HIDES, HIDES_ALL, Marks, Merged};
use super::tree::{join, split};
use crate::error::{OsContext, Result};
use crate::sys::fs::{self, Open, Stat};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    tree: Merged,
    dir: Directory,
    /// The entry told last.
    path: Vec<u8>,
    levels: Vec<Level>,
}

/// A directory on the way.
struct Level {
    path: Vec<u8>,
    /// The trees it is in.
    trees: Vec<u16>,
    names: Names,
    next: usize,
}

impl Walk {
    /// A walk through what is in the tree; `more` names are told as if they were there.
    pub fn new(tree: Merged, more: Option<&Directory>) -> Result<Walk> {
        let dir = tree.root()?;
        let names = Names::read(&dir, more, b"")?;
        let levels = vec![Level { path: Vec::new(), trees: dir.trees(), names, next: 0 }];
        Ok(Walk { tree, dir, path: Vec::new(), levels })
    }

    /// The next entry; `None` at the end.
    pub fn advance(&mut self) -> Result<Option<Event<'_>>> {
        let (part, stat) = loop {
            let Some(level) = self.levels.last_mut() else {
                return Ok(None);
            };
            let Some((name, part)) = level.names.get(level.next) else {
                self.levels.pop();
                let Some(level) = self.levels.last_mut() else {
                    return Ok(None);
                };
                // Closed first: of many trees there may be too many descriptors twice.
                self.dir = Directory::default();
                match self.tree.reopen(&level.path, &level.trees)? {
                    // It is gone, and so is all that was to come of it.
                    None => level.next = level.names.len(),
                    Some(dir) => self.dir = dir,
                }
                return Ok(Some(Event::Left));
            };
            self.path = join(&level.path, name);
            level.next += 1;
            let name = split(&self.path).1;
            let Some((index, part)) = part.and_then(|i| Some((i, self.dir.parts.get(i)?))) else {
                break (0, None);
            };
            let stat = fs::stat_at(part.dir.as_fd(), name).on("look at", display(&self.path))?;
            match stat {
                Some(stat) if part.is_whiteout(name, &stat)? => {}
                stat => break (index, stat),
            }
        };
        // A tree has a directory at least as long as it has names.
        let Some(part) = self.dir.parts.get(part) else {
            return Ok(None);
        };
        let name = split(&self.path).1;
        Ok(Some(Event::Entry(Entry { dir: part.dir.as_fd(), name, path: &self.path, stat })))
    }

    /// Goes into the directory told last; the names in `more` are told as well.
    pub fn enter(&mut self, more: Option<&Directory>) -> Result<()> {
        let (mut names, mut trees) = (Names::default(), Vec::new());
        if let Some(dir) = std::mem::take(&mut self.dir).enter(split(&self.path).1)? {
            (names, trees) = (Names::read(&dir, more, &self.path)?, dir.trees());
            self.dir = dir;
        }
        self.levels.push(Level { path: self.path.clone(), trees, names, next: 0 });
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
    parts: Vec<Name>,
}

#[derive(Clone, Copy)]
struct Name {
    /// Where it begins in `bytes`.
    start: u32,
    length: u8,
    source: Source,
}

/// Of equal names the least counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// It is in this one of the directories, or hidden by it.
    In(u16, Shown),
    /// It was only added.
    More,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Yes,
    No,
}

impl Names {
    fn read(dir: &Directory, more: Option<&Directory>, path: &[u8]) -> Result<Names> {
        let mut names = Names::default();
        for (part, index) in dir.parts.iter().zip(0..) {
            let marks = part.marks;
            names.read_part(part.dir.as_fd(), path, |name| match name.strip_prefix(HIDES) {
                Some(_) if marks == Marks::Layers && name == HIDES_ALL => None,
                Some(name) if marks == Marks::Layers => Some((name, Source::In(index, Shown::No))),
                _ => Some((name, Source::In(index, Shown::Yes))),
            })?;
        }
        for part in more.into_iter().flat_map(|more| &more.parts) {
            names.read_part(part.dir.as_fd(), path, |name| Some((name, Source::More)))?;
        }
        let Names { bytes, parts } = &mut names;
        parts.sort_unstable_by(|a, b| {
            slice(bytes, *a).cmp(slice(bytes, *b)).then(a.source.cmp(&b.source))
        });
        parts.dedup_by(|a, b| slice(bytes, *a) == slice(bytes, *b));
        parts.retain(|name| !matches!(name.source, Source::In(_, Shown::No)));
        Ok(names)
    }

    fn read_part(
        &mut self,
        dir: BorrowedFd,
        path: &[u8],
        mut source: impl FnMut(&[u8]) -> Option<(&[u8], Source)>,
    ) -> Result<()> {
        for entry in fs::entries(dir).on("read", display(path))? {
            let name = entry.on("read", display(path))?.file_name();
            let Some((name, source)) = source(name.as_bytes()) else {
                continue;
            };
            let start = u32::try_from(self.bytes.len()).map_err(std::io::Error::other);
            let length = u8::try_from(name.len()).map_err(std::io::Error::other);
            let name_at = start.and_then(|start| Ok(Name { start, length: length?, source }));
            self.parts.push(name_at.on("hold the names in", display(path))?);
            self.bytes.extend_from_slice(name);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.parts.len()
    }

    /// A name, and in which of the directories it is.
    fn get(&self, index: usize) -> Option<(&[u8], Option<usize>)> {
        let name = self.parts.get(index)?;
        let part = match name.source {
            Source::In(part, _) => Some(usize::from(part)),
            Source::More => None,
        };
        Some((slice(&self.bytes, *name), part))
    }
}

fn slice(bytes: &[u8], Name { start, length, .. }: Name) -> &[u8] {
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
        let tree = |path: &str| Merged::plain(fs::open_directory(&dir.join(path)).unwrap());
        let mut walk = Walk::new(tree(""), None).unwrap();
        let other = tree("other/b").root().unwrap();
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
            let more = (text == "b").then_some(&other);
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
