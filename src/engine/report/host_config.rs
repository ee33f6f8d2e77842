//! `HostConfig` of `inspect`: what the container was asked to be, beyond its image. Keys and order
//! are Docker's.

use super::Container;
use super::inspect::kind;
use crate::container::{DeviceRate, Mount as Record, MountKind, Network, Share};
use crate::engine::spec::{SHM_SIZE, closed};
use crate::network::DEFAULT;
use crate::types::{ContainerId, DeviceMapping, Port, RestartPolicy, Ulimit};
use serde::Serialize;
use std::collections::BTreeMap;

type Fields = BTreeMap<&'static str, serde_json::Value>;

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct HostConfig {
    binds: Option<Vec<String>>,
    log_config: LogConfig,
    network_mode: String,
    /// Those asked for.
    port_bindings: BTreeMap<String, Vec<Binding>>,
    restart_policy: Restart,
    auto_remove: bool,
    volumes_from: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    cgroupns_mode: String,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    ipc_mode: String,
    /// `/db:/webapp/db`
    links: Option<Vec<String>>,
    oom_score_adj: i32,
    pid_mode: String,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    security_opt: Option<Vec<String>>,
    /// Those of `--tmpfs`: where, and the options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tmpfs: BTreeMap<String, String>,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: &'static str,
    shm_size: u64,
    sysctls: BTreeMap<String, String>,
    // Limits: 0, -1 or empty is none.
    cpu_shares: u64,
    memory: u64,
    nano_cpus: u64,
    cgroup_parent: String,
    blkio_weight: u16,
    blkio_weight_device: Vec<Weight>,
    blkio_device_read_bps: Vec<Rate>,
    blkio_device_write_bps: Vec<Rate>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Vec<Rate>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Vec<Rate>,
    cpu_period: u64,
    cpu_quota: u64,
    cpu_realtime_period: u64,
    cpu_realtime_runtime: u64,
    cpuset_cpus: String,
    cpuset_mems: String,
    devices: Vec<DeviceView>,
    device_cgroup_rules: Option<Vec<String>>,
    memory_reservation: u64,
    memory_swap: i64,
    memory_swappiness: Option<u64>,
    oom_kill_disable: bool,
    pids_limit: Option<u64>,
    ulimits: Vec<UlimitView>,
    /// Those of `--mount`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mounts: Vec<Asked>,
    masked_paths: Option<Vec<String>>,
    readonly_paths: Option<Vec<String>>,
    init: Option<bool>,
}

