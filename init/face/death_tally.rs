//! `supervise/death_tally`: when and how the last runs of a service ended, as s6 2.11 writes it, for
//! s6-svdt and for s6-permafailon in a `finish`.
//!
//! An entry is 14 bytes: TAI64N as s6 has it (`status`), the exit code (128 + n after signal n), the signal or 0.
//! The oldest are dropped beyond the number in the service's file `max-death-tally` (100 without it,
//! at most 4096, 0 for none). A new supervisor begins anew.

use super::status::tai64n_of_s6;
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::atomic;
use coracle::sys::fs::{open_for_appending, read_small};
use coracle::sys::pidfd::Exit;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::SystemTime;

pub const NAME: &str = "death_tally";

const ENTRY: usize = 14;
const DEFAULT: usize = 100;
const MOST: usize = 4096;
const LONGEST_WORD: usize = 256;

/// Adds an end to the tally in `supervise`, of the service in `dir`.
pub fn record(dir: &Path, supervise: &Path, exit: Exit, at: SystemTime) -> Result<()> {
    let (limit, problem) = match limit(&dir.join("max-death-tally")) {
        Ok(limit) => (limit, Ok(())),
        Err(error) => (DEFAULT, Err(error)),
    };
    if let Some(others) = limit.checked_sub(1) {
        let path = supervise.join(NAME);
        let room = others.saturating_mul(ENTRY);
        match add(&path, room, &entry(exit, at)) {
            // Its directory was removed: nobody is left to read it.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            added => added.on("write", &path)?,
        }
    }
    problem
}

/// Adds `entry`, and keeps at most `room` bytes of those before it.
fn add(path: &Path, room: usize, entry: &[u8]) -> std::io::Result<()> {
    let len = fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(0));
    if len <= room && len.is_multiple_of(ENTRY) {
        return open_for_appending(path)?.write_all(entry);
    }
    let mut all = read_small(path, MOST.saturating_mul(ENTRY).saturating_mul(2))?;
    let excess = all.len().saturating_sub(room);
    all.drain(..excess);
    all.extend_from_slice(entry);
    atomic::replace(path, &all, atomic::Durability::Crash)
}

fn entry(exit: Exit, at: SystemTime) -> [u8; ENTRY] {
    let (code, signal) = match exit {
        Exit::Code(code) => (code as u8, 0),
        Exit::Signal(signal) => (128u8.wrapping_add(signal as u8), signal as u8),
    };
    let mut bytes = [0; ENTRY];
    for (byte, field) in bytes.iter_mut().zip(tai64n_of_s6(at).into_iter().chain([code, signal])) {
        *byte = field;
    }
    bytes
}

fn limit(path: &Path) -> Result<usize> {
    let text = match read_small(path, LONGEST_WORD) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(DEFAULT),
        text => text.on("read", path)?,
    };
    let word = String::from_utf8_lossy(&text);
    let word = word.trim();
    let number = word
        .parse::<usize>()
        .map_err(|_| Error::invalid(format!("{}:1: \"{word}\" is not a number", path.display())));
    Ok(number.hint(|| format!("write how many ends are kept, at most {MOST}"))?.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_last_ends_are_kept_and_no_more() {
        let dir = std::env::temp_dir().join(format!("cox-tally-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let at = |second| UNIX_EPOCH + Duration::from_secs(second);
        let seconds = || -> Vec<u8> {
            let bytes = fs::read(dir.join(NAME)).unwrap();
            assert_eq!(bytes.len() % ENTRY, 0);
            bytes.chunks(ENTRY).map(|entry| entry[7] - 37).collect()
        };
        let record = |second| record(&dir, &dir, Exit::Signal(9), at(second));
        record(1).unwrap();
        record(2).unwrap();
        let bytes = fs::read(dir.join(NAME)).unwrap();
        assert_eq!(bytes[..ENTRY], *b"\x40\0\0\0\0\0\0\x26\0\0\0\0\x89\x09");
        fs::write(dir.join("max-death-tally"), "3\n").unwrap();
        record(3).unwrap();
        assert_eq!(seconds(), [1, 2, 3]);
        record(4).unwrap();
        assert_eq!(seconds(), [2, 3, 4]);
        // Fewer, from now on.
        fs::write(dir.join("max-death-tally"), "1").unwrap();
        record(5).unwrap();
        assert_eq!(seconds(), [5]);
        fs::write(dir.join("max-death-tally"), "0").unwrap();
        record(6).unwrap();
        assert_eq!(seconds(), [5]);
        fs::write(dir.join("max-death-tally"), "many").unwrap();
        let error = record(7).unwrap_err().to_string();
        assert!(error.ends_with("max-death-tally:1: \"many\" is not a number"), "{error}");
        assert_eq!(seconds(), [5, 7]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
