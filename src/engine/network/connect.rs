//! `network connect` and `network disconnect`: at once where the container runs, else from its next
//! start on.

use super::{Engine, Place, endpoint, on_named_network};
use crate::container::{Client, Config, Dir, Frame, Membership, Network, State, Status};
use crate::engine::link::point;
use crate::error::{Context, Error, OsContext, Result};
use crate::network::{Attachment, NETWORKS_MAX, NetworkLock, files, names};
use crate::sys::atomic::{self, Durability};
use crate::sys::netlink::{self, Socket};
use crate::sys::netns;
use crate::types::Pid;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

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
        let name = &wanted.network;
        if dir.settings()?.networks.iter().any(|one| one.network == *name) {
            return Err(Error::conflict(format!("{container} is on network {name} already")));
        }
        self.check_settled(&dir)?;
        let change = self.begin_change(&dir, name)?;
        let joined = dir
            .update_settings(|settings| settings.networks.push(wanted.clone()))
            .and_then(|()| self.join(&lock, &dir, &config, &wanted));
        if joined.is_err() {
            // The error to tell is that one.
            let _ = self.leave_network(&lock, &dir, name);
        }
        self.settle(lock, &dir, &config, change)?;
        joined.doing(|| format!("connect {container} to {name}"))
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
        let number = free_number(&state).ok_or_else(|| {
            Error::conflict(format!("a container can be on {NETWORKS_MAX} networks at most"))
        })?;
        let is_first = !state.endpoints.iter().any(|at| at.leads_out);
        let place = Place { number, is_first, last: None };
        let place = self.take_place(lock, dir, config, wanted, place, &state.ports)?;
        place.connect(pid)?;
        ask_within(&process, &place.requests())?;
        dir.update_state(|state| state.endpoints.push(endpoint(&place)))
    }

    /// Takes a container off a network. With `force`, what cannot be done to a container that runs
    /// is no reason to stop.
    pub fn disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(container)?;
        let config = dir.config()?;
        let lock = self.network_lock()?;
        // One that is gone is left by its name.
        let name = match self.find_network(network) {
            Err(error) if error.is_not_found() => network.to_string(),
            other => other?.definition.name,
        };
        if !dir.settings()?.networks.iter().any(|one| one.network == name) {
            return Err(Error::not_found(format!("{container} is not on network {network}")));
        }
        self.check_settled(&dir)?;
        let change = self.begin_change(&dir, &name)?;
        let parted = self.leave_network(&lock, &dir, &name);
        if parted.is_err() && force {
            leave_settings(&dir, &name)?;
        }
        self.settle(lock, &dir, &config, change)?;
        match force {
            true => Ok(()),
            false => parted.doing(|| format!("disconnect {container} from {name}")),
        }
    }

    /// Has a container be off a network, however far it was on it.
    fn leave_network(&self, lock: &NetworkLock, dir: &Dir, network: &str) -> Result<()> {
        let running = running(dir)?;
        if let Some((state, _, process)) = &running {
            let here = state.endpoints.iter().find(|at| at.network == network);
            if let Some(number) = here.map(|at| at.number).or(free_number(state)) {
                within(process, |socket| Attachment::disconnect(socket, number))?;
            }
        }
        if let Some(definition) = self.networks().read(network)? {
            self.networks().leave(lock, &definition, &dir.id)?;
        }
        leave_settings(dir, network)?;
        let Some((_, pid, process)) = running else { return Ok(()) };
        let state = dir.update_state(|state| {
            state.endpoints.retain(|at| at.network != network);
            state.clone()
        })?;
        match state.endpoints.iter().any(|at| at.leads_out) {
            true => Ok(()),
            false => self.lead_out(lock, dir, &state, pid, &process),
        }
    }

    /// Has the first network that can lead out of a container do so.
    fn lead_out(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        state: &State,
        pid: Pid,
        process: &OwnedFd,
    ) -> Result<()> {
        let (config, memberships) = (dir.config()?, dir.settings()?.networks);
        for at in &state.endpoints {
            let membership = memberships.iter().find(|one| one.network == at.network);
            let Some(membership) = membership else { continue };
            let place = Place { number: at.number, is_first: true, last: Some(at.address) };
            // It has its lease, and gets the same again.
            let place = self.take_place(lock, dir, &config, membership, place, &state.ports)?;
            let routes = place.routes();
            if routes.is_empty() {
                continue;
            }
            place.turn_back(pid)?;
            ask_within(process, &routes)?;
            return dir.update_state(|state| {
                let mut endpoints = state.endpoints.iter_mut();
                if let Some(now) = endpoints.find(|now| now.network == at.network) {
                    now.leads_out = true;
                }
            });
        }
        Ok(())
    }

    /// Writes down what is about to be changed, until `settle`.
    fn begin_change(&self, dir: &Dir, network: &str) -> Result<bool> {
        let (path, text) = (self.changing(), format!("{} {network}", dir.id));
        fs::create_dir_all(&self.home.run).on("make", &self.home.run)?;
        atomic::replace(&path, text.as_bytes(), Durability::Crash).on("write", &path)?;
        Ok(on_named_network(&dir.state()?.endpoints))
    }

    /// The end of a change of a container that `had_names` before it.
    fn settle(&self, lock: NetworkLock, dir: &Dir, config: &Config, had_names: bool) -> Result<()> {
        let told = self.follow_networks(dir, config, had_names);
        let path = self.changing();
        fs::remove_file(&path).on("remove", &path)?;
        // The monitor may be waiting for it.
        drop(lock);
        let (told, state) = (told?, dir.state()?);
        if state.status == Status::Running {
            self.tell_linkers(dir, &state.endpoints)?;
        }
        told.map_or(Ok(()), heard)
    }

    /// Has the files of a container that runs follow its networks, and its monitor do the rest,
    /// whose answer comes by what is returned.
    fn follow_networks(
        &self,
        dir: &Dir,
        config: &Config,
        had_names: bool,
    ) -> Result<Option<Client>> {
        let Some((state, ..)) = running(dir)? else { return Ok(None) };
        let names = files::own_names(&config.hostname, Some(&config.domainname));
        point(dir, &names, &state.addresses())?;
        if on_named_network(&state.endpoints) == had_names {
            return Ok(None);
        }
        // Where there is no monitor, the next one knows.
        let mut client = Client::connect(&dir.socket()).ok();
        if let Some(client) = &mut client {
            let _ = client.send(&Frame::Networks);
        }
        Ok(client)
    }

    /// Undoes what somebody began who was killed over it.
    pub(super) fn undo_change(&self, lock: &NetworkLock) -> Result<()> {
        let path = self.changing();
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.on("read", &path)?,
        };
        let undone = match text.split_once(' ') {
            Some((id, network)) => self.undo(lock, &Dir::new(&self.home, &id.parse()?), network),
            None => Ok(()),
        };
        // What cannot be undone ends with the container.
        fs::remove_file(&path).on("remove", &path).and(undone)
    }

    fn undo(&self, lock: &NetworkLock, dir: &Dir, network: &str) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        let parted = self.leave_network(lock, dir, network);
        // Its monitor may have heard of it or not, and looks again.
        let endpoints = dir.state()?.endpoints;
        self.follow_networks(dir, &dir.config()?, !on_named_network(&endpoints)).and(parted)
    }

    fn changing(&self) -> PathBuf {
        self.home.run.join("changing")
    }

    /// Errors: it is on its way up, and its networks are being read or made.
    fn check_settled(&self, dir: &Dir) -> Result<()> {
        let state = dir.state()?;
        let is_coming = match state.status {
            Status::Starting => true,
            Status::Restarting => {
                let networks = dir.settings()?.networks;
                let holders = networks.iter().map(|one| self.networks().holders(&one.network));
                let holders = holders.collect::<Result<Vec<_>>>()?;
                holders.iter().flatten().any(|(_, id)| id == dir.id.as_str())
            }
            _ => false,
        };
        match is_coming {
            true => Err(Error::conflict("the container is just being started")
                .hint("do it again in a moment")),
            false => Ok(()),
        }
    }
}

