//! The JSON of `inspect`: Docker's keys, types and order (API 1.50's ContainerInspectResponse), for
//! what this engine has. A key we have no truth for is left out.

use super::Container;
use super::host_config::{Binding, HostConfig, by_port, host_config, mode, some, texts};
use super::network::endpoint_id;
use crate::container::{self, Health, Membership, Mount as Record, MountKind};
use crate::engine::Driver;
use crate::engine::image::GraphDriver;
use crate::engine::usage::ContainerSize;
use crate::types::{ContainerId, Healthcheck, MacAddress, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// A set, as Go's `map[string]struct{}` comes out.
type Set = BTreeMap<String, Empty>;

#[derive(Serialize, Debug, Default)]
pub struct Empty {}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct InspectContainer {
    id: String,
    created: Timestamp,
    path: String,
    args: Vec<String>,
    state: State,
    image: String,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    // We set no such labels and profiles, and have no names for what `exec` runs.
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: &'static str,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<Vec<String>>,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<Mount>,
    /// The same in the words of 2014: where, and what is there.
    volumes: BTreeMap<String, String>,
    #[serde(rename = "VolumesRW")]
    volumes_rw: BTreeMap<String, bool>,
    config: Config,
    network_settings: NetworkSettings,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: i32,
    exit_code: i32,
    error: String,
    started_at: Timestamp,
    finished_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    /// Ours: whether a monitor stands beside it.
    monitored: bool,
    /// The same in the words of 2014: it runs, and nobody looks after it.
    ghost: bool,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: String,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<&'static str>,
    mode: String,
    #[serde(rename = "RW")]
    writable: bool,
    propagation: String,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Config {
    hostname: String,
    domainname: String,
    user: String,
    /// Which streams the one who made it attached.
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    #[serde(skip_serializing_if = "Set::is_empty")]
    exposed_ports: Set,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Vec<String>,
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    image: String,
    volumes: Option<Set>,
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    network_disabled: bool,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    mac_address: Option<MacAddress>,
    on_build: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
    stop_signal: String,
    stop_timeout: u32,
    // What HostConfig tells today stood here in 2014.
    memory: u64,
    memory_swap: i64,
    cpu_shares: u64,
    dns: Option<Vec<String>>,
    volumes_from: String,
    port_specs: Option<Vec<String>>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    bridge: String,
    /// The file of its namespace, while it runs.
    sandbox_key: String,
    /// Those in force, and what is exposed only.
    ports: BTreeMap<String, Option<Vec<Binding>>>,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(flatten)]
    ipv6: Ipv6,
    mac_address: String,
    networks: BTreeMap<String, Endpoint>,
}

#[derive(Serialize, Clone, Debug, Default)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    aliases: Vec<String>,
    mac_address: String,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(flatten)]
    ipv6: Ipv6,
}

#[derive(Serialize, Clone, Debug, Default)]
struct Ipv6 {
    #[serde(rename = "GlobalIPv6Address")]
    address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    prefix: u8,
    #[serde(rename = "IPv6Gateway")]
    gateway: String,
}

impl From<&container::Endpoint6> for Ipv6 {
    fn from(at: &container::Endpoint6) -> Ipv6 {
        let gateway = at.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
        Ipv6 { address: at.address.to_string(), prefix: at.prefix, gateway }
    }
}

impl Endpoint {
    fn new(
        id: &ContainerId,
        membership: &Membership,
        at: Option<&container::Endpoint>,
    ) -> Endpoint {
        let aliases = membership.aliases.clone();
        let Some(at) = at else { return Endpoint { aliases, ..Endpoint::default() } };
        Endpoint {
            aliases,
            mac_address: at.mac.to_string(),
            network_id: at.network_id.clone(),
            endpoint_id: endpoint_id(id, &at.network_id),
            gateway: at.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
            ip_address: at.address.to_string(),
            ip_prefix_len: at.prefix,
            ipv6: at.ipv6.as_ref().map(Ipv6::from).unwrap_or_default(),
        }
    }
}

impl InspectContainer {
    pub fn new(container: &Container, size: Option<ContainerSize>) -> InspectContainer {
        let config = &container.config;
        let state = &container.state;
        let mut argv = container.argv().map(str::to_string);
        let mounts = mounts(container);
        let pid = container.pid();
        let in_files = |name: &str| container.network_files.join(name).display().to_string();
        InspectContainer {
            id: config.id.to_string(),
            size_rw: size.map(|size| size.written),
            size_root_fs: size.map(|size| size.whole),
            created: config.created,
            path: argv.next().unwrap_or_default(),
            args: argv.collect(),
            state: State {
                status: container.status(),
                running: container.is_running(),
                paused: container.status() == "paused",
                restarting: container.status() == "restarting",
                oom_killed: state.oom_killed,
                dead: false,
                pid: pid.unwrap_or_default(),
                exit_code: state.exit_code,
                error: state.error.clone(),
                started_at: state.started,
                finished_at: state.finished,
                health: container.health.clone(),
                monitored: container.monitored,
                ghost: container.is_running() && !container.monitored,
            },
            image: config.image.to_string(),
            resolv_conf_path: in_files("resolv.conf"),
            hostname_path: in_files("hostname"),
            hosts_path: in_files("hosts"),
            log_path: match container.config.log.target() {
                None => container.directory.join("log").display().to_string(),
                Some("/dev/null") => String::new(),
                Some(path) => path.to_string(),
            },
            name: format!("/{}", container.settings.name),
            restart_count: state.restarts,
            driver: container.driver.name(),
            platform: "linux",
            mount_label: "",
            process_label: "",
            app_armor_profile: "",
            exec_ids: None,
            host_config: host_config(container),
            graph_driver: graph_driver(container, pid),
            volumes: mounts.iter().map(|m| (m.destination.clone(), m.source.clone())).collect(),
            volumes_rw: mounts.iter().map(|m| (m.destination.clone(), m.writable)).collect(),
            mounts,
            config: run_config(container),
            network_settings: network_settings(container, pid),
        }
    }
}

