//! Nothing of a dead container outlives the next changing command, and no container that lives
//! stays without a monitor: every verb that changes something sweeps first.
//!
//! The list in the run directory names each container that somebody works on; an entry that
//! nobody holds locked belongs to somebody who died; so does one that only a child of a dead monitor
//! holds, which is waited for. What was written last says how far they
//! came, the kernel says whether the container lives; `repair` goes on from there. Each act is
//! one that can be done twice.

use super::patience::look_away;
use super::remove::Left;
use super::{Engine, Mode};
use crate::container::{Dir, Live, State, Status, Want, restart};
use crate::error::{Context, Error, OsContext, Result};
use crate::sys::pidfd;
use crate::types::{RestartPolicy, Signal, Timestamp};
use std::os::fd::AsFd;
use std::time::Duration;

/// The exit code of a container whose end nobody saw: as if by SIGKILL.
pub(super) const UNKNOWN_EXIT: i32 = 137;

/// What is known of a run that ended.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Ran {
    /// It had not come up.
    pub never: bool,
    pub oom_killed: bool,
    /// The user asked for it to be started again.
    pub restart: bool,
    /// A full disk kept the end of its log.
    pub is_log_torn: bool,
}

/// How often to look whether a child of a dead monitor has come to its program or its end: a second
/// in all.
const LAST_MOMENTS: u32 = 500;

/// The right to work on a container, where nobody who lives has it.
fn left_behind(dir: &Dir) -> Result<Option<Live>> {
    for _ in 0..LAST_MOMENTS {
        match dir.try_live_of_the_dead()? {
            Err(true) => look_away(),
            live => return Ok(live.ok()),
        }
    }
    Ok(None)
}

impl Engine {
    /// Goes through the entries that nobody holds. Tries them all, and says what could not be
    /// repaired.
    pub(super) fn sweep(&self) -> Result<Vec<Error>> {
        let mut errors: Vec<Error> = self.sweep_changes().err().into_iter().collect();
        for id in Dir::live(&self.home)? {
            let dir = Dir::new(&self.home, &id);
            let repaired = match left_behind(&dir) {
                Ok(Some(live)) => self.repair(&dir, live),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = repaired.doing(|| format!("repair container {}", id.short())) {
                errors.push(error);
            }
        }
        Ok(errors)
    }

    pub(super) fn repair(&self, dir: &Dir, live: Live) -> Result<()> {
        let state = match dir.state() {
            Ok(state) => state,
            // Nothing, or not yet anything, was written of it.
            Err(error) if error.is_not_found() => return self.discard(dir, live),
            Err(error) => return Err(error),
        };
        match state.status {
            Status::Creating | Status::Removing => self.discard(dir, live),
            // It was on its way to be removed, or nobody knows of it.
            Status::Created | Status::Exited if state.ephemeral => self.discard(dir, live),
            Status::Created | Status::Exited => {
                self.clear(dir, Left::Perhaps)?;
                live.finish()
            }
            Status::Starting | Status::Running | Status::Restarting => {
                self.take_over(dir, live, &state)
            }
        }
    }

    fn take_over(&self, dir: &Dir, live: Live, state: &State) -> Result<()> {
        if let Some(process) = state.process.as_ref().and_then(|process| process.open()) {
            if state.status == Status::Running {
                return self.spawn_monitor(dir, live, Mode::Adopt, None);
            }
            // It had not come up; whether it would have, nobody knows. It may be ending by itself.
            let _ = pidfd::send_signal(process.as_fd(), Signal::KILL);
            pidfd::wait_ended(process.as_fd(), None).on("wait for", "its first process")?;
        }
        self.clear(dir, Left::Perhaps)?;
        if self.settings.restart == Some(false) {
            let leave = |state: &mut State| {
                state.want = Want::Down;
                match state.status {
                    Status::Restarting => state.status = Status::Exited,
                    _ => return false,
                }
                true
            };
            if dir.update_state(leave)? {
                return live.finish();
            }
        }
        if state.status == Status::Restarting {
            // Its last run is recorded, and that it is to be started again decided.
            return self.spawn_monitor(dir, live, Mode::Restart, None);
        }
        let ran = Ran { never: state.status != Status::Running, ..Ran::default() };
        let settings = dir.settings()?;
        let ended = self.record_end(dir, settings.restart, UNKNOWN_EXIT, ran)?;
        if let (false, Ok(config)) = (ran.never, dir.config()) {
            self.tell_of_end(dir, &config, &settings.name, UNKNOWN_EXIT, &[("late", "true")]);
        }
        match ended {
            Some(_) => self.spawn_monitor(dir, live, Mode::Restart, None),
            None if state.ephemeral => self.discard(dir, live),
            None => live.finish(),
        }
    }

    /// Whether the container's first process lives, whatever else is written.
    pub(super) fn is_alive(&self, dir: &Dir) -> Result<bool> {
        Ok(dir.state()?.process.is_some_and(|process| process.open().is_some()))
    }

    /// Writes down that the container ended; the delay before its next start, where its policy
    /// wants one.
    pub(super) fn record_end(
        &self,
        dir: &Dir,
        policy: RestartPolicy,
        code: i32,
        ran: Ran,
    ) -> Result<Option<Duration>> {
        dir.update_state(|state| {
            let now = Timestamp::now();
            let lived = u64::try_from(now.0 - state.started.0).unwrap_or_default();
            let lived = if ran.never { Duration::ZERO } else { Duration::from_nanos(lived) };
            let again = match ran.restart {
                true => Some(Duration::ZERO),
                false => restart::after_exit(policy, state, code, lived),
            };
            state.exit_code = code;
            state.error.clear();
            if ran.is_log_torn {
                state.error.push_str("the end of its log is lost: the disk was full");
            }
            state.oom_killed = ran.oom_killed;
            state.paused = false;
            state.process = None;
            state.ports.clear();
            state.finished = now;
            match again {
                Some(delay) => {
                    state.status = Status::Restarting;
                    state.restarts = if ran.restart { 0 } else { state.restarts + 1 };
                    state.backoff = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                }
                None => {
                    state.status = Status::Exited;
                    state.want = Want::Down;
                }
            }
            again
        })
    }
}
