//! Making cgroups and writing their limits; where our own processes stay.

use super::devices;
use super::host::{Cgroups, Hierarchy};
use super::resources::Resources;
use super::settings::{self, CONTROLLERS, Setting, Version};
use super::{Cgroup, V1};
use crate::error::{Cause, Context, Error, OsContext, Result};
use crate::sys::bpf::cgroup_device;
use crate::sys::userns;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

/// The v1 hierarchies that a container always joins, where they are mounted: limits, accounts,
/// and systemd's own, lest it counts our processes among its services.
const ALWAYS_V1: [&str; 8] =
    ["memory", "cpu", "cpuacct", "devices", "pids", "freezer", "blkio", "name=systemd"];

/// The v2 controllers to switch on for a container, where they are to be had, and their names in
/// v1.
const ALWAYS_V2: [(&str, &str); 4] =
    [("memory", "memory"), ("cpu", "cpu"), ("pids", "pids"), ("io", "blkio")];

/// Where our own processes live.
pub const MONITORS: &str = "coracle/monitors";

/// Settings for one controller, or (with no name) for `linux.resources.unified`.
pub(super) struct Planned {
    pub version: Version,
    pub controller: &'static str,
    pub settings: Vec<Setting>,
}

impl Cgroups {
    /// Makes the cgroup `path` (`coracle/<id>`) and writes its limits. Empty leftovers of that
    /// name are replaced.
    ///
    /// Errors: no cgroup file system is mounted; a limit was asked for that this host cannot set;
    /// `path` has processes. Then nothing is left behind.
    pub fn create(&self, path: &str, resources: &Resources) -> Result<Cgroup> {
        if self.version().is_none() {
            return Err(Error::not_found("no cgroup file system is mounted")
                .hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
        }
        let path = relative(path)?;
        settings::check(resources)?;
        let rules = devices::parse(&resources.devices)?;
        let plan = self.plan(resources)?;
        self.open_path(&path).replace()?;

        let mut cgroup = Cgroup { path, v1: Vec::new(), unified: None, warnings: Vec::new() };
        let made = self
            .make_v1(&mut cgroup, &plan)
            .and_then(|()| self.make_unified(&mut cgroup, resources, &plan))
            .and_then(|()| restrict_devices(&cgroup, &rules))
            .and_then(|()| limit(&mut cgroup, &plan));
        match made {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                let _ = self.open_path(&cgroup.path).remove();
                Err(error.doing(format!("make cgroup {}", cgroup.path.display())))
            }
        }
    }

    /// The cgroup `path` as it is now; without directories where there is none.
    pub fn open(&self, path: &str) -> Result<Cgroup> {
        Ok(self.open_path(&relative(path)?))
    }

    pub(super) fn open_path(&self, path: &Path) -> Cgroup {
        let existing = |base: &Path| Some(base.join(path)).filter(|dir| dir.is_dir());
        let v1 = self.v1.iter().filter_map(|h| {
            let dir = existing(&h.mount)?;
            Some(V1 { controllers: h.controllers.clone(), dir })
        });
        let unified = self
            .unified
            .as_ref()
            .and_then(|h| existing(&h.mount).or_else(|| existing(&h.delegated())));
        Cgroup { path: path.to_path_buf(), v1: v1.collect(), unified, warnings: Vec::new() }
    }

    /// Moves this process to `MONITORS` in every hierarchy where it is not in the root, so that
    /// the end of a login session or of a service does not take it along.
    pub fn enter_monitors(&self) -> Result<()> {
        let mut errors = Vec::new();
        let v1 = self.v1.iter().map(|h| (h, "tasks"));
        for (hierarchy, file) in v1.chain(self.unified.iter().map(|h| (h, "cgroup.procs"))) {
            let (root, dir) = (hierarchy.mount.join(""), hierarchy.mount.join(MONITORS));
            if hierarchy.own.join("") == root || hierarchy.own == dir {
                continue;
            }
            let entered = hierarchy.make(Path::new(MONITORS)).and_then(|()| {
                let file = dir.join(file);
                fs::write(&file, "0").on("write", &file)
            });
            errors.extend(entered.err());
        }
        Error::collect(errors).doing(|| format!("enter cgroup {MONITORS}"))
    }

