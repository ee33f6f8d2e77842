//! The volumes of a state root.
//!
//! ```text
//! <root>/volumes/
//!   <name>/volume.json  when it was made, its labels, for which container
//!          data/        what containers see; stays the same directory for as long as the volume is
//!          fill/        the image's content on its way in, not complete
//!          filled/      the same, complete: its entries are being moved to data
//!   .making/            a volume that is being made
//!   .trash/<number>     volumes that are being removed
//! ```
//!
//! A volume is there when its directory has its name. It is made aside and renamed; it goes by a
//! rename to the trash. What an image gives it is copied to `fill`; only when all of it is there
//! (and, where the volume is to last, on disk), is that called `filled` and moved over. So after a
//! crash `settle` either drops the copy or brings it in whole; `data` never counts as filled with a
//! part. `.making` is written over by the next who makes one.
//!
//! Locks, in this order: the volumes lock, held to make, remove and look who uses; then the
//! directory of a volume (flock(2)), held while it is filled. The trash has a lock of its own.

use crate::error::{Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::fs::{self, Open};
use crate::sys::lock::{self, Guard, Mode};
use crate::types::{ContainerId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory, NotFound};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where `<root>/locks` is locked to make, remove and look for users; behind the images' offset.
const LOCK_OFFSET: u64 = 4;
/// Where it is locked to empty the trash.
const TRASH_OFFSET: u64 = 5;

/// The label of a volume that was made for `-v /path` or an image's VOLUME (Docker's).
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// `volume.json`
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Volume {
    #[serde(skip)]
    pub name: String,
    pub created: Timestamp,
    pub labels: BTreeMap<String, String>,
    /// The container for which it was made: its creation undone, this is undone too.
    pub maker: Option<ContainerId>,
}

impl Volume {
    pub fn new(name: &str, labels: BTreeMap<String, String>) -> Volume {
        Volume { name: name.to_string(), created: Timestamp::now(), labels, maker: None }
    }

    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS)
    }
}

#[derive(Debug)]
pub struct Volumes {
    dir: PathBuf,
    locks: PathBuf,
}

impl Volumes {
    pub fn new(root: &Path) -> Volumes {
        Volumes { dir: root.join("volumes"), locks: root.join("locks") }
    }

    /// Excludes everybody else who makes or removes volumes, or takes one into use.
    pub fn lock(&self) -> Result<Guard> {
        lock::lock(&self.locks, LOCK_OFFSET, Mode::Exclusive).on("lock", &self.locks)
    }

