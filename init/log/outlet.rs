//! A place that lines go to, with what it has not taken yet.

use super::Channel;
use super::container::Container;
use super::file::FileLog;
use super::router::Key;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How much of what it was given was written, and when to try the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    pub bytes: usize,
    pub then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// At once: all was taken.
    More,
    /// When its descriptor is writable.
    Writable,
    /// After a while.
    Later,
}

/// Whether there is no room on the disk.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl Written {
    pub fn all(data: &[u8]) -> Written {
        Written { bytes: data.len(), then: Then::More }
    }

    /// All but `rest`.
    pub fn part(data: &[u8], rest: &[u8], then: Then) -> Written {
        Written { bytes: data.len().saturating_sub(rest.len()), then }
    }
}

/// Where a stream goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    Container(Channel),
    File(PathBuf),
}

#[derive(Debug)]
pub enum Sink {
    Container(Channel, Container),
    File(Box<FileLog>),
}

impl Sink {
    fn write(&mut self, data: &[u8]) -> Written {
        match self {
            Sink::Container(_, container) => container.write(data),
            Sink::File(file) => file.write(data),
        }
    }
}

#[derive(Debug)]
pub struct Outlet {
    pub sink: Sink,
    /// Was given, and not taken yet.
    pending: Vec<u8>,
    then: Then,
    /// Whose long line ends what was given last, without a newline.
    pub open: Option<Key>,
    /// Who has something, and waits for this outlet to take more; the first is next.
    pub queue: VecDeque<Key>,
    /// The event loop tells when it is writable.
    pub watched: bool,
    users: u32,
}

impl Outlet {
    pub fn new(sink: Sink) -> Outlet {
        Outlet {
            sink,
            pending: Vec::new(),
            then: Then::More,
            open: None,
            queue: VecDeque::new(),
            watched: false,
            users: 0,
        }
    }

    pub fn is(&self, target: &Target) -> bool {
        match (&self.sink, target) {
            (Sink::Container(channel, _), Target::Container(wanted)) => channel == wanted,
            (Sink::File(file), Target::File(path)) => file.path() == path as &Path,
            _ => false,
        }
    }

    /// When it takes more. Until then nothing is to be given to it.
    pub fn then(&self) -> Then {
        self.then
    }

    pub fn is_free(&self) -> bool {
        self.then == Then::More
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes all of `data`; what cannot be written now is kept.
    pub fn give(&mut self, data: &[u8]) {
        let written = self.sink.write(data);
        self.then = written.then;
        if written.then != Then::More {
            self.pending = data.get(written.bytes..).unwrap_or_default().to_vec();
        }
    }

    /// Tries again.
    pub fn flush(&mut self) {
        let written = self.sink.write(&self.pending);
        self.then = written.then;
        if written.then == Then::More {
            self.pending = Vec::new();
        } else {
            self.pending.drain(..written.bytes.min(self.pending.len()));
        }
    }
}

/// All outlets, by numbers that stay the same.
#[derive(Debug, Default)]
pub struct Outlets(Vec<Option<Outlet>>);

impl Outlets {
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Outlet> {
        self.0.get_mut(id as usize)?.as_mut()
    }

    pub fn find(&mut self, target: &Target) -> Option<(u32, &mut Outlet)> {
        let mut known = (0..).zip(&mut self.0).filter_map(|(id, slot)| Some((id, slot.as_mut()?)));
        known.find(|(_, outlet)| outlet.is(target))
    }

    pub fn add(&mut self, sink: Sink) -> u32 {
        let outlet = Some(Outlet::new(sink));
        let free = self.0.iter().position(Option::is_none);
        let at = free.unwrap_or(self.0.len());
        match self.0.get_mut(at) {
            Some(slot) => *slot = outlet,
            None => self.0.push(outlet),
        }
        at as u32
    }

    pub fn all(&self) -> impl Iterator<Item = &Outlet> {
        self.0.iter().flatten()
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Outlet> {
        self.0.iter_mut().flatten()
    }

    pub fn ids(&self, wanted: impl Fn(&Outlet) -> bool) -> Vec<u32> {
        let found = (0..).zip(&self.0).filter(|(_, slot)| slot.as_ref().is_some_and(&wanted));
        found.map(|(id, _)| id).collect()
    }

    /// Somebody more writes there.
    pub fn join(&mut self, id: u32) {
        if let Some(outlet) = self.get_mut(id) {
            outlet.users = outlet.users.saturating_add(1);
        }
    }

    /// `key` does so no longer.
    pub fn leave(&mut self, id: u32, key: Key) {
        if let Some(outlet) = self.get_mut(id) {
            outlet.users = outlet.users.saturating_sub(1);
            outlet.queue.retain(|waiting| *waiting != key);
        }
        self.tidy(id);
    }

    /// Closes the file there if nobody writes to it any more.
    pub fn tidy(&mut self, id: u32) {
        if let Some(slot) = self.0.get_mut(id as usize)
            && let Some(outlet) = slot
            && outlet.users == 0
            && outlet.is_free()
            && matches!(outlet.sink, Sink::File(_))
        {
            *slot = None;
        }
    }
}
