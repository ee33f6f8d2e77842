//! What a service is: values only, filled in by a dialect, read by the machine and the hands.

use crate::face::listener::Types;
use coracle::types::Signal;
use std::ffi::{CString, OsString};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// One supervised program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// How messages and other services call it: `web`, `web/log`.
    pub name: String,
    pub kind: Kind,
    pub run: Exec,
    /// Runs after each end of `run`, before the next start.
    pub finish: Option<Box<Finish>>,
    pub start: Start,
    pub ready: Ready,
    /// Stopped, and started again, if it is not ready after that; waited for without end if `None`.
    pub ready_limit: Option<Duration>,
    pub health: Option<Box<Health>>,
    pub stop: Stop,
    pub reach: Reach,
    pub restart: RestartPolicy,
    pub on_end: OnEnd,
    pub out: LogTo,
    pub err: LogTo,
    /// What only supervisor's clients see of it, where it comes from supervisor's dialect.
    pub member: Option<Box<Member>>,
}

impl Service {
    /// A daemon with the defaults of cox itself: restarted whatever happens, ready at once.
    pub fn new(name: &str, run: Exec) -> Service {
        Service {
            name: name.to_string(),
            kind: Kind::Daemon,
            run,
            finish: None,
            start: Start { auto: true, ..Start::default() },
            ready: Ready::Started,
            ready_limit: None,
            health: None,
            stop: Stop::default(),
            reach: Reach::Leader,
            restart: RestartPolicy::default(),
            on_end: OnEnd::Ignore,
            out: LogTo::Inherit,
            err: LogTo::Inherit,
            member: None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Runs until it is stopped; ready as `Service::ready` says.
    Daemon,
    /// Does something and ends; ready once it has ended with code 0.
    Oneshot,
}

/// When it starts. The names are those of other services.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// Whether it is started without being asked to.
    pub auto: bool,
    /// These have their turn first, however it ends.
    pub after: Vec<String>,
    /// These are started with it, and ready before it; none of them is stopped before it.
    pub requires: Vec<String>,
}

/// A program to execute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exec {
    pub argv: Vec<CString>,
    /// Where it starts; cox's own directory if `None`.
    pub cwd: Option<Rc<Path>>,
    /// Variables that are set, or without a value removed, in what cox was given.
    pub env: Vec<(OsString, Option<OsString>)>,
    pub place: Place,
    /// What few services have.
    pub setup: Option<Box<Setup>>,
}

impl Exec {
    /// In a session of its own, in cox's directory, with what cox was given.
    pub fn new(argv: Vec<CString>) -> Exec {
        Exec { argv, cwd: None, env: Vec::new(), place: Place::Session, setup: None }
    }
}

/// The session and descriptors that a program starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A session of its own; descriptors 0 to 2 and no others.
    Session,
    /// A process group of its own, in the terminal's foreground where there is a terminal, and
    /// every descriptor that cox was given.
    Foreground,
}

/// What a program is given and what is taken from it before it is executed. The files are read
/// at each start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Setup {
    /// Files of `NAME=value` lines, before `Exec::env`.
    pub env_files: Vec<PathBuf>,
    /// Variables that come from the file that `NAME_FILE` names, if that is set.
    pub secrets: Vec<String>,
    pub user: Option<User>,
    pub umask: Option<u32>,
    pub limits: Vec<ResourceLimit>,
    /// What is kept of the capabilities (a bit each); all if `None`.
    pub capabilities: Option<u64>,
    pub no_new_privs: bool,
    /// HOME, USER and LOGNAME stay as cox was given them, whoever the user is.
    pub keeps_home: bool,
}

/// Looked up already: cox reads no user database while it supervises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// For HOME, USER and LOGNAME, where the user is in the database.
    pub home: Option<PathBuf>,
    pub name: Option<String>,
}

/// setrlimit(2); `u64::MAX` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResourceLimit {
    pub resource: i32,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finish {
    pub exec: Exec,
    pub arguments: FinishArguments,
    /// Killed after that; never if `None`.
    pub limit: Option<Duration>,
}

/// How `finish` is told what happened to `run`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FinishArguments {
    /// The exit code or -1, and the number of the signal or 0 (runsv(8)).
    Runit,
    /// The exit code or 256, the number of the signal or 0, the service's name, and the number
    /// of `run`'s process group (s6's servicedir page).
    S6,
}

/// When a service counts as ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ready {
    /// As soon as it is started.
    Started,
    /// Once it writes a newline to this descriptor (s6's servicedir page, notification-fd).
    Descriptor(i32),
    /// Once it sends READY=1 to $NOTIFY_SOCKET (sd_notify(3)).
    Notify,
    /// Once this succeeds.
    Probe(Box<Probe>),
    /// Once it has lived for `Restart::healthy_after`.
    Lasted,
}

/// A question with the answers yes and no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// Does somebody accept connections there?
    Tcp(SocketAddr),
    /// Is there such a file?
    File(PathBuf),
    /// Does this exit with 0?
    Command(Exec),
}

