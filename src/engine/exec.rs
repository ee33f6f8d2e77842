//! `exec`: another program in a running container. In the foreground it is a child of whoever
//! asked; with `detach` it is left to the container.
//!
//! It enters the container's namespaces by its first process's pidfd, its cgroup, and gets the
//! container's capabilities and seccomp filter.

use super::session::{self, Direct, End, Standard};
use super::{Engine, spec, user};
use crate::container::{Config, Dir, Network, Terminal};
use crate::error::{OsContext, Result};
use crate::oci::create::{self, Stdio};
use crate::oci::spec::{Capabilities, Process};
use crate::oci::{CapSet, plan, seccomp};
use crate::sys::child::Plan;
use crate::sys::signal::SignalFd;
use crate::sys::step::{Missing, Step};
use crate::sys::{fd, namespace, pidfd, poll, process};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Clone, Debug)]
pub struct ExecOptions {
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: Option<String>,
    pub user: Option<String>,
    pub tty: Option<Terminal>,
    pub stdin: bool,
    pub detach: bool,
    pub privileged: bool,
}

impl Engine {
    /// Runs a program in a container and gives its exit code; 0 at once with `detach`.
    pub fn exec(
        &self,
        name: &str,
        options: &ExecOptions,
        standard: Standard,
        signals: &SignalFd,
    ) -> Result<i32> {
        self.seal()?;
        self.begin()?;
        let dir = self.find(name)?;
        let config = dir.config()?;
        let container = self.process(&dir, name)?;
        // Nobody inside may look into us while we are half in (CVE-2019-5736).
        process::set_undumpable().on("prctl", "")?;
        let spec = process_of(&dir, &config, options)?;
        let filter = match options.privileged || config.privileged {
            true => None,
            false => Some(seccomp::compile(&seccomp::default_profile(CapSet::DEFAULT.0))?),
        };
        let cgroup = self.cgroups()?.open(&spec::cgroup_path(&dir))?.join_files()?;
        let null = File::options().read(true).write(true).open("/dev/null");
        let null: OwnedFd = null.on("open", "/dev/null")?.into();
        let (ours, theirs) = fd::socket_pair().on("socketpair", "")?;
        let none = null.as_fd();
        let stdio = match (options.tty, options.detach) {
            (_, true) => Stdio::Files([none; 3]),
            (Some(_), _) => Stdio::Terminal,
            (None, _) => {
                let stdin = if options.stdin { standard.input } else { none };
                Stdio::Files([stdin, standard.output, standard.error])
            }
        };
        let mut plan = Plan::new();
        plan.push(Step::NewSession);
        plan.push(Step::DefaultSignals { mask: 0 });
        plan::join_cgroup(&mut plan, &cgroup);
        let mut kinds = namespace::MOUNT | namespace::UTS | namespace::IPC | namespace::CGROUP;
        if config.network != Network::Host {
            kinds |= namespace::NETWORK;
        }
        plan.push(Step::SetNamespace { fd: container.as_fd(), kinds });
        plan.push(Step::OpenRoot);
        if let (Stdio::Terminal, Some(tty)) = (&stdio, options.tty) {
            plan.push(Step::Terminal {
                socket: theirs.as_fd(),
                rows: tty.rows,
                columns: tty.columns,
                console: false,
            });
        }
        if options.working_dir.is_some() {
            plan.push(Step::MakeDirs(plan::target(&spec.cwd, Missing::MakeDir)?));
        }
        if options.detach {
            plan.push(Step::LeaveParent);
        }
        plan::run_process(&mut plan, &spec, filter, stdio, !options.detach)?;
        // Our children from here on are born in the container's pid namespace.
        namespace::join(container.as_fd(), namespace::PID).on("join", "the pid namespace")?;
        let (child, report) = create::clone(&plan, 0)?;
        let steps = create::describe(&plan);
        drop(plan);
        drop(theirs);
        let master = match stdio {
            Stdio::Terminal => fd::receive_fd(ours.as_fd()).on("receive", "the terminal")?,
            Stdio::Files(_) => None,
        };
        let program = options.command.first().map(String::as_str).unwrap_or_default();
        if let Err(error) = create::outcome(report.as_fd(), &steps, program) {
            let _ = pidfd::wait(child.pidfd.as_fd());
            return Err(error);
        }
        if options.detach {
            pidfd::wait(child.pidfd.as_fd()).on("wait for", "the program's parent")?;
            return Ok(0);
        }
        match master {
            Some(master) => {
                let mut peer = Direct { master, process: child.pidfd };
                let session =
                    session::Options { stdin: options.stdin, tty: true, detach_keys: None };
                match session::run(&mut peer, standard, session, signals)? {
                    End::Exited(code) => Ok(code),
                    End::Detached => Ok(0),
                }
            }
            None => stand_by(child.pidfd.as_fd(), signals),
        }
    }
}

/// Forwards signals to a child until it ends.
fn stand_by(child: BorrowedFd, signals: &SignalFd) -> Result<i32> {
    loop {
        let ready = poll::all_readable(&[child, signals.as_fd()]).on("poll", "")?;
        while let Some(received) = signals.read().on("read", "a signal")? {
            // A process that is gone needs none.
            let _ = pidfd::send_signal(child, received.signal);
        }
        if ready.first() == Some(&true) {
            return Ok(pidfd::wait(child).on("wait for", "the program")?.code());
        }
    }
}

fn process_of(dir: &Dir, config: &Config, options: &ExecOptions) -> Result<Process> {
    let text = options.user.as_ref().unwrap_or(&config.user);
    let pid = dir.state()?.process.map(|process| process.pid);
    let root = pid.map(|pid| format!("/proc/{pid}/root")).unwrap_or_default();
    let root = File::open(&root).on("open", &root)?;
    let read = |path: &str| create::read_in_root(root.as_fd(), path);
    let account = user::look_up(text, &read("etc/passwd"), &read("etc/group"))?;
    let mut env = spec::environment(&Config { tty: options.tty, ..config.clone() }, &account.home);
    for var in &options.env {
        let key = var.split('=').next().unwrap_or_default();
        env.retain(|e| e.split('=').next() != Some(key));
        env.push(var.clone());
    }
    let caps = match options.privileged || config.privileged {
        true => CapSet::ALL,
        false => CapSet::DEFAULT,
    };
    Ok(Process {
        terminal: options.tty.is_some(),
        console_size: None,
        user: account.user,
        args: options.command.clone(),
        env,
        cwd: options.working_dir.clone().unwrap_or_else(|| config.working_dir.clone()),
        capabilities: Some(Capabilities {
            bounding: caps,
            effective: caps,
            permitted: caps,
            inheritable: CapSet(0),
            ambient: CapSet(0),
        }),
        rlimits: Vec::new(),
        no_new_privileges: false,
        oom_score_adj: None,
    })
}
