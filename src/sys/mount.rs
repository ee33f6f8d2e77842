//! Mounts that exist only as a descriptor until somebody attaches them (fsmount(2),
//! open_tree(2)): nothing appears in any mount table meanwhile, and closing undoes.

use super::raw::{self, Errno, Place};
use super::{check, namespace, userns};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The directories of an overlay, and how it is mounted.
#[derive(Debug)]
pub struct Overlay<'a> {
    /// Bottom first.
    pub lower: &'a [&'a Path],
    /// `upper` and `work`; read-only without.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Never sync: for what is thrown away at its end.
    pub volatile: bool,
}

impl Overlay<'_> {
    /// Mounts it, detached. The options that change what a layer means on another machine
    /// (index, metacopy, redirect_dir, nfs_export) are off.
    ///
    /// Layers are named `lowerdir+` one by one where the kernel can (6.5), so that their number
    /// and the length of their paths do not matter; else in one string of at most 255 bytes of
    /// names relative to /proc/self/fd.
    pub fn mount(&self) -> io::Result<OwnedFd> {
        // An old kernel keeps options as text and looks at them only when it mounts (and then
        // complains to its log): it shows by taking one that does not exist.
        if FsContext::open(c"overlay")?.set(c"any", c"thing").is_ok() {
            return self.mount_by_numbers();
        }
        let mut top_first = self.lower.iter().rev();
        self.mount_with(|fs| top_first.try_for_each(|dir| fs.set_path(c"lowerdir+", dir)))
    }

    fn mount_by_numbers(&self) -> io::Result<OwnedFd> {
        let open = |dir: &&Path| std::fs::File::open(dir);
        let layers = self.lower.iter().rev().map(open).collect::<io::Result<Vec<_>>>()?;
        let names: Vec<String> = layers.iter().map(|d| d.as_raw_fd().to_string()).collect();
        let names = CString::new(names.join(":"))?;
        let _back = WorkingDir::enter(c"/proc/self/fd")?;
        self.mount_with(|fs| fs.set(c"lowerdir", &names))
    }

    fn mount_with(
        &self,
        set_layers: impl FnOnce(&FsContext) -> io::Result<()>,
    ) -> io::Result<OwnedFd> {
        let fs = FsContext::open(c"overlay")?;
        set_layers(&fs)?;
        if let Some((upper, work)) = self.upper {
            fs.set_path(c"upperdir", upper)?;
            fs.set_path(c"workdir", work)?;
            if self.volatile {
                fs.set_flag(c"volatile")?;
            }
        }
        let mut redirects = c"off";
        if !userns::is_initial() {
            // Its marks are attributes that a user may set, and so nothing to be led by.
            fs.set_flag(c"userxattr")?;
            redirects = c"nofollow";
        }
        fs.set(c"redirect_dir", redirects)?;
        for off in [c"index", c"metacopy", c"nfs_export"] {
            fs.set(off, c"off")?;
        }
        fs.mount()
    }
}

/// The working directory of this process, put back when dropped.
struct WorkingDir(OwnedFd);

impl WorkingDir {
    fn enter(path: &CStr) -> io::Result<WorkingDir> {
        let before = std::fs::File::open(".")?;
        // SAFETY: a C string.
        check(unsafe { libc::chdir(path.as_ptr()) })?;
        Ok(WorkingDir(before.into()))
    }
}

impl Drop for WorkingDir {
    fn drop(&mut self) {
        // SAFETY: integers only. The directory was ours a moment ago; there is no cure if not.
        unsafe { libc::fchdir(self.0.as_raw_fd()) };
    }
}

struct FsContext(OwnedFd);

impl FsContext {
    fn open(kind: &CStr) -> io::Result<FsContext> {
        Ok(FsContext(raw::fsopen(kind)?))
    }

    fn set(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        Ok(raw::fsconfig(self.0.as_fd(), key, Some(value))?)
    }

    fn set_path(&self, key: &CStr, path: &Path) -> io::Result<()> {
        self.set(key, &CString::new(path.as_os_str().as_encoded_bytes())?)
    }

    fn set_flag(&self, key: &CStr) -> io::Result<()> {
        Ok(raw::fsconfig(self.0.as_fd(), key, None)?)
    }

    fn mount(self) -> io::Result<OwnedFd> {
        Ok(raw::fsmount(self.0.as_fd())?)
    }
}

/// A detached clone of the mount at `path`, without what is mounted below it.
pub fn clone_tree(path: &CStr) -> io::Result<OwnedFd> {
    Ok(raw::open_tree(Place::Path(path), false)?)
}

