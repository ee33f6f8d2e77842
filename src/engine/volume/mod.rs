//! Volumes: the verbs of the group `volume`, and what containers do with volumes.
//!
//! Who uses a volume is not written down: the configurations of the containers say it. It is looked
//! up and acted upon under the volumes lock, which a new container's maker holds from reading which
//! volumes it takes over until its own configuration is written and its volumes are there. So none
//! is removed in between. Lock order: the container's `live`, images, volumes, one volume.

mod create;
mod discard;
mod list;
mod mounts;
mod prepare;
mod prune;
mod remove;

use super::Engine;
use crate::container::{Dir, MountKind};
use crate::error::Result;
use crate::types::ContainerId;
use crate::volume::Volumes;
use std::collections::BTreeMap;

/// The containers that use each volume.
type Users = BTreeMap<String, Vec<ContainerId>>;

impl Engine {
    pub(super) fn volume_store(&self) -> Volumes {
        Volumes::new(&self.home.root)
    }

    /// The users of all volumes, but for the container `except`. A container that cannot be read
    /// may use any: that is an error.
    fn volume_users(&self, except: Option<&ContainerId>) -> Result<Users> {
        let mut users = Users::new();
        for id in Dir::all(&self.home)? {
            if Some(&id) == except {
                continue;
            }
            let config = match Dir::new(&self.home, &id).read_config() {
                // Not made yet, or as good as removed.
                Err(e) if e.is_not_found() => continue,
                other => other?,
            };
            for mount in config.mounts.into_iter().filter(|m| m.kind == MountKind::Volume) {
                let of_one = users.entry(mount.source).or_default();
                if of_one.last() != Some(&id) {
                    of_one.push(id.clone());
                }
            }
        }
        Ok(users)
    }
}
