//! Signals by raw calls: masks of 64 bits (bit n-1 for signal n), signalfd(2), kill(2).
//!
//! libc's own functions hide two real-time signals from their callers; an init must see all.

use super::raw::Errno;
use super::{check, raw};
use crate::types::{Pid, Signal};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Every signal.
pub const ALL: u64 = u64::MAX;

/// The bit of `signal` in a mask.
pub fn bit(signal: Signal) -> u64 {
    1 << (signal.number() - 1)
}

/// Sets this thread's mask and gives the one it had.
pub fn set_mask(mask: u64) -> io::Result<u64> {
    Ok(raw::sigprocmask(mask)?)
}

/// The signals whose disposition is "ignore", as a mask.
pub fn ignored() -> u64 {
    let is_ignored = |signal: &Signal| {
        raw::sigaction(signal.number(), None).is_ok_and(|[handler, ..]| handler == raw::IGNORE[0])
    };
    Signal::all().filter(is_ignored).fold(0, |mask, signal| mask | bit(signal))
}

/// Gives `signal` its default disposition.
pub fn set_default(signal: Signal) -> io::Result<()> {
    raw::sigaction(signal.number(), Some(&raw::DEFAULT))?;
    Ok(())
}

/// A signal as signalfd(2) tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    pub signal: Signal,
    /// Who sent it: 0 where the kernel or a process outside our pid namespace did. With SIGCHLD,
    /// the child that has ended.
    pub sender: u32,
}

/// A non-blocking signalfd(2). Only blocked signals arrive there.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    pub fn new(mask: u64) -> io::Result<SignalFd> {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: a live mask of the size passed.
        let fd = check(unsafe {
            libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, raw::SIGNAL_SET, flags)
        })?;
        // SAFETY: the kernel just gave us this descriptor.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// The next pending signal, if there is one.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut one = [None];
        while self.read_some(&mut one)? {
            if let [Some(received)] = one {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    /// Pending signals, as many as there is room for; whether there may be more.
    pub fn read_some(&self, received: &mut [Option<Received>]) -> io::Result<bool> {
        const MOST: usize = 4;
        let room = received.len().min(MOST);
        let one = size_of::<libc::signalfd_siginfo>();
        // SAFETY: all-zero is a valid signalfd_siginfo.
        let mut infos: [libc::signalfd_siginfo; MOST] = unsafe { std::mem::zeroed() };
        let got = raw::retry(|| {
            let fd = self.0.as_raw_fd();
            // SAFETY: reads into a live array, at most as much as it holds.
            raw::check(unsafe { libc::read(fd, infos.as_mut_ptr().cast(), room * one) } as i64)
        });
        let count = match got {
            Ok(bytes) => bytes as usize / one,
            Err(Errno(libc::EAGAIN)) => 0,
            Err(e) => return Err(e.into()),
        };
        for (received, info) in received.iter_mut().zip(&infos) {
            let signal = Signal::from_number(info.ssi_signo as i32);
            *received = signal.map(|signal| Received { signal, sender: info.ssi_pid });
        }
        Ok(count == room)
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub fn kill(pid: Pid, signal: Signal) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::kill(pid.raw(), signal.number()) }).map(drop)
}

/// Signals the process group of this number.
pub fn kill_group(group: Pid, signal: Signal) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::kill(-group.raw(), signal.number()) }).map(drop)
}

/// Signals every process that the caller may signal, but itself and PID 1 of its namespace. Only
/// for PID 1 of a namespace of its own: elsewhere this is every process of the machine.
pub fn kill_namespace(signal: Signal) -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // SAFETY: integers only.
    check(unsafe { libc::kill(-1, signal.number()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_arrives_by_descriptor_with_its_sender() {
        let old = set_mask(ALL).unwrap();
        let fd = SignalFd::new(bit(Signal::USR1) | bit(Signal::USR2)).unwrap();
        assert_eq!(fd.read().unwrap(), None);
        let me = Pid::from_raw(std::process::id() as i32).unwrap();
        // To the thread, not the process: other threads of the test have other masks.
        let send = |signal: libc::c_int| {
            // SAFETY: integers only.
            unsafe {
                let thread = libc::syscall(libc::SYS_gettid);
                libc::syscall(libc::SYS_tgkill, me.raw(), thread, signal);
            }
        };
        send(libc::SIGUSR1);
        let received = fd.read().unwrap().unwrap();
        assert_eq!(received.signal, Signal::USR1);
        assert_eq!(received.sender, std::process::id());
        assert_eq!(fd.read().unwrap(), None);
        send(libc::SIGUSR2);
        send(libc::SIGUSR1);
        let mut some = [None; 3];
        assert!(!fd.read_some(&mut some).unwrap(), "no more than these");
        let some = some.map(|received| received.map(|received| received.signal));
        assert_eq!(some, [Some(Signal::USR1), Some(Signal::USR2), None]);
        set_mask(old).unwrap();
    }

    #[test]
    fn nobody_but_pid_1_may_signal_everything() {
        assert!(kill_namespace(Signal::CONT).is_err());
    }
}
