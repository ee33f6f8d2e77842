//! The three files that tell all about a container.
//!
//! ```text
//! containers/<id>/config.json    how it was created; never changes
//! containers/<id>/settings.json  what may change while it exists (name, restart policy, limits)
//! containers/<id>/state.json     what the user wants of it and what the kernel gave
//! ```
//!
//! `running` is never believed from a file: `State::status` is what was last written, and the
//! engine compares it with the kernel when it reads (`ProcessId`).

use super::log::Logging;
use super::{Checkup, Isolation, Limits, Namespaces};
use crate::error::{Error, Result};
use crate::types::{
    ContainerId, ContainerName, Digest, ExtraHost, MacAddress, Pid, PortBinding, Published,
    Resolver, RestartPolicy, SdNotify, Signal, Timestamp, UserMode, serde_by_text,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Left out of the record: most of what may be said is not, and `ps` reads all records.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The streams that a client attaches.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// How a container was created: the image's configuration with the options merged in.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Config {
    pub id: ContainerId,
    pub created: Timestamp,
    /// The image, and the name by which it was asked for.
    pub image: Digest,
    pub image_name: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// `KEY=value`, without what the engine adds at start (HOSTNAME, HOME, TERM).
    pub env: Vec<String>,
    /// Absolute path; made where it is missing.
    pub working_dir: String,
    /// `user[:group]`, each a name or a number; empty for root.
    pub user: String,
    pub hostname: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub domainname: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub resolver: Resolver,
    #[serde(default, skip_serializing_if = "is_default")]
    pub extra_hosts: Vec<ExtraHost>,
    /// Of eth0, where it does not follow from the address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mac_address: Option<MacAddress>,
    /// The container's terminal (`-t`).
    pub tty: Option<Terminal>,
    /// Keep stdin open for attach (`-i`).
    pub open_stdin: bool,
    /// It ends with the stdin of the first client (`run -i`, not `run -d -i`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub stdin_once: bool,
    /// Told by `inspect`, and by nothing else.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attached: Streams,
    pub stop_signal: Signal,
    /// Seconds between the stop signal and SIGKILL.
    pub stop_timeout: u32,
    pub mounts: Vec<Mount>,
    /// The containers whose mounts are among them (`--volumes-from`), as the user wrote it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub volumes_from: Vec<String>,
    /// `6379/tcp`
    pub exposed_ports: Vec<String>,
    /// The ports that are to be published (`-p`), and whether all exposed ones are (`-P`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub ports: Vec<PortBinding>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub publish_all: bool,
    pub labels: BTreeMap<String, String>,
    /// Told by `inspect`, and by nothing else.
    #[serde(default, skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    pub network: Network,
    /// Remove the container when it ends (`--rm`).
    pub auto_remove: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespaces: Namespaces<ContainerId>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub isolation: Isolation,
    #[serde(default, skip_serializing_if = "is_default")]
    pub log: Logging,
    #[serde(default)]
    pub health: Checkup,
    /// As it was asked for.
    #[serde(default)]
    pub sdnotify: Option<SdNotify>,
}

/// The size a new terminal starts with.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terminal {
    pub rows: u16,
    pub columns: u16,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    pub kind: MountKind,
    /// A host path for a bind, a name for a volume, empty for a tmpfs.
    pub source: String,
    pub target: String,
    pub read_only: bool,
    /// A volume that nobody named: `rm -v` and `--rm` take it along.
    #[serde(default)]
    pub anonymous: bool,
    /// It came with `--volumes-from`.
    #[serde(default)]
    pub inherited: bool,
    /// An empty volume does not get the image's content.
    #[serde(default)]
    pub nocopy: bool,
    /// More words of mount(8): the propagation of a bind, `bind` where what is mounted below its
    /// source stays out, `ro` where that stays writable; the options of a tmpfs.
    #[serde(default)]
    pub options: Vec<String>,
    /// The part of a volume that is mounted; empty for all of it.
    #[serde(default)]
    pub subpath: String,
    /// For a volume that is made for it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// A bind's source that is missing is an error, not to be made.
    #[serde(default)]
    pub must_exist: bool,
    /// Said by `--mount`, not by `-v` or `--tmpfs`.
    #[serde(default)]
    pub by_mount: bool,
}

