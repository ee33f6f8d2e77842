//! What the engine tells about containers and itself: plain data, which every face shows in its
//! own way.

mod host_config;
mod inspect;
mod network;
mod volume;

pub use inspect::InspectContainer;
pub use network::{InspectNetwork, Network, Place};
pub use volume::{InspectVolume, Volume};

use super::Driver;
use crate::container::{Config, Endpoint, Health, Mount, MountKind, Settings, State, Status};
use crate::types::{ContainerName, Published};
use std::path::PathBuf;

/// A container as it is now: `state` has been compared with the kernel, but for the process of one
/// that a monitor says to run, where all containers are told.
#[derive(Clone, Debug)]
pub struct Container {
    pub config: Config,
    pub settings: Settings,
    pub state: State,
    /// Of one that is checked, and was started.
    pub health: Option<Health>,
    /// What the image is called; its short id where the name has moved on to another image.
    pub image_name: String,
    /// A monitor stands beside it. Without one, a running container waits to be adopted.
    pub monitored: bool,
    pub driver: Driver,
    /// What an overlay has below its own files, the highest first. Told of one alone.
    pub lower: Vec<String>,
    /// What the host's processors tell of their heat, which it does not see. Told of one alone.
    pub sensors: Vec<String>,
    /// `<root>/containers/<id>`
    pub directory: PathBuf,
    /// That of the container whose files about the network it sees. Told of one alone.
    pub network_files: PathBuf,
    /// `<root>/volumes`
    pub volumes: PathBuf,
    /// The cgroup above its own, where it was chosen. Told of one alone.
    pub cgroup_parent: String,
    /// Those it links to: what each is called by itself, and here.
    pub links: Vec<(String, ContainerName)>,
    /// Its paths, `webapp/db`, by the links of others. Told where all containers are.
    pub paths: Vec<String>,
}

impl Container {
    /// The state in Docker's words.
    pub fn status(&self) -> &'static str {
        match self.state.status {
            Status::Creating | Status::Created | Status::Starting => "created",
            Status::Running if self.state.paused => "paused",
            Status::Running => "running",
            Status::Restarting => "restarting",
            Status::Exited => "exited",
            Status::Removing => "removing",
        }
    }

    /// Its places on networks, while it runs.
    pub fn endpoints(&self) -> &[Endpoint] {
        if self.is_running() { &self.state.endpoints } else { &[] }
    }

    pub fn is_running(&self) -> bool {
        self.state.status == Status::Running
    }

    /// The program of its network died, and no other has come up yet: `state.error` says why.
    pub fn lacks_network(&self) -> bool {
        self.is_running() && !self.state.error.is_empty()
    }

    /// That of its first process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        let process = self.state.process.as_ref().filter(|_| self.is_running());
        process.map(|process| process.pid.raw())
    }

    /// It runs, or will run again by itself: what a plain `ps` shows.
    pub fn is_up(&self) -> bool {
        matches!(self.state.status, Status::Running | Status::Restarting)
    }

    /// The ports that lead to it now.
    pub fn published(&self) -> &[Published] {
        if self.is_running() { &self.state.ports } else { &[] }
    }

    /// The networks that it is on, or `none`, or `host`.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        let networks = self.settings.networks.iter().map(|membership| &membership.network[..]);
        self.config.network.special().into_iter().chain(networks)
    }

    pub fn volumes(&self) -> impl Iterator<Item = &Mount> {
        self.config.mounts.iter().filter(|mount| mount.kind == MountKind::Volume)
    }

    /// The program and its arguments: entrypoint and command, in this order.
    pub fn argv(&self) -> impl Iterator<Item = &str> {
        self.config.entrypoint.iter().chain(&self.config.command).map(String::as_str)
    }
}

/// The processes of a container, as ps(1) lists them.
#[derive(Clone, Debug)]
pub struct Processes {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The engine and its host.
#[derive(Clone, Debug)]
pub struct Info {
    /// Of this state root on this machine.
    pub id: String,
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    pub root: PathBuf,
    /// How layers become a root; `None` where there is no state root yet.
    pub storage: Option<Driver>,
    /// 1 or 2.
    /// `None` where no cgroup file system is mounted.
    pub cgroup_version: Option<u8>,
    pub kernel: String,
    pub operating_system: String,
    pub architecture: String,
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
    pub hostname: String,
    pub log_driver: &'static str,
    pub debug: bool,
    pub is_rootless: bool,
    /// `key=value`, of the engine itself.
    pub labels: Vec<String>,
    /// What this host lacks, a sentence each.
    pub warnings: Vec<String>,
}

/// A container of busybox that was created and no more, with an id of one repeated digit.
#[cfg(test)]
pub fn sample(name: &str, digit: &str) -> Container {
    use crate::types::{Digest, RestartPolicy, Signal, Timestamp};
    Container {
        config: Config {
            id: digit.repeat(64).parse().unwrap(),
            created: Timestamp::from_unix(1_400_000_000),
            image: Digest::of(b"busybox"),
            image_name: "busybox".to_string(),
            entrypoint: Vec::new(),
            command: vec!["sh".to_string()],
            env: vec!["PATH=/bin".to_string()],
            working_dir: "/".to_string(),
            user: String::new(),
            hostname: "box".to_string(),
            domainname: String::new(),
            resolver: Default::default(),
            extra_hosts: Vec::new(),
            mac_address: None,
            tty: None,
            open_stdin: false,
            stdin_once: false,
            attached: Default::default(),
            stop_signal: Signal::TERM,
            stop_timeout: 10,
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            exposed_ports: Vec::new(),
            ports: Vec::new(),
            publish_all: false,
            labels: Default::default(),
            annotations: Default::default(),
            network: crate::container::Network::Bridge,
            auto_remove: false,
            namespaces: Default::default(),
            log: Default::default(),
            health: Default::default(),
            sdnotify: None,
            isolation: Default::default(),
        },
        settings: Settings {
            name: name.parse().unwrap(),
            links: Vec::new(),
            restart: RestartPolicy::No,
            limits: Default::default(),
            networks: vec![crate::container::Membership::new("bridge")],
        },
        state: State::new(Status::Created),
        health: None,
        image_name: "busybox".to_string(),
        monitored: true,
        driver: Driver::Overlay,
        lower: Vec::new(),
        sensors: Vec::new(),
        directory: PathBuf::from("/root/containers/x"),
        network_files: PathBuf::from("/root/containers/x"),
        volumes: PathBuf::from("/root/volumes"),
        cgroup_parent: String::new(),
        links: Vec::new(),
        paths: Vec::new(),
    }
}
