//! Waiting for one or a few descriptors, outside an event loop: poll(2).

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// What is waited for of a descriptor. A hang-up or an error is always told too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    Read,
    Write,
    /// Nothing but the other end's going.
    HangUp,
}

/// Waits until some of `fds` are ready, hung up or in error, and says which; none where `limit`
/// passed first.
pub fn ready(fds: &[(BorrowedFd, Interest)], limit: Option<Duration>) -> io::Result<Vec<bool>> {
    let watch = |(fd, interest): &(BorrowedFd, Interest)| {
        let events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::HangUp => 0,
        };
        libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
    };
    let mut table: Vec<libc::pollfd> = fds.iter().map(watch).collect();
    wait(&mut table, limit)?;
    Ok(table.iter().map(|p| p.revents != 0).collect())
}

/// Waits until `fd` is readable, hung up or in error; `false` where `limit` passed first.
pub fn readable(fd: BorrowedFd, limit: Option<Duration>) -> io::Result<bool> {
    Ok(ready(&[(fd, Interest::Read)], limit)?.contains(&true))
}

/// Waits until `fd` takes more, or is gone.
pub fn writable(fd: BorrowedFd) -> io::Result<()> {
    ready(&[(fd, Interest::Write)], None).map(drop)
}

/// Whether the other end is gone for good (POLLHUP), within `limit`: for a pidfd, that it has
/// been reaped.
pub fn hung_up(fd: BorrowedFd, limit: Duration) -> io::Result<bool> {
    let mut table = [libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 }];
    wait(&mut table, Some(limit))?;
    Ok(table[0].revents & libc::POLLHUP != 0)
}

/// poll(2) until something shows or `limit` has passed, whatever signals come.
fn wait(table: &mut [libc::pollfd], limit: Option<Duration>) -> io::Result<()> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up, or a rest under a millisecond would spin.
        let timeout = left.map_or(-1, |left| {
            i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: pointer and length agree.
        match check(unsafe { libc::poll(table.as_mut_ptr(), table.len() as _, timeout) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
            Ok(_) => return Ok(()),
        }
    }
}
