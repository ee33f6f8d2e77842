//! Supervisor's programs: the sockets of its interface, what is configured and does not run, who
//! waits for an answer.

use super::Supervisor;
use super::listeners::Pools;
use super::main_log::MainLog;
use super::rpc::Job;
use super::slot::Slot;
use crate::dialect::supervisord::{self, Config, Settings};
use crate::event_loop::{Source, Timer, Wake};
use crate::face::web::Web;
use crate::log::{Channel, FileLog};
use crate::machine::State;
use crate::message::say_error;
use crate::service::{Exec, Member, Output, Service};
use crate::sorted::{Map, Set};
use coracle::error::{Error, Result};
use coracle::sys::pidfd::Exit;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A configuration of supervisor's, and what counts more than what it says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Instead {
    pub path: PathBuf,
    pub identifier: Option<String>,
    pub pidfile: Option<PathBuf>,
    pub user: Option<String>,
}

/// What supervisor's configuration and its clients have to do with.
#[derive(Default)]
pub struct Programs {
    /// The configuration; `None` where there is no such thing.
    pub path: Option<PathBuf>,
    pub settings: Settings,
    pub web: Web,
    /// Who waits for what, by the numbers of their connections. They are few.
    pub jobs: Vec<(u32, Job)>,
    /// A state has changed since they were last looked at.
    pub changed: bool,
    /// Groups that are configured, but do not run, or not so.
    pub shelf: Map<String, Vec<Service>>,
    /// Groups that run, but are configured no longer.
    pub dropped: Set<String>,
    /// After the stop, all is to begin anew.
    pub again: bool,
    pub log: MainLog,
    pub pools: Pools,
}

/// Reads a configuration, and says what is odd about it.
pub fn read(instead: &Instead) -> Result<Config> {
    let mut config = supervisord::read(&instead.path, instead.user.as_deref())?;
    if let Some(identifier) = &instead.identifier {
        config.settings.identifier = identifier.clone();
    }
    if let Some(pidfile) = &instead.pidfile {
        config.settings.pidfile = Some(pidfile.clone());
    }
    config.warnings.iter().for_each(say_error);
    config.problems.iter().for_each(say_error);
    Ok(config)
}

impl Supervisor {
    /// Takes over the programs of a configuration.
    pub(super) fn take_programs(&mut self, path: PathBuf, config: Config) {
        self.programs.web.open(&config.servers, &self.event_loop);
        if let Some(pidfile) = &config.settings.pidfile
            && let Err(e) = fs::write(pidfile, format!("{}\n", std::process::id()))
        {
            say_error(&Error::os("write", pidfile.display().to_string(), e));
        }
        self.programs.log.file = config.settings.logfile.clone().map(FileLog::new);
        let text = format!("supervisord started with pid {}", std::process::id());
        self.programs.log.note("INFO", &text);
        self.programs.settings = config.settings;
        for service in config.services {
            self.add(service, Some(super::slot::Origin::File(path.clone())), None, None);
        }
        self.programs.path = Some(path);
        self.know_pools();
        let groups = self.active_groups();
        groups.keys().for_each(|group| self.publish_group("PROCESS_GROUP_ADDED", group));
        self.publish("SUPERVISOR_STATE_CHANGE_RUNNING", Vec::new);
    }

    /// Removes what was made for programs.
    pub(super) fn leave_programs(&mut self) {
        if let Some(pidfile) = &self.programs.settings.pidfile {
            // Whoever removed it has done that.
            let _ = fs::remove_file(pidfile);
        }
    }

    /// Something happened to a socket of the interface, or to a connection.
    pub(super) fn take_web(&mut self, wake: Wake) {
        let now = Instant::now();
        let (web, events) = (&mut self.programs.web, &mut self.event_loop);
        match wake {
            Wake::Io(Source::Door(_)) => web.accept(events, now),
            Wake::Io(Source::Client(n)) => {
                let heard = web.attend(n, events, now);
                self.serve_web(n, heard);
            }
            Wake::Due(Timer::Client(n)) if web.due(n, events, now) => self.forget_client(n),
            _ => {}
        }
    }

    /// Stops all, and begins anew with what the configuration then says.
    pub(super) fn begin_again(&mut self, why: &str) -> Result<()> {
        if let Some(instead) = &self.options.programs {
            supervisord::read(&instead.path, None)?;
        }
        if self.shutdown.is_none() {
            self.programs.again = true;
            self.ask_to_stop(why);
        }
        Ok(())
    }

