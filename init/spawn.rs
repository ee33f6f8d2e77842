//! Starting programs. Signals, resource limits and (for services) descriptors are given back as
//! cox found them; what fails between clone and exec arrives later as a frame on one pipe shared
//! by all children, marked with the service and the number of the spawn.

use crate::environment;
use crate::service::{Exec, Place, ResourceLimit, Setup};
use coracle::error::{Cause, Context, Error, OsContext, Result};
use coracle::sys::child::{self, Frame, FrameKind, Plan};
use coracle::sys::fd::STDIN;
use coracle::sys::poll;
use coracle::sys::process::{self, Limit, OPEN_FILES};
use coracle::sys::signal;
use coracle::sys::step::{self, FdSource, Step, Variables};
use coracle::types::{Pid, Signal};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Where a program without a slash is looked for if PATH is not set.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file is of no format that the kernel executes (errno(3)).
const ENOEXEC: i32 = 8;

/// What cox found when it was started, and its children shall find too.
#[derive(Debug)]
pub struct Inherited {
    mask: u64,
    ignored: u64,
    open_files: Limit,
}

impl Inherited {
    /// `mask` is the signal mask that was in force. Prepares this process for supervising: it
    /// may hold as many descriptors as the hard limit allows, and its children are not reaped
    /// behind its back.
    pub fn take(mask: u64) -> Result<Inherited> {
        // It is `entry` that ignores SIGPIPE; nobody else is known to.
        let ignored = signal::ignored() & !signal::bit(Signal::PIPE);
        signal::set_default(Signal::CHLD).on("reset", "SIGCHLD")?;
        let open_files = process::limit(OPEN_FILES, None).on("get limit of", "open files")?;
        let most = Limit { soft: open_files.hard, hard: open_files.hard };
        process::limit(OPEN_FILES, Some(most)).on("raise limit of", "open files")?;
        Ok(Inherited { mask, ignored, open_files })
    }
}

/// A program's descriptors, where they are not cox's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams<'fd> {
    pub stdin: Option<BorrowedFd<'fd>>,
    pub stdout: Output<'fd>,
    pub stderr: Output<'fd>,
    /// Where it tells that it is ready, and the number it has there.
    pub notification: Option<(BorrowedFd<'fd>, i32)>,
}

impl<'fd> Streams<'fd> {
    /// Those that somebody else holds, and may close.
    fn held(&self) -> impl Iterator<Item = BorrowedFd<'fd>> {
        let fd = |output| match output {
            Output::Fd(fd) => Some(fd),
            Output::Own | Output::Null => None,
        };
        let notification = self.notification.map(|(fd, _)| fd);
        [self.stdin, fd(self.stdout), fd(self.stderr), notification].into_iter().flatten()
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub enum Output<'fd> {
    /// As cox has it.
    #[default]
    Own,
    /// /dev/null
    Null,
    Fd(BorrowedFd<'fd>),
}

/// What a child of this service and spawn could not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    pub id: u32,
    pub run: u32,
    pub step: usize,
    pub errno: i32,
}

pub struct Spawner {
    inherited: Inherited,
    reports: PipeReader,
    reporter: PipeWriter,
    /// /dev/null, where there is one.
    null: Option<File>,
    /// Our own environment, ready made: most services have just that.
    environment: Variables,
}

impl Spawner {
    pub fn new(inherited: Inherited) -> Result<Spawner> {
        let (reports, reporter) = io::pipe().on("make", "the report pipe")?;
        let null = File::options().read(true).write(true).open("/dev/null").ok();
        let environment = Variables::new(environment::given());
        Ok(Spawner { inherited, reports, reporter, null, environment })
    }

    /// Becomes readable when there are failures.
    pub fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Starts spawn number `run` of service `id`.
    pub fn spawn(&self, exec: &Exec, streams: Streams, id: u32, run: u32) -> Result<Pid> {
        let plan = self.plan(exec, streams)?;
        let tag = u64::from(id).wrapping_shl(32) | u64::from(run);
        child::spawn_plain(&plan, self.reporter.as_fd(), tag).on("start", "a process")
    }

    /// The failures that have arrived.
    pub fn failures(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        while let Ok(true) = poll::readable(self.reports.as_fd(), Some(Duration::ZERO)) {
            let mut frame = [0; Frame::LEN];
            if (&self.reports).read_exact(&mut frame).is_err() {
                break;
            }
            let frame = Frame::decode(&frame);
            if let FrameKind::Failed { step, errno } = frame.kind {
                failures.push(Failure {
                    id: frame.tag.wrapping_shr(32) as u32,
                    run: frame.tag as u32,
                    step,
                    errno,
                });
            }
        }
        failures
    }

