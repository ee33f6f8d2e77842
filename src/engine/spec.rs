//! From a container's records to its OCI spec. Pure: whatever must be looked up comes in `Given`.
//!
//! The defaults are those of `docker run`: capabilities, masked and read-only paths, mounts,
//! devices and their cgroup rules, the seccomp profile.

use super::user::Account;
use crate::container::{Config, Dir, Network, Settings, Terminal};
use crate::oci::cgroup::{self, Cpu, DeviceRule, Memory, Pids, Resources};
use crate::oci::spec::{
    Capabilities, ConsoleSize, Device, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec,
    User,
};
use crate::oci::{CapSet, seccomp};

/// The PATH of a container whose image sets none (Docker's).
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a spec needs beyond the records.
pub struct Given<'a> {
    /// The first mount: the root itself.
    pub root: Mount,
    /// Whose files about the network it sees.
    pub files: &'a Dir,
    /// The network namespace to join.
    pub network: Option<String>,
    /// The configured mounts, in their order.
    pub mounts: &'a [Mount],
    pub account: Account,
    /// The variables of the containers it links to.
    pub links: &'a [String],
    pub capabilities: CapSet,
    /// The host's devices, for a privileged container.
    pub devices: Vec<Device>,
}

pub fn compose(config: &Config, settings: &Settings, dir: &Dir, given: Given) -> Spec {
    let mut mounts = vec![given.root];
    mounts.extend(system_mounts(config));
    mounts.extend(network_files(given.files));
    mounts.extend_from_slice(given.mounts);
    let (masked_paths, readonly_paths) = match config.privileged {
        true => (Vec::new(), Vec::new()),
        false => (owned(&MASKED), owned(&READ_ONLY)),
    };
    Spec {
        oci_version: "1.2.0".into(),
        process: Process {
            args: config.entrypoint.iter().chain(&config.command).cloned().collect(),
            env: environment(config, &given.account.home, given.links),
            cwd: config.working_dir.clone(),
            ..process(given.account.user, config.tty, given.capabilities)
        },
        root: Root { path: dir.mountpoint().display().to_string(), readonly: false },
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        mounts,
        annotations: Default::default(),
        linux: Linux {
            namespaces: namespaces(&config.network, given.network),
            cgroups_path: cgroup_path(dir),
            resources: Some(resources(config, settings)),
            seccomp: (!config.privileged).then(|| seccomp::default_profile(CapSet::DEFAULT.0)),
            devices: given.devices,
            masked_paths,
            readonly_paths,
        },
    }
}

/// What a container's program and what `exec` adds have in common.
pub fn process(user: User, tty: Option<Terminal>, caps: CapSet) -> Process {
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
        rlimits: Vec::new(),
        no_new_privileges: false,
        oom_score_adj: Some(0),
    }
}

/// The container's cgroup, below the root of each hierarchy.
pub fn cgroup_path(dir: &Dir) -> String {
    format!("coracle/{}", dir.id)
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

const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
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

fn system_mounts(config: &Config) -> Vec<Mount> {
    let access = if config.privileged { "rw" } else { "ro" };
    let quiet = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&str]| owned(&[&quiet, more].concat());
    vec![
        mount("/proc", "proc", "proc", with(&[])),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            owned(&["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            owned(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ),
        mount("/dev/shm", "tmpfs", "shm", with(&["mode=1777", "size=65536k"])),
        mount("/dev/mqueue", "mqueue", "mqueue", with(&[])),
        mount("/sys", "sysfs", "sysfs", with(&[access])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", with(&[access])),
    ]
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

fn namespaces(network: &Network, joined: Option<String>) -> Vec<Namespace> {
    use NamespaceKind::{Cgroup, Ipc, Mount, Pid, Uts};
    let kinds = [Pid, Mount, Ipc, Uts, Cgroup].into_iter();
    let mut all: Vec<_> = kinds.map(|kind| Namespace { kind, path: None }).collect();
    if *network != Network::Host {
        all.push(Namespace { kind: NamespaceKind::Network, path: joined });
    }
    all
}

/// Docker's device rules, and the limits asked for. Memory and swap together are twice the
/// memory, as Docker has it.
fn resources(config: &Config, settings: &Settings) -> Resources {
    let mut resources = Resources::default();
    let all = |allow| DeviceRule {
        allow,
        kind: None,
        major: None,
        minor: None,
        access: Some("rwm".into()),
    };
    match config.privileged {
        true => resources.devices = vec![all(true)],
        false => {
            resources.devices = vec![all(false)];
            resources.devices.extend(cgroup::default_devices());
        }
    }
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    resources.memory = settings.memory.map(|limit| Memory {
        limit: Some(signed(limit)),
        swap: Some(signed(limit.saturating_mul(2))),
        ..Memory::default()
    });
    resources.cpu =
        settings.cpu_shares.map(|shares| Cpu { shares: Some(shares), ..Cpu::default() });
    resources.pids = settings.pids_limit.map(|limit| Pids { limit: signed(limit) });
    resources
}
