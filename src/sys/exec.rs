//! Replacing this very process: execveat(2).

use super::check_long;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Executes an open program with these arguments, an empty environment, and `keep`: descriptors
/// that are to be found there under those numbers. Returns only on error.
pub fn replace(
    program: BorrowedFd,
    args: Vec<CString>,
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
    let envp = [std::ptr::null::<libc::c_char>()];
    let (fd, path, flags) = (program.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: null-terminated arrays of live C strings.
    check_long(unsafe {
        libc::syscall(libc::SYS_execveat, fd, path, argv.as_ptr(), envp.as_ptr(), flags)
    })?;
    Ok(())
}
