//! The health checks of a container, on its monitor's loop: one at a time, each a program that is
//! added as `exec` adds one, with a limit of time.
//!
//! ```text
//! Waiting ──at its time──> Running ──ends──────────────────────> Waiting
//!                             └──at its limit, killed──> Killed ──ends──^
//! ```
//!
//! Nothing here waits for the program, whatever it does: a check that cannot be killed is the last
//! one. Of a container that stands still nothing is asked. What was seen is in `health.json`, so
//! that the next monitor goes on from there; a check dies with the monitor that made it.

use super::exec::{self, Check};
use super::kill::First;
use super::user::Account;
use super::{Engine, spec};
use crate::container::{
    Act, Asked, Checked, Config, Dir, Frame, Health, HealthStatus, Service, Want,
};
use crate::error::{OsContext, Result};
use crate::sys::pidfd;
use crate::types::{OnFailure, Pace, SdNotify, Signal, Timestamp};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// How long the end of a container may take to be seen after the end of a check that it took along.
const BOTH: Duration = Duration::from_millis(100);
const KILLED: i32 = 137;

enum Phase {
    Waiting(Instant),
    Running {
        check: Check,
        since: Timestamp,
        limit: Instant,
        /// It was found standing still, with its container.
        stood_still: bool,
    },
    Killed(Check),
}

struct Doctor<'e> {
    engine: &'e Engine,
    dir: Dir,
    /// The container's first process.
    process: OwnedFd,
    account: Account,
    command: Vec<String>,
    pace: Pace,
    on_failure: OnFailure,
    /// Its first success is told to the service manager.
    tells: bool,
    started: Timestamp,
    health: Health,
    phase: Phase,
    /// Clients that wait for the next check, and for the one that is under way.
    asking: Vec<usize>,
    answered: Vec<usize>,
    poll: Poll,
}

impl Engine {
    /// What makes the checks of a container that is just starting, where it is to have any.
    pub(super) fn health_checks(
        &self,
        dir: &Dir,
        config: &Config,
        process: BorrowedFd,
        account: &Account,
    ) -> Result<Option<Box<dyn Service + '_>>> {
        let Some(command) = config.health.command() else { return Ok(None) };
        let mut health = dir.health().unwrap_or_default();
        health.begin();
        dir.write_health(&health)?;
        self.checks(dir, config, process, account.clone(), command, Timestamp::now(), health)
    }

    /// The same of one that runs.
    pub(super) fn health_checks_again(
        &self,
        dir: &Dir,
        config: &Config,
        container: &First,
    ) -> Result<Option<Box<dyn Service + '_>>> {
        let Some(command) = config.health.command() else { return Ok(None) };
        let account = exec::account_of(container, config, None)?;
        let (started, health) = (dir.state()?.started, dir.health().unwrap_or_default());
        self.checks(dir, config, container.fd.as_fd(), account, command, started, health)
    }

    #[expect(clippy::too_many_arguments, reason = "what the two above have found")]
    fn checks(
        &self,
        dir: &Dir,
        config: &Config,
        process: BorrowedFd,
        account: Account,
        command: Vec<String>,
        started: Timestamp,
        health: Health,
    ) -> Result<Option<Box<dyn Service + '_>>> {
        let pace = config.health.check.clone().unwrap_or_default().pace();
        let mut doctor = Doctor {
            engine: self,
            dir: dir.clone(),
            process: process.try_clone_to_owned().on("dup", "a pidfd")?,
            account,
            command,
            pace,
            on_failure: config.health.on_failure,
            tells: config.sdnotify == Some(SdNotify::Healthy),
            started,
            health,
            phase: Phase::Waiting(Instant::now()),
            asking: Vec::new(),
            answered: Vec::new(),
            poll: Poll::new().on("epoll_create", "")?,
        };
        doctor.rest();
        Ok(Some(Box::new(doctor)))
    }
}

