//! From a container's records to its OCI spec. Pure: whatever must be looked up comes in `Given`.
//!
//! The defaults are those of `docker run`: masked and read-only paths, mounts, sysctls.

use super::privileges::Privileges;
use super::user::Account;
use crate::container::{Config, Dir, Isolation, Namespaces, Network, Share, Terminal};
use crate::oci::CapSet;
use crate::oci::cgroup::Resources;
use crate::oci::spec::{
    Capabilities, ConsoleSize, Device, Linux, Mount, Namespace, NamespaceKind, Process, Rlimit,
    Root, Spec, User,
};
use crate::types::Ulimit;
use std::collections::BTreeMap;

/// The PATH of a container whose image sets none (Docker's).
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of /dev/shm where nothing else is asked for (Docker's).
pub const SHM_SIZE: u64 = 64 << 20;

/// What a spec needs beyond the records.
pub struct Given<'a> {
    /// The first mount: the root itself.
    pub root: Mount,
    /// Whose files about the network it sees.
    pub files: &'a Dir,
    /// The namespaces to join, by paths.
    pub joined: Vec<(NamespaceKind, String)>,
    /// The configured mounts, in their order.
    pub mounts: &'a [Mount],
    pub account: Account,
    /// The variables of the containers it links to.
    pub links: &'a [String],
    pub privileges: Privileges,
    pub resources: Resources,
    /// Of the host.
    pub devices: Vec<Device>,
    /// What the host's processors tell of their heat: not for containers (`devices::sensors`).
    pub sensors: Vec<String>,
    /// What the kernel lets us have.
    pub may: May,
}

/// What not everybody may have.
#[derive(Clone, Copy)]
pub struct May {
    /// A cgroup of its own.
    pub cgroup: bool,
    /// The groups from 0 to this one, if not more.
    pub last_group: u32,
    /// The group `tty` for terminals.
    pub tty_group: bool,
    /// A sysfs of the network namespace it is in.
    pub sysfs: bool,
}

pub fn compose(config: &Config, dir: &Dir, given: Given) -> Spec {
    let isolation = &config.isolation;
    let mut mounts = vec![given.root];
    mounts.extend(system_mounts(config, given.may));
    mounts.extend(network_files(given.files));
    mounts.extend_from_slice(given.mounts);
    let [masked_paths, readonly_paths] = closed(isolation, given.sensors).unwrap_or_default();
    Spec {
        oci_version: "1.2.0".into(),
        process: Process {
            args: config.entrypoint.iter().chain(&config.command).cloned().collect(),
            env: environment(config, &given.account.home, given.links),
            cwd: config.working_dir.clone(),
            ..process(given.account.user, config.tty, given.privileges.capabilities, isolation)
        },
        root: Root {
            path: dir.mountpoint().display().to_string(),
            readonly: isolation.read_only_root,
        },
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        mounts,
        annotations: Default::default(),
        linux: Linux {
            namespaces: namespaces(config, given.joined),
            cgroups_path: if given.may.cgroup { cgroup_path(dir) } else { String::new() },
            resources: Some(given.resources),
            seccomp: given.privileges.seccomp,
            devices: given.devices,
            sysctl: sysctls(config, given.may),
            masked_paths,
            readonly_paths,
        },
    }
}

/// What a container's program and what `exec` adds have in common.
pub fn process(user: User, tty: Option<Terminal>, caps: CapSet, isolation: &Isolation) -> Process {
    Process {
        terminal: tty.is_some(),
        console_size: tty.map(|t| ConsoleSize { height: t.rows, width: t.columns }),
        args: Vec::new(),
        env: Vec::new(),
        cwd: String::new(),
        user,
        capabilities: Some(Capabilities {
            bounding: caps,
            effective: caps,
            permitted: caps,
            inheritable: CapSet(0),
            ambient: CapSet(0),
        }),
        rlimits: isolation.ulimits.iter().map(rlimit).collect(),
        no_new_privileges: isolation.no_new_privileges,
        oom_score_adj: Some(isolation.oom_score_adj),
    }
}

fn rlimit(limit: &Ulimit) -> Rlimit {
    let kind = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
    Rlimit { kind, soft: limit.soft, hard: limit.hard }
}

/// The container's cgroup, below the root of each hierarchy.
pub fn cgroup_path(dir: &Dir) -> String {
    let parent = dir.cgroup_parent();
    format!("{}/{}", parent.as_deref().unwrap_or("coracle"), dir.id)
}

