//! The files of a log that is bounded: the newest is `log`, what was it before `log.1`, and so on.
//! A log that is kept elsewhere (`log` is a link) has them there.
//!
//! Rotation is by renaming alone: a file with a number is never written to again, so whoever holds
//! it open reads it to its end and then looks for the one that came after. A kill in the middle of
//! it leaves a number that is missing, at which the next rotation stops renaming.
//!
//! Others may write to the directory of a log that is kept elsewhere: only plain files with exactly
//! our names are ours, and no link there is followed.

use crate::error::{OsContext, Result};
use crate::sys::fs::open_no_link;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where a record stands: in the file of this inode, 0 for the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    pub inode: u64,
    pub offset: u64,
}

/// A file of the log, and its inode.
pub type Part = (u64, File);

/// Where the log is kept.
pub fn resolve(path: &Path) -> PathBuf {
    fs::read_link(path).unwrap_or_else(|_| path.to_path_buf())
}

pub fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

pub fn inode(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// Opens a file of the log that is no link. Whoever may read the host's logs may read it.
pub fn open(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    open_no_link(path, how.mode(0o640))
}

/// Whether anything was ever logged there.
pub fn exists(path: &Path) -> bool {
    let path = resolve(path);
    path.exists() || numbered(&path, 1).exists()
}

/// All of them, the oldest first, as they were at one moment.
pub fn open_all(path: &Path) -> Result<Vec<Part>> {
    let path = &resolve(path);
    let all = || -> io::Result<Option<Vec<Part>>> {
        let before = scan(path)?;
        let mut parts = Vec::new();
        for (file, known) in &before {
            let file = open(file, File::options().read(true))?;
            let inode = inode(&file)?;
            if inode != *known {
                return Ok(None);
            }
            parts.push((inode, file));
        }
        Ok((scan(path)? == before).then_some(parts))
    };
    loop {
        match all() {
            Ok(Some(parts)) => return Ok(parts),
            // They were renamed meanwhile.
            Ok(None) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.exists() => {}
            Err(e) => return Err(e).on("open", path),
        }
    }
}

/// Their names and inodes, the oldest first.
fn scan(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?.file_name();
        let rest = entry.to_str().and_then(|entry| entry.strip_prefix(name)?.strip_prefix('.'));
        let number = rest.and_then(|rest| rest.parse::<u32>().ok());
        numbers.extend(number.filter(|number| rest == Some(&number.to_string())));
    }
    numbers.sort_unstable();
    let old = numbers.into_iter().rev().map(|number| numbered(path, number));
    let mut found = Vec::new();
    for file in old.chain([path.to_path_buf()]) {
        match fs::symlink_metadata(&file) {
            // Not for long, or its writer was killed just then.
            Err(e) if e.kind() == io::ErrorKind::NotFound && file == path && !found.is_empty() => {}
            Ok(other) if !other.is_file() && file != path => {}
            other => found.push((file, other?.ino())),
        }
    }
    Ok(found)
}

/// Puts an empty file in the place of the newest, which becomes `log.1`; of all together there are
/// `files` at most.
pub fn rotate(path: &Path, files: u32) -> io::Result<File> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    match fs::remove_file(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let fresh = open(&aside, File::options().create_new(true).read(true).append(true))?;
    if files > 1 {
        let is_there = |number: &u32| numbered(path, *number).exists();
        let gap = (1..files - 1).find(|number| !is_there(number)).unwrap_or(files - 1);
        for number in (1..gap).rev() {
            fs::rename(numbered(path, number), numbered(path, number + 1))?;
        }
        fs::rename(path, numbered(path, 1))?;
    }
    fs::rename(&aside, path)?;
    Ok(fresh)
}
