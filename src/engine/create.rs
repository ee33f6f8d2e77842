//! `create`: from an image and options to a container's records.

use super::options::{Membership, NetworkMode, Options, merge_env};
use super::{Engine, names};
use crate::container::log::Logging;
use crate::container::{
    Checkup, Config, Dir, Link, Live, Mount, MountKind, Namespaces, Network, Settings, Share,
    State, Status, dir,
};
use crate::error::{Context, Error, OsContext, Result};
use crate::image::Image;
use crate::image::config::RunConfig;
use crate::network::DEFAULT;
use crate::sys::lock::{Guard, Mode};
use crate::types::{
    ContainerId, ContainerName, Healthcheck, OnFailure, SdNotify, Signal, Timestamp,
};
use std::collections::BTreeSet;
use std::path::Path;

pub(super) const DEFAULT_STOP_TIMEOUT: u32 = 10;

/// The host's own name.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Which of them are there: `0-7`.
pub(super) const PROCESSORS: &str = "/sys/devices/system/cpu/online";

struct HostName {
    host: String,
    domain: String,
}

/// A container that exists, and the right to go on working on it.
pub(super) struct New {
    pub dir: Dir,
    pub live: Live,
}

impl Engine {
    /// Makes a container; it is not started. Nothing is left behind on error.
    pub fn create(&self, options: &Options) -> Result<ContainerId> {
        let new = self.create_live(options)?;
        if !options.auto_remove
            && let Err(error) = new.dir.sync_state()
        {
            let _ = self.discard(&new.dir, new.live);
            return Err(error);
        }
        let id = new.dir.id.clone();
        new.live.finish()?;
        Ok(id)
    }

    /// The same, and the right to work on it. That it was made does not survive loss of power yet.
    pub(super) fn create_live(&self, options: &Options) -> Result<New> {
        let options = &Options { network: self.network_mode(options)?, ..options.clone() };
        options.check()?;
        options.limits.fit(|| std::fs::read_to_string(PROCESSORS).on("read", PROCESSORS))?;
        let mode = match &options.network {
            NetworkMode::None => Some("none"),
            NetworkMode::Host => Some("host"),
            NetworkMode::Bridge | NetworkMode::Container(_) | NetworkMode::UserMode(_) => None,
        };
        if let Some(mode) = mode.filter(|_| options.publishes()) {
            // Docker's words, and as with Docker no reason to stop.
            let text = format!("published ports are discarded when using {mode} network mode");
            self.troubles.borrow_mut().push(Error::conflict(text));
        }
        self.begin()?;
        let links = self.resolve_links(options)?;
        let store = self.images()?;
        // Until the record says that it is used, nobody may remove the image.
        let images = store.lock(Mode::Shared)?;
        let id = store.resolve(&options.image).map_err(|e| missing_image(e, &options.image))?;
        let image = store.image(&id)?;
        let random = crate::sys::random::bytes::<34>().on("read", "random bytes")?;
        let (id, name) = random.split_at(32);
        let id = ContainerId::from_random(id.try_into().unwrap_or_default());
        let dir = Dir::new(&self.home, &id);
        let live = dir.wait_live()?;
        let new = New { dir, live };
        match self.lay(&new, options, links, &image, name, images) {
            Ok(name) => {
                self.tell_of_this(&*new.dir.config()?, &name, "create", &[]);
                Ok(new)
            }
            Err(error) => {
                // The error to tell is that one; what this cannot remove, the sweep will.
                let _ = self.discard(&new.dir, new.live);
                Err(error)
            }
        }
    }

    /// Writes the records, and makes what they refer to. The images lock is given up when the
    /// records say that the image is used. Gives the container's name.
    fn lay(
        &self,
        new: &New,
        options: &Options,
        links: Vec<Link>,
        image: &Image,
        random: &[u8],
        images: Guard,
    ) -> Result<ContainerName> {
        let volumes = self.lock_volumes_of(options, image)?;
        let mounts = self.resolve_mounts(options, image)?;
        let namespaces = self.resolve_namespaces(&options.namespaces)?;
        let network = self.resolve_network(options, &new.dir.id)?;
        let mut config = merge(options, image, &new.dir.id, mounts, namespaces, network)?;
        self.check_health(&config)?;
        self.settings.limit(&mut config.isolation.ulimits);
        if matches!(config.network, Network::Bridge | Network::UserMode(_)) {
            self.settings.complete(&mut config.resolver);
        }
        if config.entrypoint.is_empty() && config.command.is_empty() {
            return Err(Error::invalid(format!("{} names no command to run", options.image))
                .hint("give one after the image's name"));
        }
        let random = random.try_into().unwrap_or_default();
        let wanted = options.name.clone();
        let name = match &wanted {
            Some(name) => name.clone(),
            None => names::invent(random, 0).parse()?,
        };
        let settings = Settings {
            name,
            links,
            restart: options.restart,
            limits: options.limits.clone(),
            networks: self.memberships(options)?,
        };
        let ephemeral = config.auto_remove;
        let state = State { ephemeral, ..State::new(Status::Creating) };
        config.log = options.log.clone().or(&self.settings.log).logging()?;
        self.check_log(&config)?;
        let config = new.dir.create(config, &settings, &state)?;
        if let Some(parent) = &options.cgroup_parent {
            new.dir.set_cgroup_parent(parent.trim_end_matches('/'))?;
        }
        if let Some(target) = config.log.target() {
            let link = new.dir.log();
            std::os::unix::fs::symlink(target, &link).on("link", &link)?;
        }
        let name = self.name(new, settings, wanted.is_some(), random)?;
        self.make_sources(&config)?;
        // Copying may take long, and the records keep others from removing anything.
        drop((images, volumes));
        self.make_root(&new.dir, image, !ephemeral)?;
        self.fill_volumes(&new.dir, &config)?;
        if !ephemeral {
            new.dir.sync_entry()?;
        }
        new.dir.update_state(|state| state.status = Status::Created)?;
        Ok(name)
    }

