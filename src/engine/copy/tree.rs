//! Copying a directory over another: what is in both is merged, files are replaced one by one,
//! and a directory that is there keeps its owner and mode.

use super::bounds::Bounds;
use super::job::Job;
use super::put::Target;
use crate::error::{Error, OsContext, Result};
use crate::image::links::{BOUND, FirstNames};
use crate::image::merged::Merged;
use crate::image::tree::split;
use crate::image::walk::{self, Event, Walk};
use crate::sys::fs::{self, FileType, Time};
use crate::sys::xattr;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Makes the directory, where there is none, with what `from` has. Whether it was made.
pub fn directory(to: &Target, from: BorrowedFd) -> Result<bool> {
    match fs::stat_at(to.dir, to.name).on("look at", &to.shown)?.map(|now| now.file_type) {
        None => {
            let stat = fs::fstat(from).on("look at", &to.shown)?;
            let mut xattrs = xattr::all_at(from, b".").on("look at", &to.shown)?;
            to.directory(&to.job.of_file(&stat, &mut xattrs)).map(|_| true)
        }
        Some(FileType::Directory) => Ok(false),
        _ => Err(Error::conflict(format!("{} is there, and no directory", to.shown))
            .hint("remove it first, or give another name")),
    }
}

/// Copies what is in `from` into `to`, which is called `shown`. Gives the bytes of its files.
pub fn content(
    from: OwnedFd,
    to: BorrowedFd,
    shown: &str,
    bounds: &Bounds,
    job: &Job,
) -> Result<u64> {
    bounds.check(&fs::fstat(from.as_fd()).on("look at", shown)?, shown)?;
    let mut walk = Walk::new(Merged::plain(from), None)?;
    let mut bytes = 0;
    let mut here = open(to, b"", shown)?;
    let mut links = FirstNames::within(BOUND);
    // The directories on the way, and the times of those that were made.
    let mut on_the_way: Vec<(Vec<u8>, Option<Time>)> = Vec::new();
    while let Some(event) = walk.advance()? {
        let Event::Entry(entry) = event else {
            if let Some((path, time)) = on_the_way.pop() {
                if let Some(time) = time {
                    fs::futimens(here.as_fd(), time).on("set the time of", shown)?;
                }
                here = open(to, split(&path).0, shown)?;
            }
            continue;
        };
        let Some(stat) = entry.stat else { continue };
        let target = Target {
            dir: here.as_fd(),
            name: entry.name,
            shown: format!("{shown}/{}", String::from_utf8_lossy(entry.path)),
            job,
        };
        if stat.file_type == FileType::Directory {
            let dir = walk::open(entry.dir, entry.name).transpose();
            let Some(dir) = dir.on("open", &target.shown)? else { continue };
            bounds.check(&stat, shown)?;
            let is_new = directory(&target, dir.as_fd())?;
            if bounds.leave_out(&entry, &stat).on("look at", &target.shown)? {
                continue;
            }
            let path = entry.path.to_vec();
            here = open(to, &path, shown)?;
            on_the_way.push((path, is_new.then_some(stat.mtime)));
            walk.enter(None)?;
            continue;
        }
        if target.passes_over(&stat) {
            continue;
        }
        match links.of(entry.path, &stat) {
            Some(first) => {
                let (parent, name) = split(&first);
                target.link(open(to, parent, shown)?.as_fd(), name)?;
            }
            None => bytes += target.copy(entry.dir, entry.name, &stat)?,
        }
    }
    job.part(links.parted());
    Ok(bytes)
}

fn open(root: BorrowedFd, path: &[u8], shown: &str) -> Result<OwnedFd> {
    let gone = || Err(io::Error::from(ErrorKind::NotFound));
    let what = || format!("{shown}/{}", String::from_utf8_lossy(path));
    walk::open(root, path).unwrap_or_else(gone).on("open", what())
}