impl Mount {
    /// The word for its propagation, where one was given.
    pub fn propagation(&self) -> Option<&str> {
        let words = self.options.iter().map(String::as_str);
        let is_one = |word: &&str| ["private", "slave", "shared"].iter().any(|p| word.ends_with(p));
        words.filter(|_| self.kind == MountKind::Bind).find(is_one)
    }
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    Bind,
    Volume,
    Tmpfs,
}

/// In records one word: `bridge`, `none`, `host`, `container:<id>`, `pasta`, `slirp4netns`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Network {
    Bridge,
    None,
    Host,
    /// That of another container.
    Container(ContainerId),
    /// One of its own, by a program that needs no root.
    UserMode(UserMode),
}

impl Network {
    /// What the lists call it, in place of networks.
    pub fn special(&self) -> Option<&'static str> {
        match self {
            Network::Bridge | Network::Container(_) => None,
            Network::UserMode(mode) => Some(mode.word()),
            Network::None => Some("none"),
            Network::Host => Some("host"),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Network::Bridge => f.write_str("bridge"),
            Network::None => f.write_str("none"),
            Network::Host => f.write_str("host"),
            Network::Container(id) => write!(f, "container:{id}"),
            Network::UserMode(mode) => mode.fmt(f),
        }
    }
}

impl FromStr for Network {
    type Err = Error;
    fn from_str(text: &str) -> Result<Network> {
        match (text, text.strip_prefix("container:")) {
            ("bridge", _) => Ok(Network::Bridge),
            ("none", _) => Ok(Network::None),
            ("host", _) => Ok(Network::Host),
            (_, Some(id)) => id.parse().map(Network::Container),
            _ => match text.parse() {
                Ok(mode) => Ok(Network::UserMode(mode)),
                Err(_) => Err(Error::invalid(format!("\"{text}\" is no network"))),
            },
        }
    }
}
serde_by_text!(Network);

#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Settings {
    pub name: ContainerName,
    /// No two with the same alias.
    #[serde(default)]
    pub links: Vec<Link>,
    pub restart: RestartPolicy,
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// The networks it is on, those of `Network::Bridge` alone. The first that has a way out is its
    /// way out.
    #[serde(default)]
    pub networks: Vec<Membership>,
}

/// That a container is on a network.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    pub network: String,
    /// More names by which others find it there.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The address it must have there.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// As it was asked for; what it means for the other is kept.
    #[serde(skip)]
    pub address6: Option<Ipv6Addr>,
}

impl Membership {
    pub fn new(network: &str) -> Membership {
        let network = network.to_string();
        Membership { network, aliases: Vec::new(), address: None, address6: None }
    }
}

/// The place of a container on a network.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub network: String,
    /// 64 hex digits.
    pub network_id: String,
    /// The bridge, or the link of the host that the container's lies upon.
    pub upon: String,
    /// The container's link is called `eth` and this.
    pub number: u8,
    pub address: Ipv4Addr,
    /// Bits of the network's range.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Endpoint6>,
    /// The container's way out leads by it.
    pub leads_out: bool,
    pub mac: MacAddress,
}

/// The same place by IPv6.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Endpoint6 {
    pub address: Ipv6Addr,
    pub prefix: u8,
    pub gateway: Option<Ipv6Addr>,
}

/// Another container, as this one calls it (`--link`).
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Link {
    pub target: ContainerId,
    /// As the user wrote it.
    pub name: String,
    pub alias: ContainerName,
}

/// What the user asked for last.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    Up,
    Down,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its files are being made. Swept away if its maker dies.
    Creating,
    Created,
    /// The monitor is setting it up.
    Starting,
    Running,
    /// It ended, and its restart policy will start it again.
    Restarting,
    Exited,
    /// Its files are being removed. The removal is finished by whoever finds it.
    Removing,
}

