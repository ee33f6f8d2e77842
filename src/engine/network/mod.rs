//! Networks: the verbs of the group `network`, and what containers do with networks. Joining both:
//! leases under the network lock, and the files in /etc that follow from them.

mod connect;
mod create;
mod events;
mod helper;
mod list;
mod remove;
mod usermode;

pub use create::NetworkOptions;

use super::Engine;
use super::join::Joined;
use crate::container::{
    Config, Dir, Endpoint, Endpoint6, Membership, Network as Kind, dir::lock_offset,
};
use crate::dns::ADDRESS as NAME_SERVER;
use crate::error::{Error, OsContext, Result};
use crate::network::{
    self, Attachment, DEFAULT, Link, NETWORKS_MAX, NetworkLock, Networks, Running, Wanted, files,
    names,
};
use crate::sys::atomic;
use crate::sys::fs::read_small;
use crate::sys::lock::{self, Mode};
use crate::sys::netlink::Request;
use crate::sys::netns;
use crate::types::{Digest, ExtraHost, MacAddress, Pid, Published};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What a container's place on a network is to be like.
struct Place {
    /// `eth` and this.
    number: u8,
    /// It is to lead out, where the network does.
    is_first: bool,
    /// Its address when it last ran.
    last: Option<Ipv4Addr>,
}

/// What a container on its way up gets of the network.
pub(super) enum Plan {
    /// A namespace of its own: its places on networks, and none is loopback alone.
    Own(Vec<Attachment>),
    /// The host's own namespace.
    Host,
    /// Another container's.
    Joined(Joined),
}

impl Plan {
    /// What the container's first process is to ask of its own namespace.
    pub fn requests(&self) -> Vec<Request> {
        match self {
            Plan::Own(places) => {
                let loopback = network::loopback_requests();
                loopback.into_iter().chain(places.iter().flat_map(Attachment::requests)).collect()
            }
            Plan::Host | Plan::Joined(_) => Vec::new(),
        }
    }

    /// The namespace to join, where it is another container's.
    pub fn namespace(&self) -> Option<String> {
        self.joined().map(Joined::path)
    }

    /// The container whose namespace it is, where it is another's.
    pub fn joined(&self) -> Option<&Joined> {
        match self {
            Plan::Joined(joined) => Some(joined),
            Plan::Own(_) | Plan::Host => None,
        }
    }

    /// Whose files are mounted in /etc, where it is not the container itself.
    pub fn files(&self) -> Option<&Dir> {
        self.joined().map(|joined| &joined.files)
    }

    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.places().iter().map(endpoint).collect()
    }

    /// The addresses where its way out leads, or any.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let first = self.places().iter().find(|place| place.leads_out);
        let first = first.or(self.places().first());
        first.map(|place| place.addresses().collect()).unwrap_or_default()
    }

    /// What rules of others keep from it.
    pub fn obstacles(&self) -> Vec<String> {
        self.places().iter().flat_map(|place| place.obstacles.clone()).collect()
    }

    /// Gives the namespace of a process its links.
    pub fn connect(&self, process: Pid) -> Result<()> {
        let connect = |place: &Attachment, namespace: &OwnedFd| {
            place.connect(process, namespace.as_fd(), network::GOING)
        };
        match self.places() {
            [] => Ok(()),
            places => {
                let namespace = netns::of(process).on("open", "the container's network")?;
                places.iter().try_for_each(|place| connect(place, &namespace))
            }
        }
    }

    fn places(&self) -> &[Attachment] {
        match self {
            Plan::Own(places) => places,
            Plan::Host | Plan::Joined(_) => &[],
        }
    }
}

/// The record of a place.
pub(super) fn endpoint(place: &Attachment) -> Endpoint {
    Endpoint {
        network: place.network.clone(),
        network_id: place.network_id.clone(),
        upon: place.upon().to_string(),
        number: place.number,
        address: place.address,
        prefix: place.prefix(),
        gateway: place.way.gateway(),
        ipv6: place.address6().zip(place.way.subnet6()).map(|(address, range)| Endpoint6 {
            address,
            prefix: range.prefix(),
            gateway: place.way.gateway6(),
        }),
        leads_out: place.leads_out,
        mac: MacAddress(place.mac),
    }
}

impl Engine {
    pub(super) fn networks(&self) -> &Networks {
        let make = || Networks::new(&self.home.root.join("networks"), &self.home.run);
        self.networks.get_or_init(make)
    }

    pub(super) fn network_lock(&self) -> Result<NetworkLock> {
        let path = self.home.root.join("locks");
        let guard = lock::lock(&path, lock_offset::NETWORK, Mode::Exclusive).on("lock", &path)?;
        let lock = NetworkLock::new(guard);
        // It concerns one container, and is no reason not to do what was asked.
        let undone = [self.undo_changes(&lock), self.networks().finish_removals(&lock)];
        self.troubles.borrow_mut().extend(undone.into_iter().filter_map(Result::err));
        Ok(lock)
    }

