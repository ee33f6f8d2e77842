//! The one process that supervises all: events go to the machines, their actions to the hands.
//!
//! Each service has a slot, by a number that is never used again; a logger is a service like any
//! other whose slot holds the pipe it reads. `services` makes slots come and go, `order` starts and
//! stops them in the order of the graph, `watch` asks whether they are ready and healthy, `stop`
//! does the ordered stop.

mod goal;
mod input;
mod listeners;
mod main_log;
mod order;
mod output;
mod programs;
mod query;
mod report;
mod rpc;
mod services;
mod slot;
mod stop;
mod tail;
mod watch;

pub use self::programs::Instead;
use self::programs::Programs;
use self::query::Desk;
use self::slot::{Asked, By, Slot, describe, finish_arguments};
use self::stop::End;
use self::tail::Tail;
use self::watch::Helper;
use crate::applets::FAILED;
use crate::command::Command;
use crate::dialect::directory;
use crate::dialect::options::{self, OnSignal};
use crate::dialect::toml;
use crate::event_loop::{EventLoop, Source, Timer, Wake};
use crate::face::coxctl::Address;
use crate::graph::{Graph, Problem};
use crate::log::Router;
use crate::machine::{Action, Event, Fault, Moment, Reason, State, Want, What};
use crate::message::{say, say_error};
use crate::policy::{self, Jitter};
use crate::reap;
use crate::service::{Exec, Kind, LogTo, Ready, Service, Start};
use crate::shutdown::Shutdown;
use crate::sorted::{Map, Set};
use crate::sources::{Identity, Sources};
use crate::spawn::{Output, Spawner, Streams};
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::pidfd::Exit;
use coracle::sys::signal::{self, Received, SignalFd};
use coracle::sys::wait;
use coracle::types::{Pid, Signal};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// RTMIN+3, which systemd takes for a halt.
const HALT: i32 = 37;

/// What a signal does unless something else is said.
fn usual(signal: Signal) -> OnSignal {
    match signal {
        Signal::TERM | Signal::INT | Signal::QUIT | Signal::PWR => OnSignal::Stop,
        Signal::HUP => OnSignal::Reload,
        Signal::ALRM => OnSignal::Rescan,
        Signal::USR2 => OnSignal::Reopen,
        Signal::USR1 | Signal::WINCH => OnSignal::Main,
        signal if signal.number() == HALT => OnSignal::Stop,
        _ => OnSignal::Ignore,
    }
}

/// Engines kill after 10 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// What the command line says about cox itself; and for what it leaves open, the files.
pub struct Options {
    pub stop_timeout: Option<Duration>,
    /// Whether this is PID 1 of its namespace.
    pub first: bool,
    pub mention: Mention,
    /// Whether the end of the only service is the end of all.
    pub sole: bool,
    /// Whether the last line on stderr is to say why cox ended.
    pub explain: bool,
    /// Where coxctl reaches it.
    pub socket: Address,
    /// Where what is sent to /dev/log goes, if cox is to receive it.
    pub dev_log: Option<LogTo>,
    /// What other signals do than is usual.
    pub signals: Vec<(Signal, OnSignal)>,
    /// Supervisor's configuration, and what the command line says instead of it.
    pub programs: Option<Instead>,
}

impl Options {
    /// Takes from a file what was left open.
    fn fill(&mut self, file: &options::Options) {
        self.stop_timeout = self.stop_timeout.or(file.stop_timeout);
        self.explain |= file.explain_exit.unwrap_or(false);
        if self.dev_log.is_none() {
            self.dev_log = file.dev_log.clone();
        }
        if let (Address::Default, Some(path)) = (&self.socket, &file.control) {
            self.socket = Address::At(path.clone());
        }
        self.signals.extend(file.signals.iter().copied());
    }
}

