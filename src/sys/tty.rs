//! Terminals: their size, and raw mode for as long as a guard lives (termios(3)).

use super::{check, raw};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Rows and columns.
pub fn size(fd: BorrowedFd) -> io::Result<(u16, u16)> {
    // SAFETY: all-zero is a valid winsize, which the ioctl fills.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        check(libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size))?;
        Ok((size.ws_row, size.ws_col))
    }
}

pub fn set_size(fd: BorrowedFd, rows: u16, columns: u16) -> io::Result<()> {
    Ok(raw::set_window_size(fd, rows, columns)?)
}

/// A terminal in raw mode; put back as it was when dropped.
#[must_use = "the terminal is raw only as long as the guard lives"]
pub struct Raw {
    fd: OwnedFd,
    before: libc::termios,
}

impl Raw {
    pub fn enter(fd: BorrowedFd) -> io::Result<Raw> {
        let fd = fd.try_clone_to_owned()?;
        // SAFETY: all-zero is a valid termios, which tcgetattr fills.
        let before = unsafe {
            let mut now: libc::termios = std::mem::zeroed();
            check(libc::tcgetattr(fd.as_raw_fd(), &raw mut now))?;
            now
        };
        let raw = Raw { fd, before };
        raw.again()?;
        Ok(raw)
    }

    /// Once more: whoever had the terminal meanwhile may have put it back.
    pub fn again(&self) -> io::Result<()> {
        let mut raw = self.before;
        // SAFETY: settings that tcgetattr gave, on the stack, of the terminal that we hold.
        unsafe {
            libc::cfmakeraw(&raw mut raw);
            check(libc::tcsetattr(self.fd.as_raw_fd(), libc::TCSADRAIN, &raw const raw))?;
        }
        Ok(())
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the saved settings of this very terminal; there is no cure if it is gone.
        unsafe { libc::tcsetattr(self.fd.as_raw_fd(), libc::TCSANOW, &raw const self.before) };
    }
}
