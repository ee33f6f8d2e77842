//! Steps on the process itself: session, limits, signals, namespaces.

use crate::sys::raw::{self, Errno, check};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

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
    match fork(None)? {
        0 => Ok(()),
        _ => exit(0),
    }
}

/// The child goes on; its parent waits for it, and ends as it did.
pub fn stand_between(socket: BorrowedFd) -> Result<(), Errno> {
    let mut pidfd = -1;
    let child = fork(Some(&mut pidfd))?;
    if child == 0 {
        return Ok(());
    }
    // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor that is ours.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // Whoever should have it, and does not, is gone.
    let _ = raw::send_fd(socket, pidfd.as_fd());
    // Nobody is to wait for our copies of what the child has.
    // SAFETY: integers only; nothing below uses a descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    std::mem::forget(pidfd);
    let mut status = 0;
    // SAFETY: a live integer.
    let _ = raw::retry(|| check(unsafe { libc::waitpid(child, &raw mut status, 0) }));
    match libc::WIFEXITED(status) {
        true => exit(libc::WEXITSTATUS(status)),
        false => exit(128 + libc::WTERMSIG(status)),
    }
}

/// The child goes on; its parent becomes an init for it: it passes signals on, reaps whatever comes
/// to it, and ends as the child did. What it was started with, at the addresses of `words`, is not
/// for those inside to read in /proc/1/cmdline.
pub fn become_init(words: &Range<usize>) -> Result<(), Errno> {
    raw::sigprocmask(u64::MAX)?;
    // All of this before the child can look at it.
    // SAFETY: `words` are ours, on the stack of the program, which is writable.
    unsafe { std::ptr::write_bytes(words.start as *mut u8, 0, words.len()) };
    // Nobody inside may reach our program by /proc/1/exe (CVE-2019-5736).
    raw::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    raw::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)?;
    raw::prctl(libc::PR_SET_NAME, c"init".as_ptr() as u64, 0)?;
    let child = fork(None)?;
    if child == 0 {
        raw::prctl(libc::PR_SET_DUMPABLE, 1, 0)?;
        // SAFETY: integers, and a live one for the ioctl; where there is no terminal it only fails.
        unsafe {
            libc::setpgid(0, 0);
            let group = libc::getpid();
            libc::ioctl(0, libc::TIOCSPGRP, &raw const group);
        }
        return raw::sigprocmask(0).map(drop);
    }
    // SAFETY: integers only; nothing below uses a descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    let all = u64::MAX;
    loop {
        let none = std::ptr::null::<u8>();
        let size = size_of::<u64>();
        // SAFETY: a live set of the size told; no information and no limit is asked for.
        let signal =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, none, none, size) };
        match signal as libc::c_int {
            libc::SIGCHLD => {
                if let Some(code) = reap(child) {
                    exit(code);
                }
            }
            // SAFETY: integers only. A child that is gone has told so by SIGCHLD.
            1.. => drop(unsafe { libc::kill(child, signal as libc::c_int) }),
            // Interrupted.
            _ => {}
        }
    }
}

/// Reaps all that have ended; the exit code of `child` where it is among them.
fn reap(child: libc::pid_t) -> Option<libc::c_int> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: a live integer.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if ended <= 0 {
            return code;
        }
        if ended == child {
            code = Some(match libc::WIFEXITED(status) {
                true => libc::WEXITSTATUS(status),
                false => 128 + libc::WTERMSIG(status),
            });
        }
    }
}

/// 0 in the child; else its pid, and its pidfd where asked for.
fn fork(pidfd: Option<&mut libc::c_int>) -> Result<libc::pid_t, Errno> {
    let (stack, none) = (0u64, 0u64);
    let kind = if pidfd.is_some() { libc::CLONE_PIDFD } else { 0 };
    let flags = (libc::SIGCHLD | kind) as u64;
    let at = pidfd.map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: as in `child::spawn`; the raw call runs no handlers, and stores the pidfd where its
    // third argument points.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, stack, at, none, none) })?;
    Ok(pid as libc::pid_t)
}

fn exit(code: libc::c_int) -> ! {
    // SAFETY: _exit never returns and runs no handlers of the parent's copy.
    unsafe { libc::_exit(code) }
}

pub fn set_oom_score(score: &[u8]) -> Result<(), Errno> {
    match write_file(c"/proc/self/oom_score_adj", score) {
        // Lowering it takes CAP_SYS_RESOURCE.
        Err(Errno(libc::EACCES)) => Ok(()),
        other => other,
    }
}

pub fn write_file(path: &CStr, data: &[u8]) -> Result<(), Errno> {
    let file = raw::open(path, libc::O_WRONLY)?;
    raw::write(file.as_fd(), data).map(drop)
}

pub fn default_signals(set: u64, mask: u64) -> Result<(), Errno> {
    dispose(set, &raw::DEFAULT);
    raw::sigprocmask(mask).map(drop)
}

pub fn ignore_signals(set: u64) -> Result<(), Errno> {
    dispose(set, &raw::IGNORE);
    Ok(())
}

fn dispose(set: u64, action: &raw::Sigaction) {
    for signal in (1..=64).filter(|n| set & (1 << (n - 1)) != 0) {
        // KILL and STOP refuse, as they must.
        let _ = raw::sigaction(signal, Some(action));
    }
}

pub fn unshare(kinds: i32) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::unshare(kinds) })?;
    Ok(())
}
