//! The tree of a layer while it is being unpacked: where members go, and what they may not do.
//!
//! Every act names an open directory and one component. The directory is found below the tree's
//! root by openat2: without symbolic links, or, where the archive itself goes through one of its
//! own links, as a process would whose root directory this is. Nothing outside can be reached.
//!
//! The tree has overlayfs's form: `.wh.x` becomes a character device 0/0 called `x`,
//! `.wh..wh..opq` the attribute `trusted.overlay.opaque=y` of its directory (image-spec
//! `layer.md`, "Whiteouts"; kernel docs `filesystems/overlayfs`). A whiteout hides what lower
//! layers have, never what this layer has: with a directory of the same name it makes that
//! directory opaque. A disk that refuses these marks (an overlay does) gets those of the archive, as
//! empty files: no overlay is mounted there (`merged`).
//!
//! Later members replace earlier ones of their name. A file whose data the recipe refers to
//! moves to `aside/` instead of being lost.
//!
//! Two things wait for the end of the archive, noted in the file `directories` meanwhile: times
//! of directories, which each file made in them changes; and directories that the archive
//! implies without listing them. These carry the mark `trusted.coracle.implied` until the
//! layers below are known, from which they take owner, mode and times.

use super::merged::{Directory, HIDES, HIDES_ALL, Merged};
use super::recipe::Displaced;
use super::room::{self, Room};
use super::tar::quote;
use crate::error::{Error, OsContext, Result};
use crate::sys::fs::{self, FileType, Open, Stat, Time};
use crate::sys::userns;
use crate::sys::xattr::{self, Reserved};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PATH_MAX: usize = 4095;

/// Owner, mode and the like of a new file.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub mtime: Time,
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// A directory the archive names things in.
struct Parent {
    /// As the archive spells it, cleaned.
    spelled: Vec<u8>,
    /// Its path in the tree, without links.
    path: Vec<u8>,
    dir: OwnedFd,
}

pub struct Tree {
    dir: PathBuf,
    root: OwnedFd,
    root_path: PathBuf,
    /// The directory used last: members of one directory mostly follow each other.
    parent: Option<Parent>,
    directories: BufWriter<File>,
    /// Regular files made so far; as many as the recipe names.
    files: u64,
    displaced: Displaced,
    room: Room,
    /// Some of its whiteouts are files.
    hides_by_name: bool,
}

impl Tree {
    /// Makes an empty tree, `<dir>/fs`.
    pub fn create(dir: &Path) -> Result<Tree> {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("fs");
        std::fs::create_dir(&path).on("create", &path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).on("chmod", &path)?;
        let root = fs::open_directory(&path).on("open", &path)?;
        let notes = dir.join("directories");
        let mut tree = Tree {
            dir: dir.to_path_buf(),
            root_path: fs::path_of(root.as_fd()).on("find", &path)?,
            root,
            parent: None,
            directories: BufWriter::new(File::create_new(&notes).on("create", &notes)?),
            files: 0,
            displaced: Displaced::default(),
            room: Room::at(dir)?,
            hides_by_name: false,
        };
        // Unless a member says otherwise.
        tree.note_listed(b"", Time(0))?;
        Ok(tree)
    }

    /// Counts bytes that are about to be written to a file of the tree.
    pub fn take(&mut self, bytes: u64) -> Result<()> {
        self.room.take(bytes)
    }

    /// Makes the directory, or gives an existing one other attributes.
    pub fn directory(&mut self, path: &[u8], attributes: &Attributes) -> Result<()> {
        if path.is_empty() {
            let root = self.root.as_fd();
            // What the store's disk cannot hold is left out, as Docker does: the recipe has it.
            for (key, value) in attributes.xattrs {
                xattr::supported(xattr::set_at(root, b".", key, value))
                    .on("set an attribute", "/")?;
            }
            owned(fs::fchown(root, attributes.uid, attributes.gid).on("chown", "/"))?;
            fs::fchmod(root, attributes.mode).on("chmod", "/")?;
            return self.note_listed(b"", attributes.mtime);
        }
        let (parent, name) = split(path);
        self.enter(parent)?;
        let path = self.path_here(name);
        self.make_directory(name, true)?;
        self.set_attributes(name, attributes, false)?;
        self.note_listed(&path, attributes.mtime)
    }

