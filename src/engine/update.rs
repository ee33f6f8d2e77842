//! `update`: other limits, or another restart policy, for a container as it is: at once where it
//! runs, else from its next start on.
//!
//! The order is: what is there now is noted (`network::change`), the kernel is told, the record is
//! written, the note goes. So the record never says what is not in force; where we are killed
//! before it is written, whoever comes next puts back what the kernel had.
//!
//! Meanwhile the container's monitor is held: it does not start the container again with the
//! limits of before.

use super::create::PROCESSORS;
use super::{Engine, resources, spec};
use crate::container::{Dir, Limits, Status};
use crate::error::{Error, OsContext, Result};
use crate::oci::cgroup::{self, Patch};
use crate::types::{RestartPolicy, human_memory};

/// From the limits of now to those that are wanted.
pub type Change<'a> = &'a dyn Fn(Limits) -> Result<Limits>;

impl Engine {
    /// Errors: what is wanted cannot be, or the kernel refuses it; nothing was changed.
    pub fn update(&self, name: &str, change: Change, restart: Option<RestartPolicy>) -> Result<()> {
        self.begin()?;
        let dir = self.find(name)?;
        if let Some(policy) = restart.filter(|policy| *policy != RestartPolicy::No)
            && dir.config()?.auto_remove
        {
            let text = format!("--restart {policy}: container {name} goes when it ends (--rm)");
            return Err(Error::conflict(text));
        }
        let mark = self.begin_change(&dir)?;
        let done = self.stay(&dir, "update", || {
            let old = dir.settings()?.limits;
            let new = old.changed_to(change(old.clone())?)?;
            new.check()?;
            new.fit(|| std::fs::read_to_string(PROCESSORS).on("read", PROCESSORS))?;
            let patch = self.patch(&dir, &old, &new)?;
            if let Some(patch) = &patch {
                mark.note_limits(&new, &patch.before())?;
                if let Err(error) = patch.apply() {
                    // Of one that has just ended there is nothing to be changed.
                    return match self.is_alive(&dir)? {
                        true => Err(error),
                        false => Err(Error::conflict(format!("container {name} has ended"))),
                    };
                }
            }
            let written = dir.update_settings(|settings| {
                settings.limits = new;
                settings.restart = restart.unwrap_or(settings.restart);
            });
            match patch {
                Some(patch) if written.is_err() => patch.undo(),
                Some(Patch { warnings, .. }) => {
                    self.troubles.borrow_mut().extend(warnings.into_iter().map(Error::conflict));
                }
                None => {}
            }
            written
        });
        mark.end().and(done)?;
        self.tell_of(&dir, "update", &[]);
        Ok(())
    }

    /// What a container that runs needs for its new limits.
    fn patch(&self, dir: &Dir, old: &Limits, new: &Limits) -> Result<Option<Patch>> {
        if old == new || dir.state()?.status != Status::Running {
            return Ok(None);
        }
        let path = spec::cgroup_path(dir);
        let Some(usage) = self.cgroups()?.usage(&path)? else {
            let text = "the container runs without limits: they need a delegated cgroup v2";
            return Err(Error::conflict(text));
        };
        let used = usage.memory;
        if let Some(limit) = new.memory.filter(|limit| new.memory != old.memory && *limit < used) {
            // The kernel would kill for it.
            let (limit, used) = (human_memory(limit), human_memory(used));
            return Err(Error::conflict(format!(
                "--memory {limit}: the container uses {used} now"
            ))
            .hint("stop it first"));
        }
        self.cgroups()?.patch(&path, &resources::changed(old, new)?).map(Some)
    }
}

/// After somebody was killed over an update: `text` is the limits it was to have, and lines of what
/// the kernel had before.
pub(super) fn put_back_limits(dir: &Dir, text: &str) -> Result<()> {
    let (limits, before) = text.split_once('\n').unwrap_or((text, ""));
    let limits: Limits = serde_json::from_str(limits).map_err(|e| Error::damaged(e.to_string()))?;
    if dir.settings()?.limits == limits {
        return Ok(());
    }
    cgroup::put_back(before)
}