/// A place of this namespace, a directory or not, opened as nothing but a place (O_PATH). Its last
/// link is followed.
pub fn open_place(path: &CStr) -> io::Result<OwnedFd> {
    Ok(raw::open(path, libc::O_PATH)?)
}

/// The same, of a path in a detached tree or below a directory, never outside of it.
pub fn open_place_in(root: BorrowedFd, path: &CStr) -> io::Result<OwnedFd> {
    Ok(raw::open_in_root(root, path, libc::O_PATH, 0)?)
}

/// A detached clone of what is at a place, with all that is mounted below where `recursive`.
/// It belongs to the peers of the mount there.
pub fn clone_place(place: BorrowedFd, recursive: bool) -> io::Result<OwnedFd> {
    Ok(raw::open_tree(Place::Fd(place), recursive)?)
}

/// What a tree takes from its peers: nothing any more, or all that they mount, giving nothing back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peers {
    None,
    Masters,
}

/// Sets that for a tree and all below it.
pub fn set_peers(tree: BorrowedFd, peers: Peers) -> io::Result<()> {
    let how = match peers {
        Peers::None => libc::MS_PRIVATE,
        Peers::Masters => libc::MS_SLAVE,
    };
    Ok(raw::set_propagation(tree, how, true)?)
}

/// Sets attributes (`attr`) of a tree.
pub fn set_attributes(tree: BorrowedFd, set: u64, recursive: bool) -> io::Result<()> {
    Ok(raw::mount_setattr(tree, set, recursive)?)
}

/// A detached clone of the mount at `path` that is to be a container's root: no mount on it is
/// seen where it comes from, and what is forbidden there (`nosuid`, `nodev`, `noexec`), as on an
/// overlay, is not.
pub fn root_of(path: &CStr) -> io::Result<OwnedFd> {
    let tree = clone_tree(path)?;
    let forbidden = attr::NO_SUID | attr::NO_DEV | attr::NO_EXEC;
    match raw::change_mount(tree.as_fd(), 0, forbidden, libc::MS_PRIVATE, false) {
        // What root forbids there a user cannot allow.
        Err(Errno(libc::EPERM)) if !userns::is_initial() => {
            raw::change_mount(tree.as_fd(), 0, 0, libc::MS_PRIVATE, false)?;
        }
        other => other?,
    }
    Ok(tree)
}

/// A detached clone of what is mounted on the root of the process behind a pidfd, without what
/// is mounted below it.
///
/// Only who is in a mount namespace can clone its mounts: this process goes there and comes back,
/// with its root and its working directory. It must have but one thread.
pub fn clone_root_of(process: BorrowedFd) -> io::Result<OwnedFd> {
    let ours = std::fs::File::open("/proc/self/ns/mnt")?;
    let root = std::fs::File::open("/")?;
    let _back = WorkingDir::enter(c"/")?;
    namespace::join(process, namespace::MOUNT)?;
    let tree = clone_tree(c"/");
    namespace::join(ours.as_fd(), namespace::MOUNT)?;
    // SAFETY: takes an integer.
    check(unsafe { libc::fchdir(root.as_raw_fd()) })?;
    // SAFETY: a C string.
    check(unsafe { libc::chroot(c".".as_ptr()) })?;
    tree
}

/// Goes into a mount namespace of our own: what is mounted there nobody else sees.
pub fn leave_namespace() -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::unshare(namespace::MOUNT) })?;
    let root = raw::open(c"/", libc::O_PATH)?;
    Ok(raw::set_propagation(root.as_fd(), libc::MS_SLAVE, true)?)
}

/// Attaches a detached tree at a path of this namespace.
pub fn attach(tree: BorrowedFd, path: &CStr) -> io::Result<()> {
    Ok(raw::move_mount(tree, Place::Path(path))?)
}

/// The same, at a place.
pub fn attach_at(tree: BorrowedFd, place: BorrowedFd) -> io::Result<()> {
    Ok(raw::move_mount(tree, Place::Fd(place))?)
}

/// A program as a read-only mount of its own: what is executed through it cannot be opened
/// for writing by way of /proc/PID/exe, whoever looks (CVE-2019-5736).
pub fn sealed(program: &Path) -> io::Result<OwnedFd> {
    let tree = clone_tree(&CString::new(program.as_os_str().as_encoded_bytes())?)?;
    raw::mount_setattr(tree.as_fd(), attr::READ_ONLY, false)?;
    Ok(tree)
}

/// `MOUNT_ATTR_*` (mount_setattr(2)).
pub mod attr {
    pub const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
    pub const NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
    pub const NO_DEV: u64 = libc::MOUNT_ATTR_NODEV;
    pub const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
    pub const NO_ATIME: u64 = libc::MOUNT_ATTR_NOATIME;
    pub const STRICT_ATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
}
