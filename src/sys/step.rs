//! The steps a child can take between `clone3` and `execve` (see `child`).
//!
//! Each step holds what it needs ready made: C strings, pointer arrays, open descriptors, bytes.
//! `run` only makes system calls. `describe` is for the parent, after a failure.
//!
//! Mounts are built from four small steps around one current detached tree: `OpenFs` or
//! `CloneTree` make it, `MountAttr` and `Make` change it, `Attach` puts it into the new root.
//! Targets are opened with `RESOLVE_IN_ROOT`, so that no symbolic link of an image leads outside.

use crate::types::Signal;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// An errno. Unlike `io::Error` it is sure never to allocate.
#[derive(Clone, Copy, Debug)]
pub struct Errno(pub i32);

type Done = Result<Outcome, Errno>;

pub(super) enum Outcome {
    Next,
    /// Tell the parent that this point was reached.
    Report,
}

/// What the child carries from step to step.
pub(super) struct Walk {
    pub report: i32,
    /// The new root directory, from `AttachRoot` on.
    root: i32,
    /// The current detached mount; -1 where the last `CloneTree` found nothing to clone.
    tree: i32,
    /// The terminal made by `Terminal`.
    tty: i32,
    /// What `Exec` executes instead of a path, from `Program` on.
    program: i32,
}

impl Walk {
    pub fn new(report: i32) -> Walk {
        Walk { report, root: -1, tree: -1, tty: -1, program: -1 }
    }
}

/// A path inside the new root, as the list of its growing prefixes: `a`, `a/b`, `a/b/c`.
#[derive(Debug, Clone)]
pub struct Target {
    prefixes: Vec<CString>,
    missing: Missing,
}

/// What to do where a target does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    MakeDir,
    MakeFile,
    /// Leave it: the steps on it do nothing.
    Skip,
}

impl Target {
    /// `path` is absolute in the new root. `.` and empty parts vanish, `..` goes up lexically.
    pub fn new(path: &[u8], missing: Missing) -> Result<Target, std::ffi::NulError> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                _ => parts.push(part),
            }
        }
        let prefixes = (1..=parts.len()).map(|n| CString::new(parts[..n].join(&b'/')));
        Ok(Target { prefixes: prefixes.collect::<Result<_, _>>()?, missing })
    }

    fn path(&self) -> String {
        match self.prefixes.last() {
            Some(path) => format!("/{}", path.to_string_lossy()),
            None => "/".to_string(),
        }
    }

    /// Opens the target with O_PATH below `root`; -1 where it is to be skipped.
    fn open(&self, root: i32) -> Result<i32, Errno> {
        let Some(last) = self.prefixes.last() else {
            return dup(root);
        };
        match open_in_root(root, last, libc::O_PATH as u64, 0) {
            Err(Errno(libc::ENOENT)) => {}
            Err(Errno(libc::ENOTDIR)) if self.missing == Missing::Skip => return Ok(-1),
            other => return other,
        }
        if self.missing == Missing::Skip {
            return Ok(-1);
        }
        let mut parent = dup(root)?;
        let count = self.prefixes.len();
        for (i, prefix) in self.prefixes.iter().enumerate() {
            let name = base_name(prefix);
            if self.missing == Missing::MakeFile && i + 1 == count {
                let flags = libc::O_CREAT | libc::O_WRONLY;
                // Through a link, where it leads inside; one that leads nowhere gives way.
                let file = match open_in_root(root, prefix, flags as u64, 0o644) {
                    Err(Errno(libc::ENOENT)) => {
                        // SAFETY: name is a C string; parent is open.
                        errno_of(unsafe { libc::unlinkat(parent, name.as_ptr(), 0) })?;
                        open_in_root(root, prefix, flags as u64, 0o644)?
                    }
                    other => other?,
                };
                close(file);
            } else {
                // SAFETY: as above.
                match errno_of(unsafe { libc::mkdirat(parent, name.as_ptr(), 0o755) }) {
                    Ok(_) | Err(Errno(libc::EEXIST)) => {}
                    Err(e) => return Err(e),
                }
            }
            let next = open_in_root(root, prefix, libc::O_PATH as u64, 0)?;
            close(parent);
            parent = next;
        }
        Ok(parent)
    }
}

