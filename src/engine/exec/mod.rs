//! `exec`: another program in a running container. In the foreground its bytes pass through whoever
//! asked; with `detach` it is left to the container.
//!
//! It enters the container's namespaces by its first process's pidfd, its cgroup, and gets the
//! container's capabilities and seccomp filter. Two processes come of it:
//!
//! ```text
//! coracle exec -- one that stands between -- the program
//! ```
//!
//! The one between is in no namespace of the container's. It reaps the program at once: a pid
//! namespace ends only when all of its processes have been reaped, and must not wait for us, who
//! may be stopped (ctrl-z). It dies with us, and the program with it.
//!
//! No file of ours reaches the program, which could open it again by /proc/self/fd, and for
//! writing where we may only read: it has pipes, or a terminal of the container's.

mod check;
mod program;

pub(super) use check::Check;

use super::kill::First;
use super::privileges::{Privileges, privileges};
use super::session::{self, End, Standard};
use super::user::{self, Account};
use super::{Engine, spec};
use crate::container::{Config, Dir, Isolation, Network, Terminal};
use crate::error::{Error, OsContext, Result};
use crate::oci::CapSet;
use crate::oci::create::{self, Stdio};
use crate::oci::plan::{self, Life};
use crate::oci::seccomp::{self, Seccomp};
use crate::oci::spec::{ConsoleSize, Process};
use crate::sys::child::{Child, Plan};
use crate::sys::signal::{self, SignalFd};
use crate::sys::step::{Missing, Step};
use crate::sys::{fd, namespace, process};
use crate::types::{ContainerName, Digest, Signal};
use program::{Ends, Program};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

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
    /// Runs a program in a container until its end, or a signal's to us; with `detach` only until
    /// it is executed.
    pub fn exec(
        &self,
        name: &str,
        options: &ExecOptions,
        standard: Standard,
        signals: &SignalFd,
    ) -> Result<End> {
        self.seal()?;
        self.begin()?;
        let dir = self.find(name)?;
        let container = self.awake(&dir, name, "exec")?;
        // Nobody inside may look into us while we are half in (CVE-2019-5736).
        process::set_undumpable().on("prctl", "")?;
        let told = Told::new(self, &dir, options)?;
        told.tell("exec_create", &[]);
        let mut program = match start(self, &dir, &container, options) {
            // Whatever failed, this is why.
            Err(_) if container.has_ended() => {
                return Err(Error::conflict(format!("container {name} has ended")));
            }
            program => program?,
        };
        told.tell("exec_start", &[]);
        if options.detach {
            return program.reap().map(End::Exited);
        }
        let session = session::Options {
            stdin: options.stdin,
            tty: options.tty.is_some(),
            sig_proxy: options.tty.is_none(),
            detach_keys: None,
        };
        let end = session::run(&mut program, standard, session, signals)?;
        if let End::Exited(code) = end {
            told.tell("exec_die", &[("exitCode", &code.to_string())]);
        }
        Ok(end)
    }
}

/// What is told of a program that is added.
struct Told<'a> {
    engine: &'a Engine,
    config: Rc<Config>,
    name: ContainerName,
    command: String,
    id: String,
}

impl Told<'_> {
    fn new<'a>(engine: &'a Engine, dir: &Dir, options: &ExecOptions) -> Result<Told<'a>> {
        let random = crate::sys::random::bytes().on("read", "random bytes")?;
        let id = Digest::from_bytes(random).hex();
        let (config, name) = (dir.config()?, dir.settings()?.name);
        Ok(Told { engine, config, name, command: options.command.join(" "), id })
    }

    fn tell(&self, verb: &str, more: &[(&str, &str)]) {
        let action = match verb {
            "exec_die" => verb.to_string(),
            _ => format!("{verb}: {}", self.command),
        };
        let more = [&[("execID", &self.id[..])], more].concat();
        self.engine.tell_of_this(&self.config, &self.name, &action, &more);
    }
}

fn start(engine: &Engine, dir: &Dir, container: &First, options: &ExecOptions) -> Result<Program> {
    let config = dir.config()?;
    let links = engine.link_variables(dir)?;
    let isolation = match options.privileged {
        true => Isolation { privileged: true, ..config.isolation.clone() },
        false => config.isolation.clone(),
    };
    let Privileges { capabilities: caps, seccomp, .. } = privileges(&isolation)?;
    let account = account_of(container, &config, options.user.as_ref())?;
    let process = process_of(&config, account, &links, options, caps)?;
    let ends = Ends::open(options, process.user.uid)?;
    let name = options.command.first().map(String::as_str).unwrap_or_default();
    let started = Request {
        engine,
        dir,
        container: container.fd.as_fd(),
        config: &config,
        process: &process,
        seccomp: seccomp.as_ref(),
        stdio: ends.inside(),
        makes_dir: options.working_dir.is_some(),
        is_left: options.detach,
    }
    .start()?;
    let Started { child, report, steps, from_between, from_inside } = started;
    let terminal = match ends.terminal() {
        Some(_) => fd::receive_fd(from_inside.as_fd()).on("receive", "the terminal")?,
        None => None,
    };
    let pidfd = fd::receive_fd(from_between.as_fd()).on("receive", "the program's pidfd")?;
    let outcome = create::outcome(report.as_fd(), &steps, name);
    let program = Program::new(child.pidfd, pidfd, ends, terminal)?;
    if let Err(error) = outcome {
        program.reap()?;
        return Err(error);
    }
    Ok(program)
}

