//! Hard links in a walk: under which name a file of several names was met first.
//!
//! A file is forgotten when all its names were met. Of names that lie outside of what is walked
//! none comes: whoever made the tree could fill our memory with such files. So there is a bound;
//! what does not fit is met as a new file each time.

use crate::sys::fs::Stat;
use std::collections::HashMap;

/// What a file takes beside its path, about.
const ENTRY: usize = 96;
/// Some 300,000 files at a time, so that all of us stays below 64 MB.
pub const BOUND: usize = 48 << 20;

pub struct FirstNames {
    files: HashMap<(u64, u64), First>,
    room: usize,
    parted: u64,
}

struct First {
    path: Box<[u8]>,
    to_come: u64,
}

impl FirstNames {
    /// That takes about so many bytes at most.
    pub fn within(room: usize) -> FirstNames {
        FirstNames { files: HashMap::new(), room, parted: 0 }
    }

    /// The first name of what is met as `path`, if this is not the first.
    pub fn of(&mut self, path: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        if stat.links < 2 {
            return None;
        }
        let Some(first) = self.files.get_mut(&stat.inode) else {
            match self.room.checked_sub(ENTRY + path.len()) {
                None => self.parted += 1,
                Some(room) => {
                    self.room = room;
                    let first = First { path: path.into(), to_come: stat.links - 1 };
                    self.files.insert(stat.inode, first);
                }
            }
            return None;
        };
        first.to_come -= 1;
        let path = first.path.to_vec();
        if first.to_come == 0 {
            self.files.remove(&stat.inode);
            self.room = self.room.saturating_add(ENTRY + path.len());
        }
        Some(path)
    }

    /// How many names of files there was no room to remember.
    pub fn parted(&self) -> Option<String> {
        let text =
            || format!("{} names of files with several became files of their own", self.parted);
        (self.parted > 0).then(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs;
    use std::os::fd::AsFd;

    #[test]
    fn what_does_not_fit_is_a_new_file_and_what_is_complete_makes_room() {
        let here = fs::open_directory(std::path::Path::new("/")).unwrap();
        let any = fs::fstat(here.as_fd()).unwrap();
        let file = |number, links| Stat { inode: (1, number), links, ..any };
        let mut names = FirstNames::within(2 * (ENTRY + 1));
        let mut of = |path: &str, stat: Stat| {
            names.of(path.as_bytes(), &stat).map(|first| String::from_utf8(first).unwrap())
        };
        assert_eq!(of("x", file(9, 1)), None);
        assert_eq!(of("a", file(1, 2)), None);
        assert_eq!(of("b", file(2, 3)), None);
        // No room.
        assert_eq!(of("c", file(3, 2)), None);
        assert_eq!(of("d", file(3, 2)), None);
        assert_eq!(of("e", file(1, 2)).as_deref(), Some("a"));
        assert_eq!(of("f", file(2, 3)).as_deref(), Some("b"));
        assert_eq!(of("g", file(4, 2)), None);
        assert_eq!(of("h", file(4, 2)).as_deref(), Some("g"));
        assert_eq!(of("i", file(2, 3)).as_deref(), Some("b"));
        assert_eq!(names.parted, 2);
    }
}