/// One entry of a file system that is being made (`/dev`).
#[derive(Debug)]
pub enum Entry {
    Dir { name: CString, mode: u32 },
    Device { name: CString, mode: u32, dev: u64 },
    Link { name: CString, to: CString },
}

/// Where a descriptor of the new program comes from.
#[derive(Debug, Clone, Copy)]
pub enum FdSource<'fd> {
    Fd(BorrowedFd<'fd>),
    /// The terminal made by `Step::Terminal`.
    Terminal,
}

/// A program to execute: the paths to try in turn, and its ready-made arrays.
#[derive(Debug)]
pub struct Exec {
    candidates: Vec<CString>,
    argv: PointerArray,
    envp: PointerArray,
}

impl Exec {
    /// `candidates` are tried in order, as execvp(3) does with PATH: the next one after ENOENT,
    /// ENOTDIR and EACCES; the error told is EACCES where that was seen.
    pub fn new(candidates: Vec<CString>, argv: Vec<CString>, env: Vec<CString>) -> Exec {
        Exec { candidates, argv: PointerArray::new(argv), envp: PointerArray::new(env) }
    }

    /// The candidates for `program` under `path` (the value of PATH): the program itself where
    /// it holds a slash.
    pub fn search(program: &CStr, path: &[u8]) -> Vec<CString> {
        let program = program.to_bytes();
        if program.contains(&b'/') {
            return CString::new(program).into_iter().collect();
        }
        let place = |dir: &[u8]| {
            let dir = if dir.is_empty() { b".".as_slice() } else { dir };
            CString::new([dir, b"/", program].concat()).ok()
        };
        path.split(|b| *b == b':').filter_map(place).collect()
    }
}

/// A null-terminated array of pointers to strings that it owns.
struct PointerArray {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl PointerArray {
    fn new(strings: Vec<CString>) -> PointerArray {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        PointerArray { strings, pointers }
    }
}

impl std::fmt::Debug for PointerArray {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.strings.fmt(f)
    }
}

