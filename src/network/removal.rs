//! The removal of a network. The kernel takes its time to remove a bridge (50 to 110 ms), for which
//! nobody else who needs the network lock is to wait: so the network goes under the lock, and its
//! link after it.
//!
//! ```text
//! <run>/removed/<index>   of the bridge; there from before the network is gone until the link is; the network's id
//! ```
//!
//! Whoever gets the lock next finds what a killed one left there (`Networks::finish_removals`).

use super::NetworkLock;
use super::attachment;
use super::definition::Definition;
use super::networks::Networks;
use crate::error::{OsContext, Result};
use crate::sys::fs as tree;
use crate::sys::netlink::Socket;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

impl Networks {
    /// Removes a network on which nobody is.
    pub fn remove(&self, lock: NetworkLock, definition: &Definition) -> Result<()> {
        let ours = self.bridge_of(definition)?.filter(|_| !definition.is_foreign);
        if let Some(bridge) = &ours {
            let (marks, mark) = (self.removed(), self.removed().join(bridge.index.to_string()));
            fs::create_dir_all(&marks).on("create", &marks)?;
            fs::write(&mark, &definition.id).on("write", &mark)?;
        }
        self.remove_bridge(definition, false)?;
        let dir = self.dir(&definition.name);
        // The record first: what is left of a directory without one is no network.
        let record = self.record(&definition.name);
        fs::remove_file(&record).on("remove", &record)?;
        tree::remove_tree(&dir).on("remove", &dir)?;
        drop(lock);
        ours.map_or(Ok(()), |bridge| self.finish_removal(bridge.index))
    }

    /// Removes the links of networks that are gone.
    pub fn finish_removals(&self, _: &NetworkLock) -> Result<()> {
        let marks = self.removed();
        let entries = match fs::read_dir(&marks) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.on("read", &marks)?,
        };
        for entry in entries {
            let name = entry.on("read", &marks)?.file_name();
            let mark = marks.join(&name);
            let id = fs::read_to_string(&mark).on("read", &mark)?;
            match name.to_string_lossy().parse() {
                // The killed one had not come to remove it.
                Ok(_) if id.is_empty() || self.all()?.iter().any(|network| network.id == id) => {
                    fs::remove_file(&mark).on("remove", &mark)?;
                }
                Ok(index) => self.finish_removal(index)?,
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// By its index, as the name may be that of another one already.
    fn finish_removal(&self, index: u32) -> Result<()> {
        let mut socket = Socket::open()?;
        let link = socket.link_by_index(index)?.filter(|link| link.kind == "bridge");
        link.map_or(Ok(()), |link| attachment::remove(&mut socket, &link))?;
        let mark = self.removed().join(index.to_string());
        match fs::remove_file(&mark) {
            // Somebody else was first.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other.on("remove", &mark),
        }
    }

    fn removed(&self) -> PathBuf {
        self.run.join("removed")
    }
}
