//! Sockets of another network namespace: a socket belongs for good to the namespace that its maker
//! was in, so one thread goes there, opens it, and comes back.

use super::namespace::NETWORK;
use super::raw;
use crate::types::Pid;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The namespace that a process is in. Whose number that is, the caller makes sure of.
pub fn of(process: Pid) -> io::Result<OwnedFd> {
    File::open(format!("/proc/{process}/ns/net")).map(OwnedFd::from)
}

/// Runs `body` in a network namespace, or in that of the process behind a pidfd. Only for programs of one thread: a thread made in there would stay.
///
/// Errors: the namespace cannot be entered; `body` did not run then.
pub fn within<T>(namespace: BorrowedFd, body: impl FnOnce() -> T) -> io::Result<T> {
    let home = File::open("/proc/thread-self/ns/net")?;
    raw::setns(namespace, NETWORK)?;
    let result = body();
    if raw::setns(home.as_fd(), NETWORK).is_err() {
        // All that follows would be done in the wrong place.
        std::process::abort();
    }
    Ok(result)
}