    /// Makes an empty regular file to be filled by the caller, and gives its path without links.
    /// `finish_file` sets its attributes.
    pub fn file(&mut self, path: &[u8]) -> Result<(File, Vec<u8>)> {
        let (file, path) = self.make(path, |dir, name| fs::open_at(dir, name, Open::CreateNew))?;
        self.files += 1;
        Ok((fs::file(file), path))
    }

    pub fn finish_file(&self, file: &File, attributes: &Attributes) -> Result<()> {
        let fd = file.as_fd();
        // The owner first: a new one takes suid bits and capabilities away.
        owned(fs::fchown(fd, attributes.uid, attributes.gid).on("chown", "it"))?;
        for (key, value) in attributes.xattrs {
            xattr::supported(xattr::fset(fd, key, value)).on("set an attribute of", "it")?;
        }
        fs::fchmod(fd, attributes.mode).on("chmod", "it")?;
        fs::futimens(fd, attributes.mtime).on("set the time of", "it")
    }

    pub fn symlink(&mut self, path: &[u8], target: &[u8], attributes: &Attributes) -> Result<()> {
        self.make(path, |dir, name| fs::symlink_at(target, dir, name))?;
        self.set_attributes(split(path).1, attributes, true)
    }

    pub fn node(
        &mut self,
        path: &[u8],
        file_type: FileType,
        device: (u32, u32),
        attributes: &Attributes,
    ) -> Result<()> {
        if file_type == FileType::CharDevice && device == (0, 0) {
            return Err(Error::invalid(
                "is a character device 0/0, which overlayfs takes for a whiteout",
            ));
        }
        self.make(path, |dir, name| fs::mknod_at(dir, name, file_type, device))?;
        self.set_attributes(split(path).1, attributes, false)
    }

