//! `network ls` and `network inspect`: looking, without locks.

use super::Engine;
use crate::container::{Dir, Status};
use crate::engine::report;
use crate::error::{Error, Result};
use crate::network::{DEFAULT, Definition};
use crate::types::Digest;

/// What containers may have in place of a network, and what the lists call its driver.
const SPECIAL: [(&str, &str); 2] = [("host", "host"), ("none", "null")];

impl Engine {
    /// All networks, by name, with who is on them; the default one, `host` and `none` among them.
    pub fn all_networks(&self) -> Result<Vec<report::Network>> {
        let mut all = self.network_list()?;
        self.tell_places(&mut all)?;
        Ok(all)
    }

    /// The same without asking who is on them.
    pub(super) fn network_list(&self) -> Result<Vec<report::Network>> {
        let mut definitions = self.networks().all()?;
        if !definitions.iter().any(|definition| definition.name == DEFAULT) {
            definitions.push(self.networks().get(DEFAULT)?);
        }
        let mut all: Vec<report::Network> = definitions.into_iter().map(Into::into).collect();
        all.extend(self.special_networks());
        all.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
        Ok(all)
    }

    /// `host` and `none`.
    pub(super) fn special_networks(&self) -> impl Iterator<Item = report::Network> {
        SPECIAL.into_iter().map(|(name, driver)| {
            let mut definition = Definition::new(name, self.own_id(name));
            definition.created = Default::default();
            report::Network { driver: driver.to_string(), ..definition.into() }
        })
    }

    /// Always the same for a root directory.
    fn own_id(&self, name: &str) -> [u8; 32] {
        *Digest::of(format!("{} {name}", self.home.root.display()).as_bytes()).bytes()
    }

    /// Finds one as `find_network` does, and who is on it.
    pub fn inspect_network(&self, text: &str) -> Result<report::Network> {
        let mut network = self.find_network(text)?;
        self.tell_places(std::slice::from_mut(&mut network))?;
        Ok(network)
    }

    /// By name, id, or the start of an id that no other network shares; without who is on it,
    /// which takes a look at every container that runs.
    pub fn find_network(&self, text: &str) -> Result<report::Network> {
        let mut all = self.network_list()?;
        let named = all.iter().position(|network| network.definition.name == text);
        if let Some(at) = named {
            return Ok(all.swap_remove(at));
        }
        all.retain(|network| !text.is_empty() && network.definition.id.starts_with(text));
        match all.len() {
            0 => Err(Error::not_found(format!("no such network: {text}"))),
            1 => Ok(all.swap_remove(0)),
            many => Err(Error::conflict(format!(
                "\"{text}\" is ambiguous: it begins the ids of {many} networks"
            ))
            .hint("give more digits, or the name")),
        }
    }

    /// Fills in who is on which network now.
    pub(super) fn tell_places(&self, networks: &mut [report::Network]) -> Result<()> {
        for id in Dir::live(&self.home)? {
            let dir = Dir::new(&self.home, &id);
            // One that is just going, or cannot be read, is nowhere.
            let (Ok(state), Ok(settings)) = (dir.state(), dir.settings()) else { continue };
            let runs = state.process.as_ref().is_some_and(|process| process.open().is_some());
            if state.status != Status::Running || !runs {
                continue;
            }
            for endpoint in state.endpoints {
                let here = networks.iter_mut().find(|one| one.definition.name == endpoint.network);
                let Some(network) = here else { continue };
                let (container, name) = (id.clone(), settings.name.clone());
                network.containers.push(report::Place { container, name, endpoint });
            }
        }
        Ok(())
    }
}
