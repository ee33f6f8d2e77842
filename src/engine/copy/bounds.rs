//! Where a walk through a tree ends before its leaves: at what the kernel tells as files, at the
//! devices, and where it would copy its own copies.
//!
//! What is mounted is walked through, volumes and binds above all, but no proc, sysfs, devpts,
//! mqueue or control groups, and not what is mounted as /dev: a directory is all that is copied of
//! them. Where the walk begins in one, it goes on in that.

use super::place::Root;
use crate::error::{Error, OsContext, Result};
use crate::image::walk::Entry;
use crate::sys::fs::{self, Open, Stat};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub struct Bounds {
    /// The file system where it begins.
    start: u64,
    /// That of /dev, where it is one of its own.
    devices: Option<u64>,
    /// The directory that is copied to.
    target: Option<(u64, u64)>,
}

impl Bounds {
    pub fn new(root: &Root, start: &Stat, target: Option<BorrowedFd>) -> Result<Bounds> {
        let of =
            |fd: BorrowedFd| fs::fstat(fd).on("look at", root.shown(b"/")).map(|stat| stat.inode);
        let top = of(root.fd.as_fd())?.0;
        let devices = root.directory(b"/dev").ok().map(|dev| of(dev.as_fd())).transpose()?;
        Ok(Bounds {
            start: start.inode.0,
            devices: devices.map(|(device, _)| device).filter(|device| *device != top),
            target: target.map(of).transpose()?,
        })
    }

    /// Whether what is in this directory is left out.
    pub fn leave_out(&self, entry: &Entry, stat: &Stat) -> io::Result<bool> {
        let device = stat.inode.0;
        if device == self.start {
            return Ok(false);
        }
        if Some(device) == self.devices {
            return Ok(true);
        }
        fs::is_kernels(fs::open_at(entry.dir, entry.name, Open::Directory)?.as_fd())
    }

    /// Refuses to go into the directory that is copied to.
    pub fn check(&self, stat: &Stat, shown: &str) -> Result<()> {
        match self.target == Some(stat.inode) {
            true => Err(Error::conflict(format!("cannot copy a directory into itself, {shown}"))
                .hint("copy to a directory outside of what is copied")),
            false => Ok(()),
        }
    }
}
