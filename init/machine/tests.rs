//! The table of the machine line by line, then random orders of events against what must always
//! hold.

use super::*;
use crate::policy::Jitter;
use crate::service::{Exec, Finish, FinishArguments, Reach, Stop};
use std::time::Duration;

mod program;

fn exec(name: &std::ffi::CStr) -> Exec {
    Exec::new(vec![name.into()])
}

fn daemon() -> Service {
    Service::new("web", exec(c"./run"))
}

fn with_finish() -> Service {
    let finish = Finish {
        exec: exec(c"./finish"),
        arguments: FinishArguments::Runit,
        limit: Some(Duration::from_secs(5)),
    };
    Service { finish: Some(Box::new(finish)), ..daemon() }
}

fn command() -> Service {
    let mut service = daemon();
    service.restart.when = RestartWhen::Never;
    service.on_end = OnEnd::StopContainer;
    service
}

/// One that is ready when it says so, within 9 seconds.
fn slow() -> Service {
    let limit = Some(Duration::from_secs(9));
    Service { ready: Ready::Notify, ready_limit: limit, ..daemon() }
}

fn oneshot() -> Service {
    let mut service = Service { kind: Kind::Oneshot, ..daemon() };
    service.restart.when = RestartWhen::OnFailure;
    service
}

/// One that is stopped by a command.
fn by_command() -> Service {
    let mut service = daemon();
    service.stop.command = Some(Box::new(exec(c"./stop")));
    service
}

fn pid(n: i32) -> Pid {
    Pid::from_raw(n).unwrap()
}

/// A machine with its service and a clock that only the test moves.
struct Bench {
    service: Service,
    machine: Machine,
    now: Instant,
    clear: bool,
}

impl Bench {
    fn new(service: Service) -> Bench {
        Bench { service, machine: Machine::new(), now: Instant::now(), clear: true }
    }

    fn up(service: Service) -> Bench {
        let mut bench = Bench::new(service);
        assert_eq!(bench.give(Event::Want(Want::Up)), [Action::Spawn(What::Run)]);
        assert_eq!(bench.give(Event::Spawned(pid(7))), []);
        assert_eq!(bench.machine.state, State::Up);
        bench
    }

    /// Gives an event, a deadline when it is due.
    fn give(&mut self, event: Event) -> Vec<Action> {
        if event == Event::Deadline {
            self.now = self.machine.deadline.unwrap();
        }
        let at = Moment { now: self.now, jitter: 0, clear: self.clear };
        self.machine.step(&self.service, self.machine.run, event, at)
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// How far off the deadline is.
    fn wait(&self) -> Option<u128> {
        self.machine.deadline.map(|at| (at - self.now).as_millis())
    }
}

const KILLED: Event = Event::Exited(Exit::Signal(9));

#[test]
fn a_healthy_service_is_back_at_once() {
    let mut b = Bench::up(daemon());
    b.pass(1000);
    assert_eq!(
        b.give(KILLED),
        [Action::SignalGroup(pid(7), Signal::KILL), Action::Spawn(What::Run)]
    );
    assert_eq!((b.machine.state, b.machine.tries), (State::Starting, 0));
}

#[test]
fn a_crash_loop_waits_longer_each_time_until_a_healthy_run() {
    let mut b = Bench::up(daemon());
    let mut waits = Vec::new();
    for _ in 0..9 {
        b.give(Event::Exited(Exit::Code(1)));
        assert_eq!(b.machine.state, State::Backoff);
        waits.push(b.wait().unwrap());
        assert_eq!(b.give(Event::Deadline), [Action::Spawn(What::Run)]);
        assert_eq!(b.machine.deadline, None);
        b.give(Event::Spawned(pid(7)));
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000]);
    b.pass(5000);
    b.give(KILLED);
    b.give(Event::Spawned(pid(7)));
    b.give(KILLED);
    assert_eq!(b.wait(), Some(100));
}