    /// A log lies where its container cannot reach it: it is written and renamed by root.
    fn check_log(&self, config: &Config) -> Result<()> {
        config.log.check_attributes(&config.labels, &config.env)?;
        let Some(path) = config.log.options.get("path") else { return Ok(()) };
        let wrong = |why: String| Err(Error::invalid(format!("--log-opt path={path}: {why}")));
        let Some(dir) = Path::new(path).parent() else { return wrong("it is a directory".into()) };
        let dir = std::fs::canonicalize(dir).on("open", dir);
        let dir = dir.doing(|| format!("--log-opt path={path}"))?;
        if dir.starts_with(&self.home.root) {
            return wrong(format!("{} is coracle's own", self.home.root.display()));
        }
        for mount in config.mounts.iter().filter(|m| m.kind == MountKind::Bind && !m.read_only) {
            if std::fs::canonicalize(&mount.source).is_ok_and(|source| dir.starts_with(source)) {
                return wrong(format!(
                    "the container can write there, by its mount of {} on {}",
                    mount.source, mount.target
                ))
                .map_err(|e| e.hint("mount it read-only, or keep the log elsewhere"));
            }
        }
        Ok(())
    }

    /// What asks for a health check has one.
    fn check_health(&self, config: &Config) -> Result<()> {
        if config.health.command().is_some() {
            return Ok(());
        }
        let needs = |what: String| {
            let error = Error::invalid(format!("{what} needs a health check"));
            Err(error.hint("say what to run with --health-cmd"))
        };
        if config.sdnotify == Some(SdNotify::Healthy) {
            return needs("--sdnotify healthy".into());
        }
        if config.health.on_failure != OnFailure::None {
            return needs(format!("--health-on-failure {}", config.health.on_failure));
        }
        // As with Docker no reason to stop.
        if config.health.check.as_ref().is_some_and(|check| check.test.is_empty()) {
            let text = "nothing is checked: neither --health-cmd nor the image says what to run";
            self.troubles.borrow_mut().push(Error::conflict(text));
        }
        Ok(())
    }

    /// The networks that a container with links of its own is on.
    pub(super) fn memberships(&self, options: &Options) -> Result<Vec<Membership>> {
        if options.network != NetworkMode::Bridge {
            return Ok(Vec::new());
        }
        if options.networks.is_empty() {
            return Ok(vec![Membership::new(DEFAULT)]);
        }
        let mut memberships: Vec<Membership> = Vec::new();
        for wanted in &options.networks {
            let found = self.usable(wanted).doing(|| format!("--network {}", wanted.network))?;
            if memberships.iter().any(|one| one.network == found.network) {
                let text = format!("--network {} is there twice", wanted.network);
                return Err(Error::invalid(text));
            }
            memberships.push(found);
        }
        Ok(memberships)
    }

    /// The network, and what the container is called there.
    fn resolve_network(&self, options: &Options, id: &ContainerId) -> Result<(Network, HostName)> {
        let named = match &options.namespaces.uts {
            Share::Own | Share::Shareable | Share::None => None,
            Share::Host => {
                let name = std::fs::read_to_string(HOSTNAME).on("read", HOSTNAME)?;
                Some((name.trim_end().to_string(), String::new()))
            }
            Share::Container(owner) => {
                let other = self.find(owner).doing(|| "--uts".into())?.config()?;
                Some((other.hostname.clone(), other.domainname.clone()))
            }
        };
        let (network, own) = self.network_and_name(options, id)?;
        Ok(match named {
            Some((host, domain)) => (network, HostName { host, domain }),
            None => (network, own),
        })
    }

    fn network_and_name(&self, options: &Options, id: &ContainerId) -> Result<(Network, HostName)> {
        let given = options.hostname.clone();
        let own = |host| HostName { host, domain: options.domainname.clone() };
        let short = || id.short().to_string();
        Ok(match &options.network {
            NetworkMode::Bridge => (Network::Bridge, own(given.unwrap_or_else(short))),
            NetworkMode::None => (Network::None, own(given.unwrap_or_else(short))),
            NetworkMode::UserMode(mode) => {
                (Network::UserMode(*mode), own(given.unwrap_or_else(short)))
            }
            NetworkMode::Host => {
                let hosts = || std::fs::read_to_string(HOSTNAME).on("read", HOSTNAME);
                let name = given.map_or_else(hosts, Ok)?;
                (Network::Host, own(name.trim_end().to_string()))
            }
            NetworkMode::Container(name) => {
                let dir = self.find(name).doing(|| "--network".into())?;
                let other = dir.config()?;
                let name =
                    HostName { host: other.hostname.clone(), domain: other.domainname.clone() };
                (Network::Container(dir.id), name)
            }
        })
    }

