//! Services coming and going: scan directories compared with what is supervised.

use super::Supervisor;
use super::slot::{History, Origin, Slot};
use crate::dialect::directory;
use crate::event_loop::{Source, Timer};
use crate::face::fifo::Supervise;
use crate::log::LogPipe;
use crate::machine::{Event, Machine, Want};
use crate::message::say_error;
use crate::service::Service;
use crate::sources::Identity;
use coracle::error::{Error, OsContext, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

impl Supervisor {
    /// Compares the scan directories with what is supervised.
    pub(super) fn look(&mut self) {
        let services = match self.sources.look() {
            Ok(services) => services,
            Err(error) => return say_error(&error),
        };
        if self.shutdown.is_some() {
            return;
        }
        let mut known = BTreeSet::new();
        let mut gone = Vec::new();
        for (id, slot) in &self.slots {
            let Some(Origin::Directory { dir, identity }) = &slot.origin else { continue };
            known.insert(dir.clone());
            // Still there, though perhaps without `run` for the moment?
            let now = services.get(dir).copied();
            if now.or_else(|| Identity::of(dir).ok()) != Some(*identity) {
                gone.push(*id);
            }
        }
        for id in gone {
            self.want_down(id, Event::Forget);
        }
        let mut new = Vec::new();
        for (dir, identity) in services {
            // One that is on its way out comes back once it is gone.
            if !known.contains(&dir) {
                match self.add_directory(dir, identity) {
                    // While the next directories are read, it starts on another processor.
                    Ok(id) if self.starts_at_once(id) => {
                        self.dispatch(id, None, Event::Want(Want::Up));
                    }
                    Ok(id) => new.push(id),
                    Err(error) => say_error(&error),
                }
            }
        }
        self.start_all(new);
    }

    /// Whether it is to start by itself, and names nobody that comes before it.
    fn starts_at_once(&self, id: u32) -> bool {
        self.slots.get(&id).is_some_and(|slot| {
            let start = &slot.service.start;
            start.auto && start.after.is_empty() && start.requires.is_empty()
        })
    }

    pub(super) fn look_later(&mut self, at: Instant) {
        let old = self.look_at.replace(at);
        self.event_loop.arm(Timer::Quiet, old, Some(at));
    }

    pub(super) fn add_directory(&mut self, dir: PathBuf, identity: Identity) -> Result<u32> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let service = directory::read(&dir, &name)?;
        let face = Supervise::open(&dir)?;
        let id = self.add(service, Some(Origin::Directory { dir, identity }), Some(face), None);
        self.add_logger(id);
        Ok(id)
    }

    pub(super) fn add(
        &mut self,
        service: Service,
        origin: Option<Origin>,
        face: Option<Supervise>,
        pipe: Option<LogPipe>,
    ) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id;
        if let Some(face) = &face
            && let Err(e) = self.event_loop.watch(face.control(), Source::Control(id))
        {
            say_error(&Error::os("watch control of", service.name.clone(), e));
        }
        let slot = Slot {
            service,
            machine: Machine::new(),
            origin,
            read: self.turn,
            face,
            published: None,
            logger: None,
            pipe,
            channel: None,
            probing: None,
            healthy: None,
            history: History::new(),
        };
        self.slots.insert(id, slot);
        self.reorder = true;
        id
    }

    /// Gives service `id` its logger, if its directory now has one and it has none yet; or takes
    /// it away, if the directory no longer has one.
    pub(super) fn add_logger(&mut self, id: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(Origin::Directory { dir, .. }) = &slot.origin else { return };
        let dir = dir.join("log");
        match (slot.logger, directory::is_service(&dir)) {
            (None, true) => {
                let name = format!("{}/log", slot.service.name);
                let started = directory::read(&dir, &name).and_then(|service| {
                    let pipe = LogPipe::new().on("make", "a log pipe")?;
                    Ok((service, Supervise::open(&dir)?, pipe))
                });
                match started {
                    Ok((service, face, pipe)) => {
                        let auto = service.start.auto;
                        let logger = self.add(service, None, Some(face), Some(pipe));
                        if let Some(slot) = self.slots.get_mut(&id) {
                            slot.logger = Some(logger);
                        }
                        if auto {
                            self.dispatch(logger, None, Event::Want(Want::Up));
                        } else {
                            self.settle(logger, None);
                        }
                    }
                    Err(error) => self.complain(id, error),
                }
            }
            (Some(logger), false) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.logger = None;
                }
                self.drain(logger);
            }
            _ => {}
        }
    }

    /// Nobody writes to this logger any more.
    pub(super) fn drain(&mut self, logger: u32) {
        if let Some(pipe) = self.slots.get_mut(&logger).and_then(|slot| slot.pipe.as_mut()) {
            pipe.close_writer();
        }
        self.dispatch(logger, None, Event::Drain);
    }

    /// Reads a service's directory again, before a start.
    pub(super) fn refresh(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(Origin::Directory { dir, .. }) = &slot.origin else { return };
        if slot.read == self.turn {
            return;
        }
        match directory::read(dir, &slot.service.name) {
            Ok(service) => {
                slot.service = service;
                slot.read = self.turn;
                self.add_logger(id);
            }
            // Without `run` it is the exec that fails, with the same words.
            Err(error) if error.is_not_found() => {}
            Err(error) => self.complain(id, error),
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.stop_asking(id);
        self.close_channel(id);
        self.router.remove(id, &mut self.event_loop);
        let Some(slot) = self.slots.remove(&id) else { return };
        self.leaving.remove(&id);
        self.reorder = true;
        if let Some(face) = &slot.face {
            self.event_loop.unwatch(face.control());
        }
        if let Some(logger) = slot.logger {
            self.drain(logger);
        }
        for other in self.slots.values_mut().filter(|other| other.logger == Some(id)) {
            other.logger = None;
        }
        if self.options.sole && slot.origin.is_some() && self.shutdown.is_none() {
            return self.ask_to_stop("its only service was forgotten");
        }
        // Its directory may be there again, or still.
        if slot.origin.is_some() && self.shutdown.is_none() {
            self.look_later(Instant::now());
        }
    }
}
