//! Replacing this very process: execveat(2).

use super::check_long;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

/// The environment of the new program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Environment {
    Empty,
    /// The one we have.
    Ours,
}

/// Executes an open program with these arguments and `keep`: descriptors that are to be found
/// there under those numbers. Returns only on error.
pub fn replace(
    program: BorrowedFd,
    args: Vec<CString>,
    environment: Environment,
    keep: &[(BorrowedFd, i32)],
) -> io::Result<()> {
    for (fd, number) in keep {
        // SAFETY: integers only; dup2 clears close-on-exec, and does nothing for equal numbers.
        unsafe {
            match fd.as_raw_fd() == *number {
                true => super::check(libc::fcntl(*number, libc::F_SETFD, 0))?,
                false => super::check(libc::dup2(fd.as_raw_fd(), *number))?,
            };
        }
    }
    let argv: Vec<_> = args.iter().map(|a| a.as_ptr()).chain([std::ptr::null()]).collect();
    let entry = |(mut key, value): (OsString, OsString)| {
        key.push("=");
        key.push(value);
        CString::new(key.into_vec()).ok()
    };
    let env: Vec<CString> = match environment {
        Environment::Empty => Vec::new(),
        Environment::Ours => std::env::vars_os().filter_map(entry).collect(),
    };
    let envp: Vec<_> = env.iter().map(|e| e.as_ptr()).chain([std::ptr::null()]).collect();
    let (fd, path, flags) = (program.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: null-terminated arrays of live C strings.
    check_long(unsafe {
        libc::syscall(libc::SYS_execveat, fd, path, argv.as_ptr(), envp.as_ptr(), flags)
    })?;
    Ok(())
}