    /// Claims the name, or invents ones until one is free.
    fn name(
        &self,
        new: &New,
        mut settings: Settings,
        given: bool,
        random: [u8; 2],
    ) -> Result<ContainerName> {
        for attempt in 1.. {
            if dir::claim_name(&new.dir, &settings.name)? {
                break;
            }
            if given {
                return Err(name_taken(self, &settings.name));
            }
            settings.name = names::invent(random, attempt).parse()?;
            new.dir.write_settings(&settings)?;
        }
        Ok(settings.name)
    }
}

/// With Docker's words, which people wait for.
fn missing_image(error: Error, name: &str) -> Error {
    match error.is_not_found() {
        true => Error::not_found(format!("Unable to find image '{name}' locally"))
            .hint("get it with load or import: registries are not spoken to yet"),
        false => error.doing("the image"),
    }
}

pub(super) fn name_taken(engine: &Engine, name: &ContainerName) -> Error {
    let holder = dir::named(&engine.home, name.as_str()).ok().flatten();
    let holder = holder.map(|id| format!(" by container {}", id.short())).unwrap_or_default();
    Error::conflict(format!("the name \"{name}\" is in use{holder}"))
        .hint("remove or rename that container, or choose another name")
}

/// What is to be checked: as asked for, what that leaves open as the image has it.
fn checkup(asked: &Checkup, image: &RunConfig) -> Checkup {
    let check = match (&asked.check, &image.healthcheck) {
        (Some(own), Some(image)) if *own != Healthcheck::none() => Some(own.clone().or(image)),
        (own, image) => own.as_ref().or(image.as_ref()).cloned(),
    };
    let shell = image.shell.clone().unwrap_or_else(|| ["/bin/sh", "-c"].map(String::from).into());
    Checkup {
        shell: if check.is_some() { shell } else { Vec::new() },
        check,
        on_failure: asked.on_failure,
    }
}

/// The image's configuration with the options laid over it.
fn merge(
    options: &Options,
    image: &Image,
    id: &ContainerId,
    mounts: Vec<Mount>,
    namespaces: Namespaces<ContainerId>,
    (network, name): (Network, HostName),
) -> Result<Config> {
    let run = &image.config.config;
    // A new entrypoint does not take the old command's arguments.
    let (entrypoint, image_command) = match &options.entrypoint {
        Some(entrypoint) => (entrypoint.clone(), None),
        None => (run.entrypoint.clone().unwrap_or_default(), run.cmd.clone()),
    };
    let command = match options.command.is_empty() {
        false => options.command.clone(),
        true => image_command.unwrap_or_default(),
    };
    let stop_signal = match (&options.stop_signal, &run.stop_signal) {
        (Some(signal), _) => *signal,
        (None, Some(text)) => text.parse().doing(|| "the image's StopSignal".into())?,
        (None, None) => Signal::TERM,
    };
    let timeout = run.stop_timeout.and_then(|t| u32::try_from(t).ok());
    let mut labels = run.labels.clone();
    labels.extend(options.labels.clone());
    let mut ports: BTreeSet<String> = run.exposed_ports.keys().cloned().collect();
    let published = options.ports.iter().map(|binding| &binding.port);
    ports.extend(options.exposed_ports.iter().chain(published).map(ToString::to_string));
    let working_dir = options.working_dir.clone().unwrap_or_else(|| run.working_dir.clone());
    Ok(Config {
        id: id.clone(),
        created: Timestamp::now(),
        image: image.id,
        image_name: options.image.clone(),
        entrypoint,
        command,
        env: merge_env(&run.env, &options.env),
        working_dir: if working_dir.is_empty() { "/".into() } else { working_dir },
        user: options.user.clone().unwrap_or_else(|| run.user.clone()),
        hostname: name.host,
        domainname: name.domain,
        resolver: options.resolver.clone(),
        extra_hosts: options.extra_hosts.clone(),
        mac_address: options.mac_address,
        tty: options.tty,
        open_stdin: options.open_stdin,
        stdin_once: options.stdin_once,
        attached: options.attached,
        stop_signal,
        stop_timeout: options.stop_timeout.or(timeout).unwrap_or(DEFAULT_STOP_TIMEOUT),
        mounts,
        volumes_from: options.volumes_from.iter().map(ToString::to_string).collect(),
        exposed_ports: ports.into_iter().collect(),
        ports: options.ports.clone(),
        publish_all: options.publish_all,
        labels,
        annotations: options.annotations.clone(),
        network,
        auto_remove: options.auto_remove,
        namespaces,
        isolation: options.isolation.clone(),
        log: Logging::default(),
        health: checkup(&options.health, run),
        sdnotify: options.sdnotify,
    })
}