/// Of a device, in bytes or operations a second.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Rate {
    path: String,
    rate: u64,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Weight {
    path: String,
    weight: u64,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct DeviceView {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

/// -1 is no limit.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct UlimitView {
    name: String,
    hard: i64,
    soft: i64,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    r#type: &'static str,
    config: BTreeMap<String, String>,
}

/// A place on the host.
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct Binding {
    /// Empty for every address.
    pub host_ip: String,
    /// Empty for any that is free.
    pub host_port: String,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Restart {
    name: &'static str,
    maximum_retry_count: u32,
}

/// What a `--mount` asked for (API 1.50's Mount).
#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    r#type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    target: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    bind_options: Fields,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    volume_options: Fields,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    tmpfs_options: Fields,
}

pub fn host_config(container: &Container) -> HostConfig {
    let config = &container.config;
    let isolation = &config.isolation;
    let limits = &container.settings.limits;
    let settings = &container.settings;
    let own = || config.mounts.iter().filter(|mount| !mount.inherited);
    let named = own().filter(|m| !m.anonymous && !m.by_mount && m.kind != MountKind::Tmpfs);
    let binds = named.map(|mount| match mode(mount).as_str() {
        "" => format!("{}:{}", mount.source, mount.target),
        mode => format!("{}:{}:{mode}", mount.source, mount.target),
    });
    let links = container.links.iter();
    let links = links.map(|(name, alias)| format!("/{name}:/{}/{alias}", settings.name));
    let tmpfs = own().filter(|mount| mount.kind == MountKind::Tmpfs && !mount.by_mount);
    let (name, maximum_retry_count) = match settings.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max } => ("on-failure", max.unwrap_or_default()),
    };
    let rates = |rates: &[DeviceRate]| {
        rates.iter().map(|one| Rate { path: one.path.clone(), rate: one.rate }).collect()
    };
    let (masked_paths, readonly_paths) = closed(isolation, container.sensors.clone())
        .map(|[masked, readonly]| (masked, readonly))
        .unzip();
    let weights = limits.blkio_weight_device.iter();
    let weights = weights.map(|one| Weight { path: one.path.clone(), weight: one.rate });
    HostConfig {
        binds: some(binds.collect()),
        log_config: LogConfig {
            r#type: config.log.driver.word(),
            config: config.log.options.clone(),
        },
        network_mode: match &config.network {
            Network::Bridge => container.networks().next().unwrap_or(DEFAULT).to_string(),
            special => special.to_string(),
        },
        port_bindings: by_port(config.ports.iter().map(|binding| {
            let host_ip = binding.address.map(|address| address.to_string()).unwrap_or_default();
            let host_port = binding.host.map(|range| range.to_string()).unwrap_or_default();
            (binding.port, Binding { host_ip, host_port })
        })),
        restart_policy: Restart { name, maximum_retry_count },
        auto_remove: config.auto_remove,
        volumes_from: some(config.volumes_from.clone()),
        annotations: config.annotations.clone(),
        cap_add: some(texts(&isolation.cap_add)),
        cap_drop: some(texts(&isolation.cap_drop)),
        cgroupns_mode: mode_of(&config.namespaces.cgroup, "private"),
        dns: texts(&config.resolver.servers),
        dns_options: config.resolver.options.clone(),
        dns_search: config.resolver.search.clone(),
        extra_hosts: some(texts(&config.extra_hosts)),
        group_add: some(isolation.groups.clone()),
        ipc_mode: mode_of(&config.namespaces.ipc, "private"),
        links: some(links.collect()),
        oom_score_adj: isolation.oom_score_adj,
        pid_mode: mode_of(&config.namespaces.pid, ""),
        privileged: isolation.privileged,
        publish_all_ports: config.publish_all,
        readonly_rootfs: isolation.read_only_root,
        security_opt: some(isolation.security_options.clone()),
        tmpfs: tmpfs.map(|mount| (mount.target.clone(), mount.options.join(","))).collect(),
        uts_mode: mode_of(&config.namespaces.uts, ""),
        userns_mode: "",
        shm_size: isolation.shm_size.unwrap_or(SHM_SIZE),
        sysctls: isolation.sysctls.clone(),
        cpu_shares: limits.cpu_shares.unwrap_or_default(),
        memory: limits.memory.unwrap_or_default(),
        nano_cpus: limits.nano_cpus.unwrap_or_default(),
        cgroup_parent: container.cgroup_parent.clone(),
        blkio_weight: limits.blkio_weight.unwrap_or_default(),
        blkio_weight_device: weights.collect(),
        blkio_device_read_bps: rates(&limits.device_read_bps),
        blkio_device_write_bps: rates(&limits.device_write_bps),
        blkio_device_read_iops: rates(&limits.device_read_iops),
        blkio_device_write_iops: rates(&limits.device_write_iops),
        cpu_period: limits.cpu_period.unwrap_or_default(),
        cpu_quota: limits.cpu_quota.unwrap_or_default(),
        cpu_realtime_period: limits.cpu_rt_period.unwrap_or_default(),
        cpu_realtime_runtime: limits.cpu_rt_runtime.unwrap_or_default(),
        cpuset_cpus: limits.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: limits.cpuset_mems.clone().unwrap_or_default(),
        devices: isolation.devices.iter().map(device).collect(),
        device_cgroup_rules: some(texts(&isolation.device_rules)),
        memory_reservation: limits.memory_reservation.unwrap_or_default(),
        memory_swap: limits.swap().unwrap_or_default(),
        memory_swappiness: limits.memory_swappiness,
        oom_kill_disable: limits.oom_kill_disable,
        pids_limit: limits.pids,
        ulimits: isolation.ulimits.iter().map(ulimit).collect(),
        mounts: own().filter(|mount| mount.by_mount).map(asked).collect(),
        masked_paths,
        readonly_paths,
        init: isolation.init.then_some(true),
    }
}

