//! A container's two directories, and the only place where their paths are spelled.
//!
//! ```text
//! <root>/containers/<id>/      config.json settings.json state.json health.json  log  upper/ work/
//!                              hostname hosts resolv.conf  copied
//! <root>/names/<name>          holds the id; created O_EXCL
//! <root>/mountpoint/           empty; where a container's own namespace mounts its root
//! <root>/locks                 byte-range locks; one byte a container, at a hash of its id
//! <run>/live/<id>              locked by whoever works on the container: its creator, its
//!                              monitor (who signs the lock), its remover. Unlocked, it is the
//!                              sweep's business. Holds who reads its files or writes to them, for
//!                              those that wait.
//! <run>/c/<id>/                socket stdin stdout stderr notify/, while it runs
//! <run>/changing/<id>          locked by whoever changes its networks or links
//! <run>/shared/<id>            another container has joined its network
//! <run>/links/<id>/<other id>  the other runs with a link to it
//! ```
//!
//! State is read without a lock and changed only by `Dir::update_state`, which holds the record
//! lock for as long as it takes to write its line. A crash leaves old or new state, whole, and
//! a file in `live` that nobody holds.

use super::health::Health;
use super::process;
use super::record::{Config, ProcessId, Settings, State};
use crate::error::{Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::fs::{read_small, remove_tree};
use crate::sys::last_line;
use crate::sys::lock::{self, Guard, Mode};
use crate::types::{ContainerId, ContainerName, Home, Pid};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use std::fs;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Offsets in `<root>/locks`; taken in ascending order.
pub mod lock_offset {
    /// The making of the directories.
    pub const ROOT: u64 = 0;
    pub const NETWORK: u64 = 1;
    /// Containers lie behind this one.
    pub const CONTAINERS: u64 = 1 << 16;
}

/// A line a change; the last one counts.
const STATE: &str = "state.json";

#[derive(Clone, Debug)]
pub struct Dir {
    pub id: ContainerId,
    home: Home,
    path: PathBuf,
    run: PathBuf,
    /// The configuration, which never changes, once it was read by this one or a clone.
    config: Rc<OnceCell<Rc<Config>>>,
}

/// The right to work on a container, or on its networks: exclusive, and given up by dying.
#[derive(Debug)]
#[must_use]
pub struct Live {
    pub guard: Guard,
    path: PathBuf,
}

impl Live {
    /// Takes over an inherited guard.
    pub fn inherit(dir: &Dir, guard: Guard) -> Live {
        Live { guard, path: dir.live_path() }
    }

    /// The right that goes with this file, which is made. `None` where somebody has it, and we are
    /// not to wait.
    pub fn take(path: PathBuf, wait: bool) -> Result<Option<Live>> {
        match wait {
            true => Live::take_or(path, |path| lock::lock(path, 0, Mode::Exclusive).map(Ok)),
            false => Live::take_or(path, lock::try_lock_or_signature),
        }
        .map(|taken| taken.ok())
    }

    /// The same, by a way to get the lock; else what that gives instead.
    fn take_or<T>(
        path: PathBuf,
        lock: impl Fn(&Path) -> io::Result<std::result::Result<Guard, T>>,
    ) -> Result<std::result::Result<Live, T>> {
        loop {
            let guard = match lock(&path).on("lock", &path)? {
                Ok(guard) => guard,
                Err(other) => return Ok(Err(other)),
            };
            // Its last holder may have removed the file between our opening and our locking.
            let ours = crate::sys::fd::inode(&guard).on("stat", &path)?;
            match fs::metadata(&path) {
                Ok(now) if (now.dev(), now.ino()) == ours => {
                    return Ok(Ok(Live { guard, path }));
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::os("stat", path.display().to_string(), e)),
            }
        }
    }

    /// Says that it is ours from now on, so that whoever finds a copy of it in the hands of a child
    /// of ours knows when we are dead.
    pub fn sign(&self) {
        // Without, a sweep may come too early, and the next one does its work.
        let _ = process::signature().map(|us| self.guard.sign(us));
    }

    /// Nothing is left to do for this container.
    pub fn finish(self) -> Result<()> {
        // While still holding the lock: whoever waits for it finds the file gone, and makes anew.
        gone_is_fine(fs::remove_file(&self.path)).on("remove", &self.path)
    }
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Dir {
    pub fn new(home: &Home, id: &ContainerId) -> Dir {
        Dir {
            id: id.clone(),
            home: home.clone(),
            path: home.root.join("containers").join(id.as_str()),
            run: home.run.join("c").join(id.as_str()),
            config: Rc::default(),
        }
    }

    /// The ids of all containers, in no order. A missing directory holds none.
    pub fn all(home: &Home) -> Result<Vec<ContainerId>> {
        ids_in(&home.root.join("containers"))
    }

    /// The ids of the containers that somebody works on, or died working on.
    pub fn live(home: &Home) -> Result<Vec<ContainerId>> {
        ids_in(&home.run.join("live"))
    }

    /// The ids of those whose networks or links somebody changes, or died changing.
    pub fn changing_ones(home: &Home) -> Result<Vec<ContainerId>> {
        ids_in(&home.run.join("changing"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn run_path(&self) -> &Path {
        &self.run
    }
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }
    pub fn upper(&self) -> PathBuf {
        self.path.join("upper")
    }
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }
    /// Written when `upper` had become a copy of the image's files, where it is one.
    pub fn copied(&self) -> PathBuf {
        self.path.join("copied")
    }
    pub fn hosts(&self) -> PathBuf {
        self.path.join("hosts")
    }
    pub fn hostname(&self) -> PathBuf {
        self.path.join("hostname")
    }
    pub fn resolv_conf(&self) -> PathBuf {
        self.path.join("resolv.conf")
    }
    pub fn mountpoint(&self) -> PathBuf {
        self.home.root.join("mountpoint")
    }
    pub fn socket(&self) -> PathBuf {
        self.run.join("socket")
    }
    /// Locked by whoever changes its networks or links, and what they would undo.
    pub fn changing(&self) -> PathBuf {
        self.home.run.join("changing").join(self.id.as_str())
    }
    /// There once another container has joined its network, until its links are gone from there.
    pub fn shared(&self) -> PathBuf {
        self.home.run.join("shared").join(self.id.as_str())
    }
    /// The directory of the socket at which it says that it is ready.
    pub fn notify(&self) -> PathBuf {
        self.run.join("notify")
    }
    /// A FIFO of the container: `stdin`, `stdout` or `stderr`.
    pub fn fifo(&self, stream: &str) -> PathBuf {
        self.run.join(stream)
    }
    fn live_path(&self) -> PathBuf {
        self.home.run.join("live").join(self.id.as_str())
    }

    pub fn exists(&self) -> bool {
        self.path.join("config.json").exists()
    }

    /// Makes the directory of a new container and writes its records, `state.json` first: a
    /// directory without a config was never finished. That they are there lasts with the state
    /// that says so. Gives the configuration back.
    pub fn create(&self, config: Config, settings: &Settings, state: &State) -> Result<Rc<Config>> {
        for dir in [&self.path, &self.upper(), &self.work()] {
            fs::create_dir_all(dir).on("create", dir)?;
        }
        let durability = durability(!state.ephemeral);
        let files = [
            (STATE, bytes_of(state)?),
            ("settings.json", bytes_of(settings)?),
            ("config.json", bytes_of(&config)?),
        ];
        for (name, bytes) in files {
            let path = self.path.join(name);
            atomic::place(&path, &bytes, durability).on("write", &path)?;
        }
        Ok(self.config.get_or_init(|| Rc::new(config)).clone())
    }

    /// The cgroup in which it has its own, where that was chosen: the text of a symbolic link, so
    /// that it is known as long as there is anything of the container.
    pub fn cgroup_parent(&self) -> Option<String> {
        fs::read_link(self.path.join("cgroup-parent")).ok()?.into_os_string().into_string().ok()
    }

    pub fn set_cgroup_parent(&self, parent: &str) -> Result<()> {
        let link = self.path.join("cgroup-parent");
        std::os::unix::fs::symlink(parent, &link).on("create", &link)
    }

    /// Has the container's existence, its records and its name survive loss of power.
    pub fn sync_entry(&self) -> Result<()> {
        let [containers, names] = ["containers", "names"].map(|name| self.home.root.join(name));
        for dir in [&self.path, &containers, &names] {
            fs::File::open(dir).and_then(|dir| dir.sync_all()).on("sync", dir)?;
        }
        Ok(())
    }

    /// Has the state as it is survive loss of power.
    pub fn sync_state(&self) -> Result<()> {
        let path = self.path.join(STATE);
        fs::File::open(&path).and_then(|state| state.sync_data()).on("sync", &path)
    }

    pub fn config(&self) -> Result<Rc<Config>> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = Rc::new(self.read_config()?);
        Ok(self.config.get_or_init(|| config).clone())
    }

    /// The same, for whoever keeps it.
    pub fn read_config(&self) -> Result<Config> {
        self.read("config.json")
    }

    pub fn settings(&self) -> Result<Settings> {
        self.read("settings.json")
    }

    pub fn state(&self) -> Result<State> {
        let path = self.path.join(STATE);
        self.parse(&path, last_line::read(&path))
    }

    /// What its health checks have shown; of one without any, or that never ran, nothing.
    pub fn health(&self) -> Option<Health> {
        self.read("health.json").ok()
    }

    /// For its monitor alone.
    pub fn write_health(&self, health: &Health) -> Result<()> {
        self.write("health.json", health, Durability::Crash)
    }

    pub fn write_settings(&self, settings: &Settings) -> Result<()> {
        let _record = self.record_lock()?;
        self.write("settings.json", settings, Durability::PowerLoss)
    }

    /// Reads the settings, changes them and writes them back, alone.
    pub fn update_settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> Result<T> {
        let _record = self.record_lock()?;
        let mut settings = self.settings()?;
        let answer = change(&mut settings);
        self.write("settings.json", &settings, Durability::PowerLoss)?;
        Ok(answer)
    }

    /// Reads the state, changes it and writes it back, alone.
    pub fn update_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        let _record = self.record_lock()?;
        let mut state = self.state()?;
        let before = (state.want, state.status);
        let answer = change(&mut state);
        self.write_state(&state, durability(state.must_last_since(before)))?;
        Ok(answer)
    }

    /// Writes a state over whatever is there, readable or not.
    pub fn replace_state(&self, state: &State) -> Result<()> {
        let _record = self.record_lock()?;
        self.write_state(state, Durability::Crash)
    }

    fn record_lock(&self) -> Result<Guard> {
        let path = self.home.root.join("locks");
        let hash = u64::from_str_radix(&self.id.as_str()[..12], 16).unwrap_or_default();
        lock::lock(&path, lock_offset::CONTAINERS + hash, Mode::Exclusive).on("lock", &path)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        self.parse(&path, fs::read(&path))
    }

    fn parse<T: DeserializeOwned>(&self, path: &Path, bytes: io::Result<Vec<u8>>) -> Result<T> {
        let bytes = match bytes {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::not_found(format!("no such container: {}", self.id.short())));
            }
            other => other.on("read", path)?,
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::damaged(format!("{}: {e}", path.display()))
                .hint("move the file away and remove the container with rm -f")
        })
    }

    /// Replaces a record; the caller holds its lock.
    fn write<T: Serialize>(&self, name: &str, value: &T, durability: Durability) -> Result<()> {
        let path = self.path.join(name);
        let bytes = bytes_of(value)?;
        let written = atomic::replace(&path, &bytes, durability);
        where_it_was(written, &path, &bytes).on("write", &path)
    }

    /// The same of the state.
    fn write_state(&self, state: &State, durability: Durability) -> Result<()> {
        let path = self.path.join(STATE);
        let bytes = bytes_of(state)?;
        let written = last_line::append(&path, &bytes, durability);
        where_it_was(written, &path, &bytes).on("write", &path)
    }

    /// Takes the right to work on the container; `None` where somebody has it.
    pub fn try_live(&self) -> Result<Option<Live>> {
        Live::take(self.live_path(), false)
    }

    /// The same; else whether the monitor that has the right is dead: a child has it, on its way to
    /// its program or to its end.
    pub fn try_live_of_the_dead(&self) -> Result<std::result::Result<Live, bool>> {
        let taken = Live::take_or(self.live_path(), lock::try_lock_or_signature)?;
        Ok(taken.map_err(|signature| signature.is_some_and(process::has_ended)))
    }

    /// Writes down who holds the container and for what, for those that have to wait; that is all
    /// it is good for, so that nothing fails by it.
    pub fn note_holder(&self, verb: &str) {
        let us = Pid::from_raw(std::process::id().cast_signed()).map(ProcessId::of);
        if let Some(Ok(us)) = us
            && let Ok(note) = serde_json::to_vec(&(verb, us))
        {
            let file = fs::File::options().write(true).truncate(true).open(self.live_path());
            let _ = file.and_then(|mut file| file.write_all(&note));
        }
    }

    pub fn forget_holder(&self) {
        let file = fs::File::options().write(true).open(self.live_path());
        let _ = file.and_then(|file| file.set_len(0));
    }

    /// Who wrote down to hold it, and lives: the verb, and the number of its process.
    pub fn holder(&self) -> Option<(String, Pid)> {
        let note = read_small(&self.live_path(), 4096).ok()?;
        let (verb, process): (String, ProcessId) = serde_json::from_slice(&note).ok()?;
        process.open().map(|_| (verb, process.pid))
    }

    /// Waits for the right to work on the container.
    pub fn wait_live(&self) -> Result<Live> {
        let live = Live::take(self.live_path(), true)?;
        live.ok_or_else(|| Error::conflict(format!("{} is being worked on", self.id.short())))
    }

    fn linkers_path(&self) -> PathBuf {
        self.home.run.join("links").join(self.id.as_str())
    }

    /// The containers that run with a link to this one. Changed under the network lock.
    pub fn linkers(&self) -> Result<Vec<ContainerId>> {
        ids_in(&self.linkers_path())
    }

    pub fn add_linker(&self, id: &ContainerId) -> Result<()> {
        let dir = self.linkers_path();
        fs::create_dir_all(&dir).on("create", &dir)?;
        let path = dir.join(id.as_str());
        fs::File::create(&path).map(drop).on("create", &path)
    }

    pub fn remove_linker(&self, id: &ContainerId) -> Result<()> {
        let dir = self.linkers_path();
        let path = dir.join(id.as_str());
        gone_is_fine(fs::remove_file(&path)).on("remove", &path)?;
        // The last one takes them along.
        for dir in [&dir, &self.home.run.join("links")] {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Removes what is in the run directory.
    pub fn remove_run(&self) -> Result<()> {
        gone_is_fine(fs::remove_dir_all(&self.run)).on("remove", &self.run)
    }

    /// Removes the container's directory.
    pub fn remove(&self) -> Result<()> {
        // Flat: a container may have made directories as deep as it liked.
        gone_is_fine(remove_tree(&self.path)).on("remove", &self.path)
    }
}

fn bytes_of(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::damaged(e.to_string()))
}