/// Whether a service that is ready still does its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    pub probe: Probe,
    /// From one answer, or from readiness, to the next question.
    pub interval: Duration,
    /// No answer after that is a no.
    pub timeout: Duration,
    /// So many times no in a row is unhealthy.
    pub retries: u32,
    /// Until that long after readiness, a no does not count.
    pub grace: Duration,
    pub action: OnUnhealthy,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnUnhealthy {
    /// Only shown.
    Report,
    Restart,
    /// All is stopped, and cox exits with 1.
    StopContainer,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    pub signal: Signal,
    /// Executed instead of the signal, as `run` is.
    pub command: Option<Box<Exec>>,
    /// Killed that long after the signal; never if `None` (but see the shutdown
    /// in `supervisor`).
    pub limit: Option<Duration>,
    /// Whom the signal is sent to, if not as others of the service.
    pub reach: Option<Reach>,
    /// Whom the KILL is for, at that limit and when `run` has ended.
    pub kill: Reach,
}

impl Default for Stop {
    fn default() -> Stop {
        let (signal, kill) = (Signal::TERM, Reach::Group);
        Stop { signal, command: None, limit: None, reach: None, kill }
    }
}

/// Whom a signal for the service is sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Its first process.
    Leader,
    /// The process group of that.
    Group,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restart {
    pub when: RestartWhen,
    /// A run of at least this length was a good one: its end is no crash loop.
    pub healthy_after: Duration,
    /// The first wait in a crash loop.
    pub delay: Duration,
    /// How it grows each time.
    pub growth: Growth,
    /// The longest wait.
    pub longest: Duration,
    /// Failed for good after so many bad runs in that time.
    pub give_up: Option<(u32, Duration)>,
    /// Failed for good after an end with one of these exit codes.
    pub permanent: Vec<u8>,
    /// The exit codes of a good end; 0 if `None`.
    pub expected: Option<Vec<u8>>,
    /// A run that was no good one failed to start: whatever `when` says it is started again, but
    /// failed for good after so many of these in a row. One that was a good one is not `Failed`,
    /// however it ended. `None`: starting and running are the same.
    pub retries: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// Doubled, less up to a quarter at random.
    Doubled,
    /// By the first wait.
    Linear,
}

/// As most services have it.
static USUAL_RESTART: Restart = Restart {
    when: RestartWhen::Always,
    healthy_after: Duration::from_secs(1),
    delay: Duration::from_millis(100),
    growth: Growth::Doubled,
    longest: Duration::from_secs(10),
    give_up: None,
    permanent: Vec::new(),
    expected: None,
    retries: None,
};

/// How a service is restarted; the usual way takes no room.
#[derive(Clone, Debug, Default)]
pub struct RestartPolicy(Option<Box<Restart>>);

impl Deref for RestartPolicy {
    type Target = Restart;

    fn deref(&self) -> &Restart {
        self.0.as_deref().unwrap_or(&USUAL_RESTART)
    }
}

impl DerefMut for RestartPolicy {
    fn deref_mut(&mut self) -> &mut Restart {
        self.0.get_or_insert_with(|| Box::new(USUAL_RESTART.clone()))
    }
}

impl PartialEq for RestartPolicy {
    fn eq(&self, other: &RestartPolicy) -> bool {
        **self == **other
    }
}

impl Eq for RestartPolicy {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestartWhen {
    Always,
    /// Unless it ended with code 0.
    OnFailure,
    Never,
}

/// What the end of the service for good means for everything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnEnd {
    /// Nothing.
    Ignore,
    /// cox stops all and exits with the service's code.
    StopContainer,
    /// The same, but only if it failed.
    StopIfFailed,
}

/// Where the lines of a service go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTo {
    /// cox's own descriptor of the same number, unseen by cox; or the pipe of `log/run`.
    Inherit,
    /// Where the other one goes: of stderr only.
    Stdout,
    /// cox's own descriptor of the same number, line by line.
    Container(LineFormat),
    /// cox's own stderr for stdout, and the other way round.
    Crossed(LineFormat),
    File(Box<LogFile>),
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineFormat {
    Plain,
    /// `web | line`
    Prefix,
    /// An object a line: time, service, stream, message.
    Json,
}

/// A file that is renamed when it is full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFile {
    pub path: PathBuf,
    /// Bytes; rotated before a line that would make it larger.
    pub max_size: u64,
    /// How many renamed ones are kept.
    pub keep: u32,
    pub stamp: Stamp,
}

/// The time in front of each line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamp {
    None,
    /// RFC 3339, UTC, milliseconds.
    Iso,
    /// `@` and 24 hexadecimal digits (TAI64N, cr.yp.to/libtai/tai64.html).
    Tai64n,
}

/// A process of one of supervisor's programs: what its clients see of it besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub group: Rc<str>,
    pub process: Box<str>,
    /// Groups and processes of a lower one are started first, and stopped last.
    pub group_priority: i32,
    pub priority: i32,
    /// As it was written.
    pub command: Box<str>,
    /// Where its clients reach cox.
    pub url: Option<Rc<str>>,
    /// Its stderr goes where its stdout goes.
    pub redirects: bool,
    pub out: Output,
    pub err: Output,
    /// What it wants to hear of, if it is an event listener.
    pub listener: Option<Listener>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    pub types: Types,
    /// So many events wait for it at most.
    pub buffer: usize,
}

/// What was said about one of its outputs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// Its log file; `None` where there is none, or cox chose.
    pub path: Option<PathBuf>,
    /// cox chose.
    pub auto: bool,
    /// So many bytes between two marks are an event.
    pub capture: u64,
    /// All that it writes is.
    pub events: bool,
    pub syslog: bool,
}