#[test]
fn a_signal_that_was_asked_for_is_no_crash() {
    let mut b = Bench::up(daemon());
    let term = Action::Signal(pid(7), Signal::TERM);
    assert_eq!(b.give(Event::Signal(Signal::TERM)), [term]);
    b.give(Event::Exited(Exit::Signal(15)));
    assert_eq!(b.machine.state, State::Starting);
    b.give(Event::Spawned(pid(8)));
    b.give(KILLED);
    assert_eq!(b.machine.state, State::Backoff);
}

#[test]
fn a_signal_for_the_group_goes_to_the_group() {
    let mut b = Bench::up(Service { reach: Reach::Group, ..command() });
    let to_group = |signal| Action::SignalGroup(pid(7), signal);
    assert_eq!(b.give(Event::Signal(Signal::HUP)), [to_group(Signal::HUP)]);
    assert_eq!(b.give(Event::Pause), [to_group(Signal::STOP)]);
    let stop = [to_group(Signal::TERM), to_group(Signal::CONT)];
    assert_eq!(b.give(Event::Want(Want::Down)), stop);
}

#[test]
fn down_is_term_and_cont_and_stays_down() {
    let mut b = Bench::up(daemon());
    let stop = [Action::Signal(pid(7), Signal::TERM), Action::Signal(pid(7), Signal::CONT)];
    assert_eq!(b.give(Event::Want(Want::Down)), stop);
    assert_eq!((b.machine.state, b.wait()), (State::Stopping, None));
    // Asked again, told again.
    assert_eq!(b.give(Event::Want(Want::Down)), stop);
    assert_eq!(b.give(Event::Exited(Exit::Code(0))), [Action::SignalGroup(pid(7), Signal::KILL)]);
    assert_eq!((b.machine.state, b.machine.pid), (State::Down, None));
    assert_eq!(b.give(Event::Want(Want::Down)), []);
    assert_eq!(b.give(Event::Want(Want::Up)), [Action::Spawn(What::Run)]);
}

#[test]
fn a_deaf_service_with_a_limit_is_killed_and_one_without_is_not() {
    let mut service = daemon();
    service.stop.limit = Some(Duration::from_millis(300));
    let mut b = Bench::up(service);
    b.give(Event::Want(Want::Down));
    assert_eq!(b.wait(), Some(300));
    b.pass(100);
    // Asking again does not give it more time.
    b.give(Event::Want(Want::Down));
    assert_eq!(b.wait(), Some(200));
    assert_eq!(b.give(Event::Deadline), [Action::SignalGroup(pid(7), Signal::KILL)]);
    assert_eq!(b.machine.deadline, None);
    b.give(KILLED);
    assert_eq!(b.machine.state, State::Down);
}

#[test]
fn up_while_stopping_starts_again_after_the_end() {
    let mut b = Bench::up(daemon());
    b.give(Event::Want(Want::Down));
    assert_eq!(b.give(Event::Want(Want::Up)), []);
    assert_eq!(b.machine.state, State::Stopping);
    assert_eq!(
        b.give(Event::Exited(Exit::Code(0))),
        [Action::SignalGroup(pid(7), Signal::KILL), Action::Spawn(What::Run)]
    );
}

#[test]
fn once_is_not_restarted() {
    let mut b = Bench::new(daemon());
    assert_eq!(b.give(Event::Want(Want::Once)), [Action::Spawn(What::Run)]);
    b.give(Event::Spawned(pid(7)));
    b.pass(9000);
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Done);
    b.give(Event::Want(Want::Down));
    assert_eq!(b.machine.state, State::Down);
}

#[test]
fn finish_runs_after_each_end_and_before_the_next_start() {
    let mut b = Bench::up(with_finish());
    b.pass(2000);
    let finish = What::Finish(Exit::Signal(9), pid(7));
    assert_eq!(b.give(KILLED), [Action::SignalGroup(pid(7), Signal::KILL), Action::Spawn(finish)]);
    b.give(Event::Spawned(pid(8)));
    assert_eq!((b.machine.state, b.wait()), (State::Finishing, Some(5000)));
    assert_eq!(
        b.give(Event::Exited(Exit::Code(0))),
        [Action::SignalGroup(pid(8), Signal::KILL), Action::Spawn(What::Run)]
    );
}

