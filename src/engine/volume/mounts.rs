//! From a container's mounts to those of its OCI spec.

use super::Engine;
use crate::container::{Config, Mount, MountKind};
use crate::error::{Error, OsContext, Result};
use crate::oci::create::Root;
use crate::oci::spec;
use crate::sys::fs::{self, Open};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The mounts, and what must stay open until they are made.
pub struct SpecMounts {
    pub mounts: Vec<spec::Mount>,
    parts: Vec<OwnedFd>,
}

impl Engine {
    /// `root` is the container's, with nothing mounted in it.
    pub(in crate::engine) fn spec_mounts(
        &self,
        config: &Config,
        root: &Root,
    ) -> Result<SpecMounts> {
        let mut attached = SpecMounts { mounts: Vec::new(), parts: Vec::new() };
        for mount in &config.mounts {
            let mut options: Vec<String> = match mount.kind {
                MountKind::Tmpfs => TMPFS.map(String::from).to_vec(),
                _ => vec!["rbind".into()],
            };
            if mount.kind == MountKind::Tmpfs {
                options.extend(mode_of(root, &mount.target));
            }
            let is_shallow = mount.options.iter().any(|word| word == "ro");
            options.extend(mount.options.iter().cloned());
            if mount.read_only && !is_shallow {
                options.push(if mount.kind == MountKind::Tmpfs { "ro" } else { "rro" }.into());
            }
            let source = match mount.kind {
                MountKind::Bind => mount.source.clone(),
                MountKind::Tmpfs => "tmpfs".to_string(),
                MountKind::Volume if mount.subpath.is_empty() => {
                    self.volume_store().data(&mount.source).display().to_string()
                }
                MountKind::Volume => {
                    let part = self.part(mount)?;
                    let path = format!("/proc/self/fd/{}", part.as_raw_fd());
                    attached.parts.push(part);
                    path
                }
            };
            let kind = if mount.kind == MountKind::Tmpfs { "tmpfs" } else { "bind" }.to_string();
            let destination = mount.target.clone();
            attached.mounts.push(spec::Mount { destination, kind, source, options });
        }
        Ok(attached)
    }

    /// A part of a volume, open. Links in it, which containers may have made, lead nowhere but
    /// inside of the volume.
    fn part(&self, mount: &Mount) -> Result<OwnedFd> {
        let data = self.volume_store().data(&mount.source);
        let root = fs::open_directory(&data).on("open", &data)?;
        let path = CString::new(mount.subpath.as_str()).unwrap_or_default();
        crate::sys::mount::open_place_in(root.as_fd(), &path).map_err(|e| {
            let Mount { source, subpath, .. } = mount;
            match e.kind() {
                std::io::ErrorKind::NotFound => {
                    Error::not_found(format!("the volume {source} has no {subpath}"))
                        .hint("make it in the volume first")
                }
                _ => Error::os("open", data.join(subpath).display().to_string(), e),
            }
        })
    }
}

/// What a tmpfs does not allow, where nobody asks for it (Docker's).
const TMPFS: [&str; 3] = ["noexec", "nosuid", "nodev"];

/// A tmpfs has the mode of the directory that it hides, unless another is asked for.
fn mode_of(root: &Root, target: &str) -> Option<String> {
    let dir = fs::open_in_root(root.as_fd(), target.as_bytes(), Open::DirectoryThrough).ok()?;
    Some(format!("mode={:o}", fs::fstat(dir.as_fd()).ok()?.mode))
}