/// What is worth a line on stderr, besides what goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mention {
    /// Each end of a service that nobody asked for, and how long cox waits before the next start.
    pub ends: bool,
    /// The start and the end of the main service.
    pub main: bool,
    /// Each signal that is passed on to it.
    pub signals: bool,
    /// Each orphan that is reaped.
    pub orphans: bool,
}

pub struct Supervisor {
    options: Options,
    signals: SignalFd,
    spawner: Spawner,
    event_loop: EventLoop,
    slots: Map<u32, Box<Slot>>,
    pids: Map<Pid, u32>,
    /// Programs beside `run` and `finish`.
    helpers: Map<Pid, Helper>,
    next_id: u32,
    /// Of the event loop.
    turn: u32,
    graph: Graph,
    /// What is wrong with the graph, and was said.
    problems: Vec<Problem>,
    /// Names that the sources hold: one of these that is no service was left out for a fault.
    named: Set<String>,
    /// Services have come or gone since the graph was made.
    reorder: bool,
    /// Blocked services that may not be blocked any more.
    unblocked: Set<u32>,
    /// Services that are to be stopped so, once those that need them have gone.
    leaving: Map<u32, Event>,
    sources: Sources,
    /// What the services of directories wait for: the last of those that prepare the container.
    init: Option<Start>,
    router: Router,
    desk: Desk,
    programs: Programs,
    /// Who reads on in the logs of programs.
    tails: Vec<Tail>,
    /// When the sources are to be looked at.
    look_at: Option<Instant>,
    /// The service that signals are passed on to, and whose end is the end of all.
    main: Option<u32>,
    /// It is the only one: all signals are for it.
    is_alone: bool,
    jitter: Jitter,
    shutdown: Option<Shutdown>,
    /// The exit code, once a service has decided it.
    code: Option<u8>,
    end: End,
}

impl Supervisor {
    /// `sources` are files, and directories of service directories.
    pub fn new(
        mut options: Options,
        spawner: Spawner,
        sources: Vec<PathBuf>,
    ) -> Result<Supervisor> {
        let signals = SignalFd::new(signal::ALL).on("open", "a signal descriptor")?;
        let event_loop = EventLoop::new().on("start", "the event loop")?;
        let is_alone = sources.is_empty() && !options.sole && options.programs.is_none();
        let mut sources = Sources::new(sources)?;
        let mut configs = Vec::new();
        for path in sources.files.clone() {
            let config = toml::read(&path);
            options.fill(&config.options);
            for scan in &config.options.scan {
                if let Err(error) = sources.add(scan) {
                    say_error(&error);
                }
            }
            configs.push((path, config));
        }
        sources.start_watching();
        event_loop.watch(spawner.reports(), Source::Reports).on("watch", "reports")?;
        event_loop.watch(signals.as_fd(), Source::Signals).on("watch", "signals")?;
        if let Some(changes) = sources.changes() {
            event_loop.watch(changes, Source::Directories).on("watch", "directories")?;
        }
        let programs = match &options.programs {
            Some(instead) => Some((instead.path.clone(), programs::read(instead)?)),
            None => None,
        };
        let desk = Desk::open(options.socket.clone(), &event_loop);
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut supervisor = Supervisor {
            options,
            signals,
            spawner,
            event_loop,
            slots: Map::new(),
            pids: Map::new(),
            helpers: Map::new(),
            next_id: 0,
            turn: 0,
            graph: Graph::default(),
            problems: Vec::new(),
            named: Set::new(),
            reorder: false,
            unblocked: Set::new(),
            leaving: Map::new(),
            sources,
            router: Router::default(),
            desk,
            programs: Programs::default(),
            tails: Vec::new(),
            init: None,
            look_at: None,
            main: None,
            is_alone,
            jitter: Jitter::new(clock.subsec_nanos() ^ std::process::id()),
            shutdown: None,
            code: None,
            end: End::default(),
        };
        for (path, config) in configs {
            supervisor.take_over(path, config);
        }
        if let Some((path, config)) = programs {
            supervisor.take_programs(path, config);
        }
        Ok(supervisor)
    }

