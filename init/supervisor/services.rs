//! Services coming and going: scan directories compared with what is supervised.

use super::Supervisor;
use super::slot::{History, Origin, Slot};
use crate::dialect::directory::{self, name_of};
use crate::dialect::toml::{self, Config};
use crate::event_loop::{Source, Timer};
use crate::face::fifo::Supervise;
use crate::log::LogPipe;
use crate::machine::{Event, Machine, Want};
use crate::message::say_error;
use crate::service::{Service, Start};
use crate::sorted::{Map, Set};
use crate::sources::Identity;
use crate::spare;
use coracle::error::{Context, OsContext, Result};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

impl Supervisor {
    /// Adds the services of the directories, and starts all in order; the main one after the others.
    pub(super) fn begin(&mut self) {
        let mut waiting = self.ids(false);
        // Those that it has started already are not among them.
        waiting.extend(self.scan());
        if let Some(main) = self.main {
            let others = self.slots.iter().filter(|(id, slot)| **id != main && slot.pipe.is_none());
            let others = others.map(|(_, slot)| slot.service.name.clone()).collect();
            if let Some(slot) = self.slots.get_mut(&main) {
                slot.service.start.after = others;
            }
        }
        self.start_all(waiting);
    }

    /// Compares the scan directories with what is supervised.
    pub(super) fn look(&mut self) {
        let new = self.scan();
        self.start_all(new);
    }

    /// Compares the files and the scan directories with what is supervised.
    pub(super) fn reload(&mut self) {
        self.named = Set::new();
        let mut new = self.read_files();
        new.extend(self.scan());
        self.start_all(new);
    }

    /// Reads the files again. Services that are no longer there are stopped; changed ones count
    /// from their next start; the new ones, given, are not started yet.
    fn read_files(&mut self) -> Vec<u32> {
        let mut new = Vec::new();
        for path in self.sources.files.clone() {
            let config = toml::read(&path);
            new.extend(self.take_over(path, config));
        }
        new
    }

    /// Takes over the services of a file; the new ones.
    pub(super) fn take_over(&mut self, path: PathBuf, config: Config) -> Vec<u32> {
        config.problems.iter().for_each(say_error);
        self.named.extend(config.lines.into_iter().map(|(name, _)| name));
        if let Some(last) = config.options.last_of_init {
            let (after, requires) = match config.options.init_may_fail {
                true => (vec![last], Vec::new()),
                false => (Vec::new(), vec![last]),
            };
            self.init = Some(Start { auto: true, after, requires });
        }
        self.adopt(path, config.services)
    }

    /// Compares what the file at `path` has with what is supervised; the new ones.
    fn adopt(&mut self, path: PathBuf, services: Vec<Service>) -> Vec<u32> {
        if self.shutdown.is_some() {
            return Vec::new();
        }
        let mut old: Map<String, u32> = Map::new();
        for (id, slot) in self.slots.iter() {
            if matches!(&slot.origin, Some(Origin::File(from)) if *from == path) {
                old.insert(slot.service.name.clone(), *id);
            }
        }
        let mut new = Vec::new();
        for service in services {
            let Some(id) = old.remove(&service.name) else {
                new.push(self.add(service, Some(Origin::File(path.clone())), None, None));
                continue;
            };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            if slot.service == service && !slot.machine.is_forgotten() {
                slot.next = None;
                continue;
            }
            slot.next = Some(Box::new(service));
            if !slot.machine.is_active() {
                self.refresh(id);
            }
        }
        for id in old.into_values() {
            self.want_down(id, Event::Forget);
        }
        new
    }

