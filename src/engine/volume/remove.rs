//! `volume rm`.

use super::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// Removes a volume that no container uses. With `force` it need not be there.
    pub fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        self.begin()?;
        let volumes = self.volume_store();
        {
            let _lock = volumes.lock()?;
            match volumes.get(name) {
                Err(e) if e.is_not_found() && force => return Ok(()),
                other => other?,
            };
            if let Some(users) = self.volume_users(None)?.get(name) {
                let users: Vec<&str> = users.iter().map(|id| id.short()).collect();
                let (containers, them) = match users.len() {
                    1 => ("container", "it"),
                    _ => ("containers", "them"),
                };
                let users = users.join(", ");
                let text = format!("volume {name} is used by {containers} {users}");
                return Err(Error::conflict(text)
                    .hint(format!("remove {them} first: rm {}", users.replace(",", ""))));
            }
            volumes.discard(name)?;
            self.tell_of_volume("destroy", name, &[]);
        }
        volumes.empty_trash()
    }
}