    /// What containers see of a volume.
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name).join("data")
    }

    /// All volumes, by name. One that cannot be read is an error.
    pub fn all(&self) -> Result<Vec<Volume>> {
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == NotFound => return Ok(found),
            other => other.on("read", &self.dir)?,
        };
        for entry in entries {
            let name = entry.on("read", &self.dir)?.file_name();
            if let Some(name) = name.to_str().filter(|name| super::name_fits(name)) {
                found.extend(self.find(name)?);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The volume of this name.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let missing = || Error::not_found(format!("no such volume: {name}"));
        match super::name_fits(name) {
            true => self.find(name)?.ok_or_else(missing),
            false => Err(missing()),
        }
    }

    fn find(&self, name: &str) -> Result<Option<Volume>> {
        let path = self.dir.join(name).join("volume.json");
        let bytes = match std::fs::read(&path) {
            Err(e) if e.kind() == NotFound => return Ok(None),
            other => other.on("read", &path)?,
        };
        let volume: Volume = serde_json::from_slice(&bytes)
            .map_err(|e| Error::damaged(format!("{}: {e}", path.display())))?;
        Ok(Some(Volume { name: name.to_string(), ..volume }))
    }

    /// Makes a volume, where there is none of its name. The caller holds the lock.
    pub fn make(&self, volume: &Volume, durability: Durability) -> Result<()> {
        let at = self.dir.join(&volume.name);
        if at.join("volume.json").exists() {
            return Ok(());
        }
        let aside = self.dir.join(".making");
        fs::remove_tree(&aside).on("remove", &aside)?;
        let made = self.make_at(&aside, volume, durability).and_then(|()| {
            std::fs::rename(&aside, &at).on("rename", &at)?;
            match durability {
                Durability::PowerLoss => sync(&self.dir),
                Durability::Crash => Ok(()),
            }
        });
        if made.is_err() {
            // Written over by the next; a full disk may want the room now.
            let _ = fs::remove_tree(&aside);
        }
        made
    }

    fn make_at(&self, dir: &Path, volume: &Volume, durability: Durability) -> Result<()> {
        std::fs::DirBuilder::new().mode(0o700).create(dir).on("create", dir)?;
        let data = dir.join("data");
        std::fs::DirBuilder::new().mode(0o755).create(&data).on("create", &data)?;
        let path = dir.join("volume.json");
        let bytes = serde_json::to_vec(volume).map_err(|e| Error::damaged(e.to_string()))?;
        atomic::replace(&path, &bytes, durability).on("write", &path)
    }

    /// Moves a volume to the trash. The caller holds the lock, and knows that nobody uses it.
    pub fn discard(&self, name: &str) -> Result<()> {
        let (from, trash) = (self.dir.join(name), self.trash());
        let random = crate::sys::random::bytes().on("read", "random bytes")?;
        let to = trash.join(u64::from_ne_bytes(random).to_string());
        loop {
            match std::fs::create_dir(&trash) {
                Err(e) if e.kind() != AlreadyExists => return Err(e).on("create", &trash),
                _ => {}
            }
            match std::fs::rename(&from, &to) {
                // The trash went meanwhile, as it was empty; or the volume is gone already.
                Err(e) if e.kind() == NotFound && from.exists() => {}
                Err(e) if e.kind() == NotFound => return Ok(()),
                other => return other.on("discard", &from),
            }
        }
    }

    /// Removes what was discarded; also what somebody else who died was to remove.
    pub fn empty_trash(&self) -> Result<()> {
        let trash = self.trash();
        if !trash.exists() {
            return Ok(());
        }
        let _lock =
            lock::lock(&self.locks, TRASH_OFFSET, Mode::Exclusive).on("lock", &self.locks)?;
        self.empty(&trash)
    }

    /// The same, unless somebody is at it: for those who came for something else.
    pub fn sweep(&self) -> Result<()> {
        let trash = self.trash();
        if !trash.exists() {
            return Ok(());
        }
        let lock = lock::try_lock(&self.locks, TRASH_OFFSET, Mode::Exclusive);
        match lock.on("lock", &self.locks)? {
            Some(_lock) => self.empty(&trash),
            None => Ok(()),
        }
    }

    fn empty(&self, trash: &Path) -> Result<()> {
        let entries = match std::fs::read_dir(trash) {
            Err(e) if e.kind() == NotFound => return Ok(()),
            other => other.on("read", trash)?,
        };
        for entry in entries {
            let path = entry.on("read", trash)?.path();
            fs::remove_tree(&path).on("remove", &path)?;
        }
        match std::fs::remove_dir(trash) {
            Err(e) if !matches!(e.kind(), DirectoryNotEmpty | NotFound) => {
                Err(e).on("remove", trash)
            }
            _ => Ok(()),
        }
    }

    fn trash(&self) -> PathBuf {
        self.dir.join(".trash")
    }

    /// Whether nothing is in it, and nothing on its way in.
    pub fn is_empty(&self, name: &str) -> Result<bool> {
        let dir = self.dir.join(name);
        Ok(!dir.join("filled").exists() && is_empty(&dir.join("data"))?)
    }

    /// Gives an empty volume the content and the attributes of a directory. Waits for whoever else
    /// fills it.
    pub fn fill(
        &self,
        name: &str,
        durability: Durability,
        copy: &mut dyn FnMut(BorrowedFd) -> Result<()>,
    ) -> Result<()> {
        let dir = self.dir.join(name);
        let lock = File::open(&dir).on("open", &dir)?;
        lock.lock().on("lock", &dir)?;
        settle(&dir)?;
        if !is_empty(&dir.join("data"))? {
            return Ok(());
        }
        let (fill, filled) = (dir.join("fill"), dir.join("filled"));
        let copied = copy_aside(&fill, copy).and_then(|()| match durability {
            Durability::PowerLoss if !is_empty(&fill)? => {
                fs::syncfs(lock.as_fd()).on("sync", &fill)
            }
            _ => Ok(()),
        });
        if let Err(error) = copied {
            fs::remove_tree(&fill).on("remove", &fill)?;
            return Err(error);
        }
        std::fs::rename(&fill, &filled).on("rename", &filled)?;
        bring_in(&dir)
    }

    /// Drops or finishes what somebody who died left of filling it.
    pub fn settle(&self, name: &str) -> Result<()> {
        let dir = self.dir.join(name);
        let lock = match File::open(&dir) {
            Err(e) if e.kind() == NotFound => return Ok(()),
            other => other.on("open", &dir)?,
        };
        match lock.try_lock() {
            // Whoever fills it began with that.
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(e)) => Err(e).on("lock", &dir),
            Ok(()) => settle(&dir),
        }
    }
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).on("sync", dir)
}

fn is_empty(dir: &Path) -> Result<bool> {
    Ok(std::fs::read_dir(dir).on("read", dir)?.next().is_none())
}

fn copy_aside(fill: &Path, copy: &mut dyn FnMut(BorrowedFd) -> Result<()>) -> Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(fill).on("create", fill)?;
    copy(fs::open_directory(fill).on("open", fill)?.as_fd())
}