#[test]
fn a_hung_finish_is_killed_and_a_missing_one_is_skipped() {
    let mut b = Bench::up(with_finish());
    b.give(KILLED);
    b.give(Event::Spawned(pid(8)));
    assert_eq!(b.give(Event::Deadline), [Action::SignalGroup(pid(8), Signal::KILL)]);
    b.give(KILLED);
    assert_eq!(b.machine.state, State::Backoff);
    let mut b = Bench::up(with_finish());
    b.give(KILLED);
    assert_eq!(b.give(Event::SpawnFailed), []);
    assert_eq!(b.machine.state, State::Backoff);
}

#[test]
fn down_during_finish_and_back_off_means_down() {
    let mut b = Bench::up(with_finish());
    b.give(KILLED);
    b.give(Event::Spawned(pid(8)));
    assert_eq!(b.give(Event::Want(Want::Down)), []);
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Down);
    let mut b = Bench::up(daemon());
    b.give(KILLED);
    b.give(Event::Want(Want::Down));
    assert_eq!((b.machine.state, b.machine.deadline), (State::Down, None));
}

#[test]
fn up_in_back_off_starts_at_once() {
    let mut b = Bench::up(daemon());
    b.give(KILLED);
    assert_eq!(b.give(Event::Want(Want::Up)), [Action::Spawn(What::Run)]);
    assert_eq!(b.machine.tries, 0);
}

#[test]
fn pause_and_continue() {
    let mut b = Bench::up(daemon());
    assert_eq!(b.give(Event::Pause), [Action::Signal(pid(7), Signal::STOP)]);
    assert!(b.machine.paused);
    assert_eq!(b.give(Event::Continue), [Action::Signal(pid(7), Signal::CONT)]);
    assert!(!b.machine.paused);
    b.give(Event::Pause);
    b.give(Event::Want(Want::Down));
    assert!(!b.machine.paused);
}

#[test]
fn a_command_ends_everything_with_its_code_and_its_group_lives_on() {
    let mut b = Bench::up(command());
    assert_eq!(b.give(Event::Exited(Exit::Code(42))), [Action::Ended(42)]);
    let mut b = Bench::up(command());
    assert_eq!(b.give(Event::Exited(Exit::Signal(15))), [Action::Ended(143)]);
    let mut b = Bench::up(command());
    assert_eq!(b.give(Event::ExecFailed(126)), []);
    assert_eq!(b.give(Event::Exited(Exit::Code(127))), [Action::Ended(126)]);
    let mut b = Bench::new(command());
    b.give(Event::Want(Want::Up));
    assert_eq!(b.give(Event::SpawnFailed), [Action::Ended(111)]);
}

#[test]
fn what_cannot_be_started_is_tried_again_later() {
    let mut b = Bench::new(daemon());
    b.give(Event::Want(Want::Up));
    assert_eq!(b.give(Event::SpawnFailed), []);
    assert_eq!((b.machine.state, b.wait()), (State::Backoff, Some(100)));
}

#[test]
fn a_deadline_that_is_not_due_changes_nothing() {
    let mut b = Bench::up(daemon());
    b.give(KILLED);
    let (before, at) = (b.machine.clone(), Moment { now: b.now, jitter: 0, clear: true });
    assert_eq!(b.machine.step(&b.service, before.run, Event::Deadline, at), []);
    assert_eq!(b.machine, before);
}

#[test]
fn an_event_of_another_spawn_changes_nothing() {
    let mut b = Bench::up(daemon());
    let before = b.machine.clone();
    let at = Moment { now: b.now, jitter: 0, clear: true };
    for event in [KILLED, Event::ExecFailed(127), Event::Deadline, Event::Spawned(pid(9))] {
        let other = b.machine.run.wrapping_sub(1);
        assert_eq!(b.machine.step(&b.service, other, event, at), []);
        assert_eq!(b.machine, before);
    }
}

