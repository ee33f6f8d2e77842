//! The log as the monitor writes it: records gathered, and brought to the file whole.
//!
//! What the disk does not take (it is full) is kept and tried again: meanwhile `is_stuck`, and
//! whoever reads the container's output should stop reading, so that the container waits and
//! nothing is lost.

use super::Stream;
use super::files::{self, Place};
use super::options::Bounds;
use super::writer::Writer;
use crate::error::{Error, OsContext, Result};
use crate::types::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much is gathered before it is written.
const BATCH: usize = 1 << 15;
/// Who says less between two sleeps than this keeps no buffer meanwhile.
pub const BUSY: usize = 1 << 12;
/// How long to wait after the disk did not take it.
const RETRY: Duration = Duration::from_millis(250);

/// How a log is kept.
#[derive(Clone, Debug, Default)]
pub struct Keeping {
    /// It is: else everything is dropped.
    pub keeps: bool,
    pub bounds: Option<Bounds>,
    /// How much waits for the disk before more is dropped; else nothing is.
    pub buffer: Option<u64>,
    /// What each record says of its container.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Appender {
    file: File,
    path: PathBuf,
    keeping: Keeping,
    inode: u64,
    /// Bytes in the file.
    size: u64,
    writer: Writer,
    /// Of each stream, whether the start of its present line was dropped.
    is_cut: [bool; 2],
    /// Encoded records on their way to the file.
    records: Vec<u8>,
    /// How much was said since the last flush.
    taken: usize,
    retry: Option<Instant>,
}

impl Appender {
    /// Opens the log for appending; makes it where there is none. A last line whose writer died in
    /// the middle of it gets its end with the first record; readers skip that line.
    pub fn open(path: &Path, keeping: Keeping) -> Result<Appender> {
        let path = files::resolve(path);
        let how = &mut File::options();
        let file =
            files::open(&path, how.create(true).read(true).append(true)).on("open", &path)?;
        let found = file.metadata().on("stat", &path)?;
        if keeping.keeps && !found.is_file() {
            let path = path.display();
            return Err(Error::invalid(format!("{path} is no plain file: no log is kept there")));
        }
        let size = found.len();
        let mut last = *b"\n";
        if size > 0 {
            file.read_exact_at(&mut last, size - 1).on("read", &path)?;
        }
        let records = if last == *b"\n" { Vec::new() } else { vec![b'\n'] };
        let inode = files::inode(&file).on("stat", &path)?;
        let writer = Writer::with(&keeping.attributes);
        Ok(Appender {
            file,
            path,
            keeping,
            inode,
            size,
            writer,
            is_cut: [false; 2],
            records,
            taken: 0,
            retry: None,
        })
    }

