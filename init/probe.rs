//! Asking a service again and again whether it is ready, or whether it is still healthy: when to
//! ask, and what the answers mean. The hands are in `supervisor::watch`.
//!
//! Readiness is asked for at once, then after 20 ms, doubled each time up to half a second, until
//! the answer is yes. Health is asked for at the service's own interval, and so many times no in a
//! row mean that it has lost it.

use crate::policy;
use crate::service::Health;
use coracle::types::Pid;
use mio::net::TcpStream;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(500);
/// How long readiness may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Readiness,
    Health,
}

/// A question that is not answered yet.
#[derive(Debug)]
pub enum Asked {
    Connection(TcpStream),
    /// The process of a command, which leads its group.
    Program(Pid),
}

/// One series of questions.
#[derive(Debug)]
pub struct Probing {
    pub purpose: Purpose,
    /// The spawn that it is about.
    pub run: u32,
    since: Instant,
    /// Times no in a row.
    failures: u32,
    /// When the next question is due, or patience with the present one ends.
    pub due: Instant,
    pub asked: Option<Asked>,
}

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Ready,
    Healthy,
    /// It does not count yet.
    Wait,
    Unhealthy,
}

impl Probing {
    pub fn readiness(run: u32, now: Instant) -> Probing {
        let purpose = Purpose::Readiness;
        Probing { purpose, run, since: now, failures: 0, due: now, asked: None }
    }

    pub fn health(run: u32, health: &Health, now: Instant) -> Probing {
        let due = policy::after(now, health.interval);
        Probing { purpose: Purpose::Health, run, since: now, failures: 0, due, asked: None }
    }

    /// The question was asked: there is no answer after that time.
    pub fn ask(&mut self, asked: Asked, health: Option<&Health>, now: Instant) {
        self.asked = Some(asked);
        self.due = policy::after(now, health.map_or(PATIENCE, |health| health.timeout));
    }

    /// Whether nobody has answered with no yet.
    pub fn is_new(&self) -> bool {
        self.failures == 0
    }

    /// Takes the answer, and sets when the next question is due.
    pub fn answer(&mut self, yes: bool, health: Option<&Health>, now: Instant) -> Verdict {
        self.asked = None;
        let Some(health) = health.filter(|_| self.purpose == Purpose::Health) else {
            let doubled = FIRST.checked_mul(1u32.wrapping_shl(self.failures.min(16)));
            self.due = policy::after(now, doubled.unwrap_or(LONGEST).min(LONGEST));
            self.failures = self.failures.saturating_add(1);
            return if yes { Verdict::Ready } else { Verdict::Wait };
        };
        self.due = policy::after(now, health.interval);
        if yes {
            self.failures = 0;
            return Verdict::Healthy;
        }
        if now.saturating_duration_since(self.since) < health.grace {
            return Verdict::Wait;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= health.retries { Verdict::Unhealthy } else { Verdict::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{OnUnhealthy, Probe};

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn readiness_is_asked_for_less_and_less_often() {
        let start = Instant::now();
        let mut probing = Probing::readiness(1, start);
        assert_eq!(probing.due, start);
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(probing.answer(false, None, start), Verdict::Wait);
            waits.push((probing.due - start).as_millis());
        }
        assert_eq!(waits, [20, 40, 80, 160, 320, 500, 500]);
        assert_eq!(probing.answer(true, None, start), Verdict::Ready);
    }

    #[test]
    fn health_is_lost_after_so_many_failures_in_a_row_past_the_grace() {
        let health = Health {
            probe: Probe::File("/x".into()),
            interval: ms(100),
            timeout: ms(50),
            retries: 2,
            grace: ms(250),
            action: OnUnhealthy::Restart,
        };
        let start = Instant::now();
        let mut probing = Probing::health(1, &health, start);
        let mut verdicts = Vec::new();
        for (n, yes) in [false, false, false, true, false, false].into_iter().enumerate() {
            let now = start + ms(100) * (n as u32 + 1);
            assert_eq!(probing.due, now);
            verdicts.push(probing.answer(yes, Some(&health), now));
        }
        use Verdict::*;
        assert_eq!(verdicts, [Wait, Wait, Wait, Healthy, Wait, Unhealthy]);
    }
}
