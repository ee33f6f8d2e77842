//! Copying a tree into an empty directory: names, content with its holes, owners, modes, extended
//! attributes, times and hard links, of the directory itself too. Sockets are left out: nobody
//! listens behind a copy.
//!
//! Holds two descriptors and one list of names a level, however deep the tree is: the way up is
//! `..`. So nobody else may change either tree meanwhile.

use crate::error::{OsContext, Result};
use crate::sys::copy;
use crate::sys::fs::{self, FileType, Open, Stat};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Copies what is in `from`, a directory, and its attributes, to the empty directory `to`. Gives
/// the number of entries.
pub fn copy_tree(from: BorrowedFd, to: BorrowedFd) -> Result<u64> {
    let open = |dir| fs::open_at(dir, b".", Open::Directory).on("open", "the directory");
    let mut copy = Copy {
        from: open(from)?,
        to: open(to)?,
        root: to,
        path: Vec::new(),
        links: HashMap::new(),
        count: 0,
    };
    let mut levels = vec![copy.entries()?];
    while let Some(level) = levels.last_mut() {
        match level.pop() {
            Some(name) => {
                copy.down(&name)?;
                levels.push(copy.entries()?);
            }
            None => {
                levels.pop();
                copy.attributes()?;
                if !levels.is_empty() {
                    copy.up()?;
                }
            }
        }
    }
    Ok(copy.count)
}

/// Where a copy stands.
struct Copy<'a> {
    from: OwnedFd,
    to: OwnedFd,
    /// Where it began, and the names from there to here, each behind a `/`.
    root: BorrowedFd<'a>,
    path: Vec<u8>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    count: u64,
}

impl Copy<'_> {
    /// Copies what is directly here; the names of the directories, which are made only.
    fn entries(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut directories = Vec::new();
        for entry in fs::entries(self.from.as_fd()).on("read", self.shown(b""))? {
            let name = entry.on("read", self.shown(b""))?.file_name();
            let name = name.as_bytes();
            let stat = fs::stat_at(self.from.as_fd(), name).on("look at", self.shown(name))?;
            let Some(stat) = stat else { continue };
            self.count += 1;
            if stat.file_type == FileType::Directory {
                fs::mkdir_at(self.to.as_fd(), name, 0o700).on("create", self.shown(name))?;
                directories.push(name.to_vec());
            } else {
                self.entry(name, stat)?;
            }
        }
        Ok(directories)
    }

    fn down(&mut self, name: &[u8]) -> Result<()> {
        let open = |dir: &OwnedFd| fs::open_at(dir.as_fd(), name, Open::Directory);
        let (from, to) = (open(&self.from), open(&self.to));
        (self.from, self.to) =
            (from.on("open", self.shown(name))?, to.on("open", self.shown(name))?);
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        Ok(())
    }

    fn up(&mut self) -> Result<()> {
        let open = |dir: &OwnedFd| fs::open_at(dir.as_fd(), b"..", Open::Directory);
        let (from, to) = (open(&self.from), open(&self.to));
        (self.from, self.to) = (from.on("open", "..")?, to.on("open", "..")?);
        let parent = self.path.iter().rposition(|b| *b == b'/').unwrap_or_default();
        self.path.truncate(parent);
        Ok(())
    }

    fn attributes(&self) -> Result<()> {
        let copied = fs::copy_attributes(self.from.as_fd(), self.to.as_fd());
        copied.on("copy the attributes of", self.shown(b""))
    }

    /// Copies one name that is no directory.
    fn entry(&mut self, name: &[u8], stat: Stat) -> Result<()> {
        if stat.file_type == FileType::Socket || self.link(name, &stat)? {
            return Ok(());
        }
        let copied = copy::entry(self.from.as_fd(), self.to.as_fd(), name, &stat);
        copied.map(drop).on("copy", self.shown(name))
    }

    /// Whether it was made as one more name of a file that is there already.
    fn link(&mut self, name: &[u8], stat: &Stat) -> Result<bool> {
        if stat.links < 2 {
            return Ok(false);
        }
        let Some(first) = self.links.get(&stat.inode) else {
            let mut path = self.path.clone();
            path.push(b'/');
            path.extend_from_slice(name);
            self.links.insert(stat.inode, path);
            return Ok(false);
        };
        let split = first.iter().rposition(|b| *b == b'/').unwrap_or_default();
        let parent = [b".", &first[..split]].concat();
        let linked = fs::open_beneath(self.root, &parent, Open::Directory)
            .and_then(|dir| fs::link_at(dir.as_fd(), &first[split + 1..], self.to.as_fd(), name));
        match linked {
            // A path that is too long, or more names than the file system grants: a file of its own.
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::InvalidFilename | std::io::ErrorKind::TooManyLinks
                ) =>
            {
                Ok(false)
            }
            other => other.on("link", self.shown(name)).map(|()| true),
        }
    }

    /// How a name here is called in messages.
    fn shown(&self, name: &[u8]) -> String {
        let path = String::from_utf8_lossy(&self.path);
        format!("{}/{}", path.trim_start_matches('/'), String::from_utf8_lossy(name))
            .trim_matches('/')
            .to_string()
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

    fn copy(dir: &std::path::Path) -> u64 {
        let from = fs::open_directory(&dir.join("from")).unwrap();
        let to = fs::open_directory(&dir.join("to")).unwrap();
        copy_tree(from.as_fd(), to.as_fd()).unwrap()
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
        std::fs::set_permissions(&from, PermissionsExt::from_mode(0o1777)).unwrap();
        let at = fs::open_directory(&from).unwrap();
        fs::utimens_at(at.as_fd(), b"a", fs::Time(1_000_000_000_000_000_000)).unwrap();
        drop(at);

        assert_eq!(copy(&dir), 6);
        let to = dir.join("to");
        let meta = |name: &str| std::fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(meta("a/b/file").ino(), meta("a/again").ino());
        assert_eq!(std::fs::read(to.join("a/again")).unwrap(), b"text");
        assert_eq!(std::fs::read_link(to.join("link")).unwrap().to_str(), Some("../nowhere"));
        assert_eq!((meta("a").mode() & 0o7777, meta("a").mtime()), (0o2750, 1_000_000_000));
        assert_eq!(meta(".").mode() & 0o7777, 0o1777);
        assert_eq!(meta("sparse").len(), 100 << 20);
        assert!(meta("sparse").blocks() * 512 < 1 << 20, "the hole was filled");
        fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_copied() {
        let dir = scratch("deep");
        let mut at = fs::open_directory(&dir.join("from")).unwrap();
        for _ in 0..3000 {
            fs::mkdir_at(at.as_fd(), b"d", 0o755).unwrap();
            at = fs::open_at(at.as_fd(), b"d", Open::Directory).unwrap();
        }
        drop(at);
        assert_eq!(copy(&dir), 3000);
        fs::remove_tree(&dir).unwrap();
    }
}
