//! Reads a log from its start, or from its last lines, a block at a time.
//!
//! Lines of the two streams may be interleaved, in pieces. What is chosen (`--tail`, `--since`) is
//! chosen by whole lines: the first record of a line decides, those that continue it follow.

use super::decode::{Record, begins_line, decode};
use super::files::{self, Part, Place};
use super::{LIMIT, Stream};
use crate::error::{Error, OsContext, Result};
use crate::types::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const BLOCK: usize = 64 * 1024;
/// No record of ours is longer (each byte escaped, and raw beside it); a longer line is no record.
const LONGEST: usize = 16 * LIMIT;

/// Which lines to read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Query {
    /// The last so many.
    pub tail: Option<u64>,
    /// Those written then or later.
    pub since: Option<Timestamp>,
    /// Those written then or earlier; reading ends at the first later one.
    pub until: Option<Timestamp>,
}

/// A piece of a stream: a line, or a part of one.
#[derive(Debug)]
pub struct Piece<'a> {
    pub stream: Stream,
    pub bytes: &'a [u8],
    /// When it was written.
    pub time: Timestamp,
    pub begins_line: bool,
    /// The attributes of its record.
    pub details: Option<&'a BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Debug)]
pub struct Reader {
    file: File,
    inode: u64,
    /// Those that come after it.
    newer: VecDeque<Part>,
    path: PathBuf,
    query: Query,
    /// What was read of a line that is not complete, and how much of it was searched for its end.
    block: Vec<u8>,
    streams: [StreamState; 2],
    /// A line later than `until` was met.
    passed_until: bool,
    /// The time of the last record, as it is written, and what it is.
    last_time: (String, Timestamp),
    /// How much of the last file may still be read.
    left: u64,
}

#[derive(Clone, Copy, Debug)]
struct StreamState {
    inside_line: bool,
    /// The present line was chosen.
    chosen: bool,
}

impl Reader {
    pub fn open(path: &Path, query: Query) -> Result<Reader> {
        let mut parts: VecDeque<Part> = files::open_all(path)?.into();
        if let Some(lines) = query.tail {
            let mut missing = lines;
            for at in (0..parts.len()).rev() {
                let file = &parts[at].1;
                let (start, found) = start_of_tail(file, missing).on("read", path)?;
                seek(file, start)?;
                missing -= found;
                if missing == 0 {
                    parts.drain(..at);
                    break;
                }
            }
        }
        let Some((inode, file)) = parts.pop_front() else {
            return Err(Error::not_found(format!("{} is gone", path.display())));
        };
        // A log from its start may begin inside a line, its first part rotated away: that is shown.
        // A tail may begin inside one of the other stream: that is not.
        let chosen = query.tail.is_none() && query.since.is_none();
        Ok(Reader {
            file,
            inode,
            newer: parts,
            path: path.to_path_buf(),
            query,
            block: Vec::with_capacity(BLOCK),
            streams: [StreamState { inside_line: false, chosen }; 2],
            passed_until: false,
            last_time: Default::default(),
            left: u64::MAX,
        })
    }

    /// What lies between two places of the log at `path`, the first of them in `first`. What is
    /// gone already is left out.
    pub fn of_range(path: &Path, first: Part, range: std::ops::Range<Place>) -> Result<Reader> {
        let std::ops::Range { start, end } = range;
        seek(&first.1, start.offset)?;
        let mut newer = VecDeque::new();
        if first.0 != end.inode && end.inode != 0 {
            // With its container the log may be gone.
            let parts = files::open_all(path).unwrap_or_default();
            let behind = parts.iter().position(|(inode, _)| *inode == first.0);
            newer.extend(parts.into_iter().skip(behind.map_or(0, |at| at + 1)));
            let last = newer.iter().position(|(inode, _)| *inode == end.inode);
            newer.truncate(last.map_or(newer.len(), |at| at + 1));
        }
        let skipped = if newer.is_empty() { start.offset } else { 0 };
        Ok(Reader {
            file: first.1,
            inode: first.0,
            newer,
            path: path.to_path_buf(),
            query: Query::default(),
            block: Vec::new(),
            streams: [StreamState { inside_line: false, chosen: true }; 2],
            passed_until: false,
            last_time: Default::default(),
            left: end.offset.saturating_sub(skipped),
        })
    }

    /// Looks for files that came after the last; says whether there are any. To be asked when all
    /// was read: then what was written to the last one before they came has to be read once more.
    pub fn find_newer(&mut self) -> Result<bool> {
        let newest = std::fs::metadata(&self.path).map(|newest| newest.ino());
        if !self.newer.is_empty() || newest.map_or(true, |newest| newest == self.inode) {
            return Ok(!self.newer.is_empty());
        }
        // With its container it may be gone.
        let parts = files::open_all(&self.path).unwrap_or_default();
        let known = parts.iter().position(|(inode, _)| *inode == self.inode);
        self.newer.extend(parts.into_iter().skip(known.map_or(0, |at| at + 1)));
        Ok(!self.newer.is_empty())
    }

