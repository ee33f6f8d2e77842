//! Small facts about, and settings of, the calling process.

use super::raw;
use crate::types::{Pid, Signal};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Makes orphaned descendants our children, as they would be PID 1's (PR_SET_CHILD_SUBREAPER).
pub fn become_subreaper() -> io::Result<()> {
    Ok(raw::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)?)
}

/// Has the kernel send this process `signal` when its parent dies (PR_SET_PDEATHSIG).
pub fn set_parent_death_signal(signal: Signal) -> io::Result<()> {
    Ok(raw::prctl(libc::PR_SET_PDEATHSIG, signal.number() as u64, 0)?)
}

/// Keeps other processes from looking into this one by way of /proc (PR_SET_DUMPABLE).
pub fn set_undumpable() -> io::Result<()> {
    Ok(raw::prctl(libc::PR_SET_DUMPABLE, 0, 0)?)
}

/// Takes that back.
pub fn set_dumpable() -> io::Result<()> {
    Ok(raw::prctl(libc::PR_SET_DUMPABLE, 1, 0)?)
}

/// The capabilities this process may use, a bit each (capget(2)).
pub fn permitted_capabilities() -> io::Result<u64> {
    let header = [raw::CAPABILITY_VERSION, 0];
    let mut data = [[0u32; 3]; 2];
    // SAFETY: version 3 takes a header of two words and fills two structs of three.
    raw::check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    let [[_, low, _], [_, high, _]] = data;
    Ok(u64::from(high) << 32 | u64::from(low))
}

/// Sets the file mode creation mask; what it was.
pub fn set_umask(mode: u32) -> u32 {
    // SAFETY: cannot fail, touches no memory.
    unsafe { libc::umask(mode) }
}

/// Takes the program's own code and constants out of this process's memory (madvise(2)): what it
/// uses from now on comes back from the page cache.
pub fn forget_code() {
    unsafe extern "C" fn forget(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> i32 {
        const PAGE: usize = 4096;
        // SAFETY: the C library calls with a live struct and its headers; the program comes first.
        let (base, headers) = unsafe {
            let info = &*info;
            (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
        };
        for segment in headers.iter().filter(|h| h.p_type == libc::PT_LOAD) {
            if segment.p_flags & libc::PF_W == 0 {
                let start = (base + segment.p_vaddr) as usize & !(PAGE - 1);
                let end = (base + segment.p_vaddr + segment.p_memsz) as usize;
                // SAFETY: pages that are only read, of a file that lies on: the kernel reads them again.
                unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
            }
        }
        1
    }
    // SAFETY: called at once, with nothing of ours.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

pub fn effective_uid() -> u32 {
    // SAFETY: cannot fail, touches no memory.
    unsafe { libc::geteuid() }
}

/// The session of a process: the pid of the process that began it.
pub fn session(pid: Pid) -> io::Result<Pid> {
    // SAFETY: an integer only.
    let session = raw::check(unsafe { libc::getsid(pid.raw()) })?;
    Pid::from_raw(session).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

pub fn effective_gid() -> u32 {
    // SAFETY: cannot fail, touches no memory.
    unsafe { libc::getegid() }
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

/// Where the words lie that this process was started with: the addresses of /proc/PID/cmdline. Empty
/// where the kernel does not tell.
pub fn words() -> Range<usize> {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses, which may hold blanks; arg_start is the 48th,
    // arg_end the 49th (proc(5)).
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = rest.split(' ').skip(45).map(|field| field.trim_end().parse().unwrap_or(0));
    let (start, end) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    if start < end { start..end } else { 0..0 }
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
    if let Some(new) = new {
        let new = libc::rlimit64 { rlim_cur: new.soft, rlim_max: new.hard };
        raw::prlimit(resource, Some(&new))?;
    }
    let now = raw::prlimit(resource, None)?;
    Ok(Limit { soft: now.rlim_cur, hard: now.rlim_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_where_the_kernel_says() {
        let words = words();
        // SAFETY: they are ours, and nobody writes there.
        let text = unsafe { std::slice::from_raw_parts(words.start as *const u8, words.len()) };
        assert_eq!(text, std::fs::read("/proc/self/cmdline").unwrap());
    }

    #[test]
    fn the_limit_set_is_the_limit_told() {
        let now = limit(OPEN_FILES, None).unwrap();
        assert!(now.soft <= now.hard);
        assert_eq!(limit(OPEN_FILES, Some(now)).unwrap(), now);
    }
}
