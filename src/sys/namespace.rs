//! Namespaces by their clone(2) flags, joining one, and device numbers.

use super::raw;
use crate::types::Pid;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub const PID: i32 = libc::CLONE_NEWPID;
pub const NETWORK: i32 = libc::CLONE_NEWNET;
pub const MOUNT: i32 = libc::CLONE_NEWNS;
pub const IPC: i32 = libc::CLONE_NEWIPC;
pub const UTS: i32 = libc::CLONE_NEWUTS;
pub const CGROUP: i32 = libc::CLONE_NEWCGROUP;

/// Joins namespaces of the process behind a pidfd. `PID` counts for our children only.
pub fn join(process: BorrowedFd, kinds: i32) -> io::Result<()> {
    Ok(raw::setns(process, kinds)?)
}

/// Does `make` while our children are born into another pid namespace.
pub fn with_children_in<T>(namespace: BorrowedFd, make: impl FnOnce() -> T) -> io::Result<T> {
    let own = fs::File::open("/proc/self/ns/pid")?;
    raw::setns(namespace, PID)?;
    let made = make();
    raw::setns(own.as_fd(), PID)?;
    Ok(made)
}

/// The processes in the pid namespace of `process`, as they are called in ours.
pub fn processes_beside(process: Pid) -> io::Result<Vec<Pid>> {
    let namespace = |pid: Pid| fs::read_link(format!("/proc/{pid}/ns/pid"));
    let theirs = namespace(process)?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
        // One that ended, or that we may not look at, is none of theirs.
        found.extend(pid.filter(|pid| namespace(*pid).is_ok_and(|own| own == theirs)));
    }
    Ok(found)
}

/// major(3) and minor(3)
pub fn device_numbers(dev: u64) -> (u32, u32) {
    (libc::major(dev), libc::minor(dev))
}
