//! The life of one service: pure. Events in, actions out; no clock, no process, no descriptor.
//!
//! A machine has a *want* (what was asked for) and a *state* (what is). They differ for as long as
//! it takes to bring them together: a service that is wanted up while it is stopping starts again
//! once it has ended; one that is wanted down while its `finish` runs stays down after that.
//!
//! - `Down`: no process, and none wanted. `Done`: no process; it ran once and that was all.
//! - `Starting`: `run` is being spawned; lasts only until the hands answer.
//! - `Up`: `run` lives.
//! - `Stopping`: `run` lives and was told to end, or (`Drain`) will end by itself.
//! - `Finishing`: `run` has ended, `finish` lives.
//! - `Backoff`: no process; the next start comes at the deadline.
//! - `Gone`: no process, and never again: the service was forgotten.
//!
//! | state | event | next | actions |
//! |---|---|---|---|
//! | Down, Done | Want(Up/Once) | Starting | tries=0; Spawn(run) |
//! | Done, Backoff | Want(Down) | Down | |
//! | Backoff | Want(Up/Once), Deadline | Starting | Spawn(run) |
//! | Starting | Spawned(pid) | Up, or as Want(Down) in Up | |
//! | Starting | SpawnFailed | *decide* | |
//! | Up, Stopping | Want(Down) | Stopping | Stop signal + CONT; deadline if it has a limit |
//! | Up | Drain | Stopping, then Gone | |
//! | Up | Restart | Stopping, still wanted | as Want(Down) |
//! | Backoff | AtMostOnce | Done | |
//! | any other | AtMostOnce | same; Once, where it was wanted up | |
//! | Stopping | Want(Up/Once) | Stopping | |
//! | Stopping | Deadline | Stopping | KILL to the group |
//! | Up, Stopping | Exited(x) | Finishing, or *decide* if no finish | KILL to the rest of the group; Spawn(finish, x); deadline |
//! | Finishing | Exited, SpawnFailed | *decide*; with code 125 as if wanted Down | KILL to the rest of the group |
//! | Finishing | Deadline | Finishing | KILL to the group |
//! | Up, Stopping | ExecFailed(code) | same | its exit will count as that code |
//! | Up, Stopping | Signal, Pause, Continue | same | Signal to the leader, or to its group where the service says so |
//! | with a process | Kill | same | KILL to the group |
//! | any | Forget | as Want(Down), then Gone | |
//!
//! *decide*, in this order: forgotten -> Gone; want Down -> Down; want Once, or never restarted ->
//! Done, and Ended(code) where that stops the container; `run` was healthy or ended because
//! someone asked for a signal -> Starting at once; else tries+1 and Backoff.
//!
//! Every spawn has a number of its own (`run`); an event of another one changes nothing, nor does
//! a Deadline that is not due.
//! A run is healthy once it has lasted `policy::HEALTHY`: that is looked up when it ends, so no
//! timer is needed for it.

use crate::policy;
use crate::service::{OnEnd, Reach, RestartWhen, Service};
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
    Starting,
    Up,
    Stopping,
    Finishing,
    Backoff,
    Done,
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Want(Want),
    Spawned(Pid),
    SpawnFailed,
    /// `run` could not be executed; it will exit, and should have exited with this code.
    ExecFailed(u8),
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
    /// Signal the process of this number.
    Signal(Pid, Signal),
    /// Signal the process group of this number.
    SignalGroup(Pid, Signal),
    /// The service is not started again, as its `finish` says.
    GaveUp,
    /// The service ended with this code, and the container with it.
    Ended(u8),
}

/// What the shell around the machine knows at the time of an event.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    /// Any number, a fresh one each time.
    pub jitter: u32,
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
    started: Option<Instant>,
    /// The run that ended had lasted long enough.
    healthy: bool,
    /// Someone asked for a signal that may have ended this run.
    signalled: bool,
    exec_failure: Option<u8>,
    last_code: u8,
    forgotten: bool,
}

