//! The storage driver: how an image's layers become the root of a container.
//!
//! `overlay` lays them over each other, with the container's own directory on top; `copy` gives
//! each container a copy of their files, where overlayfs does not work: a kernel without it, or a
//! state root that lies on an overlay itself, as that of an engine in a container.
//!
//! Which one is tried, or asked for, when the state root is made, and recorded there in the file
//! `storage`; from then on the record counts. A root of the first format has none: it is
//! `overlay`. Nobody but this file asks which it is; the layers themselves look the same (`tree`).

use super::{Engine, spec};
use crate::container::{Config, Dir};
use crate::error::{Context, Error, OsContext, Result};
use crate::image::changes::{Compared, Holds};
use crate::image::merged::Merged;
use crate::image::{Image, copy, tree};
use crate::oci::create::Root;
use crate::oci::spec::Mount;
use crate::sys::atomic::{self, Durability};
use crate::sys::fs::{self, FileType, Open};
use crate::sys::mount::Overlay;
use crate::sys::userns;
use crate::sys::xattr::{self, Reserved};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

const EINVAL: i32 = 22;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    Overlay,
    Copy,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Driver::Overlay => "overlay",
            Driver::Copy => "copy",
        }
    }

    /// Whether a container's own directory has its image's files too.
    pub fn has_all_files(self) -> bool {
        self == Driver::Copy
    }
}

impl FromStr for Driver {
    type Err = Error;

    /// Takes Docker's and Podman's names too.
    fn from_str(text: &str) -> Result<Driver> {
        match text {
            "overlay" | "overlay2" => Ok(Driver::Overlay),
            "copy" | "vfs" => Ok(Driver::Copy),
            _ => Err(Error::invalid(format!("\"{text}\" is no storage driver"))
                .hint("the drivers are overlay and copy")),
        }
    }
}