#[test]
fn the_forgotten_end_and_never_come_back() {
    let mut b = Bench::up(with_finish());
    assert_eq!(b.give(Event::Forget).len(), 2);
    b.give(Event::Want(Want::Up));
    b.give(Event::Exited(Exit::Code(0)));
    b.give(Event::Spawned(pid(8)));
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Gone);
    assert_eq!(b.give(Event::Want(Want::Up)), []);
    let mut b = Bench::new(daemon());
    b.give(Event::Forget);
    assert_eq!(b.machine.state, State::Gone);
}

#[test]
fn a_drained_logger_may_read_on_and_is_not_restarted() {
    let mut b = Bench::up(daemon());
    let on = b.give(Event::Drain);
    assert!(matches!(on[..], [Action::Signal(_, Signal::CONT)]), "{on:?}");
    assert_eq!(b.machine.state, State::Stopping);
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Gone);
    let mut b = Bench::up(daemon());
    b.give(KILLED);
    b.give(Event::Drain);
    assert_eq!((b.machine.state, b.machine.deadline), (State::Gone, None));
}

// --- random orders

/// The world around one machine, as the kernel and the hands would behave.
struct World {
    bench: Bench,
    alive: Vec<Pid>,
    next: i32,
}

impl World {
    /// Gives an event, does what the machine answers, and checks what must always hold.
    fn give(&mut self, event: Event, random: &mut Jitter) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.bench.give(event) {
                match action {
                    Action::Spawn(_) => {
                        assert!(self.alive.is_empty(), "a second copy, after {event:?}");
                        if random.next().is_multiple_of(8) {
                            events.push(Event::SpawnFailed);
                        } else {
                            self.next += 1;
                            self.alive.push(pid(self.next));
                            events.push(Event::Spawned(pid(self.next)));
                        }
                    }
                    // The group of one that has just ended may be killed; the living die of it
                    // only when they are reaped.
                    Action::SignalGroup(..)
                    | Action::GaveUp(_)
                    | Action::StopCommand
                    | Action::Ended(_) => {}
                    Action::Signal(to, _) => assert_eq!(self.alive, [to], "after {event:?}"),
                }
            }
        }
        self.check(event);
    }

    fn check(&self, event: Event) {
        let m = &self.bench.machine;
        let text = format!("after {event:?}: {m:?}");
        assert_eq!(m.pid.is_some(), !self.alive.is_empty(), "a lost child {text}");
        assert_eq!(m.pid.as_slice(), self.alive, "{text}");
        // There is always a next step: a process whose end is awaited, a deadline, or rest.
        match m.state {
            State::Starting | State::Up | State::Stopping | State::Finishing => {
                assert!(m.pid.is_some(), "{text}")
            }
            State::Backoff => assert!(m.deadline.is_some() && m.want != Want::Down, "{text}"),
            State::Down => assert!(m.want == Want::Down && m.deadline.is_none(), "{text}"),
            State::Blocked => assert!(m.want != Want::Down && m.deadline.is_none(), "{text}"),
            State::Done => assert!(m.want != Want::Down && m.deadline.is_none(), "{text}"),
            State::Failed => assert!(m.deadline.is_none(), "{text}"),
            State::Gone => assert!(m.deadline.is_none(), "{text}"),
        }
    }
}

#[test]
fn whatever_the_order_there_is_one_copy_no_lost_child_and_a_next_step() {
    for seed in 1..=400 {
        let mut random = Jitter::new(seed);
        let kinds = [daemon(), with_finish(), command(), slow(), oneshot(), by_command()];
        let mut service = kinds[seed as usize % kinds.len()].clone();
        if seed % 5 == 0 {
            service.restart.give_up = Some((3, Duration::from_secs(9)));
        }
        if seed % 2 == 0 {
            service.stop.limit = Some(Duration::from_millis(300));
        }
        let mut world = World { bench: Bench::new(service), alive: Vec::new(), next: 1 };
        for _ in 0..500 {
            world.bench.pass(u64::from(random.next() % 700));
            let due = world.bench.machine.deadline.is_some_and(|at| at <= world.bench.now);
            world.bench.clear = !random.next().is_multiple_of(4);
            let event = match random.next() % 28 {
                24 if world.bench.clear => Event::Clear,
                25 => Event::Ready,
                26 => Event::Unhealthy,
                27 => [Event::Restart, Event::AtMostOnce][random.next() as usize % 2],
                0..=4 => Event::Want(Want::Up),
                5..=7 => Event::Want(Want::Down),
                8 => Event::Want(Want::Once),
                9 => Event::Signal(Signal::HUP),
                10 => Event::Pause,
                11 => Event::Continue,
                12 => Event::Kill,
                13 => Event::ExecFailed(127),
                14 if random.next().is_multiple_of(16) => Event::Forget,
                15 if random.next().is_multiple_of(16) => Event::Drain,
                _ if due => Event::Deadline,
                _ => match world.alive.pop() {
                    Some(_) => Event::Exited(Exit::Code(random.next() as i32 & 0xff)),
                    None => Event::Continue,
                },
            };
            world.give(event, &mut random);
        }
    }
}

