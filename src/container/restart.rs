//! Whether, and when, a container that ended is started again. Pure.
//!
//! Docker's rule: 100 ms at first, doubled each time, at most a minute; from the start again
//! after a run of ten seconds.

use super::record::{State, Want};
use crate::types::RestartPolicy;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(60);
const HEALTHY: Duration = Duration::from_secs(10);

/// The delay before the next start, where there is to be one. `state` is of before the end:
/// it counts the restarts so far. `ran` is how long the container lived.
pub fn after_exit(
    policy: RestartPolicy,
    state: &State,
    exit_code: i32,
    ran: Duration,
) -> Option<Duration> {
    let again = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max } => {
            exit_code != 0 && max.is_none_or(|max| state.restarts < max)
        }
    };
    if !again || state.want == Want::Down {
        return None;
    }
    Some(backoff(Duration::from_millis(state.backoff), ran))
}

/// The delay before the next start of what ran so long; `last` is that before the last one, zero
/// where there was none.
pub fn backoff(last: Duration, ran: Duration) -> Duration {
    if ran >= HEALTHY || last.is_zero() { FIRST } else { (last * 2).min(MOST) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Status;

    fn state(restarts: u32, backoff: u64) -> State {
        State { want: Want::Up, restarts, backoff, ..State::new(Status::Running) }
    }

    #[test]
    fn delays_double_to_a_minute_and_begin_again_after_a_healthy_run() {
        let next = |backoff, ran| {
            after_exit(RestartPolicy::Always, &state(3, backoff), 0, Duration::from_secs(ran))
        };
        assert_eq!(next(0, 0), Some(Duration::from_millis(100)));
        assert_eq!(next(100, 0), Some(Duration::from_millis(200)));
        assert_eq!(next(51_200, 0), Some(Duration::from_secs(60)));
        assert_eq!(next(51_200, 10), Some(Duration::from_millis(100)));
    }

    #[test]
    fn on_failure_counts_and_a_stop_by_the_user_is_final() {
        let ran = Duration::ZERO;
        let twice = RestartPolicy::OnFailure { max: Some(2) };
        assert!(after_exit(twice, &state(1, 100), 1, ran).is_some());
        assert!(after_exit(twice, &state(2, 100), 1, ran).is_none());
        assert!(after_exit(twice, &state(0, 0), 0, ran).is_none());
        assert!(after_exit(RestartPolicy::No, &state(0, 0), 1, ran).is_none());
        let stopped = State { want: Want::Down, ..state(0, 0) };
        assert!(after_exit(RestartPolicy::Always, &stopped, 1, ran).is_none());
    }
}