fn leave_settings(dir: &Dir, network: &str) -> Result<()> {
    dir.update_settings(|settings| settings.networks.retain(|one| one.network != network))
}

/// The number of its next link.
fn free_number(state: &State) -> Option<u8> {
    let is_free = |number: &u8| !state.endpoints.iter().any(|at| at.number == *number);
    (0..NETWORKS_MAX).find(is_free)
}

/// Waits until a monitor has followed. One that goes away meanwhile leaves it to the next.
fn heard(mut client: Client) -> Result<()> {
    loop {
        match client.receive() {
            Ok(Some(Frame::Followed(error))) if error.is_empty() => return Ok(()),
            Ok(Some(Frame::Followed(error))) => {
                return Err(Error::conflict(format!("its name server: {error}")));
            }
            Ok(Some(Frame::Unknown { .. })) => {
                let text = "the container's monitor is of an older release, and knows no names";
                return Err(Error::conflict(text).hint("restart the container"));
            }
            Ok(Some(Frame::Exited { .. } | Frame::Failed { .. }) | None) | Err(_) => return Ok(()),
            Ok(Some(_)) => {}
        }
    }
}

/// The first process of a container that runs. `None` where it does not.
fn running(dir: &Dir) -> Result<Option<(State, Pid, OwnedFd)>> {
    let state = dir.state()?;
    if state.status != Status::Running {
        return Ok(None);
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
