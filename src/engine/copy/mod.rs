//! `cp`: files between the host and a container, which runs or is down.
//!
//! A container that runs is seen as its first process sees it, with all that is mounted in it, by
//! a descriptor of /proc/PID/root: nothing of ours enters it. Of one that is down the root is
//! mounted for us alone, and its volumes and binds on it, in a mount namespace of our own that goes
//! with us; whoever wants to start it waits.
//!
//! Where things go is Docker's rule (docs.docker.com, `docker container cp`): a file to a name, or
//! into a directory that is there; a directory to a new name, or into one that is there, itself or,
//! with `/.` behind it, what is in it. The directory of the destination must be there.
//!
//! What comes out of a container belongs to who called us, without rights of its owner's, unless
//! all is to be kept (`-a`), and devices stay in it; what goes in keeps its owner by number, as with
//! Docker.

mod archive;
mod aside;
mod bounds;
mod job;
mod place;
mod put;
mod tree;

use super::{Engine, user};
use crate::container::{Dir, MountKind, Status};
use crate::error::{Context, Error, OsContext, Result};
use crate::oci::create::read_in_root;
use crate::sys::fs::{self, FileType, Stat};
use crate::sys::{mount, process};
use bounds::Bounds;
use job::{Job, Owner, Way};
use place::{Place, Root, last, means_content, means_directory};
use put::{Target, is_device};
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What Docker's events call it.
const OUT: &str = "archive-path";
const IN: &str = "extract-to-dir";

const EROFS: i32 = 30;

/// What to make of links and owners.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Keep the owners of what comes out of a container; give what goes in to its user.
    pub archive: bool,
    /// Copy what a link that is named leads to.
    pub follow: bool,
}

impl Engine {
    /// Copies `path` of a container to the host. Gives the bytes of files that were copied.
    pub fn copy_out(&self, name: &str, path: &str, to: &Path, options: CopyOptions) -> Result<u64> {
        let owner = match options.archive {
            true => Owner::Kept,
            false => Owner::Now(process::effective_uid(), process::effective_gid()),
        };
        let to = to.as_os_str().as_bytes();
        self.with_root(name, [OUT, path], |_, root| {
            let job = Job::new(Way::Out, owner);
            let bytes = copy(root, path.as_bytes(), &host()?, to, &job, options.follow);
            self.troubles.borrow_mut().extend(job.warnings());
            bytes
        })
    }

    /// Copies a path of the host to a container.
    pub fn copy_in(
        &self,
        from: &Path,
        name: &str,
        path: &str,
        options: CopyOptions,
    ) -> Result<u64> {
        let from = from.as_os_str().as_bytes();
        self.with_root(name, [IN, path], |dir, root| {
            let job = Job::new(Way::In, owner_inside(dir, root, options.archive)?);
            let bytes = copy(&host()?, from, root, path.as_bytes(), &job, options.follow);
            self.troubles.borrow_mut().extend(job.warnings());
            bytes
        })
    }

    /// Writes a tar of `path` of a container.
    pub fn copy_to_tar(
        &self,
        name: &str,
        path: &str,
        follow: bool,
        out: &mut dyn Write,
    ) -> Result<()> {
        self.with_root(name, [OUT, path], |_, root| {
            let path = path.as_bytes();
            let (place, stat) = root.find_there(path, follow || path.ends_with(b"/"))?;
            must_be_directory(root, path, stat)?;
            let base = if means_content(path) { b"" } else { last(path).1 };
            let bounds = Bounds::new(root, &stat, None)?;
            let warnings = archive::write(&place, stat, base, &bounds, out)?;
            self.troubles.borrow_mut().extend(warnings);
            Ok(())
        })
    }

    /// Unpacks a tar into the directory `path` of a container.
    pub fn copy_from_tar(
        &self,
        input: &mut dyn Read,
        name: &str,
        path: &str,
        archive: bool,
    ) -> Result<u64> {
        self.with_root(name, [IN, path], |dir, root| {
            let path = path.as_bytes();
            let (_, stat) = root.find_there(path, true)?;
            if stat.file_type != FileType::Directory {
                let text = format!("{} is no directory to unpack into", root.shown(path));
                return Err(Error::conflict(text));
            }
            let job = Job::new(Way::In, owner_inside(dir, root, archive)?);
            archive::read(root, path, input, &job)
        })
    }

