//! Supervisor's policy: a run that does not last has not started.

use super::*;
use crate::service::Growth;

/// One that supervisor would have started: it has started once it has lasted a second, and may fail
/// to do so twice.
fn program() -> Service {
    let mut service = Service { ready: Ready::Lasted, ..daemon() };
    service.restart.when = RestartWhen::OnFailure;
    service.restart.retries = Some(1);
    service.restart.growth = Growth::Linear;
    service.restart.delay = Duration::from_secs(1);
    service.restart.expected = Some(vec![0, 2]);
    service.stop.kill = Reach::Leader;
    service
}

/// A machine that has been told to start, and lives as process 7.
fn started(service: &Service, now: Instant) -> Machine {
    let mut machine = Machine::new();
    let at = Moment { now, jitter: 0, clear: true };
    machine.step(service, machine.run, Event::Want(Want::Up), at);
    machine.step(service, machine.run, Event::Spawned(pid(7)), at);
    machine
}

#[test]
fn a_program_has_started_once_it_has_lasted() {
    let (service, now) = (program(), Instant::now());
    let mut machine = started(&service, now);
    assert_eq!(machine.state, State::Starting);
    assert_eq!(machine.deadline, Some(now + Duration::from_secs(1)));
    let later = Moment { now: now + Duration::from_secs(1), jitter: 0, clear: true };
    machine.step(&service, machine.run, Event::Deadline, later);
    assert_eq!((machine.state, machine.deadline), (State::Up, None));
    // A good end: it stays down, and counts as no failure whatever the code.
    let mut other = machine.clone();
    let actions = machine.step(&service, machine.run, Event::Exited(Exit::Code(2)), later);
    assert_eq!((machine.state, actions), (State::Done, vec![]));
    let actions = other.step(&service, other.run, Event::Exited(Exit::Code(1)), later);
    assert_eq!((other.state, actions), (State::Starting, vec![Action::Spawn(What::Run)]));
}

#[test]
fn a_program_that_does_not_last_is_tried_so_many_times() {
    let (service, now) = (program(), Instant::now());
    let at = Moment { now, jitter: 0, clear: true };
    let mut machine = started(&service, now);
    // Also with an expected code, and though nobody would start it again later.
    machine.step(&service, machine.run, Event::Exited(Exit::Code(0)), at);
    assert_eq!((machine.state, machine.tries), (State::Backoff, 1));
    assert_eq!(machine.deadline, Some(now + Duration::from_secs(1)));
    let later = Moment { now: now + Duration::from_secs(1), ..at };
    machine.step(&service, machine.run, Event::Deadline, later);
    machine.step(&service, machine.run, Event::Spawned(pid(8)), later);
    let actions = machine.step(&service, machine.run, Event::Exited(Exit::Code(3)), later);
    assert_eq!((machine.state, actions), (State::Failed, vec![Action::GaveUp(Reason::TooMany)]));
    // Asked again, it has all its tries again.
    machine.step(&service, machine.run, Event::Want(Want::Up), later);
    machine.step(&service, machine.run, Event::Spawned(pid(9)), later);
    machine.step(&service, machine.run, Event::Exited(Exit::Signal(9)), later);
    assert_eq!((machine.state, machine.tries), (State::Backoff, 1));
}

#[test]
fn a_signal_to_a_program_asks_for_nothing_but_a_restart_does() {
    let (service, now) = (program(), Instant::now());
    let mut up = started(&service, now);
    let later = Moment { now: now + Duration::from_secs(2), jitter: 0, clear: true };
    up.step(&service, up.run, Event::Deadline, later);
    let mut signalled = up.clone();
    signalled.step(&service, signalled.run, Event::Signal(Signal::TERM), later);
    signalled.step(&service, signalled.run, Event::Exited(Exit::Code(0)), later);
    assert_eq!(signalled.state, State::Done);
    up.step(&service, up.run, Event::Restart, later);
    let end = Event::Exited(Exit::Signal(15));
    let actions = up.step(&service, up.run, end, later);
    assert_eq!((up.state, actions), (State::Starting, vec![Action::Spawn(What::Run)]));
}

#[test]
fn the_kill_may_be_for_the_leader_alone() {
    let (service, now) = (program(), Instant::now());
    let limited = Service {
        stop: Stop { limit: Some(Duration::from_secs(1)), ..service.stop.clone() },
        ..service
    };
    let mut machine = started(&limited, now);
    let at = Moment { now, jitter: 0, clear: true };
    machine.step(&limited, machine.run, Event::Want(Want::Down), at);
    let later = Moment { now: now + Duration::from_secs(1), ..at };
    let actions = machine.step(&limited, machine.run, Event::Deadline, later);
    assert_eq!(actions, [Action::Signal(pid(7), Signal::KILL)]);
    assert_eq!(machine.step(&limited, machine.run, Event::Exited(Exit::Signal(9)), later), []);
}
