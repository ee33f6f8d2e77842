//! Starting a child: everything it needs is prepared before `clone3`, as a list of `Step`s.
//!
//! Between clone and `execve` the child walks the list. It allocates nothing, logs nothing,
//! unwinds never. On failure it writes one `Frame {tag, step, errno}` to the report descriptor
//! and exits with 127; the parent, which still has the list, turns the step's number into words.
//! `Step::Report` writes a frame of its own: end-of-file on a private report pipe means "exec
//! succeeded" only once that frame was seen, else the child died on the way.
//!
//! Frames are 16 bytes, so writes to a pipe are atomic and one pipe can serve many children: the
//! tag tells them apart.

use super::step::{Step, Walk};
use super::{check, raw};
use crate::types::Pid;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What the child does, in order. The last step is `Step::Exec`.
#[derive(Debug, Default)]
pub struct Plan<'fd> {
    steps: Vec<Step<'fd>>,
}

impl<'fd> Plan<'fd> {
    pub fn new() -> Plan<'fd> {
        Plan::default()
    }

    pub fn push(&mut self, step: Step<'fd>) -> &mut Plan<'fd> {
        self.steps.push(step);
        self
    }

    pub fn steps(&self) -> &[Step<'fd>] {
        &self.steps
    }

    /// CLONE_FILES, where the child makes itself a table of its own first of all.
    fn sharing(&self) -> i32 {
        match self.steps.first() {
            Some(Step::KeepUpTo { share: true, .. }) => libc::CLONE_FILES,
            _ => 0,
        }
    }
}

/// A child as its parent sees it.
#[derive(Debug)]
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// What a child reports. 16 bytes on the wire, native order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// As given to `spawn`.
    pub tag: u64,
    pub kind: FrameKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// `Step::Report` was reached.
    Ready,
    /// The step of this index in the plan failed.
    Failed { step: usize, errno: i32 },
}

impl Frame {
    pub const LEN: usize = 16;

    pub fn encode(self) -> [u8; Frame::LEN] {
        let mut bytes = [0; Frame::LEN];
        let (step, errno) = match self.kind {
            FrameKind::Ready => (u32::MAX, 0),
            FrameKind::Failed { step, errno } => (step as u32, errno),
        };
        let (tag, rest) = bytes.split_at_mut(8);
        tag.copy_from_slice(&self.tag.to_ne_bytes());
        let (a, b) = rest.split_at_mut(4);
        a.copy_from_slice(&step.to_ne_bytes());
        b.copy_from_slice(&errno.to_ne_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; Frame::LEN]) -> Frame {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        let step = u32::from_ne_bytes([i, j, k, l]);
        let kind = match step {
            u32::MAX => FrameKind::Ready,
            _ => FrameKind::Failed { step: step as usize, errno: i32::from_ne_bytes([m, n, o, p]) },
        };
        Frame { tag: u64::from_ne_bytes([a, b, c, d, e, f, g, h]), kind }
    }
}

/// Clones the calling process and has the child walk `plan`. `namespaces` are `CLONE_NEW*`
/// flags. The caller must be single-threaded. `report` receives the child's frames, marked `tag`.
///
/// Errors: those of clone3(2), or of clone(2) where that is hidden; a failing step arrives as a frame instead.
pub fn spawn(plan: &Plan, namespaces: i32, report: BorrowedFd, tag: u64) -> io::Result<Child> {
    let (pid, pidfd) = clone(plan, namespaces | libc::CLONE_PIDFD, report, tag)?;
    // SAFETY: with CLONE_PIDFD the kernel stored a new close-on-exec descriptor that is ours.
    Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// As `spawn`, for who hears of its end by SIGCHLD alone.
pub fn spawn_plain(plan: &Plan, report: BorrowedFd, tag: u64) -> io::Result<Pid> {
    clone(plan, 0, report, tag).map(|(pid, _)| pid)
}

fn clone(plan: &Plan, flags: i32, report: BorrowedFd, tag: u64) -> io::Result<(Pid, i32)> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is a valid clone_args.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (plan.sharing() | flags) as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: args is initialised and of the size passed. Without CLONE_VM the child has a copy
    // of this address space and runs on a copy of this stack; being the copy of a
    // single-threaded process it finds no lock held by a thread it lacks, and takes none.
    let cloned = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
    });
    let pid = match cloned {
        // A seccomp filter that cannot look into its arguments (Docker's) hides clone3.
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
            let flags = args.flags | args.exit_signal;
            let (stack, none) = (0, 0);
            // SAFETY: as above; clone(2) stores the pidfd where its third argument points.
            check(unsafe {
                libc::syscall(libc::SYS_clone, flags, stack, &raw mut pidfd, none, none)
            })?
        }
        other => other?,
    };
    if pid == 0 {
        run(plan, report.as_raw_fd(), tag);
    }
    let pid = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::InvalidData)?;
    Ok((pid, pidfd))
}

/// The child's side.
fn run(plan: &Plan, report: i32, tag: u64) -> ! {
    let mut walk = Walk::new(report);
    for (index, step) in plan.steps.iter().enumerate() {
        let kind = match (step.run(&mut walk), step) {
            (Ok(()), Step::Report) => FrameKind::Ready,
            (Ok(()), _) => continue,
            (Err(errno), _) => FrameKind::Failed { step: index, errno: errno.0 },
        };
        send(walk.report, Frame { tag, kind });
        if kind != FrameKind::Ready {
            break;
        }
    }
    // SAFETY: _exit never returns and runs no handlers of the parent's copy.
    unsafe { libc::_exit(127) }
}

fn send(report: i32, frame: Frame) {
    let bytes = frame.encode();
    // SAFETY: the parent keeps the descriptor open over the clone, and no step closes it.
    let report = unsafe { BorrowedFd::borrow_raw(report) };
    // Where the parent is gone, nobody is there to be told.
    let _ = raw::retry(|| raw::write(report, &bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip() {
        for kind in [FrameKind::Ready, FrameKind::Failed { step: 7, errno: 13 }] {
            let frame = Frame { tag: 1 << 40, kind };
            assert_eq!(Frame::decode(&frame.encode()), frame);
        }
    }
}
