//! What is told of networks: Docker's events.

use super::Engine;
use crate::container::{Config, Dir, Network as Kind};
use crate::engine::events;
use crate::engine::report::Network;
use crate::types::ContainerId;

impl Engine {
    /// That something happened to a network.
    pub(super) fn tell_of_network(&self, action: &str, network: &Network) {
        let definition = &network.definition;
        let of = [("name", &definition.name[..]), ("type", &network.driver)];
        self.tell(events::Kind::Network, action, &definition.id, &of);
    }

    /// That a container which runs is on a network now, or not any more.
    pub(super) fn tell_of_place(&self, action: &str, network: &Network, id: &ContainerId) {
        let definition = &network.definition;
        let driver = ("type", &network.driver[..]);
        let of = [("container", id.as_str()), ("name", &definition.name), driver];
        self.tell(events::Kind::Network, action, &definition.id, &of);
    }

    /// The same of all its networks: it has started, or has ended.
    pub(in crate::engine) fn tell_of_places(&self, dir: &Dir, config: &Config, action: &str) {
        let networks: Vec<Network> = match &config.network {
            Kind::Bridge => {
                let endpoints = dir.state().map(|state| state.endpoints).unwrap_or_default();
                let network = |name: &str| self.networks().get(name).ok().map(Network::from);
                endpoints.iter().filter_map(|at| network(&at.network)).collect()
            }
            Kind::Host | Kind::None => {
                let is_it = |one: &Network| config.network.special() == Some(&one.definition.name);
                self.special_networks().filter(is_it).collect()
            }
            Kind::Container(_) | Kind::UserMode(_) => Vec::new(),
        };
        networks.iter().for_each(|network| self.tell_of_place(action, network, &config.id));
    }
}
