//! Other limits for a cgroup that has processes: all of them, or none.
//!
//! A change is worked out first: which files hold what now, and what they are to hold. Then they
//! are written, and where the kernel refuses one, those before it are put back. What they held can
//! be kept as text, for whoever finds that we were killed in between:
//!
//! ```text
//! PATH<TAB>VALUE      a line each, in the order of writing
//! ```
//!
//! A cgroup of v1 without a cpuset gets one: it is made and filled first, and entered last.

use super::host::{Cgroups, Hierarchy};
use super::placement::{Planned, make_below, missing, relative};
use super::resources::Resources;
use super::settings::{self, Setting, Version};
use super::{Cgroup, V1};
use crate::error::{Context, Error, OsContext, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A change that was worked out and not made.
#[derive(Debug)]
pub struct Patch {
    cgroup: Cgroup,
    writes: Vec<Write>,
    /// The cpuset that is to be entered, made for it.
    added: Option<PathBuf>,
    /// What this kernel cannot do, and does without.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct Write {
    path: PathBuf,
    before: String,
    setting: Setting,
}

impl Cgroups {
    /// What is to be written to have `resources` in force for the cgroup `path`, which exists.
    ///
    /// Errors: this host cannot set one of them.
    pub fn patch(&self, path: &str, resources: &Resources) -> Result<Patch> {
        settings::check(resources)?;
        let planned = self.plan(resources)?;
        let path = relative(path)?;
        let mut patch = Patch {
            cgroup: self.open_path(&path),
            writes: Vec::new(),
            added: None,
            warnings: Vec::new(),
        };
        for Planned { version, controller, settings } in planned {
            let dir = match version {
                Version::V1 => self.v1_place(&mut patch, &path, controller)?,
                Version::V2 => v2_place(&patch.cgroup, &path, controller)?,
            };
            for setting in settings {
                let path = dir.join(&setting.file);
                match (fs::read_to_string(&path), setting.or_say) {
                    (Ok(before), _) if before.trim() == setting.value => {}
                    (Ok(before), _) => {
                        // Of io.weight, the first line is that for all devices; we set no other.
                        let before = before.lines().next().unwrap_or_default().trim().to_string();
                        patch.writes.push(Write { path, before, setting });
                    }
                    (Err(_), Some(say)) if !path.exists() => patch.warnings.push(say.into()),
                    (Err(e), _) => return Err(Error::os("read", path.display().to_string(), e)),
                }
            }
        }
        Ok(patch)
    }

    fn v1_place(&self, patch: &mut Patch, path: &Path, controller: &str) -> Result<PathBuf> {
        if let Some(dir) = patch.cgroup.v1_dir(controller) {
            return Ok(dir.clone());
        }
        let has = |hierarchy: &&Hierarchy| hierarchy.has(controller);
        let hierarchy = self.v1.iter().find(has).ok_or_else(|| missing(controller))?;
        hierarchy.make(path)?;
        let dir = hierarchy.mount.join(path);
        patch.cgroup.v1.push(V1 { controllers: hierarchy.controllers.clone(), dir: dir.clone() });
        patch.added = Some(dir.clone());
        Ok(dir)
    }
}

/// The group's directory, with the controller switched on.
fn v2_place(cgroup: &Cgroup, path: &Path, controller: &'static str) -> Result<PathBuf> {
    let dir = cgroup.unified.as_ref().ok_or_else(|| missing(controller))?;
    let base = dir.ancestors().nth(path.components().count());
    let base = base.ok_or_else(|| missing(controller))?;
    let mut unavailable = Vec::new();
    make_below(base, path, &[controller], &mut unavailable)?;
    match unavailable.is_empty() {
        true => Ok(dir.clone()),
        false => Err(missing(controller)),
    }
}

impl Patch {
    /// What `put_back` wants.
    pub fn before(&self) -> String {
        let line = |w: &Write| format!("{}\t{}\n", w.path.display(), w.before);
        self.writes.iter().map(line).collect()
    }

    /// Errors: the kernel refused one; then all is as it was.
    pub fn apply(&self) -> Result<()> {
        let mut done: Vec<&Write> = Vec::new();
        let mut rest: Vec<&Write> = self.writes.iter().collect();
        // A file may refuse what another one does not allow yet: memory above the limit of memory
        // and swap. So for as long as any is taken, the others are tried again.
        while !rest.is_empty() {
            let (mut refused, mut error) = (Vec::new(), None);
            for write in &rest {
                match fs::write(&write.path, &write.setting.value) {
                    Ok(()) => done.push(write),
                    Err(e) => {
                        refused.push(*write);
                        error.get_or_insert(Error::os("set", write.setting.to_string(), e));
                    }
                }
            }
            if refused.len() == rest.len() {
                self.revert(&done);
                return error.map_or(Ok(()), Err);
            }
            rest = refused;
        }
        self.enter_added().inspect_err(|_| self.revert(&done))
    }

    /// Puts back what was written.
    pub fn undo(&self) {
        self.revert(&self.writes.iter().collect::<Vec<_>>());
    }

    fn revert(&self, done: &[&Write]) {
        for write in done.iter().rev() {
            // What it held a moment ago, it takes.
            let _ = fs::write(&write.path, held(&write.before));
        }
        if let Some(dir) = &self.added {
            // Unless there are processes in it, with its parent's set.
            let _ = fs::remove_dir(dir);
        }
    }

    /// Processes can be born while we look; a few rounds outrun all but a fork bomb.
    fn enter_added(&self) -> Result<()> {
        let Some(dir) = &self.added else { return Ok(()) };
        let file = dir.join("cgroup.procs");
        for _ in 0..10 {
            let inside = fs::read_to_string(&file).on("read", &file)?;
            let inside: Vec<&str> = inside.lines().collect();
            let mut outside = self.cgroup.processes()?;
            outside.retain(|pid| !inside.contains(&pid.to_string().as_str()));
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                match fs::write(&file, pid.to_string()) {
                    // ESRCH: ended meanwhile.
                    Err(e) if e.raw_os_error() != Some(3) => {
                        return Err(Error::os("enter", dir.display().to_string(), e));
                    }
                    _ => {}
                }
            }
        }
        Err(Error::conflict("its processes multiply faster than they are moved"))
    }
}

/// What is to be written where `before` was read. Nothing is written as an empty line: without a
/// byte there would be no write(2).
fn held(before: &str) -> &str {
    if before.is_empty() { "\n" } else { before }
}

/// Writes back what the files of a cgroup held. Those that are gone are passed over.
pub fn put_back(before: &str) -> Result<()> {
    let mut errors = Vec::new();
    for line in before.lines().rev() {
        let Some((path, value)) = line.split_once('\t') else { continue };
        if Path::new(path).exists() {
            errors.extend(fs::write(path, held(value)).on("write", path).err());
        }
    }
    Error::collect(errors).doing(|| "put limits back".into())
}
