//! Looking: what readers are told. No locks, no repairs; what the files say is compared with the
//! kernel.

use super::report::{self, Info};
use super::stats::host_memory;
use super::{Driver, Engine, devices, rootless, sweep};
use crate::container::{Dir, Network, Settings, State, Status};
use crate::error::{Context, Result};
use crate::sys::lock::{self, Mode};
use crate::types::{ContainerId, Digest};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

impl Engine {
    /// All containers, newest first. One whose files are being made or removed is left out, and
    /// so is one that cannot be read: it is named by `inspect`.
    pub fn containers(&self) -> Result<Vec<report::Container>> {
        let mut names = HashMap::new();
        let driver = self.driver()?;
        let mut all: Vec<_> = Dir::all(&self.home)?
            .into_iter()
            .filter_map(|id| self.look(&Dir::new(&self.home, &id), driver, &mut names).ok())
            .filter(|c| !matches!(c.state.status, Status::Creating))
            .collect();
        add_paths(&mut all);
        // Each is moved once.
        all.sort_by_cached_key(|c| std::cmp::Reverse(c.config.created));
        Ok(all)
    }

    pub fn container(&self, name: &str) -> Result<report::Container> {
        let dir = self.find(name)?;
        let mut container = self.look(&dir, self.driver()?, &mut HashMap::new())?;
        if !has_process(&container.state) {
            container.state.process = None;
        }
        let files = match container.config.network {
            // Where the other container is gone, so are its files.
            Network::Container(_) => self.network_files(&dir).unwrap_or_else(|_| dir.clone()),
            _ => dir.clone(),
        };
        Ok(report::Container {
            // Where the image is damaged, the container is not.
            lower: self.lower_dirs(&container.config).unwrap_or_default(),
            sensors: devices::sensors(),
            cgroup_parent: dir.cgroup_parent().unwrap_or_default(),
            network_files: files.path().to_path_buf(),
            ..container
        })
    }

    fn look(
        &self,
        dir: &Dir,
        driver: Driver,
        names: &mut HashMap<(Digest, String), String>,
    ) -> Result<report::Container> {
        let config = dir.read_config()?;
        let settings = dir.settings()?;
        let mut state = dir.state()?;
        let monitored = state.status.is_up() && self.is_held(dir);
        // With a monitor that is true, or the end is just being recorded.
        if state.status == Status::Running && !monitored && !has_process(&state) {
            state.process = None;
            state.status = Status::Exited;
            state.exit_code = sweep::UNKNOWN_EXIT;
        }
        let key = (config.image, config.image_name.clone());
        let image_name = match names.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = self.shown_image(&config.image, &config.image_name);
                names.insert(key, name.clone());
                name
            }
        };
        let links = settings.links.iter().map(|link| {
            let target = Dir::new(&self.home, &link.target).settings();
            let name = target.map_or(link.name.clone(), |settings| settings.name.to_string());
            (name.trim_start_matches('/').to_string(), link.alias.clone())
        });
        let health = config.health.command().and_then(|_| dir.health());
        Ok(report::Container {
            health,
            links: links.collect(),
            paths: Vec::new(),
            image_name,
            monitored,
            driver,
            lower: Vec::new(),
            sensors: Vec::new(),
            cgroup_parent: String::new(),
            directory: dir.path().to_path_buf(),
            network_files: PathBuf::new(),
            volumes: self.home.root.join("volumes"),
            config,
            settings,
            state,
        })
    }

    /// The name by which the container was made, while it still means the same image.
    fn shown_image(&self, id: &Digest, name: &str) -> String {
        let now = self.images().and_then(|store| store.resolve(name));
        match now {
            Ok(now) if now == *id => name.to_string(),
            _ => id.short(),
        }
    }

    fn is_held(&self, dir: &Dir) -> bool {
        let path = self.home.run.join("live").join(dir.id.as_str());
        // Opened for reading only: a reader makes no file.
        let Ok(file) = fs::File::open(path) else { return false };
        lock::is_held(&file, 0, Mode::Exclusive).unwrap_or(false)
    }

    /// The images that containers use, each with the container and whether that runs. One that
    /// cannot be read may use any image, so that is an error.
    pub fn image_users(&self) -> Result<Vec<(Digest, String, bool)>> {
        let mut users = Vec::new();
        for id in Dir::all(&self.home)? {
            let dir = Dir::new(&self.home, &id);
            let config = match dir.config() {
                // It is being made, and uses nothing yet, or being removed.
                Err(error) if error.is_not_found() => continue,
                other => other.doing(|| format!("find out what container {} uses", id.short()))?,
            };
            let runs = dir.state().map_or(true, |state| state.status.is_up());
            users.push((config.image, id.short().to_string(), runs));
        }
        Ok(users)
    }

    pub fn info(&self) -> Result<Info> {
        let containers = self.containers()?;
        let count = |status| containers.iter().filter(|c| c.status() == status).count();
        let (running, paused) = (count("running"), count("paused"));
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_string())
        };
        Ok(Info {
            id: engine_id(&self.home.root),
            stopped: containers.len() - running - paused,
            containers: containers.len(),
            running,
            paused,
            images: self
                .images()
                .and_then(|store| store.refs())
                .map_or(0, |refs| refs.images().len()),
            root: self.home.root.clone(),
            storage: self.recorded_driver()?,
            cgroup_version: self.cgroups()?.version(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
            operating_system: field(&read("/etc/os-release"), "PRETTY_NAME").unwrap_or_default(),
            architecture: std::env::consts::ARCH.into(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: host_memory(),
            hostname: read("/proc/sys/kernel/hostname").trim().to_string(),
            log_driver: self.settings.log.driver.unwrap_or_default().word(),
            debug: self.settings.debug,
            is_rootless: rootless::is_rootless(&self.home.root),
            labels: self.settings.labels.clone(),
            warnings: {
                let lacks = self.cgroups()?.lacks().into_iter().map(String::from);
                let obstacles = self.networks().obstacles().unwrap_or_else(|e| vec![e.to_string()]);
                lacks.chain(obstacles).collect()
            },
        })
    }
}

/// In the form of a UUID: the same for as long as machine and place are.
fn engine_id(root: &Path) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let hex = Digest::of(format!("{} {}", machine.trim(), root.display()).as_bytes()).hex();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]];
    parts.join("-")
}

/// Whether its first process lives.
fn has_process(state: &State) -> bool {
    state.process.as_ref().is_some_and(|process| process.open().is_some())
}

/// Tells each container what others call it.
fn add_paths(all: &mut [report::Container]) {
    let mut paths: HashMap<ContainerId, Vec<String>> = HashMap::new();
    for container in &*all {
        let Settings { name, links, .. } = &container.settings;
        for link in links {
            let path = format!("{name}/{}", link.alias);
            paths.entry(link.target.clone()).or_default().push(path);
        }
    }
    for container in all {
        container.paths = paths.remove(&container.config.id).unwrap_or_default();
        container.paths.sort_unstable();
    }
}
