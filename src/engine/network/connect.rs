//! `network connect` and `network disconnect`: at once where the container runs, else from its next
//! start on.

use super::{Engine, Place, endpoint};
use crate::container::{Config, Dir, Endpoint, Membership, Network, State, Status};
use crate::error::{Context, Error, OsContext, Result};
use crate::network::{Attachment, NETWORKS_MAX, NetworkLock, names};
use crate::sys::netlink::{self, Socket};
use crate::sys::netns;
use crate::types::Pid;
use std::os::fd::{AsFd, OwnedFd};

impl Engine {
    /// Puts a container on a network.
    ///
    /// Errors: it is there already; it has no network namespace of its own.
    pub fn connect(&self, container: &str, wanted: &Membership) -> Result<()> {
        self.begin()?;
        let dir = self.find(container)?;
        let config = dir.config()?;
        if config.network != Network::Bridge {
            let mode = &config.network;
            let text = format!("{container} has --net={mode}, and no networks of its own");
            return Err(Error::conflict(text));
        }
        let lock = self.network_lock()?;
        let wanted = self.usable(wanted)?;
        let is_new = dir.update_settings(|settings| {
            let is_new = !settings.networks.iter().any(|one| one.network == wanted.network);
            settings.networks.extend(is_new.then(|| wanted.clone()));
            is_new
        })?;
        if !is_new {
            return Err(Error::conflict(format!(
                "{container} is on network {} already",
                wanted.network
            )));
        }
        let joined = self.join(&lock, &dir, &config, &wanted);
        if joined.is_err() {
            // The error to tell is that one.
            let _ = self.networks().leave(&lock, &self.networks().get(&wanted.network)?, &dir.id);
            dir.update_settings(|settings| {
                settings.networks.retain(|one| one.network != wanted.network);
            })?;
        }
        joined.doing(|| format!("connect {container} to {}", wanted.network))
    }

    /// What a container can be on, by the network's own name.
    ///
    /// Errors: there is no such network; it has not what is asked for.
    pub(in crate::engine) fn usable(&self, wanted: &Membership) -> Result<Membership> {
        let network = self.find_network(&wanted.network)?;
        network.check_usable()?;
        let definition = network.definition;
        if !definition.has_names() && !wanted.aliases.is_empty() {
            let text = format!("on the network {} containers have no names", definition.name);
            return Err(Error::invalid(text).hint("make one of your own: network create NAME"));
        }
        for alias in &wanted.aliases {
            names::check(alias)?;
        }
        if let (Some(address), Some(subnet)) = (wanted.address, definition.subnet)
            && !subnet.is_host(address)
        {
            return Err(Error::invalid(format!("{address} is no address for a host of {subnet}")));
        }
        Ok(Membership { network: definition.name, ..wanted.clone() })
    }

    fn join(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        config: &Config,
        wanted: &Membership,
    ) -> Result<()> {
        let Some((state, pid, process)) = running(dir)? else { return Ok(()) };
        let is_free = |number: &u8| !state.endpoints.iter().any(|at| at.number == *number);
        let number = (0..NETWORKS_MAX).find(is_free).ok_or_else(|| {
            Error::conflict(format!("a container can be on {NETWORKS_MAX} networks at most"))
        })?;
        let is_first = !state.endpoints.iter().any(|at| at.leads_out);
        let place = Place { number, is_first, last: None };
        let place = self.take_place(lock, dir, config, wanted, place, &[])?;
        place.connect(pid)?;
        ask_within(&process, &place.requests())?;
        dir.update_state(|state| state.endpoints.push(endpoint(&place)))
    }

    /// Takes a container off a network. With `force`, what cannot be done to a container that runs
    /// is no reason to stop.
    pub fn disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(container)?;
        let lock = self.network_lock()?;
        let network = self.find_network(network)?;
        let name = &network.definition.name;
        if !dir.settings()?.networks.iter().any(|one| one.network == *name) {
            return Err(Error::not_found(format!("{container} is not on network {name}")));
        }
        if let Some((state, _, process)) = running(&dir)? {
            let parted = self.depart(&lock, &dir, &state, &process, name);
            if !force {
                parted.doing(|| format!("disconnect {container} from {name}"))?;
            }
        }
        dir.update_settings(|settings| settings.networks.retain(|one| one.network != *name))
    }

    fn depart(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        state: &State,
        process: &OwnedFd,
        network: &str,
    ) -> Result<()> {
        let here = |at: &&Endpoint| at.network == network;
        let Some(left) = state.endpoints.iter().find(here) else { return Ok(()) };
        within(process, |socket| Attachment::disconnect(socket, left.number))?;
        self.networks().leave(lock, &self.networks().get(network)?, &dir.id)?;
        dir.update_state(|state| state.endpoints.retain(|at| at.network != network))?;
        match left.leads_out {
            true => self.lead_out(lock, dir, state, process, network),
            false => Ok(()),
        }
    }

    /// Has another network lead out of a container that left the one that did.
    fn lead_out(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        state: &State,
        process: &OwnedFd,
        left: &str,
    ) -> Result<()> {
        let config = dir.config()?;
        for at in state.endpoints.iter().filter(|at| at.network != left) {
            let membership = Membership::new(&at.network);
            let place = Place { number: at.number, is_first: true, last: Some(at.address) };
            // It has its lease, and gets the same again.
            let place = self.take_place(lock, dir, &config, &membership, place, &state.ports)?;
            let Some(route) = place.route() else { continue };
            ask_within(process, &[route])?;
            return dir.update_state(|state| {
                let mut endpoints = state.endpoints.iter_mut();
                if let Some(now) = endpoints.find(|now| now.network == at.network) {
                    now.leads_out = true;
                }
            });
        }
        Ok(())
    }
}

/// The first process of a container that runs. `None` where it does not.
fn running(dir: &Dir) -> Result<Option<(State, Pid, OwnedFd)>> {
    let state = dir.state()?;
    match state.status {
        Status::Running => {}
        Status::Starting => {
            return Err(Error::conflict("the container is just being started")
                .hint("do it again in a moment"));
        }
        _ => return Ok(None),
    }
    let process = state.process.as_ref().and_then(|id| Some((id.pid, id.open()?)));
    Ok(process.map(|(pid, process)| (state, pid, process)))
}

/// Sends requests in the network namespace of a process.
fn ask_within(process: &OwnedFd, requests: &[netlink::Request]) -> Result<()> {
    within(process, |socket| {
        let mut requests = requests.iter();
        requests.try_for_each(|request| socket.request("configure", "the link", request))
    })
}

fn within<T>(process: &OwnedFd, act: impl FnOnce(&mut Socket) -> Result<T>) -> Result<T> {
    netns::within(process.as_fd(), || act(&mut Socket::open()?))
        .on("enter", "the container's network")?
}
