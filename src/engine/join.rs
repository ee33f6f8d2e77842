//! `--net=container:NAME`: a container in the network namespace of another one, with its files
//! about the network.
//!
//! The namespace lives as long as anybody is in it, also when its first owner has ended. Then the
//! owner's address may be somebody else's: so it loses its links at its end, as with Docker, where
//! others have joined it.
//!
//! ```text
//! <run>/shared/<id>   PID INODE, of the process that the namespace was made for, and its own
//! ```
//!
//! It is written before the last look at that process, and read after its end. A link upon one of
//! the host (macvlan, ipvlan) is seen in the namespace only: whoever clears up after the owner finds
//! it by a container that is in there; one that was not yet looks at the owner once it is, and
//! clears up itself.

use super::Engine;
use crate::container::{Config, Dir, Network, Status, Want};
use crate::engine::kill::First;
use crate::error::{Context, Error, OsContext, Result};
use crate::network;
use crate::sys::atomic::{self, Durability};
use crate::sys::{fd, netns};
use crate::types::Pid;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The namespace of a container that runs.
pub(super) struct Joined {
    namespace: OwnedFd,
    /// Of the container that was joined.
    owner: First,
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
        let namespace = netns::of(owner.pid);
        let mark = dir.shared();
        // Who joins it at the same moment writes the same, but not at once.
        let _lock = self.network_lock()?;
        if owner.has_ended() {
            // The mark may be gone for good.
            return Err(down());
        }
        let marks = self.home.run.join("shared");
        fs::create_dir_all(&marks).on("create", &marks)?;
        let inode = namespace.as_ref().ok().and_then(|namespace| fd::inode(namespace).ok());
        let text = format!("{} {}", owner.pid, inode.map_or(0, |(_, inode)| inode));
        let marked = atomic::replace(&mark, text.as_bytes(), Durability::Crash);
        if owner.has_ended() {
            return Err(down());
        }
        marked.on("write", &mark)?;
        let namespace = namespace.on("open", "the container's network")?;
        Ok(Joined { namespace, owner, files: self.network_files(dir)? })
    }

    /// For a container that is in the namespace now: who has ended meanwhile has not seen it there.
    pub(super) fn look_again(&self, joined: &Joined) -> Result<()> {
        match joined.owner.has_ended() {
            true => network::strip(&numbers(&joined.files), joined.namespace.as_fd()),
            false => Ok(()),
        }
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
        // An older release wrote the first word only.
        let mut words = text.split(' ');
        if let Some(process) =
            words.next().and_then(|word| word.parse().ok()).and_then(Pid::from_raw)
        {
            network::unplug(&dir.id, process)?;
        }
        let inode = words.next().and_then(|word| word.parse().ok());
        match inode.map_or(Ok(None), |inode| self.inhabited(dir, inode))? {
            Some(namespace) => network::strip(&numbers(dir), namespace.as_fd()),
            None => Ok(()),
        }
    }

    /// The namespace of this inode that was of a container, where another one lives in it.
    fn inhabited(&self, dir: &Dir, inode: u64) -> Result<Option<OwnedFd>> {
        for id in Dir::live(&self.home)? {
            let other = Dir::new(&self.home, &id);
            let (Ok(config), Ok(state)) = (other.config(), other.state()) else { continue };
            let is_anothers = || self.network_files(&other).is_ok_and(|owner| owner.id != dir.id);
            if !matches!(config.network, Network::Container(_)) || is_anothers() {
                // The inode of one that is gone may be another's by now.
                continue;
            }
            let Some(first) = state.process.and_then(|it| First::open(&it)) else { continue };
            let namespace = netns::of(first.pid);
            if let Some(namespace) = namespace.ok().filter(|_| !first.has_ended())
                && fd::inode(&namespace).is_ok_and(|(_, its)| its == inode)
            {
                return Ok(Some(namespace));
            }
        }
        Ok(None)
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

/// Those of the links that a container has, or had when it last ran.
fn numbers(dir: &Dir) -> Vec<u8> {
    let endpoints = dir.state().map(|state| state.endpoints).unwrap_or_default();
    endpoints.iter().map(|at| at.number).collect()
}
