//! `--net=container:NAME`: a container in the network namespace of another one, with its files
//! about the network.
//!
//! The namespace lives as long as anybody is in it, also when its first owner has ended. Then the
//! owner's address may be somebody else's: so it loses its links at its end, as with Docker, where
//! others have joined it. `<run>/shared/<id>` says so, and of which process the namespace was: it
//! is written before the last look at that process, and read after its end.

use super::Engine;
use crate::container::{Config, Dir, Network, Status, Want};
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
        if owner.has_ended() {
            // The mark may be gone for good.
            return Err(down());
        }
        let marks = self.home.run.join("shared");
        fs::create_dir_all(&marks).on("create", &marks)?;
        let marked = atomic::replace(&mark, owner.pid.to_string().as_bytes(), Durability::Crash);
        if owner.has_ended() {
            return Err(down());
        }
        marked.on("write", &mark)?;
        let namespace = namespace.on("open", &path)?.into();
        Ok(Joined { namespace, files: self.network_files(dir)? })
    }

    /// Whether one that a container needs is on its way: the owner of a namespace that it joins,
    /// or a target of its links.
    pub(super) fn waits_for_others(&self, dir: &Dir, config: &Config) -> Result<bool> {
        let is_coming = |id| self.is_coming(&Dir::new(&self.home, id));
        if config.namespaces.owners().any(is_coming) {
            return Ok(true);
        }
        match &config.network {
            Network::Container(id) => Ok(is_coming(id)),
            _ => self.waits_for_target(dir),
        }
    }

    /// Whether a container is about to run that does not yet: after a reboot all start at once.
    pub(super) fn is_coming(&self, dir: &Dir) -> bool {
        let Ok(state) = dir.state() else { return false };
        let runs = state.status == Status::Running
            && state.process.as_ref().is_some_and(|process| process.open().is_some());
        state.want == Want::Up && state.status.is_up() && !runs
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

    /// Removes the mark of a container that has ended, whose links are gone.
    pub(super) fn forget_shared(&self, dir: &Dir) -> Result<()> {
        let mark = dir.shared();
        match fs::remove_file(&mark) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other.on("remove", &mark),
        }
    }

    /// The container whose files tell about the network that `dir`'s container is in.
    pub(super) fn network_files(&self, dir: &Dir) -> Result<Dir> {
        match &dir.config()?.network {
            // Ids are never used again, so this comes to an end.
            Network::Container(id) => self.network_files(&Dir::new(&self.home, id)),
            _ => Ok(dir.clone()),
        }
    }
}