impl Engine {
    /// The driver of the state root; `None` where there is no state root yet.
    pub fn recorded_driver(&self) -> Result<Option<Driver>> {
        let path = self.home.root.join("storage");
        match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Ok(self.check_version()?.then_some(Driver::Overlay))
            }
            text => {
                let text = text.on("read", &path)?;
                let driver = text.trim_end().parse().doing(|| path.display().to_string())?;
                Ok(Some(driver))
            }
        }
    }

    pub fn driver(&self) -> Result<Driver> {
        Ok(self.recorded_driver()?.unwrap_or(Driver::Overlay))
    }

    /// Chooses and records the driver of a new state root. The caller holds the root lock.
    pub(super) fn choose_driver(&self) -> Result<()> {
        let path = self.home.root.join("storage");
        // Without a version, whoever began was killed, and nothing relies on its choice.
        if path.exists() && self.check_version()? {
            return Ok(());
        }
        let driver = probe(&self.home.root, self.wanted_driver)?;
        let text = format!("{}\n", driver.name());
        atomic::replace(&path, text.as_bytes(), Durability::PowerLoss).on("write", &path)
    }

    /// Refuses to go on with another driver than was asked for.
    pub(super) fn check_driver(&self) -> Result<()> {
        let Some(wanted) = self.wanted_driver else { return Ok(()) };
        let driver = self.driver()?;
        if wanted == driver {
            return Ok(());
        }
        let (root, is) = (self.home.root.display(), driver.name());
        let text = format!("{root} was made with the storage driver {is}, not {}", wanted.name());
        Err(Error::conflict(text).hint("choose another --root for that one"))
    }

    /// Makes the root of a new container, as far as it is not mounted. A kill leaves a container
    /// that is still `creating`, which the sweep removes.
    pub(super) fn make_root(&self, dir: &Dir, image: &Image, durable: bool) -> Result<()> {
        let layers = self.images()?.layer_dirs(image)?;
        if let Some(top) = layers.last() {
            tree::copy_root(top, &dir.upper())?;
        }
        match self.driver()? {
            Driver::Overlay => Ok(()),
            Driver::Copy => {
                let upper = open(&dir.upper())?;
                let told = copy::tree(Merged::layers(layers), upper.as_fd())
                    .doing(|| "copy the image's files".into())?;
                self.troubles.borrow_mut().extend(told.map(Error::conflict));
                if durable {
                    fs::syncfs(upper.as_fd()).on("sync", dir.upper())?;
                }
                mark_copied(upper.as_fd(), &dir.copied()).on("write", dir.copied())
            }
        }
    }

    /// How the root of a container is mounted.
    pub(super) fn root_mount(&self, dir: &Dir, config: &Config) -> Result<Mount> {
        let upper = dir.upper().display().to_string();
        if self.driver()? == Driver::Copy {
            return Ok(spec::mount("/", "bind", &upper, vec!["bind".into(), "rw".into()]));
        }
        let mut options = vec![
            format!("lowerdir={}", self.lower_dirs(config)?.join(":")),
            format!("upperdir={upper}"),
            format!("workdir={}", dir.work().display()),
        ];
        if config.auto_remove {
            options.push("volatile".into());
        }
        Ok(spec::mount("/", "overlay", "overlay", options))
    }

    /// What an overlay has below the container's own files, the highest first.
    pub(super) fn lower_dirs(&self, config: &Config) -> Result<Vec<String>> {
        let images = self.images()?;
        let layers = images.layer_dirs(&images.image(&config.image)?)?;
        let init_layer = self.init_layer();
        let layers = layers.iter().rev().chain([&init_layer]);
        Ok(layers.map(|path| path.display().to_string()).collect())
    }

    pub(super) fn mount_root(&self, mount: &Mount) -> Result<Root> {
        Root::of_mount(mount).map_err(|error| match (mount.kind.as_str(), error.errno()) {
            ("overlay", Some(EINVAL)) => error.hint(format!(
                "{} was made where overlayfs works. Where it no longer does, save the images and \
                 load them into another --root",
                self.home.root.display()
            )),
            _ => error,
        })
    }

    /// A container's files and its image's, to be compared.
    pub(super) fn compared(&self, dir: &Dir) -> Result<Compared> {
        let images = self.images()?;
        let lower = Merged::layers(images.layer_dirs(&images.image(&dir.config()?.image)?)?);
        let holds = match self.driver()? {
            Driver::Overlay => Holds::Changes,
            Driver::Copy => {
                let mark = File::open(dir.copied()).and_then(|mark| fs::fstat(mark.as_fd()));
                let since = mark.on("look at", dir.copied())?.mtime;
                Holds::All { since }
            }
        };
        Ok(Compared { upper: open(&dir.upper())?, holds, lower })
    }

    /// All files of a container that is down.
    pub(super) fn files(&self, dir: &Dir) -> Result<Merged> {
        if self.driver()? == Driver::Copy {
            return Ok(Merged::plain(open(&dir.upper())?));
        }
        let images = self.images()?;
        let layers = images.layer_dirs(&images.image(&dir.config()?.image)?)?;
        let layers = [self.init_layer()].into_iter().chain(layers).collect();
        Ok(Merged::layers(layers).below(dir.upper()))
    }

    pub(super) fn init_layer(&self) -> PathBuf {
        self.home.root.join("init-layer")
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    fs::open_directory(path).on("open", path)
}