impl Machine {
    /// Whether a process lives or a start is to come.
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Down | State::Done | State::Gone)
    }

    /// Whether someone asked for what may have ended this run.
    pub fn was_asked(&self) -> bool {
        self.told || self.signalled
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
            started: None,
            healthy: false,
            signalled: false,
            exec_failure: None,
            last_code: 0,
            forgotten: false,
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
                    Up => self.state = Stopping,
                    Down | Done | Backoff => self.rest(Gone),
                    _ => {}
                }
            }

            (Backoff, Event::AtMostOnce) => self.rest(Done),
            (_, Event::AtMostOnce) if self.want == Want::Up => self.want = Want::Once,
            (Up, Event::Restart) => self.stop(service, at, actions),

            (Starting, Event::Spawned(pid)) => {
                self.pid = Some(pid);
                self.state = Up;
                if self.want == Want::Down {
                    self.stop(service, at, actions);
                }
            }
            (Finishing, Event::Spawned(pid)) => {
                self.pid = Some(pid);
                let limit = service.finish.as_ref().and_then(|finish| finish.limit);
                self.deadline = limit.map(|limit| policy::after(at.now, limit));
            }
            (Starting, Event::SpawnFailed) => {
                self.last_code = 111;
                self.decide(service, at, actions);
            }
            (Finishing, Event::SpawnFailed) => self.decide(service, at, actions),

            (Up | Stopping, Event::ExecFailed(code)) => self.exec_failure = Some(code),
            (Up | Stopping, Event::Exited(exit)) => self.ended(service, exit, at, actions),
            (Finishing, Event::Exited(exit)) => {
                actions.extend(self.kill());
                self.pid = None;
                if exit == policy::PERMANENT && self.want != Want::Down {
                    self.want = Want::Down;
                    actions.push(Action::GaveUp);
                }
                self.decide(service, at, actions);
            }

            (Backoff, Event::Deadline) => self.start(at, actions),
            (Stopping | Finishing, Event::Deadline) => {
                self.deadline = None;
                actions.extend(self.kill());
            }
            (_, Event::Kill) => actions.extend(self.kill()),

            (Up | Stopping, Event::Signal(signal)) => {
                self.signalled = true;
                actions.extend(self.signal(service, signal));
            }
            (Up | Stopping, Event::Pause) => {
                self.paused = true;
                actions.extend(self.signal(service, Signal::STOP));
            }
            (Up | Stopping, Event::Continue) => self.resume(service, actions),
            _ => {}
        }
    }

    fn want(&mut self, want: Want, service: &Service, at: Moment, actions: &mut Vec<Action>) {
        if self.forgotten && want != Want::Down {
            return;
        }
        self.want = want;
        match (self.state, want) {
            (State::Down | State::Done | State::Backoff, Want::Up | Want::Once) => {
                self.tries = 0;
                self.start(at, actions);
            }
            (State::Done | State::Backoff, Want::Down) => self.rest(State::Down),
            (State::Up | State::Stopping, Want::Down) => self.stop(service, at, actions),
            _ => {}
        }
    }

    fn start(&mut self, at: Moment, actions: &mut Vec<Action>) {
        self.rest(State::Starting);
        self.run = self.run.wrapping_add(1);
        self.started = Some(at.now);
        self.told = false;
        self.signalled = false;
        self.healthy = false;
        self.exec_failure = None;
        actions.push(Action::Spawn(What::Run));
    }

    fn stop(&mut self, service: &Service, at: Moment, actions: &mut Vec<Action>) {
        self.state = State::Stopping;
        self.told = true;
        if self.deadline.is_none() {
            let limit = service.stop.limit;
            self.deadline = limit.map(|limit| policy::after(at.now, limit));
        }
        actions.extend(self.signal(service, service.stop.signal));
        self.resume(service, actions);
    }

    fn resume(&mut self, service: &Service, actions: &mut Vec<Action>) {
        self.paused = false;
        actions.extend(self.signal(service, Signal::CONT));
    }

    fn signal(&self, service: &Service, signal: Signal) -> Option<Action> {
        self.pid.map(|pid| match service.reach {
            Reach::Leader => Action::Signal(pid, signal),
            Reach::Group => Action::SignalGroup(pid, signal),
        })
    }

    fn kill(&self) -> Option<Action> {
        self.pid.map(|pid| Action::SignalGroup(pid, Signal::KILL))
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
        self.last_code = self.exec_failure.unwrap_or(policy::exit_code(exit));
        let exit = match self.exec_failure {
            Some(code) => Exit::Code(i32::from(code)),
            None => exit,
        };
        let lasted = self.started.map(|start| at.now.saturating_duration_since(start));
        self.healthy = lasted.is_some_and(|time| time >= policy::HEALTHY);
        let Some(pid) = self.pid else { return };
        if service.on_end == OnEnd::Ignore {
            actions.extend(self.kill());
        }
        if service.finish.is_some() {
            self.rest(State::Finishing);
            self.run = self.run.wrapping_add(1);
            actions.push(Action::Spawn(What::Finish(exit, pid)));
        } else {
            self.decide(service, at, actions);
        }
    }

    fn decide(&mut self, service: &Service, at: Moment, actions: &mut Vec<Action>) {
        if self.forgotten {
            return self.rest(State::Gone);
        }
        if self.want == Want::Once || service.restart.when == RestartWhen::Never {
            self.rest(if self.want == Want::Down { State::Down } else { State::Done });
            if service.on_end == OnEnd::StopContainer {
                actions.push(Action::Ended(self.last_code));
            }
            return;
        }
        if self.want == Want::Down {
            return self.rest(State::Down);
        }
        if self.healthy || self.was_asked() {
            self.tries = 0;
            return self.start(at, actions);
        }
        self.tries = self.tries.saturating_add(1);
        self.rest(State::Backoff);
        let wait = policy::backoff(self.tries, at.jitter);
        self.deadline = Some(policy::after(at.now, wait));
    }
}

#[cfg(test)]
mod tests;
