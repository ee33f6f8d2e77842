//! The kernel: the only place with `unsafe`, `libc` and `nix`. Wrappers keep the kernel's names,
//! take borrowed descriptors, give owned close-on-exec ones, and hold no policy.

#![allow(unsafe_code)]

pub mod atomic;
pub mod bpf;
pub mod child;
pub mod exec;
pub mod fd;
pub mod fifo;
pub mod fs;
pub mod inotify;
pub mod limit;
pub mod lock;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod random;
pub mod signal;
pub mod step;
pub mod tty;
pub mod wait;

use std::io;

/// Turns the -1 convention into an `io::Result`.
pub(crate) fn check(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// As `check`, for calls by `libc::syscall`.
pub(crate) fn check_long(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}
