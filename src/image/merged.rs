//! Trees laid over each other, read as the one tree they make: the layers of an image, and on
//! top of them a container's. What overlayfs does (kernel docs, `filesystems/overlayfs`), for
//! whoever only reads, and where there is no overlayfs.
//!
//! Of a name the topmost tree that has it counts; directories of one name are one, down to the
//! first that is opaque; nothing of a directory counts below something else of that name. What
//! hides is marked as overlayfs marks it: a character device 0/0, `trusted.overlay.opaque=y`. A
//! layer may have the marks of its tar instead (`tree`), as there are disks that hold no others.

use super::tree::{self, split};
use super::walk::{self, display};
use crate::error::{OsContext, Result};
use crate::sys::fs::{self, FileType, Stat};
use crate::sys::xattr::{self, Reserved};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What a whiteout's name begins with, and that of an opaque directory (image-spec `layer.md`).
pub(super) const HIDES: &[u8] = b".wh.";
pub(super) const HIDES_ALL: &[u8] = b".wh..wh..opq";

#[derive(Debug)]
pub struct Merged {
    /// The top one first.
    trees: Vec<Tree>,
}

#[derive(Debug)]
struct Tree {
    at: At,
    marks: Marks,
}

#[derive(Debug)]
enum At {
    /// Opened when needed: an image may have as many layers as a process may have descriptors.
    Path(PathBuf),
    Open(OwnedFd),
}

/// By what a tree hides what lies below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Marks {
    /// Nothing: all is what it looks like.
    None,
    Layers,
    /// Those of a directory that overlayfs writes to.
    Overlays,
}

/// A directory of the merged tree; without parts, one that is empty.
#[derive(Default)]
pub struct Directory {
    /// Those it is made of, the top one first.
    pub(super) parts: Vec<Part>,
}

pub(super) struct Part {
    pub dir: OwnedFd,
    pub marks: Marks,
    /// Which tree it is in.
    tree: u16,
}

impl At {
    fn open(&self, path: &[u8]) -> Option<io::Result<OwnedFd>> {
        match self {
            At::Open(root) => walk::open(root.as_fd(), path),
            At::Path(root) => match fs::open_directory(root) {
                Ok(root) => walk::open(root.as_fd(), path),
                Err(e) => Some(Err(e)),
            },
        }
    }
}

impl Merged {
    /// One tree, as it is.
    pub fn plain(root: OwnedFd) -> Merged {
        Merged { trees: vec![Tree { at: At::Open(root), marks: Marks::None }] }
    }

    /// The trees of layers, the bottom one first.
    pub fn layers(layers: Vec<PathBuf>) -> Merged {
        let tree = |path| Tree { at: At::Path(path), marks: Marks::Layers };
        Merged { trees: layers.into_iter().rev().map(tree).collect() }
    }

    /// On top of them a directory that overlayfs writes to.
    pub fn below(mut self, upper: PathBuf) -> Merged {
        self.trees.insert(0, Tree { at: At::Path(upper), marks: Marks::Overlays });
        self
    }

    pub fn root(&self) -> Result<Directory> {
        let mut parts = Vec::new();
        for (tree, at) in self.trees.iter().enumerate() {
            parts.extend(self.part(tree, &at.at, b"")?);
        }
        Ok(Directory { parts })
    }

    /// The directory `path`; `None` where there is none.
    pub fn open(&self, path: &[u8]) -> Result<Option<Directory>> {
        let mut parts = Vec::new();
        self.each_part(path, &mut |part| {
            parts.push(part);
            Ok(true)
        })?;
        Ok((!parts.is_empty()).then_some(Directory { parts }))
    }

    /// What is at `path`.
    pub fn stat(&self, path: &[u8]) -> Result<Option<Stat>> {
        let (parent, name) = split(path);
        let mut stat = None;
        self.each_part(parent, &mut |part| {
            let found = part.find(name)?;
            let goes_on = matches!(found, Found::Nothing);
            if let Found::Entry(found) = found {
                stat = Some(found);
            }
            Ok(goes_on)
        })?;
        Ok(stat)
    }

    /// Hands on the parts that the directory `path` is made of, the top one first, until `each`
    /// wants no more. One is open at a time: an image may have half as many layers as a process may
    /// have descriptors.
    fn each_part(&self, path: &[u8], each: &mut dyn FnMut(Part) -> Result<bool>) -> Result<()> {
        'trees: for (index, tree) in self.trees.iter().enumerate() {
            let Some(mut part) = self.part(index, &tree.at, b"")? else {
                continue;
            };
            let mut is_last = false;
            for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
                match part.enter(name)? {
                    Entered::Nothing if is_last => return Ok(()),
                    Entered::Nothing => continue 'trees,
                    Entered::Hidden => return Ok(()),
                    Entered::Part(below) => part = below,
                }
                is_last |= part.is_opaque()?;
            }
            if !each(part)? || is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Opens again a directory that was made of these trees; `None` where one of them is gone.
    pub(super) fn reopen(&self, path: &[u8], trees: &[u16]) -> Result<Option<Directory>> {
        let mut parts = Vec::new();
        for index in trees {
            let tree = self.trees.get(usize::from(*index));
            match tree.map(|tree| self.part(usize::from(*index), &tree.at, path)).transpose()? {
                Some(Some(part)) => parts.push(part),
                _ => return Ok(None),
            }
        }
        Ok(Some(Directory { parts }))
    }