    /// Makes `path` another name of `target`, a path in the tree.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let missing = || Error::invalid(format!("links to {}, which is not there", quote(target)));
        let (target_parent, target_name) = split(target);
        if target_name.is_empty() {
            return Err(Error::invalid("links to a directory"));
        }
        let dir = match self.find(target_parent) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other.map_err(|e| Error::os("open", quote(target), e))?.dir,
        };
        let old = fs::stat_at(dir.as_fd(), target_name).on("look up", "the link's target")?;
        let old = old.filter(|old| !is_whiteout(old)).ok_or_else(missing)?;
        if old.file_type == FileType::Directory {
            return Err(Error::invalid("links to a directory"));
        }
        // A link to itself is what it is to be already.
        let (parent, name) = split(path);
        self.enter(parent)?;
        let new = fs::stat_at(self.here(), name).on("look up", "a member")?;
        if new.is_some_and(|new| new.inode == old.inode) {
            return Ok(());
        }
        self.make(path, |to, name| fs::link_at(dir.as_fd(), target_name, to, name))?;
        Ok(())
    }

    /// Hides what lower layers have at `path`.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let (parent, name) = split(path);
        self.enter(parent)?;
        match fs::stat_at(self.here(), name).on("look up", "a whiteout")? {
            None => {
                self.room.take(room::ENTRY)?;
                let what = || Path::new(std::ffi::OsStr::from_bytes(path));
                let mark = [HIDES, name].concat();
                let mark = match fs::mknod_at(self.here(), name, FileType::CharDevice, (0, 0)) {
                    Err(e) if is_refused(&e) => {
                        self.hides_by_name = true;
                        make_mark(self.here(), &mark).on("make the whiteout", what())?;
                        &mark
                    }
                    made => made.on("make the whiteout", what()).map(|()| name)?,
                };
                fs::utimens_at(self.here(), mark, Time(0)).on("set the time of", "a whiteout")
            }
            Some(old) if old.file_type == FileType::Directory => self.set_opaque(name),
            Some(_) => Ok(()),
        }
    }

    /// Hides what lower layers have in the directory `path`.
    pub fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.enter(path)?;
        self.set_opaque(b".")
    }

    fn set_opaque(&self, name: &[u8]) -> Result<()> {
        let set = match xattr::set_at(self.here(), name, Reserved::Opaque.key(), b"y") {
            Err(e) if is_refused(&e) => fs::open_at(self.here(), name, Open::Directory)
                .and_then(|dir| make_mark(dir.as_fd(), HIDES_ALL)),
            set => set,
        };
        set.on("mark as opaque", "a directory")
    }

    /// Completes the tree: sets the times of directories. Gives how many directories still wait
    /// for the attributes of the layers below.
    pub fn finish(mut self) -> Result<(u64, Displaced)> {
        let notes = self.dir.join("directories");
        self.directories.flush().on("write", &notes)?;
        let mut implied = 0;
        for_each_note(&notes, |note, path| {
            // What is no directory any more was replaced; its note is void.
            let Ok(dir) = open_directory(self.root.as_fd(), path) else {
                return Ok(());
            };
            match note {
                Note::Listed(mtime) => fs::futimens(dir.as_fd(), mtime).on("set a time", "")?,
                Note::Implied => {
                    let mark = xattr::get_at(dir.as_fd(), b".", Reserved::Implied.key());
                    implied += u64::from(mark.on("look at", "a directory")?.is_some());
                }
            }
            Ok(())
        })?;
        if implied == 0 {
            std::fs::remove_file(&notes).on("remove", &notes)?;
        }
        Ok((implied, self.displaced))
    }

    fn note_listed(&mut self, path: &[u8], mtime: Time) -> Result<()> {
        self.note(&[&[LISTED_NOTE], &mtime.0.to_le_bytes()[..]].concat(), path)
    }

    fn note(&mut self, note: &[u8], path: &[u8]) -> Result<()> {
        let length = (path.len() as u32).to_le_bytes();
        let record = [note, &length, path].concat();
        self.room.take(record.len() as u64)?;
        self.directories.write_all(&record).on("write", self.dir.join("directories"))
    }

    /// The directory entered last.
    fn here(&self) -> BorrowedFd<'_> {
        self.parent.as_ref().map_or(self.root.as_fd(), |p| p.dir.as_fd())
    }

    fn path_here(&self, name: &[u8]) -> Vec<u8> {
        join(self.parent.as_ref().map_or(&b""[..], |p| &p.path), name)
    }

    /// Makes the entry `path` by `create`, replacing what is there. Gives what `create` gave and
    /// the path without links.
    fn make<T>(
        &mut self,
        path: &[u8],
        create: impl Fn(BorrowedFd, &[u8]) -> io::Result<T>,
    ) -> Result<(T, Vec<u8>)> {
        let (parent, name) = split(path);
        if name.is_empty() {
            return Err(Error::invalid("would replace the root directory"));
        }
        self.enter(parent)?;
        self.room.take(room::ENTRY)?;
        let mut made = create(self.here(), name);
        if made.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
            self.displace(name)?;
            self.enter(parent)?;
            made = create(self.here(), name);
        }
        let made = made.map_err(|e| Error::os("create", "it", e))?;
        Ok((made, self.path_here(name)))
    }

    /// Takes away what is at `name`.
    fn displace(&mut self, name: &[u8]) -> Result<()> {
        let failed = |e| Error::os("replace", "an earlier member", e);
        let Some(old) = fs::stat_at(self.here(), name).map_err(failed)? else {
            return Ok(());
        };
        let keep = match old.file_type {
            FileType::Directory => fs::rmdir_at(self.here(), name).is_err(),
            FileType::Regular => old.size > 0,
            _ => false,
        };
        if keep {
            let aside = self.dir.join("aside");
            if self.displaced.is_empty() {
                std::fs::create_dir(&aside).on("create", &aside)?;
            }
            let number = self.displaced.add(&self.path_here(name), self.files)?;
            let aside = fs::open_directory(&aside).on("open", &aside)?;
            let moved =
                fs::rename_at(self.here(), name, aside.as_fd(), number.to_string().as_bytes());
            moved.map_err(failed)?;
        } else if old.file_type != FileType::Directory {
            fs::unlink_at(self.here(), name).map_err(failed)?;
        }
        // The directory entered may have been, or been reached through, what is gone.
        self.parent = None;
        Ok(())
    }

    fn set_attributes(&self, name: &[u8], attributes: &Attributes, symlink: bool) -> Result<()> {
        let dir = self.here();
        owned(fs::chown_at(dir, name, attributes.uid, attributes.gid).on("chown", "it"))?;
        for (key, value) in attributes.xattrs {
            xattr::supported(xattr::set_at(dir, name, key, value))
                .on("set an attribute of", "it")?;
        }
        if !symlink {
            fs::chmod_at(dir, name, attributes.mode).on("chmod", "it")?;
        }
        fs::utimens_at(dir, name, attributes.mtime).on("set the time of", "it")
    }

    /// Makes the directory `name` here. `listed`: by a member of its own.
    fn make_directory(&mut self, name: &[u8], listed: bool) -> Result<()> {
        let failed = |e| Error::os("create", "the directory", e);
        self.room.take(room::ENTRY)?;
        let mut hides = false;
        loop {
            match fs::mkdir_at(self.here(), name, 0o755) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(e)),
                Ok(()) => break,
            }
            let old = fs::stat_at(self.here(), name).map_err(failed)?;
            match old {
                Some(old) if old.file_type == FileType::Directory => {
                    match xattr::remove_at(self.here(), name, Reserved::Implied.key()) {
                        Err(e) if !xattr::is_no_attribute(&e) => return Err(failed(e)),
                        _ => return Ok(()),
                    }
                }
                Some(old) if listed || is_whiteout(&old) => hides = is_whiteout(&old),
                Some(_) => {
                    let path = quote(&self.path_here(name));
                    return Err(Error::invalid(format!("lies in {path}, which is no directory")));
                }
                None => {}
            }
            let here = self.parent.as_ref().map(|p| p.spelled.clone()).unwrap_or_default();
            self.displace(name)?;
            self.enter(&here)?;
        }
        if self.hides_by_name && !hides {
            let mark = fs::stat_at(self.here(), &[HIDES, name].concat());
            hides = mark.map_err(failed)?.is_some();
        }
        if hides {
            self.set_opaque(name)?;
        }
        if !listed {
            let marked = xattr::set_at(self.here(), name, Reserved::Implied.key(), b"y");
            marked.on("mark as implied", "a directory")?;
            let path = self.path_here(name);
            self.note(&[IMPLIED_NOTE], &path)?;
        }
        Ok(())
    }

    /// Goes to the directory `spelled`, making what is missing on the way.
    fn enter(&mut self, spelled: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_some_and(|p| p.spelled == spelled) {
            return Ok(());
        }
        match self.find(spelled) {
            Ok(parent) => {
                self.parent = Some(parent);
                return Ok(());
            }
            Err(e) if is_absent(&e) => {}
            Err(e) => return Err(Error::os("open", quote(spelled), e)),
        }
        self.parent = None;
        let ends = spelled.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
        for end in ends.chain([spelled.len()]) {
            let prefix = spelled.get(..end).unwrap_or_default();
            let found = match self.find(prefix) {
                Err(e) if is_absent(&e) => {
                    self.make_directory(split(prefix).1, false)?;
                    self.find(prefix)
                }
                other => other,
            };
            self.parent = Some(found.map_err(|e| Error::os("open", quote(prefix), e))?);
        }
        Ok(())
    }

    /// The directory that `spelled` leads to.
    fn find(&self, spelled: &[u8]) -> io::Result<Parent> {
        let root = self.root.as_fd();
        // With the dot a link in the last place is one on the way, and is told as such.
        let path = join(spelled, b".");
        let (dir, path) = match fs::open_beneath(root, &path, Open::Directory) {
            Err(e) if fs::is_link_refused(&e) => {
                let dir = fs::open_in_root(root, &path, Open::Directory)?;
                let path = fs::path_of(dir.as_fd())?;
                let path = path.strip_prefix(&self.root_path).map_err(io::Error::other)?;
                (dir, path.as_os_str().as_bytes().to_vec())
            }
            other => (other?, spelled.to_vec()),
        };
        Ok(Parent { spelled: spelled.to_vec(), path, dir })
    }
}

