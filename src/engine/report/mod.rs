//! What the engine tells about containers, images and itself: plain data, which every face shows
//! in its own way.

mod inspect;

pub use inspect::{InspectContainer, InspectImage};

use crate::container::{Config, Settings, State, Status};
use crate::types::{Digest, ImageRef, Timestamp};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// A container as it is now: `state` has been compared with the kernel.
#[derive(Clone, Debug)]
pub struct Container {
    pub config: Config,
    pub settings: Settings,
    pub state: State,
    /// What the image is called; its short id where the name has moved on to another image.
    pub image_name: String,
    /// A monitor stands beside it. Without one, a running container waits to be adopted.
    pub monitored: bool,
    /// `<root>/containers/<id>`
    pub directory: PathBuf,
    /// `<root>/volumes`
    pub volumes: PathBuf,
    /// Where it is attached to the bridge, while it runs.
    pub endpoint: Option<Endpoint>,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub bridge: String,
    pub address: Ipv4Addr,
    pub prefix_len: u8,
    pub gateway: Ipv4Addr,
    /// `02:42:ac:11:00:02`
    pub mac_address: String,
}

impl Container {
    /// The state in Docker's words.
    pub fn status(&self) -> &'static str {
        match self.state.status {
            Status::Creating | Status::Created | Status::Starting => "created",
            Status::Running => "running",
            Status::Restarting => "restarting",
            Status::Exited => "exited",
            Status::Removing => "removing",
        }
    }

    pub fn is_running(&self) -> bool {
        self.state.status == Status::Running
    }

    /// The program and its arguments: entrypoint and command, in this order.
    pub fn argv(&self) -> impl Iterator<Item = &str> {
        self.config.entrypoint.iter().chain(&self.config.command).map(String::as_str)
    }
}

/// An image and what it is called.
#[derive(Clone, Debug)]
pub struct Image {
    pub id: Digest,
    pub names: Vec<ImageRef>,
    pub created: Timestamp,
    /// Bytes of all its layers' files.
    pub size: u64,
    /// The stored config, as the OCI image spec has it.
    pub config: serde_json::Value,
    /// Diff-ids, lowest first.
    pub layers: Vec<Digest>,
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
    pub containers: usize,
    pub running: usize,
    pub stopped: usize,
    pub images: usize,
    pub root: PathBuf,
    /// `overlay`, or how else layers become a root.
    pub storage: String,
    /// 1 or 2.
    pub cgroup_version: u8,
    pub kernel: String,
    pub operating_system: String,
    pub architecture: String,
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
    pub hostname: String,
    /// What this host lacks, a sentence each.
    pub warnings: Vec<String>,
}