    /// Hands what is there now to `sink`, and returns whether more may come: `false` once a line
    /// later than `until` was met.
    pub fn read(&mut self, sink: &mut dyn FnMut(Piece) -> Result<()>) -> Result<bool> {
        while self.read_block(sink)? {}
        Ok(!self.passed_until)
    }

    /// As `read`, but one block of it; `false` where nothing is left.
    pub fn read_block(&mut self, sink: &mut dyn FnMut(Piece) -> Result<()>) -> Result<bool> {
        if self.passed_until {
            return Ok(false);
        }
        let held = self.block.len();
        let left = if self.newer.is_empty() { self.left } else { u64::MAX };
        let part = left.min(BLOCK as u64);
        let got = (&self.file).take(part).read_to_end(&mut self.block);
        let got = got.on("read", &self.path)?;
        if got == 0 {
            let Some((inode, file)) = self.newer.pop_front() else { return Ok(false) };
            (self.inode, self.file) = (inode, file);
            self.block.clear();
            return Ok(true);
        }
        if self.newer.is_empty() {
            self.left -= got as u64;
        }
        let Some(end) = memchr::memrchr(b'\n', &self.block[held..]).map(|at| held + at + 1) else {
            if self.block.len() > LONGEST {
                // The rest of it is skipped as a torn line.
                self.block.truncate(1);
            }
            return Ok(true);
        };
        let block = std::mem::take(&mut self.block);
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &block[..end]) {
            if let Some(record) = decode(&block[start..newline]) {
                self.offer(record, sink)?;
            }
            start = newline + 1;
        }
        self.block = block;
        self.block.drain(..end);
        Ok(true)
    }

    fn offer(&mut self, record: Record, sink: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        // Many lines have the time of the read that brought them.
        let (text, time) = &mut self.last_time;
        if *text != *record.time {
            let Ok(new) = record.time.parse() else { return Ok(()) };
            *time = new;
            record.time.as_ref().clone_into(text);
        }
        let time = *time;
        if self.passed_until || self.query.until.is_some_and(|until| time > until) {
            self.passed_until = true;
            return Ok(());
        }
        let state = &mut self.streams[record.stream.index()];
        let begins_line = !record.continues && !state.inside_line;
        if begins_line {
            state.chosen = self.query.since.is_none_or(|since| time >= since);
        }
        state.inside_line = !record.content.ends_with(b"\n");
        if !state.chosen {
            return Ok(());
        }
        let details = record.details.as_ref();
        sink(Piece { stream: record.stream, bytes: &record.content, time, begins_line, details })
    }
}

fn seek(file: &File, to: u64) -> Result<()> {
    std::io::Seek::seek(&mut &*file, std::io::SeekFrom::Start(to)).on("seek", "the log")?;
    Ok(())
}

/// Where the last `lines` lines begin, and how many there are: counts backwards the records that
/// begin a line.
fn start_of_tail(file: &File, lines: u64) -> std::io::Result<(u64, u64)> {
    let len = file.metadata()?.len();
    // `ahead` holds the start of a line whose own start lies before the present block.
    let mut ahead: Vec<u8> = Vec::new();
    let mut block = vec![0; BLOCK];
    let mut block_start = len;
    // Where the line in `ahead` ends; nothing is a line before the last newline was seen.
    let mut tail_seen = false;
    let mut found = 0;
    if lines == 0 {
        return Ok((len, 0));
    }
    while block_start > 0 {
        let size = usize::try_from(block_start).map_or(BLOCK, |rest| rest.min(BLOCK));
        block_start -= size as u64;
        file.read_exact_at(&mut block[..size], block_start)?;
        let mut line_end = size;
        for newline in memchr::memrchr_iter(b'\n', &block[..size]) {
            if tail_seen && line_begins(&block[newline + 1..line_end], &ahead) {
                found += 1;
                if found == lines {
                    return Ok((block_start + newline as u64 + 1, found));
                }
            }
            tail_seen = true;
            ahead.clear();
            line_end = newline;
        }
        let mut line = block[..line_end].to_vec();
        line.append(&mut ahead);
        // Of a line too long to be a record, its end is enough.
        line.truncate(LONGEST);
        ahead = line;
    }
    found += u64::from(tail_seen && line_begins(&ahead, b""));
    Ok((0, found.min(lines)))
}

fn line_begins(start: &[u8], rest: &[u8]) -> bool {
    if rest.is_empty() { begins_line(start) } else { begins_line(&[start, rest].concat()) }
}

#[cfg(test)]
mod tests {
    use super::super::writer::Writer;
    use super::super::{Appender, Keeping};
    use super::*;
    use std::time::Duration;

