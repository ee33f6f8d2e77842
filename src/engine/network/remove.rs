//! `network rm` and `network prune`: those that nobody is on.

use super::Engine;
use crate::container::Dir;
use crate::engine::report;
use crate::error::{Error, Result};
use crate::network::{DEFAULT, NetworkLock};
use std::collections::BTreeSet;

impl Engine {
    /// Removes a network that no container runs on. With `force` it need not be there.
    pub fn remove_network(&self, text: &str, force: bool) -> Result<()> {
        self.begin()?;
        let lock = self.network_lock()?;
        let network = match self.find_network(text) {
            Err(error) if error.is_not_found() && force => return Ok(()),
            other => other?,
        };
        if network.is_builtin() {
            let text = format!("{} is a network that is always there", network.definition.name);
            return Err(Error::conflict(text));
        }
        self.remove_unused(lock, network)
    }

    fn remove_unused(&self, lock: NetworkLock, mut network: report::Network) -> Result<()> {
        let holders = self.networks().holders(&network.definition.name)?;
        if !holders.is_empty() {
            self.tell_places(std::slice::from_mut(&mut network))?;
            let definition = &network.definition;
            let mut names: Vec<&str> =
                network.containers.iter().map(|place| place.name.as_str()).collect();
            if names.is_empty() {
                names = holders.iter().map(|(_, id)| id.get(..12).unwrap_or(id)).collect();
            }
            let text = format!("network {} is used by {}", definition.name, names.join(", "));
            return Err(Error::conflict(text).hint(format!(
                "stop them first, or: network disconnect {} {}",
                definition.name, names[0]
            )));
        }
        self.networks().remove(lock, &network.definition)?;
        self.tell_of_network("destroy", &network);
        Ok(())
    }

    /// Removes those networks that no container is to be on, whether it runs or not, and that are
    /// meant.
    pub fn prune_networks(
        &self,
        is_meant: &dyn Fn(&report::Network) -> bool,
    ) -> Result<Vec<String>> {
        self.begin()?;
        let mut pruned = Vec::new();
        for network in self.network_list()? {
            let name = &network.definition.name;
            if network.is_builtin() || !is_meant(&network) {
                continue;
            }
            let lock = self.network_lock()?;
            // Somebody else may have removed it, or made use of it.
            let now = self.networks().read(name)?;
            let is_there = now.is_some_and(|now| now.id == network.definition.id);
            if is_there && !self.networks_in_use()?.contains(name) {
                pruned.push(name.clone());
                self.remove_unused(lock, network)?;
            }
        }
        Ok(pruned)
    }

    /// The names of the networks that containers have among theirs.
    pub fn networks_in_use(&self) -> Result<BTreeSet<String>> {
        let mut used = BTreeSet::from([DEFAULT.to_string()]);
        for id in Dir::all(&self.home)? {
            // One that is just going needs none.
            if let Ok(settings) = Dir::new(&self.home, &id).settings() {
                used.extend(settings.networks.into_iter().map(|membership| membership.network));
            }
        }
        Ok(used)
    }
}
