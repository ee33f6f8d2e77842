//! `--link`: what a container (the consumer) is told of another one (the target), and how it stays
//! true.
//!
//! A link is in the consumer's settings, and names the target by its id. When the consumer starts,
//! its environment and its /etc/hosts say where the target is. When the target goes, its line goes
//! from the hosts of all who run with a link to it, for the address is free and may be somebody
//! else's soon; when it comes again, the line comes again. The environment of a program that runs
//! cannot be changed.
//!
//! ```text
//! <run>/links/<target>/<consumer>   the consumer may have a line for the target
//! ```
//!
//! `lead` has a line and the rules of a link be what they should be, whatever they were. It is done
//! whenever either end starts, ends, or changes its networks.
//!
//! All that changes something happens under the network lock; who makes a container or executes a
//! program in one looks without it. A consumer enters its mark before it looks whether the
//! target runs; a target that ends writes that down before it looks for marks: one of them sees the
//! other. A crash leaves at most marks whose consumer is dead, which go with its clearing up.
//!
//! There are no cycles: a container can be linked to by those that are made after it only.

mod env;
mod hosts;

use super::Engine;
use super::options::Options;
use crate::container::{Config, Dir, Endpoint, Link, Membership, Settings, Status};
use crate::error::{Context, Error, OsContext, Result};
use crate::network::{self, NetworkLock};
use crate::sys::atomic;
use crate::types::{ContainerId, ContainerName, LinkSpec, Port};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

/// A container may have written anything into its /etc/hosts.
const LARGEST_HOSTS: u64 = 1 << 20;

/// A target as it is now.
struct Target {
    name: ContainerName,
    config: Rc<Config>,
    runs: bool,
    /// Where it is. None, where it is on its way down.
    endpoints: Vec<Endpoint>,
}

/// From a consumer to a target, over a network that both are on.
struct Way {
    network: String,
    client: Ipv4Addr,
    server: Ipv4Addr,
    /// By IPv6 too, where both ends have it.
    server6: Option<Ipv6Addr>,
}

impl Way {
    /// All that there are. The consumer is told the first.
    fn all(consumer: &[Endpoint], target: &[Endpoint]) -> Vec<Way> {
        let ways = consumer.iter().filter_map(|own| {
            let other = target.iter().find(|other| other.network_id == own.network_id)?;
            let (client, server) = (own.address, other.address);
            let server6 = own.ipv6.as_ref().and(other.ipv6.as_ref()).map(|at| at.address);
            Some(Way { network: own.network.clone(), client, server, server6 })
        });
        ways.collect()
    }

    /// Where the target is, for /etc/hosts.
    fn servers(&self) -> Vec<IpAddr> {
        [Some(self.server.into()), self.server6.map(IpAddr::V6)].into_iter().flatten().collect()
    }

    /// With what a target of this configuration exposes.
    fn link(&self, target: &Config) -> network::Link {
        network::Link { client: self.client, server: self.server, ports: ports(target) }
    }
}

impl Target {
    fn look(engine: &Engine, id: &ContainerId) -> Result<Target> {
        let dir = Dir::new(&engine.home, id);
        let (state, name) = (dir.state()?, dir.settings()?.name);
        let is_there = state.process.as_ref().is_some_and(|process| process.open().is_some());
        let runs = is_there && state.status == Status::Running;
        let endpoints = if is_there { state.endpoints } else { Vec::new() };
        Ok(Target { config: dir.config()?, name, runs, endpoints })
    }

    fn names(&self, alias: &ContainerName) -> String {
        hosts::names(alias, &self.config.hostname, &self.name)
    }

    /// What a program of `consumer` finds in its environment.
    fn variables(
        &self,
        consumer: &ContainerName,
        alias: &ContainerName,
        address: Ipv4Addr,
    ) -> Vec<String> {
        env::variables(consumer, alias, address, &ports(&self.config), &self.config.env)
    }
}

impl Engine {
    /// The links of a new container.
    pub(super) fn resolve_links(&self, options: &Options) -> Result<Vec<Link>> {
        let mut links: Vec<Link> = Vec::new();
        for spec in &options.links {
            let link = self.resolve_link(options, spec).doing(|| format!("--link {spec}"))?;
            match links.iter().find(|other| other.alias == link.alias) {
                Some(other) if other.target == link.target => {}
                Some(other) => {
                    let (name, alias) = (&other.name, &other.alias);
                    let text = format!("--link {spec}: the alias {alias} is that of {name}");
                    return Err(Error::invalid(text).hint("give each container its own"));
                }
                None => links.push(link),
            }
        }
        Ok(links)
    }