    /// Reads the configuration again: the names of groups that are new, that have changed, and
    /// that are gone.
    pub(super) fn reread(&mut self) -> Result<[Vec<String>; 3]> {
        let Some(instead) = &self.options.programs else { return Ok(Default::default()) };
        let config = supervisord::read(&instead.path, instead.user.as_deref())?;
        Error::collect(config.problems)?;
        config.warnings.iter().for_each(say_error);
        let mut groups: Vec<(String, Vec<Service>)> = Vec::new();
        for service in config.services {
            let group = group_of(&service).unwrap_or_default();
            match groups.last_mut() {
                Some((last, services)) if *last == group => services.push(service),
                _ => groups.push((group, vec![service])),
            }
        }
        let mut active = self.active_groups();
        self.programs.shelf = Map::new();
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for (group, services) in groups {
            let present = active.remove(&group);
            let same = |ids: &Vec<u32>| {
                let present = ids.iter().filter_map(|id| self.slots.get(id));
                let present: Vec<&Service> = present.map(|slot| &slot.service).collect();
                present.len() == services.len() && present.into_iter().eq(services.iter())
            };
            match present {
                Some(ids) if same(&ids) => continue,
                Some(_) => changed.push(group.clone()),
                None => added.push(group.clone()),
            }
            self.programs.shelf.insert(group, services);
        }
        let removed: Vec<String> = active.keys().cloned().collect();
        self.programs.dropped = Set::new();
        self.programs.dropped.extend(removed.iter().cloned());
        Ok([added, changed, removed])
    }

    /// The groups that there are, each with its services in order.
    pub(super) fn active_groups(&self) -> Map<String, Vec<u32>> {
        let mut groups: Map<String, Vec<u32>> = Map::new();
        for (id, slot) in self.slots.iter().filter(|(_, slot)| !slot.machine.is_forgotten()) {
            if let Some(group) = group_of(&slot.service) {
                groups.push(group, *id);
            }
        }
        groups
    }
}

fn group_of(service: &Service) -> Option<String> {
    service.member.as_ref().map(|member| member.group.to_string())
}

/// What a process of a program is told about itself.
pub fn introduce(member: &Member, exec: &Exec) -> Exec {
    let mut exec = exec.clone();
    // What is configured counts more.
    let mut tell = |name: &str, value: &str| {
        if !exec.env.iter().any(|(known, _)| known == name) {
            exec.env.push((name.into(), Some(value.into())));
        }
    };
    tell("SUPERVISOR_ENABLED", "1");
    tell("SUPERVISOR_PROCESS_NAME", &member.process);
    tell("SUPERVISOR_GROUP_NAME", &member.group);
    if let Some(url) = &member.url {
        tell("SUPERVISOR_SERVER_URL", url);
    }
    exec
}

/// How a process stands, in supervisor's number and word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Stopped = 0,
    Starting = 10,
    Running = 20,
    Backoff = 30,
    Stopping = 40,
    Exited = 100,
    Fatal = 200,
    Unknown = 1000,
}

impl Standing {
    pub fn of(state: State) -> Standing {
        match state {
            State::Down | State::Blocked => Standing::Stopped,
            State::Starting => Standing::Starting,
            State::Up => Standing::Running,
            State::Stopping | State::Finishing => Standing::Stopping,
            State::Backoff => Standing::Backoff,
            State::Done => Standing::Exited,
            State::Failed => Standing::Fatal,
            State::Gone => Standing::Unknown,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Standing::Stopped => "STOPPED",
            Standing::Starting => "STARTING",
            Standing::Running => "RUNNING",
            Standing::Backoff => "BACKOFF",
            Standing::Stopping => "STOPPING",
            Standing::Exited => "EXITED",
            Standing::Fatal => "FATAL",
            Standing::Unknown => "UNKNOWN",
        }
    }

    /// It runs, or is about to.
    pub fn is_running(self) -> bool {
        matches!(self, Standing::Starting | Standing::Running | Standing::Backoff)
    }

    pub fn is_stopped(self) -> bool {
        matches!(self, Standing::Stopped | Standing::Exited | Standing::Fatal | Standing::Unknown)
    }

    pub fn has_process(self) -> bool {
        matches!(self, Standing::Starting | Standing::Running | Standing::Stopping)
    }
}

impl Slot {
    /// What was said about one of its outputs.
    pub fn output(&self, channel: Channel) -> Option<&Output> {
        let member = self.service.member.as_deref()?;
        Some(match channel {
            Channel::Out => &member.out,
            Channel::Err => &member.err,
        })
    }

    pub fn standing(&self) -> Standing {
        Standing::of(self.machine.state)
    }

