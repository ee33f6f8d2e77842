//! What programs have written, for supervisor's clients: parts of it, its end, what comes; and
//! supervisord's own log.
//!
//! A program's log is a file, or the last of what it has written to cox's output.

use super::Supervisor;
use crate::face::web::call;
use crate::face::web::fault::{Fault, Kind};
use crate::face::web::http::{self, Answer};
use crate::face::web::xml::Value;
use crate::log::{Channel, Recent};
use crate::service::LogTo;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

/// So much of the end is shown before what comes.
const BEGINNING: u64 = 1024;
/// So much may be asked for at once.
const MOST: u64 = 1 << 20;
/// Nobody gets more while so much waits for him.
const WAITING: usize = 64 * 1024;

/// Where something is written.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    File(PathBuf),
    /// In the memory of cox.
    Kept(u32, Channel),
    /// As what supervisord has to say.
    Main,
}

/// Somebody who reads on.
pub struct Tail {
    n: u32,
    place: Place,
    /// The file that he reads, and its number.
    file: Option<(File, u64)>,
    at: u64,
}

type Result<T> = std::result::Result<T, Fault>;

impl Supervisor {
    /// Where an output of a program is.
    fn place(&self, id: u32, channel: Channel) -> Option<Place> {
        let service = &self.slots.get(&id)?.service;
        let to = match channel {
            Channel::Out => &service.out,
            Channel::Err => &service.err,
        };
        match to {
            LogTo::File(file) => Some(Place::File(file.path.clone())),
            _ => self.router.recent(id, channel).map(|_| Place::Kept(id, channel)),
        }
    }

    fn kept(&self, place: &Place) -> Option<&Recent> {
        match place {
            Place::File(_) => None,
            Place::Kept(id, channel) => self.router.recent(*id, *channel),
            Place::Main => Some(&self.programs.log.recent),
        }
    }

    /// How much is there, and a part of it.
    fn look_into(
        &self,
        place: &Place,
        which: impl FnOnce(u64) -> Option<(u64, u64)>,
    ) -> Result<(u64, String)> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Fault::from(Kind::NoFile),
            _ => Kind::Failed.into(),
        };
        let (size, bytes) = match place {
            Place::File(path) => {
                let mut file = File::open(path).map_err(failed)?;
                let size = file.metadata().map_err(failed)?.size();
                let (from, length) = which(size).ok_or(Kind::BadArguments)?;
                file.seek(SeekFrom::Start(from)).map_err(failed)?;
                let mut bytes = Vec::new();
                file.take(length.min(MOST)).read_to_end(&mut bytes).map_err(failed)?;
                (size, bytes)
            }
            place => {
                let recent = self.kept(place).ok_or(Kind::NoFile)?;
                let (from, length) = which(recent.total()).ok_or(Kind::BadArguments)?;
                let bytes = recent.since(from);
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
                (recent.total(), bytes.get(..length).unwrap_or_default().to_vec())
            }
        };
        Ok((size, String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(super) fn read_output(
        &self,
        id: u32,
        channel: Channel,
        offset: i64,
        length: i64,
    ) -> Result<Value> {
        let place = self.place(id, channel).ok_or(Kind::NoFile)?;
        let (_, text) = self.look_into(&place, |size| part(size, offset, length))?;
        Ok(Value::Text(text))
    }

    pub(super) fn read_main(&self, offset: i64, length: i64) -> Result<Value> {
        let (_, text) = self.look_into(&Place::Main, |size| part(size, offset, length))?;
        Ok(Value::Text(text))
    }

    /// The end of a log: the text, where it ends, and whether there was more.
    pub(super) fn tail_output(&self, id: u32, channel: Channel, offset: i64, length: i64) -> Value {
        let (offset, length) = (offset.max(0).unsigned_abs(), length.max(0).unsigned_abs());
        let which = |size: u64| {
            // The last `length` bytes, unless all of them were seen.
            let seen = offset >= size;
            let length = if seen { 0 } else { length };
            Some((size.saturating_sub(length), length))
        };
        let found = self.place(id, channel).and_then(|place| self.look_into(&place, which).ok());
        let Some((size, text)) = found else {
            return Value::Array(vec!["".into(), Value::Int(0), Value::Flag(false)]);
        };
        let more = size > offset.saturating_add(length);
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Value::Array(vec![text.into(), Value::Int(size), Value::Flag(more)])
    }

    /// Empties the logs of a program.
    pub(super) fn clear_output(&mut self, id: u32) -> io::Result<()> {
        for channel in Channel::BOTH {
            match self.place(id, channel) {
                Some(Place::File(path)) => {
                    match File::options().write(true).truncate(true).open(&path) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                        _ => {}
                    }
                }
                _ => self.router.clear_recent(id, channel),
            }
        }
        Ok(())
    }

    /// Begins to show a log and what comes; whether the answer is whole, as a refusal is.
    pub(super) fn tail(&mut self, n: u32, path: &str, close: bool) -> bool {
        let Some(place) = self.tailed(path) else {
            return self.reply(n, &Answer::refusal(http::NOT_FOUND), close);
        };
        let (size, file) = match &place {
            Place::File(path) => match open(path) {
                Some((file, number, size)) => (size, Some((file, number))),
                None => return self.reply(n, &Answer::refusal(http::NOT_FOUND), close),
            },
            place => (self.kept(place).map_or(0, Recent::total), None),
        };
        let at = size.saturating_sub(BEGINNING);
        self.programs.web.begin_stream(n, &Answer::text());
        self.tails.push(Tail { n, place, file, at });
        self.follow_tails();
        false
    }

    /// What a path of the interface stands for.
    fn tailed(&self, path: &str) -> Option<Place> {
        if path == "/mainlogtail" {
            return Some(Place::Main);
        }
        let rest = path.strip_prefix("/logtail/")?;
        let (name, channel) = match rest.rsplit_once('/') {
            Some((name, "stderr")) => (name, Channel::Err),
            Some((name, "stdout")) => (name, Channel::Out),
            Some(_) => return None,
            None => (rest, Channel::Out),
        };
        let (group, process) = call::split(name);
        let id = self.process(&format!("{group}:{}", process?)).ok()?;
        self.place(id, channel)
    }

    /// Shows what has come to those who read on.
    pub(super) fn follow_tails(&mut self) {
        let now = Instant::now();
        let mut tails = std::mem::take(&mut self.tails);
        tails.retain_mut(|tail| {
            while self.programs.web.pending(tail.n) < WAITING {
                let more = match self.kept(&tail.place) {
                    Some(recent) => tail.more_of(recent),
                    None => tail.more(),
                };
                let Some(bytes) = more else { break };
                self.programs.web.stream(tail.n, &bytes);
            }
            self.programs.web.send(tail.n, &mut self.event_loop, now)
        });
        self.tails = tails;
    }

    pub(super) fn forget_tail(&mut self, n: u32) {
        self.tails.retain(|tail| tail.n != n);
    }
}

