//! Steps on open files: writing, waiting, and giving the program its descriptors.

use super::Walk;
use crate::sys::raw::{self, Errno, check};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};

/// Where a descriptor of the new program comes from.
#[derive(Debug, Clone, Copy)]
pub enum FdSource<'fd> {
    Fd(BorrowedFd<'fd>),
    /// The terminal made by `Step::Terminal`.
    Terminal,
}

/// Writes all of `data` at once.
pub fn write(fd: BorrowedFd, data: &[u8]) -> Result<(), Errno> {
    match raw::retry(|| raw::write(fd, data))? == data.len() {
        true => Ok(()),
        false => Err(Errno(libc::EIO)),
    }
}

/// Closes a descriptor of the parent's; nothing in this copy of it uses it any more.
pub fn close(fd: BorrowedFd) -> Result<(), Errno> {
    // SAFETY: an integer only; its owner lives in the parent.
    unsafe { libc::close(fd.as_raw_fd()) };
    Ok(())
}

pub fn await_byte(fd: BorrowedFd) -> Result<(), Errno> {
    match raw::retry(|| raw::read(fd, &mut [0]))? {
        0 => Err(Errno(libc::ECANCELED)),
        _ => Ok(()),
    }
}

/// Moves sources out of the way of all targets, then each onto its target. The copies are
/// listed in the order of `moves`; the walk's own descriptors move along.
pub fn place(walk: &mut Walk, moves: &[(FdSource, RawFd)]) -> Result<(), Errno> {
    const MOST: usize = 64;
    let mut copies = [-1; MOST];
    if moves.len() > MOST {
        return Err(Errno(libc::E2BIG));
    }
    let above = moves.iter().map(|(_, to)| *to).max().unwrap_or(2).max(2) + 1;
    let aside = |fd: RawFd| raw::dup(fd, above).map(IntoRawFd::into_raw_fd);
    walk.report = aside(walk.report)?;
    walk.program = walk.program.map(aside).transpose()?;
    for ((from, _), copy) in moves.iter().zip(copies.iter_mut()) {
        *copy = aside(walk.source(*from)?.as_raw_fd())?;
    }
    for ((_, to), copy) in moves.iter().zip(copies) {
        // SAFETY: integers only.
        check(unsafe { libc::dup2(copy, *to) })?;
    }
    // What the caller of this process left open must not reach the program.
    for fd in 3..above {
        if !moves.iter().any(|(_, to)| *to == fd) {
            close_on_exec(fd as u32, fd as u32)?;
        }
    }
    close_on_exec(above as u32, u32::MAX)
}

/// Makes the descriptor table our own, without those above all of `fds` (close_range(2)).
pub fn keep_up_to(fds: &[BorrowedFd]) -> Result<(), Errno> {
    let first = fds.iter().map(|fd| fd.as_raw_fd() as u32 + 1).max().unwrap_or(0);
    // SAFETY: integers only; their owners live in the parent.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_UNSHARE) };
    check(done)?;
    Ok(())
}

/// Marks all descriptors of a range.
fn close_on_exec(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}
