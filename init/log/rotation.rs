//! When a log file is renamed, and how the renamed ones are called. Pure.

use std::path::{Path, PathBuf};

/// How many bytes of `data` go into the present file, which has taken `taken` of at most `most`
/// bytes; 0 if it is to be rotated first. A line is never cut: what belongs to one that has begun
/// (`inside`) follows it, and one that no file could hold gets a file of its own.
pub fn fit(data: &[u8], taken: u64, most: u64, inside: bool) -> usize {
    let room = most.saturating_sub(taken);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let Some(head) = data.get(..room) else { return data.len() };
    let whole = after_newline(memchr::memrchr(b'\n', head));
    if whole == 0 && (inside || taken == 0) {
        return memchr::memchr(b'\n', data).map_or(data.len(), |at| at.saturating_add(1));
    }
    whole
}

fn after_newline(at: Option<usize>) -> usize {
    at.map_or(0, |at| at.saturating_add(1))
}

/// The name of the `n`th renamed file; 1 is the youngest.
pub fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_fill_a_file() {
        let data = b"aaa\nbbb\nccc\n";
        assert_eq!(fit(data, 0, 12, false), 12);
        assert_eq!(fit(data, 0, 11, false), 8);
        assert_eq!(fit(data, 4, 12, false), 8);
        assert_eq!(fit(data, 9, 12, false), 0);
        assert_eq!(fit(data, 12, 12, false), 0);
    }

    #[test]
    fn a_line_that_no_file_holds_has_one_of_its_own() {
        assert_eq!(fit(b"0123456789\nab\n", 0, 4, false), 11);
        assert_eq!(fit(b"0123456789\nab\n", 11, 4, false), 0);
        assert_eq!(fit(b"0123456789", 0, 4, false), 10);
    }

    #[test]
    fn a_line_that_has_begun_stays_in_its_file() {
        assert_eq!(fit(b"56789\nab\n", 4, 5, true), 6);
        assert_eq!(fit(b"56789", 4, 5, true), 5);
        assert_eq!(fit(b"5\nab\ncd\n", 4, 9, true), 5);
    }

    #[test]
    fn renamed_files_are_numbered() {
        assert_eq!(rotated(Path::new("/var/log/web.log"), 12), Path::new("/var/log/web.log.12"));
    }
}
