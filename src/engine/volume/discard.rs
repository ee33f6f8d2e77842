//! With a container go its volumes: those that nobody named, where that was asked for; those made
//! for it, where it never came to be. What another container uses stays.

use super::Engine;
use crate::container::{Config, Dir, MountKind, TakesVolumes};
use crate::error::Result;
use crate::volume::Volumes;

impl Engine {
    /// Removes the volumes that go with a container, before its own records go.
    pub(in crate::engine) fn discard_volumes(&self, dir: &Dir, takes: TakesVolumes) -> Result<()> {
        // Without a configuration it came to no volumes yet, or they are gone.
        let Ok(config) = dir.config() else { return Ok(()) };
        let volumes = self.volume_store();
        let going = going(&volumes, &config, takes)?;
        if going.is_empty() {
            return Ok(());
        }
        {
            let _lock = volumes.lock()?;
            let users = match self.volume_users(Some(&dir.id)) {
                Ok(users) => users,
                Err(error) => {
                    // The container goes all the same; `volume prune` takes them another day.
                    let error = error.doing("keep the anonymous volumes");
                    self.troubles.borrow_mut().push(error);
                    return Ok(());
                }
            };
            for name in going.iter().filter(|name| !users.contains_key(**name)) {
                volumes.discard(name)?;
                self.tell_of_volume("destroy", name, &[]);
            }
        }
        volumes.empty_trash()
    }
}

fn going<'a>(volumes: &Volumes, config: &'a Config, takes: TakesVolumes) -> Result<Vec<&'a str>> {
    let all = config.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
    match takes {
        TakesVolumes::None => Ok(Vec::new()),
        TakesVolumes::Anonymous => {
            Ok(all.filter(|mount| mount.anonymous).map(|mount| &mount.source[..]).collect())
        }
        TakesVolumes::Made => {
            let mut made = Vec::new();
            for mount in all {
                volumes.settle(&mount.source)?;
                let volume = volumes.get(&mount.source);
                if volume.is_ok_and(|volume| volume.maker.as_ref() == Some(&config.id)) {
                    made.push(&mount.source[..]);
                }
            }
            Ok(made)
        }
    }
}