    fn resolve_link(&self, options: &Options, spec: &LinkSpec) -> Result<Link> {
        let LinkSpec { target, alias } = spec.clone();
        let dir = self.find(&target).map_err(|error| {
            let own = options.name.as_ref().map(ContainerName::as_str);
            match own == Some(target.trim_start_matches('/')) && error.is_not_found() {
                true => Error::invalid("a container cannot be linked to itself"),
                false => error,
            }
        })?;
        let (config, name) = (dir.config()?, dir.settings()?.name);
        let ours = self.memberships(options)?;
        let theirs = dir.settings()?.networks;
        if !ours.iter().any(|own| theirs.iter().any(|other| other.network == own.network)) {
            let names = |all: &[Membership]| match all {
                [] => config.network.to_string(),
                all => all.iter().map(|m| m.network.as_str()).collect::<Vec<_>>().join(", "),
            };
            let (theirs, ours) = (names(&theirs), names(&ours));
            return Err(Error::invalid(format!("{name} is on network {theirs}, not {ours}"))
                .hint("a link leads to a container of the same network"));
        }
        Ok(Link { target: dir.id, name: target, alias })
    }

    /// Tells a container on its way up, whose files in /etc are made and whose ways are open, of
    /// those it links to. Gives the variables for its program.
    ///
    /// Errors: one of them does not run.
    pub(super) fn join_links(
        &self,
        _: &NetworkLock,
        dir: &Dir,
        own: &[Endpoint],
    ) -> Result<Vec<String>> {
        let Settings { name, links, .. } = dir.settings()?;
        let mut variables = Vec::new();
        for link in &links {
            let Link { target: id, name: written, alias } = link;
            let gone = |error: Error| match error.is_not_found() {
                true => unable("a removed", written, &name, alias)
                    .hint(format!("remove the link: rm --link {name}/{alias}")),
                false => error,
            };
            Dir::new(&self.home, id).add_linker(&dir.id)?;
            let target = Target::look(self, id).map_err(gone)?;
            let they = target.name.as_str();
            if !target.runs {
                return Err(unable("a non running", they, &name, alias)
                    .hint(format!("start it first: start {they}")));
            }
            let ways = Way::all(own, &target.endpoints);
            let Some(way) = ways.first() else {
                return Err(unable("an unreachable", they, &name, alias)
                    .hint("they have no network in common"));
            };
            point(dir, &target.names(alias), &way.servers())?;
            variables.extend(target.variables(&name, alias, way.server));
        }
        Ok(variables)
    }

    /// The same variables for another program in a container that runs; those of targets that do
    /// not run are left out.
    pub(super) fn link_variables(&self, dir: &Dir) -> Result<Vec<String>> {
        let Settings { name, links, .. } = dir.settings()?;
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let own = dir.state()?.endpoints;
        let of_link = |link: &Link| {
            let target = Target::look(self, &link.target).ok().filter(|target| target.runs)?;
            let ways = Way::all(&own, &target.endpoints);
            Some(target.variables(&name, &link.alias, ways.first()?.server))
        };
        Ok(links.iter().filter_map(of_link).flatten().collect())
    }

    /// Whether a target is on its way.
    pub(super) fn waits_for_target(&self, dir: &Dir) -> Result<bool> {
        let links = dir.settings()?.links;
        Ok(links.iter().any(|link| self.is_coming(&Dir::new(&self.home, &link.target))))
    }

    /// What is to be open on a network between a container, which has these places, and those it
    /// links to.
    pub(super) fn links_from(
        &self,
        network: &str,
        dir: &Dir,
        own: &[Endpoint],
    ) -> Result<Vec<network::Link>> {
        let mut found = Vec::new();
        for link in dir.settings()?.links {
            let target = Dir::new(&self.home, &link.target);
            // One that is gone is nowhere.
            let Some((theirs, config)) = self.places(&target).zip(target.config().ok()) else {
                continue;
            };
            let ways = Way::all(own, &theirs).into_iter();
            found.extend(ways.filter(|way| way.network == network).map(|way| way.link(&config)));
        }
        Ok(found)
    }

    /// The same of those that link to it.
    pub(super) fn links_to(
        &self,
        network: &str,
        dir: &Dir,
        own: &[Endpoint],
    ) -> Result<Vec<network::Link>> {
        let mut found = Vec::new();
        for id in dir.linkers()? {
            let consumer = Dir::new(&self.home, &id);
            let Some(theirs) = self.places(&consumer) else { continue };
            let mut ways = Way::all(&theirs, own).into_iter();
            let Some(way) = ways.find(|way| way.network == network) else { continue };
            if consumer.settings()?.links.iter().any(|link| link.target == dir.id) {
                let config = dir.config()?;
                found.push(way.link(&config));
            }
        }
        Ok(found)
    }

