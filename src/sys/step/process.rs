//! Steps on the process itself: session, limits, signals, namespaces.

use crate::sys::raw::{self, Errno, check};
use std::ffi::CStr;

pub fn new_session() -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setsid() })?;
    Ok(())
}

pub fn new_group() -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setpgid(0, 0) })?;
    Ok(())
}

pub fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string.
    check(unsafe { libc::chdir(path.as_ptr()) })?;
    Ok(())
}

pub fn umask(mode: u32) -> Result<(), Errno> {
    crate::sys::process::set_umask(mode);
    Ok(())
}

pub fn limit(resource: i32, soft: u64, hard: u64) -> Result<(), Errno> {
    let mut new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    match raw::prlimit(resource, Some(&new)) {
        Err(Errno(libc::EPERM)) => {}
        other => return other.map(drop),
    }
    let now = raw::prlimit(resource, None)?;
    new.rlim_max = new.rlim_max.min(now.rlim_max);
    new.rlim_cur = new.rlim_cur.min(new.rlim_max);
    raw::prlimit(resource, Some(&new)).map(drop)
}

/// The parent ends; its child goes on.
pub fn leave_parent() -> Result<(), Errno> {
    let (stack, none) = (0u64, 0u64);
    let flags = libc::SIGCHLD as u64;
    // SAFETY: as in `child::spawn`; the raw call runs no handlers.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, stack, none, none, none) })?;
    if pid > 0 {
        // SAFETY: _exit never returns.
        unsafe { libc::_exit(0) };
    }
    Ok(())
}

pub fn default_signals(mask: u64) -> Result<(), Errno> {
    for signal in 1..=64 {
        // KILL and STOP refuse, as they must.
        let _ = raw::sigaction(signal, Some(&raw::DEFAULT));
    }
    raw::sigprocmask(mask).map(drop)
}

pub fn ignore_signals(set: u64) -> Result<(), Errno> {
    for signal in (1..=64).filter(|n| set & (1 << (n - 1)) != 0) {
        let _ = raw::sigaction(signal, Some(&raw::IGNORE));
    }
    Ok(())
}

pub fn unshare(kinds: i32) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::unshare(kinds) })?;
    Ok(())
}
