//! Telling a process from a later one with the same number.

use super::record::ProcessId;
use crate::error::{OsContext, Result};
use crate::sys::pidfd;
use crate::types::Pid;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

impl ProcessId {
    /// The identity of a process that exists.
    pub fn of(pid: Pid) -> Result<ProcessId> {
        let start_ticks = start_of(pid)?.unwrap_or_default();
        let Here { boot_id, pid_namespace } = Here::look()?.clone();
        Ok(ProcessId { pid, start_ticks, boot_id, pid_namespace })
    }

    /// Whether it is the one that has its number now.
    fn is_current(&self) -> Result<bool> {
        let Here { boot_id, pid_namespace } = Here::look()?;
        let is_ours = self.boot_id == *boot_id && self.pid_namespace == *pid_namespace;
        Ok(is_ours && self.start_ticks == start_of(self.pid)?.unwrap_or_default())
    }

    /// The process as a descriptor, while it lives.
    pub fn open(&self) -> Option<OwnedFd> {
        pidfd::open_if(self.pid, || self.is_current().unwrap_or(false))
    }
}

/// The highest number of a process has fewer bits.
const PID_BITS: u32 = 23;

/// This process, as a number that signs a lock: its pid namespace and its pid.
pub fn signature() -> Result<u64> {
    Ok(own_namespace()? << PID_BITS | u64::from(std::process::id()))
}

/// Whether the process that signed so has ended; of one elsewhere nobody knows.
pub fn has_ended(signature: u64) -> bool {
    let pid = i32::try_from(signature & ((1 << PID_BITS) - 1)).ok().and_then(Pid::from_raw);
    let is_alive = pid.is_some_and(|pid| pidfd::open_if(pid, || true).is_some());
    !is_alive && own_namespace().is_ok_and(|own| own == signature >> PID_BITS)
}

/// The number of our pid namespace, of 32 bits.
fn own_namespace() -> Result<u64> {
    let ns = "/proc/self/ns/pid";
    Ok(fs::metadata(ns).on("stat", ns)?.ino() & u64::from(u32::MAX))
}

/// Where numbers of processes mean what they mean to us.
#[derive(Clone)]
struct Here {
    boot_id: String,
    pid_namespace: u64,
}

impl Here {
    /// Looked at once: neither changes while we live.
    fn look() -> Result<&'static Here> {
        static HERE: OnceLock<Here> = OnceLock::new();
        if let Some(here) = HERE.get() {
            return Ok(here);
        }
        let boot = "/proc/sys/kernel/random/boot_id";
        let ns = "/proc/self/ns/pid";
        let boot_id = fs::read_to_string(boot).on("read", boot)?.trim().to_string();
        let pid_namespace = fs::metadata(ns).on("stat", ns)?.ino();
        Ok(HERE.get_or_init(|| Here { boot_id, pid_namespace }))
    }
}

fn start_of(pid: Pid) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/stat");
    // The kernel makes it up anew for each read: one is enough for it all.
    let mut buffer = [0; 1024];
    let len = File::open(&path).and_then(|mut file| file.read(&mut buffer)).on("read", &path)?;
    Ok(start_ticks(&buffer[..len]))
}

/// Field 22 of /proc/PID/stat (proc(5)); the name before it may hold any bytes.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let stat = String::from_utf8_lossy(stat);
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
    fn no_name_confuses() {
        let stat = b"7 (a) b) \xff) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(start_ticks(stat), Some(4242));
    }
}