#[test]
fn a_finish_that_exits_with_125_ends_the_restarts() {
    let mut b = Bench::up(with_finish());
    b.give(Event::Exited(Exit::Code(3)));
    b.give(Event::Spawned(pid(8)));
    let actions = b.give(Event::Exited(Exit::Code(125)));
    assert_eq!(
        actions,
        [Action::SignalGroup(pid(8), Signal::KILL), Action::GaveUp(Reason::Finish)]
    );
    assert_eq!((b.machine.state, b.machine.want), (State::Failed, Want::Down));
    // It can be asked for again.
    assert_eq!(b.give(Event::Want(Want::Up)), [Action::Spawn(What::Run)]);
}

#[test]
fn a_restart_stops_by_the_services_own_way_and_starts_at_once() {
    let limit = Some(Duration::from_secs(1));
    let stop = Stop { signal: Signal::INT, limit, ..Stop::default() };
    let mut b = Bench::up(Service { stop, ..daemon() });
    let told = [Action::Signal(pid(7), Signal::INT), Action::Signal(pid(7), Signal::CONT)];
    assert_eq!(b.give(Event::Restart), told);
    assert_eq!(b.machine.want, Want::Up);
    let actions = b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(actions, [Action::SignalGroup(pid(7), Signal::KILL), Action::Spawn(What::Run)]);
}

#[test]
fn at_most_once_starts_nothing_and_ends_with_the_run() {
    let mut b = Bench::new(daemon());
    assert_eq!(b.give(Event::AtMostOnce), []);
    assert_eq!(b.machine.state, State::Down);
    let mut b = Bench::up(daemon());
    assert_eq!(b.give(Event::AtMostOnce), []);
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Done);
}

#[test]
fn a_service_whose_needs_are_not_met_waits_for_them() {
    let mut b = Bench::new(daemon());
    b.clear = false;
    assert_eq!(b.give(Event::Want(Want::Up)), []);
    assert_eq!(b.machine.state, State::Blocked);
    b.clear = true;
    assert_eq!(b.give(Event::Clear), [Action::Spawn(What::Run)]);
    b.give(Event::Spawned(pid(7)));
    // And so does one that comes back from a crash.
    b.give(KILLED);
    b.clear = false;
    assert_eq!(b.give(Event::Deadline), []);
    assert_eq!(b.machine.state, State::Blocked);
    assert_eq!(b.give(Event::Want(Want::Down)), []);
    assert_eq!(b.machine.state, State::Down);
}

#[test]
fn readiness_makes_it_up_and_its_lack_a_bad_run() {
    let mut b = Bench::new(slow());
    b.give(Event::Want(Want::Up));
    b.give(Event::Spawned(pid(7)));
    assert_eq!((b.machine.state, b.wait()), (State::Starting, Some(9000)));
    assert_eq!(b.give(Event::Ready), []);
    assert_eq!((b.machine.state, b.wait()), (State::Up, None));
    b.pass(2000);
    b.give(KILLED);
    // A good run: the next one at once, and now it is not ready in time.
    b.give(Event::Spawned(pid(8)));
    let stop = [Action::Signal(pid(8), Signal::TERM), Action::Signal(pid(8), Signal::CONT)];
    assert_eq!(b.give(Event::Deadline), stop);
    assert_eq!((b.machine.state, b.machine.fault), (State::Stopping, Some(Fault::NotReady)));
    b.give(Event::Exited(Exit::Signal(15)));
    assert_eq!((b.machine.state, b.wait()), (State::Backoff, Some(100)));
}

