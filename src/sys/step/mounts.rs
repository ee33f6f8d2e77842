//! Steps on the mounts of the container.

use super::target::Target;
use crate::sys::fs::FileType;
use crate::sys::raw::{self, Errno, Place, check};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// One entry of a file system that is being made (`/dev`).
#[derive(Debug)]
pub enum Entry {
    Dir { name: CString, mode: u32 },
    Device(Device),
    Link { name: CString, to: CString },
}

/// A device node, or a fifo.
#[derive(Debug)]
pub struct Device {
    pub name: CString,
    pub file_type: FileType,
    pub mode: u32,
    /// (major, minor)
    pub number: (u32, u32),
    pub uid: u32,
    pub gid: u32,
}

pub fn make_private() -> Result<(), Errno> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    let (root, none) = (c"/".as_ptr(), std::ptr::null());
    // SAFETY: C strings or null, as mount(2) allows here.
    check(unsafe { libc::mount(none, root, none, flags, none.cast()) })?;
    Ok(())
}

pub fn open_root(path: &CStr) -> Result<OwnedFd, Errno> {
    raw::open(path, libc::O_PATH | libc::O_DIRECTORY)
}

pub fn attach_root(tree: BorrowedFd, at: &CStr) -> Result<OwnedFd, Errno> {
    raw::move_mount(tree, Place::Path(at))?;
    open_root(at)
}

pub fn open_fs(kind: &CStr, options: &[(CString, Option<CString>)]) -> Result<OwnedFd, Errno> {
    let fs = raw::fsopen(kind)?;
    for (key, value) in options {
        raw::fsconfig(fs.as_fd(), key, value.as_deref())?;
    }
    raw::fsmount(fs.as_fd())
}

/// A clone of the mount at a target; `None` where it is to be skipped.
pub fn clone_in_root(root: BorrowedFd, target: &Target) -> Result<Option<OwnedFd>, Errno> {
    match target.open(root)? {
        Some(at) => raw::open_tree(Place::Fd(at.as_fd()), true).map(Some),
        None => Ok(None),
    }
}

/// A clone of the mount at a path in the mounts of another process.
pub fn clone_of(process: BorrowedFd, path: &CStr) -> Result<OwnedFd, Errno> {
    let own = raw::open(c"/proc/self/ns/mnt", libc::O_RDONLY)?;
    let root = open_root(c"/")?;
    raw::setns(process, libc::CLONE_NEWNS)?;
    let tree = raw::open_tree(Place::Path(path), false);
    raw::setns(own.as_fd(), libc::CLONE_NEWNS)?;
    // That took the root of all mounts for ours.
    // SAFETY: a C string.
    unsafe {
        check(libc::fchdir(root.as_raw_fd()))?;
        check(libc::chroot(c".".as_ptr()))?;
    }
    tree
}

pub fn make_entries(tree: BorrowedFd, entries: &[Entry]) -> Result<(), Errno> {
    let tree = tree.as_raw_fd();
    for entry in entries {
        // SAFETY: C strings.
        check(unsafe {
            match entry {
                Entry::Dir { name, mode } => libc::mkdirat(tree, name.as_ptr(), *mode),
                Entry::Device(Device { name, file_type, mode, number: (major, minor), .. }) => {
                    let device = libc::makedev(*major, *minor);
                    libc::mknodat(tree, name.as_ptr(), file_type.bits() | *mode, device)
                }
                Entry::Link { name, to } => libc::symlinkat(to.as_ptr(), tree, name.as_ptr()),
            }
        })?;
        // What is made is root's.
        if let Entry::Device(Device { name, uid, gid, .. }) = entry
            && (*uid, *gid) != (0, 0)
        {
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            // SAFETY: a C string.
            check(unsafe { libc::fchownat(tree, name.as_ptr(), *uid, *gid, flags) })?;
        }
    }
    Ok(())
}

/// A directory goes on a directory only, and what is none on what is none; the kernel's word for
/// both is EINVAL.
pub fn attach(root: BorrowedFd, tree: BorrowedFd, target: &Target) -> Result<(), Errno> {
    let Some(at) = target.open(root)? else { return Ok(()) };
    match (is_dir(tree)?, is_dir(at.as_fd())?) {
        (true, false) => Err(Errno(libc::ENOTDIR)),
        (false, true) => Err(Errno(libc::EISDIR)),
        _ => raw::move_mount(tree, Place::Fd(at.as_fd())),
    }
}

/// Lets a mount that is attached already exchange mounts with those that `peer` does.
pub fn share(root: BorrowedFd, peer: BorrowedFd, target: &Target) -> Result<(), Errno> {
    let Some(at) = target.open(root)? else { return Ok(()) };
    raw::set_propagation(at.as_fd(), libc::MS_PRIVATE, false)?;
    raw::join_peers(peer, at.as_fd())
}

pub fn mask(root: BorrowedFd, target: &Target) -> Result<(), Errno> {
    let Some(at) = target.open(root)? else { return Ok(()) };
    let tree = if is_dir(at.as_fd())? {
        let tree = open_fs(c"tmpfs", &[])?;
        raw::mount_setattr(tree.as_fd(), libc::MOUNT_ATTR_RDONLY, false)?;
        tree
    } else {
        let null = raw::open_in_root(root, c"dev/null", libc::O_PATH, 0)?;
        raw::open_tree(Place::Fd(null.as_fd()), false)?
    };
    raw::move_mount(tree.as_fd(), Place::Fd(at.as_fd()))
}

fn is_dir(fd: BorrowedFd) -> Result<bool, Errno> {
    // SAFETY: all-zero is a valid stat, which fstat fills.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd.as_raw_fd(), &raw mut stat))?;
        Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
    }
}

/// pivot_root(".", ".") stacks the old root on the new one, and the unmount takes it off again
/// (pivot_root(2), NOTES).
pub fn pivot_root(root: BorrowedFd) -> Result<(), Errno> {
    let dot = c".".as_ptr();
    // SAFETY: C strings.
    unsafe {
        check(libc::fchdir(root.as_raw_fd()))?;
        check(libc::syscall(libc::SYS_pivot_root, dot, dot))?;
        check(libc::umount2(dot, libc::MNT_DETACH))?;
        check(libc::chdir(c"/".as_ptr()))?;
    }
    Ok(())
}
