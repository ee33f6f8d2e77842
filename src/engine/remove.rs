//! `rm`, and clearing away what a container that ended leaves.

use super::{Engine, spec};
use crate::container::{Config, Dir, Live, MountKind, State, Status, dir};
use crate::error::{Cause, Error, OsContext, Result};
use crate::sys::fs;
use crate::types::{Digest, Signal};

impl Engine {
    /// Removes a container that does not run; one that runs too, with `force` (SIGKILL).
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let live = loop {
            // Unreadable state does not keep anybody from removing it.
            let state = dir.state().unwrap_or_else(|_| State::new(Status::Exited));
            if state.status.is_up() {
                if !force {
                    return Err(Error::conflict(format!("container {name} is running"))
                        .hint("stop it first, or use rm -f"));
                }
                self.stop_dir(&dir, Signal::KILL, Some(0))?;
            }
            // It may have been started meanwhile.
            if let Some(live) = self.down(&dir)? {
                break live;
            }
        };
        // Its own monitor may have removed it meanwhile, or have died on the way.
        self.discard(&dir, live)
    }

    /// Removes all of a container. It is marked first: whoever finds the mark goes on.
    pub(super) fn discard(&self, dir: &Dir, live: Live) -> Result<()> {
        match dir.update_state(|state| state.status = Status::Removing) {
            Err(error) if matches!(error.root(), Cause::Damaged(_)) => {
                dir.replace_state(&State::new(Status::Removing))?;
            }
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        // Nobody is left there, unless what was written of it was lost.
        self.cgroups()?.open(&spec::cgroup_path(dir))?.kill()?;
        self.clear(dir)?;
        if let Ok(config) = dir.config()
            && config.auto_remove
        {
            self.discard_anonymous_volumes(&config)?;
        }
        if let Ok(settings) = dir.settings() {
            dir::release_name(&self.home, &settings.name, &dir.id)?;
        }
        dir.remove()?;
        live.finish()
    }

    /// Removes a container that never ran. The error to tell is why it did not: what this cannot
    /// remove, the sweep will.
    pub(super) fn forget(&self, dir: &Dir) {
        let config = dir.config();
        if let Ok(Some(live)) = self.down(dir)
            && self.discard(dir, live).is_ok()
            && let Ok(config) = config
        {
            let _ = self.discard_anonymous_volumes(&config);
        }
    }

    /// The volumes that were made for this container alone, and named by chance.
    fn discard_anonymous_volumes(&self, config: &Config) -> Result<()> {
        let volumes = config.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
        for volume in volumes.filter(|mount| mount.source.parse::<Digest>().is_ok()) {
            let path = self.home.root.join("volumes").join(&volume.source);
            fs::remove_tree(&path).on("remove", &path)?;
        }
        Ok(())
    }

    /// Takes away what the kernel and the run directory hold of a container that is gone. Tries
    /// everything; what is gone already is fine.
    pub(super) fn clear(&self, dir: &Dir) -> Result<()> {
        let mut errors = Vec::new();
        let cgroup = self.cgroups().and_then(|c| c.open(&spec::cgroup_path(dir))?.remove());
        errors.extend(cgroup.err());
        errors.extend(self.release_network(dir).err());
        errors.extend(dir.remove_run().err());
        Error::collect(errors)
    }
}
