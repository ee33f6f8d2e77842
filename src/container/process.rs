//! Telling a process from a later one with the same number.

use super::record::ProcessId;
use crate::error::{OsContext, Result};
use crate::sys::pidfd;
use crate::types::Pid;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

impl ProcessId {
    /// The identity of a process that exists.
    pub fn of(pid: Pid) -> Result<ProcessId> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).on("read", &path)?;
        let boot = "/proc/sys/kernel/random/boot_id";
        let ns = "/proc/self/ns/pid";
        Ok(ProcessId {
            pid,
            start_ticks: start_ticks(&stat).unwrap_or_default(),
            boot_id: fs::read_to_string(boot).on("read", boot)?.trim().to_string(),
            pid_namespace: fs::metadata(ns).on("stat", ns)?.ino(),
        })
    }

    /// The process as a descriptor, while it lives.
    pub fn open(&self) -> Option<OwnedFd> {
        pidfd::open_if(self.pid, || ProcessId::of(self.pid).is_ok_and(|now| now == *self))
    }
}

/// Field 22 of /proc/PID/stat (proc(5)); the name before it may hold anything.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_who_we_are() {
        let me = Pid::from_raw(std::process::id() as i32).unwrap();
        let id = ProcessId::of(me).unwrap();
        assert!(id.start_ticks > 0);
        assert!(id.open().is_some());
        assert!(ProcessId { start_ticks: id.start_ticks + 1, ..id }.open().is_none());
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(start_ticks(stat), Some(4242));
    }
}
