//! `network connect` and `network disconnect`: at once where the container runs, else from its next
//! start on.

use super::{Engine, Place, endpoint, has_name_server};
use crate::container::{Client, Config, Dir, Frame, Membership, Network, State, Status};
use crate::engine::change::{Change, Spot};
use crate::engine::link::point;
use crate::error::{Context, Error, OsContext, Result};
use crate::network::{self, Definition, NETWORKS_MAX, NetworkLock, files, names};
use crate::sys::netlink::{self, Socket};
use crate::sys::netns;
use crate::sys::pidfd;
use crate::types::Pid;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A container that runs.
struct Running {
    state: State,
    process: Pid,
    namespace: OwnedFd,
}

impl Engine {
    /// Puts a container on a network.
    ///
    /// Errors: it is there already; it has no network namespace of its own.
    pub fn connect(&self, container: &str, wanted: &Membership) -> Result<()> {
        self.refuse_rootless("network connect")?;
        self.begin()?;
        let dir = self.find(container)?;
        let config = dir.config()?;
        if config.network != Network::Bridge {
            let mode = &config.network;
            let text = format!("{container} has --net={mode}, and no networks of its own");
            return Err(Error::conflict(text));
        }
        let until = Instant::now() + network::GOING;
        loop {
            match self.connect_once(container, &dir, &config, wanted) {
                // Others need the lock meanwhile.
                Err(error) if network::is_taken(&error) && Instant::now() < until => {
                    sleep(network::LOOK);
                }
                done => return done,
            }
        }
    }

    fn connect_once(
        &self,
        container: &str,
        dir: &Dir,
        config: &Config,
        wanted: &Membership,
    ) -> Result<()> {
        let change = self.begin_change(dir)?;
        let lock = self.network_lock()?;
        let wanted = self.usable(wanted)?;
        let name = &wanted.network;
        if dir.settings()?.networks.iter().any(|one| one.network == *name) {
            return Err(Error::conflict(format!("{container} is on network {name} already")));
        }
        self.check_settled(dir)?;
        let running = Running::of(dir)?;
        let had_names = has_name_server(config, &dir.state()?.endpoints)?;
        let number = match &running {
            Some(running) => Some(free_number(&running.state)?),
            None => None,
        };
        let spot = Spot { network: name, number };
        change.note(&spot)?;
        let joined = dir.update_settings(|settings| settings.networks.push(wanted.clone()));
        let joined = joined.and_then(|()| match running.as_ref().zip(number) {
            Some((running, number)) => self.join(&lock, dir, config, &wanted, running, number),
            None => Ok(()),
        });
        if let Err(error) = joined {
            // The error to tell is that one.
            if self.leave_network(lock, dir, &spot).is_ok() {
                change.end()?;
            }
            return Err(error).doing(|| format!("connect {container} to {name}"));
        }
        if running.is_some() {
            self.tell_of_place("connect", &self.networks().get(name)?.into(), &dir.id);
        }
        let followed = self.follow_links(&lock, dir);
        self.settle(lock, change, dir, config, had_names).and(followed)
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
        let address = match wanted.address6 {
            Some(asked) => Some(beside(&definition, wanted.address, asked)?),
            None => wanted.address,
        };
        let (network, aliases) = (definition.name, wanted.aliases.clone());
        Ok(Membership { network, aliases, address, address6: None })
    }

    fn join(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        config: &Config,
        wanted: &Membership,
        running: &Running,
        number: u8,
    ) -> Result<()> {
        let is_first = !running.state.endpoints.iter().any(|at| at.leads_out);
        let place = Place { number, is_first, last: None };
        let place = self.take_place(lock, dir, config, wanted, place, &running.state.ports)?;
        place.connect(running.process, running.namespace.as_fd(), Duration::ZERO)?;
        running.ask(&place.requests())?;
        dir.update_state(|state| state.endpoints.push(endpoint(&place)))
    }

