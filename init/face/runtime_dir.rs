//! Where cox keeps what need not outlive it, if it has no better place: the first usable of
//! /run/cox, $XDG_RUNTIME_DIR/cox and /dev/shm/cox-UID.

use coracle::sys::process;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The places, the best first.
pub fn candidates() -> impl Iterator<Item = PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let places = [
        Some(PathBuf::from("/run/cox")),
        runtime.map(|dir| Path::new(&dir).join("cox")),
        Some(PathBuf::from(format!("/dev/shm/cox-{}", process::effective_uid()))),
    ];
    places.into_iter().flatten()
}

/// Whether `dir` is a directory (made if missing) in which nobody else can put anything.
pub fn is_usable(dir: &Path) -> bool {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(_) => return false,
    }
    let Ok(meta) = fs::symlink_metadata(dir) else { return false };
    let writable = DirBuilder::new().mode(0o700).create(dir.join(".try")).is_ok();
    let _ = fs::remove_dir(dir.join(".try"));
    meta.is_dir() && meta.uid() == process::effective_uid() && meta.mode() & 0o022 == 0 && writable
}
