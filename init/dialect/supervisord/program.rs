//! `[program:x]`, `[eventlistener:x]` and `[group:x]` made into services: one for each process.

use super::percent::Names;
use super::value::{self, Keys};
use super::words;
use super::{Config, Document, Fault, Scope, Section};
use crate::dialect::draft::Draft;
use crate::dialect::typed::unknown;
use crate::face::listener::Types;
use crate::service::{
    Growth, LineFormat, Listener, LogFile, LogTo, Member, OnEnd, Output, Reach, Ready, RestartWhen,
    Service, Stamp,
};
use coracle::error::Error;
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

pub const KEYS: [&str; 41] = [
    "command",
    "process_name",
    "numprocs",
    "numprocs_start",
    "priority",
    "autostart",
    "startsecs",
    "startretries",
    "autorestart",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "user",
    "redirect_stderr",
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
    "environment",
    "directory",
    "umask",
    "serverurl",
    "exit_on_fatal",
    "logfile",
    "buffer_size",
    "events",
    "result_handler",
    "socket",
    "socket_owner",
    "socket_mode",
    "socket_backlog",
];
/// Those of event listeners alone, and of fcgi-programs.
pub const OF_LISTENERS: [&str; 4] = ["logfile", "buffer_size", "events", "result_handler"];
pub const OF_FCGI: [&str; 4] = ["socket", "socket_owner", "socket_mode", "socket_backlog"];

/// How many processes a program may be.
const MOST: i64 = 100_000;
const PRIORITY: i64 = 999;
const PRIORITIES: (i64, i64) = (-1_000_000_000, 1_000_000_000);

/// What [supervisord] says about all programs.
#[derive(Debug, Default)]
pub struct Common {
    pub environment: Vec<(String, String)>,
    pub exit_on_fatal: bool,
    pub user: Option<String>,
    pub url: Option<Rc<str>>,
}

type Result<T> = std::result::Result<T, Fault>;

/// Adds the services of a document, in the order in which they are started.
pub fn build(document: &Document, scope: &Scope, common: &Common, config: &mut Config) {
    let mut builder = Builder { document, scope, common, config };
    let mut in_groups: Vec<String> = Vec::new();
    for section in &document.sections {
        if section.name.starts_with("group:") {
            builder.group(section, &mut in_groups);
        }
    }
    for section in &document.sections {
        let Some((kind, name)) = section.name.split_once(':') else { continue };
        let usual = match kind {
            "program" if in_groups.iter().any(|known| known == name) => continue,
            "program" => PRIORITY,
            // They are there before all others, and until all others have gone.
            "eventlistener" => -1,
            "fcgi-program" => {
                let error = Error::invalid(format!("[{}] is left out", section.name));
                let error = error.hint("cox runs no fcgi-programs yet");
                builder.config.problems.push(error.doing(section.at.shown()));
                continue;
            }
            _ => continue,
        };
        match builder.keys(section).number("priority", usual, PRIORITIES) {
            Ok(priority) => builder.processes(section, name.trim(), priority as i32),
            Err(fault) => builder.config.problems.push(fault.said()),
        }
    }
    config.services.sort_by(|a, b| order(a).cmp(&order(b)));
}

fn order(service: &Service) -> Option<(i32, &str, i32, &str)> {
    let member = service.member.as_deref()?;
    Some((member.group_priority, &member.group, member.priority, &member.process))
}

struct Builder<'a> {
    document: &'a Document,
    scope: &'a Scope<'a>,
    common: &'a Common,
    config: &'a mut Config,
}

