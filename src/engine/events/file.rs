//! The file that events are told by.
//!
//! ```text
//! <run>/events/log     {"time":...,"kind":"container","action":"die","id":"...","attributes":{...}}
//! <run>/events/log.1   what was the log before, until it is full again
//! ```
//!
//! Each record is one write in append mode, with a newline before it and one behind it: what a kill
//! or a full disk leaves of one in the middle of it spoils no other. Readers pass over lines that
//! are no records.
//!
//! Writers share a lock, and whoever finds the file full renames it under that lock for itself: so
//! a record is told once, in the file that has the name, and nobody writes to one that had it before.
//! Where writers are at it, renaming is left to the next one.

use super::Event;
use crate::sys::lock::{self, Guard, Mode};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub const LOG: &str = "log";
pub const OLD: &str = "log.1";
const LOCK: &str = "lock";

/// A longer file is the old one from then on: some four thousand events.
const LIMIT: u64 = 1 << 20;

pub fn append(dir: &Path, event: &Event) -> io::Result<()> {
    append_up_to(dir, event, LIMIT)
}

fn append_up_to(dir: &Path, event: &Event, limit: u64) -> io::Result<()> {
    let mut record = vec![b'\n'];
    serde_json::to_writer(&mut record, event)?;
    record.push(b'\n');
    let writing = share(dir)?;
    let mut file = open(dir)?;
    // Not `write_all`: the rest would not lie behind it.
    let _ = file.write(&record)?;
    let full = file.metadata()?.len() > limit;
    drop(writing);
    if full { rotate(dir, limit) } else { Ok(()) }
}

fn share(dir: &Path) -> io::Result<Guard> {
    let share = || lock::lock(&dir.join(LOCK), 0, Mode::Shared);
    match share() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir)?;
            share()
        }
        other => other,
    }
}

fn open(dir: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(dir.join(LOG))
}

/// Renames the file if it is still the full one.
fn rotate(dir: &Path, limit: u64) -> io::Result<()> {
    let Some(_alone) = lock::try_lock(&dir.join(LOCK), 0, Mode::Exclusive)? else { return Ok(()) };
    let path = dir.join(LOG);
    match fs::metadata(&path) {
        Ok(now) if now.len() > limit => fs::rename(&path, dir.join(OLD)),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::reader::Reader;
    use super::*;
    use crate::engine::events::Kind;
    use std::os::fd::AsFd;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

    pub struct Scratch(pub PathBuf);

    impl Scratch {
        pub fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("events-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub fn event(time: i64) -> Event {
        Event {
            time,
            kind: Kind::Container,
            action: "start".into(),
            id: "a".repeat(64),
            attributes: [("name".to_string(), "web".to_string())].into(),
        }
    }

    #[test]
    fn a_reader_misses_nothing_while_many_write_and_the_file_is_rotated() {
        let scratch = Scratch::new("many");
        let mut reader = Reader::open(&scratch.0, false).unwrap();
        let writers = 4;
        let each = 500;
        let mut seen = Vec::new();
        let (listening, audience) = io::pipe().unwrap();
        let (told, heard) = (AtomicI64::new(0), AtomicI64::new(0));
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let (dir, told, heard) = (&scratch.0, &told, &heard);
                scope.spawn(move || {
                    for i in 0..each {
                        // Who is behind by two whole files has lost something.
                        while told.load(SeqCst) - heard.load(SeqCst) > 50 {
                            std::thread::yield_now();
                        }
                        told.fetch_add(1, SeqCst);
                        append_up_to(dir, &event(writer * each + i), 20_000).unwrap();
                    }
                });
            }
            while seen.len() < (writers * each) as usize {
                assert!(!reader.wait(audience.as_fd(), None).unwrap());
                reader
                    .read(&mut |event| {
                        seen.push(event.time);
                        heard.fetch_add(1, SeqCst);
                        Ok(())
                    })
                    .unwrap();
            }
        });
        drop(listening);
        assert!(reader.wait(audience.as_fd(), None).unwrap());
        seen.sort_unstable();
        assert_eq!(seen, (0..writers * each).collect::<Vec<_>>());
        assert!(fs::metadata(scratch.0.join(OLD)).unwrap().len() > 20_000);
    }

    #[test]
    fn what_a_kill_leaves_of_a_record_spoils_no_other() {
        let scratch = Scratch::new("torn");
        append(&scratch.0, &event(1)).unwrap();
        open(&scratch.0).unwrap().write_all(b"\n{\"time\":2,\"ki").unwrap();
        append(&scratch.0, &event(3)).unwrap();
        let mut seen = Vec::new();
        let mut reader = Reader::open(&scratch.0, true).unwrap();
        let mut sink = |event: &Event| {
            seen.push(event.time);
            Ok(())
        };
        reader.read(&mut sink).unwrap();
        assert_eq!(seen, [1, 3]);
    }
}
