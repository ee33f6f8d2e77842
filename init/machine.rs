//! The life of one service: pure. Events in, actions out; no clock, no process, no descriptor.
//!
//! A machine has a *want* (what was asked for) and a *state* (what is). They differ for as long as
//! it takes to bring them together: a service that is wanted up while it is stopping starts again
//! once it has ended; one that is wanted down while its `finish` runs stays down after that.
//!
//! - `Down`: no process, and none wanted.
//! - `Blocked`: no process; it starts once the services that it waits for have had their turn.
//! - `Starting`: `run` is being spawned, or lives and is not ready yet. A oneshot stays here.
//! - `Up`: `run` lives and is ready.
//! - `Stopping`: `run` lives and was told to end, or (`Drain`) will end by itself.
//! - `Finishing`: `run` has ended, `finish` lives.
//! - `Backoff`: no process; the next start comes at the deadline.
//! - `Done`: no process; it ended as it should, and that was all.
//! - `Failed`: no process; it did not, and is not started again unless it is asked for.
//! - `Gone`: no process, and never again: the service was forgotten.
//!
//! | state | event | next | actions |
//! |---|---|---|---|
//! | Down, Done, Failed | Want(Up/Once) | *start* | tries=0 |
//! | Blocked | Clear | Starting | Spawn(run) |
//! | Done, Failed, Blocked, Backoff | Want(Down) | Down | |
//! | Backoff | Want(Up/Once), Deadline | *start* | |
//! | Starting | Spawned(pid) | Up, or Starting where readiness is to come; or as Want(Down) in Up | deadline if that has a limit |
//! | Starting | SpawnFailed | *decide* | |
//! | Starting | Ready | Up | |
//! | Starting | Deadline | Up where to last is to be ready; else Stopping, a bad run | as Want(Down) |
//! | Up | Unhealthy | Stopping, a bad run | as Want(Down) |
//! | Starting, Up, Stopping | Want(Down) | Stopping | Stop + CONT; deadline if it has a limit |
//! | Starting, Up | Drain | Stopping, then Gone | CONT |
//! | Starting, Up | Restart | Stopping, still wanted | as Want(Down) |
//! | Blocked, Backoff | AtMostOnce | Done | |
//! | any other | AtMostOnce | same; Once, where it was wanted up | |
//! | Stopping | Want(Up/Once) | Stopping | |
//! | Stopping | Deadline | Stopping | KILL to the group, or to the leader where the service says so |
//! | Starting, Up, Stopping | Exited(x) | Finishing, or *decide* if no finish | KILL to the rest of the group, but for such a service; Spawn(finish, x); deadline |
//! | Finishing | Exited, SpawnFailed | *decide*; code 125 is Failed | as after Exited in Up |
//! | Finishing | Deadline | Finishing | as in Stopping |
//! | Starting, Up, Stopping | ExecFailed(code) | same | its exit will count as that code |
//! | Starting, Up, Stopping | Signal, Pause, Continue | same | Signal to the leader, or to its group where the service says so |
//! | with a process | Kill | same | KILL to the group |
//! | any | Forget | as Want(Down), then Gone | |
//!
//! *start*: Blocked where the services it waits for have not had their turn; else Starting, Spawn(run).
//!
//! *decide*, in this order: forgotten -> Gone; want Down -> Down; its `finish` gave up on it, or the
//! code is a permanent one -> Failed; someone asked for what ended it, and it is wanted Up ->
//! *start*; a bad run where `retries` limits those -> tries+1 and Backoff, or Failed after the
//! last; want Once, never restarted, a oneshot or `on-failure` with an expected code -> Done, or
//! Failed after a bad end; a good run -> *start*; too many bad ones -> Failed; else tries+1 and
//! Backoff. Where `retries` says what is bad, a signal that someone sent asks for nothing, and no
//! end is bad. Done and Failed give Ended(code) where that stops the container.
//!
//! A run is a good one if it was ready and lasted `healthy_after`: that is looked up when it ends,
//! so no timer is needed for it, unless to last is to be ready. Every spawn has a number of its own (`run`); an event of another
//! one changes nothing, nor does a Deadline that is not due.