impl<'a> Builder<'a> {
    /// The keys of a section, with the names that hold everywhere.
    fn keys(&self, section: &'a Section) -> Keys<'a> {
        let mut names = Names::default();
        names.text("host_node_name", self.scope.host);
        for (name, value) in &self.common.environment {
            names.text(&format!("ENV_{name}"), value);
        }
        Keys { section, names, scope: self.scope }
    }

    /// The programs of a group; their names come to those in `in_groups`.
    fn group(&mut self, section: &'a Section, in_groups: &mut Vec<String>) {
        let keys = self.keys(section);
        let group = value::name(section.name.strip_prefix("group:").unwrap_or_default());
        let read = || -> Result<(String, i64, Vec<String>)> {
            let group = group.map_err(|error| keys.fault(error))?;
            let priority = keys.number("priority", PRIORITY, PRIORITIES)?;
            let programs = keys.maybe("programs", |text| Ok(value::list(text)))?;
            Ok((group, priority, programs.unwrap_or_default()))
        };
        let (group, priority, programs) = match read() {
            Ok(read) => read,
            Err(fault) => return self.config.problems.push(fault.said()),
        };
        for program in programs {
            let named = format!("program:{program}");
            in_groups.push(program.clone());
            if let Some(section) = self.document.get(&named) {
                self.processes(section, &group, priority as i32);
                continue;
            }
            let error = Error::not_found(format!("there is no [{named}]"));
            let all = self.document.sections.iter();
            let all = all.filter_map(|section| section.name.strip_prefix("program:"));
            let error = match coracle::types::nearest(&program, all) {
                Some(meant) => error.hint(format!("did you mean {meant}?")),
                None => error,
            };
            self.config.problems.push(keys.fault_at("programs", error).said());
        }
    }

    /// The services of a program.
    fn processes(&mut self, section: &'a Section, group: &str, group_priority: i32) {
        let mut services = Vec::new();
        if let Err(fault) = self.read(section, group, group_priority, &mut services) {
            return self.config.problems.push(fault.said());
        }
        for service in services {
            let taken = self.config.services.iter().any(|other| other.name == service.name);
            // A program of one process is the usual case, and names are many.
            if taken {
                let error = Error::conflict(format!("there is a process {} already", service.name));
                let error = error.hint("give another process_name");
                let error = error.doing(format!("[{}]", section.name));
                self.config.problems.push(error.doing(section.at.shown()));
                continue;
            }
            self.config.services.push(service);
        }
    }

    fn read(
        &mut self,
        section: &'a Section,
        group: &str,
        group_priority: i32,
        services: &mut Vec<Service>,
    ) -> Result<()> {
        let mut keys = self.keys(section);
        let program = section.name.split_once(':').map_or("", |(_, name)| name);
        let program = value::name(program).map_err(|error| keys.fault(error))?;
        keys.names.text("program_name", &program);
        keys.names.text("group_name", group);
        let count = keys.number("numprocs", 1, (0, MOST))?;
        let first = keys.number("numprocs_start", 0, (0, i64::from(i32::MAX)))?;
        keys.names.number("numprocs", count);
        let by_number =
            keys.entry("process_name").is_some_and(|entry| entry.value.contains("%(process_num)"));
        if count > 1 && !by_number {
            let error = Error::invalid("several processes need several names");
            let error = error.hint("write %(program_name)s_%(process_num)02d");
            return Err(keys.fault_at("process_name", error));
        }
        let group: Rc<str> = Rc::from(group);
        for number in first..first.saturating_add(count) {
            let mut keys = Keys { names: keys.names.clone(), ..keys };
            keys.names.number("process_num", number);
            let service = self.process(&mut keys, &group, group_priority, &program)?;
            services.push(service);
        }
        Ok(())
    }

    fn process(
        &mut self,
        keys: &mut Keys,
        group: &Rc<str>,
        group_priority: i32,
        program: &str,
    ) -> Result<Service> {
        let common = self.common;
        let own = keys.maybe("environment", words::variables)?.unwrap_or_default();
        for (name, value) in &own {
            keys.names.text(&format!("ENV_{name}"), value);
        }
        let process = keys.maybe("process_name", value::name)?.unwrap_or(program.to_string());
        let missing = || {
            let error = Error::invalid("there is nothing to run");
            keys.fault(error.hint("add: command = /path/to/program"))
        };
        let command = keys.text("command")?.ok_or_else(missing)?;
        let argv = keys.maybe("command", |text| {
            let argv = words::command(text)?;
            match argv.is_empty() {
                true => Err(Error::invalid("it is empty").hint("write /path/to/program")),
                false => Ok(argv),
            }
        })?;

        let mut draft = Draft::new();
        draft.argv = argv;
        let variable = keys.scope.variable;
        draft.directory = keys.text("directory")?.map(|text| value::path(&text, variable));
        let mut env: Vec<(String, String)> = common.environment.clone();
        env.retain(|(name, _)| !own.iter().any(|(known, _)| known == name));
        env.extend(own);
        let env = env.into_iter().map(|(name, value)| (name.into(), Some(value.into())));
        draft.env = env.collect::<Vec<(OsString, Option<OsString>)>>();
        draft.setup.umask = keys.maybe("umask", value::octal)?;
        draft.setup.keeps_home = true;
        draft.user = keys.text("user")?.or(common.user.clone());

        let service = &mut draft.service;
        service.start.auto = keys.flag("autostart", true)?;
        let startsecs = keys.seconds("startsecs", 1)?;
        service.ready = if startsecs.is_zero() { Ready::Started } else { Ready::Lasted };
        let restart = &mut *service.restart;
        restart.healthy_after = startsecs;
        restart.delay = Duration::from_secs(1);
        restart.growth = Growth::Linear;
        let retries = keys.number("startretries", 3, (0, i64::from(u32::MAX)))?;
        restart.retries = Some(u32::try_from(retries).unwrap_or(u32::MAX));
        restart.expected = Some(keys.maybe("exitcodes", value::exit_codes)?.unwrap_or(vec![0]));
        draft.restart =
            Some(keys.maybe("autorestart", auto_restart)?.unwrap_or(RestartWhen::OnFailure));
        service.stop.signal =
            keys.maybe("stopsignal", value::signal)?.unwrap_or(service.stop.signal);
        service.stop.limit = Some(keys.seconds("stopwaitsecs", 10)?);
        let as_group = keys.flag("stopasgroup", false)?;
        if as_group {
            service.stop.reach = Some(Reach::Group);
        }
        let killed = keys.flag("killasgroup", as_group)?;
        if as_group && !killed {
            let error = Error::invalid("stopasgroup needs killasgroup");
            return Err(keys.fault_at("killasgroup", error.hint("remove one of them")));
        }
        service.stop.kill = if killed { Reach::Group } else { Reach::Leader };
        if keys.flag("exit_on_fatal", common.exit_on_fatal)? {
            service.on_end = OnEnd::StopIfFailed;
        }

        let redirect = keys.flag("redirect_stderr", false)?;
        let out = self.output(keys, "stdout")?;
        let err = self.output(keys, "stderr")?;
        if redirect && keys.entry("stderr_logfile").is_some() && matches!(err.log, LogTo::File(_)) {
            let error = Error::invalid("redirect_stderr is on, so this is ignored");
            let error = keys.fault_at("stderr_logfile", error.hint("remove one of them"));
            self.config.warnings.push(error.said());
        }
        let listener = match section_kind(keys.section) {
            "eventlistener" => Some(listener(keys, redirect)?),
            _ => None,
        };
        // What a listener says on stdout is for us alone.
        draft.log = Some(if listener.is_some() { LogTo::Null } else { out.log });
        draft.stderr = Some(if redirect { LogTo::Stdout } else { err.log });

        let url = keys.text("serverurl")?.filter(|url| !url.trim().eq_ignore_ascii_case("auto"));
        let priority = keys.number("priority", PRIORITY, PRIORITIES)?;
        let whole = match *process == **group {
            true => process.clone(),
            false => format!("{group}:{process}"),
        };
        draft.service.member = Some(Box::new(Member {
            group: group.clone(),
            process: process.into(),
            group_priority,
            priority: priority as i32,
            command: command.into(),
            url: url.map(Into::into).or(common.url.clone()),
            redirects: redirect,
            out: out.output,
            err: if redirect {
                Output { path: None, auto: false, ..err.output }
            } else {
                err.output
            },
            listener,
        }));
        draft.finish(&whole, keys.scope.users).map_err(|problems| {
            let (key, error) = problems.into_iter().next().unwrap_or((None, Error::invalid("")));
            match key {
                Some(key) => keys.fault_at(key, error),
                None => keys.fault(error),
            }
        })
    }

    /// Where one of the two outputs goes.
    fn output(&mut self, keys: &Keys, channel: &str) -> Result<Logged> {
        let key = |rest: &str| format!("{channel}_{rest}");
        let variable = keys.scope.variable;
        let size = keys.size(&key("logfile_maxbytes"), 50 << 20)?;
        let keep = keys.number(&key("logfile_backups"), 10, (0, 10_000))?;
        let mut output = Output {
            path: None,
            auto: false,
            capture: keys.size(&key("capture_maxbytes"), 0)?,
            events: keys.flag(&key("events_enabled"), false)?,
            syslog: keys.flag(&key("syslog"), false)?,
        };
        let name = keys.text(&key("logfile"))?.unwrap_or("AUTO".into());
        let plain = LogTo::Container(LineFormat::Plain);
        let other = LogTo::Crossed(LineFormat::Plain);
        let log = match name.to_ascii_lowercase().as_str() {
            "none" | "off" if output.syslog => plain,
            "none" | "off" => LogTo::Null,
            "syslog" => {
                output.syslog = true;
                plain
            }
            "auto" => {
                output.auto = true;
                plain
            }
            _ => {
                let path = value::path(&name, variable);
                let log = match own_descriptor(&name) {
                    Some(number) if (number == 1) == (channel == "stdout") => plain,
                    Some(_) => other,
                    None if name == "/dev/null" => LogTo::Null,
                    None => LogTo::File(Box::new(LogFile {
                        path: path.clone(),
                        max_size: size,
                        keep: u32::try_from(keep).unwrap_or(u32::MAX),
                        stamp: Stamp::None,
                    })),
                };
                output.path = Some(path);
                log
            }
        };
        if output.syslog {
            let named =
                if keys.entry(&key("syslog")).is_some() { key("syslog") } else { key("logfile") };
            let error =
                Error::invalid("there is no syslog in a container: it goes to cox's output");
            self.config.warnings.push(keys.fault_at(&named, error).said());
        }
        Ok(Logged { log, output })
    }
}

/// What stands before the colon.
fn section_kind(section: &Section) -> &str {
    section.name.split_once(':').map_or("", |(kind, _)| kind)
}

/// What an event listener wants to hear of.
fn listener(keys: &Keys, redirect: bool) -> Result<Listener> {
    if redirect {
        let error = Error::invalid("the stdout of an event listener is not for its stderr");
        return Err(keys.fault_at("redirect_stderr", error.hint("remove it")));
    }
    if let Some(handler) = keys.text("result_handler")?
        && handler != "supervisor.dispatchers:default_handler"
    {
        let error = Error::invalid(format!("\"{handler}\" is Python, which cox does not run"));
        return Err(keys.fault_at("result_handler", error.hint("remove it")));
    }
    let buffer = keys.number("buffer_size", 10, (1, 1_000_000))?;
    let types = keys.maybe("events", |text| {
        value::list(text).iter().try_fold(Types::default(), |all, name| {
            let types = Types::named(&name.to_ascii_uppercase());
            match types.is_none() {
                true => Err(unknown("event", name, Types::names())),
                false => Ok(all.with(types)),
            }
        })
    })?;
    let types = types.filter(|types| !types.is_none()).ok_or_else(|| {
        let error = Error::invalid("there are no events");
        keys.fault(error.hint("add: events = PROCESS_STATE"))
    })?;
    Ok(Listener { types, buffer: usize::try_from(buffer).unwrap_or(1) })
}

struct Logged {
    log: LogTo,
    output: Output,
}

/// The number of cox's own descriptor that a path stands for.
fn own_descriptor(path: &str) -> Option<u32> {
    match path {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" | "/proc/1/fd/1" => Some(1),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" | "/proc/1/fd/2" => Some(2),
        _ => None,
    }
}

fn auto_restart(text: &str) -> coracle::error::Result<RestartWhen> {
    if text.eq_ignore_ascii_case("unexpected") {
        return Ok(RestartWhen::OnFailure);
    }
    match value::boolean(text) {
        Ok(true) => Ok(RestartWhen::Always),
        Ok(false) => Ok(RestartWhen::Never),
        Err(_) => Err(Error::invalid(format!("\"{text}\" is no way to restart"))
            .hint("write unexpected, true or false")),
    }
}