/// The environment of the container's program, and of what `exec` adds.
pub fn environment(config: &Config, home: &str, links: &[String]) -> Vec<String> {
    let has = |key: &str| {
        config.env.iter().any(|e| e.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))
    };
    let mut env = Vec::new();
    if !has("PATH") {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    if !has("HOSTNAME") {
        env.push(format!("HOSTNAME={}", config.hostname));
    }
    if config.tty.is_some() && !has("TERM") {
        env.push("TERM=xterm".into());
    }
    if !has("container") {
        env.push("container=coracle".into());
    }
    let others = links.iter().filter(|link| link.split_once('=').is_some_and(|(key, _)| !has(key)));
    env.extend(others.chain(&config.env).cloned());
    if !has("HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

/// What of /proc and /sys is hidden, and what is read-only. `None` for a privileged container: as
/// Docker's `inspect` tells them apart.
pub fn closed(isolation: &Isolation, sensors: Vec<String>) -> Option<[Vec<String>; 2]> {
    match isolation {
        Isolation { privileged: true, .. } => None,
        Isolation { unmasked: true, .. } => Some([Vec::new(), Vec::new()]),
        _ => Some([owned(&MASKED).into_iter().chain(sensors).collect(), owned(&READ_ONLY)]),
    }
}

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| path.to_string()).collect()
}

pub fn mount(destination: &str, kind: &str, source: &str, options: Vec<String>) -> Mount {
    Mount { destination: destination.into(), kind: kind.into(), source: source.into(), options }
}

fn system_mounts(config: &Config, may: May) -> Vec<Mount> {
    let access = if config.isolation.privileged { "rw" } else { "ro" };
    let shm = config.isolation.shm_size.unwrap_or(SHM_SIZE);
    let quiet = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&str]| owned(&[&quiet, more].concat());
    let mut terminals = owned(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    terminals.extend(may.tty_group.then(|| "gid=5".to_string()));
    let sys = match may.sysfs {
        true => mount("/sys", "sysfs", "sysfs", with(&[access])),
        false => mount("/sys", "bind", "/sys", owned(&["rbind", "rro"])),
    };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", with(&[])),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            owned(&["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ),
        mount("/dev/pts", "devpts", "devpts", terminals),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", with(&[access])),
    ];
    let size = format!("size={shm}");
    mounts.extend(match &config.namespaces.ipc {
        Share::Own | Share::Shareable => {
            Some(mount("/dev/shm", "tmpfs", "shm", with(&["mode=1777", &size])))
        }
        Share::Host => Some(mount("/dev/shm", "bind", "/dev/shm", owned(&["rbind"]))),
        // Its owner's, which no path of the host leads to.
        Share::Container(_) | Share::None => None,
    });
    if config.namespaces.ipc != Share::None {
        mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", with(&[])));
    }
    mounts
}

fn network_files(dir: &Dir) -> Vec<Mount> {
    [
        ("/etc/resolv.conf", dir.resolv_conf()),
        ("/etc/hostname", dir.hostname()),
        ("/etc/hosts", dir.hosts()),
    ]
    .into_iter()
    .map(|(at, file)| mount(at, "bind", &file.display().to_string(), owned(&["bind", "rw"])))
    .collect()
}

fn namespaces(config: &Config, joined: Vec<(NamespaceKind, String)>) -> Vec<Namespace> {
    let Namespaces { pid, ipc, uts, cgroup } = &config.namespaces;
    let has_network = config.network != Network::Host;
    let own = [
        (NamespaceKind::Pid, *pid != Share::Host),
        (NamespaceKind::Mount, true),
        (NamespaceKind::Ipc, *ipc != Share::Host),
        (NamespaceKind::Uts, *uts != Share::Host),
        (NamespaceKind::Cgroup, *cgroup != Share::Host),
        (NamespaceKind::Network, has_network),
    ];
    let kinds = own.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| kind);
    let path =
        |kind| joined.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path.clone());
    kinds.map(|kind| Namespace { kind, path: path(kind) }).collect()
}

/// What a network of its own has set, as Docker has it: any user may listen on any port and ping;
/// and what was asked for.
fn sysctls(config: &Config, may: May) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if !matches!(config.network, Network::Host | Network::Container(_)) {
        all.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        all.insert("net.ipv4.ping_group_range".into(), format!("0 {}", may.last_group));
    }
    all.extend(config.isolation.sysctls.clone());
    all
}