/// Docker's word for one of its own differs.
fn mode_of(share: &Share<ContainerId>, own: &str) -> String {
    match share {
        Share::Own => own.to_string(),
        other => other.to_string(),
    }
}

pub fn texts<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// None for an empty list, as Docker has it.
pub fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn device(mapping: &DeviceMapping) -> DeviceView {
    DeviceView {
        path_on_host: mapping.host.clone(),
        path_in_container: mapping.container.clone(),
        cgroup_permissions: mapping.access.clone(),
    }
}

fn ulimit(limit: &Ulimit) -> UlimitView {
    let signed = |n: u64| i64::try_from(n).unwrap_or(-1);
    UlimitView { name: limit.name.clone(), hard: signed(limit.hard), soft: signed(limit.soft) }
}

/// The last part of a `-v`.
pub fn mode(mount: &Record) -> String {
    let words = [
        mount.read_only.then_some("ro"),
        mount.propagation(),
        // What comes from another container is never filled.
        (mount.nocopy && !mount.inherited).then_some("nocopy"),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(",")
}

fn asked(mount: &Record) -> Asked {
    let has = |word: &str| mount.options.iter().any(|option| option == word);
    let number = |key: &str, radix| {
        let text = mount.options.iter().find_map(|o| o.strip_prefix(key)?.strip_prefix('='))?;
        u64::from_str_radix(text, radix).ok()
    };
    let (mut bind, mut volume, mut tmpfs) = (Fields::new(), Fields::new(), Fields::new());
    let flag = |fields: &mut Fields, key, is_set: bool| {
        if is_set {
            fields.insert(key, true.into());
        }
    };
    match mount.kind {
        MountKind::Bind => {
            bind.extend(mount.propagation().map(|word| ("Propagation", word.into())));
            flag(&mut bind, "NonRecursive", has("bind"));
            flag(&mut bind, "ReadOnlyNonRecursive", has("ro"));
            flag(&mut bind, "CreateMountpoint", !mount.must_exist);
        }
        MountKind::Volume => {
            flag(&mut volume, "NoCopy", mount.nocopy);
            if !mount.labels.is_empty() {
                let labels = mount.labels.iter().map(|(k, v)| (k.clone(), v.clone().into()));
                volume.insert("Labels", serde_json::Value::Object(labels.collect()));
            }
            if !mount.subpath.is_empty() {
                volume.insert("Subpath", mount.subpath.clone().into());
            }
        }
        MountKind::Tmpfs => {
            tmpfs.extend(number("size", 10).map(|size| ("SizeBytes", size.into())));
            tmpfs.extend(number("mode", 8).map(|mode| ("Mode", mode.into())));
        }
    }
    Asked {
        r#type: kind(mount),
        source: if mount.anonymous { String::new() } else { mount.source.clone() },
        target: mount.target.clone(),
        read_only: mount.read_only,
        bind_options: bind,
        volume_options: volume,
        tmpfs_options: tmpfs,
    }
}

pub fn by_port(all: impl Iterator<Item = (Port, Binding)>) -> BTreeMap<String, Vec<Binding>> {
    let mut map: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
    for (port, binding) in all {
        map.entry(port.to_string()).or_default().push(binding);
    }
    map
}
