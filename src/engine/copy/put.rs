//! Putting one thing at a name: at once where the name is free, else it is made aside and renamed,
//! so that whoever looks, and whatever is killed, sees the old or the new one. A file is whole
//! before it has any name.
//!
//! The directory may belong to a container that runs, or to another user of the host, and its names
//! change at any time. So nothing is named twice: what was made is opened, looked at, and given its
//! owner, mode and the rest by that descriptor.

use super::job::Job;
use crate::error::{Error, OsContext, Result};
use crate::image::tree::Attributes;
use crate::sys::copy::content;
use crate::sys::fs::{self, FileType, Open, Stat};
use crate::sys::held::Held;
use crate::sys::{process, unnamed, userns, xattr};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A place to put things.
pub struct Target<'d> {
    pub dir: BorrowedFd<'d>,
    pub name: &'d [u8],
    /// In messages.
    pub shown: String,
    pub job: &'d Job,
}

impl Target<'_> {
    /// Puts a file that `fill` fills.
    pub fn file<T>(
        &self,
        attributes: &Attributes,
        fill: impl FnOnce(&File) -> Result<T>,
    ) -> Result<T> {
        self.check()?;
        let here = PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()));
        let (file, aside) = match unnamed::create(&here) {
            Ok(file) => (file, None),
            Err(e) if unnamed::is_unsupported(&e) => {
                let create = |name: &[u8]| fs::open_at(self.dir, name, Open::CreateNew);
                let made = self.job.asides.make(self.dir, create).on("create", &self.shown);
                made.map(|(file, aside)| (fs::file(file), Some(aside)))?
            }
            Err(e) => return Err(Error::os("create", &self.shown, e)),
        };
        let fill = || {
            let done = fill(&file)?;
            self.dress_open(file.as_fd(), attributes)?;
            let mtime = fs::futimens(file.as_fd(), attributes.mtime);
            mtime.on("set the time of", &self.shown).map(|()| done)
        };
        match aside {
            Some(aside) => {
                let done = fill().and_then(|done| self.rename(&aside).map(|()| done));
                self.undo(&aside, done)
            }
            None => {
                let done = fill()?;
                let link = |name: &[u8]| unnamed::link(&file, &here.join(OsStr::from_bytes(name)));
                self.put(link, |_| Ok(())).map(|()| done)
            }
        }
    }

    pub fn symlink(&self, target: &[u8], attributes: &Attributes) -> Result<()> {
        self.put(
            |name| fs::symlink_at(target, self.dir, name),
            |name| self.dress(name, FileType::Symlink, (0, 0), attributes),
        )
    }

    /// Puts a fifo or a device.
    pub fn node(&self, kind: FileType, device: (u32, u32), attributes: &Attributes) -> Result<()> {
        self.put(
            |name| fs::mknod_at(self.dir, name, kind, device),
            |name| self.dress(name, kind, device, attributes),
        )
    }

    /// Puts one more name of the file that is `first` in another directory.
    pub fn link(&self, dir: BorrowedFd, first: &[u8]) -> Result<()> {
        self.put(|name| fs::link_at(dir, first, self.dir, name), |_| Ok(()))
    }

    /// Makes a directory, where there is nothing yet, and gives it open.
    pub fn directory(&self, attributes: &Attributes) -> Result<OwnedFd> {
        let what = || &self.shown;
        fs::mkdir_at(self.dir, self.name, 0o700).on("create", what())?;
        let dir = fs::open_at(self.dir, self.name, Open::Directory).on("open", what())?;
        let is_ours = fs::fstat(dir.as_fd()).on("look at", what())?.uid == process::effective_uid()
            && fs::entries(dir.as_fd()).on("read", what())?.next().is_none();
        if !is_ours {
            return Err(self.replaced());
        }
        self.dress_open(dir.as_fd(), attributes).map(|()| dir)
    }

    /// Whether something like that is not copied: a socket, which means nothing without the process
    /// behind it, and a device where none are wanted.
    pub fn passes_over(&self, stat: &Stat) -> bool {
        let passes = is_device(stat.file_type) && !self.job.takes_devices();
        if passes {
            self.job.pass_device(&self.shown);
        }
        passes || stat.file_type == FileType::Socket
    }

    /// Copies what is no directory. Gives the bytes of a file.
    pub fn copy(&self, from: BorrowedFd, name: &[u8], stat: &Stat) -> Result<u64> {
        let what = || &self.shown;
        let mut xattrs = xattr::all_at(from, name).on("read the attributes for", what())?;
        let attributes = self.job.of_file(stat, &mut xattrs);
        match stat.file_type {
            FileType::Regular => {
                let source = fs::open_at(from, name, Open::Read).on("read for", what())?;
                let source = fs::file(source);
                let now = || fs::fstat(source.as_fd()).on("look at", what());
                let found = now()?;
                // It may have been exchanged for something else since it was looked at.
                if found.inode != stat.inode {
                    return Err(
                        Error::conflict("the file was replaced meanwhile").hint("try again")
                    );
                }
                self.file(&attributes, |to| {
                    content(&source, to, found.size).on("copy to", what())?;
                    match now()?.size < found.size {
                        // What was read of it never was the whole.
                        true => Err(self.shrunk()),
                        false => Ok(()),
                    }
                })?;
                return Ok(found.size);
            }
            FileType::Symlink => {
                let target = fs::read_link_at(from, name).on("read", what())?;
                self.symlink(&target, &attributes)?;
            }
            FileType::Socket | FileType::Directory => {}
            kind => self.node(kind, stat.device, &attributes)?,
        }
        Ok(0)
    }

    /// Refuses to put what is no directory in the place of one.
    fn check(&self) -> Result<()> {
        match fs::stat_at(self.dir, self.name).on("look at", &self.shown)? {
            Some(stat) if stat.file_type == FileType::Directory => {
                let text = format!("{} is a directory, and would become a file", self.shown);
                Err(Error::conflict(text).hint("remove it first, or give another name"))
            }
            _ => Ok(()),
        }
    }

    /// Puts what `make` makes and `dress` completes.
    fn put(
        &self,
        make: impl Fn(&[u8]) -> io::Result<()>,
        dress: impl Fn(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.check()?;
        match make(self.name) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let ((), aside) = self.job.asides.make(self.dir, make).on("create", &self.shown)?;
                self.undo(&aside, dress(&aside).and_then(|()| self.rename(&aside)))
            }
            made => {
                made.on("create", &self.shown)?;
                self.undo(self.name, dress(self.name))
            }
        }
    }

    /// Takes `name` away where `done` failed, which is the error to tell.
    fn undo<T>(&self, name: &[u8], done: Result<T>) -> Result<T> {
        if done.is_err() {
            let _ = fs::unlink_at(self.dir, name);
        }
        done
    }

    fn rename(&self, aside: &[u8]) -> Result<()> {
        let renamed = fs::rename_at(self.dir, aside, self.dir, self.name);
        // Of two names of one file a rename leaves both; else the name is gone already.
        let _ = fs::unlink_at(self.dir, aside);
        renamed.map_err(|e| {
            let busy = e.kind() == ErrorKind::ResourceBusy;
            let error = Error::os("create", &self.shown, e);
            match busy {
                true => error.hint("something is mounted there: write to what is mounted"),
                false => error,
            }
        })
    }

    /// Gives a new link or node its attributes.
    fn dress(
        &self,
        name: &[u8],
        kind: FileType,
        device: (u32, u32),
        attributes: &Attributes,
    ) -> Result<()> {
        let what = || &self.shown;
        let is_link = kind == FileType::Symlink;
        let held = Held::at(self.dir, name).on("open", what())?;
        let stat = held.stat().on("look at", what())?;
        let is_new = stat.links == 1 && (is_link || stat.uid == process::effective_uid());
        if stat.file_type != kind || !is_new || is_device(kind) && stat.device != device {
            return Err(self.replaced());
        }
        let Attributes { uid, gid, mode, mtime, xattrs } = *attributes;
        own(uid, gid, |uid, gid| held.chown(uid, gid)).on("chown", what())?;
        for (key, value) in xattrs {
            xattr::supported(held.set_xattr(key, value)).on("set an attribute of", what())?;
        }
        if !is_link {
            held.chmod(mode).on("chmod", what())?;
        }
        held.set_time(mtime).on("set the time of", what())
    }

    /// Gives a new file or directory its attributes, but for the time.
    fn dress_open(&self, fd: BorrowedFd, attributes: &Attributes) -> Result<()> {
        let what = || &self.shown;
        let Attributes { uid, gid, mode, xattrs, .. } = *attributes;
        // The owner first: a new one takes suid bits and capabilities away.
        own(uid, gid, |uid, gid| fs::fchown(fd, uid, gid)).on("chown", what())?;
        for (key, value) in xattrs {
            xattr::supported(xattr::fset(fd, key, value)).on("set an attribute of", what())?;
        }
        fs::fchmod(fd, mode).on("chmod", what())
    }

    fn shrunk(&self) -> Error {
        let text = format!("the file became shorter while it was copied to {}", self.shown);
        Error::conflict(text).hint("try again when nobody writes to it")
    }

    fn replaced(&self) -> Error {
        Error::conflict(format!("{} was replaced while it was made", self.shown)).hint("try again")
    }
}

pub fn is_device(kind: FileType) -> bool {
    matches!(kind, FileType::CharDevice | FileType::BlockDevice)
}

/// Sets an owner. Who is not in our user namespace cannot own anything there: it is root's then.
fn own(uid: u32, gid: u32, chown: impl Fn(u32, u32) -> io::Result<()>) -> io::Result<()> {
    match chown(uid, gid) {
        Err(e) if e.kind() == ErrorKind::InvalidInput && !userns::is_initial() => {
            let uid = if userns::has_uid(uid) { uid } else { 0 };
            let gid = if userns::has_gid(gid) { gid } else { 0 };
            chown(uid, gid)
        }
        owned => owned,
    }
}