/// Gives the directories that the layer in `dir` implies the attributes they have in `below`,
/// the trees of the layers below (the top one last), or those of a new directory.
pub fn adopt(dir: &Path, below: &[PathBuf]) -> Result<()> {
    let root_path = dir.join("fs");
    let root = fs::open_directory(&root_path).on("open", &root_path)?;
    let below = Merged::layers(below.to_vec());
    let notes = dir.join("directories");
    for_each_note(&notes, |note, path| {
        let Ok(to) = open_directory(root.as_fd(), path) else {
            return Ok(());
        };
        let mark = xattr::get_at(to.as_fd(), b".", Reserved::Implied.key());
        if note != Note::Implied || mark.on("look at", "a directory")?.is_none() {
            return Ok(());
        }
        match below.open(path)?.as_ref().and_then(Directory::top) {
            Some(from) => {
                fs::copy_attributes(from, to.as_fd()).on("copy the attributes of", quote(path))?
            }
            None => fs::futimens(to.as_fd(), Time(0)).on("set the time of", "a directory")?,
        }
        xattr::remove_at(to.as_fd(), b".", Reserved::Implied.key()).on("unmark", "a directory")
    })?;
    std::fs::remove_file(&notes).on("remove", &notes)
}

/// Names the cure where an owner is nobody in our user namespace.
fn owned(result: Result<()>) -> Result<()> {
    const EINVAL: i32 = 22;
    result.map_err(|error| match error.errno() {
        Some(EINVAL) if !userns::is_initial() => error.hint(userns::MORE_IDS),
        _ => error,
    })
}

