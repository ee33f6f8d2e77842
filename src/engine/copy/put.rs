//! Putting one thing at a name where another may be: it is made aside and then renamed, so that
//! whoever looks, and whatever is killed, sees the old or the new one, whole.

use crate::error::{Error, OsContext, Result};
use crate::image::tree::Attributes;
use crate::sys::copy::content;
use crate::sys::fs::{self, FileType, Open, Stat};
use crate::sys::{unnamed, xattr};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

/// The bits that give a program other rights than its caller's.
const SET_ID: u32 = 0o6000;

/// To whom copies belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Who the original belongs to, by number.
    Kept,
    /// That user and group: no right that came with the owner goes over to them.
    Now(u32, u32),
}

/// What a copy is to have of its original.
pub fn attributes<'a>(
    owner: Owner,
    stat: &Stat,
    xattrs: &'a mut Vec<(Vec<u8>, Vec<u8>)>,
) -> Attributes<'a> {
    xattrs.retain(|(key, _)| !xattr::is_reserved(key) && key != b"security.selinux");
    let Stat { uid, gid, mode, mtime, .. } = *stat;
    match owner {
        Owner::Kept => Attributes { uid, gid, mode, mtime, xattrs },
        Owner::Now(uid, gid) => {
            xattrs.retain(|(key, _)| !key.starts_with(b"security."));
            let is_directory = stat.file_type == FileType::Directory;
            let mode = if is_directory { mode } else { mode & !SET_ID };
            Attributes { uid, gid, mode, mtime, xattrs }
        }
    }
}

/// A place to put things.
pub struct Target<'d> {
    pub dir: BorrowedFd<'d>,
    pub name: &'d [u8],
    /// In messages.
    pub shown: String,
}

impl Target<'_> {
    fn aside(&self) -> Vec<u8> {
        format!(".coracle-cp-{}", std::process::id()).into_bytes()
    }

    /// Refuses to put what is no directory in the place of one.
    pub fn check(&self) -> Result<()> {
        match fs::stat_at(self.dir, self.name).on("look at", &self.shown)? {
            Some(stat) if stat.file_type == FileType::Directory => {
                let text = format!("{} is a directory, and would become a file", self.shown);
                Err(Error::conflict(text).hint("remove it first, or give another name"))
            }
            _ => Ok(()),
        }
    }

    /// Puts a file that `fill` fills.
    pub fn file(
        &self,
        attributes: &Attributes,
        fill: impl FnOnce(&File) -> Result<()>,
    ) -> Result<()> {
        self.check()?;
        let dir = PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()));
        let aside = self.aside();
        let what = || &self.shown;
        let (file, is_named) = match unnamed::create(&dir) {
            Ok(file) => (file, false),
            Err(e) if unnamed::is_unsupported(&e) => {
                let made = fs::open_at(self.dir, &aside, Open::CreateNew);
                (fs::file(made.on("create", what())?), true)
            }
            Err(e) => return Err(Error::os("create", what(), e)),
        };
        let finish = || {
            fill(&file)?;
            let fd = file.as_fd();
            // The owner first: a new one takes suid bits and capabilities away.
            fs::fchown(fd, attributes.uid, attributes.gid).on("chown", what())?;
            for (key, value) in attributes.xattrs {
                xattr::supported(xattr::fset(fd, key, value)).on("set an attribute of", what())?;
            }
            fs::fchmod(fd, attributes.mode).on("chmod", what())?;
            fs::futimens(fd, attributes.mtime).on("set the time of", what())?;
            if !is_named {
                let aside = dir.join(String::from_utf8_lossy(&aside).as_ref());
                unnamed::link(&file, &aside).on("create", what())?;
            }
            self.rename(&aside)
        };
        let done = finish();
        if done.is_err() && is_named {
            // The error to tell is that one.
            let _ = fs::unlink_at(self.dir, &aside);
        }
        done
    }

    /// Puts what `make` makes.
    pub fn made(
        &self,
        attributes: Option<&Attributes>,
        kind: FileType,
        make: impl Fn(BorrowedFd, &[u8]) -> std::io::Result<()>,
    ) -> Result<()> {
        self.check()?;
        let aside = self.aside();
        let what = || &self.shown;
        make(self.dir, &aside).on("create", what())?;
        let finish = || {
            if let Some(Attributes { uid, gid, mode, mtime, xattrs }) = attributes {
                fs::chown_at(self.dir, &aside, *uid, *gid).on("chown", what())?;
                for (key, value) in *xattrs {
                    xattr::supported(xattr::set_at(self.dir, &aside, key, value))
                        .on("set an attribute of", what())?;
                }
                if kind != FileType::Symlink {
                    fs::chmod_at(self.dir, &aside, *mode).on("chmod", what())?;
                }
                fs::utimens_at(self.dir, &aside, *mtime).on("set the time of", what())?;
            }
            self.rename(&aside)
        };
        let done = finish();
        if done.is_err() {
            let _ = fs::unlink_at(self.dir, &aside);
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

    /// Copies what is no directory.
    pub fn copy(&self, from: BorrowedFd, name: &[u8], stat: &Stat, owner: Owner) -> Result<u64> {
        let what = || &self.shown;
        let mut xattrs = xattr::all_at(from, name).on("read the attributes for", what())?;
        let attributes = attributes(owner, stat, &mut xattrs);
        match stat.file_type {
            FileType::Regular => {
                let source = fs::open_at(from, name, Open::Read).on("read for", what())?;
                let source = fs::file(source);
                // It may have been exchanged for something else since it was looked at.
                if fs::fstat(source.as_fd()).on("look at", what())?.inode != stat.inode {
                    return Err(
                        Error::conflict("the file was replaced meanwhile").hint("try again")
                    );
                }
                self.file(&attributes, |to| {
                    content(&source, to, stat.size).map(drop).on("copy to", what())
                })?;
                return Ok(stat.size);
            }
            FileType::Symlink => {
                let target = fs::read_link_at(from, name).on("read", what())?;
                let make = |dir: BorrowedFd, name: &[u8]| fs::symlink_at(&target, dir, name);
                self.made(Some(&attributes), stat.file_type, make)?;
            }
            // It means nothing without the process behind it.
            FileType::Socket | FileType::Directory => {}
            kind => {
                let make =
                    |dir: BorrowedFd, name: &[u8]| fs::mknod_at(dir, name, kind, stat.device);
                self.made(Some(&attributes), kind, make)?;
            }
        }
        Ok(0)
    }
}
