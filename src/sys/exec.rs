//! Executing programs: execve(2), execveat(2), and replacing this very process.

use super::check;
use super::raw::Errno;
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

/// A null-terminated array of pointers to the strings that it owns: argv or envp, ready made.
pub(super) struct PointerArray {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl PointerArray {
    pub fn new(strings: Vec<CString>) -> PointerArray {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        PointerArray { strings, pointers }
    }

    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

impl std::fmt::Debug for PointerArray {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.strings.fmt(f)
    }
}

/// Executes the program at `path`. Allocates nothing; returns only on error.
pub(super) fn execve(path: &CStr, argv: &PointerArray, envp: &PointerArray) -> Errno {
    // SAFETY: null-terminated arrays of live C strings.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    Errno::last()
}

/// The same of an open program.
pub(super) fn execveat(program: i32, argv: &PointerArray, envp: &PointerArray) -> Errno {
    let (call, path) = (libc::SYS_execveat, c"".as_ptr());
    let (argv, envp) = (argv.pointers.as_ptr(), envp.pointers.as_ptr());
    // SAFETY: null-terminated arrays of live C strings.
    unsafe { libc::syscall(call, program, path, argv, envp, libc::AT_EMPTY_PATH) };
    Errno::last()
}

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
                true => check(libc::fcntl(*number, libc::F_SETFD, 0))?,
                false => check(libc::dup2(fd.as_raw_fd(), *number))?,
            };
        }
    }
    let entry = |(mut key, value): (OsString, OsString)| {
        key.push("=");
        key.push(value);
        CString::new(key.into_vec()).ok()
    };
    let env = match environment {
        Environment::Empty => Vec::new(),
        Environment::Ours => std::env::vars_os().filter_map(entry).collect(),
    };
    let (argv, envp) = (PointerArray::new(args), PointerArray::new(env));
    Err(execveat(program.as_raw_fd(), &argv, &envp).into())
}
