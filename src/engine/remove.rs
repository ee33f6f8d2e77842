//! `rm`, and clearing away what a container that ended leaves.

use super::{Engine, spec};
use crate::container::{Dir, Live, Status, dir};
use crate::error::{Error, Result};
use crate::oci::cgroup::Cgroups;

impl Engine {
    /// Removes a container that does not run; one that runs too, with `force` (SIGKILL).
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let live = match dir.try_live()? {
            Some(live) => live,
            None => {
                let state = dir.state()?;
                let busy =
                    matches!(state.status, Status::Starting | Status::Running | Status::Restarting);
                if busy && !force {
                    return Err(Error::Conflict(format!("container {name} is running"))
                        .hint("stop it first, or use rm -f"));
                }
                if busy {
                    self.stop_dir(&dir, crate::types::Signal::KILL, Some(0))?;
                }
                dir.wait_live()?
            }
        };
        // Its own monitor may have removed it meanwhile.
        match dir.exists() {
            true => self.discard(&dir, live),
            false => live.finish(),
        }
    }

    /// Removes all of a container. It is marked first: whoever finds the mark goes on.
    pub(super) fn discard(&self, dir: &Dir, live: Live) -> Result<()> {
        match dir.update_state(|state| state.status = Status::Removing) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        self.clear(dir)?;
        if let Ok(settings) = dir.settings() {
            dir::release_name(&self.home, &settings.name, &dir.id)?;
        }
        dir.remove()?;
        live.finish()
    }

    /// Takes away what the kernel and the run directory hold of a container that is gone. Tries
    /// everything; what is gone already is fine.
    pub(super) fn clear(&self, dir: &Dir) -> Result<()> {
        let mut errors = Vec::new();
        let cgroup = Cgroups::detect().and_then(|c| c.open(&spec::cgroup_path(dir))?.remove());
        errors.extend(cgroup.err());
        errors.extend(self.release_network(dir).err());
        errors.extend(dir.remove_run().err());
        Error::collect(errors)
    }
}
