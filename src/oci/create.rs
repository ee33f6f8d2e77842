//! Creating and starting a container from its spec, as the runtime spec's lifecycle has it:
//! `create` leaves the child set up and waiting at the gate; `start` opens the gate and returns
//! when the program has been executed, or says why not.

use super::bind::Bind;
use super::cgroup::{Cgroup, Cgroups, Resources};
use super::plan::{self, Inputs};
use super::spec::{Mount, NamespaceKind, Spec};
use crate::error::{Cause, Error, OsContext, Result};
use crate::sys::child::{self, Child, Frame, FrameKind, Plan};
use crate::sys::fs::{self, Open};
use crate::sys::step::Step;
use crate::sys::{fd, mount, namespace, pidfd, poll, userns};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Where the program's standard descriptors lead.
#[derive(Clone, Copy)]
pub enum Stdio<'a> {
    Files([BorrowedFd<'a>; 3]),
    /// A new terminal of the container's own; `Running::terminal` is its master.
    Terminal,
}

pub struct Create<'a> {
    pub spec: &'a Spec,
    pub cgroups: &'a Cgroups,
    pub stdio: Stdio<'a>,
    /// rtnetlink requests that the child sends in its network namespace, once the gate is open.
    pub network: Vec<Vec<u8>>,
    /// A process whose /dev/shm the container shares.
    pub shared_memory: Option<BorrowedFd<'a>>,
    /// An init stays in the place of the program, which is its child.
    pub init: bool,
}

/// A root that is mounted nowhere yet.
pub struct Root(OwnedFd);

impl Root {
    /// Mounts the root a spec asks for: its first mount where that is one on `/`, else the
    /// directory `root.path`.
    pub fn mount(spec: &Spec) -> Result<Root> {
        match spec.mounts.first().filter(|m| m.destination == "/") {
            Some(first) => Root::of_mount(first),
            None => {
                let path = CString::new(spec.root.path.as_str()).unwrap_or_default();
                Ok(Root(mount::clone_tree(&path).on("mount", &spec.root.path)?))
            }
        }
    }

    /// Mounts a directory (`bind`), or an overlay, from its options in the words of mount(8):
    /// `lowerdir` top first, `upperdir` and `workdir`, `volatile`.
    pub fn of_mount(overlay: &Mount) -> Result<Root> {
        if overlay.kind == "bind" {
            let path = CString::new(overlay.source.as_str()).unwrap_or_default();
            return Ok(Root(mount::root_of(&path).on("mount", &overlay.source)?));
        }
        let value =
            |key: &str| overlay.options.iter().find_map(|o| o.strip_prefix(key)?.strip_prefix('='));
        let lower: Vec<&Path> =
            value("lowerdir").unwrap_or_default().split(':').rev().map(Path::new).collect();
        let upper = value("upperdir").map(Path::new).zip(value("workdir").map(Path::new));
        let volatile = overlay.options.iter().any(|o| o == "volatile");
        if let Some((_, work)) = upper.filter(|_| volatile) {
            // The mark of an earlier mount, for which the kernel refuses another: after a loss of
            // power the layer could be torn. Whoever asks for `volatile` again has seen to that.
            let mark = work.join("work/incompat");
            fs::remove_tree(&mark).on("remove", &mark)?;
        }
        let tree = mount::Overlay { lower: &lower, upper, volatile }.mount().map_err(|e| {
            let error = Error::os("mount the container's overlay", "", e);
            match error.errno() {
                Some(19) => error.hint("the kernel has no overlayfs: modprobe overlay"),
                _ => error,
            }
        })?;
        Ok(Root(tree))
    }

    /// As `read_in_root`.
    pub fn read(&self, path: &str) -> String {
        read_in_root(self.0.as_fd(), path)
    }
}

