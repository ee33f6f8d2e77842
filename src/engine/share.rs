//! `--pid`, `--ipc` and `--uts` `container:NAME`: a container in namespaces of others.
//!
//! A namespace lives as long as anybody is in it; that of processes ends with its first one, and
//! everybody in it is killed then. What is opened here is the namespace of a process that had not
//! ended when it was opened.

use super::Engine;
use crate::container::{Config, Dir, Namespaces, Share};
use crate::error::{Context, Error, OsContext, Result};
use crate::oci::spec::NamespaceKind;
use crate::types::ContainerId;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The namespaces that a container joins.
#[derive(Default)]
pub(super) struct Shared {
    namespaces: Vec<(NamespaceKind, OwnedFd)>,
    /// Whose /dev/shm it sees: a first process.
    memory: Option<OwnedFd>,
}

impl Shared {
    /// Paths by which this process opens them.
    pub fn paths(&self) -> impl Iterator<Item = (NamespaceKind, String)> {
        let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        self.namespaces.iter().map(move |(kind, fd)| (*kind, path(fd)))
    }

    pub fn memory(&self) -> Option<BorrowedFd<'_>> {
        self.memory.as_ref().map(AsFd::as_fd)
    }
}

impl Engine {
    /// Finds the containers whose namespaces are asked for.
    pub(super) fn resolve_namespaces(
        &self,
        asked: &Namespaces<String>,
    ) -> Result<Namespaces<ContainerId>> {
        let find = |flag: &'static str, share: &Share<String>| {
            share.map(|name| self.find(name).map(|dir| dir.id).doing(|| flag.into()))
        };
        let found = Namespaces {
            pid: find("--pid", &asked.pid)?,
            ipc: find("--ipc", &asked.ipc)?,
            uts: find("--uts", &asked.uts)?,
            cgroup: find("--cgroupns", &asked.cgroup)?,
        };
        if let (Share::Container(name), Share::Container(owner)) = (&asked.ipc, &found.ipc)
            && let Share::Own | Share::None = Dir::new(&self.home, owner).config()?.namespaces.ipc
        {
            let text = format!("can't join IPC of container {name}: non-shareable IPC");
            return Err(Error::conflict(text).hint("create that one with --ipc shareable"));
        }
        Ok(found)
    }

    pub(super) fn share(&self, config: &Config) -> Result<Shared> {
        let Namespaces { pid, ipc, uts, .. } = &config.namespaces;
        let mut shared = Shared::default();
        for (kind, file, share) in [
            (NamespaceKind::Pid, "pid", pid),
            (NamespaceKind::Ipc, "ipc", ipc),
            (NamespaceKind::Uts, "uts", uts),
        ] {
            let Share::Container(owner) = share else { continue };
            let dir = Dir::new(&self.home, owner);
            let name = dir.settings().doing(|| format!("join its {file} namespace"))?.name;
            let down = || {
                let text = format!("cannot join {file} of a non running container: {name}");
                Error::conflict(text).hint(format!("start it first: coracle start {name}"))
            };
            let process = self.process(&dir, name.as_str()).map_err(|_| down())?;
            let path = format!("/proc/{}/ns/{file}", process.pid);
            let namespace = File::open(&path);
            if process.has_ended() {
                return Err(down());
            }
            shared.namespaces.push((kind, namespace.on("open", path)?.into()));
            if kind == NamespaceKind::Ipc {
                shared.memory = Some(process.fd);
            }
        }
        Ok(shared)
    }
}