fn settle(dir: &Path) -> Result<()> {
    let fill = dir.join("fill");
    fs::remove_tree(&fill).on("remove", &fill)?;
    match dir.join("filled").exists() {
        true => bring_in(dir),
        false => Ok(()),
    }
}

/// Moves what is in `filled` to `data`. What a container has put there in between stays.
fn bring_in(dir: &Path) -> Result<()> {
    let (data, filled) = (dir.join("data"), dir.join("filled"));
    let to = fs::open_directory(&data).on("open", &data)?;
    let from = fs::open_directory(&filled).on("open", &filled)?;
    for entry in fs::entries(from.as_fd()).on("read", &filled)? {
        let name = entry.on("read", &filled)?.file_name();
        let name = name.as_bytes();
        match fs::rename_new_at(from.as_fd(), name, to.as_fd(), name) {
            Err(e) if e.kind() == AlreadyExists => {}
            other => other.on("rename", data.join(OsStr::from_bytes(name)))?,
        }
    }
    fs::copy_attributes(from.as_fd(), to.as_fd()).on("copy the attributes of", "the directory")?;
    drop(from);
    fs::remove_tree(&filled).on("remove", &filled)
}

/// The directory at `path` of a root: links lead nowhere but inside. `None` where there is nothing;
/// an error where it is no directory.
pub fn open_image_directory(root: BorrowedFd, path: &str) -> Result<Option<OwnedFd>> {
    match fs::open_in_root(root, path.as_bytes(), Open::DirectoryThrough) {
        Ok(dir) => Ok(Some(dir)),
        Err(e) if e.kind() == NotFound => Ok(None),
        Err(e) if e.kind() == NotADirectory => Err(Error::conflict(format!(
            "cannot mount a volume on {path}: the image has a file there"
        ))
        .hint("mount a host file there, or choose a directory")),
        Err(e) => Err(Error::os("open", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(name: &str) -> (PathBuf, Volumes) {
        let root = std::env::temp_dir().join(format!("coracle-vol-{name}-{}", std::process::id()));
        fs::remove_tree(&root).unwrap();
        std::fs::create_dir_all(root.join("volumes")).unwrap();
        let volumes = Volumes::new(&root);
        volumes.make(&Volume::new("v1", BTreeMap::new()), Durability::Crash).unwrap();
        (root, volumes)
    }

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_crash_left_of_filling_is_dropped_or_brought_in_whole() {
        let (root, volumes) = volumes("settle");
        let dir = root.join("volumes/v1");
        std::fs::create_dir(dir.join("fill")).unwrap();
        std::fs::write(dir.join("fill/half"), "").unwrap();
        volumes.settle("v1").unwrap();
        assert_eq!(entries(&dir), ["data", "volume.json"]);
        assert!(volumes.is_empty("v1").unwrap());

        std::fs::create_dir(dir.join("filled")).unwrap();
        std::fs::write(dir.join("filled/b"), "image").unwrap();
        std::fs::write(dir.join("filled/c"), "image").unwrap();
        std::fs::write(dir.join("data/a"), "").unwrap();
        std::fs::write(dir.join("data/c"), "container").unwrap();
        assert!(!volumes.is_empty("v1").unwrap());
        volumes.settle("v1").unwrap();
        assert_eq!(entries(&dir), ["data", "volume.json"]);
        assert_eq!(entries(&dir.join("data")), ["a", "b", "c"]);
        assert_eq!(std::fs::read(dir.join("data/c")).unwrap(), b"container");
        fs::remove_tree(&root).unwrap();
    }

    #[test]
    fn a_volume_is_filled_once() {
        let (root, volumes) = volumes("fill");
        let fill = |name: &str| {
            let mut copy = |to: BorrowedFd| {
                fs::open_at(to, name.as_bytes(), Open::CreateNew).on("create", name).map(drop)
            };
            volumes.fill("v1", Durability::PowerLoss, &mut copy).unwrap();
        };
        fill("first");
        fill("second");
        assert_eq!(entries(&volumes.data("v1")), ["first"]);
        fs::remove_tree(&root).unwrap();
    }

    #[test]
    fn volumes_come_and_go_by_a_rename() {
        let (root, volumes) = volumes("trash");
        std::fs::create_dir(root.join("volumes/.making")).unwrap();
        volumes.make(&Volume::new("v2", BTreeMap::new()), Durability::PowerLoss).unwrap();
        let names = |all: Vec<Volume>| all.into_iter().map(|v| v.name).collect::<Vec<_>>();
        assert_eq!(names(volumes.all().unwrap()), ["v1", "v2"]);
        volumes.discard("v1").unwrap();
        volumes.discard("v2").unwrap();
        assert!(volumes.all().unwrap().is_empty() && volumes.get("v1").unwrap_err().is_not_found());
        volumes.sweep().unwrap();
        assert!(entries(&root.join("volumes")).is_empty());
        fs::remove_tree(&root).unwrap();
    }
}
