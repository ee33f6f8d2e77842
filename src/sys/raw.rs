//! System calls that are made on both sides of a clone: by the functions of `sys`, which give
//! `io::Result`, and by the steps of a child, which may not allocate. Descriptors, numbers and C
//! strings go in, the kernel's answer or an `Errno` comes out; each call is written once, here.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// An errno. Unlike `io::Error` it is sure never to allocate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// What the call just made left behind.
    pub fn last() -> Errno {
        // SAFETY: errno is this thread's own.
        Errno(unsafe { *libc::__errno_location() })
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}

/// Turns the -1 convention into a result.
pub fn check<T: From<i8> + PartialOrd>(ret: T) -> Result<T, Errno> {
    if ret < T::from(0) { Err(Errno::last()) } else { Ok(ret) }
}

/// Makes a call again for as long as signals interrupt it.
pub fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno(libc::EINTR)) => {}
            other => return other,
        }
    }
}

/// The descriptor that a call gave.
///
/// # Safety
/// `ret` is the answer of a call that makes a descriptor.
unsafe fn owned(ret: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = check(ret)?;
    // SAFETY: as the caller promises, it is new and so ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

// --- descriptors

pub fn read(fd: BorrowedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length agree.
    let got = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    Ok(check(got)? as usize)
}

/// Writes some of `data`.
pub fn write(fd: BorrowedFd, data: &[u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length agree.
    let put = unsafe { libc::write(fd.as_raw_fd(), data.as_ptr().cast(), data.len()) };
    Ok(check(put)? as usize)
}

/// As `write`, to a socket.
pub fn send(socket: BorrowedFd, data: &[u8], flags: libc::c_int) -> Result<usize, Errno> {
    let (fd, at) = (socket.as_raw_fd(), data.as_ptr().cast());
    // SAFETY: pointer and length agree.
    Ok(check(unsafe { libc::send(fd, at, data.len(), flags) })? as usize)
}

/// As `read`, from a socket; `MSG_TRUNC` tells the true length of what does not fit.
pub fn recv(socket: BorrowedFd, buffer: &mut [u8], flags: libc::c_int) -> Result<usize, Errno> {
    let (fd, at) = (socket.as_raw_fd(), buffer.as_mut_ptr().cast());
    // SAFETY: pointer and length agree.
    Ok(check(unsafe { libc::recv(fd, at, buffer.len(), flags) })? as usize)
}

/// A close-on-exec copy, numbered `lowest` or above.
pub fn dup(fd: RawFd, lowest: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only; the answer is a new descriptor.
    unsafe { owned(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest).into()) }
}

/// A socket for netlink(7).
pub fn netlink(protocol: libc::c_int) -> Result<OwnedFd, Errno> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: integers only; the answer is a new descriptor.
    unsafe { owned(libc::socket(libc::AF_NETLINK, kind, protocol).into()) }
}

/// Sets an option of a socket whose value is an int (socket(7), and those of its protocol).
pub fn set_option(
    socket: BorrowedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    let (fd, at) = (socket.as_raw_fd(), (&raw const value).cast());
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: reads a live int of the size passed.
    check(unsafe { libc::setsockopt(fd, level, option, at, length) }).map(drop)
}

/// Reads an option of a socket into a buffer that says what is asked for.
pub fn get_option(
    socket: BorrowedFd,
    level: libc::c_int,
    option: libc::c_int,
    answer: &mut [u8],
) -> Result<(), Errno> {
    let (fd, at) = (socket.as_raw_fd(), answer.as_mut_ptr().cast());
    let mut length = answer.len() as libc::socklen_t;
    // SAFETY: reads and writes a live buffer of the size passed.
    check(unsafe { libc::getsockopt(fd, level, option, at, &raw mut length) }).map(drop)
}

/// Room for one control message with one descriptor, aligned as its header wants it.
type Control = [u64; 3];

/// Sends one descriptor with one byte (unix(7), SCM_RIGHTS).
pub fn send_fd(socket: BorrowedFd, fd: BorrowedFd) -> Result<(), Errno> {
    let mut byte = 0u8;
    let mut control: Control = [0; 3];
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid msghdr; the buffers it points to outlive the call, and
    // `control` has room (and alignment) for one cmsghdr with one descriptor.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let head = libc::CMSG_FIRSTHDR(&raw const msg);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(head).cast::<RawFd>().write_unaligned(fd.as_raw_fd());
        check(libc::sendmsg(socket.as_raw_fd(), &raw const msg, libc::MSG_NOSIGNAL))?;
    }
    Ok(())
}

