//! Waiting for one or a few descriptors, outside an event loop: poll(2).

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Waits until `fd` is readable, hung up or in error; `false` where `limit` passed first.
pub fn readable(fd: BorrowedFd, limit: Option<Duration>) -> io::Result<bool> {
    wait(fd, libc::POLLIN, limit).map(|events| events != 0)
}

/// One descriptor, until it shows one of `events` (or hang-up, or error), or `limit` has passed:
/// then 0.
fn wait(fd: BorrowedFd, events: i16, limit: Option<Duration>) -> io::Result<i16> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut table = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up, or a rest under a millisecond would spin.
        let timeout = left.map_or(-1, |left| {
            i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: one live pollfd.
        match check(unsafe { libc::poll(&raw mut table, 1, timeout) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
            Ok(_) => return Ok(table.revents),
        }
    }
}

/// The index of the first of `fds` that is readable, hung up or in error, once there is one.
pub fn any_readable(fds: &[BorrowedFd]) -> io::Result<usize> {
    Ok(all_readable(fds)?.iter().position(|ready| *ready).unwrap_or_default())
}

/// Waits until some of `fds` are readable, hung up or in error, and says which.
pub fn all_readable(fds: &[BorrowedFd]) -> io::Result<Vec<bool>> {
    let watch =
        |fd: &BorrowedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut table: Vec<libc::pollfd> = fds.iter().map(watch).collect();
    loop {
        // SAFETY: pointer and length agree.
        match check(unsafe { libc::poll(table.as_mut_ptr(), table.len() as _, -1) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(table.iter().map(|p| p.revents != 0).collect()),
        }
    }
}

/// Whether the other end is gone for good (POLLHUP), within `limit`: for a pidfd, that it has
/// been reaped.
pub fn hung_up(fd: BorrowedFd, limit: Duration) -> io::Result<bool> {
    wait(fd, 0, Some(limit)).map(|events| events & libc::POLLHUP != 0)
}

/// Waits until one of `fds` takes more or is gone, at most for `limit`.
pub fn any_writable(fds: &[BorrowedFd], limit: Option<Duration>) -> io::Result<()> {
    let watch =
        |fd: &BorrowedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let mut table: Vec<libc::pollfd> = fds.iter().map(watch).collect();
    let timeout = limit.map_or(-1, |limit| {
        i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    // SAFETY: pointer and length agree.
    match check(unsafe { libc::poll(table.as_mut_ptr(), table.len() as _, timeout) }) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
        _ => Ok(()),
    }
}

/// Waits until `fd` takes more; `false` where `limit` passed first.
pub fn writable(fd: BorrowedFd, limit: Duration) -> io::Result<bool> {
    wait(fd, libc::POLLOUT, Some(limit)).map(|events| events != 0)
}