impl Tail {
    /// What has come into the memory since; `None` if nothing has.
    fn more_of(&mut self, recent: &Recent) -> Option<Vec<u8>> {
        if recent.total() < self.at {
            // Emptied.
            self.at = 0;
        }
        let bytes = recent.since(self.at).to_vec();
        self.at = recent.total();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// What was written into the file since; `None` if nothing was.
    fn more(&mut self) -> Option<Vec<u8>> {
        let (file, number) = self.file.as_mut()?;
        let size = file.metadata().ok()?.size();
        if size < self.at {
            // Emptied.
            self.at = 0;
        }
        if size == self.at {
            // Is it another file by now?
            let Place::File(path) = &self.place else { return None };
            let (other, renewed, size) = open(path).filter(|(_, new, _)| new != number)?;
            (*file, *number, self.at) = (other, renewed, 0);
            if size == 0 {
                return None;
            }
        }
        file.seek(SeekFrom::Start(self.at)).ok()?;
        let mut bytes = Vec::new();
        file.take(WAITING as u64).read_to_end(&mut bytes).ok()?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// A file, its number, and its size.
fn open(path: &PathBuf) -> Option<(File, u64, u64)> {
    let file = File::open(path).ok()?;
    let meta = file.metadata().ok()?;
    Some((file, meta.ino(), meta.size()))
}

/// Where a part begins and how long it is, as supervisor's clients ask for it: a negative offset is
/// from the end, and a length of 0 is all. `None` where that makes no sense.
fn part(size: u64, offset: i64, length: i64) -> Option<(u64, u64)> {
    match (offset, length) {
        (..0, 0) => Some((size.saturating_sub(offset.unsigned_abs()), offset.unsigned_abs())),
        (0.., 0) => Some((offset.unsigned_abs(), u64::MAX)),
        (0.., 1..) => Some((offset.unsigned_abs(), length.unsigned_abs())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_may_be_counted_from_the_end() {
        for (offset, length, expected) in [
            (0, 0, Some((0, u64::MAX))),
            (3, 0, Some((3, u64::MAX))),
            (3, 4, Some((3, 4))),
            (-3, 0, Some((7, 3))),
            (-30, 0, Some((0, 30))),
            (-3, 1, None),
            (3, -1, None),
        ] {
            assert_eq!(part(10, offset, length), expected);
        }
    }
}
