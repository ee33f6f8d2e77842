//! What a container changed: its upper directory, compared with the image below it.
//!
//! The upper directory has overlayfs's form (kernel docs, `filesystems/overlayfs`): a file that is
//! there replaces the one below it, a character device 0/0 (or, in a directory marked for it, an
//! empty file with the attribute `trusted.overlay.whiteout`) hides it, and in a directory with
//! `trusted.overlay.opaque=y` nothing below shows. overlayfs copies a file up before it knows
//! whether it will really be changed: what is equal to what lies below is no change.
//!
//! Without overlayfs it has all files, once copied from the image, and what is missing was deleted.
//! A file whose inode changed last before the copy was done (ctime, which nobody can set) is as it
//! was copied; the content of every other one is read.
//!
//! There are two ways to tell it. People (`diff`) are told as Docker tells it: what was there and
//! is again is compared, wherever it stands; times of directories do not count; of what was deleted
//! or is new in place of something else only the top is told. A layer (`commit`) must give the same
//! tree again: an opaque directory stays one with all that is in it, and times and hard links
//! count.
//!
//! Nothing is told of the mount points that the engine itself made: Docker has them in a layer
//! of their own, between the image and the container.

use super::init_layer;
use super::merged::{self, Directory, Merged};
use super::pack::xattrs;
use super::place::{self, Place};
use super::tree::{join, split};
use super::walk::{self, Entry, Event, Walk, display};
use crate::error::{Error, OsContext, Result};
use crate::sys::fs::{self, FileType, Open, Stat, Time};
use crate::sys::xattr::{self, Reserved};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What the engine may have made in a container's own directory, where the init layer does not show
/// or is not used: directories to mount on and empty files, also at the end of a link.
fn engine_paths(lower: &Merged) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut dirs = init_layer::DIRS.map(<[u8]>::to_vec).to_vec();
    let mut files = init_layer::FILES.map(<[u8]>::to_vec).to_vec();
    for path in init_layer::FILES {
        let taken = || Err(Error::conflict("a directory is there"));
        let Ok(Place { dir, missing }) = place::find(lower, path, &taken) else {
            continue;
        };
        let Some((name, parents)) = missing.split_last() else {
            continue;
        };
        let mut at = dir;
        for parent in parents {
            at = join(&at, parent);
            dirs.push(at.clone());
        }
        files.push(join(&at, name));
    }
    (dirs, files)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Added,
    Changed,
    Deleted,
}

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    People,
    Layer,
}

/// A container's files, and its image's.
pub struct Compared {
    pub upper: OwnedFd,
    pub holds: Holds,
    pub lower: Merged,
}

/// What is in the upper directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// What was changed, in overlayfs's form.
    Changes,
    /// All files. Those that changed last before this time are as in the image.
    All { since: Time },
}

pub struct Change<'c> {
    pub kind: Kind,
    /// What is there now; of what was deleted, what was.
    pub entry: Entry<'c>,
    /// Nothing shows in this directory of what lies below.
    pub opaque: bool,
}

type Tell<'t> = &'t mut dyn FnMut(&Change) -> Result<()>;

/// Tells all changes, each directory before what is in it.
pub fn changes(compared: Compared, told: For, tell: Tell) -> Result<()> {
    let Compared { upper, holds, lower } = compared;
    let below = lower.root()?;
    let tree = Merged::plain(upper.try_clone().on("dup", "")?);
    let is_whole = holds != Holds::Changes;
    let mut walk = Walk::new(tree, is_whole.then_some(&below))?;
    let top = Level { path: Vec::new(), below: below.trees(), pending: false };
    let (dirs, files) = engine_paths(&lower);
    let levels = vec![top];
    let mut changes = Changes { upper, holds, lower, told, dirs, files, below, levels };
    changes.root(tell)?;
    while let Some(event) = walk.advance()? {
        let descent = match event {
            Event::Left => {
                changes.leave()?;
                continue;
            }
            Event::Entry(entry) => changes.entry(&entry, tell)?,
        };
        if let Some(descent) = descent {
            let hides = descent.hides;
            changes.descend(descent)?;
            // What was below is to be told as deleted where it is not there again.
            walk.enter(hides.then_some(&changes.below))?;
        }
    }
    Ok(())
}

