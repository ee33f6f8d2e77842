//! Where in a tree a new file goes. Links are followed as a process would whose root is the tree's:
//! absolute ones and `..` stay inside, and one that leads nowhere yet names the file to be made.

use super::merged::Merged;
use super::tree::{self, join};
use super::walk::display;
use crate::error::{Error, OsContext, Result};
use crate::sys::fs::{self, FileType};

/// As many links the kernel follows in one path (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The directory that is there, without links in its path. The root is the empty path.
    pub dir: Vec<u8>,
    /// The names to be made in it, one in the other; the last is the file's.
    pub missing: Vec<Vec<u8>>,
}

/// Finds the place of a file with this `path`; in the directory of that path, its name is `name`.
pub fn find(root: &Merged, path: &[u8], name: &dyn Fn() -> Result<Vec<u8>>) -> Result<Place> {
    let is_directory =
        matches!(path.rsplit(|b| *b == b'/').next(), None | Some(b"" | b"." | b".."));
    let mut search = Search { root, left: Vec::new(), links: 0, place: Place::default() };
    let taken = |path: &[u8]| {
        let path = display(path);
        Error::conflict(format!("{} is there already", path.display())).hint("give another path")
    };
    if !search.follow(path)? {
        return Err(taken(path));
    }
    if search.place.missing.is_empty() || is_directory {
        let name = name()?;
        let path = join(&search.place.dir, &name);
        if !search.follow(&name)? || search.place.missing.is_empty() {
            return Err(taken(&path));
        }
    }
    Ok(search.place)
}

struct Search<'r> {
    root: &'r Merged,
    /// Names still to be looked up, the next one last.
    left: Vec<Vec<u8>>,
    links: u32,
    place: Place,
}

impl Search<'_> {
    /// Goes along `path` from where it is; gives false where a file ends it.
    fn follow(&mut self, path: &[u8]) -> Result<bool> {
        self.push(path);
        while let Some(name) = self.left.pop() {
            let Place { dir, missing } = &mut self.place;
            match &name[..] {
                b"" | b"." => {}
                b".." if missing.pop().is_none() => *dir = tree::split(dir).0.to_vec(),
                b".." => {}
                _ if !missing.is_empty() => missing.push(name),
                _ if !self.enter(&name)? => return Ok(false),
                _ => {}
            }
        }
        Ok(true)
    }

    /// Goes on to `name` in a directory that is there; gives false where that is the file.
    fn enter(&mut self, name: &[u8]) -> Result<bool> {
        let here = &mut self.place.dir;
        let path = join(here, name);
        let what = || display(&path);
        let gone = || Error::conflict("the image was removed meanwhile");
        let dir = self.root.open(here)?.ok_or_else(gone)?;
        let found = dir.look_up(name)?;
        match found.map(|(dir, stat)| (dir, stat.file_type)) {
            None => self.place.missing.push(name.to_vec()),
            Some((_, FileType::Directory)) => *here = path,
            Some((dir, FileType::Symlink)) => {
                self.links += 1;
                if self.links > LINKS_MAX {
                    return Err(Error::invalid(format!("{}: too many links", what().display())));
                }
                let target = fs::read_link_at(dir, name).on("read", what())?;
                if target.starts_with(b"/") {
                    here.clear();
                }
                self.push(&target);
            }
            Some(_) if self.left.is_empty() => return Ok(false),
            Some(_) => {
                return Err(Error::conflict(format!("{} is no directory", what().display())));
            }
        }
        Ok(true)
    }

    fn push(&mut self, path: &[u8]) {
        self.left.extend(path.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_inside_of_the_root_only() {
        let root = std::env::temp_dir().join(format!("coracle-place-{}", std::process::id()));
        fs::remove_tree(&root).unwrap();
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::fs::create_dir_all(root.join("usr/f")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        for (link, to) in [
            ("lib", "usr/lib"),
            ("abs", "/usr/../usr/lib/"),
            ("up", "../../../usr"),
            ("usr/lib/back", ".."),
            ("nowhere", "/etc/new/it"),
            ("round", "round"),
            ("to-file", "file"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        let tree = Merged::layers(vec![root.clone()]);
        let place = |path: &str| find(&tree, path.as_bytes(), &|| Ok(b"f".to_vec()));
        for (path, at, missing) in [
            ("/lib/x", "usr/lib", "x"),
            ("abs/x/y", "usr/lib", "x/y"),
            ("up/x", "usr", "x"),
            ("/../../lib/back/x", "usr", "x"),
            ("/a/./b/../c", "", "a/c"),
            ("nowhere", "", "etc/new/it"),
            ("/", "", "f"),
            ("lib", "usr/lib", "f"),
            ("lib/new/", "usr/lib", "new/f"),
            ("new/..", "", "f"),
        ] {
            let found = place(path).unwrap();
            let told = (found.dir.as_slice(), found.missing.join(&b'/'));
            assert_eq!(told, (at.as_bytes(), missing.as_bytes().to_vec()), "{path}");
        }
        for (path, words) in [
            ("file", "/file is there already"),
            ("/to-file", "/to-file is there already"),
            ("file/", "/file is no directory"),
            ("/to-file/x", "/file is no directory"),
            ("usr", "/usr/f is there already"),
            ("round/x", "/round: too many links"),
        ] {
            assert_eq!(place(path).unwrap_err().to_string(), words, "{path}");
        }
        fs::remove_tree(&root).unwrap();
    }
}