    /// What to write where, found out before anything is made.
    pub(super) fn plan(&self, resources: &Resources) -> Result<Vec<Planned>> {
        let available = self.unified.as_ref().map_or(Vec::new(), |h| h.words("cgroup.controllers"));
        let mut plan = Vec::new();
        for controller in &CONTROLLERS {
            let (version, name) = match self.has_v1(controller.v1) {
                true => (Version::V1, controller.v1),
                false => (Version::V2, controller.v2),
            };
            let settings = controller.settings(resources, version)?;
            if settings.is_empty() {
                continue;
            }
            if version == Version::V2 && !available.iter().any(|c| c == name) {
                return Err(missing(name));
            }
            plan.push(Planned { version, controller: name, settings });
        }
        if !resources.unified.is_empty() {
            if self.unified.is_none() || !self.v1.is_empty() {
                let problem = "linux.resources.unified needs a host with cgroup v2 alone";
                return Err(Error::invalid(problem));
            }
            let settings = resources.unified.iter().map(|(file, value)| Setting {
                file: file.clone(),
                value: value.clone(),
                or_say: None,
            });
            let settings = settings.collect();
            plan.push(Planned { version: Version::V2, controller: "", settings });
        }
        Ok(plan)
    }

    fn make_v1(&self, cgroup: &mut Cgroup, plan: &[Planned]) -> Result<()> {
        let mut forbidden = None;
        for hierarchy in &self.v1 {
            let has = |planned: &Planned| {
                planned.version == Version::V1 && hierarchy.has(planned.controller)
            };
            let asked = plan.iter().any(has);
            if !asked && !ALWAYS_V1.iter().any(|c| hierarchy.has(c)) {
                continue;
            }
            match hierarchy.make(&cgroup.path) {
                Ok(()) => {}
                Err(e) if is_forbidden(&e) && !asked => {
                    forbidden.get_or_insert(&hierarchy.mount);
                    continue;
                }
                Err(e) => return Err(e),
            }
            let dir = hierarchy.mount.join(&cgroup.path);
            cgroup.v1.push(V1 { controllers: hierarchy.controllers.clone(), dir });
        }
        cgroup.warnings.extend(forbidden.map(|mount| no_right(mount)));
        Ok(())
    }

