//! Waiting while a monitor comes or goes, which has no event to wait for; but for one that may never
//! come, not for ever. And waiting for whoever holds a container, who is told of.

use super::Engine;
use crate::container::Dir;
use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How long to look away at a time.
const STEP: Duration = Duration::from_millis(2);
/// How often; a monitor takes a few of them to come up, some more on a busy machine.
const STEPS: u32 = 5000;

/// For as long as somebody alive is at work, who says no word when done.
pub(super) fn look_away() {
    std::thread::sleep(STEP);
}

pub(super) struct Patience<'a> {
    dir: &'a Dir,
    left: u32,
}

impl Patience<'_> {
    pub fn new(dir: &Dir) -> Patience<'_> {
        Patience { dir, left: STEPS }
    }

    /// Errors: nobody came to stand by the container in all this time.
    pub fn wait(&mut self) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Error::conflict(format!("nobody can stand by container {}", self.dir.id.short()))
                .hint("its monitor ends as soon as it is started: is /run full?")
        })?;
        look_away();
        Ok(())
    }
}

/// How long to wait before the user hears for whom.
pub(super) const A_WHILE: Duration = Duration::from_secs(1);

/// Waiting until a container is held no more.
pub(super) struct Queue<'a> {
    engine: &'a Engine,
    dir: &'a Dir,
    since: Instant,
    /// How long at most.
    limit: Option<Duration>,
    told: bool,
}

impl Queue<'_> {
    pub fn new<'a>(engine: &'a Engine, dir: &'a Dir, limit: Option<Duration>) -> Queue<'a> {
        Queue { engine, dir, since: Instant::now(), limit, told: false }
    }

    /// Tells who holds the container, once, after a while. Errors: that one holds it for too long.
    pub fn look(&mut self) -> Result<()> {
        let waited = self.since.elapsed();
        let is_over = self.limit.is_some_and(|limit| waited >= limit);
        if waited < A_WHILE || self.told && !is_over {
            return Ok(());
        }
        let Some((verb, pid)) = self.dir.holder() else { return Ok(()) };
        let text = format!("container {} is held by {verb} (process {pid})", self.dir.id.short());
        if is_over {
            let hint = format!("wait for its end, or end it: kill {pid}");
            return Err(Error::conflict(text).hint(hint));
        }
        self.told = true;
        (self.engine.voice)(Error::conflict(format!("{text}: waiting for its end")));
        Ok(())
    }
}