/// Where the files of its own are. Its root is mounted in its own namespace only, while it runs.
fn graph_driver(container: &Container, pid: Option<i32>) -> GraphDriver {
    let below = |name: &str| container.directory.join(name).display().to_string();
    let lower = || container.lower.join(":");
    let places = match container.driver {
        Driver::Overlay => {
            vec![("LowerDir", lower()), ("UpperDir", below("upper")), ("WorkDir", below("work"))]
        }
        Driver::Copy => vec![("Dir", below("upper"))],
    };
    let root = pid.map(|pid| ("MergedDir", format!("/proc/{pid}/root")));
    let told = places.into_iter().chain(root).filter(|(_, path)| !path.is_empty());
    let data = told.map(|(key, path)| (key.to_string(), path));
    GraphDriver { name: container.driver.name().to_string(), data: data.collect() }
}

/// As Docker has it: all but those of `--tmpfs`.
fn mounts(container: &Container) -> Vec<Mount> {
    let mount = |mount: &Record| {
        let is_volume = mount.kind == MountKind::Volume;
        let data = || container.volumes.join(&mount.source).join("data").display().to_string();
        Mount {
            r#type: kind(mount),
            name: is_volume.then(|| mount.source.clone()),
            source: if is_volume { data() } else { mount.source.clone() },
            destination: mount.target.clone(),
            driver: is_volume.then_some("local"),
            mode: if mount.by_mount { String::new() } else { mode(mount) },
            writable: !mount.read_only,
            propagation: match mount.kind {
                MountKind::Bind => mount.propagation().unwrap_or("rprivate").to_string(),
                _ => String::new(),
            },
        }
    };
    let shown = |mount: &&Record| mount.kind != MountKind::Tmpfs || mount.by_mount;
    container.config.mounts.iter().filter(shown).map(mount).collect()
}

pub fn kind(mount: &Record) -> &'static str {
    match mount.kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
    }
}

fn run_config(container: &Container) -> Config {
    let config = &container.config;
    let limits = &container.settings.limits;
    let volumes = config.mounts.iter().filter(|m| m.anonymous && !m.inherited);
    let volumes: Set = volumes.map(|m| (m.target.clone(), Empty {})).collect();
    Config {
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        user: config.user.clone(),
        attach_stdin: config.attached.stdin,
        attach_stdout: config.attached.stdout,
        attach_stderr: config.attached.stderr,
        exposed_ports: config.exposed_ports.iter().map(|p| (p.clone(), Empty {})).collect(),
        tty: config.tty.is_some(),
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: config.env.clone(),
        cmd: some(config.command.clone()),
        healthcheck: config.health.check.clone(),
        image: config.image_name.clone(),
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: config.working_dir.clone(),
        entrypoint: some(config.entrypoint.clone()),
        network_disabled: config.network == container::Network::None,
        mac_address: config.mac_address,
        on_build: None,
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.to_string(),
        stop_timeout: config.stop_timeout,
        memory: limits.memory.unwrap_or_default(),
        memory_swap: limits.memory_swap.unwrap_or_default(),
        cpu_shares: limits.cpu_shares.unwrap_or_default(),
        dns: some(texts(&config.resolver.servers)),
        volumes_from: config.volumes_from.join(","),
        port_specs: None,
    }
}

fn network_settings(container: &Container, pid: Option<i32>) -> NetworkSettings {
    let memberships = container.settings.networks.iter();
    let networks: BTreeMap<String, Endpoint> = match container.config.network.special() {
        Some(mode) => [(mode.to_string(), Endpoint::default())].into(),
        None => memberships
            .map(|membership| {
                let mut endpoints = container.endpoints().iter();
                let at = endpoints.find(|endpoint| endpoint.network == membership.network);
                (membership.network.clone(), Endpoint::new(&container.config.id, membership, at))
            })
            .collect(),
    };
    let way_out = container.endpoints().iter().find(|endpoint| endpoint.leads_out);
    let way_out = way_out.or(container.endpoints().first());
    let shown = way_out.and_then(|endpoint| networks.get(&endpoint.network));
    let shown = shown.cloned().unwrap_or_default();
    let mut ports: BTreeMap<String, Option<Vec<Binding>>> = match container.is_running() {
        true => container.config.exposed_ports.iter().map(|p| (p.clone(), None)).collect(),
        false => BTreeMap::new(),
    };
    let published = by_port(container.published().iter().map(|one| {
        let (host_ip, host_port) = (one.address.to_string(), one.host.to_string());
        (one.port, Binding { host_ip, host_port })
    }));
    ports.extend(published.into_iter().map(|(port, bindings)| (port, Some(bindings))));
    NetworkSettings {
        bridge: way_out.map(|endpoint| endpoint.upon.clone()).unwrap_or_default(),
        sandbox_key: pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
        ports,
        endpoint_id: shown.endpoint_id,
        gateway: shown.gateway,
        ip_address: shown.ip_address,
        ip_prefix_len: shown.ip_prefix_len,
        ipv6: shown.ipv6,
        mac_address: shown.mac_address,
        networks,
    }
}
