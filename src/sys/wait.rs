//! waitid(2): looking at a dead child before reaping it.
//!
//! A child that was looked at (WNOWAIT) but not reaped keeps its pid, so its process group can
//! still be signalled without hitting a stranger that was given the same number.

use super::check;
use super::pidfd::Exit;
use crate::types::Pid;
use std::io;

/// What became of one's children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Children {
    /// There are none.
    None,
    /// There are, and all of them live.
    Alive,
    /// This one has ended and waits to be reaped.
    Ended(Pid, Exit),
}

/// Looks for a dead child, whichever; does not wait, does not reap.
pub fn peek() -> io::Result<Children> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    match waitid(libc::P_ALL, 0, flags) {
        Ok(Some((pid, exit))) => Ok(Children::Ended(pid, exit)),
        Ok(None) => Ok(Children::Alive),
        Err(e) if e.raw_os_error() == Some(libc::ECHILD) => Ok(Children::None),
        Err(e) => Err(e),
    }
}

/// Reaps this child, if it has ended; does not wait.
pub fn reap(pid: Pid) -> io::Result<Exit> {
    let flags = libc::WEXITED | libc::WNOHANG;
    match waitid(libc::P_PID, pid.raw() as libc::id_t, flags)? {
        Some((_, exit)) => Ok(exit),
        None => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn waitid(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> io::Result<Option<(Pid, Exit)>> {
    // SAFETY: all-zero is a valid siginfo_t; waitid fills it, or leaves si_pid at 0.
    let (pid, code, status) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        loop {
            match check(libc::waitid(kind, id, &raw mut info, flags)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => break other.map(drop)?,
            };
        }
        (info.si_pid(), info.si_code, info.si_status())
    };
    let exit = match code {
        libc::CLD_EXITED => Exit::Code(status),
        _ => Exit::Signal(status),
    };
    Ok(Pid::from_raw(pid).map(|pid| (pid, exit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd;
    use std::os::fd::AsFd;

    #[test]
    fn a_child_is_reaped_with_its_exit() {
        let run = |script: &str| {
            let child = std::process::Command::new("sh").args(["-c", script]).spawn();
            let pid = Pid::from_raw(child.unwrap().id() as i32).unwrap();
            pidfd::wait_ended(pidfd::open(pid).unwrap().as_fd(), None).unwrap();
            reap(pid).unwrap()
        };
        assert_eq!(run("exit 200"), Exit::Code(200));
        assert_eq!(run("kill -9 $$"), Exit::Signal(9));
    }
}