struct Changes {
    upper: OwnedFd,
    holds: Holds,
    lower: Merged,
    told: For,
    /// What the engine makes.
    dirs: Vec<Vec<u8>>,
    files: Vec<Vec<u8>>,
    /// What the directory at hand is compared with.
    below: Directory,
    levels: Vec<Level>,
}

/// A directory on the way.
struct Level {
    path: Vec<u8>,
    /// In which trees that is with which it is compared.
    below: Vec<u16>,
    /// Not told, but it will be once something in it is.
    pending: bool,
}

/// A directory to go into.
struct Descent {
    path: Vec<u8>,
    pending: bool,
    /// What is in it is compared with what lies below.
    compared: bool,
    /// It hides the one below with which it is compared.
    hides: bool,
}

impl Changes {
    /// What a layer does not say of its root is taken for 0755, of root, from 1970.
    fn root(&self, tell: Tell) -> Result<()> {
        if self.told == For::People {
            return Ok(());
        }
        let dir = self.upper.as_fd();
        let stat = fs::fstat(dir).on("look at", "/")?;
        let entry = Entry { dir, name: b".", path: b"", stat: Some(stat) };
        let below = self.below.look_up(b".")?.filter(|(_, below)| below.mtime != stat.mtime);
        let mtime = match below {
            Some((_, below)) if self.engine_made_in(b"")? => below.mtime,
            _ => stat.mtime,
        };
        let plain = (stat.mode, stat.uid, stat.gid, mtime) == (0o755, 0, 0, Time(0));
        match plain && xattrs(&entry)?.is_empty() {
            true => Ok(()),
            false => tell(&Change { kind: Kind::Changed, entry, opaque: false }),
        }
    }

    fn descend(&mut self, descent: Descent) -> Result<()> {
        let Descent { path, pending, compared, .. } = descent;
        let name = split(&path).1;
        let below = if compared { std::mem::take(&mut self.below).enter(name)? } else { None };
        self.below = below.unwrap_or_default();
        self.levels.push(Level { path, below: self.below.trees(), pending });
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        self.levels.pop();
        if let Some(Level { path, below, .. }) = self.levels.last() {
            self.below = Directory::default();
            self.below = self.lower.reopen(path, below)?.unwrap_or_default();
        }
        Ok(())
    }

    /// Tells of one entry; gives where to go on, where it is a directory.
    fn entry(&mut self, entry: &Entry, tell: Tell) -> Result<Option<Descent>> {
        let old = self.below.look_up(entry.name)?;
        let below = old.map(|(_, stat)| stat);
        let is_whole = self.holds != Holds::Changes;
        let is_hidden = match entry.stat {
            Some(_) if is_whole => false,
            Some(stat) => merged::is_overlays_whiteout(entry.dir, entry.name, &stat)?,
            None => true,
        };
        let Some(stat) = entry.stat.filter(|_| !is_hidden) else {
            if let Some((dir, _)) = old {
                tell_pending(&self.upper, &mut self.levels, tell)?;
                let gone = Entry { dir, stat: below, ..*entry };
                tell(&Change { kind: Kind::Deleted, entry: gone, opaque: false })?;
            }
            return Ok(None);
        };
        let is_dir = stat.file_type == FileType::Directory;
        let is_engines = self.is_engines(entry.path, &stat, below.as_ref());
        let merges = is_dir && below.is_some_and(|below| below.file_type == stat.file_type);
        let opaque = merges && !is_whole && is_opaque(entry)?;
        let mut kind = match old {
            _ if is_engines => None,
            None => Some(Kind::Added),
            Some((dir, below)) if self.is_same(entry, &stat, dir, &below)? => None,
            Some(_) => Some(Kind::Changed),
        };
        if opaque && self.told == For::Layer {
            kind = kind.or(Some(Kind::Changed));
        }
        if let Some(kind) = kind {
            tell_pending(&self.upper, &mut self.levels, tell)?;
            tell(&Change { kind, entry: *entry, opaque })?;
        }
        let compared = merges && !(opaque && self.told == For::Layer);
        let hides = (opaque || is_whole) && compared;
        let (path, pending) = (entry.path, kind.is_none());
        Ok(is_dir.then(|| Descent { path: path.to_vec(), pending, compared, hides }))
    }

