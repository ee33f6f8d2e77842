//! Processes held by descriptor: pidfd_open(2), pidfd_send_signal(2), waitid(P_PIDFD), and the
//! exit code of a process that is not our child (PIDFD_GET_INFO, Linux 6.15).

use super::check;
use crate::types::{Pid, Signal};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// The shell's convention: the code, or 128 + the signal.
    pub fn code(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

pub fn open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: integers only; on success the descriptor is new and ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid.raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

pub fn send_signal(process: BorrowedFd, signal: Signal) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    let (fd, number) = (process.as_raw_fd(), signal.number());
    // SAFETY: a null siginfo means "as kill(2) does".
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, info, 0) })?;
    Ok(())
}

/// Waits for a child and reaps it.
pub fn wait(child: BorrowedFd) -> io::Result<Exit> {
    loop {
        match wait_with(child, libc::WEXITED) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => {}
        }
    }
}

/// Reaps a child that has ended; `None` where it still runs.
pub fn try_wait(child: BorrowedFd) -> io::Result<Option<Exit>> {
    wait_with(child, libc::WEXITED | libc::WNOHANG)
}

fn wait_with(child: BorrowedFd, flags: i32) -> io::Result<Option<Exit>> {
    // SAFETY: all-zero is a valid siginfo, which waitid fills; si_pid and si_status are those of
    // a SIGCHLD, as waitid(2) says.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::waitid(libc::P_PIDFD, child.as_raw_fd() as _, &raw mut info, flags))?;
        if info.si_pid() == 0 {
            return Ok(None);
        }
        let status = info.si_status();
        Ok(Some(match info.si_code {
            libc::CLD_EXITED => Exit::Code(status),
            _ => Exit::Signal(status),
        }))
    }
}

/// Waits until the process has ended; `false` where `limit` passed first.
pub fn wait_ended(process: BorrowedFd, limit: Option<Duration>) -> io::Result<bool> {
    super::poll::readable(process, limit)
}

/// The exit of a process that need not be our child. Known once it has been reaped and where the
/// kernel is new enough; the descriptor must have been opened before that.
pub fn reaped_exit(process: BorrowedFd) -> Option<Exit> {
    // struct pidfd_info (linux/pidfd.h): mask, cgroupid, eleven ids, exit_code.
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const PIDFD_GET_INFO: u64 = 0xc040_ff0b; // _IOWR(0xff, 11, 64 bytes)
    let mut info = [0u64; 8];
    info[0] = PIDFD_INFO_EXIT;
    // SAFETY: the ioctl writes at most the 64 bytes that its number states.
    let got = unsafe { libc::ioctl(process.as_raw_fd(), PIDFD_GET_INFO as _, info.as_mut_ptr()) };
    if got < 0 || info[0] & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    let status = (info[7] >> 32) as i32;
    Some(match status & 0x7f {
        0 => Exit::Code((status >> 8) & 0xff),
        signal => Exit::Signal(signal),
    })
}

/// The number of a process that has not been reaped.
pub fn number(process: BorrowedFd) -> Option<Pid> {
    let path = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    Pid::from_raw(number.trim().parse().ok()?)
}

/// Opens `pid` and says whether it still is the process that `same` recognises: the order (open,
/// then look) makes the answer true for the descriptor.
pub fn open_if(pid: Pid, same: impl FnOnce() -> bool) -> Option<OwnedFd> {
    let fd = open(pid).ok()?;
    let alive = !wait_ended(fd.as_fd(), Some(Duration::ZERO)).unwrap_or(true);
    (alive && same()).then_some(fd)
}
