//! What a service is: values only, filled in by a dialect, read by the machine and the hands.

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
            stop: Stop { signal: Signal::TERM, command: None, limit: None },
            reach: Reach::Leader,
            restart: RestartPolicy::default(),
            on_end: OnEnd::Ignore,
            out: LogTo::Inherit,
            err: LogTo::Inherit,
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
    /// Killed, group and all, that long after the signal; never if `None` (but see the shutdown
    /// in `supervisor`).
    pub limit: Option<Duration>,
}

/// Whom a signal for the service is sent to. The KILL at a deadline goes to the group in any case.
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
    /// The first wait in a crash loop; doubled each time.
    pub delay: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Failed for good after so many bad runs in that time.
    pub give_up: Option<(u32, Duration)>,
    /// Failed for good after an end with one of these exit codes.
    pub permanent: Vec<u8>,
}

/// As most services have it.
static USUAL_RESTART: Restart = Restart {
    when: RestartWhen::Always,
    healthy_after: Duration::from_secs(1),
    delay: Duration::from_millis(100),
    longest: Duration::from_secs(10),
    give_up: None,
    permanent: Vec::new(),
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