#[derive(Debug)]
pub enum Step<'fd> {
    // --- the process
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
    Seccomp(Vec<libc::sock_filter>),
    /// All dispositions to their default, then this mask (bit n-1 for signal n).
    DefaultSignals {
        mask: u64,
    },
    /// These signals (bit n-1 for signal n) are ignored, over the exec too.
    IgnoreSignals(u64),
    WriteFile {
        path: CString,
        data: Vec<u8>,
    },
    WriteFd {
        fd: BorrowedFd<'fd>,
        data: Vec<u8>,
    },
    /// Forks, and goes on in the child: a process whose parent ends at once belongs to the first
    /// process of its pid namespace.
    LeaveParent,
    /// Closes the child's copy of a descriptor of the parent's: its other end must be able to see
    /// the parent's death.
    Close(BorrowedFd<'fd>),
    /// Reads one byte; end-of-file means that the parent gave up (ECANCELED).
    Await(BorrowedFd<'fd>),
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
    /// open_tree(2): a clone of a host path becomes the current tree.
    CloneTree {
        path: CString,
        recursive: bool,
    },
    /// The same of a path in the new root.
    CloneInRoot(Target),
    /// mount_setattr(2) on the current tree: `MOUNT_ATTR_*`.
    MountAttr {
        set: u64,
        recursive: bool,
    },
    /// Makes entries in the current tree.
    Make(Vec<Entry>),
    /// Attaches the current tree at a place in the new root.
    Attach(Target),
    MakeDirs(Target),
    /// Hides a path of the new root: a file behind the root's /dev/null, a directory behind an
    /// empty read-only tmpfs.
    Mask(Target),
    /// Makes the new root read-only.
    ReadOnlyRoot,
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
            Step::WriteFile { path, .. } => format!("write {}", text(path)),
            Step::WriteFd { .. } => "join the cgroup".into(),
            Step::LeaveParent => "fork".into(),
            Step::Close(_) => "close a descriptor".into(),
            Step::Await(_) => "wait for the parent".into(),
            Step::Report => "report".into(),
            Step::Descriptors(_) => "place descriptors".into(),
            Step::Program(_) => "choose the program".into(),
            Step::Exec(exec) => {
                let program = exec.argv.strings.first();
                format!("execute {}", program.map(text).unwrap_or_default())
            }
            Step::Unshare(_) => "unshare namespaces".into(),
            Step::SetNamespace { .. } => "join namespaces".into(),
            Step::HostName(_) => "set the host name".into(),
            Step::DomainName(_) => "set the domain name".into(),
            Step::Netlink(_) => "configure the network".into(),
            Step::PrivateMounts => "make mounts private".into(),
            Step::AttachRoot { .. } => "mount the root".into(),
            Step::OpenFs { kind, .. } => format!("make a {} file system", text(kind)),
            Step::CloneTree { path, .. } => format!("mount {}", text(path)),
            Step::CloneInRoot(target) => format!("mount the container's {}", target.path()),
            Step::MountAttr { .. } => "set mount attributes".into(),
            Step::Make(_) => "make device nodes".into(),
            Step::Attach(target) => format!("mount on {}", target.path()),
            Step::MakeDirs(target) => format!("make directory {}", target.path()),
            Step::Mask(target) => format!("mask {}", target.path()),
            Step::ReadOnlyRoot => "make the root read-only".into(),
            Step::OpenRoot => "open the root".into(),
            Step::Terminal { .. } => "make the terminal".into(),
            Step::PivotRoot => "change the root".into(),
        }
    }

    pub(super) fn run(&self, walk: &mut Walk) -> Done {
        match self {
            Step::NewSession => {
                // SAFETY: no memory is passed.
                done(unsafe { libc::setsid() })
            }
            Step::NewProcessGroup => {
                // SAFETY: no memory is passed.
                done(unsafe { libc::setpgid(0, 0) })
            }
            Step::ControllingTerminal(source) => {
                let fd = walk.source(*source);
                // SAFETY: TIOCSCTTY takes an integer.
                done(unsafe { libc::ioctl(fd, libc::TIOCSCTTY as _, 0) })
            }
            Step::ForegroundGroup(fd) => {
                // SAFETY: no memory is passed.
                done(unsafe { libc::tcsetpgrp(fd.as_raw_fd(), libc::getpgrp()) })
            }
            Step::ParentDeathSignal(signal) => {
                prctl(libc::PR_SET_PDEATHSIG, signal.number() as u64)
            }
            Step::Umask(mode) => {
                // SAFETY: umask cannot fail.
                unsafe { libc::umask(*mode) };
                Ok(Outcome::Next)
            }
            Step::ResourceLimit { resource, soft, hard } => limit(*resource, *soft, *hard),
            Step::Chdir(path) => {
                // SAFETY: a C string.
                done(unsafe { libc::chdir(path.as_ptr()) })
            }
            Step::SetGroups(groups) => {
                // The raw call: libc's would signal all threads. SAFETY: pointer and length agree.
                done_long(unsafe {
                    libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr())
                })
            }
            Step::SetGid(gid) => {
                // SAFETY: integers only.
                done_long(unsafe { libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) })
            }
            Step::SetUid(uid) => {
                // SAFETY: integers only.
                done_long(unsafe { libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) })
            }
            Step::KeepCapabilities => prctl(libc::PR_SET_KEEPCAPS, 1),
            Step::BoundingSet(keep) => bounding_set(*keep),
            Step::Capabilities { effective, permitted, inheritable } => {
                capset(*effective, *permitted, *inheritable)
            }
            Step::AmbientSet(set) => ambient_set(*set),
            Step::NoNewPrivileges => prctl(libc::PR_SET_NO_NEW_PRIVS, 1),
            Step::Seccomp(program) => seccomp(program),
            Step::DefaultSignals { mask } => default_signals(*mask),
            Step::IgnoreSignals(set) => ignore_signals(*set),
            Step::WriteFile { path, data } => {
                let flags = libc::O_WRONLY | libc::O_CLOEXEC;
                // SAFETY: a C string.
                let fd = errno_of(unsafe { libc::open(path.as_ptr(), flags) })?;
                let wrote = write(fd, data);
                close(fd);
                wrote
            }
            Step::WriteFd { fd, data } => write(fd.as_raw_fd(), data),
            Step::LeaveParent => {
                let (stack, none) = (0u64, 0u64);
                let flags = libc::SIGCHLD as u64;
                // SAFETY: as `child::spawn`; the raw call runs no handlers.
                let pid = errno_of_long(unsafe {
                    libc::syscall(libc::SYS_clone, flags, stack, none, none, none)
                })?;
                if pid > 0 {
                    // SAFETY: _exit never returns.
                    unsafe { libc::_exit(0) };
                }
                Ok(Outcome::Next)
            }
            Step::Close(fd) => {
                close(fd.as_raw_fd());
                Ok(Outcome::Next)
            }
            Step::Await(fd) => await_byte(fd.as_raw_fd()),
            Step::Report => Ok(Outcome::Report),
            Step::Descriptors(moves) => walk.place(moves),
            Step::Program(fd) => {
                walk.program = fd.as_raw_fd();
                Ok(Outcome::Next)
            }
            Step::Exec(exec) if walk.program >= 0 => {
                let (argv, envp) = (exec.argv.pointers.as_ptr(), exec.envp.pointers.as_ptr());
                let (fd, path) = (walk.program, c"".as_ptr());
                // SAFETY: null-terminated arrays of C strings, alive in this copy of the parent.
                done_long(unsafe {
                    libc::syscall(libc::SYS_execveat, fd, path, argv, envp, libc::AT_EMPTY_PATH)
                })
            }
            Step::Exec(exec) => execute(exec),
            Step::Unshare(kinds) => {
                // SAFETY: integers only.
                done(unsafe { libc::unshare(*kinds) })
            }
            Step::SetNamespace { fd, kinds } => {
                // SAFETY: integers only.
                done(unsafe { libc::setns(fd.as_raw_fd(), *kinds) })
            }
            Step::HostName(name) => {
                // SAFETY: pointer and length agree.
                done(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
            }
            Step::DomainName(name) => {
                // SAFETY: pointer and length agree.
                done(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })
            }
            Step::Netlink(requests) => netlink(requests),
            Step::PrivateMounts => {
                let flags = libc::MS_REC | libc::MS_PRIVATE;
                let (root, none) = (c"/".as_ptr(), std::ptr::null());
                // SAFETY: C strings or null, as mount(2) allows here.
                done(unsafe { libc::mount(none, root, none, flags, none.cast()) })
            }
            Step::AttachRoot { tree, at } => {
                move_mount(tree.as_raw_fd(), libc::AT_FDCWD, at)?;
                let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
                // SAFETY: a C string.
                walk.root = errno_of(unsafe { libc::open(at.as_ptr(), flags) })?;
                Ok(Outcome::Next)
            }
            Step::OpenFs { kind, options } => walk.set_tree(open_fs(kind, options)?),
            Step::CloneTree { path, recursive } => {
                walk.set_tree(open_tree(libc::AT_FDCWD, path, *recursive)?)
            }
            Step::CloneInRoot(target) => {
                let at = target.open(walk.root)?;
                if at < 0 {
                    return walk.set_tree(-1);
                }
                let tree = open_tree(at, c"", true)?;
                close(at);
                walk.set_tree(tree)
            }
            Step::MountAttr { set, recursive } => match walk.tree {
                -1 => Ok(Outcome::Next),
                tree => mount_setattr(tree, *set, *recursive),
            },
            Step::Make(entries) => make(walk.tree, entries),
            Step::Attach(target) => {
                if walk.tree >= 0 {
                    let at = target.open(walk.root)?;
                    move_mount(walk.tree, at, c"")?;
                    close(at);
                }
                walk.set_tree(-1)
            }
            Step::MakeDirs(target) => {
                close(target.open(walk.root)?);
                Ok(Outcome::Next)
            }
            Step::Mask(target) => mask(walk.root, target),
            Step::ReadOnlyRoot => mount_setattr(walk.root, libc::MOUNT_ATTR_RDONLY, false),
            Step::OpenRoot => {
                let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
                // SAFETY: a C string.
                walk.root = errno_of(unsafe { libc::open(c"/".as_ptr(), flags) })?;
                Ok(Outcome::Next)
            }
            Step::Terminal { socket, rows, columns, console } => {
                let (master, tty) = terminal(walk.root, *rows, *columns)?;
                if *console {
                    bind_console(walk.root, tty)?;
                }
                send_fd(socket.as_raw_fd(), master)?;
                close(master);
                walk.tty = tty;
                Ok(Outcome::Next)
            }
            Step::PivotRoot => {
                // SAFETY: C strings; pivot_root(".", ".") stacks the old root on the new one, and
                // the unmount takes it off again (pivot_root(2), NOTES).
                unsafe {
                    errno_of(libc::fchdir(walk.root))?;
                    let dot = c".".as_ptr();
                    errno_of_long(libc::syscall(libc::SYS_pivot_root, dot, dot))?;
                    errno_of(libc::umount2(dot, libc::MNT_DETACH))?;
                    done(libc::chdir(c"/".as_ptr()))
                }
            }
        }
    }
}