use crate::policy;
use crate::service::{Kind, OnEnd, Reach, Ready, RestartWhen, Service};
use coracle::sys::pidfd::Exit;
use coracle::types::{Pid, Signal};
use std::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    Up,
    Down,
    /// Up until it ends.
    Once,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Down,
    Blocked,
    Starting,
    Up,
    Stopping,
    Finishing,
    Backoff,
    Done,
    Failed,
    Gone,
}

impl State {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            State::Down => "down",
            State::Blocked => "blocked",
            State::Starting => "starting",
            State::Up => "up",
            State::Stopping => "stopping",
            State::Finishing => "finishing",
            State::Backoff => "waiting",
            State::Done => "done",
            State::Failed => "failed",
            State::Gone => "gone",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Want(Want),
    /// The services it waits for have had their turn.
    Clear,
    Spawned(Pid),
    SpawnFailed,
    /// `run` could not be executed; it will exit, and should have exited with this code.
    ExecFailed(u8),
    Ready,
    Unhealthy,
    Exited(Exit),
    /// The deadline has passed.
    Deadline,
    /// Not to be started again when it ends, nor now.
    AtMostOnce,
    /// Stop it, and start it again.
    Restart,
    Signal(Signal),
    Pause,
    Continue,
    /// Its input has ended: it will end by itself, and is not to be started again.
    Drain,
    Kill,
    Forget,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Run,
    /// With how `run` ended, and the process group it had.
    Finish(Exit, Pid),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// To be answered by `Spawned` or `SpawnFailed`, with the machine's present `run`.
    Spawn(What),
    /// Execute the service's stop command.
    StopCommand,
    /// Signal the process of this number.
    Signal(Pid, Signal),
    /// Signal the process group of this number.
    SignalGroup(Pid, Signal),
    /// The service has failed, and is not started again.
    GaveUp(Reason),
    /// The service ended with this code, and the container with it.
    Ended(u8),
}

/// Why a service is not started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its `finish` said so.
    Finish,
    /// It ended with one of its permanent exit codes.
    Permanent,
    /// Too many bad runs in too short a time.
    TooMany,
}

/// What was wrong with a run that cox itself ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    NotReady,
    Unhealthy,
}

/// What the shell around the machine knows at the time of an event.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    /// Any number, a fresh one each time.
    pub jitter: u32,
    /// Whether the services that this one waits for have had their turn.
    pub clear: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    pub want: Want,
    pub state: State,
    /// The number of the last spawn.
    pub run: u32,
    /// The process of `run` or `finish`.
    pub pid: Option<Pid>,
    pub paused: bool,
    /// `run` was told to stop since it was started.
    pub told: bool,
    /// Deaths in a row of a `run` that was not healthy.
    pub tries: u32,
    /// When `Event::Deadline` is due.
    pub deadline: Option<Instant>,
    /// How the last `run` ended.
    pub last: Option<Exit>,
    /// Why cox ended the present or last `run`, if that was its fault.
    pub fault: Option<Fault>,
    started: Option<Instant>,
    /// The run was ready at some time.
    ready: bool,
    /// The run that ended had lasted long enough.
    healthy: bool,
    /// Someone asked for a signal that may have ended this run.
    signalled: bool,
    exec_failure: Option<u8>,
    last_code: u8,
    forgotten: bool,
    /// The bad runs that count for giving up: how many, since when.
    bad: Option<(u32, Instant)>,
}