    /// A log of its own file; removed at the end.
    struct Log(PathBuf);

    impl Log {
        fn new(name: &str, bytes: &[u8]) -> Log {
            let path =
                std::env::temp_dir().join(format!("coracle-log-{name}-{}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            Log(path)
        }

        fn read(&self, query: Query) -> (String, String) {
            let mut out = [Vec::new(), Vec::new()];
            let mut reader = Reader::open(&self.0, query).unwrap();
            reader
                .read(&mut |piece| {
                    out[piece.stream.index()].extend_from_slice(piece.bytes);
                    Ok(())
                })
                .unwrap();
            let [stdout, stderr] = out.map(|bytes| String::from_utf8(bytes).unwrap());
            (stdout, stderr)
        }
    }

    impl Drop for Log {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    /// Five lines, one a second from 100 on; the third is long and interrupted by the fourth.
    fn five_lines() -> Vec<u8> {
        let mut writer = Writer::new();
        let mut out = Vec::new();
        writer.push(Stream::Stdout, b"one\n", at(100), &mut out);
        writer.push(Stream::Stderr, b"two\n", at(101), &mut out);
        writer.push(Stream::Stdout, b"thr", at(102), &mut out);
        writer.flush(at(102), &mut out);
        writer.push(Stream::Stderr, b"four\n", at(103), &mut out);
        writer.push(Stream::Stdout, b"ee\n", at(104), &mut out);
        writer.push(Stream::Stdout, b"five", at(105), &mut out);
        writer.finish(Stream::Stdout, at(105), &mut out);
        out
    }

    #[test]
    fn streams_are_split_and_their_lines_joined() {
        let log = Log::new("split", &five_lines());
        let expected = ("one\nthree\nfive".to_string(), "two\nfour\n".to_string());
        assert_eq!(log.read(Query::default()), expected);
    }

    #[test]
    fn a_tail_counts_lines_not_records() {
        let log = Log::new("tail", &five_lines());
        for (lines, stdout, stderr) in [
            (0, "", ""),
            (1, "five", ""),
            (2, "five", "four\n"),
            (3, "three\nfive", "four\n"),
            (4, "three\nfive", "two\nfour\n"),
            (5, "one\nthree\nfive", "two\nfour\n"),
            (99, "one\nthree\nfive", "two\nfour\n"),
        ] {
            let query = Query { tail: Some(lines), ..Query::default() };
            assert_eq!(log.read(query), (stdout.into(), stderr.into()), "{lines}");
        }
    }

    #[test]
    fn a_tail_is_found_across_blocks() {
        let mut writer = Writer::new();
        let mut out = Vec::new();
        let lines: Vec<String> =
            (0..2000).map(|i| format!("{i} {}\n", "x".repeat(i * 7 % 400))).collect();
        writer.push(Stream::Stdout, lines.concat().as_bytes(), at(1), &mut out);
        let log = Log::new("blocks", &out);
        for tail in [1, 2, 300, 1000, 1999, 2000, 2001] {
            let query = Query { tail: Some(tail as u64), ..Query::default() };
            let expected = lines[lines.len().saturating_sub(tail)..].concat();
            assert_eq!(log.read(query).0, expected, "{tail}");
        }
    }

    #[test]
    fn times_choose_whole_lines() {
        let log = Log::new("times", &five_lines());
        let since = Query { since: Some(at(103)), ..Query::default() };
        assert_eq!(log.read(since), ("five".into(), "four\n".into()));
        let until = Query { until: Some(at(103)), ..Query::default() };
        assert_eq!(log.read(until), ("one\nthr".into(), "two\nfour\n".into()));
    }

    #[test]
    fn torn_lines_are_skipped() {
        let mut bytes = five_lines();
        bytes.truncate(bytes.len() - 20);
        let log = Log::new("torn", &bytes);
        assert_eq!(log.read(Query::default()).0, "one\nthree\n");
        assert_eq!(log.read(Query { tail: Some(1), ..Query::default() }).1, "four\n");
        for word in ["again\n", "and again\n"] {
            let keeping = Keeping { keeps: true, ..Keeping::default() };
            let mut next = Appender::open(&log.0, keeping).unwrap();
            next.push(Stream::Stdout, word.as_bytes());
            assert!(next.finish(Duration::ZERO));
        }
        assert_eq!(log.read(Query::default()).0, "one\nthree\nagain\nand again\n");
    }

    #[test]
    fn a_line_too_long_to_be_a_record_is_passed_over() {
        let mut bytes = vec![b'{'; 3 * LONGEST];
        bytes.push(b'\n');
        bytes.extend(five_lines());
        let log = Log::new("long", &bytes);
        assert_eq!(log.read(Query::default()).1, "two\nfour\n");
        assert_eq!(log.read(Query { tail: Some(50), ..Query::default() }).1, "two\nfour\n");
    }
}