    /// Leases addresses, opens the container's ways, and writes what it finds in /etc. Gives what
    /// its links put into its environment too. `release_network` takes all of it back, whatever
    /// happens in between.
    pub(super) fn prepare_network(
        &self,
        dir: &Dir,
        config: &Config,
        ports: &[Published],
    ) -> Result<(Plan, Vec<String>)> {
        let plan = match &config.network {
            Kind::Bridge => {
                // What could not be taken away at the end of its last run.
                self.unplug(dir)?;
                let lock = self.network_lock()?;
                let plan = Plan::Own(self.take_places(&lock, dir, config, ports)?);
                write_files(dir, config, &plan)?;
                let variables = self.join_links(&lock, dir, &plan.endpoints())?;
                return Ok((plan, variables));
            }
            Kind::None | Kind::UserMode(_) => Plan::Own(Vec::new()),
            Kind::Host => Plan::Host,
            Kind::Container(id) => {
                // Its files are there already.
                let joined = self.join_network(&Dir::new(&self.home, id))?;
                return Ok((Plan::Joined(joined), Vec::new()));
            }
        };
        write_files(dir, config, &plan).map(|()| (plan, Vec::new()))
    }

    fn take_places(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        config: &Config,
        ports: &[Published],
    ) -> Result<Vec<Attachment>> {
        let (memberships, last) = (dir.settings()?.networks, dir.state()?.endpoints);
        let mut places: Vec<Attachment> = Vec::new();
        for (membership, number) in memberships.iter().zip(0..NETWORKS_MAX) {
            if self.networks().get(&membership.network)?.is_disabled {
                continue;
            }
            let of_old = last.iter().find(|endpoint| endpoint.network == membership.network);
            let last = of_old.map(|endpoint| endpoint.address);
            let is_first = !places.iter().any(|place| place.leads_out);
            let place = Place { number, is_first, last };
            places.push(self.lease_place(lock, dir, config, membership, place)?);
        }
        let endpoints: Vec<Endpoint> = places.iter().map(endpoint).collect();
        // For whoever makes rules anew before this container runs.
        dir.update_state(|state| {
            state.endpoints.clone_from(&endpoints);
            state.ports = ports.to_vec();
        })?;
        let links = |network: &str| {
            let mut links = self.links_from(network, dir, &endpoints)?;
            links.extend(self.links_to(network, dir, &endpoints)?);
            Ok(links)
        };
        self.open_ways(lock, dir, &mut places, ports, &links)?;
        Ok(places)
    }

    /// A place on one network, with the ports that lead to it.
    fn take_place(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        config: &Config,
        membership: &Membership,
        place: Place,
        ports: &[Published],
    ) -> Result<Attachment> {
        let mut place = self.lease_place(lock, dir, config, membership, place)?;
        let places = std::slice::from_mut(&mut place);
        self.open_ways(lock, dir, places, ports, &|_| Ok(Vec::new()))?;
        Ok(place)
    }

    /// A place on one network, with the container's names there.
    fn lease_place(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        config: &Config,
        membership: &Membership,
        place: Place,
    ) -> Result<Attachment> {
        let Place { number, is_first, last } = place;
        let address = match (membership.address, last) {
            (Some(address), _) => Wanted::Only(address),
            (None, Some(address)) => Wanted::Rather(address),
            (None, None) => Wanted::Any,
        };
        // The first link has the one that was asked for, as with Docker.
        let mac = config.mac_address.filter(|_| number == 0).map(|MacAddress(mac)| mac);
        let request = network::Request { address, mac, number, is_first };
        let name = &membership.network;
        let place = self.networks().attach(lock, name, &dir.id, request)?;
        if name != DEFAULT {
            let own = dir.settings()?.name;
            let names = [own.as_str(), dir.id.short()];
            let aliases = membership.aliases.iter().map(String::as_str);
            for called in names.into_iter().chain(aliases) {
                let network = self.networks().dir(name);
                place.addresses().try_for_each(|at| names::add(lock, &network, called, at))?;
            }
        }
        Ok(place)
    }

    /// Has `ports` lead to the container, and opens its links.
    fn open_ways(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        places: &mut [Attachment],
        ports: &[Published],
        links: &dyn Fn(&str) -> Result<Vec<Link>>,
    ) -> Result<()> {
        let others = |network: &str| self.published_by_others(dir, network);
        self.networks().publish(lock, places, ports, links, &others)
    }

    /// What leads to the other containers on a network, those on their way up included.
    fn published_by_others(&self, dir: &Dir, network: &str) -> Result<Running> {
        let mut running = Running::default();
        for id in Dir::live(&self.home)?.into_iter().filter(|id| *id != dir.id) {
            let other = Dir::new(&self.home, &id);
            let Some(places) = self.places(&other) else { continue };
            let Some(at) = places.iter().find(|at| at.network == network) else { continue };
            // One that cannot be read is for its next start.
            running.links.extend(self.links_from(network, &other, &places).unwrap_or_default());
            let ports = match at.leads_out {
                true => other.state().map(|state| state.ports).unwrap_or_default(),
                false => Vec::new(),
            };
            running.published.push((at.address, ports));
        }
        Ok(running)
    }