    /// The failure of `exec` in words.
    pub fn describe(&self, exec: &Exec, failure: &Failure) -> Error {
        let source = io::Error::from_raw_os_error(failure.errno);
        // The plan of a service has the same steps each time, so it need not be kept.
        let plan = match self.plan(exec, Streams::default()) {
            Ok(plan) => plan,
            Err(error) => return error,
        };
        let program = exec.argv.first().map(|name| name.to_string_lossy().into_owned());
        match plan.steps().get(failure.step) {
            Some(Step::Exec(_)) | None => {
                let missing = source.kind() == io::ErrorKind::NotFound;
                let program = program.unwrap_or_default();
                let path = exec.cwd.as_deref().unwrap_or("".as_ref()).join(&program);
                let there = program.as_bytes().contains(&b'/') && path.exists();
                let error = Error::from(Cause::Exec { program, source });
                match failure.errno {
                    _ if missing && there => {
                        error.hint("the interpreter in its first line is missing")
                    }
                    ENOEXEC => error.hint("a script must begin with #! and an interpreter"),
                    _ => error,
                }
            }
            Some(step) => Error::os("cannot", step.describe(), source),
        }
    }

    /// The descriptor of a stream; `None` for cox's own.
    fn output<'a>(&'a self, output: Output<'a>) -> Result<Option<BorrowedFd<'a>>> {
        match output {
            Output::Own => Ok(None),
            Output::Fd(fd) => Ok(Some(fd)),
            Output::Null => match &self.null {
                Some(null) => Ok(Some(null.as_fd())),
                None => Err(Error::not_found("/dev/null: no such device")),
            },
        }
    }

    fn plan<'a>(&'a self, exec: &Exec, streams: Streams<'a>) -> Result<Plan<'a>> {
        let mut plan = Plan::new();
        match exec.place {
            Place::Session => {
                let lasting = self.null.iter().map(File::as_fd).chain([self.reporter.as_fd()]);
                let fds = lasting.chain(streams.held()).collect();
                plan.push(Step::KeepUpTo { fds, share: streams.held().next().is_none() });
                plan.push(Step::NewSession);
            }
            Place::Foreground => {
                plan.push(Step::NewProcessGroup);
                if process::is_controlling_terminal(STDIN) {
                    plan.push(Step::ForegroundGroup(STDIN));
                }
            }
        }
        plan.push(Step::ResourceLimit {
            resource: OPEN_FILES,
            soft: self.inherited.open_files.soft,
            hard: self.inherited.open_files.hard,
        });
        if let Some(cwd) = &exec.cwd {
            let cwd = CString::new(cwd.as_os_str().as_bytes());
            plan.push(Step::Chdir(cwd.map_err(nul).doing(|| "change directory".into())?));
        }
        if let Some(setup) = &exec.setup {
            set_up(&mut plan, setup);
        }
        if exec.place == Place::Session {
            // Who kills PID 1 kills everybody; elsewhere too, none is to outlive cox and meet its
            // successor's copy. After the change of identity, which forgets it.
            if std::process::id() != 1 {
                plan.push(Step::ParentDeathSignal(Signal::KILL));
            }
            let fds = [
                (streams.stdin, 0),
                (self.output(streams.stdout)?, 1),
                (self.output(streams.stderr)?, 2),
            ];
            let fds = fds.into_iter().filter_map(|(fd, to)| Some((FdSource::Fd(fd?), to)));
            let notification = streams.notification.map(|(fd, to)| (FdSource::Fd(fd), to));
            plan.push(Step::Descriptors(fds.chain(notification).collect()));
        }
        plan.push(Step::DefaultSignals {
            set: signal::bit(Signal::PIPE),
            mask: self.inherited.mask,
        });
        if self.inherited.ignored != 0 {
            plan.push(Step::IgnoreSignals(self.inherited.ignored));
        }
        let program = exec.argv.first().cloned().unwrap_or_default();
        let env = match environment::is_given(exec) {
            true => self.environment.clone(),
            false => Variables::new(environment::environment(exec)?),
        };
        let path = env.iter().find_map(|var| var.as_bytes().strip_prefix(b"PATH="));
        let candidates = step::Exec::search(&program, path.unwrap_or(DEFAULT_PATH.as_bytes()));
        plan.push(Step::Exec(step::Exec::new(candidates, exec.argv.clone(), env)));
        Ok(plan)
    }
}

/// What is given and taken before the program is executed: limits while we may still raise them,
/// capabilities over the change of identity.
fn set_up(plan: &mut Plan, setup: &Setup) {
    if let Some(mode) = setup.umask {
        plan.push(Step::Umask(mode));
    }
    for ResourceLimit { resource, soft, hard } in setup.limits.iter().copied() {
        plan.push(Step::ResourceLimit { resource, soft, hard });
    }
    if let Some(kept) = setup.capabilities {
        plan.push(Step::BoundingSet(kept));
        plan.push(Step::KeepCapabilities);
    }
    // Somebody else than root is that user already, or it would have been refused.
    if let Some(user) = setup.user.as_ref().filter(|_| process::effective_uid() == 0) {
        plan.push(Step::SetGroups(user.groups.clone()));
        plan.push(Step::SetGid(user.gid));
        plan.push(Step::SetUid(user.uid));
    }
    if let Some(kept) = setup.capabilities {
        plan.push(Step::Capabilities { effective: kept, permitted: kept, inheritable: kept });
        plan.push(Step::AmbientSet(kept));
    }
    if setup.no_new_privs {
        plan.push(Step::NoNewPrivileges);
    }
}

fn nul(_: std::ffi::NulError) -> Error {
    Error::invalid("a NUL byte in a name")
}