/// Gives the root of a new layer the attributes of the one below it: in an overlay the upper one
/// counts.
pub fn copy_root(below: &Path, new: &Path) -> Result<()> {
    let from = fs::open_directory(below).on("open", below)?;
    let to = fs::open_directory(new).on("open", new)?;
    fs::copy_attributes(from.as_fd(), to.as_fd()).on("copy the attributes of", below)
}

/// What `directories` says of one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Note {
    /// A member named it, with this time.
    Listed(Time),
    /// A member lies below it.
    Implied,
}

const LISTED_NOTE: u8 = b'L';
const IMPLIED_NOTE: u8 = b'I';

fn for_each_note(notes: &Path, mut act: impl FnMut(Note, &[u8]) -> Result<()>) -> Result<()> {
    let mut input = BufReader::new(File::open(notes).on("open", notes)?);
    let mut read = || -> io::Result<Option<(Note, Vec<u8>)>> {
        let tag = match input.fill_buf()? {
            [] => return Ok(None),
            [tag, ..] => *tag,
        };
        input.consume(1);
        let note = if tag == LISTED_NOTE {
            let mut mtime = [0; 16];
            input.read_exact(&mut mtime)?;
            Note::Listed(Time(i128::from_le_bytes(mtime)))
        } else {
            Note::Implied
        };
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let mut path = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut path)?;
        Ok(Some((note, path)))
    };
    while let Some((note, path)) = read().on("read", notes)? {
        act(note, &path)?;
    }
    Ok(())
}

/// Opens the directory `path` of a tree; a link in any place is no directory.
fn open_directory(root: BorrowedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    fs::open_beneath(root, path, Open::Directory)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether the disk refuses a mark of overlayfs's.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

/// Makes an empty file, where it is missing.
fn make_mark(dir: BorrowedFd, name: &[u8]) -> io::Result<()> {
    match fs::open_at(dir, name, Open::CreateNew) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

pub fn is_whiteout(stat: &Stat) -> bool {
    stat.file_type == FileType::CharDevice && stat.device == (0, 0)
}

pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// A member's name as a path in the tree: no leading slash, no empty part, no `.`; `..` is taken
/// off with the part before it. The root is the empty path.
pub fn clean(name: &[u8]) -> Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(Error::invalid("leads out of the archive's root by \"..\""));
                }
            }
            part => parts.push(part),
        }
    }
    let path = parts.join(&b'/');
    if path.contains(&0) {
        return Err(Error::invalid("has a NUL in its name"));
    }
    if path.len() > PATH_MAX {
        return Err(Error::invalid(format!("has a name of {} bytes", path.len())));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_may_not_escape() {
        for (name, path) in [
            ("./", ""),
            ("/", ""),
            ("./bin/../etc//passwd", "etc/passwd"),
            ("/usr/bin/", "usr/bin"),
            ("a/..", ""),
        ] {
            assert_eq!(clean(name.as_bytes()).unwrap(), path.as_bytes(), "{name}");
        }
        for bad in ["..", "../x", "a/../../x", "/..", "a\0b"] {
            assert!(clean(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(clean(&[b'a'; 5000]).is_err());
    }
}