    /// Adds the one service in `dir`; its end is the end of all.
    pub fn add_only(&mut self, dir: PathBuf) -> Result<()> {
        let identity = Identity::of(&dir)?;
        let id = self.add_directory(&dir, identity)?;
        self.show(id);
        Ok(())
    }

    /// Adds the service that signals are for, and whose end is the end of all. It is started after
    /// all the others.
    pub fn add_main(&mut self, service: Service) {
        self.main = Some(self.add(service, None, None, None));
    }

    /// Supervises until it is told to stop, or a service ends it; the exit code, or what the next
    /// one starts programs with, if all is to begin anew.
    pub fn run(mut self) -> std::result::Result<u8, Spawner> {
        self.open_dev_log();
        self.begin();
        // Whoever is blocked in vain waits for a fault to be mended.
        let may_come = self.sources.has_scans() || self.programs.path.is_some();
        if !may_come && self.slots.keys().all(|id| self.is_blocked_in_vain(*id)) {
            say("nothing to start; add a service, or mend what cox check names");
            return Ok(FAILED);
        }
        loop {
            if self.advance_shutdown() {
                self.leave_programs();
                let code = self.code.unwrap_or(0);
                if self.programs.again && self.code.is_none() {
                    return Err(self.spawner);
                }
                if self.options.explain {
                    say(&self.end.explain(code));
                }
                return Ok(code);
            }
            let wakes = self.event_loop.wait();
            self.turn = self.turn.wrapping_add(1);
            for wake in wakes {
                self.take(wake);
                self.go_on();
                self.tell_clients();
            }
        }
    }

    fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Io(Source::Reports) => self.take_failures(),
            Wake::Io(Source::Signals) => {
                // Mostly there is one: then nothing is asked for a second time.
                let mut batch = [None; 4];
                while let Ok(more) = self.signals.read_some(&mut batch) {
                    batch.into_iter().flatten().for_each(|received| self.take_signal(received));
                    if !more {
                        break;
                    }
                }
            }
            Wake::Io(Source::Directories) => {
                if let Some(at) = self.sources.noticed(Instant::now()) {
                    self.look_later(at);
                }
            }
            Wake::Io(Source::Control(id)) => self.take_commands(id),
            Wake::Io(Source::Ready(id)) => self.take_ready(id),
            Wake::Io(Source::Notify(id)) => self.take_notices(id),
            Wake::Io(Source::Probe(id)) => self.connection_answered(id),
            Wake::Due(Timer::Probe(id)) => self.probe_is_due(id),
            Wake::Due(Timer::Service(id)) => self.dispatch(id, None, Event::Deadline),
            Wake::Due(Timer::Quiet) => {
                self.look_at = None;
                self.look();
            }
            Wake::Due(Timer::Shutdown) => self.expire_shutdown(),
            Wake::Io(Source::Output(..) | Source::Syslog | Source::Container(_))
            | Wake::Due(Timer::Output) => self.take_output(wake),
            Wake::Io(Source::Listener | Source::Connection(_))
            | Wake::Due(Timer::Connection(_)) => self.take_client(wake),
            Wake::Io(Source::Door(_) | Source::Client(_)) | Wake::Due(Timer::Client(_)) => {
                self.take_web(wake);
            }
            Wake::Io(Source::Input(id)) => {
                self.flush_input(id);
            }
            Wake::Io(Source::Ear(id)) => self.take_ear(id),
            Wake::Due(Timer::Tick) => self.tick(),
        }
    }

    fn take_signal(&mut self, Received { signal, sender }: Received) {
        if signal == Signal::CHLD {
            return self.reap(sender);
        }
        // SIGPIPE comes from our own writing to a stderr that nobody reads.
        if signal == Signal::PIPE && sender == std::process::id() {
            return;
        }
        let other = self.options.signals.iter().find(|(other, _)| *other == signal);
        // A limit that was asked for holds for a command alone too; without, it is waited for.
        let limited = signal == Signal::TERM && self.options.stop_timeout.is_some();
        let unsaid = || if self.is_alone && !limited { OnSignal::Main } else { usual(signal) };
        match (other.map_or_else(unsaid, |(_, action)| *action), self.main) {
            (OnSignal::Main, Some(main)) if self.shutdown.is_none() => {
                if self.options.mention.signals {
                    say(&format!("passing on {signal}"));
                }
                self.dispatch(main, None, Event::Signal(signal));
            }
            // Of the command alone, once it is stopping: those that mean it are for cox.
            (OnSignal::Main, Some(_)) if usual(signal) == OnSignal::Stop => {
                self.ask_to_stop(&format!("asked to stop by {signal}"));
            }
            (OnSignal::Stop, _) => {
                self.programs.again = false;
                self.ask_to_stop(&format!("asked to stop by {signal}"));
            }
            (OnSignal::Reload, _) if self.programs.path.is_some() => self.hang_up(),
            (OnSignal::Reload, _) => self.reload(),
            (OnSignal::Rescan, _) => self.look(),
            (OnSignal::Reopen, _) => self.router.reopen(),
            (OnSignal::Main | OnSignal::Ignore, _) => {}
        }
    }

    fn take_commands(&mut self, id: u32) {
        let face = self.slots.get(&id).and_then(|slot| slot.face.as_ref());
        let Some(face) = face else { return };
        let (commands, more) = face.commands();
        if more {
            self.event_loop.again(face.control(), Source::Control(id));
        }
        for command in commands {
            self.command(id, command, By::Control);
        }
    }

    /// Does what somebody asks of a service.
    fn command(&mut self, id: u32, command: Command, by: By) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let (Some(dir), Some(wanted)) = (slot.dir(), command.down_file())
            && let Err(error) = directory::set_down(dir, wanted)
        {
            say_error(&error);
        }
        // During the stop nothing comes back up; and a logger goes only with its writer.
        let event = command.event();
        if self.shutdown.is_some() || slot.pipe.is_some() && event == Event::Forget {
            return;
        }
        slot.history.asked = Some(Box::new(Asked { by, wish: command.wish(), at: Instant::now() }));
        match event {
            Event::Want(Want::Down) | Event::Forget => self.want_down(id, event),
            Event::Want(want) => self.want_up(id, want),
            _ => self.dispatch(id, None, event),
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
            let source = std::io::Error::from_raw_os_error(failure.errno);
            let code = policy::exec_failure_code(&source);
            if let Some(slot) = self.slots.get_mut(&failure.id) {
                slot.note_exec_failure(&source);
            }
            self.complain(failure.id, error);
            self.dispatch(failure.id, Some(failure.run), Event::ExecFailed(code));
        }
    }

    /// Reaps all that have ended. `told` is the one that the signal was of: if it is an orphan, it
    /// need not be looked at before.
    fn reap(&mut self, told: u32) {
        let mention = self.options.mention;
        if let Some(pid) = i32::try_from(told).ok().and_then(Pid::from_raw)
            && !mention.orphans
            && !self.pids.contains_key(&pid)
            && !self.helpers.contains_key(&pid)
        {
            // Refused where it was reaped with another, or was no child of ours.
            let _ = wait::reap(pid);
        }
        reap::drain(|pid, exit| {
            if let Some(id) = self.pids.remove(&pid) {
                // Why it ended, if it could not be executed, was written before it did.
                self.take_failures();
                self.router.ended(id, &mut self.event_loop);
                self.close_ear(id);
                self.close_input(id);
                if mention.main && self.main == Some(id) {
                    say(&format!("process {pid} {}", describe(exit)));
                }
                self.dispatch(id, None, Event::Exited(exit));
            } else if let Some(helper) = self.helpers.remove(&pid) {
                self.helper_ended(pid, helper, exit);
            } else if mention.orphans {
                say(&format!("reaped the orphan {pid}, which {}", describe(exit)));
            }
        });
    }

    /// Hands one event to a machine (of spawn number `run`, or of the present one), and does what
    /// it answers, until nothing is left to do.
    fn dispatch(&mut self, id: u32, run: Option<u32>, event: Event) {
        let mut events = VecDeque::from([(run, event)]);
        let mut ended = None;
        let mut died = None;
        let mut changed = false;
        let Some(old) = self.slots.get(&id).map(|slot| slot.machine.deadline) else { return };
        while let Some((run, event)) = events.pop_front() {
            let clear = self.is_clear(id);
            let at = Moment { now: Instant::now(), jitter: self.jitter.next(), clear };
            let Some(slot) = self.slots.get_mut(&id) else { return };
            let before = slot.machine.state;
            let run = run.unwrap_or(slot.machine.run);
            if let (Event::Exited(exit), false) = (event, before == State::Finishing) {
                slot.history.ended_at = programs::unix_time();
                // A finish looks at the tally; the next run need not wait for the disk.
                match slot.service.finish {
                    Some(_) => slot.ended(exit),
                    None => died = Some(exit),
                }
                if self.main == Some(id) && self.shutdown.is_some() {
                    self.code.get_or_insert(policy::exit_code(exit));
                }
                let wanted = slot.machine.was_asked() || slot.machine.want == Want::Down;
                let done = slot.service.kind == Kind::Oneshot && exit == Exit::Code(0);
                ended = (!wanted && !done).then_some(exit).or(ended);
            }
            let actions = slot.machine.step(&slot.service, run, event, at);
            let kill = |action: &Action| {
                let (Action::SignalGroup(_, signal) | Action::Signal(_, signal)) = action else {
                    return false;
                };
                *signal == Signal::KILL
            };
            if self.shutdown.is_some()
                && matches!(event, Event::Kill | Event::Deadline)
                && actions.iter().any(kill)
            {
                self.end.services.insert(slot.service.name.clone());
            }
            // Before what comes of it.
            if slot.service.member.is_some() && slot.machine.state != before {
                self.note_program(id, before, event);
            }
            for action in actions {
                events.extend(self.act(id, action));
            }
            changed |= self.note_change(id, before, event, at.now);
        }
        self.arm(id, old);
        if let (Some(exit), Some(slot)) = (died, self.slots.get_mut(&id)) {
            slot.ended(exit);
        }
        self.settle(id, ended);
        if changed {
            self.unblock_after(id);
        }
    }

    /// Does what a machine wants; the answer, if it waits for one.
    fn act(&mut self, id: u32, action: Action) -> Option<(Option<u32>, Event)> {
        match action {
            Action::Spawn(what) => {
                if what == What::Run {
                    self.refresh(id);
                }
                let slot = self.slots.get_mut(&id)?;
                if what == What::Run {
                    slot.history.starts = slot.history.starts.saturating_add(1);
                    slot.history.gave_up = None;
                    slot.history.started_at = programs::unix_time();
                    slot.history.spawn_error = None;
                }
                let run = slot.machine.run;
                let event = match self.spawn(id, what) {
                    Ok(pid) => {
                        self.pids.insert(pid, id);
                        self.note_spawned(id, pid);
                        if self.options.mention.main && self.main == Some(id) {
                            let name = self.slots.get(&id).map(|slot| slot.service.name.as_str());
                            say(&format!("started {} as process {pid}", name.unwrap_or_default()));
                        }
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
            // One that has only just been cloned has no group yet: what it is sent waits for it.
            Action::SignalGroup(pid, signal) => {
                let _ = signal::kill_group(pid, signal).or_else(|_| signal::kill(pid, signal));
                None
            }
            Action::StopCommand => self.run_stop_command(id).map(|event| (None, event)),
            Action::GaveUp(reason) => {
                let slot = self.slots.get_mut(&id)?;
                let why = match reason {
                    Reason::Finish => "its finish gave up on it",
                    Reason::Permanent => "it ended with a permanent exit code",
                    Reason::TooMany if slot.service.restart.retries.is_some() => {
                        "it ended too often before it had started"
                    }
                    Reason::TooMany => "it ended too often",
                };
                slot.history.gave_up = Some(why);
                say(&format!("{}: stays down: {why}", slot.service.name));
                None
            }
            Action::Ended(code) => {
                self.stop_with(id, code);
                None
            }
        }
    }

    /// Service `id` ends everything, with this exit code.
    fn stop_with(&mut self, id: u32, code: u8) {
        let Some(slot) = self.slots.get(&id) else { return };
        let name = &slot.service.name;
        let ended = match (slot.healthy, slot.machine.last) {
            (Some(false), _) => "is unhealthy".into(),
            (_, Some(exit)) => describe(exit),
            (_, None) => "could not be started".into(),
        };
        let why = match self.main {
            Some(main) if main == id => format!("the command {name} {ended}"),
            _ => format!("service {name} {ended} (on-end = stop)"),
        };
        if self.shutdown.is_none() {
            self.code = Some(code);
            self.ask_to_stop(&why);
        }
    }

    fn spawn(&mut self, id: u32, what: What) -> Result<Pid> {
        let lost = || Error::not_found("nothing to start");
        let (channel, input, ear) = match what {
            What::Run => {
                self.prepare_output(id)?;
                (self.open_channel(id)?, self.open_input(id)?, self.open_ear(id)?)
            }
            What::Finish(..) => (None, None, None),
        };
        let slot = self.slots.get(&id).ok_or_else(lost)?;
        let notification = match (&slot.service.ready, &channel) {
            (Ready::Descriptor(number), Some(writer)) => Some((writer.as_fd(), *number)),
            _ => None,
        };
        let mut streams = Streams { notification, ..self.streams(id) };
        if let Some(input) = &input {
            streams.stdin = Some(input.as_fd());
        }
        if let Some(ear) = &ear {
            streams.stdout = Output::Fd(ear.as_fd());
        }
        let run = slot.machine.run;
        match what {
            What::Run if let Some(member) = &slot.service.member => {
                let exec = programs::introduce(member, &slot.service.run);
                self.spawner.spawn(&exec, streams, id, run)
            }
            What::Run => match slot.notify_address() {
                None => self.spawner.spawn(&slot.service.run, streams, id, run),
                Some(address) => {
                    let mut exec = slot.service.run.clone();
                    exec.env.push(("NOTIFY_SOCKET".into(), Some(address)));
                    self.spawner.spawn(&exec, streams, id, run)
                }
            },
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
        // Shown before it is said: who reads the line finds the status.
        let had_process = slot.published.is_some_and(|status| status.pid.is_some());
        slot.publish();
        let machine = &slot.machine;
        let fault = match machine.fault {
            Some(Fault::NotReady) if ended.is_some() => "was not ready in time and ",
            Some(Fault::Unhealthy) if ended.is_some() => "was unhealthy and ",
            _ => "",
        };
        let mut text = ended
            .filter(|_| slot.origin.is_some() || slot.pipe.is_some())
            .map(|exit| format!("{fault}{}", describe(exit)));
        if let (State::Backoff, Some(deadline)) = (machine.state, machine.deadline) {
            let wait = deadline.saturating_duration_since(Instant::now());
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            if text.is_some() || had_process {
                let ended = text.unwrap_or_else(|| "finished".into());
                text = Some(format!(
                    "{ended}; start {} in {wait} ms",
                    machine.tries.saturating_add(1)
                ));
            }
        }
        if let Some(text) = text.filter(|_| self.options.mention.ends) {
            say(&format!("{}: {text}", slot.service.name));
        }
        if slot.machine.state == State::Gone {
            return self.remove(id);
        }
        self.watch_over(id);
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