    /// Where a container is that runs or is on its way up. `None` where it is not, or cannot be
    /// read, which is for its next start.
    pub(super) fn places(&self, dir: &Dir) -> Option<Vec<Endpoint>> {
        let state = dir.state().ok().filter(|state| state.status.is_up())?;
        let mut places = state.endpoints;
        // It may not have got that far, and was there when it last ran.
        places.retain(|at| self.networks().has(&at.network, &dir.id, at.address));
        Some(places)
    }

    /// Opens the way, where containers do not reach each other anyway.
    fn open(&self, lock: &NetworkLock, way: &Way, target: &Config) -> Result<()> {
        match self.networks().bridge(&way.network)? {
            Some(bridge) => self.networks().link(lock, &bridge, &[way.link(target)]),
            None => Ok(()),
        }
    }

    fn close(&self, lock: &NetworkLock, way: &Way) -> Result<()> {
        match self.networks().bridge(&way.network)? {
            Some(bridge) => self.networks().unlink(lock, &bridge, way.client, way.server),
            None => Ok(()),
        }
    }

    /// Has the line of a link in the hosts of `consumer`, which is at `own`, and its ways be what they
    /// should be.
    fn lead(
        &self,
        lock: &NetworkLock,
        consumer: &Dir,
        own: &[Endpoint],
        link: &Link,
        target: &Target,
    ) -> Result<()> {
        let ways = Way::all(own, &target.endpoints);
        let at = ways.first().map(Way::servers).unwrap_or_default();
        let pointed = point(consumer, &target.names(&link.alias), &at);
        let mut opened = ways.iter().map(|way| self.open(lock, way, &target.config));
        opened.try_for_each(|opened| opened).and(pointed)
    }

    /// The same for all links that a container which changes has a part in.
    pub(super) fn follow_links(&self, lock: &NetworkLock, dir: &Dir) -> Result<()> {
        let links = dir.settings()?.links;
        if links.is_empty() && dir.linkers()?.is_empty() {
            return Ok(());
        }
        let itself = Target::look(self, &dir.id)?;
        let mut errors = Vec::new();
        for link in &links {
            // One that is gone took its line along.
            let Ok(target) = Target::look(self, &link.target) else { continue };
            errors.extend(self.lead(lock, dir, &itself.endpoints, link, &target).err());
        }
        errors.extend(self.lead_linkers(lock, dir, &itself).err());
        Error::collect(errors)
    }

    /// The same after a container was called `old`.
    pub(super) fn follow_name(
        &self,
        lock: &NetworkLock,
        dir: &Dir,
        old: &ContainerName,
    ) -> Result<()> {
        let config = dir.config()?;
        for id in dir.linkers()? {
            let consumer = Dir::new(&self.home, &id);
            let Ok(settings) = consumer.settings() else { continue };
            for link in settings.links.iter().filter(|link| link.target == dir.id) {
                point(&consumer, &hosts::names(&link.alias, &config.hostname, old), &[])?;
            }
        }
        self.follow_links(lock, dir)
    }

    /// The same for those who run with a link to a container.
    fn lead_linkers(&self, lock: &NetworkLock, dir: &Dir, target: &Target) -> Result<()> {
        let mut errors = Vec::new();
        for id in dir.linkers()? {
            let consumer = Dir::new(&self.home, &id);
            // One that is gone, or cannot be read, is for its next start.
            let (Ok(settings), Ok(state)) = (consumer.settings(), consumer.state()) else {
                continue;
            };
            let own = if state.status.is_up() { &state.endpoints[..] } else { &[] };
            for link in settings.links.iter().filter(|link| link.target == dir.id) {
                let led = self.lead(lock, &consumer, own, link, target);
                errors.extend(led.doing(|| format!("tell {}", settings.name)).err());
            }
        }
        Error::collect(errors)
    }

    /// Tells those who run with a link to this container where it is now; nowhere, without
    /// endpoints.
    pub(super) fn tell_linkers(&self, dir: &Dir, own: &[Endpoint]) -> Result<()> {
        if dir.linkers()?.is_empty() {
            return Ok(());
        }
        let lock = self.network_lock()?;
        let target = Target { endpoints: own.to_vec(), ..Target::look(self, &dir.id)? };
        self.lead_linkers(&lock, dir, &target)
    }

