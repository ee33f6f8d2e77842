//! Descriptors that are kept free. What lasts may not use them up, or else cox could no longer restart
//! the services that it has, write down how they are, or be asked.

use coracle::sys::fd;
use std::io;
use std::os::fd::BorrowedFd;

/// What helps where there are too few.
pub const CURE: &str = "raise the limit of open files (ulimit -n)";

/// What is left by services themselves, and by what their present runs need.
const OF_SERVICES: u64 = 16;
const OF_RUNS: u64 = 8;

/// Refuses `newest`, which was opened last, if too few are left: for what lasts as long as a service.
pub fn of_services(newest: BorrowedFd) -> io::Result<()> {
    leave(OF_SERVICES, newest)
}

/// The same, for what lasts as long as a run, a question, or a client.
pub fn of_runs(newest: BorrowedFd) -> io::Result<()> {
    leave(OF_RUNS, newest)
}

fn leave(free: u64, newest: BorrowedFd) -> io::Result<()> {
    match fd::left_after(newest)? < free {
        true => Err(io::Error::from_raw_os_error(TOO_MANY)),
        false => Ok(()),
    }
}

/// EMFILE (errno(3)).
const TOO_MANY: i32 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn some_are_kept_free() {
        let (reader, _writer) = io::pipe().unwrap();
        let left = fd::left_after(reader.as_fd()).unwrap();
        assert!(left > OF_SERVICES, "run the tests with more than a handful of descriptors");
        leave(left, reader.as_fd()).unwrap();
        let error = leave(left + 1, reader.as_fd()).unwrap_err();
        assert!(error.to_string().starts_with("Too many open files"), "{error}");
    }
}
