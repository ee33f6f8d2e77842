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
//! All of it happens under the network lock. A consumer enters its mark before it looks whether the
//! target runs; a target that ends writes that down before it looks for marks: one of them sees the
//! other. A crash leaves at most marks whose consumer is dead, which go with its clearing up.
//!
//! There are no cycles: a container can be linked to by those that are made after it only.

mod env;
mod hosts;

use super::Engine;
use super::options::Options;
use crate::container::{Config, Dir, Link, Network, Settings, Status, Want};
use crate::error::{Context, Error, OsContext, Result};
use crate::sys::atomic;
use crate::types::{ContainerId, ContainerName, LinkSpec, Port};
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;

/// A container may have written anything into its /etc/hosts.
const LARGEST_HOSTS: u64 = 1 << 20;

/// A target as it is now.
struct Target {
    name: ContainerName,
    config: Config,
    /// Where it is, if it runs.
    address: Option<Ipv4Addr>,
}

impl Target {
    fn look(engine: &Engine, id: &ContainerId) -> Result<Target> {
        let dir = Dir::new(&engine.home, id);
        let (state, name) = (dir.state()?, dir.settings()?.name);
        let runs = state.status == Status::Running
            && state.process.as_ref().is_some_and(|process| process.open().is_some());
        let address = state.address().filter(|_| runs);
        Ok(Target { config: dir.config()?, name, address })
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
        // What an image says and nobody can read is shown only.
        let ports = self.config.exposed_ports.iter().filter_map(|text| text.parse().ok());
        let ports: Vec<Port> = ports.collect();
        env::variables(consumer, alias, address, &ports, &self.config.env)
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
        if config.network != Network::Bridge {
            let (theirs, ours) = (config.network, &options.network);
            return Err(Error::invalid(format!("{name} is on network {theirs}, not {ours}"))
                .hint("a link leads to a container of the same network"));
        }
        Ok(Link { target: dir.id, name: target, alias })
    }

    /// Tells a container on its way up, whose files in /etc are made, of those it links to. Gives
    /// the variables for its program.
    ///
    /// Errors: one of them does not run.
    pub(super) fn join_links(&self, dir: &Dir) -> Result<Vec<String>> {
        if dir.settings()?.links.is_empty() {
            return Ok(Vec::new());
        }
        let _lock = self.network_lock()?;
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
            let Some(address) = target.address else {
                let they = &target.name;
                return Err(unable("a non running", they.as_str(), &name, alias)
                    .hint(format!("start it first: start {they}")));
            };
            point(dir, &target.names(alias), Some(address))?;
            variables.extend(target.variables(&name, alias, address));
        }
        Ok(variables)
    }

    /// The same variables for another program in a container that runs; those of targets that do
    /// not run are left out.
    pub(super) fn link_variables(&self, dir: &Dir) -> Result<Vec<String>> {
        let Settings { name, links, .. } = dir.settings()?;
        let of_link = |link: &Link| {
            let target = Target::look(self, &link.target).ok()?;
            Some(target.variables(&name, &link.alias, target.address?))
        };
        Ok(links.iter().filter_map(of_link).flatten().collect())
    }

    /// Whether a target is about to run that does not yet: after a reboot all start at once.
    pub(super) fn waits_for_target(&self, dir: &Dir) -> Result<bool> {
        let is_coming = |link: &Link| {
            let Ok(state) = Dir::new(&self.home, &link.target).state() else { return false };
            let runs = state.status == Status::Running
                && state.process.as_ref().is_some_and(|process| process.open().is_some());
            state.want == Want::Up && state.status.is_up() && !runs
        };
        Ok(dir.settings()?.links.iter().any(is_coming))
    }

    /// Tells those who run with a link to this container where it is now; `None` for nowhere.
    pub(super) fn tell_linkers(&self, dir: &Dir, address: Option<Ipv4Addr>) -> Result<()> {
        if dir.linkers()?.is_empty() {
            return Ok(());
        }
        let _lock = self.network_lock()?;
        let (config, name) = (dir.config()?, dir.settings()?.name);
        let mut errors = Vec::new();
        for id in dir.linkers()? {
            let consumer = Dir::new(&self.home, &id);
            // One that is gone, or cannot be read, is for its next start.
            let Ok(settings) = consumer.settings() else { continue };
            for link in settings.links.iter().filter(|link| link.target == dir.id) {
                let names = hosts::names(&link.alias, &config.hostname, &name);
                let pointed = point(&consumer, &names, address);
                errors.extend(pointed.doing(|| format!("tell {}", settings.name)).err());
            }
        }
        Error::collect(errors)
    }

    /// Clears up after a container that ended, before its address is given up.
    pub(super) fn part_links(&self, dir: &Dir) -> Result<()> {
        // Records that cannot be read keep nobody from clearing up.
        let (Ok(_), Ok(Settings { links, .. })) = (dir.config(), dir.settings()) else {
            return Ok(());
        };
        self.tell_linkers(dir, None)?;
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
        let _lock = self.network_lock()?;
        let removed = consumer.update_settings(|settings| {
            let at = settings.links.iter().position(|link| link.alias.as_str() == alias)?;
            let link = settings.links.remove(at);
            let still = settings.links.iter().any(|other| other.target == link.target);
            Some((link, still))
        })?;
        let (link, still) =
            removed.ok_or_else(|| Error::not_found(format!("no such link: {path}")))?;
        if !still {
            Dir::new(&self.home, &link.target).remove_linker(&consumer.id)?;
        }
        match Target::look(self, &link.target) {
            Ok(target) => point(&consumer, &target.names(&link.alias), None),
            // With it went its line.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
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
fn point(consumer: &Dir, names: &str, address: Option<Ipv4Addr>) -> Result<()> {
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
    let new = hosts::point(&old, names, address);
    match new == old {
        true => Ok(()),
        false => atomic::rewrite(&path, &new).on("write", &path),
    }
}