    /// Takes what a stream said.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.keeping.keeps {
            return;
        }
        self.taken = self.taken.saturating_add(bytes.len());
        let is_full = |most: u64| self.records.len() as u64 >= most;
        let kept = match self.is_late() && self.keeping.buffer.is_some_and(is_full) {
            true => self.drop_lines(stream, bytes),
            false => self.after_dropped(stream, bytes),
        };
        self.writer.push(stream, kept, Timestamp::now(), &mut self.records);
        if self.records.len() >= BATCH {
            self.write();
        }
    }

    /// Drops whole lines: what was written of this one ends here, and its rest is not taken for
    /// the next.
    fn drop_lines(&mut self, stream: Stream, bytes: &[u8]) -> &'static [u8] {
        let is_cut = self.writer.is_inside(stream);
        self.is_cut[stream.index()] = bytes.last() != Some(&b'\n');
        if is_cut { b"\n" } else { b"" }
    }

    /// What follows the line whose start was dropped.
    fn after_dropped<'a>(&mut self, stream: Stream, bytes: &'a [u8]) -> &'a [u8] {
        if !self.is_cut[stream.index()] {
            return bytes;
        }
        let Some(end) = memchr::memchr(b'\n', bytes) else { return b"" };
        self.is_cut[stream.index()] = false;
        &bytes[end + 1..]
    }

    /// Writes all, unfinished lines too: for before one sleeps.
    pub fn flush(&mut self) {
        self.writer.flush(Timestamp::now(), &mut self.records);
        self.write();
        if self.records.is_empty() && self.taken < BUSY {
            self.records = Vec::new();
        }
        self.taken = 0;
    }

    /// Where the next record will stand. To be asked after `flush`.
    pub fn position(&self) -> Place {
        Place { inode: self.inode, offset: self.size + self.records.len() as u64 }
    }

    /// The disk is full; `flush` tries again from `retry_at` on.
    pub fn is_stuck(&self) -> bool {
        self.is_late() && self.keeping.buffer.is_none()
    }

    fn is_late(&self) -> bool {
        self.retry.is_some()
    }

    pub fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    /// Writes what is held of both streams, which have come to their end. `false` where the disk
    /// stayed full for so long, and the last of it is lost.
    #[must_use]
    pub fn finish(&mut self, limit: Duration) -> bool {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.writer.finish(stream, Timestamp::now(), &mut self.records);
        }
        let until = Instant::now() + limit;
        loop {
            self.flush();
            match self.retry {
                None => return true,
                Some(at) if at > until => return false,
                Some(at) => std::thread::sleep(at.saturating_duration_since(Instant::now())),
            }
        }
    }

    fn write(&mut self) {
        if self.retry.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.retry = None;
        let mut written = 0;
        while let Some(rest) = self.records.get(written..).filter(|rest| !rest.is_empty()) {
            let rest = rest.get(..self.room_for(rest)).unwrap_or(rest);
            match self.file.write(rest) {
                Ok(n) => {
                    written += n;
                    self.size += n as u64;
                    // Only between records.
                    if n == rest.len() {
                        self.rotate_if_full();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.retry = Some(Instant::now() + RETRY);
                    break;
                }
            }
        }
        match written == self.records.len() {
            true => self.records.clear(),
            false => drop(self.records.drain(..written)),
        }
    }

    /// How much of these records goes into the present file: whole ones, until it is full.
    fn room_for(&self, records: &[u8]) -> usize {
        let Some(bounds) = self.keeping.bounds else { return records.len() };
        let room = usize::try_from(bounds.size.saturating_sub(self.size)).unwrap_or(usize::MAX);
        match records.get(room.saturating_sub(1)..) {
            Some(behind) => {
                let end = memchr::memchr(b'\n', behind);
                end.map_or(records.len(), |end| room.saturating_sub(1) + end + 1)
            }
            None => records.len(),
        }
    }

    /// A log that cannot be rotated grows on.
    fn rotate_if_full(&mut self) {
        let Some(bounds) = self.keeping.bounds.filter(|bounds| self.size >= bounds.size) else {
            return;
        };
        let fresh = files::rotate(&self.path, bounds.files);
        if let Ok((file, inode)) = fresh.and_then(|file| files::inode(&file).map(|n| (file, n))) {
            (self.file, self.inode, self.size) = (file, inode, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Follower, Piece, Query, Reader};
    use super::*;
    use std::fs;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("coracle-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        dir
    }

    fn bounded(size: u64, files: u32) -> Keeping {
        Keeping { keeps: true, bounds: Some(Bounds { size, files }), ..Keeping::default() }
    }

    fn lines(numbers: std::ops::Range<u32>) -> String {
        numbers.map(|n| format!("line {n}\n")).collect()
    }

    fn read(path: &Path, query: Query) -> String {
        let mut all = Vec::new();
        let mut sink = |piece: Piece| {
            all.extend_from_slice(piece.bytes);
            Ok(())
        };
        Reader::open(path, query).unwrap().read(&mut sink).unwrap();
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn files_are_bounded_and_the_oldest_go() {
        let dir = scratch("rotate");
        let path = dir.join("log");
        let mut log = Appender::open(&path, bounded(1000, 3)).unwrap();
        log.push(Stream::Stdout, lines(0..200).as_bytes());
        log.flush();
        let mut names: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        for old in ["log.1", "log.2"] {
            let size = fs::metadata(dir.join(old)).unwrap().len();
            assert!((1000..1100).contains(&size), "{size}");
        }
        let left = read(&path, Query::default());
        assert!(lines(0..200).ends_with(&left) && left.lines().count() > 20, "{left}");
        for tail in [1, 5, 15, 25] {
            let query = Query { tail: Some(tail.into()), ..Query::default() };
            assert_eq!(read(&path, query), lines(200 - tail..200));
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_kill_in_the_middle_of_a_rotation_costs_nothing() {
        let dir = scratch("half");
        let path = dir.join("log");
        let mut log = Appender::open(&path, bounded(1000, 4)).unwrap();
        log.push(Stream::Stdout, lines(0..30).as_bytes());
        log.flush();
        drop(log);
        // As far as renaming the older ones, and as far as a new file beside the old.
        fs::rename(dir.join("log.2"), dir.join("log.3")).unwrap();
        fs::write(dir.join("log.new"), "").unwrap();
        assert_eq!(read(&path, Query::default()), lines(0..30));
        fs::rename(dir.join("log.1"), dir.join("log.2")).unwrap();
        fs::rename(dir.join("log"), dir.join("log.1")).unwrap();
        let mut log = Appender::open(&path, bounded(1000, 4)).unwrap();
        assert_eq!(read(&path, Query::default()), lines(0..30));
        log.push(Stream::Stdout, lines(30..32).as_bytes());
        log.flush();
        assert_eq!(read(&path, Query::default()), lines(0..32));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn who_follows_loses_and_doubles_no_line() {
        let dir = scratch("follow");
        let path = dir.join("log");
        let mut log = Appender::open(&path, bounded(2000, 5)).unwrap();
        let mut follower = Follower::open(&path, Query::default()).unwrap();
        let mut all = Vec::new();
        for n in 0..400 {
            log.push(Stream::Stdout, lines(n..n + 1).as_bytes());
            log.flush();
            if n % 7 == 0 {
                let mut sink = |piece: Piece| {
                    all.extend_from_slice(piece.bytes);
                    Ok(())
                };
                assert!(follower.read(&mut sink).unwrap());
            }
        }
        let mut sink = |piece: Piece| {
            all.extend_from_slice(piece.bytes);
            Ok(())
        };
        follower.read(&mut sink).unwrap();
        assert_eq!(String::from_utf8(all).unwrap(), lines(0..400));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn without_a_log_nothing_is_written() {
        let mut log = Appender::open(Path::new("/dev/null"), Keeping::default()).unwrap();
        log.push(Stream::Stdout, b"x\n");
        log.flush();
        assert_eq!(log.position().offset, 0);
    }

    #[test]
    fn whole_lines_are_dropped() {
        let dir = scratch("dropped");
        let path = dir.join("log");
        let keeping = Keeping { keeps: true, buffer: Some(1), ..Keeping::default() };
        let mut log = Appender::open(&path, keeping).unwrap();
        let full = Some(Instant::now() + Duration::from_secs(3600));
        log.push(Stream::Stdout, b"one\ntw");
        log.flush();
        // The disk takes nothing, and there is no room to wait.
        log.push(Stream::Stdout, b"x");
        log.flush();
        log.records = b"\n".to_vec();
        log.retry = full;
        log.push(Stream::Stdout, b"o\nthr");
        log.push(Stream::Stderr, b"whole\n");
        log.push(Stream::Stdout, b"e");
        log.retry = None;
        log.push(Stream::Stdout, b"e\nfour\n");
        log.push(Stream::Stderr, b"five\n");
        log.flush();
        assert_eq!(read(&path, Query::default()), "one\ntwx\nfour\nfive\n");
        fs::remove_dir_all(&dir).unwrap();
    }
}