/// A program to be executed in a container.
struct Request<'a> {
    engine: &'a Engine,
    dir: &'a Dir,
    /// Its first process.
    container: BorrowedFd<'a>,
    config: &'a Config,
    process: &'a Process,
    seccomp: Option<&'a Seccomp>,
    stdio: Stdio<'a>,
    /// Its working directory is made where it is missing.
    makes_dir: bool,
    /// Left to the container.
    is_left: bool,
}

/// A program on its way. Nothing was waited for.
struct Started {
    /// The one between, which ends with the program's exit code.
    child: Child,
    /// What is told of the way, and of what the steps were.
    report: OwnedFd,
    steps: Vec<String>,
    /// The program's pidfd and its terminal come by these.
    from_between: OwnedFd,
    from_inside: OwnedFd,
}

impl Request<'_> {
    fn start(self) -> Result<Started> {
        let Request { process, container, .. } = self;
        let filter = self.seccomp.map(seccomp::compile).transpose()?;
        let cgroup = self.engine.cgroups()?.open(&spec::cgroup_path(self.dir))?.join_files()?;
        let (from_between, between) = fd::socket_pair().on("socketpair", "")?;
        let (from_inside, inside) = fd::socket_pair().on("socketpair", "")?;

        let mut plan = Plan::new();
        plan.push(Step::ParentDeathSignal(Signal::KILL));
        plan.push(Step::NewSession);
        plan.push(Step::DefaultSignals { set: signal::ALL, mask: signal::ALL });
        plan.push(Step::SetNamespace { fd: container, kinds: namespace::PID });
        plan.push(Step::StandBetween(between.as_fd()));
        plan.push(Step::NewSession);
        plan.push(Step::DefaultSignals { set: signal::ALL, mask: 0 });
        plan::own_nothing_of_the_caller(&mut plan, process);
        plan::join_cgroup(&mut plan, &cgroup);
        let mut kinds = namespace::MOUNT | namespace::UTS | namespace::IPC | namespace::CGROUP;
        if self.config.network != Network::Host {
            kinds |= namespace::NETWORK;
        }
        plan.push(Step::SetNamespace { fd: container, kinds });
        plan.push(Step::OpenRoot);
        if let (Stdio::Terminal, Some(ConsoleSize { height, width })) =
            (self.stdio, process.console_size)
        {
            let socket = inside.as_fd();
            plan.push(Step::Terminal { socket, rows: height, columns: width, console: false });
        }
        if self.makes_dir {
            plan.push(Step::MakeDirs(plan::target(&process.cwd, Missing::MakeDir)?));
        }
        if self.is_left {
            plan.push(Step::LeaveParent);
        }
        let life = if self.is_left { Life::Own } else { Life::WithParent };
        plan::run_process(&mut plan, process, filter, self.stdio, life)?;
        let (child, report) = create::clone(&plan, 0)?;
        let steps = create::describe(&plan);
        Ok(Started { child, report, steps, from_between, from_inside })
    }
}

/// Who a program that is added runs as; `user` in place of the container's own.
pub(super) fn account_of(
    container: &First,
    config: &Config,
    user: Option<&String>,
) -> Result<Account> {
    let text = user.unwrap_or(&config.user);
    let root = format!("/proc/{}/root", container.pid);
    let root = File::open(&root).on("open", &root)?;
    if container.has_ended() {
        // Then the number may be another's already.
        return Err(Error::conflict("the container has ended"));
    }
    let read = |path: &str| create::read_in_root(root.as_fd(), path);
    user::look_up(config, text, &read("etc/passwd"), &read("etc/group"))
        .map_err(|e| if user.is_some() { e.doing("--user") } else { e })
}

fn process_of(
    config: &Config,
    account: Account,
    links: &[String],
    options: &ExecOptions,
    caps: CapSet,
) -> Result<Process> {
    let config_here = Config { tty: options.tty, ..config.clone() };
    let mut env = spec::environment(&config_here, &account.home, links);
    for var in &options.env {
        let key = var.split('=').next().unwrap_or_default();
        env.retain(|e| e.split('=').next() != Some(key));
        env.push(var.clone());
    }
    let cwd = options.working_dir.clone().unwrap_or_else(|| config.working_dir.clone());
    Ok(Process {
        args: options.command.clone(),
        env,
        cwd,
        ..spec::process(account.user, options.tty, caps, &config.isolation)
    })
}