    /// Has a container that runs ask those that know the names on its networks of now, unless a
    /// program has written something of its own there.
    pub(super) fn rewrite_resolv_conf(&self, dir: &Dir, config: &Config) -> Result<()> {
        let (path, state) = (dir.resolv_conf(), dir.state()?);
        if config.network != Kind::Bridge || digest_of(&path) != state.resolv_conf {
            return Ok(());
        }
        let text = resolv_conf(config, &state.endpoints)?;
        atomic::rewrite(&path, text.as_bytes()).on("write", &path)?;
        dir.update_state(|state| state.resolv_conf = digest_of(&path))
    }

    pub(super) fn release_network(&self, dir: &Dir) -> Result<()> {
        self.unplug(dir)?;
        match dir.config() {
            Ok(config) if config.network != Kind::Bridge => {}
            // Where there is no record any more, there may be a lease.
            _ => self.networks().release(&self.network_lock()?, &dir.id)?,
        }
        self.forget_shared(dir)
    }
}

/// What a container finds in /etc.
fn write_files(dir: &Dir, config: &Config, plan: &Plan) -> Result<()> {
    let more = extra_hosts(config, plan)?;
    let hosts = match plan {
        Plan::Host => {
            let text = fs::read_to_string("/etc/hosts").unwrap_or_default();
            files::with_hosts(text, &more)
        }
        _ => {
            let addresses = match config.network {
                Kind::UserMode(mode) => network::usermode::addresses(mode),
                _ => plan.addresses(),
            };
            files::hosts(&config.hostname, Some(&config.domainname), &addresses, &more)
        }
    };
    let resolv = match plan {
        Plan::Host => files::with_resolver(files::read_resolv_conf()?.0, &config.resolver),
        _ => match config.network {
            Kind::UserMode(mode) => {
                let server = network::usermode::name_server(mode);
                let text = files::resolv_conf_by(&files::read_resolv_conf()?.0, server);
                files::with_resolver(text, &config.resolver)
            }
            _ => resolv_conf(config, &plan.endpoints())?,
        },
    };
    for (path, text) in [
        (dir.hostname(), files::hostname(&config.hostname)),
        (dir.hosts(), hosts),
        (dir.resolv_conf(), resolv),
    ] {
        // In place: it is bind-mounted. Everybody in the container may read it.
        fs::write(&path, text).on("write", &path)?;
    }
    Ok(())
}

/// The SHA-256 of a file; of one that cannot be read, or is larger than any of ours, nothing.
pub(super) fn digest_of(path: &Path) -> String {
    const LARGEST: usize = 1 << 20;
    read_small(path, LARGEST).map(|text| Digest::of(&text).hex()).unwrap_or_default()
}

/// The text for a container with a network of its own.
fn resolv_conf(config: &Config, endpoints: &[Endpoint]) -> Result<String> {
    let (host, upstream) = files::read_resolv_conf()?;
    Ok(match needs_name_server(config, endpoints, &host, &upstream) {
        true => {
            let host = files::with_resolver(host, &config.resolver);
            files::resolv_conf_builtin(&host, NAME_SERVER.into())
        }
        false => {
            let own = files::resolv_conf(&host, &upstream, has_ipv6(endpoints));
            files::with_resolver(own.unwrap_or_default(), &config.resolver)
        }
    })
}

/// Whether a container asks a name server of its own: on networks with names, and where it reaches
/// none of the host's.
pub(super) fn has_name_server(config: &Config, endpoints: &[Endpoint]) -> Result<bool> {
    let (host, upstream) = files::read_resolv_conf()?;
    Ok(needs_name_server(config, endpoints, &host, &upstream))
}

fn needs_name_server(config: &Config, endpoints: &[Endpoint], host: &str, upstream: &str) -> bool {
    let reaches_some = || {
        let has_own = endpoints.is_empty() || !config.resolver.servers.is_empty();
        has_own || files::resolv_conf(host, upstream, has_ipv6(endpoints)).is_some()
    };
    // Containers know each other by name on all but the default one.
    endpoints.iter().any(|at| at.network != DEFAULT) || !reaches_some()
}

fn has_ipv6(endpoints: &[Endpoint]) -> bool {
    endpoints.iter().any(|at| at.ipv6.is_some())
}

/// The lines of `--add-host`, with `host-gateway` being where the host is reached.
fn extra_hosts(config: &Config, plan: &Plan) -> Result<Vec<(String, IpAddr)>> {
    let gateway = match plan {
        Plan::Own(places) => places.iter().find_map(Attachment::gateway),
        Plan::Host => Some(Ipv4Addr::LOCALHOST),
        Plan::Joined(_) => None,
    };
    let line = |host: &ExtraHost| {
        let address = host.address.or(gateway.map(IpAddr::from)).ok_or_else(|| {
            Error::conflict(format!("--add-host {host}: no network of the container has the host"))
                .hint("put it on one that leads out too, or give the address")
        })?;
        Ok((host.name.clone(), address))
    };
    config.extra_hosts.iter().map(line).collect()
}
