//! Waiting for one or a few descriptors, outside an event loop: poll(2).

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Waits until `fd` is readable, hung up or in error; `false` where `limit` passed first.
pub fn readable(fd: BorrowedFd, limit: Option<Duration>) -> io::Result<bool> {
    Ok(any_readable(&[fd], limit)?.is_some())
}

/// The index of the first of `fds` that is readable, hung up or in error, once there is one.
pub fn any_readable(fds: &[BorrowedFd], limit: Option<Duration>) -> io::Result<Option<usize>> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let watch =
        |fd: &BorrowedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut table: Vec<libc::pollfd> = fds.iter().map(watch).collect();
    loop {
        let timeout = match deadline {
            None => -1,
            // Rounded up, or a rest under a millisecond would spin.
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
            }
        };
        // SAFETY: pointer and length agree.
        match check(unsafe { libc::poll(table.as_mut_ptr(), table.len() as _, timeout) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(0) if deadline.is_some_and(|at| Instant::now() < at) => {}
            Ok(_) => return Ok(table.iter().position(|p| p.revents != 0)),
        }
    }
}

/// Whether the other end is gone for good (POLLHUP): for a pidfd, that it has been reaped.
pub fn hung_up(fd: BorrowedFd, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    let mut table = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: one live pollfd.
        match check(unsafe { libc::poll(&raw mut table, 1, timeout) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(table.revents & libc::POLLHUP != 0),
        }
    }
}
