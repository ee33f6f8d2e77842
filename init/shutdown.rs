//! The ordered stop: its phases and their limits. Pure; the hands are in `supervisor`.
//!
//! 1. `InOrder`: every service but the loggers is told to stop, each once those that need it have
//!    ended; and so is every stranger (orphans and their descendants). Over when none is left.
//! 2. `Writers`: half their time is over, so whoever was not told yet is told, whatever the order:
//!    nobody is to be killed unheard.
//! 3. `WritersKilled`: their time is over, they were killed.
//! 4. `Loggers`: nobody writes any more; loggers read to the end of their pipes and end by
//!    themselves.
//! 5. `LoggersTold`: they did not, and were sent TERM.
//! 6. `LoggersKilled`: nor then, and were killed.
//!
//! The whole lasts at most the stop timeout, of which a second (or a quarter, if less) is kept for
//! the loggers where there are any. After a KILL, what the kernel does not let die (a process in
//! uninterruptible sleep) is waited for a fifth of a second, then left behind.

use crate::policy::after;
use crate::sorted::Set;
use coracle::types::Pid;
use std::time::{Duration, Instant};

const FOR_LOGGERS: Duration = Duration::from_secs(1);
const AFTER_KILL: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    InOrder,
    Writers,
    WritersKilled,
    Loggers,
    LoggersTold,
    LoggersKilled,
    Over,
}

#[derive(Debug)]
pub struct Shutdown {
    phase: Phase,
    until: Instant,
    for_loggers: Duration,
    end: Instant,
    /// Strangers that were sent TERM.
    pub told: Set<Pid>,
}

impl Shutdown {
    pub fn begin(now: Instant, timeout: Duration, loggers: bool) -> Shutdown {
        let quarter = timeout.checked_div(4).unwrap_or_default();
        let for_loggers = if loggers { FOR_LOGGERS.min(quarter) } else { Duration::ZERO };
        let for_writers = timeout.saturating_sub(for_loggers);
        Shutdown {
            phase: Phase::InOrder,
            until: after(now, for_writers.checked_div(2).unwrap_or_default()),
            for_loggers,
            end: after(now, timeout),
            told: Set::new(),
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When the phase has lasted long enough.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Someone asked again: the present phase is over, and so is every order.
    pub fn hurry(&mut self, now: Instant) {
        self.phase = self.phase.max(Phase::Writers);
        self.until = now;
        self.end = self.end.min(after(now, self.for_loggers));
    }

    /// Nobody of the present phase is left: on to the loggers, or to the end.
    pub fn complete(&mut self, now: Instant) -> Phase {
        if self.phase < Phase::Loggers {
            self.enter(Phase::Loggers, now)
        } else {
            self.enter(Phase::Over, now)
        }
    }

    /// The time of the present phase is up: the next one.
    pub fn expire(&mut self, now: Instant) -> Phase {
        let next = match self.phase {
            Phase::InOrder => Phase::Writers,
            Phase::Writers => Phase::WritersKilled,
            Phase::WritersKilled => Phase::Loggers,
            Phase::Loggers => Phase::LoggersTold,
            Phase::LoggersTold => Phase::LoggersKilled,
            Phase::LoggersKilled | Phase::Over => Phase::Over,
        };
        self.enter(next, now)
    }

    fn enter(&mut self, phase: Phase, now: Instant) -> Phase {
        let half = self.for_loggers.checked_div(2).unwrap_or_default();
        self.phase = phase;
        self.until = match phase {
            Phase::Writers => self.end.checked_sub(self.for_loggers).unwrap_or(now),
            // Loggers that get their turn early have all the time that is left.
            Phase::Loggers => self.end.checked_sub(half).unwrap_or(now).max(after(now, half)),
            Phase::LoggersTold => self.end.max(after(now, half)),
            _ => after(now, AFTER_KILL),
        };
        phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_deaf_are_killed_in_turn_within_the_timeout() {
        let start = Instant::now();
        let mut s = Shutdown::begin(start, ms(8000), true);
        assert_eq!((s.phase(), s.until()), (Phase::InOrder, start + ms(3500)));
        assert_eq!(s.expire(start + ms(3500)), Phase::Writers);
        assert_eq!(s.until(), start + ms(7000));
        assert_eq!(s.expire(start + ms(7000)), Phase::WritersKilled);
        assert_eq!(s.complete(start + ms(7001)), Phase::Loggers);
        assert_eq!(s.until(), start + ms(7501));
        assert_eq!(s.expire(s.until()), Phase::LoggersTold);
        assert_eq!(s.until(), start + ms(8001));
        assert_eq!(s.expire(s.until()), Phase::LoggersKilled);
        assert_eq!(s.expire(s.until()), Phase::Over);
    }

    #[test]
    fn without_loggers_the_services_have_all_the_time() {
        let start = Instant::now();
        let mut s = Shutdown::begin(start, ms(300), false);
        assert_eq!(s.until(), start + ms(150));
        s.expire(start + ms(150));
        assert_eq!(s.until(), start + ms(300));
        assert_eq!(s.complete(start), Phase::Loggers);
        assert_eq!(s.complete(start), Phase::Over);
    }

    #[test]
    fn asking_again_ends_the_phase_and_leaves_the_loggers_their_share() {
        let start = Instant::now();
        let mut s = Shutdown::begin(start, ms(8000), true);
        s.hurry(start + ms(10));
        assert_eq!(s.until(), start + ms(10));
        assert_eq!(s.expire(start + ms(10)), Phase::WritersKilled);
        s.complete(start + ms(20));
        assert_eq!(s.until(), start + ms(520));
        s.hurry(start + ms(30));
        assert_eq!(s.expire(start + ms(30)), Phase::LoggersTold);
    }
}
