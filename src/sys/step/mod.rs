//! The steps a child can take between `clone3` and `execve` (see `child`).
//!
//! Each step holds what it needs ready made: C strings, pointer arrays, open descriptors, bytes.
//! `run` only makes system calls and allocates nothing. `describe` is for the parent, after a
//! failure. A new step is a variant, its words in `describe`, and a line in `run` that hands it to
//! the file of its group.
//!
//! Mounts are built from small steps around one current detached tree: `OpenFs` makes it or `Tree`
//! takes one that the parent made, `MountAttr` and `Make` change it, `Attach` puts it into the new
//! root.

mod credentials;
mod descriptors;
mod exec;
mod mounts;
mod network;
mod process;
mod target;
mod terminal;

pub use descriptors::FdSource;
pub use exec::{Exec, Variables};
pub use mounts::{Device, Entry};
pub use target::{Missing, Target};

use super::raw::{self, Errno};
use crate::types::Signal;
use std::ffi::CString;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

#[derive(Debug)]
pub enum Step<'fd> {
    // --- the process
    /// Drops all descriptors above the highest of these. As the first step, and with `share`, they
    /// are not even copied: what a child costs then does not depend on how many the parent has.
    /// Until the step is done, what the parent closes is closed for the child too, so with `share`
    /// no other step may use a descriptor that the parent may close.
    KeepUpTo {
        fds: Vec<BorrowedFd<'fd>>,
        share: bool,
    },
    NewSession,
    NewProcessGroup,
    /// Makes this terminal the controlling one of the new session.
    ControllingTerminal(FdSource<'fd>),
    /// Makes our process group the foreground group of this terminal.
    ForegroundGroup(BorrowedFd<'fd>),
    ParentDeathSignal(Signal),
    Umask(u32),
    /// `RLIMIT_*`; what may not be raised is clamped to the hard limit in force.
    ResourceLimit {
        resource: i32,
        soft: u64,
        hard: u64,
    },
    Chdir(CString),
    SetGroups(Vec<u32>),
    SetGid(u32),
    SetUid(u32),
    /// Keeps permitted capabilities over the coming `SetUid` (PR_SET_KEEPCAPS).
    KeepCapabilities,
    /// Drops every capability that is not in this set (a bit each) from the bounding set.
    BoundingSet(u64),
    Capabilities {
        effective: u64,
        permitted: u64,
        inheritable: u64,
    },
    AmbientSet(u64),
    NoNewPrivileges,
    /// A new, empty session keyring (keyctl(2)): the caller's keys are not the program's.
    NewKeyring,
    Seccomp(Vec<libc::sock_filter>),
    /// The dispositions of the signals in `set` (bit n-1 for signal n) to their default, then this
    /// mask. An exec does that to all but the ignored ones.
    DefaultSignals {
        set: u64,
        mask: u64,
    },
    /// These signals (bit n-1 for signal n) are ignored, over the exec too.
    IgnoreSignals(u64),
    /// How ready the kernel is to kill the process when memory is short: -1000 to 1000, as text.
    /// Where we may not lower it, it stays.
    OomScore(Vec<u8>),
    /// Writes a file of /proc/sys, by its path in the mounts of whoever made us.
    Sysctl {
        file: CString,
        value: Vec<u8>,
    },
    WriteFd {
        fd: BorrowedFd<'fd>,
        data: Vec<u8>,
    },
    /// Forks, and goes on in the child: a process whose parent ends at once belongs to the first
    /// process of its pid namespace.
    LeaveParent,
    /// Goes on as the child of an init that this process becomes, and which forgets its words
    /// (`process::words`).
    Init {
        words: Range<usize>,
    },
    /// Forks, and goes on in the child, whose pidfd goes over this socket. The parent stays until
    /// the child has ended, reaps it, and ends with its exit code: where the child is in another
    /// pid namespace, that one can end whatever *its* parent is doing.
    StandBetween(BorrowedFd<'fd>),
    /// Closes the child's copy of a descriptor of the parent's: its other end must be able to see
    /// the parent's death.
    Close(BorrowedFd<'fd>),
    /// Reads one byte; end-of-file means that the parent gave up (ECANCELED).
    Await(BorrowedFd<'fd>),
    /// Tells the parent that this point was reached.
    Report,
    /// The coming `Exec` executes this open file, whatever its candidates.
    Program(BorrowedFd<'fd>),
    /// Puts sources onto target numbers, whatever overlaps; all other descriptors get
    /// close-on-exec. Must come after every step that uses a descriptor.
    Descriptors(Vec<(FdSource<'fd>, i32)>),
    Exec(Exec),
    // --- namespaces
    Unshare(i32),
    SetNamespace {
        fd: BorrowedFd<'fd>,
        kinds: i32,
    },
    HostName(Vec<u8>),
    DomainName(Vec<u8>),
    /// rtnetlink requests (each with NLM_F_ACK), sent in turn in the current net namespace.
    Netlink(Vec<Vec<u8>>),
    // --- mounts
    /// Makes every mount of this namespace private: nothing travels to or from the host.
    PrivateMounts,
    /// Attaches a detached tree at a host path of this namespace: the new root.
    AttachRoot {
        tree: BorrowedFd<'fd>,
        at: CString,
    },
    /// fsopen(2): a new file system becomes the current tree.
    OpenFs {
        kind: CString,
        options: Vec<(CString, Option<CString>)>,
    },
    /// A detached tree becomes the current one.
    Tree(BorrowedFd<'fd>),
    /// open_tree(2): so does a clone of a path in the new root.
    CloneInRoot(Target),
    /// mount_setattr(2) on the current tree: `MOUNT_ATTR_*`.
    MountAttr {
        set: u64,
        recursive: bool,
    },
    /// Makes entries in the current tree.
    Make(Vec<Entry>),
    /// Attaches the current tree, which is called `what`, at a place in the new root.
    Attach {
        what: String,
        at: Target,
    },
    /// What is mounted there exchanges mounts with all that `peer` does, from now on.
    Share {
        peer: BorrowedFd<'fd>,
        at: Target,
    },
    MakeDirs(Target),
    /// Hides a path of the new root: a file behind the root's /dev/null, a directory behind an
    /// empty read-only tmpfs.
    Mask(Target),
    /// Makes the new root read-only.
    ReadOnlyRoot,
    /// Clones the mount at a path of another process's mounts.
    CloneOf {
        process: BorrowedFd<'fd>,
        path: CString,
    },
    /// Takes the root we are in for the new one (after `SetNamespace`).
    OpenRoot,
    /// Makes a terminal in the new root's /dev/pts and sends its master over this socket; binds it
    /// to /dev/console where asked.
    Terminal {
        socket: BorrowedFd<'fd>,
        rows: u16,
        columns: u16,
        console: bool,
    },
    PivotRoot,
}

impl Step<'_> {
    /// The attempt in words: "mount proc on /proc".
    pub fn describe(&self) -> String {
        let text = |s: &CString| s.to_string_lossy().into_owned();
        match self {
            Step::KeepUpTo { .. } => "drop descriptors".into(),
            Step::NewSession => "start a session".into(),
            Step::NewProcessGroup => "start a process group".into(),
            Step::ControllingTerminal(_) => "take the controlling terminal".into(),
            Step::ForegroundGroup(_) => "take the terminal's foreground".into(),
            Step::ParentDeathSignal(s) => format!("set parent death signal {s}"),
            Step::Umask(_) => "set umask".into(),
            Step::ResourceLimit { resource, .. } => format!("set resource limit {resource}"),
            Step::Chdir(path) => format!("change directory to {}", text(path)),
            Step::SetGroups(_) => "set supplementary groups".into(),
            Step::SetGid(gid) => format!("set gid {gid}"),
            Step::SetUid(uid) => format!("set uid {uid}"),
            Step::KeepCapabilities => "keep capabilities".into(),
            Step::BoundingSet(_) => "drop capabilities".into(),
            Step::Capabilities { .. } => "set capabilities".into(),
            Step::AmbientSet(_) => "set ambient capabilities".into(),
            Step::NoNewPrivileges => "set no_new_privs".into(),
            Step::Seccomp(_) => "install the seccomp filter".into(),
            Step::DefaultSignals { .. } => "reset signals".into(),
            Step::IgnoreSignals(_) => "ignore signals".into(),
            Step::OomScore(_) => "set oom_score_adj".into(),
            Step::Sysctl { file, value } => {
                let value = String::from_utf8_lossy(value);
                format!("write {value:?} to {}", file.to_string_lossy())
            }
            Step::NewKeyring => "make a session keyring".into(),
            Step::WriteFd { .. } => "join the cgroup".into(),
            Step::Init { .. } => "start an init".into(),
            Step::LeaveParent | Step::StandBetween(_) => "fork".into(),
            Step::Close(_) => "close a descriptor".into(),
            Step::Await(_) => "wait for the parent".into(),
            Step::Report => "report".into(),
            Step::Descriptors(_) => "place descriptors".into(),
            Step::Program(_) => "choose the program".into(),
            Step::Exec(exec) => format!("execute {}", exec.name()),
            Step::Unshare(_) => "unshare namespaces".into(),
            Step::SetNamespace { .. } => "join namespaces".into(),
            Step::HostName(_) => "set the host name".into(),
            Step::DomainName(_) => "set the domain name".into(),
            Step::Netlink(_) => "configure the network".into(),
            Step::PrivateMounts => "make mounts private".into(),
            Step::AttachRoot { .. } => "mount the root".into(),
            Step::OpenFs { kind, .. } => format!("make a {} file system", text(kind)),
            Step::Tree(_) => "take a mount".into(),
            Step::CloneOf { path, .. } => {
                format!("take {} of the other container", path.to_string_lossy())
            }
            Step::CloneInRoot(target) => format!("mount the container's {}", target.path()),
            Step::MountAttr { .. } => "set mount attributes".into(),
            Step::Make(_) => "make device nodes".into(),
            Step::Attach { what, at } => format!("mount {what} on {}", at.path()),
            Step::Share { at, .. } => format!("share the mounts below {}", at.path()),
            Step::MakeDirs(target) => format!("make directory {}", target.path()),
            Step::Mask(target) => format!("mask {}", target.path()),
            Step::ReadOnlyRoot => "make the root read-only".into(),
            Step::OpenRoot => "open the root".into(),
            Step::Terminal { .. } => "make the terminal".into(),
            Step::PivotRoot => "change the root".into(),
        }
    }

    pub(super) fn run(&self, walk: &mut Walk) -> Result<(), Errno> {
        match self {
            Step::KeepUpTo { fds, .. } => descriptors::keep_up_to(fds)?,
            Step::NewSession => process::new_session()?,
            Step::NewProcessGroup => process::new_group()?,
            Step::ControllingTerminal(source) => terminal::control(walk.source(*source)?)?,
            Step::ForegroundGroup(fd) => terminal::take_foreground(*fd)?,
            Step::ParentDeathSignal(signal) => {
                raw::prctl(libc::PR_SET_PDEATHSIG, signal.number() as u64, 0)?;
            }
            Step::Umask(mode) => process::umask(*mode)?,
            Step::ResourceLimit { resource, soft, hard } => {
                process::limit(*resource, *soft, *hard)?;
            }
            Step::Chdir(path) => process::chdir(path)?,
            Step::SetGroups(groups) => credentials::set_groups(groups)?,
            Step::SetGid(gid) => credentials::set_gid(*gid)?,
            Step::SetUid(uid) => credentials::set_uid(*uid)?,
            Step::KeepCapabilities => raw::prctl(libc::PR_SET_KEEPCAPS, 1, 0)?,
            Step::BoundingSet(keep) => credentials::set_bounding(*keep)?,
            Step::Capabilities { effective, permitted, inheritable } => {
                credentials::set_capabilities(*effective, *permitted, *inheritable)?;
            }
            Step::AmbientSet(set) => credentials::set_ambient(*set)?,
            Step::NoNewPrivileges => raw::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?,
            Step::Seccomp(program) => credentials::seccomp(program)?,
            Step::DefaultSignals { set, mask } => process::default_signals(*set, *mask)?,
            Step::IgnoreSignals(set) => process::ignore_signals(*set)?,
            Step::OomScore(score) => process::set_oom_score(score)?,
            Step::Sysctl { file, value } => process::write_file(file, value)?,
            Step::NewKeyring => credentials::new_keyring()?,
            Step::WriteFd { fd, data } => descriptors::write(*fd, data)?,
            Step::Init { words } => process::become_init(words)?,
            Step::LeaveParent => process::leave_parent()?,
            Step::StandBetween(socket) => process::stand_between(*socket)?,
            Step::Close(fd) => descriptors::close(*fd)?,
            Step::Await(fd) => descriptors::await_byte(*fd)?,
            // `child` sends the frame.
            Step::Report => {}
            Step::Program(fd) => walk.program = Some(fd.as_raw_fd()),
            Step::Descriptors(moves) => descriptors::place(walk, moves)?,
            Step::Exec(exec) => return Err(exec.run(walk.program)),
            Step::Unshare(kinds) => process::unshare(*kinds)?,
            Step::SetNamespace { fd, kinds } => raw::setns(*fd, *kinds)?,
            Step::HostName(name) => network::set_host_name(name)?,
            Step::DomainName(name) => network::set_domain_name(name)?,
            Step::Netlink(requests) => network::configure(requests)?,
            Step::PrivateMounts => mounts::make_private()?,
            Step::AttachRoot { tree, at } => walk.root = Some(mounts::attach_root(*tree, at)?),
            Step::OpenFs { kind, options } => walk.tree = Some(mounts::open_fs(kind, options)?),
            Step::Tree(tree) => walk.tree = Some(raw::dup(tree.as_raw_fd(), 0)?),
            Step::CloneOf { process, path } => walk.tree = Some(mounts::clone_of(*process, path)?),
            Step::CloneInRoot(target) => walk.tree = mounts::clone_in_root(walk.root()?, target)?,
            Step::MountAttr { set, recursive } => {
                if let Some(tree) = &walk.tree {
                    raw::mount_setattr(tree.as_fd(), *set, *recursive)?;
                }
            }
            Step::Make(entries) => {
                if let Some(tree) = &walk.tree {
                    mounts::make_entries(tree.as_fd(), entries)?;
                }
            }
            Step::Attach { at, .. } => {
                if let Some(tree) = walk.tree.take() {
                    mounts::attach(walk.root()?, tree.as_fd(), at)?;
                }
            }
            Step::Share { peer, at } => mounts::share(walk.root()?, *peer, at)?,
            Step::MakeDirs(target) => drop(target.open(walk.root()?)?),
            Step::Mask(target) => mounts::mask(walk.root()?, target)?,
            Step::ReadOnlyRoot => {
                raw::mount_setattr(walk.root()?, libc::MOUNT_ATTR_RDONLY, false)?;
            }
            Step::OpenRoot => walk.root = Some(mounts::open_root(c"/")?),
            Step::Terminal { socket, rows, columns, console } => {
                let (master, tty) = terminal::make(walk.root()?, *rows, *columns)?;
                if *console {
                    terminal::bind_console(walk.root()?, tty.as_fd())?;
                }
                raw::send_fd(*socket, master.as_fd())?;
                walk.tty = Some(tty);
            }
            Step::PivotRoot => mounts::pivot_root(walk.root()?)?,
        }
        Ok(())
    }
}

/// What the child carries from step to step.
pub(super) struct Walk {
    /// Where frames go.
    pub report: RawFd,
    /// The new root directory, from `AttachRoot` or `OpenRoot` on.
    root: Option<OwnedFd>,
    /// The current detached mount; none where the last `CloneInRoot` found nothing to clone.
    tree: Option<OwnedFd>,
    /// The terminal made by `Terminal`.
    tty: Option<OwnedFd>,
    /// What `Exec` executes instead of a path, from `Program` on.
    program: Option<RawFd>,
}

impl Walk {
    pub fn new(report: RawFd) -> Walk {
        Walk { report, root: None, tree: None, tty: None, program: None }
    }

    fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno(libc::EBADF))
    }

    fn source<'a>(&'a self, source: FdSource<'a>) -> Result<BorrowedFd<'a>, Errno> {
        match source {
            FdSource::Fd(fd) => Ok(fd),
            FdSource::Terminal => self.tty.as_ref().map(AsFd::as_fd).ok_or(Errno(libc::EBADF)),
        }
    }
}