/// Receives a descriptor sent with one byte; `None` where the sender closed instead.
pub fn receive_fd(socket: BorrowedFd) -> Result<Option<OwnedFd>, Errno> {
    let mut byte = 0u8;
    let mut control: Control = [0; 3];
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: as in `send_fd`; a descriptor that arrives is new and ours.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = size_of::<Control>() as _;
        check(libc::recvmsg(socket.as_raw_fd(), &raw mut msg, libc::MSG_CMSG_CLOEXEC))?;
        let head = libc::CMSG_FIRSTHDR(&raw const msg);
        if head.is_null() || (*head).cmsg_type != libc::SCM_RIGHTS {
            return Ok(None);
        }
        let fd = libc::CMSG_DATA(head).cast::<RawFd>().read_unaligned();
        Ok(Some(OwnedFd::from_raw_fd(fd)))
    }
}

// --- files

/// Opens a path of this namespace, close-on-exec.
pub fn open(path: &CStr, flags: libc::c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string; the answer is a new descriptor.
    unsafe { owned(libc::open(path.as_ptr(), flags | libc::O_CLOEXEC).into()) }
}

/// openat2(2), close-on-exec. `resolve` are `RESOLVE_*`.
pub fn openat2(
    dir: BorrowedFd,
    path: &CStr,
    flags: libc::c_int,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    // SAFETY: all-zero is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = mode.into();
    how.resolve = resolve;
    let (call, dir, path) = (libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr());
    let open = || {
        // SAFETY: a C string, and a struct of the size passed; the answer is a new descriptor.
        unsafe { owned(libc::syscall(call, dir, path, &raw const how, size_of_val(&how))) }
    };
    // EAGAIN: a rename went on somewhere while `..` was resolved. Not for ever: a lease on the
    // file answers the same.
    for _ in 0..100 {
        match open() {
            Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
            other => return other,
        }
    }
    open()
}

/// Opens `path` as a process would whose root directory is `root`: links are followed, and stay
/// inside.
pub fn open_in_root(
    root: BorrowedFd,
    path: &CStr,
    flags: libc::c_int,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    openat2(root, path, flags, mode, libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS)
}

// --- mounts; the numbers are the kernel's (linux/mount.h)

const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOVE_MOUNT_SET_GROUP: libc::c_uint = 0x100;

/// Where a mount is taken from or put to.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    Fd(BorrowedFd<'a>),
    Path(&'a CStr),
}

impl Place<'_> {
    /// Directory and path for a *at call; the path is empty for a descriptor.
    fn parts(&self) -> (RawFd, *const libc::c_char) {
        match self {
            Place::Fd(fd) => (fd.as_raw_fd(), c"".as_ptr()),
            Place::Path(path) => (libc::AT_FDCWD, path.as_ptr()),
        }
    }
}

/// A context in which to configure a file system.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string; the answer is a new descriptor.
    unsafe { owned(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC)) }
}

/// Sets an option of a file system: to a string, or as a flag.
pub fn fsconfig(fs: BorrowedFd, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
    let (command, value) = match value {
        Some(value) => (FSCONFIG_SET_STRING, value.as_ptr()),
        None => (FSCONFIG_SET_FLAG, ptr::null()),
    };
    let (call, fd, key) = (libc::SYS_fsconfig, fs.as_raw_fd(), key.as_ptr());
    // SAFETY: C strings, or null for the value of a flag.
    check(unsafe { libc::syscall(call, fd, command, key, value, 0) })?;
    Ok(())
}

/// Creates the file system that was configured, and mounts it, detached.
pub fn fsmount(fs: BorrowedFd) -> Result<OwnedFd, Errno> {
    let fd = fs.as_raw_fd();
    let none = ptr::null::<libc::c_char>();
    // SAFETY: this command takes no key and no value; the second answer is a new descriptor.
    unsafe {
        check(libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0))?;
        owned(libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, 0))
    }
}

/// A detached clone of the mount at `place`, with all mounts below it where `recursive`.
pub fn open_tree(place: Place, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    if let Place::Fd(_) = place {
        flags |= libc::AT_EMPTY_PATH as libc::c_uint;
    }
    if recursive {
        flags |= libc::AT_RECURSIVE as libc::c_uint;
    }
    let (dir, path) = place.parts();
    // SAFETY: a C string; the answer is a new descriptor.
    unsafe { owned(libc::syscall(libc::SYS_open_tree, dir, path, flags)) }
}

/// Attaches a detached tree.
pub fn move_mount(tree: BorrowedFd, to: Place) -> Result<(), Errno> {
    let mut flags = libc::MOVE_MOUNT_F_EMPTY_PATH;
    if let Place::Fd(_) = to {
        flags |= libc::MOVE_MOUNT_T_EMPTY_PATH;
    }
    let (from, empty) = Place::Fd(tree).parts();
    let (dir, path) = to.parts();
    // SAFETY: C strings.
    check(unsafe { libc::syscall(libc::SYS_move_mount, from, empty, dir, path, flags) })?;
    Ok(())
}

