//! How a container is, by its health checks: `starting` until one goes well or enough have failed,
//! then `healthy` or `unhealthy`. Pure; who makes the checks is its monitor (`engine::health`).
//!
//! ```text
//!            well                       `retries` failures in a row
//! starting ────────> healthy   starting, healthy ────────────────> unhealthy
//!                    healthy <──────────────────────── well ────── unhealthy
//! ```
//!
//! Before the first that goes well, failures do not count in the start period. Rules, words and
//! bounds are Docker's (moby, daemon/health.go). What was seen is kept in `health.json`, beside
//! the container's records, in the form in which `inspect` shows it.

use crate::types::{Healthcheck, OnFailure, Pace, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is to be checked, and what is done where it fails: part of how a container was created.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Checkup {
    pub check: Option<Healthcheck>,
    /// What a line for the shell is handed to.
    pub shell: Vec<String>,
    pub on_failure: OnFailure,
}

impl Checkup {
    /// What is run; `None` where nothing is.
    pub fn command(&self) -> Option<Vec<String>> {
        self.check.as_ref()?.command(&self.shell)
    }
}

/// Bytes of a check's output that are kept, and checks that are.
pub const OUTPUT: usize = 4096;
const ENTRIES: usize = 5;

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    pub fn word(self) -> &'static str {
        match self {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        }
    }
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    pub status: HealthStatus,
    /// Failures in a row, those that count.
    pub failing_streak: u32,
    /// The last few, the newest last.
    pub log: Vec<Checked>,
}

/// One check.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct Checked {
    pub start: Timestamp,
    pub end: Timestamp,
    /// -1 where it could not be made, or took too long.
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    /// The container starts (again): what was seen of it stays to be looked at.
    pub fn begin(&mut self) {
        self.status = HealthStatus::Starting;
        self.failing_streak = 0;
    }

    /// Takes in a check that began so long after the container's start. The status, where it has
    /// changed.
    pub fn take(&mut self, checked: Checked, age: Duration, pace: &Pace) -> Option<HealthStatus> {
        let before = self.status;
        let went_well = checked.exit_code == 0;
        if self.log.len() >= ENTRIES {
            self.log.drain(..=self.log.len() - ENTRIES);
        }
        self.log.push(checked);
        if went_well {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if self.status != HealthStatus::Starting || age >= pace.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= pace.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        (self.status != before).then_some(self.status)
    }

    /// How long to wait for the next check, so long after the container's start.
    pub fn wait(&self, age: Duration, pace: &Pace) -> Duration {
        match self.status {
            HealthStatus::Starting if age < pace.start_period => pace.start_interval,
            _ => pace.interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HealthStatus::*;
    use super::*;

    const LATE: Duration = Duration::from_secs(60);

    fn checked(exit_code: i32) -> Checked {
        let (start, end) = (Timestamp::from_unix(1), Timestamp::from_unix(2));
        Checked { start, end, exit_code, output: String::new() }
    }

    fn pace(start_period: u64, retries: u32) -> Pace {
        let seconds = Duration::from_secs;
        Pace {
            interval: seconds(30),
            timeout: seconds(30),
            start_period: seconds(start_period),
            start_interval: seconds(5),
            retries,
        }
    }

    #[test]
    fn it_takes_failures_in_a_row_to_be_unhealthy_and_one_check_to_be_healthy() {
        let (mut health, pace) = (Health::default(), pace(0, 2));
        let mut take = |code| health.take(checked(code), LATE, &pace);
        assert_eq!(take(1), None);
        assert_eq!(take(0), Some(Healthy));
        assert_eq!(take(0), None);
        assert_eq!(take(1), None);
        assert_eq!(take(0), None);
        assert_eq!(take(7), None);
        assert_eq!(take(-1), Some(Unhealthy));
        assert_eq!(take(1), None);
        assert_eq!(take(0), Some(Healthy));
        assert_eq!(health.failing_streak, 0);
    }

    #[test]
    fn failures_in_the_start_period_count_after_a_success_only() {
        let (mut health, pace) = (Health::default(), pace(10, 1));
        let early = Duration::from_secs(9);
        assert_eq!(health.take(checked(1), early, &pace), None);
        assert_eq!(health.failing_streak, 0);
        let mut other = health.clone();
        assert_eq!(other.take(checked(1), pace.start_period, &pace), Some(Unhealthy));
        assert_eq!(health.take(checked(0), early, &pace), Some(Healthy));
        assert_eq!(health.take(checked(1), early, &pace), Some(Unhealthy));
    }

    #[test]
    fn the_start_interval_holds_until_it_is_healthy_or_the_period_is_over() {
        let (mut health, pace) = (Health::default(), pace(10, 1));
        let early = Duration::from_secs(9);
        assert_eq!(health.wait(early, &pace), pace.start_interval);
        assert_eq!(health.wait(pace.start_period, &pace), pace.interval);
        health.status = Healthy;
        assert_eq!(health.wait(early, &pace), pace.interval);
    }

    #[test]
    fn the_last_five_are_kept_over_a_start() {
        let (mut health, pace) = (Health::default(), pace(0, 3));
        for code in 0..8 {
            health.take(checked(code), LATE, &pace);
        }
        let codes: Vec<i32> = health.log.iter().map(|checked| checked.exit_code).collect();
        assert_eq!(codes, [3, 4, 5, 6, 7]);
        assert_eq!((health.status, health.failing_streak), (Unhealthy, 7));
        health.begin();
        assert_eq!((health.status, health.failing_streak, health.log.len()), (Starting, 0, 5));
    }

    #[test]
    fn it_is_kept_as_inspect_shows_it() {
        let health = Health { status: Healthy, failing_streak: 0, log: vec![checked(0)] };
        let text = serde_json::to_string(&health).unwrap();
        assert_eq!(
            text,
            r#"{"Status":"healthy","FailingStreak":0,"Log":[{"Start":"1970-01-01T00:00:01.000000000Z","End":"1970-01-01T00:00:02.000000000Z","ExitCode":0,"Output":""}]}"#
        );
        assert_eq!(serde_json::from_str::<Health>(&text).unwrap(), health);
    }
}