    /// Makes the directory in cgroup2 where v1 does not give all that is needed, and switches the
    /// controllers on along its path.
    fn make_unified(
        &self,
        cgroup: &mut Cgroup,
        resources: &Resources,
        plan: &[Planned],
    ) -> Result<()> {
        let asked: Vec<&str> =
            plan.iter().filter(|p| p.version == Version::V2).map(|p| p.controller).collect();
        let enough = self.has_v1("devices") && self.has_v1("freezer") && asked.is_empty();
        let Some(hierarchy) = self.unified.as_ref().filter(|_| !enough) else {
            return Ok(());
        };
        let mut wanted: Vec<&str> = Vec::new();
        let always = ALWAYS_V2.iter().filter(|(_, v1)| !self.has_v1(v1)).map(|(v2, _)| *v2);
        let named = resources.unified.keys().filter_map(|file| file.split('.').next());
        for controller in always.chain(asked.iter().copied()).chain(named) {
            if !wanted.contains(&controller) && !["", "cgroup"].contains(&controller) {
                wanted.push(controller);
            }
        }

        let delegated = hierarchy.delegated();
        let mut unavailable = Vec::new();
        let mut made = make_below(&hierarchy.mount, &cgroup.path, &wanted, &mut unavailable);
        if made.as_ref().is_err_and(is_forbidden) && delegated != hierarchy.mount {
            unavailable.clear();
            made = make_below(&delegated, &cgroup.path, &wanted, &mut unavailable);
        }
        match made {
            Ok(dir) => cgroup.unified = Some(dir),
            // Read-only or not ours, and so it is for the container: it stays where we are.
            Err(e) if is_forbidden(&e) && asked.is_empty() => {
                cgroup.warnings.push(no_right(&hierarchy.mount));
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        if let Some(controller) = asked.into_iter().find(|c| unavailable.contains(c)) {
            return Err(missing(controller));
        }
        // Without `io` only a statistic is lost.
        unavailable.retain(|c| *c != "io");
        if !unavailable.is_empty() {
            cgroup.warnings.push(format!(
                "the container runs without limits of {}: the host gives us no such controller",
                unavailable.join(", ")
            ));
        }
        Ok(())
    }

    pub(super) fn has_v1(&self, controller: &str) -> bool {
        self.v1.iter().any(|h| h.has(controller))
    }
}

impl Hierarchy {
    /// Makes `path` and its parents (v1), and gives a cpuset what its parent has.
    pub(super) fn make(&self, path: &Path) -> Result<()> {
        let mut dir = self.mount.clone();
        for part in path.components() {
            dir.push(part);
            make_dir(&dir)?;
            if self.has("cpuset") {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(&dir, file)?;
                }
            }
        }
        Ok(())
    }

    /// The directory that we were given to make cgroups in, where the whole tree is not ours: our
    /// own cgroup, or the one we were in before we moved to `MONITORS`.
    fn delegated(&self) -> PathBuf {
        let outside = self
            .own
            .ancestors()
            .find(|dir| self.own.strip_prefix(dir).is_ok_and(|rest| rest.starts_with("coracle")));
        outside.unwrap_or(&self.own).to_path_buf()
    }

    fn words(&self, file: &str) -> Vec<String> {
        words(&self.mount.join(file))
    }
}

/// Fills an empty file of a cpuset from its parent's.
fn inherit(dir: &Path, file: &str) -> Result<()> {
    let path = dir.join(file);
    if fs::read_to_string(&path).on("read", &path)?.trim().is_empty()
        && let Some(parent) = dir.parent()
    {
        let parent = parent.join(file);
        let value = fs::read_to_string(&parent).on("read", &parent)?;
        fs::write(&path, value.trim()).on("write", &path)?;
    }
    Ok(())
}

/// Makes `path` below `base` (v2) with the controllers `wanted`; those that are not to be had are
/// added to `unavailable`.
pub(super) fn make_below<'c>(
    base: &Path,
    path: &Path,
    wanted: &[&'c str],
    unavailable: &mut Vec<&'c str>,
) -> Result<PathBuf> {
    let mut dir = base.to_path_buf();
    for part in path.components() {
        let child = dir.join(part);
        make_dir(&child)?;
        for controller in enable(&dir, base, wanted) {
            if !unavailable.contains(&controller) {
                unavailable.push(controller);
            }
        }
        dir = child;
    }
    Ok(dir)
}

/// Lets the children of `dir` have these controllers; gives those that they cannot have.
fn enable<'c>(dir: &Path, base: &Path, wanted: &[&'c str]) -> Vec<&'c str> {
    let on = words(&dir.join("cgroup.subtree_control"));
    let off = wanted.iter().filter(|c| !on.iter().any(|o| o == *c)).copied();
    let file = dir.join("cgroup.subtree_control");
    let mut moved = false;
    let mut try_enable = |controller: &&str| {
        let switch = || fs::write(&file, format!("+{controller}"));
        match switch() {
            Ok(()) => true,
            // A cgroup other than the root with processes of its own cannot give controllers to
            // its children ("no internal processes"): these move to a leaf.
            // Only where we are ourselves: whose groups those on the way are, we do not know.
            Err(e) if e.kind() == ErrorKind::ResourceBusy && !moved && dir == base => {
                moved = true;
                evacuate(dir, base).and_then(|()| switch()).is_ok()
            }
            Err(_) => false,
        }
    };
    off.filter(|controller| !try_enable(controller)).collect()
}

