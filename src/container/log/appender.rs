//! The log as the monitor writes it: records gathered, and brought to the file whole.
//!
//! What the disk does not take (it is full) is kept and tried again: meanwhile `is_stuck`, and
//! whoever reads the container's output should stop reading, so that the container waits and
//! nothing is lost.

use super::Stream;
use super::writer::Writer;
use crate::error::{OsContext, Result};
use crate::types::Timestamp;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much is gathered before it is written.
const BATCH: usize = 1 << 16;
/// How long to wait after the disk did not take it.
const RETRY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct Appender {
    file: File,
    writer: Writer,
    /// Encoded records on their way to the file.
    records: Vec<u8>,
    retry: Option<Instant>,
}

impl Appender {
    /// Opens the log for appending; makes it where there is none. A last line whose writer died in
    /// the middle of it gets its end with the first record; readers skip that line.
    pub fn open(path: &Path) -> Result<Appender> {
        let mut options = File::options();
        let file = options.create(true).read(true).append(true).open(path).on("open", path)?;
        let len = file.metadata().on("stat", path)?.len();
        let mut last = *b"\n";
        if len > 0 {
            file.read_exact_at(&mut last, len - 1).on("read", path)?;
        }
        let records = if last == *b"\n" { Vec::new() } else { vec![b'\n'] };
        Ok(Appender { file, writer: Writer::new(), records, retry: None })
    }

    /// Takes what a stream said.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.writer.push(stream, bytes, Timestamp::now(), &mut self.records);
        if self.records.len() >= BATCH {
            self.write();
        }
    }

    /// Writes all, unfinished lines too: for before one sleeps.
    pub fn flush(&mut self) {
        self.writer.flush(Timestamp::now(), &mut self.records);
        self.write();
        if self.records.is_empty() {
            // Who is idle keeps no buffers.
            self.records = Vec::new();
        }
    }

    /// Where in the file the next record will stand. To be asked after `flush`.
    pub fn position(&self) -> Result<u64> {
        let len = self.file.metadata().on("stat", "the container's log")?.len();
        Ok(len + self.records.len() as u64)
    }

    /// The disk is full; `flush` tries again from `retry_at` on.
    pub fn is_stuck(&self) -> bool {
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
            match self.file.write(rest) {
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.retry = Some(Instant::now() + RETRY);
                    break;
                }
            }
        }
        self.records.drain(..written);
    }
}