impl Walk {
    fn source(&self, source: FdSource) -> i32 {
        match source {
            FdSource::Fd(fd) => fd.as_raw_fd(),
            FdSource::Terminal => self.tty,
        }
    }

    fn set_tree(&mut self, tree: i32) -> Done {
        if self.tree >= 0 {
            close(self.tree);
        }
        self.tree = tree;
        Ok(Outcome::Next)
    }

    /// Moves sources out of the way of all targets, then each onto its target. The copies are
    /// numbered from `base` upwards in the order of the list, so no table is needed.
    fn place(&mut self, moves: &[(FdSource, i32)]) -> Done {
        const MOST: usize = 64;
        let mut copies = [0; MOST];
        if moves.len() > MOST {
            return Err(Errno(libc::E2BIG));
        }
        let highest = moves.iter().map(|(_, to)| *to).max().unwrap_or(2).max(2);
        // SAFETY: integers only, here and below.
        unsafe {
            let above = highest + 1;
            self.report = errno_of(libc::fcntl(self.report, libc::F_DUPFD_CLOEXEC, above))?;
            if self.program >= 0 {
                self.program = errno_of(libc::fcntl(self.program, libc::F_DUPFD_CLOEXEC, above))?;
            }
            for ((from, _), copy) in moves.iter().zip(copies.iter_mut()) {
                let from = self.source(*from);
                *copy = errno_of(libc::fcntl(from, libc::F_DUPFD_CLOEXEC, above))?;
            }
            for ((_, to), copy) in moves.iter().zip(copies.iter()) {
                errno_of(libc::dup2(*copy, *to))?;
            }
            // What the caller of this process left open must not reach the program.
            let cloexec = libc::CLOSE_RANGE_CLOEXEC;
            for fd in 3..above {
                if !moves.iter().any(|(_, to)| *to == fd) {
                    libc::syscall(libc::SYS_close_range, fd, fd, cloexec);
                }
            }
            done_long(libc::syscall(libc::SYS_close_range, above, u32::MAX, cloexec))
        }
    }
}

