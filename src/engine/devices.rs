//! The host's devices, for a privileged container.

use crate::error::{OsContext, Result};
use crate::oci::spec::Device;
use crate::sys::namespace;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The device nodes directly in /dev, but for those every container has of its own.
pub fn of_host() -> Result<Vec<Device>> {
    const OWN: [&str; 8] = ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"];
    let mut devices = Vec::new();
    for entry in fs::read_dir("/dev").on("read", "/dev")? {
        let entry = entry.on("read", "/dev")?;
        let (Some(name), Ok(meta)) = (entry.file_name().into_string().ok(), entry.metadata())
        else {
            continue;
        };
        let kind = match meta.file_type() {
            t if t.is_char_device() => "c",
            t if t.is_block_device() => "b",
            _ => continue,
        };
        if OWN.contains(&name.as_str()) {
            continue;
        }
        let (major, minor) = namespace::device_numbers(meta.rdev());
        devices.push(Device {
            path: format!("/dev/{name}"),
            kind: kind.into(),
            major,
            minor,
            file_mode: Some(meta.mode() & 0o7777),
            uid: meta.uid(),
            gid: meta.gid(),
        });
    }
    devices.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(devices)
}
