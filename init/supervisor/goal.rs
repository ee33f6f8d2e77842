//! Whether what somebody waits for has come, or can never come. Pure.

use crate::face::request::Aim;
use crate::machine::State;
use crate::policy;
use std::time::{Duration, Instant};

/// A service that is ready at once has been started only if it lives for that long: by then its
/// program has been executed, or not.
const SETTLED: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// It was started more often than that, and is ready.
    Started(u32),
    Stopped,
    Wait(Aim),
}

/// How a service stands, as far as that matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub state: State,
    pub since: Instant,
    pub starts: u32,
    pub oneshot: bool,
    /// It is ready as soon as it is started.
    pub at_once: bool,
    /// Blocked by what nobody is about to change.
    pub hopeless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Reached,
    /// Nor will it be, unless somebody does something about it.
    Never,
    Wait,
    /// To be judged again then.
    Until(Instant),
}

pub fn judge(goal: Goal, standing: &Standing, now: Instant) -> Verdict {
    let Standing { state, since, starts, oneshot, at_once, hopeless } = *standing;
    let idle = matches!(state, State::Down | State::Done | State::Failed | State::Gone);
    match (goal, state) {
        (Goal::Stopped | Goal::Wait(Aim::Down), _) if idle => Verdict::Reached,
        (Goal::Stopped | Goal::Wait(Aim::Down), _) => Verdict::Wait,

        (_, State::Failed | State::Gone) => Verdict::Never,
        (_, State::Blocked) if hopeless => Verdict::Never,

        (Goal::Started(before), State::Up) if starts > before => {
            let settled = policy::after(since, SETTLED);
            if at_once && settled > now { Verdict::Until(settled) } else { Verdict::Reached }
        }
        (Goal::Started(before), State::Done) if starts > before => Verdict::Reached,
        (Goal::Started(before), State::Backoff) if starts > before => Verdict::Never,
        (Goal::Started(_), State::Down) => Verdict::Never,

        (Goal::Wait(Aim::Ready), State::Up) => Verdict::Reached,
        (Goal::Wait(Aim::Ready), State::Done) if oneshot => Verdict::Reached,
        (Goal::Wait(Aim::Done), State::Done) => Verdict::Reached,
        _ => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(state: State, starts: u32) -> Standing {
        let since = Instant::now();
        Standing { state, since, starts, oneshot: false, at_once: false, hopeless: false }
    }

    #[test]
    fn a_start_is_over_when_it_is_ready_or_has_failed() {
        let now = Instant::now();
        let judge = |state, starts| judge(Goal::Started(1), &standing(state, starts), now);
        for (state, starts, verdict) in [
            (State::Up, 1, Verdict::Wait),
            (State::Up, 2, Verdict::Reached),
            (State::Starting, 2, Verdict::Wait),
            (State::Stopping, 1, Verdict::Wait),
            (State::Finishing, 2, Verdict::Wait),
            (State::Backoff, 2, Verdict::Never),
            (State::Backoff, 1, Verdict::Wait),
            (State::Blocked, 1, Verdict::Wait),
            (State::Done, 2, Verdict::Reached),
            (State::Failed, 2, Verdict::Never),
            (State::Down, 1, Verdict::Never),
            (State::Gone, 1, Verdict::Never),
        ] {
            assert_eq!(judge(state, starts), verdict, "{state:?} {starts}");
        }
    }

    #[test]
    fn one_that_is_ready_at_once_has_to_last_a_moment() {
        let up = Standing { at_once: true, ..standing(State::Up, 1) };
        let settled = up.since + SETTLED;
        assert_eq!(judge(Goal::Started(0), &up, up.since), Verdict::Until(settled));
        assert_eq!(judge(Goal::Started(0), &up, settled), Verdict::Reached);
        assert_eq!(judge(Goal::Wait(Aim::Ready), &up, up.since), Verdict::Reached);
    }

    #[test]
    fn whoever_waits_is_told_what_can_never_be() {
        let now = Instant::now();
        for (aim, state, verdict) in [
            (Aim::Ready, State::Down, Verdict::Wait),
            (Aim::Ready, State::Backoff, Verdict::Wait),
            (Aim::Ready, State::Done, Verdict::Wait),
            (Aim::Ready, State::Failed, Verdict::Never),
            (Aim::Down, State::Failed, Verdict::Reached),
            (Aim::Down, State::Up, Verdict::Wait),
            (Aim::Down, State::Gone, Verdict::Reached),
            (Aim::Done, State::Done, Verdict::Reached),
            (Aim::Done, State::Up, Verdict::Wait),
            (Aim::Done, State::Gone, Verdict::Never),
        ] {
            let given = judge(Goal::Wait(aim), &standing(state, 1), now);
            assert_eq!(given, verdict, "{aim:?} {state:?}");
        }
        let blocked = Standing { hopeless: true, ..standing(State::Blocked, 0) };
        assert_eq!(judge(Goal::Wait(Aim::Ready), &blocked, now), Verdict::Never);
        let oneshot = Standing { oneshot: true, ..standing(State::Done, 1) };
        assert_eq!(judge(Goal::Wait(Aim::Ready), &oneshot, now), Verdict::Reached);
    }
}
