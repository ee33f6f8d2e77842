//! Temporary directories of the store: `tmp/<pid>-<n>/`, each locked (flock(2)) by whoever uses
//! it, so that the sweep removes exactly those whose user is gone.

use super::room::Room;
use crate::error::{OsContext, Result};
use crate::sys::fs;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A temporary directory, removed when dropped.
#[derive(Debug)]
#[must_use = "the directory is removed with its guard"]
pub struct Scratch {
    path: PathBuf,
    lock: File,
    /// Entries handed out.
    count: AtomicU64,
}

impl Scratch {
    /// Makes one in `parent`.
    pub fn create(parent: &Path) -> Result<Scratch> {
        loop {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{}-{n}", std::process::id()));
            match std::fs::create_dir(&path) {
                // Of a dead process with our pid, or swept before we had it locked.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => other.on("create", &path)?,
            }
            if let Some(lock) = lock(&path)? {
                return Ok(Scratch { path, lock, count: AtomicU64::new(0) });
            }
        }
    }

    /// A path in it that nothing has yet.
    pub fn fresh(&self) -> PathBuf {
        self.path.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A new empty directory in it.
    pub fn fresh_directory(&self) -> Result<PathBuf> {
        let path = self.fresh();
        std::fs::create_dir(&path).on("create", &path)?;
        Ok(path)
    }

    /// The room there is for it.
    pub fn room(&self) -> Result<Room> {
        Room::at(&self.path)
    }

    /// Lets it lie for the sweep to remove.
    pub fn leave(mut self) {
        self.path = PathBuf::new();
    }

    /// Waits until all in it is on disk (with whatever else that file system has to write).
    pub fn sync(&self) -> Result<()> {
        use std::os::fd::AsFd;
        fs::syncfs(self.lock.as_fd()).on("sync", &self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is left to the sweep.
            let _ = fs::remove_tree(&self.path);
        }
    }
}

/// Locks the directory; `None` where the sweep was faster.
fn lock(path: &Path) -> Result<Option<File>> {
    let gone = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    let file = match File::open(path) {
        Err(e) if gone(&e) => return Ok(None),
        other => other.on("open", path)?,
    };
    file.lock().on("lock", path)?;
    let ours = file.metadata().on("look at", path)?;
    match std::fs::metadata(path) {
        Err(e) if gone(&e) => Ok(None),
        other => {
            Ok(Some(other.on("look at", path)?).filter(|m| m.ino() == ours.ino()).map(|_| file))
        }
    }
}

/// Removes the temporary directories in `parent` that nobody uses.
pub fn sweep(parent: &Path) -> Result<()> {
    for entry in std::fs::read_dir(parent).on("read", parent)? {
        let path = entry.on("read", parent)?.path();
        let Ok(file) = File::open(&path) else {
            continue;
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(e).on("lock", &path),
            Ok(()) => fs::remove_tree(&path).on("remove", &path)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_is_swept() {
        let parent = std::env::temp_dir().join(format!("coracle-scratch-{}", std::process::id()));
        std::fs::create_dir(&parent).unwrap();
        let used = Scratch::create(&parent).unwrap();
        std::fs::create_dir_all(parent.join("dead/a/b")).unwrap();
        sweep(&parent).unwrap();
        assert!(used.path.is_dir() && !parent.join("dead").exists());
        drop(used);
        std::fs::remove_dir(&parent).unwrap();
    }
}