/// A file below `root` as text, whatever links lead to it inside; empty where there is none, or
/// where it is not a file. At most a megabyte is read.
pub fn read_in_root(root: BorrowedFd, path: &str) -> String {
    const MOST: u64 = 1 << 20;
    let mut text = Vec::new();
    let file = fs::open_in_root(root, path.as_bytes(), Open::ReadThrough).map(fs::file);
    if let Ok(file) = file
        && file.metadata().is_ok_and(|m| m.is_file())
    {
        // A file that cannot be read has no users.
        let _ = file.take(MOST).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A container whose first process waits at the gate. Dropped, the process gives up and ends, and
/// the cgroup goes with it.
#[must_use]
pub struct Created {
    pub child: Child,
    pub cgroup: Option<Cgroup>,
    gate: OwnedFd,
    report: OwnedFd,
    has_terminal: bool,
    steps: Vec<String>,
    program: String,
}

pub struct Running {
    pub child: Child,
    pub cgroup: Option<Cgroup>,
    /// The master of the container's terminal.
    pub terminal: Option<OwnedFd>,
}

pub fn create(create: Create, root: &Root) -> Result<Created> {
    let Create { spec, cgroups, .. } = create;
    let cgroup = match spec.linux.cgroups_path.as_str() {
        "" => None,
        path => {
            let none = Resources::default();
            Some(cgroups.create(path, spec.linux.resources.as_ref().unwrap_or(&none))?)
        }
    };
    let mut cgroup = CgroupGuard(cgroup);
    let join = match &cgroup.0 {
        Some(cgroup) => cgroup.join_files()?,
        None => Vec::new(),
    };
    let (gate, child_gate) = fd::socket_pair().on("socketpair", "")?;
    let binds = Bind::all(&spec.mounts)?;
    let devices = plan::host_devices(spec)?;
    let joined = spec.linux.namespaces.iter().filter_map(|n| Some((n.kind, n.path.as_ref()?)));
    let open = |path: &String| File::open(path).map(OwnedFd::from).on("open", path);
    let namespaces = joined.map(|(kind, path)| open(path).map(|fd| (kind, fd)));
    let mut namespaces = namespaces.collect::<Result<Vec<_>>>()?;
    let processes = namespaces.iter().position(|(kind, _)| *kind == NamespaceKind::Pid);
    let processes = processes.map(|at| namespaces.swap_remove(at));
    let inputs = Inputs {
        root: root.as_fd(),
        binds: &binds,
        devices: &devices,
        gate: child_gate.as_fd(),
        parent_gate: gate.as_fd(),
        cgroup: &join,
        cgroup_views: &cgroups.views(),
        stdio: create.stdio,
        namespaces: &namespaces,
        network: create.network,
        shared_memory: create.shared_memory,
        init: create.init,
    };
    let plan = plan::build(spec, &inputs)?;
    let flags = plan::clone_flags(&spec.linux.namespaces);
    let (child, report) = match &processes {
        None => clone(&plan, flags)?,
        Some((_, theirs)) => namespace::with_children_in(theirs.as_fd(), || clone(&plan, flags))
            .on("join", "the pid namespace")??,
    };
    let steps = describe(&plan);
    drop(plan);
    Ok(Created {
        child,
        cgroup: cgroup.0.take(),
        gate,
        report,
        has_terminal: matches!(create.stdio, Stdio::Terminal),
        steps,
        program: spec.process.args.first().cloned().unwrap_or_default(),
    })
}

/// Removes a cgroup that no container came to live in.
struct CgroupGuard(Option<Cgroup>);

impl Drop for CgroupGuard {
    fn drop(&mut self) {
        if let Some(cgroup) = self.0.take() {
            // On the way out of a failed create, whose error is the one to tell.
            let _ = cgroup.remove();
        }
    }
}

impl Created {
    /// Opens the gate and waits until the program is executed.
    ///
    /// On error the child is gone and reaped, and its cgroup removed.
    pub fn start(mut self) -> Result<Running> {
        let terminal = match self.has_terminal {
            true => fd::receive_fd(self.gate.as_fd()).on("receive", "the terminal")?,
            false => None,
        };
        // A child that failed before the gate is not there to read; its frame tells.
        let opened = fd::send(self.gate.as_fd(), b"g");
        match outcome(self.report.as_fd(), &self.steps, &self.program) {
            Ok(()) => {
                opened.on("start", "the container's first process")?;
                Ok(Running { child: self.child, cgroup: self.cgroup.take(), terminal })
            }
            Err(error) => {
                drop(self.gate);
                // It reported and is on its way out, or is dead already.
                let _ = pidfd::wait(self.child.pidfd.as_fd());
                drop(CgroupGuard(self.cgroup.take()));
                Err(error)
            }
        }
    }

    /// Gives up because of `error`: the child ends, and its cgroup goes. Where the child had failed
    /// by then, `error` only follows from that, and what the child reported is returned.
    pub fn abandon(mut self, error: Error) -> Error {
        let report = self.report.as_fd();
        let has_failed = poll::readable(report, Some(Duration::ZERO)).unwrap_or(false);
        drop(self.gate);
        let reported = outcome(report, &self.steps, &self.program).err().filter(|_| has_failed);
        let _ = pidfd::wait(self.child.pidfd.as_fd());
        drop(CgroupGuard(self.cgroup.take()));
        reported.unwrap_or(error)
    }
}

/// Clones a child that walks `plan`: (child, the pipe of its frames).
pub fn clone(plan: &Plan, flags: i32) -> Result<(Child, OwnedFd)> {
    let (report, child_report) = fd::pipe().on("pipe", "")?;
    let child = child::spawn(plan, flags, child_report.as_fd(), 0).map_err(|e| {
        let error = Error::os("clone3", "", e);
        match error.errno() {
            Some(1) => error.hint("containers need root (CAP_SYS_ADMIN)"),
            _ => error,
        }
    })?;
    Ok((child, report))
}

pub fn describe(plan: &Plan) -> Vec<String> {
    plan.steps().iter().map(Step::describe).collect()
}

/// Reads a child's frames to their end. `Ok` where the program is being executed.
pub fn outcome(report: BorrowedFd, steps: &[String], program: &str) -> Result<()> {
    let mut ready = false;
    let mut frame = [0; Frame::LEN];
    loop {
        match fd::read(report, &mut frame) {
            Ok(Frame::LEN) => match Frame::decode(&frame).kind {
                FrameKind::Ready => ready = true,
                FrameKind::Failed { step, errno } => {
                    let source = io::Error::from_raw_os_error(errno);
                    if step + 1 == steps.len() {
                        return Err(Error::from(Cause::Exec {
                            program: program.to_string(),
                            source,
                        }));
                    }
                    let attempt = steps.get(step).cloned().unwrap_or_default();
                    let is_workdir = attempt.starts_with("change directory");
                    let error = Error::os("cannot", attempt, source);
                    return Err(match errno {
                        1 => error.hint("containers need root (CAP_SYS_ADMIN)"),
                        22 if !userns::is_initial() => error.hint(userns::MORE_IDS),
                        20 if is_workdir => error.hint("choose a directory with --workdir"),
                        20 | 21 => error.hint("mount directories on directories, files on files"),
                        _ => error,
                    });
                }
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) if ready => return Ok(()),
            Ok(_) => {
                return Err(Error::conflict(
                    "the container's first process died while it was set up",
                ));
            }
            Err(e) => return Err(Error::os("read", "the child's report", e)),
        }
    }
}
