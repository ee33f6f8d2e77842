//! One supervised service: what it is, how it stands, what it shows.

use super::listeners::Listening;
use super::watch::Channel;
use crate::face::fifo::Supervise;
use crate::face::status::{Phase, Status};
use crate::log::LogPipe;
use crate::machine::{Machine, State, Want};
use crate::message::say_error;
use crate::probe::Probing;
use crate::service::{FinishArguments, Ready, Service};
use crate::sources::Identity;
use coracle::error::Error;
use coracle::sys::pidfd::Exit;
use coracle::types::{Pid, Signal};
use std::ffi::CString;
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

/// Where a service comes from.
pub enum Origin {
    Directory {
        dir: Rc<Path>,
        identity: Identity,
    },
    /// A table in this file.
    File(PathBuf),
}

pub struct Slot {
    pub service: Service,
    pub machine: Machine,
    /// `None` for the main service and for loggers, which come and go with their writers.
    pub origin: Option<Origin>,
    /// The turn of the event loop in which its directory was read: not twice in one.
    pub read: u32,
    pub face: Option<Supervise>,
    /// Whether the face keeps up with how it is.
    pub shown: bool,
    pub published: Option<Status>,
    /// The slot of its logger.
    pub logger: Option<u32>,
    /// What it reads, if it is a logger.
    pub pipe: Option<LogPipe>,
    /// How its run tells that it is ready.
    pub channel: Option<Box<Channel>>,
    pub probing: Option<Box<Probing>>,
    /// The last answer about its health that counts.
    pub healthy: Option<bool>,
    pub history: History,
    /// What it will be from its next start on.
    pub next: Option<Box<Service>>,
    /// The stdin of its run, where supervisor's clients may write to it.
    pub input: Option<Box<Input>>,
    /// Where it speaks into, if it is an event listener.
    pub ear: Option<Box<Listening>>,
}

/// What a run reads.
#[derive(Debug)]
pub struct Input {
    pub writer: PipeWriter,
    /// What it has not taken yet.
    pub pending: Vec<u8>,
}

/// What is only told: nothing is decided by it.
#[derive(Debug)]
pub struct History {
    /// When it came into its present state.
    pub since: Instant,
    /// How often `run` was started.
    pub starts: u32,
    /// The last wish of somebody.
    pub asked: Option<Box<Asked>>,
    /// Why it is not started again.
    pub gave_up: Option<&'static str>,
    /// When `run` was last started, and last ended: seconds since 1970, 0 if never.
    pub started_at: u64,
    pub ended_at: u64,
    /// The process of the last `run`.
    pub pid: Option<Pid>,
    /// Why its program could not be executed, in supervisor's words.
    pub spawn_error: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub by: By,
    /// As `Command::wish`.
    pub wish: &'static str,
    pub at: Instant,
}

/// Who asks something of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Whoever writes to `supervise/control`.
    Control,
    Coxctl,
    Supervisorctl,
    /// A service that requires it, or that it requires.
    Service(u32),
}

impl History {
    pub fn new() -> History {
        History {
            since: Instant::now(),
            starts: 0,
            asked: None,
            gave_up: None,
            started_at: 0,
            ended_at: 0,
            pid: None,
            spawn_error: None,
        }
    }
}

impl Slot {
    /// Its directory, if it has one.
    pub fn dir(&self) -> Option<&Path> {
        self.service.run.cwd.as_deref().filter(|_| self.face.is_some())
    }

    /// The directory of the service that it is the last logger of: whoever comes next there, be it
    /// made anew, has to wait until this one has gone.
    pub fn awaited_dir(&self) -> Option<&Path> {
        let is_last = self.pipe.is_some() && self.machine.is_forgotten();
        self.service.run.cwd.as_deref().filter(|_| is_last)?.parent()
    }

    /// What it is doing, in a word.
    pub fn state(&self) -> &'static str {
        self.machine.state.word()
    }

    /// Remembers how `run` ended.
    pub fn ended(&mut self, exit: Exit) {
        if let (Some(face), Some(dir)) = (&mut self.face, &self.service.run.cwd)
            && let Err(error) = face.ended(dir, exit)
        {
            say_error(&error);
        }
    }

    /// Writes the status file, if it would say something new.
    pub fn publish(&mut self) {
        let Some(face) = &self.face else { return };
        // The first status is there before the service starts, which may ask for it.
        if !self.shown && self.published.is_some() {
            return;
        }
        let machine = &self.machine;
        let mut status = Status {
            since: SystemTime::now(),
            pid: machine.pid,
            paused: machine.paused,
            want: match machine.want {
                Want::Up => b'u',
                Want::Down => b'd',
                Want::Once => 0,
            },
            told: machine.told,
            phase: match machine.state {
                State::Starting | State::Up | State::Stopping if machine.pid.is_some() => {
                    Phase::Run
                }
                State::Finishing => Phase::Finish,
                _ => Phase::Down,
            },
            exit: face.exit,
            ready: None,
            gave_up: machine.state == State::Failed,
        };
        // As s6 has it: one that is completely down is ready too, and one that cannot tell is not.
        let was = self.published.filter(|old| old.phase == Phase::Run);
        let was = was.is_some_and(|old| old.ready.is_some());
        let ready = match (status.phase, machine.state) {
            (Phase::Down, _) => true,
            (Phase::Run, State::Up) => self.service.ready != Ready::Started,
            (Phase::Run, State::Stopping) => self.service.ready != Ready::Started && was,
            _ => false,
        };
        status.ready = ready.then_some(status.since);
        if let Some(old) = &self.published {
            if (old.pid, old.phase) == (status.pid, status.phase) {
                status.since = old.since;
                status.ready = status.ready.map(|now| old.ready.unwrap_or(now));
            }
            if *old == status {
                return;
            }
        }
        let old = self.published.replace(status);
        match face.publish(old.as_ref(), &status) {
            // Its directory was removed: nobody is left to read it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => say_error(&Error::os("write status of", self.service.name.clone(), e)),
            Ok(()) => {}
        }
    }
}

/// How it ended, in words.
pub fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(number) => match Signal::from_number(number) {
            Some(signal) => format!("ended by {signal}"),
            None => format!("ended by signal {number}"),
        },
    }
}

/// What `finish` is called with after its name.
pub fn finish_arguments(
    family: FinishArguments,
    exit: Exit,
    group: Pid,
    name: &str,
) -> Vec<CString> {
    let none = match family {
        FinishArguments::Runit => -1,
        FinishArguments::S6 => 256,
    };
    let (code, signal) = match exit {
        Exit::Code(code) => (code, 0),
        Exit::Signal(signal) => (none, signal),
    };
    let mut arguments = vec![code.to_string(), signal.to_string()];
    if family == FinishArguments::S6 {
        arguments.extend([name.to_string(), group.to_string()]);
    }
    arguments.into_iter().filter_map(|text| CString::new(text).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finish_is_told_as_runit_and_s6_tell_it() {
        let words = |family, exit| -> Vec<String> {
            let group = Pid::from_raw(77).unwrap();
            let arguments = finish_arguments(family, exit, group, "web");
            arguments.into_iter().map(|text| text.into_string().unwrap()).collect()
        };
        assert_eq!(words(FinishArguments::Runit, Exit::Code(3)), ["3", "0"]);
        assert_eq!(words(FinishArguments::Runit, Exit::Signal(9)), ["-1", "9"]);
        assert_eq!(words(FinishArguments::S6, Exit::Code(3)), ["3", "0", "web", "77"]);
        assert_eq!(words(FinishArguments::S6, Exit::Signal(15)), ["256", "15", "web", "77"]);
    }
}
