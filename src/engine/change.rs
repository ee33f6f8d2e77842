//! One change at a time of what a container is while it is there: its networks, its links, its name
//! and its limits; whole or not at all.
//!
//! ```text
//! <run>/changing/<id>   locked by who makes the change; its text says what it is
//!   NETWORK [NUMBER]    put on the network or taken off it, and what link it has there (`eth` and
//!                       this), where it runs: to be taken off
//!   /ALIAS              a link that is removed: to be removed
//!   @NAME NAME          renamed from one to the other: what is not its name is to be nobody's
//!   =LIMITS             updated to these (JSON); behind it, on lines of their own, what the files
//!                       of its cgroup held before: to be put back, unless they are in its record
//! ```
//!
//! Where whoever gets the network lock next finds one that nobody holds, the one who did it was
//! killed. What cannot be undone is tried again by the next one, for as long as there is the
//! container.
//!
//! A change may give up the network lock while it waits for the kernel. It takes its own lock before
//! that one.

use super::Engine;
use super::update::put_back_limits;
use crate::container::{Dir, Limits, Live};
use crate::error::{Context, Error, OsContext, Result};
use crate::network::NetworkLock;
use crate::sys::lock::{self, Mode};
use crate::types::{ContainerId, ContainerName};
use std::fs;
use std::path::PathBuf;

/// The right to change a container.
#[must_use]
pub(super) struct Change {
    mark: Live,
    path: PathBuf,
}

/// A place on a network, as it is written down.
pub(super) struct Spot<'a> {
    pub network: &'a str,
    pub number: Option<u8>,
}

impl Change {
    /// Writes down what is to be undone from now on.
    pub(super) fn note(&self, spot: &Spot) -> Result<()> {
        let number = spot.number.map(|number| format!(" {number}")).unwrap_or_default();
        self.write(&format!("{}{number}", spot.network))
    }

    /// Writes down what is to be finished from now on.
    pub fn note_link(&self, alias: &str) -> Result<()> {
        self.write(&format!("/{alias}"))
    }

    /// Writes down two names of which it has one in the end.
    pub fn note_names(&self, old: &ContainerName, new: &ContainerName) -> Result<()> {
        self.write(&format!("@{old} {new}"))
    }

    /// Writes down what is to be put back from now on, unless `limits` are recorded.
    pub fn note_limits(&self, limits: &Limits, before: &str) -> Result<()> {
        let limits = serde_json::to_string(limits).map_err(|e| Error::damaged(e.to_string()))?;
        self.write(&format!("={limits}\n{before}"))
    }

    /// In place: the file is what is locked.
    fn write(&self, text: &str) -> Result<()> {
        fs::write(&self.path, text).on("write", &self.path)
    }

    /// It is done, or undone.
    pub fn end(self) -> Result<()> {
        self.mark.finish()
    }
}

impl Engine {
    /// Waits until nobody else changes the container.
    ///
    /// Errors: an earlier change of it can still not be undone.
    pub(super) fn begin_change(&self, dir: &Dir) -> Result<Change> {
        let (path, marks) = (dir.changing(), self.home.run.join("changing"));
        fs::create_dir_all(&marks).on("create", &marks)?;
        let mark = Live::take(path.clone(), true)?;
        let mark = mark.ok_or_else(|| {
            let text = format!("container {} is just being changed", dir.id.short());
            Error::conflict(text).hint("do it again in a moment")
        })?;
        let left = fs::read_to_string(&path).on("read", &path)?;
        let change = Change { mark, path };
        if !left.is_empty() {
            let undone = self.undo(&self.network_lock()?, dir, &left);
            undone.doing(|| "undo an earlier change of it".into())?;
            change.write("")?;
        }
        Ok(change)
    }

    /// Undoes what those began who were killed over it, where there are any.
    pub(super) fn sweep_changes(&self) -> Result<()> {
        let is_left = |id: &ContainerId| {
            let mark = fs::File::open(Dir::new(&self.home, id).changing());
            mark.is_ok_and(|mark| !lock::is_held(&mark, 0, Mode::Exclusive).unwrap_or(true))
        };
        match Dir::changing_ones(&self.home)?.iter().any(is_left) {
            true => self.network_lock().map(drop),
            false => Ok(()),
        }
    }

    /// Undoes what those began who were killed over it.
    pub(super) fn undo_changes(&self, lock: &NetworkLock) -> Result<()> {
        let mut errors = Vec::new();
        for id in Dir::changing_ones(&self.home)? {
            let dir = Dir::new(&self.home, &id);
            let path = dir.changing();
            let Some(mark) = Live::take(path.clone(), false)? else { continue };
            let text = fs::read_to_string(&path).on("read", &path)?;
            let undone = self.undo(lock, &dir, &text).and_then(|()| mark.finish());
            let undone = undone.doing(|| format!("undo a change of container {}", id.short()));
            errors.extend(undone.err());
        }
        Error::collect(errors)
    }

    fn undo(&self, lock: &NetworkLock, dir: &Dir, text: &str) -> Result<()> {
        if let Some(names) = text.strip_prefix('@') {
            let mut names = names.split(' ');
            return names.try_for_each(|name| self.settle_name(lock, dir, &name.parse()?));
        }
        if text.is_empty() || !dir.exists() {
            return Ok(());
        }
        if let Some(text) = text.strip_prefix('=') {
            return put_back_limits(dir, text);
        }
        if let Some(alias) = text.strip_prefix('/') {
            return self.part_link(lock, dir, alias);
        }
        let (network, number) = text.split_once(' ').unwrap_or((text, ""));
        self.take_off(lock, dir, &Spot { network, number: number.parse().ok() })
    }
}
