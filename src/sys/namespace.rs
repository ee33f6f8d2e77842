//! Namespaces by their clone(2) flags, joining one, and device numbers.

use super::raw;
use std::io;
use std::os::fd::BorrowedFd;

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

/// major(3) and minor(3)
pub fn device_numbers(dev: u64) -> (u32, u32) {
    (libc::major(dev), libc::minor(dev))
}
