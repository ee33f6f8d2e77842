//! `volume ls` and `volume inspect`: looking, without locks.

use super::{Engine, Users};
use crate::engine::report;
use crate::error::Result;
use crate::volume::Volume;

impl Engine {
    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<report::Volume>> {
        let users = self.volume_users(None)?;
        let all = self.volume_store().all()?;
        Ok(all.into_iter().map(|volume| self.report(volume, &users)).collect())
    }

    pub fn volume(&self, name: &str) -> Result<report::Volume> {
        let volume = self.volume_store().get(name)?;
        Ok(self.report(volume, &self.volume_users(None)?))
    }

    fn report(&self, volume: Volume, users: &Users) -> report::Volume {
        report::Volume {
            mountpoint: self.volume_store().data(&volume.name),
            is_used: users.contains_key(&volume.name),
            name: volume.name,
            created: volume.created,
            labels: volume.labels,
        }
    }
}
