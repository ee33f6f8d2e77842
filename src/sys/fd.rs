//! Descriptors: pipes, socket pairs, handing one over. All close-on-exec from birth.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// Reads into `buffer`, whatever the descriptor is.
pub fn read(fd: BorrowedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length agree.
    let got = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Writes some of `data`.
pub fn write(fd: BorrowedFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length agree.
    let put = unsafe { libc::write(fd.as_raw_fd(), data.as_ptr().cast(), data.len()) };
    usize::try_from(put).map_err(|_| io::Error::last_os_error())
}

/// Receives a descriptor sent with one byte; `None` where the sender closed instead.
pub fn receive_fd(socket: BorrowedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = 0u8;
    let mut control = [0u64; 3];
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid msghdr; the buffers it points to outlive the call; `control`
    // has room and alignment for one cmsghdr, whose descriptor is new and ours.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_CMSG_CLOEXEC;
        if libc::recvmsg(socket.as_raw_fd(), &raw mut msg, flags) < 0 {
            return Err(io::Error::last_os_error());
        }
        let head = libc::CMSG_FIRSTHDR(&raw const msg);
        if head.is_null() || (*head).cmsg_type != libc::SCM_RIGHTS {
            return Ok(None);
        }
        let fd = libc::CMSG_DATA(head).cast::<i32>().read_unaligned();
        Ok(Some(OwnedFd::from_raw_fd(fd)))
    }
}

/// Whether anybody can read what is written to a terminal here.
pub fn is_terminal(fd: BorrowedFd) -> bool {
    // SAFETY: integers only.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}

/// Device and inode of an open file.
pub fn inode(fd: &impl std::os::fd::AsFd) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let copy = fd.as_fd().try_clone_to_owned()?;
    let meta = std::fs::File::from(copy).metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// As `write`, to a socket: a peer that is gone is EPIPE, never SIGPIPE.
pub fn send(socket: BorrowedFd, data: &[u8]) -> io::Result<usize> {
    let (fd, at, flags) = (socket.as_raw_fd(), data.as_ptr().cast(), libc::MSG_NOSIGNAL);
    // SAFETY: pointer and length agree.
    let put = unsafe { libc::send(fd, at, data.len(), flags) };
    usize::try_from(put).map_err(|_| io::Error::last_os_error())
}

/// Opens `path` for reading as a process would whose root directory is `root`: links are
/// followed, and stay inside (openat2(2), RESOLVE_IN_ROOT). Waits for nobody on a FIFO.
pub fn open_in_root(root: BorrowedFd, path: &str) -> io::Result<std::fs::File> {
    let path = std::ffi::CString::new(path)?;
    // SAFETY: all-zero is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let (root, size) = (root.as_raw_fd(), size_of_val(&how));
    // SAFETY: a C string and a struct of the size passed; the descriptor is new and ours.
    unsafe {
        let call = libc::SYS_openat2;
        let fd = super::check_long(libc::syscall(call, root, path.as_ptr(), &raw const how, size))?;
        Ok(OwnedFd::from_raw_fd(fd as i32).into())
    }
}
