//! Descriptors: pipes, socket pairs, handing one over. All close-on-exec from birth.

use super::{check, raw};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

// Each is open from the first line of the program on: `entry` or Rust's runtime sees to it.
// SAFETY: and nobody closes them.
pub const STDIN: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(0) };
// SAFETY: the same.
pub const STDOUT: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(1) };
// SAFETY: the same.
pub const STDERR: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(2) };

/// What a pipe takes in one piece, or not at all (pipe(7)).
pub const PIPE_BUF: usize = libc::PIPE_BUF;

fn pair(make: impl FnOnce(*mut i32) -> i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    check(make(fds.as_mut_ptr()))?;
    // SAFETY: the call succeeded: both descriptors are new and ours.
    unsafe { Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))) }
}

/// A pipe: (reader, writer).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    // SAFETY: the array has room for two.
    pair(|fds| unsafe { libc::pipe2(fds, libc::O_CLOEXEC) })
}

/// Two connected stream sockets.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: the array has room for two.
    pair(|fds| unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds) })
}

/// A way to a socket that fits an address of its kind, whatever its length; good as long as the
/// descriptor, if any, is open (unix(7): 108 bytes with the final zero).
pub fn short_path(path: &Path) -> io::Result<(Option<OwnedFd>, PathBuf)> {
    const MOST: usize = 107;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((None, path.to_path_buf()));
    };
    if path.as_os_str().len() <= MOST {
        return Ok((None, path.to_path_buf()));
    }
    let dir = super::fs::open_directory(dir)?;
    let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    Ok((Some(dir), short))
}

/// Makes an inherited descriptor ours. `None` where nothing is open under that number.
pub fn inherited(number: i32) -> Option<OwnedFd> {
    // SAFETY: F_SETFD fails on a closed number; each number is taken once, at start.
    unsafe {
        check(libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)).ok()?;
        Some(OwnedFd::from_raw_fd(number))
    }
}

/// Opens /dev/null on each of 0 to 2 that is closed, so that no file of ours lands there.
pub fn fill_standard() -> io::Result<()> {
    loop {
        let file = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        if file.as_raw_fd() > 2 {
            return Ok(());
        }
        let kept: OwnedFd = file.into();
        // It stays open as a standard descriptor, for programs we start too.
        // SAFETY: integers only.
        unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0) };
        std::mem::forget(kept);
    }
}

pub fn set_nonblocking(fd: BorrowedFd, on: bool) -> io::Result<()> {
    // SAFETY: integers only.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags))?;
    }
    Ok(())
}

/// Opens the pipe or terminal behind `fd` once more, for writing, in a description of its own that
/// does not block: `fd` itself is shared with others, who would be surprised.
pub fn reopen_nonblocking(fd: BorrowedFd) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::File::options();
    options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    Ok(options.open(format!("/proc/self/fd/{}", fd.as_raw_fd()))?.into())
}

/// Makes a pipe hold at least `bytes` (F_SETPIPE_SZ). Refused where the user has too much in pipes.
pub fn grow_pipe(fd: BorrowedFd, bytes: i32) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) }).map(drop)
}

/// Reads into `buffer`, whatever the descriptor is.
pub fn read(fd: BorrowedFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(raw::read(fd, buffer)?)
}

/// Writes some of `data`.
pub fn write(fd: BorrowedFd, data: &[u8]) -> io::Result<usize> {
    Ok(raw::write(fd, data)?)
}

/// Writes all of `data`.
pub fn write_all(fd: BorrowedFd, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let count = raw::retry(|| raw::write(fd, data))?;
        data = data.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// As `write`, to a socket: a peer that is gone is EPIPE, never SIGPIPE.
pub fn send(socket: BorrowedFd, data: &[u8]) -> io::Result<usize> {
    Ok(raw::send(socket, data, libc::MSG_NOSIGNAL)?)
}

/// As `send`, and `WouldBlock` where the socket takes nothing now, whatever its own mode.
pub fn try_send(socket: BorrowedFd, data: &[u8]) -> io::Result<usize> {
    Ok(raw::send(socket, data, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)?)
}

/// Receives a descriptor sent with one byte; `None` where the sender closed instead.
pub fn receive_fd(socket: BorrowedFd) -> io::Result<Option<OwnedFd>> {
    Ok(raw::receive_fd(socket)?)
}

/// Whether anybody can read what is written to a terminal here.
pub fn is_terminal(fd: BorrowedFd) -> bool {
    // SAFETY: integers only.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}

/// How many more this process may open, as far as `newest` tells, which it opened last: the kernel
/// gives the lowest number that is free.
pub fn left_after(newest: BorrowedFd) -> io::Result<u64> {
    let limit = raw::prlimit(libc::RLIMIT_NOFILE as i32, None)?.rlim_cur;
    Ok(limit.saturating_sub(newest.as_raw_fd() as u64 + 1))
}

/// Device and inode of an open file.
pub fn inode(fd: &impl std::os::fd::AsFd) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let copy = fd.as_fd().try_clone_to_owned()?;
    let meta = std::fs::File::from(copy).metadata()?;
    Ok((meta.dev(), meta.ino()))
}
