//! Copies of trees: a container's root where there is no overlayfs, and what an image has for a
//! new volume.
//!
//! Holds the descriptors of one directory, the names of those on the way, and the first name of
//! each file of which more names are to come, up to a bound.

use super::links::{BOUND, FirstNames};
use super::merged::Merged;
use super::room::{self, Room};
use super::tree::split;
use super::walk::{self, Event, Walk, display};
use crate::error::{OsContext, Result};
use crate::sys::copy as file;
use crate::sys::fs::{self, FileType, Stat};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Copies the tree `from` into the empty directory `to`, whose own attributes stay as they are but
/// for its time. Tells what did not stay as it was.
pub fn tree(from: Merged, to: BorrowedFd) -> Result<Option<String>> {
    tree_with(from, to, FirstNames::within(BOUND))
}

fn tree_with(from: Merged, to: BorrowedFd, links: FirstNames) -> Result<Option<String>> {
    let mtime = fs::fstat(to).on("look at", "/")?.mtime;
    let mut copy = Copy { to, here: open(to, b"")?, links };
    let mut room = Room::at(&fs::path_of(to).on("find", "/")?)?;
    let mut walk = Walk::new(from, None)?;
    // What is shared takes no room; where one file is, others will be.
    let mut shares = false;
    // The directories on the way, whose times are set when they are full.
    let mut on_the_way = vec![(Vec::new(), mtime)];
    while let Some(event) = walk.advance()? {
        let Event::Entry(entry) = event else {
            if let Some((path, mtime)) = on_the_way.pop() {
                fs::futimens(copy.here.as_fd(), mtime).on("set the time of", display(&path))?;
                copy.here = open(to, split(&path).0)?;
            }
            continue;
        };
        let Some(stat) = entry.stat else { continue };
        let is_file = stat.file_type == FileType::Regular && stat.size > 0;
        let data = if is_file && !shares { stat.allocated } else { 0 };
        room.take(data.saturating_add(room::ENTRY))?;
        if stat.file_type == FileType::Directory {
            let dir = walk::open(entry.dir, entry.name).transpose();
            let Some(dir) = dir.on("open", display(entry.path))? else { continue };
            let made = fs::mkdir_at(copy.here.as_fd(), entry.name, 0o700);
            made.on("create", display(entry.path))?;
            let path = entry.path.to_vec();
            copy.here = open(to, &path)?;
            let copied = fs::copy_attributes(dir.as_fd(), copy.here.as_fd());
            copied.on("copy the attributes of", display(&path))?;
            on_the_way.push((path, stat.mtime));
            walk.enter(None)?;
        } else if !copy.link(entry.path, &stat).on("link", display(entry.path))? {
            let copied = file::entry(entry.dir, copy.here.as_fd(), entry.name, &stat);
            let shared = copied.on("copy", display(entry.path))?;
            shares = if is_file { shared } else { shares };
        }
    }
    fs::futimens(to, mtime).on("set the time of", "/")?;
    Ok(copy.links.parted())
}

fn open(root: BorrowedFd, path: &[u8]) -> Result<OwnedFd> {
    let gone = || Err(ErrorKind::NotFound.into());
    walk::open(root, path).unwrap_or_else(gone).on("open", display(path))
}

struct Copy<'t> {
    to: BorrowedFd<'t>,
    /// The directory at hand.
    here: OwnedFd,
    links: FirstNames,
}

impl Copy<'_> {
    /// Whether it was made as one more name of a file that is there already.
    fn link(&mut self, path: &[u8], stat: &Stat) -> io::Result<bool> {
        let Some(first) = self.links.of(path, stat) else { return Ok(false) };
        let (parent, name) = split(&first);
        let parent = walk::open(self.to, parent).unwrap_or(Err(ErrorKind::NotFound.into()))?;
        fs::link_at(parent.as_fd(), name, self.here.as_fd(), split(path).1)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("coracle-copy-{name}-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        std::fs::create_dir_all(dir.join("from")).unwrap();
        std::fs::create_dir(dir.join("to")).unwrap();
        dir
    }

    fn copy(dir: &std::path::Path, room: usize) -> Option<String> {
        let from = fs::open_directory(&dir.join("from")).unwrap();
        let to = fs::open_directory(&dir.join("to")).unwrap();
        tree_with(Merged::plain(from), to.as_fd(), FirstNames::within(room)).unwrap()
    }

    #[test]
    fn what_is_known_of_hard_links_has_a_bound() {
        let dir = scratch("links");
        let from = dir.join("from");
        for number in 0..1000 {
            for end in ["a", "b"] {
                std::fs::create_dir_all(from.join(end)).unwrap();
            }
            std::fs::write(from.join(format!("a/{number}")), "text").unwrap();
            let names = ["a", "b"].map(|end| from.join(format!("{end}/{number}")));
            std::fs::hard_link(&names[0], &names[1]).unwrap();
        }
        // For some 400 files with such names.
        let told = copy(&dir, 400 * 100).expect("a word about it");
        let linked = |number: &u32| {
            let ino = |end: &str| dir.join(format!("to/{end}/{number}")).metadata().unwrap().ino();
            ino("a") == ino("b")
        };
        let linked = (0..1000).filter(linked).count();
        assert!((390..=410).contains(&linked), "{linked}");
        assert!(told.ends_with("names of files with several became files of their own"), "{told}");
        fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn a_copy_is_the_tree_again() {
        let dir = scratch("whole");
        let from = dir.join("from");
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        std::fs::write(from.join("a/b/file"), "text").unwrap();
        std::fs::hard_link(from.join("a/b/file"), from.join("a/again")).unwrap();
        symlink("../nowhere", from.join("link")).unwrap();
        let sparse = File::create(from.join("sparse")).unwrap();
        sparse.write_all_at(b"end", 50 << 20).unwrap();
        sparse.set_len(100 << 20).unwrap();
        std::fs::set_permissions(from.join("a"), PermissionsExt::from_mode(0o2750)).unwrap();
        let at = fs::open_directory(&from).unwrap();
        fs::utimens_at(at.as_fd(), b"a", fs::Time(1_000_000_000_000_000_000)).unwrap();
        drop(at);

        let to = dir.join("to");
        let own = std::fs::metadata(&to).unwrap();
        assert_eq!(copy(&dir, BOUND), None);
        let meta = |name: &str| std::fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(meta("a/b/file").ino(), meta("a/again").ino());
        assert_eq!(std::fs::read(to.join("a/again")).unwrap(), b"text");
        assert_eq!(std::fs::read_link(to.join("link")).unwrap().to_str(), Some("../nowhere"));
        assert_eq!((meta("a").mode() & 0o7777, meta("a").mtime()), (0o2750, 1_000_000_000));
        let after = meta(".");
        assert_eq!(
            (after.mode(), after.modified().unwrap()),
            (own.mode(), own.modified().unwrap())
        );
        assert_eq!(meta("sparse").len(), 100 << 20);
        assert!(meta("sparse").blocks() * 512 < 1 << 20, "the hole was filled");
        fs::remove_tree(&dir).unwrap();
    }
}
