//! A small record that changes often: each change is a line behind the others, and the last one
//! counts.
//!
//! A new file for each change (`atomic`) is whole at any moment too, but has the file system find an
//! inode and give one back: ext4 then looks past all that were given back in the last minutes, a
//! fifth of a millisecond where containers come and go. So there is a new file only once the old one
//! has grown by a few changes.
//!
//! Whoever reads takes no lock: what has no newline behind it yet is not there yet. That is also how
//! what a loss of power cuts off is passed over; the next line begins with a newline of its own.

use super::atomic::{self, Durability};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A longer file makes room for one of a single line: one block of the disk.
const LIMIT: u64 = 4096;

/// The last line of `path`. A file without any newline is one.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    let line = last(&bytes);
    bytes.copy_within(line.clone(), 0);
    bytes.truncate(line.len());
    Ok(bytes)
}

fn last(bytes: &[u8]) -> std::ops::Range<usize> {
    let Some(mut end) = memchr::memrchr(b'\n', bytes) else { return 0..bytes.len() };
    while end > 0 {
        let start = memchr::memrchr(b'\n', &bytes[..end]).map_or(0, |before| before + 1);
        if start < end {
            return start..end;
        }
        end = start - 1;
    }
    0..0
}

/// Makes `line`, which holds no newline, the last one. The caller holds a lock: two must not write at
/// once. Where it fails, the last line is the one that it was.
pub fn append(path: &Path, line: &[u8], durability: Durability) -> io::Result<()> {
    // Whatever has that name: nobody is waited for, and nothing is written elsewhere.
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let mut file = match OpenOptions::new().append(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return atomic::replace(path, line, durability);
        }
        other => other?,
    };
    let before = file.metadata()?.len();
    let record = [b"\n", line, b"\n"].concat();
    if before + record.len() as u64 > LIMIT {
        return atomic::replace(path, &record[1..], durability);
    }
    if let Err(error) = file.write_all(&record) {
        let _ = file.set_len(before);
        return Err(error);
    }
    match durability {
        Durability::PowerLoss => file.sync_data(),
        Durability::Crash => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_last_whole_line_counts() {
        let of = |text: &str| text[last(text.as_bytes())].to_string();
        assert_eq!(of("one\n"), "one");
        assert_eq!(of("one\n\ntwo\n"), "two");
        assert_eq!(of("one\n\ntw"), "one");
        assert_eq!(of("one\n\ntw\nthree\n\n"), "three");
        assert_eq!(of("one  "), "one  ");
        assert_eq!(of("one\n    "), "one");
        assert_eq!(of(""), "");
        assert_eq!(of("\n\n"), "");
    }

    #[test]
    fn a_record_is_changed_in_place_until_its_file_is_long() {
        let path = std::env::temp_dir().join(format!("coracle-last-line-{}", std::process::id()));
        atomic::replace(&path, b"a first one", Durability::Crash).unwrap();
        assert_eq!(read(&path).unwrap(), b"a first one");
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        let first = inode(&path);
        for i in 0..20 {
            append(&path, format!("{i:0100}").as_bytes(), Durability::Crash).unwrap();
            assert_eq!(read(&path).unwrap(), format!("{i:0100}").as_bytes());
        }
        assert_eq!(inode(&path), first);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\nhalf a li").unwrap();
        assert_eq!(read(&path).unwrap(), format!("{:0100}", 19).as_bytes());
        append(&path, b"after a loss of power", Durability::PowerLoss).unwrap();
        assert_eq!(read(&path).unwrap(), b"after a loss of power");
        append(&path, &[b'x'; 3000], Durability::Crash).unwrap();
        assert_ne!(inode(&path), first);
        assert_eq!(fs::read(&path).unwrap().len(), 3001);
        fs::remove_file(&path).unwrap();
        append(&path, b"anew", Durability::Crash).unwrap();
        assert_eq!(read(&path).unwrap(), b"anew");
        fs::remove_file(&path).unwrap();
    }
}
