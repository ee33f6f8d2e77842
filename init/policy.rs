//! Rules with numbers in them: when to restart, which exit code. Pure.

use crate::service::{Growth, Restart};
use coracle::sys::pidfd::Exit;
use std::time::{Duration, Instant};

/// How a `finish` says that its service has failed for good (s6-supervise).
pub const PERMANENT: Exit = Exit::Code(125);

/// How long to wait before start number `tries` (from 1) of a crash loop: the service's first wait,
/// doubled each time up to its longest, less up to a quarter by `jitter` (any number, a fresh one
/// each time), so that services that crashed together do not start together for ever; or so many
/// times the first wait.
pub fn backoff(restart: &Restart, tries: u32, jitter: u32) -> Duration {
    if restart.growth == Growth::Linear {
        return restart.delay.saturating_mul(tries);
    }
    let doubled = 1u32
        .checked_shl(tries.saturating_sub(1))
        .filter(|factor| *factor != 0)
        .and_then(|factor| restart.delay.checked_mul(factor))
        .unwrap_or(restart.longest)
        .min(restart.longest);
    let thousandth = doubled.checked_div(1000).unwrap_or_default();
    let less = thousandth.saturating_mul(jitter.checked_rem(251).unwrap_or_default());
    doubled.saturating_sub(less)
}

/// Numbers for jitter (xorshift32, Marsaglia 2003). Not for secrets.
#[derive(Debug)]
pub struct Jitter(u32);

impl Jitter {
    pub fn new(seed: u32) -> Jitter {
        Jitter(seed.max(1))
    }

    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

#[cfg(test)]
impl Jitter {
    /// A number for tests, the same each time.
    pub fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit.max(1)
    }
}

/// The exit code of a process, as a shell tells it.
pub fn exit_code(exit: Exit) -> u8 {
    u8::try_from(exit.code()).unwrap_or(u8::MAX)
}

/// The exit code for a program that could not be executed: 127 where it is not there, else 126.
pub fn exec_failure_code(error: &std::io::Error) -> u8 {
    match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    }
}

/// `duration` after `now`.
pub fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::RestartPolicy;

    fn wait(tries: u32, jitter: u32) -> Duration {
        backoff(&RestartPolicy::default(), tries, jitter)
    }

    #[test]
    fn the_wait_doubles_up_to_ten_seconds() {
        let waits: Vec<_> = (1..=9).map(|n| wait(n, 0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000]);
        for tries in [0, 31, 32, 33, 1000, u32::MAX] {
            assert!(wait(tries, 0) <= Duration::from_secs(10));
            assert!(wait(tries, 0) >= Duration::from_millis(100));
        }
    }

    #[test]
    fn a_wait_may_grow_by_itself() {
        let mut restart = RestartPolicy::default();
        restart.growth = Growth::Linear;
        restart.delay = Duration::from_secs(1);
        let waits: Vec<_> = (1..=4).map(|n| backoff(&restart, n, 77).as_secs()).collect();
        assert_eq!(waits, [1, 2, 3, 4]);
        assert!(backoff(&restart, u32::MAX, 0) > Duration::from_secs(10));
    }

    #[test]
    fn jitter_takes_away_at_most_a_quarter() {
        for jitter in [0, 1, 250, 251, 12345, u32::MAX] {
            let less = wait(3, jitter);
            assert!(less <= wait(3, 0));
            assert!(less >= wait(3, 0) * 3 / 4, "{less:?}");
        }
        assert_ne!(wait(3, 1), wait(3, 2));
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(Exit::Code(0)), 0);
        assert_eq!(exit_code(Exit::Code(255)), 255);
        assert_eq!(exit_code(Exit::Signal(9)), 137);
        assert_eq!(exit_code(Exit::Signal(64)), 192);
        let code = |errno| exec_failure_code(&std::io::Error::from_raw_os_error(errno));
        assert_eq!((code(2), code(13), code(8)), (127, 126, 126));
    }
}