/// A full disk has room for what is there already: the end of a container can be recorded, and the
/// container removed.
fn where_it_was(written: io::Result<()>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    match written {
        Err(e) if matches!(e.kind(), StorageFull | QuotaExceeded) => {
            atomic::overwrite(path, bytes).map_err(|_| e)
        }
        written => written,
    }
}

fn durability(lasts: bool) -> Durability {
    if lasts { Durability::PowerLoss } else { Durability::Crash }
}

fn ids_in(dir: &Path) -> Result<Vec<ContainerId>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.on("read", dir)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.on("read", dir)?.file_name();
        ids.extend(name.to_str().and_then(|n| n.parse().ok()));
    }
    Ok(ids)
}

/// Gives `name` to a container; refused where another holds it.
pub fn claim_name(dir: &Dir, name: &ContainerName) -> Result<bool> {
    let path = dir.home.root.join("names").join(name.as_str());
    // Written aside and linked into place, so that no reader sees it empty; aside being the
    // container's own directory, which goes as a whole when this is the last that is done.
    let aside = dir.path.join("name.new");
    fs::File::create(&aside)
        .and_then(|mut f| f.write_all(dir.id.as_str().as_bytes()))
        .on("write", &aside)?;
    let linked = fs::hard_link(&aside, &path);
    gone_is_fine(fs::remove_file(&aside)).on("remove", &aside)?;
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.on("create", &path).map(|()| true),
    }
}

/// Takes the name back, if it is still this container's.
pub fn release_name(home: &Home, name: &ContainerName, id: &ContainerId) -> Result<()> {
    if named(home, name.as_str())?.as_ref() != Some(id) {
        return Ok(());
    }
    let path = home.root.join("names").join(name.as_str());
    gone_is_fine(fs::remove_file(&path)).on("remove", &path)
}

/// The container of this name.
pub fn named(home: &Home, name: &str) -> Result<Option<ContainerId>> {
    let Ok(name) = name.parse::<ContainerName>() else {
        return Ok(None);
    };
    let path = home.root.join("names").join(name.as_str());
    match fs::read_to_string(&path) {
        Ok(id) => Ok(id.parse().ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::os("read", path.display().to_string(), e)),
    }
}