    /// Does `work` on the root of a container, and tells what was done where.
    fn with_root<T>(
        &self,
        name: &str,
        [action, path]: [&str; 2],
        mut work: impl FnMut(&Dir, &Root) -> Result<T>,
    ) -> Result<T> {
        let dir = self.find(name)?;
        let mut root_is = |fd| work(&dir, &Root { fd, prefix: format!("{name}:") });
        let done = loop {
            if let Ok(first) = self.process(&dir, name) {
                let fd = fs::open_directory(Path::new(&format!("/proc/{}/root", first.pid)));
                // The number still means it, if it has not ended.
                if !first.has_ended() {
                    break root_is(fd.on("open", "the container's root")?);
                }
            }
            self.begin()?;
            let mut runs = false;
            let done = self.hold(&dir, "cp", false, || {
                // It was started before we had it.
                runs = dir.state()?.status == Status::Running;
                if runs { Ok(None) } else { root_is(self.root_of_down(&dir)?).map(Some) }
            });
            // Of one that runs it is no matter whether it went on.
            if !runs && let Some(done) = done.transpose() {
                break done;
            }
        };
        if action == IN && done.as_ref().is_err_and(|error| error.errno() == Some(EROFS)) {
            let is_root = dir.config()?.isolation.read_only_root;
            return done.hint(|| match is_root {
                true => "the container's root is marked read-only: copy to a volume of it".into(),
                false => "it is mounted read-only in the container".into(),
            });
        }
        if done.is_ok() {
            self.tell_of(&dir, action, &[("path", path)]);
        }
        done
    }

    /// The root of a container that is down, with its volumes and binds.
    fn root_of_down(&self, dir: &Dir) -> Result<OwnedFd> {
        let config = dir.config()?;
        let tree = self.mount_root(&self.root_mount(dir, &config)?)?;
        let at = CString::new(dir.mountpoint().as_os_str().as_bytes()).unwrap_or_default();
        mount::leave_namespace().on("enter", "a mount namespace")?;
        mount::attach(tree.as_fd(), &at).on("mount", "the container's root")?;
        let root = fs::open_directory(&dir.mountpoint()).on("open", "the container's root")?;
        // The mounts need their places in it.
        for mount in config.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs) {
            self.mount_in(root.as_fd(), mount).doing(|| format!("mount {}", mount.target))?;
        }
        if config.isolation.read_only_root {
            let attributes = mount::set_attributes(tree.as_fd(), mount::attr::READ_ONLY, false);
            attributes.on("mount", "the container's root")?;
        }
        Ok(root)
    }

    fn mount_in(&self, root: BorrowedFd, mount: &crate::container::Mount) -> Result<()> {
        let source = match mount.kind {
            MountKind::Volume => self.volume_store().data(&mount.source),
            _ => mount.source.clone().into(),
        };
        let text = |path: &[u8]| CString::new(path).unwrap_or_default();
        let mut place = mount::open_place(&text(source.as_os_str().as_bytes()));
        if !mount.subpath.is_empty() {
            let part = text(mount.subpath.as_bytes());
            place = place.and_then(|place| mount::open_place_in(place.as_fd(), &part));
        }
        // A source that is gone is told when the container is started.
        let Ok(place) = place else { return Ok(()) };
        let is_directory =
            fs::fstat(place.as_fd()).on("look at", &source)?.file_type == FileType::Directory;
        let tree = mount::clone_place(place.as_fd(), true).on("mount", &source)?;
        mount::set_peers(tree.as_fd(), mount::Peers::None).on("mount", &source)?;
        if mount.read_only {
            let attributes = mount::set_attributes(tree.as_fd(), mount::attr::READ_ONLY, true);
            attributes.on("mount", &source)?;
        }
        let target = text(mount.target.as_bytes());
        let place = match mount::open_place_in(root, &target) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && is_directory => {
                let prefix = String::new();
                let fd = root.try_clone_to_owned().on("dup", "")?;
                make_directories(&Root { fd, prefix }, mount.target.as_bytes())?;
                mount::open_place_in(root, &target)
            }
            // The start makes it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            found => found,
        };
        mount::attach_at(tree.as_fd(), place.on("open", &mount.target)?.as_fd())
            .on("mount", &mount.target)
    }
}

/// To whom belongs what goes in.
fn owner_inside(dir: &Dir, root: &Root, archive: bool) -> Result<Owner> {
    let config = dir.config()?;
    if !archive || config.user.is_empty() {
        return Ok(Owner::Kept);
    }
    let read = |path: &str| read_in_root(root.fd.as_fd(), path);
    let account = user::look_up(&config, &config.user, &read("etc/passwd"), &read("etc/group"))?;
    Ok(Owner::Now(account.user.uid, account.user.gid))
}

