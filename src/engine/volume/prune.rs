//! `volume prune`: the volumes that no container uses.

use super::Engine;
use crate::engine::prune::Pruned;
use crate::engine::{report, usage};
use crate::error::Result;

impl Engine {
    /// Removes those unused volumes that `is_meant`.
    pub fn prune_volumes(
        &self,
        is_meant: &dyn Fn(&report::Volume) -> bool,
    ) -> Result<Pruned<String>> {
        self.begin()?;
        let volumes = self.volume_store();
        let mut pruned = Pruned { removed: Vec::new(), bytes: 0 };
        {
            let _lock = volumes.lock()?;
            for volume in self.volumes()? {
                if volume.is_used || !is_meant(&volume) {
                    continue;
                }
                pruned.bytes = pruned.bytes.saturating_add(usage::bytes(&volume.mountpoint));
                volumes.discard(&volume.name)?;
                self.tell_of_volume("destroy", &volume.name, &[]);
                pruned.removed.push(volume.name);
            }
        }
        volumes.empty_trash()?;
        Ok(pruned)
    }
}
