//! What a service is: values only, filled in by a dialect, read by the machine and the hands.

use coracle::types::Signal;
use std::ffi::{CString, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// One supervised program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// How messages call it: `web`, `web/log`.
    pub name: String,
    pub run: Exec,
    /// Runs after each end of `run`, before the next start.
    pub finish: Option<Finish>,
    /// Whether it is started without being asked to.
    pub auto: bool,
    pub stop: Stop,
    pub reach: Reach,
    pub restart: Restart,
    pub on_end: OnEnd,
}

/// A program to execute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exec {
    pub argv: Vec<CString>,
    /// Where it starts; cox's own directory if `None`.
    pub cwd: Option<PathBuf>,
    /// Variables that are set, or without a value removed, in what cox was given.
    pub env: Vec<(OsString, Option<OsString>)>,
    pub place: Place,
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

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    pub signal: Signal,
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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    Always,
    Never,
}

/// What the end of the service means for everything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnEnd {
    /// Nothing. The rest of its process group is killed, so that no second copy can run.
    Ignore,
    /// cox stops all and exits with the service's code.
    StopContainer,
}