    /// Compares the scan directories with what is supervised. Services that are no longer there
    /// are stopped; the new ones, given, are not started yet.
    fn scan(&mut self) -> Vec<u32> {
        let services = match self.sources.look() {
            Ok(services) => services,
            Err(error) => {
                say_error(&error);
                return Vec::new();
            }
        };
        if self.shutdown.is_some() {
            return Vec::new();
        }
        let mut known = Set::new();
        let mut gone = Vec::new();
        for (id, slot) in self.slots.iter() {
            let Some(Origin::Directory { dir, identity }) = &slot.origin else {
                known.extend(slot.awaited_dir().map(Path::to_path_buf));
                continue;
            };
            known.insert(dir.to_path_buf());
            // Still there, though perhaps without `run` for the moment?
            let now = services.get(&**dir).copied();
            if now.or_else(|| Identity::of(dir).ok()) != Some(*identity) {
                gone.push(*id);
            }
        }
        for id in gone {
            self.want_down(id, Event::Forget);
        }
        let (mut new, mut all) = (Vec::new(), Vec::new());
        for (dir, identity) in services {
            // One that is on its way out comes back once it is gone.
            if known.contains(&dir) {
                continue;
            }
            match self.add_directory(&dir, identity) {
                Ok(id) => {
                    all.push(id);
                    // While the next directories are read, it starts on another processor.
                    match self.starts_at_once(id) {
                        true => self.dispatch(id, None, Event::Want(Want::Up)),
                        false => new.push(id),
                    }
                }
                Err(error) => {
                    self.named.insert(name_of(&dir));
                    say_error(&error);
                }
            }
        }
        // What they are told, and that they run, takes as long as starting them: later.
        for id in all {
            self.show(id);
        }
        new
    }

    /// Hears what service `id` of a directory is told, and keeps its status up to date.
    pub(super) fn show(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(face) = &slot.face else { return };
        let watched = self.event_loop.watch(face.control(), Source::Control(id));
        slot.shown = true;
        slot.publish();
        if let Err(error) = watched.on("watch control of", &slot.service.name) {
            say_error(&error);
        }
    }

    /// Whether it is to start by itself, and names nobody that comes before it.
    fn starts_at_once(&self, id: u32) -> bool {
        self.init.is_none()
            && self.slots.get(&id).is_some_and(|slot| {
                let start = &slot.service.start;
                start.auto && start.after.is_empty() && start.requires.is_empty()
            })
    }

    pub(super) fn look_later(&mut self, at: Instant) {
        let old = self.look_at.replace(at);
        self.event_loop.arm(Timer::Quiet, old, Some(at));
    }

    pub(super) fn add_directory(&mut self, dir: &Path, identity: Identity) -> Result<u32> {
        let name = name_of(dir);
        let dir: Rc<Path> = dir.into();
        let service = directory::read_shared(&dir, &name)?;
        let face = Supervise::open(&dir)?;
        let id = self.add(service, Some(Origin::Directory { dir, identity }), face, None);
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
        let slot = Slot {
            service,
            machine: Machine::new(),
            origin,
            read: self.turn,
            face,
            shown: false,
            published: None,
            logger: None,
            pipe,
            channel: None,
            probing: None,
            healthy: None,
            history: History::new(),
            next: None,
            input: None,
            ear: None,
        };
        let mut slot = Box::new(slot);
        slot.publish();
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
                    let pipe =
                        LogPipe::new().on("make", "a log pipe").hint(|| spare::CURE.into())?;
                    Ok((service, Supervise::open(&dir)?, pipe))
                });
                match started {
                    Ok((service, face, pipe)) => {
                        let auto = service.start.auto;
                        let logger = self.add(service, None, face, Some(pipe));
                        if let Some(slot) = self.slots.get_mut(&id) {
                            slot.logger = Some(logger);
                        }
                        self.show(logger);
                        if auto {
                            self.dispatch(logger, None, Event::Want(Want::Up));
                        } else {
                            self.settle(logger, None);
                        }
                    }
                    Err(error) => self.complain(id, error),
                }
            }
            // It is its logger until it has gone: none comes beside it.
            (Some(logger), false) => self.drain(logger),
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

    /// Takes over what has changed about a service, before a start: reads its directory again.
    pub(super) fn refresh(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(next) = slot.next.take() {
            self.reorder |= slot.service.start != next.start;
            slot.service = *next;
        }
        let Some(Origin::Directory { dir, .. }) = &slot.origin else { return };
        if slot.read == self.turn {
            return;
        }
        match directory::read_shared(dir, &slot.service.name) {
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
        self.close_input(id);
        self.close_ear(id);
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
        if self.shutdown.is_some() {
            return;
        }
        if slot.awaited_dir().is_some() {
            return self.look_later(Instant::now());
        }
        match (slot.origin, slot.next) {
            // Its directory may be there again, or still; its table is.
            (Some(Origin::Directory { .. }), _) => self.look_later(Instant::now()),
            (Some(origin), Some(next)) => {
                let id = self.add(*next, Some(origin), None, None);
                self.start_all(vec![id]);
            }
            _ => {}
        }
    }
}
