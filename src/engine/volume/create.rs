//! `volume create`.

use super::Engine;
use crate::error::{OsContext, Result};
use crate::sys::atomic::Durability;
use crate::types::Digest;
use crate::volume::{self, ANONYMOUS, Volume};
use std::collections::BTreeMap;

impl Engine {
    /// Makes a volume, with an invented name where none is given; one that is there is fine. Gives
    /// its name.
    pub fn create_volume(
        &self,
        name: Option<&str>,
        mut labels: BTreeMap<String, String>,
    ) -> Result<String> {
        let name = match name {
            Some(name) => {
                volume::check_name(name)?;
                name.to_string()
            }
            None => {
                labels.insert(ANONYMOUS.to_string(), String::new());
                let random = crate::sys::random::bytes().on("read", "random bytes")?;
                Digest::from_bytes(random).hex()
            }
        };
        self.begin()?;
        let volumes = self.volume_store();
        let _lock = volumes.lock()?;
        let is_new = volumes.get(&name).is_err();
        volumes.make(&Volume::new(&name, labels), Durability::PowerLoss)?;
        if is_new {
            self.tell_of_volume("create", &name, &[]);
        }
        Ok(name)
    }
}