fn errno() -> Errno {
    // SAFETY: errno is this thread's own.
    Errno(unsafe { *libc::__errno_location() })
}

fn errno_of(ret: libc::c_int) -> Result<i32, Errno> {
    if ret < 0 { Err(errno()) } else { Ok(ret) }
}

fn errno_of_long(ret: libc::c_long) -> Result<i32, Errno> {
    if ret < 0 { Err(errno()) } else { Ok(ret as i32) }
}

fn done(ret: libc::c_int) -> Done {
    errno_of(ret).map(|_| Outcome::Next)
}

fn done_long(ret: libc::c_long) -> Done {
    errno_of_long(ret).map(|_| Outcome::Next)
}

fn close(fd: i32) {
    // SAFETY: only called on descriptors opened in this file, once each.
    unsafe { libc::close(fd) };
}

fn dup(fd: i32) -> Result<i32, Errno> {
    // SAFETY: integers only.
    errno_of(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) })
}

fn prctl(option: i32, value: u64) -> Done {
    // SAFETY: the options used here take integers.
    done(unsafe { libc::prctl(option, value, 0, 0, 0) })
}

fn base_name(path: &CStr) -> &CStr {
    let start = path.to_bytes().iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
    CStr::from_bytes_until_nul(path.to_bytes_with_nul().get(start..).unwrap_or_default())
        .unwrap_or(path)
}

