//! Small facts about, and settings of, the calling process.

use super::{check, check_long};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes orphaned descendants our children, as they would be PID 1's (PR_SET_CHILD_SUBREAPER).
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: this option takes an integer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Keeps other processes from looking into this one by way of /proc (PR_SET_DUMPABLE).
pub fn set_undumpable() -> io::Result<()> {
    // SAFETY: this option takes an integer.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

pub fn set_umask(mode: u32) {
    // SAFETY: cannot fail, touches no memory.
    unsafe { libc::umask(mode) };
}

pub fn effective_uid() -> u32 {
    // SAFETY: cannot fail, touches no memory.
    unsafe { libc::geteuid() }
}

/// Whether `fd` is the controlling terminal of this process's session.
pub fn is_controlling_terminal(fd: BorrowedFd) -> bool {
    // SAFETY: an integer only.
    unsafe { libc::tcgetpgrp(fd.as_raw_fd()) >= 0 }
}

/// Whether a write of at most PIPE_BUF (4096) bytes would go through at once.
pub fn is_writable(fd: BorrowedFd) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one live struct, and no waiting.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLOUT != 0
}

/// A soft and a hard resource limit (getrlimit(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// `RLIMIT_NOFILE`, as `Step::ResourceLimit` wants it.
pub const OPEN_FILES: i32 = libc::RLIMIT_NOFILE as i32;

/// The limit in force; set to `new` first where that is given.
pub fn limit(resource: i32, new: Option<Limit>) -> io::Result<Limit> {
    let new = new.map(|limit| libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard });
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: live structs, or null where prlimit(2) allows it.
    unsafe {
        if !new.is_null() {
            check_long(libc::syscall(libc::SYS_prlimit64, 0, resource, new, none))?;
        }
        let unchanged = std::ptr::null::<libc::rlimit64>();
        check_long(libc::syscall(libc::SYS_prlimit64, 0, resource, unchanged, &raw mut now))?;
    }
    Ok(Limit { soft: now.rlim_cur, hard: now.rlim_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_set_is_the_limit_told() {
        let now = limit(OPEN_FILES, None).unwrap();
        assert!(now.soft <= now.hard);
        assert_eq!(limit(OPEN_FILES, Some(now)).unwrap(), now);
    }
}
