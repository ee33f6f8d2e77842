//! Reads the file of events as it grows, and the one before it, woken by inotify.
//!
//! A file that lost its name is read to its end before the next one. Only a reader that is behind by
//! two whole files loses something.

use super::Event;
use super::file::{LOG, OLD};
use crate::error::{OsContext, Result};
use crate::sys::fd;
use crate::sys::inotify::{ENTRIES, Inotify, WRITES};
use crate::sys::poll::{self, Interest};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BLOCK: usize = 64 << 10;

#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    changes: Inotify,
    /// The older one first.
    files: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    file: File,
    inode: (u64, u64),
    /// The start of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl Source {
    fn open(path: &Path) -> Result<Option<Source>> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.on("open", path)?,
        };
        let inode = fd::inode(&file).on("stat", path)?;
        Ok(Some(Source { file, inode, rest: Vec::new() }))
    }

    fn read(&mut self, sink: &mut dyn FnMut(&Event) -> Result<()>) -> Result<()> {
        loop {
            let held = self.rest.len();
            let got = (&self.file).take(BLOCK as u64).read_to_end(&mut self.rest);
            if got.on("read", "the events")? == 0 {
                return Ok(());
            }
            let Some(end) = memchr::memrchr(b'\n', &self.rest[held..]) else { continue };
            let lines: Vec<u8> = self.rest.drain(..=held + end).collect();
            for line in lines.split(|byte| *byte == b'\n') {
                if let Ok(event) = serde_json::from_slice(line) {
                    sink(&event)?;
                }
            }
        }
    }
}

impl Reader {
    /// `from_start` begins with what was told already.
    pub fn open(dir: &Path, from_start: bool) -> Result<Reader> {
        fs::create_dir_all(dir).on("create", dir)?;
        let changes = Inotify::new().on("inotify_init", dir)?;
        changes.watch(dir, ENTRIES | WRITES).on("watch", dir)?;
        let mut reader = Reader { dir: dir.to_path_buf(), changes, files: Vec::new() };
        reader.find_new()?;
        for source in reader.files.iter_mut().filter(|_| !from_start) {
            source.file.seek(SeekFrom::End(0)).on("seek", dir)?;
        }
        Ok(reader)
    }

    /// Hands what is there now to `sink`.
    pub fn read(&mut self, sink: &mut dyn FnMut(&Event) -> Result<()>) -> Result<()> {
        loop {
            for source in &mut self.files {
                source.read(sink)?;
            }
            if !self.find_new()? {
                return Ok(());
            }
        }
    }

    /// Opens the files that came since; says whether there were any.
    fn find_new(&mut self) -> Result<bool> {
        let mut any = false;
        loop {
            let known = self.files.len();
            // In this order: one that is renamed in between is met twice, not never.
            let (log, old) =
                (Source::open(&self.dir.join(LOG))?, Source::open(&self.dir.join(OLD))?);
            let log_inode = log.as_ref().map(|source| source.inode);
            for source in old.into_iter().chain(log) {
                if self.files.iter().all(|known| known.inode != source.inode) {
                    self.files.push(source);
                }
            }
            any |= self.files.len() > known;
            let now = Source::open(&self.dir.join(LOG))?.map(|source| source.inode);
            if now == log_inode {
                break;
            }
        }
        Ok(any)
    }

    /// Sleeps until more was told, for `limit`, or until nobody reads `audience` any more; says
    /// whether that is so.
    pub fn wait(&mut self, audience: BorrowedFd, limit: Option<Duration>) -> Result<bool> {
        // Only the last two are still to be found by their names.
        self.files.drain(..self.files.len().saturating_sub(2));
        let fds = [(self.changes.as_fd(), Interest::Read), (audience, Interest::HangUp)];
        let found = poll::ready(&fds, limit).on("poll", &self.dir)?;
        self.changes.drain().on("read inotify of", &self.dir)?;
        Ok(found[1])
    }
}