impl Status {
    /// Somebody stands by it: it is on its way up, runs, or will be started again.
    pub fn is_up(self) -> bool {
        matches!(self, Status::Starting | Status::Running | Status::Restarting)
    }
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum TakesVolumes {
    #[default]
    None,
    /// Those that nobody named.
    Anonymous,
    /// Those that were made for it, as it never came to be.
    Made,
}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct State {
    /// It goes with the end of its container, and need not survive loss of power: `--rm`, said here
    /// too because the configuration may be gone already when the rest is cleared away.
    #[serde(default)]
    pub ephemeral: bool,
    /// Which volumes its removal takes along: said here as whoever finishes it must know.
    #[serde(default)]
    pub takes: TakesVolumes,
    pub want: Want,
    pub status: Status,
    /// The user has it stand still, while it runs.
    #[serde(default)]
    pub paused: bool,
    /// The container's PID 1, while it runs.
    pub process: Option<ProcessId>,
    pub exit_code: i32,
    pub oom_killed: bool,
    /// Why it could not be started; or, where it runs, what became of its network.
    pub error: String,
    pub started: Timestamp,
    pub finished: Timestamp,
    /// Restarts by the policy since the user started it.
    pub restarts: u32,
    /// The delay before the last of them, in milliseconds.
    #[serde(default)]
    pub backoff: u64,
    /// Its places on networks, now or when it last ran: the addresses are given again where they
    /// are free.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// The ports that lead to it, while it runs.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// The SHA-256 of what we wrote into its resolv.conf: a program may have written there since.
    #[serde(default)]
    pub resolv_conf: String,
    /// Who started it hears what its program says of itself (sd_notify(3)).
    #[serde(default)]
    pub notifies: bool,
}

impl State {
    pub fn new(status: Status) -> State {
        State {
            ephemeral: false,
            takes: TakesVolumes::None,
            want: Want::Down,
            status,
            paused: false,
            process: None,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            started: Timestamp::default(),
            finished: Timestamp::default(),
            restarts: 0,
            backoff: 0,
            endpoints: Vec::new(),
            ports: Vec::new(),
            resolv_conf: String::new(),
            notifies: false,
        }
    }

    /// Its addresses where its way out leads, or any.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let first = self.endpoints.iter().find(|endpoint| endpoint.leads_out);
        let Some(at) = first.or(self.endpoints.first()) else { return Vec::new() };
        let ipv6 = at.ipv6.as_ref().map(|at| at.address.into());
        [Some(at.address.into()), ipv6].into_iter().flatten().collect()
    }

    /// Whether what changed since `before` must survive loss of power: what the user wants, and
    /// how a run ended. What runs does not survive it anyway, and what was just made its maker
    /// keeps (`Dir::sync_state`) unless it is started at once.
    pub fn must_last_since(&self, before: (Want, Status)) -> bool {
        let (want, status) = before;
        let is_made = status == Status::Creating && self.status == Status::Created;
        let is_over = self.status != status && !self.status.is_up() && !is_made;
        !self.ephemeral && (self.want != want || is_over)
    }
}

/// A process that cannot be mistaken for a later one with its number: to be opened as a pidfd and
/// *then* compared.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ProcessId {
    pub pid: Pid,
    /// Clock ticks since boot (field 22 of /proc/PID/stat).
    pub start_ticks: u64,
    /// /proc/sys/kernel/random/boot_id
    pub boot_id: String,
    /// Inode of the pid namespace in which `pid` counts.
    pub pid_namespace: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_word() {
        let id = "5".repeat(64);
        for word in ["bridge", "none", "host", "pasta", &format!("container:{id}")] {
            let network: Network = word.parse().unwrap();
            assert_eq!(network.to_string(), word);
            assert_eq!(serde_json::to_value(&network).unwrap(), word);
        }
        for word in ["", "lan", "container:", "container:x"] {
            assert!(word.parse::<Network>().is_err(), "{word}");
        }
    }
}