impl Doctor<'_> {
    fn age(&self, at: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(at.0 - self.started.0).unwrap_or_default())
    }

    /// Until the next check.
    fn rest(&mut self) {
        let wait = match self.asking.is_empty() {
            true => self.health.wait(self.age(Timestamp::now()), &self.pace),
            false => Duration::ZERO,
        };
        self.phase = Phase::Waiting(Instant::now() + wait);
    }

    /// Tells those who wait for the check that is over.
    fn answer(&mut self, code: Option<i32>, acts: &mut Vec<Act>) {
        let clients = std::mem::take(&mut self.answered);
        acts.extend(clients.into_iter().map(|client| Act::Answer(client, Frame::Checked(code))));
    }

    fn begin(&mut self, acts: &mut Vec<Act>) {
        self.answered.append(&mut self.asking);
        if is_frozen(self.engine, &self.dir) {
            self.answer(None, acts);
            return self.rest();
        }
        let since = Timestamp::now();
        let (process, command) = (self.process.as_fd(), self.command.clone());
        let check = Check::start(self.engine, &self.dir, process, &self.account, command)
            .and_then(|check| self.watch(&check).map(|()| check));
        match check {
            Ok(check) => {
                let limit = Instant::now() + self.pace.timeout;
                self.phase = Phase::Running { check, since, limit, stood_still: false };
            }
            Err(error) => {
                self.record(since, -1, error.to_string(), acts);
                self.rest();
            }
        }
    }

    fn watch(&self, check: &Check) -> Result<()> {
        for source in check.sources() {
            let (raw, registry) = (source.as_raw_fd(), self.poll.registry());
            let registered = registry.register(&mut SourceFd(&raw), Token(0), Interest::READABLE);
            registered.on("watch", "a health check")?;
        }
        Ok(())
    }

    /// Goes on with the check that is under way.
    fn look(&mut self, acts: &mut Vec<Act>) {
        let now = Instant::now();
        match &mut self.phase {
            Phase::Waiting(until) if now >= *until => self.begin(acts),
            Phase::Waiting(_) => {}
            Phase::Killed(check) => {
                if !matches!(check.look(), Ok(None)) {
                    self.rest();
                }
            }
            Phase::Running { check, since, limit, stood_still } => {
                let since = *since;
                match check.look() {
                    Ok(None) if now < *limit => {}
                    Ok(None) if is_frozen(self.engine, &self.dir) => {
                        *stood_still = true;
                        *limit = now + self.pace.timeout;
                    }
                    // It may have gone on just now.
                    Ok(None) if std::mem::take(stood_still) => *limit = now + self.pace.timeout,
                    Ok(None) => self.give_up(since, acts),
                    Ok(Some(code)) => {
                        let output = check.output();
                        // A container that ends takes its check along.
                        let ended = || pidfd::wait_ended(self.process.as_fd(), Some(BOTH));
                        if code != KILLED || !ended().unwrap_or(false) {
                            self.record(since, code, output, acts);
                        }
                        self.rest();
                    }
                    Err(error) => {
                        self.record(since, -1, error.to_string(), acts);
                        self.rest();
                    }
                }
            }
        }
    }

    /// It took too long.
    fn give_up(&mut self, since: Timestamp, acts: &mut Vec<Act>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Waiting(Instant::now()));
        let Phase::Running { mut check, .. } = phase else { return };
        check.kill();
        let output = match check.output() {
            text if text.is_empty() => text,
            text => format!(": {text}"),
        };
        let output = format!("Health check exceeded timeout ({:?}){output}", self.pace.timeout);
        self.phase = Phase::Killed(check);
        self.record(since, -1, output, acts);
    }

    fn record(&mut self, start: Timestamp, exit_code: i32, output: String, acts: &mut Vec<Act>) {
        let checked = Checked { start, end: Timestamp::now(), exit_code, output };
        let changed = self.health.take(checked, self.age(start), &self.pace);
        // Where it cannot be written, it goes on all the same.
        let _ = self.dir.write_health(&self.health);
        self.answer(Some(exit_code), acts);
        let Some(status) = changed else { return };
        self.engine.tell_of(&self.dir, &format!("health_status: {}", status.word()), &[]);
        match status {
            HealthStatus::Healthy if std::mem::take(&mut self.tells) => {
                acts.push(Act::Tell(Frame::Notify("READY=1".to_string())));
            }
            HealthStatus::Unhealthy => acts.extend(self.remedy()),
            _ => {}
        }
    }

    /// What is to be done with an unhealthy container.
    fn remedy(&self) -> Option<Act> {
        let config = self.dir.config().ok()?;
        let stop = |asked| {
            let (signal, seconds) = (config.stop_signal, config.stop_timeout);
            Some(Act::End { signal, seconds, asked: Some(asked) })
        };
        match self.on_failure {
            OnFailure::None => None,
            OnFailure::Kill => Some(Act::End { signal: Signal::KILL, seconds: 0, asked: None }),
            OnFailure::Restart => stop(Asked::Restart),
            OnFailure::Stop => {
                self.dir.update_state(|state| state.want = Want::Down).ok()?;
                stop(Asked::Stop)
            }
        }
    }
}

fn is_frozen(engine: &Engine, dir: &Dir) -> bool {
    let cgroup = engine.cgroups().and_then(|all| all.open(&spec::cgroup_path(dir)));
    cgroup.is_ok_and(|cgroup| cgroup.is_frozen())
}

impl Drop for Doctor<'_> {
    fn drop(&mut self) {
        if let Phase::Running { check, .. } | Phase::Killed(check) = &mut self.phase {
            check.end();
        }
    }
}

impl AsRawFd for Doctor<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl Service for Doctor<'_> {
    fn deadline(&self, is_ending: bool) -> Option<Instant> {
        match &self.phase {
            // What is about to end is checked no more.
            _ if is_ending => None,
            Phase::Waiting(until) => Some(*until),
            Phase::Running { limit, .. } => Some(*limit),
            Phase::Killed(_) => None,
        }
    }

    fn serve(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        // What there is is looked at below.
        let _ = self.poll.poll(&mut Events::with_capacity(4), Some(Duration::ZERO));
        self.look(&mut acts);
        acts
    }

    fn ask(&mut self, client: usize) {
        if !self.asking.contains(&client) {
            self.asking.push(client);
        }
        if let Phase::Waiting(_) = self.phase {
            self.rest();
        }
    }
}