    /// Remembers why the program of a process could not be executed.
    pub fn note_exec_failure(&mut self, error: &std::io::Error) {
        if self.service.member.is_some() {
            let program = self.service.run.argv.first();
            let program = program.map(|name| name.to_string_lossy().into_owned());
            let program = program.unwrap_or_default();
            let text = exec_error(&program, Path::new(&program), error);
            self.history.spawn_error = Some(text.into());
        }
    }

    /// Its exit code, as supervisor has it: -1 after a signal, 0 while there is none.
    pub fn exit_status(&self) -> i32 {
        match (self.standing(), self.machine.last) {
            (Standing::Stopped | Standing::Exited, Some(Exit::Code(code))) => code,
            (Standing::Stopped | Standing::Exited, Some(Exit::Signal(_))) => -1,
            _ => 0,
        }
    }

    /// Whether the last end was one of those that are expected.
    pub fn ended_well(&self) -> bool {
        let expected = self.service.restart.expected.as_deref().unwrap_or(&[0]);
        let code = match self.machine.last {
            Some(Exit::Code(code)) => u8::try_from(code).ok(),
            _ => None,
        };
        code.is_some_and(|code| expected.contains(&code))
    }

    /// What went wrong with its last start, in supervisor's words; nothing if nothing did.
    pub fn spawn_error(&self) -> String {
        match self.standing() {
            Standing::Backoff | Standing::Fatal => match &self.history.spawn_error {
                Some(text) => text.to_string(),
                None => "Exited too quickly (process log may have details)".into(),
            },
            Standing::Exited if !self.ended_well() => {
                format!("Bad exit code {}", self.exit_status())
            }
            _ => String::new(),
        }
    }

    /// What is worth knowing about how it stands, in supervisor's words.
    pub fn description(&self, now: u64) -> String {
        match self.standing() {
            Standing::Running => {
                let pid = self.machine.pid.map_or(0, |pid| pid.raw());
                let uptime = uptime(now.saturating_sub(self.history.started_at));
                format!("pid {pid}, uptime {uptime}")
            }
            Standing::Fatal | Standing::Backoff => self.spawn_error(),
            Standing::Stopped | Standing::Exited if self.history.started_at == 0 => {
                "Not started".into()
            }
            Standing::Stopped | Standing::Exited => date(self.history.ended_at),
            _ => String::new(),
        }
    }
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.as_ref().map_or(0, Duration::as_secs)
}

/// As Python shows a length of time: `0:01:02`, `1 day, 0:00:00`.
fn uptime(seconds: u64) -> String {
    let part = |of: u64, unit: u64, most: u64| {
        let whole = of.checked_div(unit).unwrap_or_default();
        whole.checked_rem(most).unwrap_or_default()
    };
    let days = part(seconds, 86_400, u64::MAX);
    let (hours, minutes) = (part(seconds, 3_600, 24), part(seconds, 60, 60));
    let rest = part(seconds, 1, 60);
    let time = format!("{hours}:{minutes:02}:{rest:02}");
    match days {
        0 => time,
        1 => format!("1 day, {time}"),
        days => format!("{days} days, {time}"),
    }
}

/// `Nov 23 05:41 PM`, in UTC.
fn date(seconds: u64) -> String {
    // 2026-11-23T17:41:00.000Z
    let text = crate::log::rfc3339(Duration::from_secs(seconds), 3);
    let number = |from: usize| {
        let digits = text.get(from..from.saturating_add(2));
        digits.and_then(|digits| digits.parse::<usize>().ok()).unwrap_or_default()
    };
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.get(number(5).saturating_sub(1)).copied().unwrap_or_default();
    let (day, hour, minute) = (number(8), number(11), number(14));
    let (half, hour) = if hour < 12 { ("AM", hour) } else { ("PM", hour.saturating_sub(12)) };
    let hour = if hour == 0 { 12 } else { hour };
    format!("{month} {day:02} {hour:02}:{minute:02} {half}")
}

/// Why a program could not be executed, in supervisor's words.
fn exec_error(program: &str, path: &Path, error: &std::io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("can't find command '{program}'"),
        _ if path.is_dir() => format!("command at '{shown}' is a directory"),
        std::io::ErrorKind::PermissionDenied => format!("command at '{shown}' is not executable"),
        _ => format!("couldn't exec {program}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_python_shows_them() {
        for (seconds, text) in [
            (0, "0:00:00"),
            (61, "0:01:01"),
            (86_399, "23:59:59"),
            (86_400, "1 day, 0:00:00"),
            (200_000, "2 days, 7:33:20"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
        assert_eq!(date(1_795_454_520), "Nov 23 05:22 PM");
        assert_eq!(date(0), "Jan 01 12:00 AM");
        assert_eq!(date(43_200), "Jan 01 12:00 PM");
    }
}
