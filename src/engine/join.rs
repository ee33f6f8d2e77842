//! `--net=container:NAME`: a container in the network namespace of another one, with its files
//! about the network.
//!
//! The namespace lives as long as anybody is in it, also when its first owner has ended. Then the
//! owner's address may be somebody else's: so it loses its links at its end, as with Docker, where
//! others have joined it. `<run>/c/<id>/shared` says so, and of which process the namespace was: it
//! is written before the last look at that process, and read after its end.

use super::Engine;
use crate::container::{Dir, Network};
use crate::error::{Context, Error, OsContext, Result};
use crate::network;
use crate::sys::atomic::{self, Durability};
use crate::types::Pid;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};

/// The namespace of a container that runs.
pub(super) struct Joined {
    namespace: OwnedFd,
    /// Whose files tell about the network.
    pub files: Dir,
}

impl Joined {
    /// A path by which this process opens the namespace, whatever has become of its owner.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.namespace.as_raw_fd())
    }
}

impl Engine {
    /// Opens the network namespace of `dir`'s container for another one.
    pub(super) fn join_network(&self, dir: &Dir) -> Result<Joined> {
        let name = dir.settings().doing(|| "join its network".into())?.name;
        let down = || {
            let text = format!("cannot join network of a non running container: {name}");
            Error::conflict(text).hint(format!("start it first: coracle start {name}"))
        };
        let owner = self.process(dir, name.as_str()).map_err(|_| down())?;
        let path = format!("/proc/{}/ns/net", owner.pid);
        let namespace = File::open(&path);
        let mark = dir.shared();
        // Who joins it at the same moment writes the same, but not at once.
        let _lock = self.network_lock()?;
        let marked = atomic::replace(&mark, owner.pid.to_string().as_bytes(), Durability::Crash);
        if owner.has_ended() {
            return Err(down());
        }
        marked.on("write", &mark)?;
        let namespace = namespace.on("open", &path)?.into();
        Ok(Joined { namespace, files: self.network_files(dir)? })
    }

    /// Takes the links away from the namespace of a container that has ended, where others are in
    /// it.
    pub(super) fn unplug(&self, dir: &Dir) -> Result<()> {
        let mark = dir.shared();
        let text = match fs::read_to_string(&mark) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.on("read", &mark)?,
        };
        match text.parse().ok().and_then(Pid::from_raw) {
            Some(process) => network::unplug(&dir.id, process),
            None => Ok(()),
        }
    }

    /// The container whose files tell about the network that `dir`'s container is in.
    pub(super) fn network_files(&self, dir: &Dir) -> Result<Dir> {
        match dir.config()?.network {
            // Ids are never used again, so this comes to an end.
            Network::Container(id) => self.network_files(&Dir::new(&self.home, &id)),
            _ => Ok(dir.clone()),
        }
    }
}
