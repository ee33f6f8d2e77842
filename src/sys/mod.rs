//! The kernel: the only place with `unsafe` and `libc`. Wrappers keep the kernel's names,
//! take borrowed descriptors, give owned close-on-exec ones, and hold no policy.

#![allow(unsafe_code)]

pub mod atomic;
pub mod bpf;
pub mod child;
pub mod copy;
pub mod entry;
pub mod exec;
pub mod fd;
pub mod fifo;
pub mod fs;
pub mod heap;
pub mod held;
pub mod inet;
pub mod inotify;
pub mod last_line;
pub mod lock;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod netns;
pub mod notify;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod random;
mod raw;
pub mod signal;
pub mod step;
pub mod tty;
pub mod unnamed;
pub mod userns;
pub mod wait;
pub mod xattr;
pub mod xtables;

use std::io;

/// Turns the -1 convention into an `io::Result`.
pub(crate) fn check<T: From<i8> + PartialOrd>(ret: T) -> io::Result<T> {
    raw::check(ret).map_err(io::Error::from)
}
