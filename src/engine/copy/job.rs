//! One `cp`: what it makes of owners and devices, and what it has to tell at its end.

use super::aside::Asides;
use crate::error::Error;
use crate::image::tree::Attributes;
use crate::sys::fs::Stat;
use crate::sys::{userns, xattr};
use std::cell::RefCell;

/// The bits that give a program other rights than its caller's.
const SET_ID: u32 = 0o6000;
/// Who a file of the host seems to belong to whose owner is not in our user namespace
/// (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// To whom copies belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Who the original belongs to, by number.
    Kept,
    /// That user and group: no right that came with the owner goes over to them.
    Now(u32, u32),
}

/// Where a copy goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    In,
    Out,
}

pub struct Job {
    owner: Owner,
    way: Way,
    pub asides: Asides,
    /// How many devices were passed over, and the first of them.
    devices: RefCell<Option<(u64, String)>>,
    /// What is to be told of hard links.
    parted: RefCell<Option<String>>,
}

impl Job {
    pub fn new(way: Way, owner: Owner) -> Job {
        let (asides, devices, parted) = Default::default();
        Job { owner, way, asides, devices, parted }
    }

    /// Whether devices are copied. To the host only with their owner: there everybody may open what
    /// a container made, which is forbidden to open it itself.
    pub fn takes_devices(&self) -> bool {
        self.way == Way::In || self.owner == Owner::Kept
    }

    pub fn pass_device(&self, shown: &str) {
        let mut devices = self.devices.borrow_mut();
        devices.get_or_insert_with(|| (0, shown.to_string())).0 += 1;
    }

    pub fn part(&self, parted: Option<String>) {
        *self.parted.borrow_mut() = parted;
    }

    /// What the user is to hear beside the result.
    pub fn warnings(self) -> Vec<Error> {
        let devices = self.devices.into_inner().map(|(count, first)| {
            let text = match count {
                1 => format!("the device {first} was not copied"),
                _ => format!("{count} devices were not copied, the first {first}"),
            };
            Error::conflict(text).hint("cp -a copies devices, for every user of the host to open")
        });
        let parted = self.parted.into_inner().map(Error::conflict);
        devices.into_iter().chain(parted).collect()
    }

    /// What the copy of something on a disk is to have.
    pub fn of_file<'a>(
        &self,
        stat: &Stat,
        xattrs: &'a mut Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Attributes<'a> {
        let of_host = self.way == Way::In && !userns::is_initial();
        let known = |id| if of_host && id == NOBODY { 0 } else { id };
        let Stat { uid, gid, mode, mtime, file_type, .. } = *stat;
        let (uid, gid) = (known(uid), known(gid));
        let is_directory = file_type == crate::sys::fs::FileType::Directory;
        self.of(is_directory, Attributes { uid, gid, mode, mtime, xattrs: &[] }, xattrs)
    }

    /// What the copy of something is to have that has these attributes, and `xattrs`.
    pub fn of<'a>(
        &self,
        is_directory: bool,
        original: Attributes,
        xattrs: &'a mut Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Attributes<'a> {
        xattrs.retain(|(key, _)| !xattr::is_reserved(key) && key != b"security.selinux");
        let Attributes { mut uid, mut gid, mut mode, mtime, .. } = original;
        if let Owner::Now(user, group) = self.owner {
            (uid, gid) = (user, group);
            xattrs.retain(|(key, _)| !key.starts_with(b"security."));
            if !is_directory {
                mode &= !SET_ID;
            }
        }
        Attributes { uid, gid, mode, mtime, xattrs }
    }
}