fn open_in_root(root: i32, path: &CStr, flags: u64, mode: u64) -> Result<i32, Errno> {
    // SAFETY: all-zero is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags | libc::O_CLOEXEC as u64;
    how.mode = mode;
    how.resolve = libc::RESOLVE_IN_ROOT;
    // SAFETY: a C string, and a struct of the size passed.
    errno_of_long(unsafe {
        libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &raw const how, size_of_val(&how))
    })
}

fn write(fd: i32, data: &[u8]) -> Done {
    loop {
        // SAFETY: pointer and length agree.
        match errno_of_long(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) as _ }) {
            Err(Errno(libc::EINTR)) => {}
            Ok(n) if n as usize != data.len() => return Err(Errno(libc::EIO)),
            other => return other.map(|_| Outcome::Next),
        }
    }
}

fn await_byte(fd: i32) -> Done {
    let mut byte = 0u8;
    loop {
        // SAFETY: reads into one live byte.
        match errno_of_long(unsafe { libc::read(fd, (&raw mut byte).cast(), 1) as _ }) {
            Err(Errno(libc::EINTR)) => {}
            Ok(0) => return Err(Errno(libc::ECANCELED)),
            other => return other.map(|_| Outcome::Next),
        }
    }
}

fn limit(resource: i32, soft: u64, hard: u64) -> Done {
    let mut new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let set = |new: &libc::rlimit64| {
        let old = std::ptr::null_mut::<libc::rlimit64>();
        // SAFETY: `new` is live, old may be null.
        errno_of_long(unsafe {
            libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::from_ref(new), old)
        })
    };
    match set(&new) {
        Err(Errno(libc::EPERM)) => {}
        other => return other.map(|_| Outcome::Next),
    }
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null::<libc::rlimit64>();
    // SAFETY: `now` is live, new may be null.
    errno_of_long(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, none, &raw mut now) })?;
    new.rlim_max = new.rlim_max.min(now.rlim_max);
    new.rlim_cur = new.rlim_cur.min(new.rlim_max);
    set(&new).map(|_| Outcome::Next)
}

fn bounding_set(keep: u64) -> Done {
    for cap in 0..64u64 {
        if keep & (1 << cap) == 0 {
            match prctl(libc::PR_CAPBSET_DROP, cap) {
                // Past the last capability this kernel knows.
                Err(Errno(libc::EINVAL)) => break,
                Err(e) => return Err(e),
                Ok(_) => {}
            }
        }
    }
    Ok(Outcome::Next)
}

fn capset(effective: u64, permitted: u64, inheritable: u64) -> Done {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut data = [0u32; 6];
    for (i, set) in [effective, permitted, inheritable].iter().enumerate() {
        data[i] = *set as u32;
        data[i + 3] = (*set >> 32) as u32;
    }
    // SAFETY: version 3 takes a header of two words and two structs of three (capget(2)).
    done_long(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) })
}

fn ambient_set(set: u64) -> Done {
    // SAFETY: integers only, here and below.
    done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    for cap in (0..64u64).filter(|cap| set & (1 << cap) != 0) {
        // SAFETY: as above.
        done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, cap, 0, 0) })?;
    }
    Ok(Outcome::Next)
}