#[test]
fn one_that_ends_before_it_was_ready_had_a_bad_run() {
    let mut b = Bench::new(slow());
    b.give(Event::Want(Want::Up));
    b.give(Event::Spawned(pid(7)));
    b.pass(5000);
    b.give(KILLED);
    assert_eq!(b.machine.state, State::Backoff);
}

#[test]
fn the_unhealthy_is_stopped_and_started_again_later() {
    let mut b = Bench::up(daemon());
    b.pass(60_000);
    assert_eq!(b.give(Event::Unhealthy).len(), 2);
    assert_eq!(b.machine.state, State::Stopping);
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!((b.machine.state, b.wait()), (State::Backoff, Some(100)));
}

#[test]
fn a_oneshot_is_done_after_code_0_and_tried_again_after_another() {
    let mut b = Bench::new(oneshot());
    b.give(Event::Want(Want::Up));
    b.give(Event::Spawned(pid(7)));
    assert_eq!(b.machine.state, State::Starting);
    b.pass(5000);
    b.give(Event::Exited(Exit::Code(1)));
    assert_eq!(b.machine.state, State::Backoff);
    b.give(Event::Deadline);
    b.give(Event::Spawned(pid(8)));
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Done);
    let mut service = oneshot();
    service.restart.when = RestartWhen::Never;
    let mut b = Bench::new(service);
    b.give(Event::Want(Want::Up));
    b.give(Event::Spawned(pid(7)));
    b.give(Event::Exited(Exit::Code(1)));
    assert_eq!(b.machine.state, State::Failed);
}

#[test]
fn too_many_bad_runs_in_the_window_are_enough() {
    let mut service = daemon();
    service.restart.give_up = Some((3, Duration::from_secs(10)));
    let mut b = Bench::up(service);
    let crash = |b: &mut Bench, after: u64| {
        b.pass(after);
        b.give(Event::Exited(Exit::Code(1)));
        let state = b.machine.state;
        if state == State::Backoff {
            b.give(Event::Deadline);
            b.give(Event::Spawned(pid(7)));
        }
        state
    };
    // Two bad runs, then a pause in which the window passes, then three.
    assert_eq!(crash(&mut b, 0), State::Backoff);
    assert_eq!(crash(&mut b, 0), State::Backoff);
    b.pass(20_000);
    b.give(KILLED);
    b.give(Event::Spawned(pid(7)));
    assert_eq!(crash(&mut b, 0), State::Backoff);
    assert_eq!(crash(&mut b, 0), State::Backoff);
    assert_eq!(crash(&mut b, 0), State::Failed);
    assert_eq!(b.machine.want, Want::Down);
}

#[test]
fn a_permanent_exit_code_ends_the_restarts() {
    let mut service = daemon();
    service.restart.permanent = vec![78];
    let mut b = Bench::up(service);
    let actions = b.give(Event::Exited(Exit::Code(78)));
    assert_eq!(actions[1..], [Action::GaveUp(Reason::Permanent)]);
    assert_eq!(b.machine.state, State::Failed);
}

#[test]
fn a_stop_command_takes_the_place_of_the_signal() {
    let mut b = Bench::up(by_command());
    let stop = [Action::StopCommand, Action::Signal(pid(7), Signal::CONT)];
    assert_eq!(b.give(Event::Want(Want::Down)), stop);
}

#[test]
fn on_failure_means_not_after_code_0() {
    let mut service = daemon();
    service.restart.when = RestartWhen::OnFailure;
    let mut b = Bench::up(service.clone());
    b.give(Event::Exited(Exit::Code(0)));
    assert_eq!(b.machine.state, State::Done);
    let mut b = Bench::up(service);
    b.give(Event::Exited(Exit::Code(1)));
    assert_eq!(b.machine.state, State::Backoff);
}