/// Moves every process in `dir` itself to `MONITORS` below `base`.
fn evacuate(dir: &Path, base: &Path) -> io::Result<()> {
    let leaf = base.join(MONITORS);
    fs::create_dir_all(&leaf)?;
    // Processes can be born while we look; a few rounds outrun all but a fork bomb.
    for _ in 0..10 {
        let processes = words(&dir.join("cgroup.procs"));
        if processes.is_empty() {
            return Ok(());
        }
        for pid in processes {
            match fs::write(leaf.join("cgroup.procs"), pid) {
                // ESRCH: ended meanwhile.
                Err(e) if e.raw_os_error() != Some(3) => return Err(e),
                _ => {}
            }
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

fn restrict_devices(cgroup: &Cgroup, rules: &[devices::Rule]) -> Result<()> {
    // In a user namespace nobody makes device nodes, or may restrict them.
    if rules.is_empty() || !userns::is_initial() {
        return Ok(());
    }
    if let Some(dir) = cgroup.v1_dir("devices") {
        for rule in rules {
            let (file, line) = rule.line();
            fs::write(dir.join(file), &line)
                .map_err(|e| Error::os("write", format!("\"{line}\" to {file}"), e))?;
        }
        return Ok(());
    }
    match &cgroup.unified {
        Some(dir) => {
            let group = File::open(dir).on("open", dir)?;
            cgroup_device::attach(&devices::program(rules), group.as_fd())
                .on("restrict the devices of", dir)
                .hint(|| "the kernel needs CONFIG_CGROUP_BPF".into())
        }
        // We may not make cgroups (told by a warning), so what restricts us stays in force.
        None if !cgroup.warnings.is_empty() => Ok(()),
        None => Err(Error::not_found("no devices cgroup on this host")
            .hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup")),
    }
}

fn limit(cgroup: &mut Cgroup, plan: &[Planned]) -> Result<()> {
    for planned in plan {
        let dir = match planned.version {
            Version::V1 => cgroup.v1_dir(planned.controller),
            Version::V2 => cgroup.unified.as_ref(),
        };
        let dir = dir.cloned().ok_or_else(|| missing(planned.controller))?;
        for setting in &planned.settings {
            let path = dir.join(&setting.file);
            match (fs::write(&path, &setting.value), setting.or_say) {
                (Ok(()), _) => {}
                // cgroupfs answers EACCES to the making of a file.
                (Err(_), say) if !path.exists() => match say {
                    Some(say) => cgroup.warnings.push(say.into()),
                    None => {
                        let problem = format!("this kernel's cgroups have no {}", setting.file);
                        return Err(Error::not_found(problem));
                    }
                },
                (Err(e), _) => return Err(Error::os("set", setting.to_string(), e)),
            }
        }
    }
    Ok(())
}

/// Error of a limit that was asked for.
pub(super) fn missing(controller: &str) -> Error {
    let problem = format!("this host has no {controller} cgroup controller to set the limit with");
    Error::not_found(problem).hint(match controller {
        "memory" => "boot with cgroup_enable=memory, or run without the limit".to_string(),
        _ => "run without the limit".to_string(),
    })
}

fn no_right(mount: &Path) -> String {
    format!(
        "no right to make cgroups in {}: the container stays in ours, under its limits",
        mount.display()
    )
}

/// Denied, or a read-only file system.
fn is_forbidden(error: &Error) -> bool {
    match error.root() {
        Cause::Os { source, .. } => {
            matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
        }
        _ => false,
    }
}

/// `mkdir` that is content with an existing directory.
fn make_dir(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.on("make", dir),
    }
}

/// The words of a file; none where it cannot be read.
fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_string).collect()
}

/// Errors: no cgroup can have this path.
pub fn check_path(path: &str) -> Result<()> {
    relative(path).map(drop)
}

/// A cgroup's path below the mount of a hierarchy.
pub(super) fn relative(path: &str) -> Result<PathBuf> {
    let below = Path::new(path.trim_start_matches('/'));
    let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !below.as_os_str().is_empty() {
        Ok(below.components().collect())
    } else {
        Err(Error::invalid(format!("\"{path}\" is not the path of a cgroup"))
            .hint("use one without \"..\", such as coracle/web"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_switched_on_along_the_path() {
        let base = std::env::temp_dir().join(format!("coracle-cgroup-{}", std::process::id()));
        fs::create_dir(&base).unwrap();
        fs::write(base.join("cgroup.subtree_control"), "cpu io\n").unwrap();
        let mut unavailable = Vec::new();
        let path = Path::new("coracle/x");
        let dir = make_below(&base, path, &["cpu", "pids"], &mut unavailable).unwrap();
        assert_eq!(dir, base.join(path));
        assert!(dir.is_dir() && unavailable.is_empty());
        let written = |dir: &Path| fs::read_to_string(dir.join("cgroup.subtree_control")).ok();
        assert_eq!(written(&base).unwrap(), "+pids");
        assert_eq!(written(&base.join("coracle")).unwrap(), "+pids", "the last of two writes");
        assert_eq!(written(&dir), None, "a leaf has none");
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn our_own_groups_are_made_outside_our_own_groups() {
        let delegated = |own: &str| {
            let (mount, own) = (PathBuf::from("/c"), PathBuf::from(own));
            Hierarchy { mount, own, controllers: Vec::new(), device: String::new() }.delegated()
        };
        assert_eq!(delegated("/c/user/x.scope"), Path::new("/c/user/x.scope"));
        assert_eq!(delegated("/c/user/x.scope/coracle/monitors"), Path::new("/c/user/x.scope"));
    }
}
