//! The one process that supervises all: events go to the machines, their actions to the hands.
//!
//! Each service has a slot, by a number that is never used again; a logger is a service like any
//! other whose slot holds the pipe it reads. The `shutdown` child module does the ordered stop.

mod stop;

use crate::dialect::directory;
use crate::event_loop::{EventLoop, Source, Timer, Wake};
use crate::face::fifo::{Phase, Status, Supervise};
use crate::log::LogPipe;
use crate::machine::{Action, Event, Machine, Moment, State, Want, What};
use crate::message::{say, say_error};
use crate::policy::{self, Jitter};
use crate::reap;
use crate::service::{Exec, FinishArguments, Service};
use crate::shutdown::Shutdown;
use crate::sources::{Identity, Sources};
use crate::spawn::{Spawner, Streams};
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::pidfd::Exit;
use coracle::sys::signal::{self, SignalFd};
use coracle::types::{Pid, Signal};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Which signals ask for a stop, besides TERM, INT and QUIT: PWR, and RTMIN+3 (systemd's halt).
const HALT: i32 = 37;

/// The rest of a service's directory, for those that have one.
struct Origin {
    dir: PathBuf,
    identity: Identity,
}

struct Slot {
    service: Service,
    machine: Machine,
    /// `None` for the main service and for loggers, which come and go with their writers.
    origin: Option<Origin>,
    face: Option<Supervise>,
    published: Option<Status>,
    /// The slot of its logger.
    logger: Option<u32>,
    /// What it reads, if it is a logger.
    pipe: Option<LogPipe>,
}

pub struct Options {
    pub stop_timeout: Duration,
    /// Whether this is PID 1 of its namespace.
    pub first: bool,
}

pub struct Supervisor {
    options: Options,
    signals: SignalFd,
    spawner: Spawner,
    event_loop: EventLoop,
    slots: BTreeMap<u32, Slot>,
    pids: BTreeMap<Pid, u32>,
    next_id: u32,
    sources: Sources,
    /// When the sources are to be looked at.
    look_at: Option<Instant>,
    /// The service that signals are passed on to, and whose end is the end of all.
    main: Option<u32>,
    jitter: Jitter,
    shutdown: Option<Shutdown>,
    code: u8,
}

impl Supervisor {
    pub fn new(options: Options, spawner: Spawner, scans: Vec<PathBuf>) -> Result<Supervisor> {
        let signals = SignalFd::new(signal::ALL).on("open", "a signal descriptor")?;
        let event_loop = EventLoop::new().on("start", "the event loop")?;
        let sources = Sources::new(scans);
        event_loop.watch(spawner.reports(), Source::Reports).on("watch", "reports")?;
        event_loop
            .watch(std::os::fd::AsFd::as_fd(&signals), Source::Signals)
            .on("watch", "signals")?;
        if let Some(changes) = sources.changes() {
            event_loop.watch(changes, Source::Directories).on("watch", "directories")?;
        }
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Supervisor {
            options,
            signals,
            spawner,
            event_loop,
            slots: BTreeMap::new(),
            pids: BTreeMap::new(),
            next_id: 0,
            sources,
            look_at: None,
            main: None,
            jitter: Jitter::new(clock.subsec_nanos() ^ std::process::id()),
            shutdown: None,
            code: 0,
        })
    }

    /// Supervises the services of the scan directories until it is told to stop; the exit code.
    pub fn run_services(mut self) -> u8 {
        self.look();
        self.run()
    }

    /// Runs `service` as the main one until it ends; the exit code.
    pub fn run_main(mut self, service: Service) -> u8 {
        let id = self.add(service, None, None, None);
        self.main = Some(id);
        self.dispatch(id, None, Event::Want(Want::Up));
        self.run()
    }

    fn run(mut self) -> u8 {
        loop {
            if self.advance_shutdown() {
                return self.code;
            }
            for wake in self.event_loop.wait() {
                self.take(wake);
            }
        }
    }

    fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Readable(Source::Reports) => self.take_failures(),
            Wake::Readable(Source::Signals) => {
                while let Ok(Some(received)) = self.signals.read() {
                    let own = received.sender == std::process::id();
                    self.take_signal(received.signal, own);
                }
            }
            Wake::Readable(Source::Directories) => {
                if let Some(at) = self.sources.noticed(Instant::now()) {
                    self.look_later(at);
                }
            }
            Wake::Readable(Source::Control(id)) => self.take_commands(id),
            Wake::Due(Timer::Service(id)) => self.dispatch(id, None, Event::Deadline),
            Wake::Due(Timer::Quiet) => {
                self.look_at = None;
                self.look();
            }
            Wake::Due(Timer::Shutdown) => self.expire_shutdown(),
        }
    }

    fn take_signal(&mut self, signal: Signal, own: bool) {
        // SIGPIPE comes from our own writing to a stderr that nobody reads.
        if signal == Signal::PIPE && own {
            return;
        }
        let stops = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::PWR];
        let stops = stops.contains(&signal) || signal.number() == HALT;
        match (signal, self.main) {
            (Signal::CHLD, _) => self.reap(),
            (_, Some(main)) if self.shutdown.is_none() => {
                self.dispatch(main, None, Event::Signal(signal));
            }
            _ if stops => self.ask_to_stop(),
            (Signal::HUP | Signal::ALRM, None) => self.look(),
            _ => {}
        }
    }

    fn take_commands(&mut self, id: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        let commands = slot.face.as_ref().map(Supervise::commands).unwrap_or_default();
        // During the stop nothing comes back up; and a logger goes only with its writer.
        let (stopping, logger) = (self.shutdown.is_some(), slot.pipe.is_some());
        for command in commands {
            let event = command.event();
            if !(stopping || logger && event == Event::Forget) {
                self.dispatch(id, None, event);
            }
        }
    }

    fn take_failures(&mut self) {
        for failure in self.spawner.failures() {
            let Some(slot) = self.slots.get(&failure.id) else { continue };
            if slot.machine.run != failure.run {
                continue;
            }
            let finish = slot.service.finish.as_ref().map(|finish| &finish.exec);
            let exec = match (slot.machine.state, finish) {
                (State::Finishing, Some(finish)) => finish,
                _ => &slot.service.run,
            };
            let error = self.spawner.describe(exec, &failure);
            let code = policy::exec_failure_code(&std::io::Error::from_raw_os_error(failure.errno));
            self.complain(failure.id, error);
            self.dispatch(failure.id, Some(failure.run), Event::ExecFailed(code));
        }
    }

    fn reap(&mut self) {
        // Frames of those that died were written before: the exits find them read.
        self.take_failures();
        reap::drain(|pid, exit| {
            if let Some(id) = self.pids.remove(&pid) {
                self.dispatch(id, None, Event::Exited(exit));
            }
        });
    }

    // --- services coming and going

    /// Compares the scan directories with what is supervised.
    fn look(&mut self) {
        let services = match self.sources.look() {
            Ok(services) => services,
            Err(error) => return say_error(&error),
        };
        if self.shutdown.is_some() {
            return;
        }
        let mut known = Vec::new();
        let mut gone = Vec::new();
        for (id, slot) in &self.slots {
            let Some(origin) = &slot.origin else { continue };
            known.push(origin.dir.clone());
            // Still there, though perhaps without `run` for the moment?
            let now = services.get(&origin.dir).copied();
            if now.or_else(|| Identity::of(&origin.dir).ok()) != Some(origin.identity) {
                gone.push(*id);
            }
        }
        for id in gone {
            self.dispatch(id, None, Event::Forget);
        }
        for (dir, identity) in services {
            // One that is on its way out comes back once it is gone.
            if !known.contains(&dir)
                && let Err(error) = self.add_directory(dir, identity)
            {
                say_error(&error);
            }
        }
    }

    fn look_later(&mut self, at: Instant) {
        let old = self.look_at.replace(at);
        self.event_loop.arm(Timer::Quiet, old, Some(at));
    }

    fn add_directory(&mut self, dir: PathBuf, identity: Identity) -> Result<()> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let service = directory::read(&dir, &name)?;
        let auto = service.auto;
        let face = Supervise::open(&dir)?;
        let id = self.add(service, Some(Origin { dir, identity }), Some(face), None);
        self.add_logger(id);
        if auto {
            self.dispatch(id, None, Event::Want(Want::Up));
        } else {
            self.settle(id, None);
        }
        Ok(())
    }

    fn add(
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
            face,
            published: None,
            logger: None,
            pipe,
        };
        self.slots.insert(id, slot);
        id
    }

    /// Gives service `id` its logger, if its directory now has one and it has none yet; or takes
    /// it away, if the directory no longer has one.
    fn add_logger(&mut self, id: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(origin) = &slot.origin else { return };
        let dir = origin.dir.join("log");
        match (slot.logger, directory::is_service(&dir)) {
            (None, true) => {
                let name = format!("{}/log", slot.service.name);
                let started = directory::read(&dir, &name).and_then(|service| {
                    let pipe = LogPipe::new().on("make", "a log pipe")?;
                    Ok((service, Supervise::open(&dir)?, pipe))
                });
                match started {
                    Ok((service, face, pipe)) => {
                        let auto = service.auto;
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
    fn drain(&mut self, logger: u32) {
        if let Some(pipe) = self.slots.get_mut(&logger).and_then(|slot| slot.pipe.as_mut()) {
            pipe.close_writer();
        }
        self.dispatch(logger, None, Event::Drain);
    }

    // --- events and actions

    /// Hands one event to a machine (of spawn number `run`, or of the present one), and does what
    /// it answers, until nothing is left to do.
    fn dispatch(&mut self, id: u32, run: Option<u32>, event: Event) {
        let mut events = VecDeque::from([(run, event)]);
        let mut ended = None;
        let Some(old) = self.slots.get(&id).map(|slot| slot.machine.deadline) else { return };
        while let Some((run, event)) = events.pop_front() {
            let at = Moment { now: Instant::now(), jitter: self.jitter.next() };
            let Some(slot) = self.slots.get_mut(&id) else { return };
            let before = slot.machine.state;
            let run = run.unwrap_or(slot.machine.run);
            if let Event::Exited(exit) = event
                && before != State::Finishing
                && !(slot.machine.was_asked() || slot.machine.want == Want::Down)
            {
                ended = Some(exit);
            }
            for action in slot.machine.step(&slot.service, run, event, at) {
                events.extend(self.act(id, action));
            }
        }
        self.arm(id, old);
        self.settle(id, ended);
    }

    /// Does what a machine wants; the answer, if it waits for one.
    fn act(&mut self, id: u32, action: Action) -> Option<(Option<u32>, Event)> {
        match action {
            Action::Spawn(what) => {
                if what == What::Run {
                    self.refresh(id);
                }
                let run = self.slots.get(&id)?.machine.run;
                let event = match self.spawn(id, what) {
                    Ok(pid) => {
                        self.pids.insert(pid, id);
                        Event::Spawned(pid)
                    }
                    Err(error) => {
                        self.complain(id, error);
                        Event::SpawnFailed
                    }
                };
                Some((Some(run), event))
            }
            // One that has just ended cannot be signalled, and need not be.
            Action::Signal(pid, signal) => {
                let _ = signal::kill(pid, signal);
                None
            }
            Action::KillGroup(pid) => {
                let _ = signal::kill_group(pid, Signal::KILL);
                None
            }
            Action::Ended(code) => {
                if self.shutdown.is_none() {
                    self.code = code;
                    self.ask_to_stop();
                }
                None
            }
        }
    }

    /// Reads a service's directory again, before a start.
    fn refresh(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(origin) = &slot.origin else { return };
        match directory::read(&origin.dir, &slot.service.name) {
            Ok(service) => {
                slot.service = service;
                self.add_logger(id);
            }
            // Without `run` it is the exec that fails, with the same words.
            Err(error) if error.is_not_found() => {}
            Err(error) => self.complain(id, error),
        }
    }

    fn spawn(&self, id: u32, what: What) -> Result<Pid> {
        let lost = || Error::NotFound("nothing to start".into());
        let slot = self.slots.get(&id).ok_or_else(lost)?;
        let logger = slot.logger.and_then(|logger| self.slots.get(&logger));
        let streams = Streams {
            stdin: slot.pipe.as_ref().map(LogPipe::reader),
            stdout: logger.and_then(|logger| logger.pipe.as_ref()).and_then(LogPipe::writer),
        };
        let run = slot.machine.run;
        match what {
            What::Run => self.spawner.spawn(&slot.service.run, streams, id, run),
            What::Finish(exit, group) => {
                let finish = slot.service.finish.as_ref().ok_or_else(lost)?;
                let mut exec: Exec = finish.exec.clone();
                let name = &slot.service.name;
                exec.argv.extend(finish_arguments(finish.arguments, exit, group, name));
                self.spawner.spawn(&exec, streams, id, run)
            }
        }
    }

    /// Moves the deadline of service `id` to where its machine now has it.
    fn arm(&mut self, id: u32, old: Option<Instant>) {
        let new = self.slots.get(&id).and_then(|slot| slot.machine.deadline);
        // One that was due has left the set: put it back, if it still stands.
        self.event_loop.arm(Timer::Service(id), old.filter(|_| old != new), None);
        self.event_loop.arm(Timer::Service(id), None, new);
    }

    /// Shows what has become of service `id`, and removes it if it is gone. `ended` is how its run
    /// ended, if that is to be told.
    fn settle(&mut self, id: u32, ended: Option<Exit>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let machine = &slot.machine;
        let mut text = ended.filter(|_| slot.origin.is_some() || slot.pipe.is_some()).map(describe);
        if let (State::Backoff, Some(deadline)) = (machine.state, machine.deadline) {
            let wait = deadline.saturating_duration_since(Instant::now()).as_millis();
            if text.is_some() || slot.published.is_some_and(|status| status.pid.is_some()) {
                let ended = text.unwrap_or_else(|| "finished".into());
                text = Some(format!(
                    "{ended}; start {} in {wait} ms",
                    machine.tries.saturating_add(1)
                ));
            }
        }
        if let Some(text) = text {
            say(&format!("{}: {text}", slot.service.name));
        }
        slot.publish();
        if slot.machine.state == State::Gone {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u32) {
        let Some(slot) = self.slots.remove(&id) else { return };
        if let Some(face) = &slot.face {
            self.event_loop.unwatch(face.control());
        }
        if let Some(logger) = slot.logger {
            self.drain(logger);
        }
        for other in self.slots.values_mut().filter(|other| other.logger == Some(id)) {
            other.logger = None;
        }
        // Its directory may be there again, or still.
        if slot.origin.is_some() && self.shutdown.is_none() {
            self.look_later(Instant::now());
        }
    }

    fn complain(&self, id: u32, error: Error) {
        let name = self.slots.get(&id).map(|slot| slot.service.name.clone()).unwrap_or_default();
        let told: Result<()> =
            if self.main == Some(id) { Err(error) } else { Err(error).doing(|| name) };
        if let Err(error) = told {
            say_error(&error);
        }
    }
}

impl Slot {
    /// Writes the status file, if it would say something new.
    fn publish(&mut self) {
        let Some(face) = &self.face else { return };
        let machine = &self.machine;
        let mut status = Status {
            since: SystemTime::now(),
            pid: machine.pid,
            paused: machine.paused,
            want: match machine.want {
                Want::Up => b'u',
                Want::Down => b'd',
                Want::Once => 0,
            },
            told: machine.told,
            phase: match machine.state {
                State::Up | State::Stopping => Phase::Run,
                State::Finishing => Phase::Finish,
                _ => Phase::Down,
            },
        };
        if let Some(old) = &self.published {
            if (old.pid, old.phase) == (status.pid, status.phase) {
                status.since = old.since;
            }
            if *old == status {
                return;
            }
        }
        self.published = Some(status);
        match face.publish(&status) {
            // Its directory was removed: nobody is left to read it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => say_error(&Error::os("write status of", self.service.name.clone(), e)),
            Ok(()) => {}
        }
    }
}

fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(number) => match Signal::from_number(number) {
            Some(signal) => format!("ended by {signal}"),
            None => format!("ended by signal {number}"),
        },
    }
}

/// What `finish` is called with after its name.
fn finish_arguments(family: FinishArguments, exit: Exit, group: Pid, name: &str) -> Vec<CString> {
    let none = match family {
        FinishArguments::Runit => -1,
        FinishArguments::S6 => 256,
    };
    let (code, signal) = match exit {
        Exit::Code(code) => (code, 0),
        Exit::Signal(signal) => (none, signal),
    };
    let mut arguments = vec![code.to_string(), signal.to_string()];
    if family == FinishArguments::S6 {
        arguments.extend([name.to_string(), group.to_string()]);
    }
    arguments.into_iter().filter_map(|text| CString::new(text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finish_is_told_as_runit_and_s6_tell_it() {
        let words = |family, exit| -> Vec<String> {
            let group = Pid::from_raw(77).unwrap();
            let arguments = finish_arguments(family, exit, group, "web");
            arguments.into_iter().map(|text| text.into_string().unwrap()).collect()
        };
        assert_eq!(words(FinishArguments::Runit, Exit::Code(3)), ["3", "0"]);
        assert_eq!(words(FinishArguments::Runit, Exit::Signal(9)), ["-1", "9"]);
        assert_eq!(words(FinishArguments::S6, Exit::Code(3)), ["3", "0", "web", "77"]);
        assert_eq!(words(FinishArguments::S6, Exit::Signal(15)), ["256", "15", "web", "77"]);
    }
}