fn seccomp(program: &[libc::sock_filter]) -> Done {
    let len = u16::try_from(program.len()).map_err(|_| Errno(libc::EINVAL))?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`.
    done_long(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const prog)
    })
}

/// By raw calls: libc hides two real-time signals from its own.
fn default_signals(mask: u64) -> Done {
    // The kernel's struct sigaction: handler (SIG_DFL is 0), flags, restorer, mask.
    let default = [0u64; 4];
    let old = std::ptr::null_mut::<u64>();
    for signal in 1..=64i64 {
        // SAFETY: a live struct of the kernel's layout; KILL and STOP refuse, as they must.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, 8) };
    }
    let set = &raw const mask;
    // SAFETY: a live mask of eight bytes.
    done_long(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, old, 8) })
}

fn ignore_signals(set: u64) -> Done {
    // The kernel's struct sigaction, as above; SIG_IGN is 1.
    let ignore = [1u64, 0, 0, 0];
    let old = std::ptr::null_mut::<u64>();
    for signal in (1..=64i64).filter(|n| set & (1 << (n - 1)) != 0) {
        // SAFETY: a live struct of the kernel's layout.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, ignore.as_ptr(), old, 8) };
    }
    Ok(Outcome::Next)
}

fn execute(exec: &Exec) -> Done {
    let mut told = Errno(libc::ENOENT);
    for candidate in &exec.candidates {
        let (argv, envp) = (exec.argv.pointers.as_ptr(), exec.envp.pointers.as_ptr());
        // SAFETY: null-terminated arrays of C strings, alive in this copy of the parent.
        unsafe { libc::execve(candidate.as_ptr(), argv, envp) };
        match errno() {
            Errno(libc::ENOENT | libc::ENOTDIR) => {}
            Errno(libc::EACCES) => told = Errno(libc::EACCES),
            other => return Err(other),
        }
    }
    Err(told)
}

fn netlink(requests: &[Vec<u8>]) -> Done {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: integers only.
    let socket = errno_of(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    for request in requests {
        let mut answer = [0u8; 1024];
        let (at, len) = (request.as_ptr().cast(), request.len());
        // SAFETY: pointers and lengths agree.
        let got = unsafe {
            errno_of_long(libc::send(socket, at, len, 0) as _)?;
            errno_of_long(libc::recv(socket, answer.as_mut_ptr().cast(), answer.len(), 0) as _)?
        };
        // struct nlmsghdr (16 bytes), then struct nlmsgerr, which begins with -errno.
        match answer.get(16..20) {
            Some(&[a, b, c, d]) if got >= 20 => match i32::from_ne_bytes([a, b, c, d]) {
                0 => {}
                error => return Err(Errno(-error)),
            },
            _ => return Err(Errno(libc::EBADMSG)),
        }
    }
    close(socket);
    Ok(Outcome::Next)
}

fn move_mount(tree: i32, to: i32, path: &CStr) -> Done {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    let empty = c"".as_ptr();
    // SAFETY: C strings.
    done_long(unsafe { libc::syscall(libc::SYS_move_mount, tree, empty, to, path.as_ptr(), flags) })
}

fn open_tree(at: i32, path: &CStr, recursive: bool) -> Result<i32, Errno> {
    let recurse = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_EMPTY_PATH | recurse) as libc::c_uint;
    // SAFETY: a C string.
    errno_of_long(unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) })
}

fn mount_setattr(tree: i32, set: u64, recursive: bool) -> Done {
    // Of the ways to keep access times one holds: setting one means clearing the others.
    let times = libc::MOUNT_ATTR__ATIME;
    let attr_clr = if set & times != 0 { times } else { 0 };
    let attr = libc::mount_attr { attr_set: set, attr_clr, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (call, empty, size) = (libc::SYS_mount_setattr, c"".as_ptr(), size_of_val(&attr));
    // SAFETY: a C string, and a struct of the size passed.
    done_long(unsafe { libc::syscall(call, tree, empty, flags, &raw const attr, size) })
}

// fsopen(2) and friends; the numbers are the kernel's (linux/mount.h).
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;

fn open_fs(kind: &CStr, options: &[(CString, Option<CString>)]) -> Result<i32, Errno> {
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: C strings or null where fsconfig(2) wants null.
    unsafe {
        let fs = errno_of_long(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC))?;
        for (key, value) in options {
            let (command, value) = match value {
                Some(value) => (FSCONFIG_SET_STRING, value.as_ptr()),
                None => (FSCONFIG_SET_FLAG, none),
            };
            errno_of_long(libc::syscall(libc::SYS_fsconfig, fs, command, key.as_ptr(), value, 0))?;
        }
        let create = FSCONFIG_CMD_CREATE;
        errno_of_long(libc::syscall(libc::SYS_fsconfig, fs, create, none, none, 0))?;
        let tree = errno_of_long(libc::syscall(libc::SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0))?;
        close(fs);
        Ok(tree)
    }
}

fn make(tree: i32, entries: &[Entry]) -> Done {
    for entry in entries {
        // SAFETY: C strings.
        errno_of(unsafe {
            match entry {
                Entry::Dir { name, mode } => libc::mkdirat(tree, name.as_ptr(), *mode),
                Entry::Device { name, mode, dev } => {
                    libc::mknodat(tree, name.as_ptr(), libc::S_IFCHR | *mode, *dev as _)
                }
                Entry::Link { name, to } => libc::symlinkat(to.as_ptr(), tree, name.as_ptr()),
            }
        })?;
    }
    Ok(Outcome::Next)
}

fn mask(root: i32, target: &Target) -> Done {
    let at = target.open(root)?;
    if at < 0 {
        return Ok(Outcome::Next);
    }
    // SAFETY: all-zero is a valid stat, and fstat fills it.
    let is_dir = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        errno_of(libc::fstat(at, &raw mut stat))?;
        stat.st_mode & libc::S_IFMT == libc::S_IFDIR
    };
    let tree = if is_dir {
        let tree = open_fs(c"tmpfs", &[])?;
        mount_setattr(tree, libc::MOUNT_ATTR_RDONLY, false)?;
        tree
    } else {
        let null = open_in_root(root, c"dev/null", libc::O_PATH as u64, 0)?;
        let tree = open_tree(null, c"", false)?;
        close(null);
        tree
    };
    move_mount(tree, at, c"")?;
    close(tree);
    close(at);
    Ok(Outcome::Next)
}

/// A new terminal of the root's own devpts: (master, tty).
fn terminal(root: i32, rows: u16, columns: u16) -> Result<(i32, i32), Errno> {
    let flags = (libc::O_RDWR | libc::O_NOCTTY) as u64;
    let master = open_in_root(root, c"dev/pts/ptmx", flags, 0)?;
    let unlock: libc::c_int = 0;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctls read the live values passed, or take an integer (ioctl_tty(2)).
    let tty = unsafe {
        errno_of(libc::ioctl(master, libc::TIOCSPTLCK as _, &raw const unlock))?;
        errno_of(libc::ioctl(master, libc::TIOCSWINSZ as _, &raw const size))?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        errno_of(libc::ioctl(master, libc::TIOCGPTPEER as _, flags))?
    };
    Ok((master, tty))
}

fn bind_console(root: i32, tty: i32) -> Result<(), Errno> {
    let tree = open_tree(tty, c"", false)?;
    let flags = (libc::O_CREAT | libc::O_RDONLY) as u64;
    close(open_in_root(root, c"dev/console", flags, 0o600)?);
    let console = open_in_root(root, c"dev/console", libc::O_PATH as u64, 0)?;
    move_mount(tree, console, c"")?;
    close(tree);
    close(console);
    Ok(())
}

/// Sends one descriptor with one byte (unix(7), SCM_RIGHTS).
fn send_fd(socket: i32, fd: i32) -> Result<(), Errno> {
    let mut byte = 0u8;
    let mut control = [0u64; 3];
    let mut iov = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid msghdr; the buffers it points to outlive the call, and
    // `control` has room (and alignment) for one cmsghdr with one descriptor.
    unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
        let head = libc::CMSG_FIRSTHDR(&raw const msg);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
        libc::CMSG_DATA(head).cast::<i32>().write_unaligned(fd);
        errno_of_long(libc::sendmsg(socket, &raw const msg, libc::MSG_NOSIGNAL) as _)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_inside_and_list_their_prefixes() {
        let t = Target::new(b"/a/./b//../c", Missing::MakeDir).unwrap();
        assert_eq!(t.prefixes, [c"a".to_owned(), c"a/c".to_owned()]);
        assert_eq!(t.path(), "/a/c");
        assert_eq!(Target::new(b"/../..", Missing::Skip).unwrap().path(), "/");
        assert_eq!(base_name(c"a/b"), c"b");
    }

    #[test]
    fn a_program_without_a_slash_is_searched_for() {
        let found = Exec::search(c"sh", b"/bin::/usr/bin");
        assert_eq!(found, [c"/bin/sh".to_owned(), c"./sh".to_owned(), c"/usr/bin/sh".to_owned()]);
        assert_eq!(Exec::search(c"/x/sh", b"/bin"), [c"/x/sh".to_owned()]);
    }
}