impl Machine {
    /// Whether a process lives or a start is to come.
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Down | State::Done | State::Failed | State::Gone)
    }

    /// Whether it is on its way out for good.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// Whether someone asked for what may have ended this run.
    pub fn was_asked(&self) -> bool {
        self.fault.is_none() && (self.told || self.signalled)
    }

    pub fn new() -> Machine {
        Machine {
            want: Want::Down,
            state: State::Down,
            run: 0,
            pid: None,
            paused: false,
            told: false,
            tries: 0,
            deadline: None,
            last: None,
            fault: None,
            started: None,
            ready: false,
            healthy: false,
            signalled: false,
            exec_failure: None,
            last_code: 0,
            forgotten: false,
            bad: None,
        }
    }

    /// Takes one event of spawn number `run`, and says what to do.
    pub fn step(&mut self, service: &Service, run: u32, event: Event, at: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        if run == self.run && self.state != State::Gone {
            self.take(service, event, at, &mut actions);
        }
        actions
    }

    fn take(&mut self, service: &Service, event: Event, at: Moment, actions: &mut Vec<Action>) {
        use State::*;
        match (self.state, event) {
            (_, Event::Deadline) if self.deadline.is_none_or(|deadline| deadline > at.now) => {}
            (_, Event::Want(want)) => self.want(want, service, at, actions),
            (_, Event::Forget) => {
                self.forgotten = true;
                self.want(Want::Down, service, at, actions);
                if self.state == Down {
                    self.state = Gone;
                }
            }
            (_, Event::Drain) => {
                self.forgotten = true;
                self.want = Want::Down;
                match self.state {
                    Starting | Up if self.pid.is_some() => {
                        self.state = Stopping;
                        self.deadline = None;
                        self.resume(service, actions);
                    }
                    Down | Blocked | Done | Failed | Backoff => self.rest(Gone),
                    _ => {}
                }
            }

            (Blocked, Event::Clear) => self.spawn(at, actions),
            (Blocked | Backoff, Event::AtMostOnce) => self.rest(Done),
            (_, Event::AtMostOnce) if self.want == Want::Up => self.want = Want::Once,
            (Starting | Up, Event::Restart) => self.stop(service, at, actions),

            (Starting, Event::Spawned(pid)) => {
                self.pid = Some(pid);
                if self.want == Want::Down {
                    self.stop(service, at, actions);
                } else if service.kind == Kind::Daemon && service.ready == Ready::Started {
                    self.is_ready();
                } else {
                    let limit = match service.ready {
                        Ready::Lasted => Some(service.restart.healthy_after),
                        _ => service.ready_limit,
                    };
                    self.deadline = limit.map(|limit| policy::after(at.now, limit));
                }
            }
            (Finishing, Event::Spawned(pid)) => {
                self.pid = Some(pid);
                let limit = service.finish.as_ref().and_then(|finish| finish.limit);
                self.deadline = limit.map(|limit| policy::after(at.now, limit));
            }
            (Starting, Event::SpawnFailed) => {
                self.last_code = 111;
                self.decide(service, at, None, actions);
            }
            (Finishing, Event::SpawnFailed) => self.decide(service, at, None, actions),

            (Starting, Event::Ready) if self.pid.is_some() => self.is_ready(),
            (Starting, Event::Deadline) if service.ready == Ready::Lasted => self.is_ready(),
            (Starting, Event::Deadline) => self.is_at_fault(Fault::NotReady, service, at, actions),
            (Up, Event::Unhealthy) => self.is_at_fault(Fault::Unhealthy, service, at, actions),

            (Starting | Up | Stopping, Event::ExecFailed(code)) => self.exec_failure = Some(code),
            (Starting | Up | Stopping, Event::Exited(exit)) => {
                self.ended(service, exit, at, actions)
            }
            (Finishing, Event::Exited(exit)) => {
                self.kill_rest(service, actions);
                self.pid = None;
                let permanent = (exit == policy::PERMANENT).then_some(Reason::Finish);
                self.decide(service, at, permanent, actions);
            }

            (Backoff, Event::Deadline) => self.start(at, actions),
            (Stopping | Finishing, Event::Deadline) => {
                self.deadline = None;
                actions.extend(self.to(service.stop.kill, Signal::KILL));
            }
            (_, Event::Kill) => actions.extend(self.to(Reach::Group, Signal::KILL)),

            (Starting | Up | Stopping, Event::Signal(signal)) => {
                self.signalled = true;
                actions.extend(self.to(service.reach, signal));
            }
            (Starting | Up | Stopping, Event::Pause) if self.pid.is_some() => {
                self.paused = true;
                actions.extend(self.to(service.reach, Signal::STOP));
            }
            (Starting | Up | Stopping, Event::Continue) => self.resume(service, actions),
            _ => {}
        }
    }

    fn want(&mut self, want: Want, service: &Service, at: Moment, actions: &mut Vec<Action>) {
        if self.forgotten && want != Want::Down {
            return;
        }
        self.want = want;
        match (self.state, want) {
            (State::Down | State::Done | State::Failed | State::Backoff, Want::Up | Want::Once) => {
                self.tries = 0;
                self.bad = None;
                self.start(at, actions);
            }
            (State::Done | State::Failed | State::Blocked | State::Backoff, Want::Down) => {
                self.rest(State::Down);
            }
            (State::Starting | State::Up | State::Stopping, Want::Down) => {
                self.stop(service, at, actions);
            }
            _ => {}
        }
    }

    fn start(&mut self, at: Moment, actions: &mut Vec<Action>) {
        if at.clear {
            self.spawn(at, actions);
        } else {
            self.rest(State::Blocked);
        }
    }

    fn spawn(&mut self, at: Moment, actions: &mut Vec<Action>) {
        self.rest(State::Starting);
        self.run = self.run.wrapping_add(1);
        self.started = Some(at.now);
        self.told = false;
        self.signalled = false;
        self.ready = false;
        self.healthy = false;
        self.fault = None;
        self.exec_failure = None;
        actions.push(Action::Spawn(What::Run));
    }

    fn is_ready(&mut self) {
        self.ready = true;
        self.deadline = None;
        self.state = State::Up;
    }

    /// Stops a run that does not do what it should.
    fn is_at_fault(
        &mut self,
        fault: Fault,
        service: &Service,
        at: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.fault = Some(fault);
        self.stop(service, at, actions);
    }

    /// Tells `run` to stop; one that is being spawned is told once it is there.
    fn stop(&mut self, service: &Service, at: Moment, actions: &mut Vec<Action>) {
        if self.pid.is_none() {
            return;
        }
        if self.state != State::Stopping {
            self.deadline = None;
        }
        self.state = State::Stopping;
        self.told = true;
        if self.deadline.is_none() {
            let limit = service.stop.limit;
            self.deadline = limit.map(|limit| policy::after(at.now, limit));
        }
        match service.stop.command {
            Some(_) => actions.push(Action::StopCommand),
            None => {
                let reach = service.stop.reach.unwrap_or(service.reach);
                actions.extend(self.to(reach, service.stop.signal));
            }
        }
        self.resume(service, actions);
    }

    fn resume(&mut self, service: &Service, actions: &mut Vec<Action>) {
        self.paused = false;
        actions.extend(self.to(service.reach, Signal::CONT));
    }

    fn to(&self, reach: Reach, signal: Signal) -> Option<Action> {
        self.pid.map(|pid| match reach {
            Reach::Leader => Action::Signal(pid, signal),
            Reach::Group => Action::SignalGroup(pid, signal),
        })
    }

    /// Ends what the leader has left of its group.
    fn kill_rest(&self, service: &Service, actions: &mut Vec<Action>) {
        if service.stop.kill == Reach::Group {
            actions.extend(self.to(Reach::Group, Signal::KILL));
        }
    }

    /// A state without process or deadline.
    fn rest(&mut self, state: State) {
        self.state = state;
        self.pid = None;
        self.paused = false;
        self.deadline = None;
    }

    /// `run` has ended.
    fn ended(&mut self, service: &Service, exit: Exit, at: Moment, actions: &mut Vec<Action>) {
        let Some(pid) = self.pid else { return };
        let exit = match self.exec_failure {
            Some(code) => Exit::Code(i32::from(code)),
            None => exit,
        };
        self.last = Some(exit);
        self.last_code = policy::exit_code(exit);
        let lasted = self.started.map(|start| at.now.saturating_duration_since(start));
        let long_enough = lasted.is_some_and(|time| time >= service.restart.healthy_after);
        let ready = self.ready || service.ready == Ready::Lasted;
        let faultless = self.fault.is_none() && self.exec_failure.is_none();
        self.healthy = ready && faultless && long_enough;
        if service.on_end != OnEnd::StopContainer {
            self.kill_rest(service, actions);
        }
        if service.finish.is_some() {
            self.rest(State::Finishing);
            self.run = self.run.wrapping_add(1);
            actions.push(Action::Spawn(What::Finish(exit, pid)));
        } else {
            self.decide(service, at, None, actions);
        }
    }

    /// What comes after the end of a run and its `finish`, which may have given up on it.
    fn decide(
        &mut self,
        service: &Service,
        at: Moment,
        permanent: Option<Reason>,
        actions: &mut Vec<Action>,
    ) {
        if self.forgotten {
            return self.rest(State::Gone);
        }
        if self.want == Want::Down {
            return self.rest(State::Down);
        }
        let code = self.last_code;
        let listed = service.restart.permanent.contains(&code).then_some(Reason::Permanent);
        if let Some(reason) = permanent.or(listed) {
            return self.give_up(reason, service, actions);
        }
        let restart = &*service.restart;
        let asked = self.was_asked() && (self.told || restart.retries.is_none());
        let told_again = asked && restart.retries.is_some();
        if asked && self.want == Want::Up && (restart.when != RestartWhen::Never || told_again) {
            self.tries = 0;
            return self.start(at, actions);
        }
        if let Some(most) = restart.retries.filter(|_| !self.healthy && self.want == Want::Up) {
            if self.tries >= most {
                return self.give_up(Reason::TooMany, service, actions);
            }
            return self.wait(service, at);
        }
        let expected = match (&restart.expected, self.last) {
            (None, _) => code == 0,
            (Some(codes), Some(Exit::Code(_))) => codes.contains(&code),
            (Some(_), _) => false,
        };
        let bad_end = !expected && !asked || self.fault.is_some();
        let over = match service.restart.when {
            RestartWhen::Always => service.kind == Kind::Oneshot && !bad_end,
            RestartWhen::OnFailure => !bad_end,
            RestartWhen::Never => true,
        };
        if over || self.want == Want::Once {
            let failed = bad_end && restart.retries.is_none();
            return self.end(if failed { State::Failed } else { State::Done }, service, actions);
        }
        if self.healthy {
            self.tries = 0;
            return self.start(at, actions);
        }
        if self.is_too_bad(service, at) {
            return self.give_up(Reason::TooMany, service, actions);
        }
        self.wait(service, at);
    }

    /// Waits for the next start after a bad run.
    fn wait(&mut self, service: &Service, at: Moment) {
        self.tries = self.tries.saturating_add(1);
        self.rest(State::Backoff);
        let wait = policy::backoff(&service.restart, self.tries, at.jitter);
        self.deadline = Some(policy::after(at.now, wait));
    }

    /// Counts a bad run; whether it was one too many.
    fn is_too_bad(&mut self, service: &Service, at: Moment) -> bool {
        let Some((most, window)) = service.restart.give_up else { return false };
        let recent =
            self.bad.filter(|(_, first)| at.now.saturating_duration_since(*first) <= window);
        let (count, first) = recent.unwrap_or((0, at.now));
        let count = count.saturating_add(1);
        self.bad = Some((count, first));
        count >= most
    }

    fn give_up(&mut self, reason: Reason, service: &Service, actions: &mut Vec<Action>) {
        actions.push(Action::GaveUp(reason));
        self.want = Want::Down;
        self.end(State::Failed, service, actions);
    }

    fn end(&mut self, state: State, service: &Service, actions: &mut Vec<Action>) {
        self.rest(state);
        let stops = match service.on_end {
            OnEnd::Ignore => false,
            OnEnd::StopContainer => true,
            OnEnd::StopIfFailed => state == State::Failed,
        };
        if stops {
            actions.push(Action::Ended(self.last_code));
        }
    }
}

#[cfg(test)]
mod tests;