    /// Takes a container off a network. With `force`, what cannot be done to a container that runs
    /// is no reason to stop.
    pub fn disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        self.begin()?;
        let dir = self.find(container)?;
        let config = dir.config()?;
        let change = self.begin_change(&dir)?;
        let lock = self.network_lock()?;
        // One that is gone is left by its name.
        let found = match self.find_network(network) {
            Err(error) if error.is_not_found() => None,
            other => Some(other?),
        };
        let name = found.as_ref().map_or(network, |found| &found.definition.name).to_string();
        if !dir.settings()?.networks.iter().any(|one| one.network == name) {
            return Err(Error::not_found(format!("{container} is not on network {network}")));
        }
        self.check_settled(&dir)?;
        let endpoints = dir.state()?.endpoints;
        let here = endpoints.iter().find(|at| at.network == name);
        let spot = Spot { network: &name, number: here.map(|at| at.number) };
        change.note(&spot)?;
        match self.leave_network(lock, &dir, &spot) {
            Ok(lock) => {
                if let (Some(network), true) =
                    (&found, here.is_some() && Running::of(&dir)?.is_some())
                {
                    self.tell_of_place("disconnect", network, &dir.id);
                }
                let had_names = has_name_server(&config, &endpoints)?;
                self.settle(lock, change, &dir, &config, had_names)
            }
            // Its mark stays: whoever comes next tries again.
            Err(_) if force => Ok(()),
            Err(error) => Err(error).doing(|| format!("disconnect {container} from {name}")),
        }
    }

    /// Has a container be off a network, however far it was on it. Gives up the lock while the
    /// kernel removes the link.
    fn leave_network(&self, lock: NetworkLock, dir: &Dir, spot: &Spot) -> Result<NetworkLock> {
        self.turn_away(&lock, dir, spot)?;
        drop(lock);
        remove_link(dir, spot)?;
        let lock = self.network_lock()?;
        self.free_address(&lock, dir, spot)?;
        Ok(lock)
    }

    /// The same after somebody who was killed, with all that follows.
    pub(in crate::engine) fn take_off(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        spot: &Spot,
    ) -> Result<()> {
        self.turn_away(lock, dir, spot)?;
        remove_link(dir, spot)?;
        self.free_address(lock, dir, spot)?;
        // Its monitor may have heard of it or not, and looks again.
        let config = dir.config()?;
        let had_names = !has_name_server(&config, &dir.state()?.endpoints)?;
        let told = self.follow_networks(dir, &config, had_names);
        self.troubles.borrow_mut().extend(told.err());
        Ok(())
    }

    /// Nobody is to find the container there any more.
    fn turn_away(&self, lock: &NetworkLock, dir: &Dir, spot: &Spot) -> Result<()> {
        dir.update_settings(|settings| settings.networks.retain(|at| at.network != spot.network))?;
        dir.update_state(|state| {
            if state.status == Status::Running {
                state.endpoints.retain(|at| at.network != spot.network);
            }
        })?;
        // What others made of their files is no reason to stay.
        let followed = self.follow_links(lock, dir);
        self.troubles.borrow_mut().extend(followed.err());
        Ok(())
    }

    /// The address is anybody's.
    fn free_address(&self, lock: &NetworkLock, dir: &Dir, spot: &Spot) -> Result<()> {
        if let Some(definition) = self.networks().read(spot.network)? {
            self.networks().leave(lock, &[definition], &dir.id)?;
        }
        match Running::of(dir)? {
            Some(running) if !running.state.endpoints.iter().any(|at| at.leads_out) => {
                self.lead_out(lock, dir, &running)
            }
            _ => Ok(()),
        }
    }

    /// Has the first network that can lead out of a container do so.
    fn lead_out(&self, lock: &NetworkLock, dir: &Dir, running: &Running) -> Result<()> {
        let state = &running.state;
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
            place.turn_back(running.process)?;
            running.ask(&routes)?;
            return dir.update_state(|state| {
                let mut endpoints = state.endpoints.iter_mut();
                if let Some(now) = endpoints.find(|now| now.network == at.network) {
                    now.leads_out = true;
                }
            });
        }
        Ok(())
    }

    /// The end of a change of a container that `had_names` before it.
    fn settle(
        &self,
        lock: NetworkLock,
        change: Change,
        dir: &Dir,
        config: &Config,
        had_names: bool,
    ) -> Result<()> {
        let told = self.follow_networks(dir, config, had_names);
        change.end()?;
        // The monitor may be waiting for it.
        drop(lock);
        let trouble = told?.map_or(Ok(None), heard)?;
        self.troubles.borrow_mut().extend(trouble);
        Ok(())
    }

    /// Has the files of a container that runs follow its networks, and its monitor do the rest,
    /// whose answer comes by what is returned.
    fn follow_networks(
        &self,
        dir: &Dir,
        config: &Config,
        had_names: bool,
    ) -> Result<Option<Client>> {
        let Some(Running { state, .. }) = Running::of(dir)? else { return Ok(None) };
        let names = files::own_names(&config.hostname, Some(&config.domainname));
        point(dir, &names, &state.addresses())?;
        if has_name_server(config, &state.endpoints)? == had_names {
            return Ok(None);
        }
        // Where there is no monitor, the next one knows.
        let mut client = Client::connect(&dir.socket()).ok();
        if let Some(client) = &mut client {
            let _ = client.send(&Frame::Networks);
        }
        Ok(client)
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

/// The IPv4 address that goes with this IPv6 address.
fn beside(definition: &Definition, address: Option<Ipv4Addr>, asked: Ipv6Addr) -> Result<Ipv4Addr> {
    let Some((subnet, range)) = definition.subnet.zip(definition.subnet6) else {
        let text = format!("--ip6 {asked}: the network {} has no IPv6", definition.name);
        return Err(Error::invalid(text).hint("make one with it: network create --ipv6"));
    };
    match range.untwin(&subnet, asked).filter(|own| subnet.is_host(*own)) {
        Some(own) if address.is_none_or(|address| address == own) => Ok(own),
        Some(own) => Err(Error::invalid(format!("--ip6 {asked} goes with --ip {own}"))
            .hint("leave one out: a container has the same place in both ranges")),
        None => Err(Error::invalid(format!(
            "--ip6 {asked} goes with no address for a host of {subnet}: a container has the same \
             place in both ranges"
        ))
        .hint(format!("choose one from {} on", range.twin(&subnet, subnet.gateway())))),
    }
}

/// The number of its next link.
fn free_number(state: &State) -> Result<u8> {
    let is_free = |number: &u8| !state.endpoints.iter().any(|at| at.number == *number);
    (0..NETWORKS_MAX).find(is_free).ok_or_else(|| {
        Error::conflict(format!("a container can be on {NETWORKS_MAX} networks at most"))
    })
}

/// Takes away the link that a container that runs has there.
fn remove_link(dir: &Dir, spot: &Spot) -> Result<()> {
    match Running::of(dir)?.zip(spot.number) {
        Some((Running { process, namespace, .. }, number)) => {
            network::disconnect(&dir.id, number, process, namespace.as_fd())
        }
        None => Ok(()),
    }
}

/// Waits until a monitor has followed. One that goes away meanwhile leaves it to the next. What the
/// container has to do without is told: it is on its networks all the same.
fn heard(mut client: Client) -> Result<Option<Error>> {
    loop {
        match client.receive() {
            Ok(Some(Frame::Followed(error))) if error.is_empty() => return Ok(None),
            Ok(Some(Frame::Followed(error))) => {
                return Err(Error::conflict(format!("its name server: {error}")));
            }
            Ok(Some(Frame::Unknown { .. })) => {
                let text = "the container's monitor is of an older release, and knows no names";
                return Ok(Some(Error::conflict(text).hint("restart the container")));
            }
            Ok(Some(Frame::Exited { .. } | Frame::Failed { .. }) | None) | Err(_) => {
                return Ok(None);
            }
            Ok(Some(_)) => {}
        }
    }
}

impl Running {
    /// `None` where it does not run.
    fn of(dir: &Dir) -> Result<Option<Running>> {
        let state = dir.state()?;
        let is_up = state.status == Status::Running;
        let process = state.process.as_ref().filter(|_| is_up);
        let Some((process, held)) = process.and_then(|id| Some((id.pid, id.open()?))) else {
            return Ok(None);
        };
        let namespace = netns::of(process);
        // The number was its own until now.
        match pidfd::wait_ended(held.as_fd(), Some(Duration::ZERO)).on("look at", "a process")? {
            true => Ok(None),
            false => {
                let namespace = namespace.on("open", "the container's network")?;
                Ok(Some(Running { state, process, namespace }))
            }
        }
    }

    /// Sends requests in its network namespace.
    fn ask(&self, requests: &[netlink::Request]) -> Result<()> {
        let ask = || {
            let mut socket = Socket::open()?;
            let mut requests = requests.iter();
            requests.try_for_each(|request| socket.request("configure", "the link", request))
        };
        netns::within(self.namespace.as_fd(), ask).on("enter", "the container's network")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd;
    use std::fs::File;
    use std::io::Write;

    /// What is told where a monitor answers so, and goes.
    fn told(answer: Option<Frame>) -> Result<Option<String>> {
        let (ours, theirs) = fd::socket_pair().unwrap();
        let client = Client::new(ours).unwrap();
        let mut bytes = Vec::new();
        answer.iter().for_each(|frame| frame.encode(&mut bytes));
        File::from(theirs).write_all(&bytes).unwrap();
        heard(client).map(|trouble| trouble.map(|error| error.to_string()))
    }

    #[test]
    fn a_monitor_of_an_older_release_is_no_reason_to_fail() {
        let older = told(Some(Frame::Unknown { kind: 99 })).unwrap().unwrap();
        assert!(older.contains("older release"), "{older}");
        assert_eq!(told(Some(Frame::Followed(String::new()))).unwrap(), None);
        assert_eq!(told(None).unwrap(), None, "the next one follows");
        let failed = told(Some(Frame::Followed("no room".into()))).unwrap_err();
        assert_eq!(failed.to_string(), "its name server: no room");
    }
}
