//! Waiting while a monitor comes or goes, which has no event to wait for; but for one that may never
//! come, not for ever.

use crate::container::Dir;
use crate::error::{Error, Result};
use std::time::Duration;

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