    /// Whether it is as it was: `below` in the directory `dir`.
    fn is_same(&self, entry: &Entry, stat: &Stat, dir: BorrowedFd, below: &Stat) -> Result<bool> {
        let owner = |stat: &Stat| (stat.file_type, stat.mode, stat.uid, stat.gid);
        let is_dir = stat.file_type == FileType::Directory;
        let untouched = matches!(self.holds, Holds::All { since } if stat.ctime < since);
        let linked = !is_dir && stat.links > 1 && self.told == For::Layer && !untouched;
        if owner(stat) != owner(below) || linked {
            return Ok(false);
        }
        let old = Entry { dir, stat: Some(*below), ..*entry };
        if is_dir {
            let times = self.told == For::People
                || stat.mtime == below.mtime
                || self.engine_made_in(entry.path)?;
            return Ok(times && (untouched || xattrs(entry)? == xattrs(&old)?));
        }
        if (stat.mtime, stat.size) != (below.mtime, below.size) {
            return Ok(false);
        }
        if untouched {
            return Ok(true);
        }
        if xattrs(entry)? != xattrs(&old)? {
            return Ok(false);
        }
        let same = match stat.file_type {
            FileType::Regular => same_content(entry, &old),
            FileType::Symlink => target(entry).and_then(|now| Ok(now == target(&old)?)),
            _ => Ok(stat.device == below.device),
        };
        same.on("compare", display(entry.path))
    }

    /// Whether the engine made this for itself.
    fn is_engines(&self, path: &[u8], stat: &Stat, below: Option<&Stat>) -> bool {
        let roots = stat.uid == 0 && stat.gid == 0;
        match stat.file_type {
            FileType::Directory => {
                let is_one = self.dirs.iter().any(|own| own == path);
                roots && stat.mode == 0o755 && below.is_none() && is_one
            }
            // Also in place of a link that led nowhere.
            FileType::Regular => {
                let new = below.is_none_or(|below| below.file_type == FileType::Symlink);
                roots
                    && stat.size == 0
                    && stat.mode == 0o644
                    && new
                    && self.files.iter().any(|own| own == path)
            }
            _ => false,
        }
    }

    /// Whether the engine made something in this directory.
    fn engine_made_in(&self, path: &[u8]) -> Result<bool> {
        let find = |name: &[u8]| -> Result<Option<Stat>> {
            match walk::open(self.upper.as_fd(), path) {
                None => Ok(None),
                Some(dir) => {
                    let dir = dir.on("open", display(path))?;
                    fs::stat_at(dir.as_fd(), name).on("look at", display(path))
                }
            }
        };
        for own in self.dirs.iter().chain(&self.files) {
            let (parent, name) = split(own);
            if parent == path
                && let Some(stat) = find(name)?
                && self.is_engines(own, &stat, self.lower.stat(own)?.as_ref())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Tells of the directories on the way that have not been told of, as something in them changed.
fn tell_pending(upper: &OwnedFd, levels: &mut [Level], tell: Tell) -> Result<()> {
    for level in levels.iter_mut().filter(|level| level.pending) {
        level.pending = false;
        let Some(dir) = walk::open(upper.as_fd(), &level.path) else {
            continue;
        };
        let dir = dir.on("open", display(&level.path))?;
        let stat = fs::fstat(dir.as_fd()).on("look at", display(&level.path))?;
        let entry = Entry { dir: dir.as_fd(), name: b".", path: &level.path, stat: Some(stat) };
        tell(&Change { kind: Kind::Changed, entry, opaque: false })?;
    }
    Ok(())
}

fn is_opaque(entry: &Entry) -> Result<bool> {
    let mark = xattr::get_at(entry.dir, entry.name, Reserved::Opaque.key());
    let mark = mark.on("look at", display(entry.path))?;
    Ok(mark.is_some_and(|mark| mark == b"y"))
}

fn target(entry: &Entry) -> io::Result<Vec<u8>> {
    fs::read_link_at(entry.dir, entry.name)
}

/// Compares two files of the same size.
fn same_content(a: &Entry, b: &Entry) -> io::Result<bool> {
    let open = |entry: &Entry| fs::open_at(entry.dir, entry.name, Open::Read).map(fs::file);
    let (mut a, mut b) = (open(a)?, open(b)?);
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = read_full(&mut a, &mut left)?;
        let m = read_full(&mut b, &mut right)?;
        if left.get(..n) != right.get(..m) {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
