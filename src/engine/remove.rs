//! `rm`, and clearing away what a container that ended leaves.

use super::{Engine, spec};
use crate::container::{Config, Dir, Live, State, Status, TakesVolumes, dir};
use crate::error::{Cause, Error, Result};
use crate::types::Signal;
use std::time::Duration;

/// How long to wait for who holds a container that is to go: a copy from or to a pipe may take for
/// ever.
const HELD: Duration = Duration::from_secs(5);

/// Whether processes of a container are left after its first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// They ended with their pid namespace.
    None,
    Perhaps,
}

impl Left {
    /// Where it shares a pid namespace, the first one took none with it.
    pub fn of(config: &Config) -> Left {
        if config.namespaces.pid.is_own() { Left::None } else { Left::Perhaps }
    }
}

impl Engine {
    /// Removes a container that does not run; one that runs too, with `force` (SIGKILL). With
    /// `volumes` the anonymous volumes go that nobody else uses.
    pub fn remove(&self, name: &str, force: bool, volumes: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let live = loop {
            // Unreadable state does not keep anybody from removing it.
            let state = dir.state().unwrap_or_else(|_| State::new(Status::Exited));
            if state.status.is_up() {
                if !force && state.paused {
                    return Err(Error::conflict(format!(
                        "container {name} is paused and must be unpaused first"
                    ))
                    .hint("stop it first, or use rm -f"));
                }
                if !force {
                    return Err(Error::conflict(format!("container {name} is running"))
                        .hint("stop it first, or use rm -f"));
                }
                self.stop_dir(&dir, Signal::KILL, Some(0), Some(HELD))?;
            }
            // It may have been started meanwhile.
            if let Some(live) = self.down_within(&dir, Some(HELD))? {
                break live;
            }
        };
        // Its own monitor may have removed it meanwhile, or have died on the way.
        let takes = if volumes { TakesVolumes::Anonymous } else { TakesVolumes::None };
        self.discard_taking(&dir, live, takes)
    }

    /// Removes all of a container. It is marked first: whoever finds the mark goes on. Its volumes
    /// stay, unless it has --rm or never came to be.
    pub(super) fn discard(&self, dir: &Dir, live: Live) -> Result<()> {
        self.discard_taking(dir, live, TakesVolumes::None)
    }

    fn discard_taking(&self, dir: &Dir, live: Live, volumes: TakesVolumes) -> Result<()> {
        let mut was = Status::Creating;
        let mut mark = |state: &mut State| {
            was = state.status;
            state.takes = match state.status {
                Status::Creating => TakesVolumes::Made,
                Status::Removing if state.takes != TakesVolumes::None => state.takes,
                _ if volumes != TakesVolumes::None => volumes,
                _ if state.ephemeral => TakesVolumes::Anonymous,
                _ => TakesVolumes::None,
            };
            state.status = Status::Removing;
            state.takes
        };
        let takes = match dir.update_state(&mut mark) {
            Err(error) if matches!(error.root(), Cause::Damaged(_)) => {
                let mut state = State::new(Status::Exited);
                let takes = mark(&mut state);
                dir.replace_state(&state)?;
                takes
            }
            Err(error) if error.is_not_found() => TakesVolumes::None,
            other => other?,
        };
        // Nobody is left there, unless what was written of it was lost.
        self.clear(dir, Left::Perhaps)?;
        self.discard_volumes(dir, takes)?;
        let (config, settings) = (dir.config(), dir.settings());
        if let Ok(settings) = &settings {
            dir::release_name(&self.home, &settings.name, &dir.id)?;
        }
        dir.remove()?;
        if let (Ok(config), Ok(settings)) = (config, settings)
            && was != Status::Creating
        {
            self.tell_of_this(&config, &settings.name, "destroy", &[]);
        }
        live.finish()
    }

    /// Removes a container that never ran. The error to tell is why it did not: what this cannot
    /// remove, the sweep will.
    pub(super) fn forget(&self, dir: &Dir) {
        if let Ok(Some(live)) = self.down(dir) {
            let _ = self.discard_taking(dir, live, TakesVolumes::Made);
        }
    }

    /// Takes away what the kernel and the run directory hold of a container that is gone. Tries
    /// everything, unless one of its processes cannot be ended; what is gone already is fine.
    pub(super) fn clear(&self, dir: &Dir, left: Left) -> Result<()> {
        let mut errors = Vec::new();
        let cgroup = self.cgroups()?.open(&spec::cgroup_path(dir))?;
        if left == Left::Perhaps {
            cgroup.kill()?;
        }
        errors.extend(cgroup.remove().err());
        errors.extend(self.end_usermode(dir).err());
        errors.extend(self.part_links(dir).err());
        errors.extend(self.release_network(dir).err());
        errors.extend(dir.remove_run().err());
        Error::collect(errors)
    }
}