/// Writes the mark, later than whatever was copied to `root` changed last: in the next tick of the
/// file system's clock.
fn mark_copied(root: BorrowedFd, mark: &Path) -> io::Result<()> {
    const TRIES: u32 = 100;
    let copied = fs::fstat(root)?.ctime;
    let mut mark = File::create(mark)?;
    for _ in 0..TRIES {
        mark.write_all(b".")?;
        if fs::fstat(mark.as_fd())?.mtime > copied {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Tries what works on the disk of `root`, in a directory that goes again; nothing is mounted
/// where anybody could see it.
fn probe(root: &Path, wanted: Option<Driver>) -> Result<Driver> {
    let dir = root.join("probe");
    fs::remove_tree(&dir).on("remove", &dir)?;
    let found = choose(&dir, wanted).doing(|| format!("the state root {}", root.display()));
    fs::remove_tree(&dir).on("remove", &dir)?;
    found
}

fn choose(dir: &Path, wanted: Option<Driver>) -> Result<Driver> {
    keeps_layers(dir)?;
    if wanted == Some(Driver::Copy) {
        return Ok(Driver::Copy);
    }
    match (overlays(dir), wanted) {
        (Ok(()), _) => Ok(Driver::Overlay),
        (Err(_), None) => Ok(Driver::Copy),
        (Err(error), Some(_)) => Err(error.hint("--storage-driver copy does without overlayfs")),
    }
}

/// Whether a disk can hold the files of images at all.
fn keeps_layers(dir: &Path) -> Result<()> {
    let lacks = |what: &str, error: &dyn std::fmt::Display| {
        let text = format!("its file system does not keep {what}: {error}");
        Error::conflict(text).hint("use one that does, such as ext4, xfs, btrfs or tmpfs: --root")
    };
    std::fs::create_dir(dir).on("create", dir)?;
    let at = open(dir)?;
    let at = at.as_fd();
    let link = fs::symlink_at(b"nowhere", at, b"link");
    link.map_err(|e| lacks("symbolic links", &e))?;
    drop(fs::open_at(at, b"file", Open::CreateNew).on("create", dir)?);
    fs::link_at(at, b"file", at, b"again").map_err(|e| lacks("hard links", &e))?;
    // A user without more ids has no other owners to keep.
    let (uid, gid) = if userns::has_uid(1) && userns::has_gid(2) { (1, 2) } else { (0, 0) };
    let owned = fs::chown_at(at, b"file", uid, gid).and_then(|()| fs::stat_at(at, b"file"));
    match owned.map_err(|e| lacks("owners", &e))? {
        Some(stat) if (stat.uid, stat.gid) == (uid, gid) => {}
        _ => return Err(lacks("owners", &"they stay as they were")),
    }
    let attribute = xattr::set_at(at, b"file", Reserved::Implied.key(), b"y");
    attribute.map_err(|e| lacks("extended attributes", &e))
}

/// Whether overlayfs works there, with marks of its own and with ours: mounts one, and has it hide
/// a file and a directory.
fn overlays(dir: &Path) -> Result<()> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| dir.join(name));
    for path in [&lower.join("old"), &lower.join("ours"), &upper, &work] {
        std::fs::create_dir_all(path).on("create", path)?;
    }
    for path in ["file", "old/file"].map(|name| lower.join(name)) {
        File::create(&path).on("create", &path)?;
    }
    let ours = open(&upper)?;
    let hidden = fs::mknod_at(ours.as_fd(), b"ours", FileType::CharDevice, (0, 0));
    hidden.on("make a whiteout in", &upper)?;
    xattr::set_at(ours.as_fd(), b".", Reserved::Opaque.key(), b"n").on("mark", &upper)?;

    let overlay = Overlay { lower: &[&lower], upper: Some((&upper, &work)), volatile: true };
    let merged = overlay.mount().on("mount an overlay in", dir)?;
    let merged = merged.as_fd();
    let works = || -> io::Result<bool> {
        fs::unlink_at(merged, b"file")?;
        let old = fs::open_at(merged, b"old", Open::Directory)?;
        fs::unlink_at(old.as_fd(), b"file")?;
        fs::rmdir_at(merged, b"old")?;
        fs::mkdir_at(merged, b"old", 0o755)?;
        let mut left = fs::entries(merged)?;
        let left = left.try_fold(0, |n, entry| entry.map(|_| n + 1))?;
        let old = fs::open_at(merged, b"old", Open::Directory)?;
        Ok(left == 1 && fs::entries(old.as_fd())?.next().is_none())
    };
    match works().on("use an overlay in", dir)? {
        true => Ok(()),
        false => Err(Error::conflict("an overlay there does not hide what was removed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_have_the_names_of_docker_and_podman_too() {
        for (text, driver) in [("overlay2", Driver::Overlay), ("vfs", Driver::Copy)] {
            assert_eq!(text.parse::<Driver>().unwrap(), driver);
            assert_eq!(driver.name().parse::<Driver>().unwrap(), driver);
        }
        let error = "btrfs".parse::<Driver>().unwrap_err();
        assert_eq!(error.to_string(), "\"btrfs\" is no storage driver");
    }
}