/// Makes the directories on the way to `path`, and that itself.
fn make_directories(root: &Root, path: &[u8]) -> Result<()> {
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).skip(1);
    for end in ends.chain([path.len()]) {
        let (parent, name) = last(path.get(..end).unwrap_or_default());
        let parent = root.directory(parent).on("open", root.shown(path))?;
        match fs::mkdir_at(parent.as_fd(), name, 0o755) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.on("create", root.shown(path))?,
        }
    }
    Ok(())
}

fn host() -> Result<Root> {
    let fd = fs::open_directory(Path::new("/")).on("open", "/")?;
    Ok(Root { fd, prefix: String::new() })
}

fn must_be_directory(root: &Root, path: &[u8], stat: Stat) -> Result<()> {
    match means_directory(path) && stat.file_type != FileType::Directory {
        true => Err(Error::conflict(format!("{} is no directory", root.shown(path)))),
        false => Ok(()),
    }
}

/// What is written to or asked, and not replaced by a file.
fn unfit(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::CharDevice | FileType::BlockDevice => Some("a device"),
        FileType::Fifo => Some("a fifo"),
        FileType::Socket => Some("a socket"),
        FileType::Regular | FileType::Directory | FileType::Symlink => None,
    }
}

/// Copies from one tree to another.
fn copy(
    from: &Root,
    source: &[u8],
    to: &Root,
    destination: &[u8],
    job: &Job,
    follow: bool,
) -> Result<u64> {
    let (place, stat) = from.find_there(source, follow || source.ends_with(b"/"))?;
    must_be_directory(from, source, stat)?;
    let target = to.find(destination, true)?;
    let is_directory = stat.file_type == FileType::Directory;
    let there = target.stat.map(|stat| stat.file_type);
    if let Some(kind) = there.and_then(unfit) {
        let text =
            format!("{} must be a directory or a regular file: got {kind}", to.shown(destination));
        return Err(
            Error::conflict(text).hint("cp CONTAINER:PATH - writes a tar to standard output")
        );
    }
    if is_device(stat.file_type) && !job.takes_devices() {
        let text = format!("{} is a device", from.shown(source));
        return Err(
            Error::conflict(text).hint("cp -a copies devices, for every user of the host to open")
        );
    }
    // Into a directory that is there; else to the name itself.
    let into = there == Some(FileType::Directory) && !(is_directory && means_content(source));
    match there {
        Some(FileType::Directory) => {}
        Some(_) if is_directory => {
            let text =
                format!("{} is a file, and cannot become a directory", to.shown(destination));
            return Err(Error::conflict(text));
        }
        Some(_) if means_directory(destination) => {
            return Err(Error::conflict(format!("{} is no directory", to.shown(destination))));
        }
        None if means_directory(destination) && !is_directory => {
            return Err(Error::not_found(format!(
                "the directory {} does not exist",
                to.shown(destination)
            ))
            .hint("make it first, or write no slash behind the name of a file"));
        }
        _ => {}
    }
    let mut shown = to.shown(destination);
    let (dir, name) = match into {
        true => {
            let base = last(source).1;
            shown = format!("{}/{}", shown.trim_end_matches('/'), String::from_utf8_lossy(base));
            (open_in(&target, &shown)?, base)
        }
        false => (target.dir, &target.name[..]),
    };
    let put = Target { dir: dir.as_fd(), name, shown, job };
    if !is_directory {
        return put.copy(place.dir.as_fd(), &place.name, &stat);
    }
    let source = open_in(&place, &from.shown(source))?;
    if name != b"." {
        tree::directory(&put, source.as_fd())?;
    }
    let inside = open_at(dir.as_fd(), name, &put.shown)?;
    let bounds = Bounds::new(from, &stat, Some(inside.as_fd()))?;
    tree::content(source, inside.as_fd(), put.shown.trim_end_matches('/'), &bounds, job)
}

/// Opens the directory at a place.
fn open_in(place: &Place, shown: &str) -> Result<OwnedFd> {
    open_at(place.dir.as_fd(), &place.name, shown)
}

fn open_at(dir: BorrowedFd, name: &[u8], shown: &str) -> Result<OwnedFd> {
    let opened = crate::image::walk::open(dir, name);
    opened.unwrap_or_else(|| Err(std::io::ErrorKind::NotFound.into())).on("open", shown)
}
