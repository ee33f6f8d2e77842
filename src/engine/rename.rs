//! `rename`: another name for a container, whether it runs or not.
//!
//! The name that counts is that in its settings; the file below `names` keeps others from having
//! the same. The new one is claimed first, then written into the settings, then the old one is
//! given up; its networks and those who link to it follow. Whoever finds this half done
//! (`network::change`) gives up whichever of the two is not in the settings.

use super::Engine;
use super::create::name_taken;
use crate::container::{Dir, Status, dir};
use crate::error::{Error, Result};
use crate::network::{DEFAULT, NetworkLock, names};
use crate::types::ContainerName;

impl Engine {
    /// Errors: another container has the name; nothing was changed.
    pub fn rename(&self, name: &str, new: &ContainerName) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        let change = self.begin_change(&dir)?;
        let old = dir.settings()?.name;
        if old == *new {
            return change.end().and(Err(Error::invalid(format!("{name} has that name already"))));
        }
        change.note_names(&old, new)?;
        if !dir::claim_name(&dir, new)? {
            return change.end().and(Err(name_taken(self, new)));
        }
        // After a loss of power too, whatever its settings call it leads to it.
        if !dir.config()?.auto_remove {
            dir.sync_entry()?;
        }
        let lock = self.network_lock()?;
        if let Err(error) = dir.update_settings(|settings| settings.name = new.clone()) {
            dir::release_name(&self.home, new, &dir.id)?;
            return change.end().and(Err(error));
        }
        self.settle_name(&lock, &dir, &old)?;
        change.end()?;
        self.tell_of(&dir, "rename", &[("oldName", &format!("/{old}"))]);
        Ok(())
    }

    /// Has nothing of a container be called `other`, unless that is its name.
    pub(super) fn settle_name(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        other: &ContainerName,
    ) -> Result<()> {
        let settings = match dir.settings() {
            // It was removed meanwhile.
            Err(error) if error.is_not_found() => {
                return dir::release_name(&self.home, other, &dir.id);
            }
            settings => settings?,
        };
        if settings.name == *other {
            return Ok(());
        }
        dir::release_name(&self.home, other, &dir.id)?;
        let state = dir.state()?;
        if state.status != Status::Running {
            return Ok(());
        }
        let called = (other.as_str(), settings.name.as_str());
        for at in state.endpoints.iter().filter(|at| at.network != DEFAULT) {
            let membership = settings.networks.iter().find(|one| one.network == at.network);
            let keeps = other.as_str() == dir.id.short()
                || membership.is_some_and(|one| {
                    one.aliases.iter().any(|a| names::are_same(a, other.as_str()))
                });
            let network = self.networks().dir(&at.network);
            let ipv6 = at.ipv6.as_ref().map(|at| at.address.into());
            for address in [Some(at.address.into()), ipv6].into_iter().flatten() {
                names::rename(lock, &network, called, keeps, address)?;
            }
        }
        self.follow_name(lock, dir, other)
    }
}
