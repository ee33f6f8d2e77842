//! Reaping: every dead child, whosever it was, to the end, each time. PID 1 (or a subreaper) is
//! handed all orphans; those nobody here knows are reaped silently.

use coracle::sys::pidfd::Exit;
use coracle::sys::wait::{self, Children};
use coracle::types::Pid;

/// Calls `ended` for each dead child, and reaps it after that: until then its pid is its own, and
/// its process group can be signalled safely.
pub fn drain(mut ended: impl FnMut(Pid, Exit)) {
    while let Ok(Children::Ended(pid, exit)) = wait::peek() {
        ended(pid, exit);
        if wait::reap(pid).is_err() {
            return;
        }
    }
}