    fn part(&self, index: usize, at: &At, path: &[u8]) -> Result<Option<Part>> {
        let marks = self.trees.get(index).map_or(Marks::None, |tree| tree.marks);
        let dir = at.open(path).transpose().on("open", display(path))?;
        let tree = u16::try_from(index).map_err(io::Error::other).on("open", display(path))?;
        Ok(dir.map(|dir| Part { dir, marks, tree }))
    }
}

impl Directory {
    /// What `name` is, and in which of the directories.
    pub fn look_up(&self, name: &[u8]) -> Result<Option<(BorrowedFd<'_>, Stat)>> {
        for part in &self.parts {
            match part.find(name)? {
                Found::Nothing => {}
                Found::Hidden => return Ok(None),
                Found::Entry(stat) => return Ok(Some((part.dir.as_fd(), stat))),
            }
        }
        Ok(None)
    }

    /// The directory `name` of this one, which is closed; `None` where that is no directory.
    pub fn enter(self, name: &[u8]) -> Result<Option<Directory>> {
        let mut parts = Vec::new();
        let mut to_come = self.parts.len();
        for part in self.parts {
            to_come -= 1;
            match part.enter(name)? {
                Entered::Nothing => {}
                Entered::Hidden => break,
                Entered::Part(part) => {
                    let is_last = to_come == 0 || part.is_opaque()?;
                    parts.push(part);
                    if is_last {
                        break;
                    }
                }
            }
        }
        Ok((!parts.is_empty()).then_some(Directory { parts }))
    }

    /// The topmost: owner, mode and times of the directory are those of this one.
    pub fn top(&self) -> Option<BorrowedFd<'_>> {
        self.parts.first().map(|part| part.dir.as_fd())
    }

    pub(super) fn trees(&self) -> Vec<u16> {
        self.parts.iter().map(|part| part.tree).collect()
    }
}

enum Found {
    Nothing,
    /// What lies below is hidden.
    Hidden,
    Entry(Stat),
}

enum Entered {
    Nothing,
    /// What lies below is hidden, by a mark or by what is no directory.
    Hidden,
    Part(Part),
}

impl Part {
    fn enter(&self, name: &[u8]) -> Result<Entered> {
        match walk::open(self.dir.as_fd(), name).filter(|_| !self.is_mark(name)) {
            Some(dir) => Ok(Entered::Part(Part { dir: dir.on("open", display(name))?, ..*self })),
            None => Ok(match self.find(name)? {
                Found::Nothing => Entered::Nothing,
                _ => Entered::Hidden,
            }),
        }
    }

    fn find(&self, name: &[u8]) -> Result<Found> {
        let stat = |name: &[u8]| fs::stat_at(self.dir.as_fd(), name).on("look at", display(name));
        if self.is_mark(name) {
            return Ok(Found::Nothing);
        }
        Ok(match stat(name)? {
            Some(found) if self.is_whiteout(name, &found)? => Found::Hidden,
            Some(found) => Found::Entry(found),
            None if self.marks == Marks::Layers
                && name.len() + HIDES.len() <= 255
                && stat(&[HIDES, name].concat())?.is_some() =>
            {
                Found::Hidden
            }
            None => Found::Nothing,
        })
    }

    /// Whether this is the name of a mark.
    fn is_mark(&self, name: &[u8]) -> bool {
        self.marks == Marks::Layers && name.starts_with(HIDES)
    }

    pub fn is_whiteout(&self, name: &[u8], stat: &Stat) -> Result<bool> {
        match self.marks {
            Marks::None => Ok(false),
            Marks::Layers => Ok(tree::is_whiteout(stat)),
            Marks::Overlays => is_overlays_whiteout(self.dir.as_fd(), name, stat),
        }
    }

    fn is_opaque(&self) -> Result<bool> {
        let dir = self.dir.as_fd();
        if self.marks == Marks::None {
            return Ok(false);
        }
        let mark = xattr::get_at(dir, b".", Reserved::Opaque.key()).on("look at", "a directory")?;
        if mark.is_some_and(|mark| mark == b"y") {
            return Ok(true);
        }
        let by_name = || fs::stat_at(dir, HIDES_ALL).on("look at", "a directory");
        Ok(self.marks == Marks::Layers && by_name()?.is_some())
    }
}

/// Whether overlayfs hides by this what lies below.
pub(super) fn is_overlays_whiteout(dir: BorrowedFd, name: &[u8], stat: &Stat) -> Result<bool> {
    let is_empty = stat.file_type == FileType::Regular && stat.size == 0;
    if tree::is_whiteout(stat) || !is_empty {
        return Ok(tree::is_whiteout(stat));
    }
    let mark = xattr::get_at(dir, name, Reserved::Whiteout.key()).on("look at", display(name))?;
    Ok(mark.is_some())
}