/// Sets `MOUNT_ATTR_*` on a tree.
pub fn mount_setattr(tree: BorrowedFd, set: u64, recursive: bool) -> Result<(), Errno> {
    // Of the ways to keep access times one holds: setting one means clearing the others.
    let times = libc::MOUNT_ATTR__ATIME;
    let attr_clr = if set & times != 0 { times } else { 0 };
    change_mount(tree, set, attr_clr, 0, recursive)
}

/// Sets with whom a tree exchanges mounts: `MS_PRIVATE` or `MS_SLAVE`.
pub fn set_propagation(tree: BorrowedFd, how: libc::c_ulong, recursive: bool) -> Result<(), Errno> {
    change_mount(tree, 0, 0, how, recursive)
}

/// mount_setattr(2)
pub fn change_mount(
    tree: BorrowedFd,
    attr_set: u64,
    attr_clr: u64,
    propagation: libc::c_ulong,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = libc::mount_attr { attr_set, attr_clr, propagation, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (call, size) = (libc::SYS_mount_setattr, size_of_val(&attr));
    let (fd, empty) = Place::Fd(tree).parts();
    // SAFETY: a C string, and a struct of the size passed.
    check(unsafe { libc::syscall(call, fd, empty, flags, &raw const attr, size) })?;
    Ok(())
}

/// Makes the private mount `to` one more of those that exchange mounts with `peer`.
pub fn join_peers(peer: BorrowedFd, to: BorrowedFd) -> Result<(), Errno> {
    let flags =
        libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH | MOVE_MOUNT_SET_GROUP;
    let ((from, empty), (to, _)) = (Place::Fd(peer).parts(), Place::Fd(to).parts());
    // SAFETY: C strings.
    check(unsafe { libc::syscall(libc::SYS_move_mount, from, empty, to, empty, flags) })?;
    Ok(())
}

// --- processes

/// _LINUX_CAPABILITY_VERSION_3: sets of 64 bits (capget(2)).
pub const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// prctl(2), with an option whose arguments are integers.
pub fn prctl(option: libc::c_int, first: u64, second: u64) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::prctl(option, first, second, 0u64, 0u64) })?;
    Ok(())
}

/// prlimit(2) on this process: the limit in force before.
pub fn prlimit(resource: i32, new: Option<&libc::rlimit64>) -> Result<libc::rlimit64, Errno> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: live structs, or null where there is no new limit.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut old) })?;
    Ok(old)
}

/// setns(2), with a pidfd or a file of /proc/PID/ns.
pub fn setns(fd: BorrowedFd, kinds: libc::c_int) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds) })?;
    Ok(())
}

/// Waits until the kernel has no reader any more of what was removed before (RCU).
pub fn grace_period() -> Result<(), Errno> {
    let (call, command) = (libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL);
    // SAFETY: integers only.
    check(unsafe { libc::syscall(call, command, 0, 0) })?;
    Ok(())
}

/// Sets the size of a terminal.
pub fn set_window_size(terminal: BorrowedFd, rows: u16, columns: u16) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let fd = terminal.as_raw_fd();
    // SAFETY: the ioctl reads the live struct.
    check(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ as _, &raw const size) })?;
    Ok(())
}

// --- signals; libc's own functions hide two real-time signals from their callers

/// The size of the kernel's signal set.
pub const SIGNAL_SET: usize = size_of::<u64>();

/// The kernel's struct sigaction: handler, flags, restorer, mask.
pub type Sigaction = [u64; 4];

pub const DEFAULT: Sigaction = [libc::SIG_DFL as u64, 0, 0, 0];
pub const IGNORE: Sigaction = [libc::SIG_IGN as u64, 0, 0, 0];

/// rt_sigaction(2): the action in force before.
pub fn sigaction(signal: i32, new: Option<&Sigaction>) -> Result<Sigaction, Errno> {
    let mut old: Sigaction = [0; 4];
    let new = new.map_or(ptr::null(), |new| new.as_ptr());
    let (call, old_at) = (libc::SYS_rt_sigaction, old.as_mut_ptr());
    // SAFETY: live structs of the kernel's layout, or null where there is no new action. The
    // actions set here are SIG_DFL and SIG_IGN, which are no code.
    check(unsafe { libc::syscall(call, signal, new, old_at, SIGNAL_SET) })?;
    Ok(old)
}

/// Sets this thread's mask: the one in force before.
pub fn sigprocmask(mask: u64) -> Result<u64, Errno> {
    let mut old = 0u64;
    let (call, how) = (libc::SYS_rt_sigprocmask, libc::SIG_SETMASK);
    // SAFETY: two live masks of the size passed.
    check(unsafe { libc::syscall(call, how, &raw const mask, &raw mut old, SIGNAL_SET) })?;
    Ok(old)
}
