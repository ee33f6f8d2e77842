//! What programs have written, for supervisor's clients: parts of it, its end, what comes.

use super::Supervisor;
use crate::face::web::call;
use crate::face::web::fault::{Fault, Kind};
use crate::face::web::http::{self, Answer};
use crate::face::web::xml::Value;
use crate::log::Channel;
use crate::service::LogTo;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

/// So much of the end is shown before what comes.
const BEGINNING: u64 = 1024;
/// So much is read at once, and may be asked for at once.
const MOST: u64 = 1 << 20;
/// Nobody gets more while so much waits for him.
const WAITING: usize = 64 * 1024;

/// Somebody who reads on.
pub struct Tail {
    n: u32,
    path: PathBuf,
    file: File,
    inode: u64,
    at: u64,
}

type Result<T> = std::result::Result<T, Fault>;

impl Supervisor {
    /// The log file of an output, where it has one.
    fn log_path(&self, id: u32, channel: Channel) -> Option<PathBuf> {
        let service = &self.slots.get(&id)?.service;
        let to = match channel {
            Channel::Out => &service.out,
            Channel::Err => &service.err,
        };
        match to {
            LogTo::File(file) => Some(file.path.clone()),
            _ => None,
        }
    }

    pub(super) fn read_output(
        &self,
        id: u32,
        channel: Channel,
        offset: i64,
        length: i64,
    ) -> Result<Value> {
        let path = self.log_path(id, channel).ok_or(Kind::NoFile)?;
        let mut file =
            File::open(&path).map_err(|_| Kind::NoFile.of(path.display().to_string()))?;
        read_part(&mut file, offset, length)
    }

    /// The end of a log: the text, where it ends, and whether there was more.
    pub(super) fn tail_output(&self, id: u32, channel: Channel, offset: i64, length: i64) -> Value {
        let file = self.log_path(id, channel).and_then(|path| File::open(path).ok());
        let Some(mut file) = file else {
            return Value::Array(vec!["".into(), Value::Int(0), Value::Flag(false)]);
        };
        let size = file.metadata().map_or(0, |meta| meta.size());
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let more = size > offset.saturating_add(length);
        // The last `length` bytes, or as many as there are behind `offset`.
        let length = match (more, offset >= size) {
            (false, true) => 0,
            _ => length.max(0),
        };
        let from = size.saturating_sub(length).max(0);
        let text = part(&mut file, from.unsigned_abs(), length.unsigned_abs());
        let text = text.unwrap_or_default();
        Value::Array(vec![text.into(), Value::Int(size), Value::Flag(more)])
    }

    /// Empties the log files of a program.
    pub(super) fn clear_output(&mut self, id: u32) -> io::Result<()> {
        for channel in Channel::BOTH {
            if let Some(path) = self.log_path(id, channel) {
                match File::options().write(true).truncate(true).open(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Begins to show a log and what comes; whether the answer is whole, as a refusal is.
    pub(super) fn tail(&mut self, n: u32, path: &str, close: bool) -> bool {
        let found = self.tailed(path).and_then(|path| Some((File::open(&path).ok()?, path)));
        let Some((file, path)) = found else {
            return self.reply(n, &Answer::refusal(http::NOT_FOUND), close);
        };
        let (size, inode) = file.metadata().map_or((0, 0), |meta| (meta.size(), meta.ino()));
        let at = size.saturating_sub(BEGINNING);
        self.programs.web.begin_stream(n, &Answer::text());
        self.tails.push(Tail { n, path, file, inode, at });
        self.follow_tails();
        false
    }

    /// The file that a path of the interface stands for.
    fn tailed(&self, path: &str) -> Option<PathBuf> {
        let rest = path.strip_prefix("/logtail/")?;
        let (name, channel) = match rest.rsplit_once('/') {
            Some((name, "stderr")) => (name, Channel::Err),
            Some((name, "stdout")) => (name, Channel::Out),
            Some(_) => return None,
            None => (rest, Channel::Out),
        };
        let (group, process) = call::split(name);
        let id = self.process(&format!("{group}:{}", process?)).ok()?;
        self.log_path(id, channel)
    }

    /// Shows what has come to those who read on.
    pub(super) fn follow_tails(&mut self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        for tail in &mut self.tails {
            while self.programs.web.pending(tail.n) < WAITING {
                let Some(bytes) = tail.more() else { break };
                self.programs.web.stream(tail.n, &bytes);
                if !self.programs.web.send(tail.n, &mut self.event_loop, now) {
                    gone.push(tail.n);
                    break;
                }
            }
            if !gone.contains(&tail.n) && !self.programs.web.send(tail.n, &mut self.event_loop, now)
            {
                gone.push(tail.n);
            }
        }
        gone.into_iter().for_each(|n| self.forget_client(n));
    }

    pub(super) fn forget_tail(&mut self, n: u32) {
        self.tails.retain(|tail| tail.n != n);
    }
}

impl Tail {
    /// What was written since; `None` if nothing was.
    fn more(&mut self) -> Option<Vec<u8>> {
        let size = self.file.metadata().ok()?.size();
        if size < self.at {
            // Emptied.
            self.at = 0;
        }
        if size == self.at && !self.is_renewed() {
            return None;
        }
        self.file.seek(SeekFrom::Start(self.at)).ok()?;
        let mut bytes = Vec::new();
        (&self.file).take(WAITING as u64).read_to_end(&mut bytes).ok()?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Goes on with the file of that name, if it is another one by now.
    fn is_renewed(&mut self) -> bool {
        let Ok(meta) = std::fs::metadata(&self.path) else { return false };
        if meta.ino() == self.inode {
            return false;
        }
        let Ok(file) = File::open(&self.path) else { return false };
        (self.file, self.inode, self.at) = (file, meta.ino(), 0);
        meta.size() > 0
    }
}

/// A part of a file, as supervisor's clients ask for it: a negative offset is from the end.
fn read_part(file: &mut File, offset: i64, length: i64) -> Result<Value> {
    let size = file.metadata().map_err(|_| Kind::Failed)?.size();
    if length < 0 || offset < 0 && length != 0 {
        return Err(Kind::BadArguments.into());
    }
    let (from, length) = match (offset, length) {
        (..0, _) => (size.saturating_sub(offset.unsigned_abs()), offset.unsigned_abs()),
        (_, 0) => (offset.unsigned_abs(), u64::MAX),
        _ => (offset.unsigned_abs(), length.unsigned_abs()),
    };
    part(file, from, length).map(Value::Text).map_err(|_| Kind::Failed.into())
}

fn part(file: &mut File, from: u64, length: u64) -> io::Result<String> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length.min(MOST)).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
