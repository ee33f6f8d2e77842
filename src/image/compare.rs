//! Comparing two trees, entry by entry: everything that an unpacked layer holds but the contents
//! of files, which their digest vouches for.

use crate::error::{OsContext, Result};
use crate::sys::fs::{self, FileType, Stat};
use crate::sys::xattr;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// So many differences say enough.
const MOST: usize = 10;

/// How the tree `is` differs from what it `should` be: a line each, and only the first few.
pub fn differences(is: &Path, should: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut links = Links::default();
    let mut rest = vec![PathBuf::new()];
    while let Some(path) = rest.pop() {
        let (left, right) = (is.join(&path), should.join(&path));
        let (names, wanted) = (names(&left)?, names(&right)?);
        let left = fs::open_directory(&left).on("open", &left)?;
        let right = fs::open_directory(&right).on("open", &right)?;
        for name in names.union(&wanted) {
            if found.len() >= MOST {
                return Ok(found);
            }
            let path = path.join(name);
            let shown = path.display();
            if !names.contains(name) {
                found.push(format!("{shown}: is missing"));
                continue;
            }
            if !wanted.contains(name) {
                found.push(format!("{shown}: does not belong there"));
                continue;
            }
            let stats = (stat(left.as_fd(), name, &path)?, stat(right.as_fd(), name, &path)?);
            let (Some(was), Some(now)) = stats else { continue };
            if let Some(what) = attributes(&was, &now).or_else(|| links.differ(&was, &now)) {
                found.push(format!("{shown}: {what}"));
            } else if contents(left.as_fd(), name)? != contents(right.as_fd(), name)? {
                found.push(format!("{shown}: its extended attributes or its target were changed"));
            }
            if was.file_type == FileType::Directory && now.file_type == FileType::Directory {
                rest.push(path);
            }
        }
    }
    Ok(found)
}

fn names(dir: &Path) -> Result<BTreeSet<OsString>> {
    let entries = std::fs::read_dir(dir).on("read", dir)?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).on("read", dir)).collect()
}

fn stat(dir: BorrowedFd, name: &OsStr, path: &Path) -> Result<Option<Stat>> {
    fs::stat_at(dir, name.as_bytes()).on("look at", path)
}

/// What of two entries is not the same, in words.
fn attributes(is: &Stat, should: &Stat) -> Option<String> {
    let is_link = should.file_type == FileType::Symlink;
    if is.file_type != should.file_type {
        return Some(format!("is a {:?}, was a {:?}", is.file_type, should.file_type));
    }
    if is.mode != should.mode && !is_link {
        return Some(format!("its mode is {:o}, was {:o}", is.mode, should.mode));
    }
    if (is.uid, is.gid) != (should.uid, should.gid) {
        let (uid, gid) = (should.uid, should.gid);
        return Some(format!("its owner is {}:{}, was {uid}:{gid}", is.uid, is.gid));
    }
    let has_size = should.file_type == FileType::Regular;
    if is.size != should.size && has_size {
        return Some(format!("its size is {}, was {}", is.size, should.size));
    }
    if is.mtime != should.mtime {
        return Some("its time of modification was changed".to_string());
    }
    (is.device != should.device).then(|| "is another device".to_string())
}

/// The target of a link, and the extended attributes.
type Contents = (Option<PathBuf>, Vec<(Vec<u8>, Vec<u8>)>);

fn contents(dir: BorrowedFd, name: &OsStr) -> Result<Contents> {
    let mut attributes = xattr::all_at(dir, name.as_bytes()).on("look at", name)?;
    attributes.sort();
    let path = fs::path_of(dir).on("find", name)?.join(name);
    Ok((std::fs::read_link(path).ok(), attributes))
}

/// Which entries are one file in each tree.
#[derive(Default)]
struct Links(HashMap<(u64, u64), (u64, u64)>);

impl Links {
    fn differ(&mut self, is: &Stat, should: &Stat) -> Option<String> {
        if is.file_type == FileType::Directory {
            return None;
        }
        let other = *self.0.entry(is.inode).or_insert(should.inode);
        (other != should.inode).then(|| "is linked to other names than it was".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_differs_is_named() {
        let base = std::env::temp_dir().join(format!("coracle-compare-{}", std::process::id()));
        let (a, b) = (base.join("a"), base.join("b"));
        for dir in [&a, &b] {
            std::fs::create_dir_all(dir.join("sub")).unwrap();
            std::fs::write(dir.join("sub/f"), "x").unwrap();
            symlink("f", dir.join("sub/l")).unwrap();
            std::fs::hard_link(dir.join("sub/f"), dir.join("g")).unwrap();
            for path in ["sub/f", "sub/l", "sub"] {
                let open = fs::open_directory(dir).unwrap();
                fs::utimens_at(open.as_fd(), path.as_bytes(), fs::Time(0)).unwrap();
            }
        }
        let told = || differences(&a, &b).unwrap();
        assert_eq!(told(), Vec::<String>::new());

        std::fs::set_permissions(a.join("g"), PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(told()[0], "g: its mode is 600, was 644");
        std::fs::set_permissions(a.join("g"), PermissionsExt::from_mode(0o644)).unwrap();

        std::fs::write(a.join("new"), "").unwrap();
        std::fs::write(b.join("old"), "").unwrap();
        assert_eq!(told(), ["new: does not belong there", "old: is missing"]);
        std::fs::remove_file(a.join("new")).unwrap();
        std::fs::remove_file(b.join("old")).unwrap();

        std::fs::remove_file(a.join("sub/l")).unwrap();
        symlink("elsewhere", a.join("sub/l")).unwrap();
        let open = fs::open_directory(&a).unwrap();
        for path in ["sub/l", "sub"] {
            fs::utimens_at(open.as_fd(), path.as_bytes(), fs::Time(0)).unwrap();
        }
        assert!(told()[0].starts_with("sub/l: "), "{:?}", told());
        std::fs::remove_dir_all(&base).unwrap();
    }
}