    /// Clears up after a container that ended, before its address is given up.
    pub(super) fn part_links(&self, dir: &Dir) -> Result<()> {
        // Records that cannot be read keep nobody from clearing up.
        let (Ok(_), Ok(Settings { links, .. })) = (dir.config(), dir.settings()) else {
            return Ok(());
        };
        // What a consumer made of its own file is no reason for this one to stay.
        let told = self.tell_linkers(dir, &[]);
        self.troubles.borrow_mut().extend(told.err());
        if links.is_empty() {
            return Ok(());
        }
        let _lock = self.network_lock()?;
        let mut targets = links.iter().map(|link| Dir::new(&self.home, &link.target));
        targets.try_for_each(|target| target.remove_linker(&dir.id))
    }

    /// `rm --link PARENT/ALIAS`: the link goes, both containers stay.
    pub fn unlink(&self, path: &str) -> Result<()> {
        self.begin()?;
        let Some((parent, alias)) = split_path(path) else {
            self.find(path)?;
            return Err(Error::conflict(format!("{path} is the container's own name"))
                .hint("name a link: rm --link PARENT/ALIAS"));
        };
        let consumer = self.find(parent)?;
        let change = self.begin_change(&consumer)?;
        let lock = self.network_lock()?;
        if !consumer.settings()?.links.iter().any(|link| link.alias.as_str() == alias) {
            return Err(Error::not_found(format!("no such link: {path}")));
        }
        change.note_link(alias)?;
        self.part_link(&lock, &consumer, alias)?;
        change.end()
    }

    /// Takes a link away, however much of it is left. The settings know of it to the last.
    pub(super) fn part_link(&self, lock: &NetworkLock, consumer: &Dir, alias: &str) -> Result<()> {
        let links = consumer.settings()?.links;
        let is_it = |link: &Link| link.alias.as_str() == alias;
        let Some(link) = links.iter().find(|link| is_it(link)) else { return Ok(()) };
        let target = match Target::look(self, &link.target) {
            // With it went its line and its ways.
            Err(error) if error.is_not_found() => None,
            other => Some(other?),
        };
        if let Some(target) = &target {
            // What the consumer made of its own file is no reason to keep the link.
            let pointed = point(consumer, &target.names(&link.alias), &[]);
            self.troubles.borrow_mut().extend(pointed.err());
        }
        if !links.iter().any(|other| other.target == link.target && !is_it(other)) {
            let state = consumer.state()?;
            let target = target.filter(|_| state.status.is_up());
            for way in target.iter().flat_map(|to| Way::all(&state.endpoints, &to.endpoints)) {
                self.close(lock, &way)?;
            }
            Dir::new(&self.home, &link.target).remove_linker(&consumer.id)?;
        }
        consumer.update_settings(|settings| settings.links.retain(|link| !is_it(link)))
    }

    /// The container that a path leads to: `webapp/db`.
    pub(super) fn find_by_path(&self, path: &str) -> Result<Option<Dir>> {
        let Some((parent, alias)) = split_path(path) else { return Ok(None) };
        let parent = match self.find(parent) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let links = parent.settings()?.links;
        let link = links.into_iter().find(|link| link.alias.as_str() == alias);
        let dir = link.map(|link| Dir::new(&self.home, &link.target));
        Ok(dir.filter(Dir::exists))
    }
}

/// The ports that a link opens. What an image says and nobody can read is shown only.
fn ports(config: &Config) -> Vec<Port> {
    config.exposed_ports.iter().filter_map(|text| text.parse().ok()).collect()
}

/// `webapp` and `db` of `/webapp/db`; nothing where it is no path.
fn split_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/').unwrap_or(path).rsplit_once('/')
}

fn unable(what: &str, target: &str, consumer: &ContainerName, alias: &ContainerName) -> Error {
    let target = target.trim_start_matches('/');
    Error::conflict(format!("cannot link to {what} container: /{target} AS /{consumer}/{alias}"))
}

/// Has the line of these names in a consumer's /etc/hosts lead to `address`, or takes it away. In
/// place, as the file is mounted.
pub(super) fn point(consumer: &Dir, names: &str, addresses: &[IpAddr]) -> Result<()> {
    let path = consumer.hosts();
    match fs::metadata(&path) {
        // It is made at the start.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(meta) if meta.len() > LARGEST_HOSTS => {
            return Err(Error::conflict("its /etc/hosts is larger than a megabyte"));
        }
        other => other.on("stat", &path)?,
    };
    let old = fs::read(&path).on("read", &path)?;
    let new = hosts::point(&old, names, addresses);
    match new == old {
        true => Ok(()),
        false => atomic::rewrite(&path, &new).on("write", &path),
    }
}
