//! The devices of the host that a container is given: those asked for, or all for a privileged
//! one.

use super::spec;
use crate::container::Isolation;
use crate::error::{Error, OsContext, Result};
use crate::oci::cgroup::DeviceRule;
use crate::oci::spec::{Device, Mount};
use crate::sys::{namespace, userns};
use crate::types::DeviceMapping;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A device, and what may be done to it.
#[derive(Clone, Debug)]
pub struct Grant {
    pub device: Device,
    /// Its path on the host.
    pub source: String,
    access: String,
}

impl Grant {
    pub fn rule(&self) -> DeviceRule {
        DeviceRule {
            allow: true,
            kind: Some(self.device.kind.clone()),
            major: Some(self.device.major.into()),
            minor: Some(self.device.minor.into()),
            access: Some(self.access.clone()),
        }
    }

    /// The host's own node in its place, for who may make none.
    pub fn bind(&self) -> Mount {
        spec::mount(&self.device.path, "bind", &self.source, vec!["bind".into()])
    }
}

/// What a container of this isolation is given: of a user who may make no nodes, a privileged one
/// only what was named, since most could not be opened and would be in the way.
pub fn granted(isolation: &Isolation) -> Result<Vec<Grant>> {
    let gets_all = isolation.privileged && userns::is_initial();
    let mut grants = if gets_all { all()? } else { Vec::new() };
    for mapping in &isolation.devices {
        let named = |error: Error| error.doing(format!("--device {mapping}"));
        for grant in mapped(mapping).map_err(named)? {
            grants.retain(|other| other.device.path != grant.device.path);
            grants.push(grant);
        }
    }
    Ok(grants)
}

/// The device nodes of the host's /dev, but for those every container has of its own.
fn all() -> Result<Vec<Grant>> {
    let found = below("/dev", "/dev")?.into_iter().filter(|(_, device)| !is_own(&device.path));
    Ok(found.map(|(source, device)| Grant { device, source, access: "rwm".into() }).collect())
}

/// Where processors count how often they were too hot, by which programs can watch what others do:
/// hidden since Docker 28. All processors have it, or none.
pub fn sensors() -> Vec<String> {
    let of = |cpu: usize| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
    (0..).map(of).take_while(|path| Path::new(path).exists()).collect()
}

/// Whether every container has that node, or that directory, of its own.
fn is_own(path: &str) -> bool {
    const OWN: [&str; 11] = [
        "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm",
        "mqueue",
    ];
    let first = path.strip_prefix("/dev/").and_then(|rest| rest.split('/').next());
    first.is_some_and(|name| OWN.contains(&name))
}

/// One device, or all below a directory.
fn mapped(mapping: &DeviceMapping) -> Result<Vec<Grant>> {
    let meta = fs::metadata(&mapping.host).on("look at", &mapping.host)?;
    let grant = |(source, device)| Grant { device, source, access: mapping.access.clone() };
    if !meta.is_dir() {
        let device = device(&mapping.container, &meta).ok_or_else(|| {
            Error::invalid(format!("{} is not a device", mapping.host))
                .hint("a file or a directory of the host is shared with --volume")
        })?;
        if !is_own(&device.path) {
            return Ok(vec![grant((mapping.host.clone(), device))]);
        }
        // Of those with numbers that are the same everywhere, it has just that one.
        if mapping.host != mapping.container {
            let text = format!("every container has a {} of its own", mapping.container);
            return Err(Error::invalid(text).hint("give the device another name inside"));
        }
        return Ok(Vec::new());
    }
    let devices = below(&mapping.host, &mapping.container)?;
    match devices.is_empty() {
        true => Err(Error::invalid(format!("no device is below {}", mapping.host))),
        false => Ok(devices.into_iter().map(grant).collect()),
    }
}

/// All devices below a directory of the host with their paths there, in the order of those in the
/// container.
fn below(host: &str, container: &str) -> Result<Vec<(String, Device)>> {
    let mut devices = Vec::new();
    let mut dirs = vec![(host.to_string(), container.to_string())];
    while let Some((host, container)) = dirs.pop() {
        for entry in fs::read_dir(&host).on("read", &host)? {
            let entry = entry.on("read", &host)?;
            let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else {
                continue;
            };
            let at = format!("{container}/{name}");
            match meta.is_dir() {
                true if is_own(&at) => {}
                true => dirs.push((format!("{host}/{name}"), at)),
                false => {
                    let source = format!("{host}/{name}");
                    devices.extend(device(&at, &meta).map(|device| (source, device)));
                }
            }
        }
    }
    devices.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
    Ok(devices)
}

/// The node as the container is to have it; None where it is none.
fn device(path: &str, meta: &Metadata) -> Option<Device> {
    let kind = match meta.file_type() {
        t if t.is_char_device() => "c",
        t if t.is_block_device() => "b",
        _ => return None,
    };
    let (major, minor) = namespace::device_numbers(meta.rdev());
    Some(Device {
        path: path.to_string(),
        kind: kind.into(),
        major,
        minor,
        file_mode: Some(meta.mode() & 0o7777),
        uid: meta.uid(),
        gid: meta.gid(),
    })
}
