//! `[program:x]`, `[eventlistener:x]` and `[group:x]` made into services: one for each process.

use super::value::{self, Keys};
use super::words;
use super::{Config, Document, Scope, Section};
use crate::dialect::draft::Draft;
use crate::dialect::typed::unknown;
use crate::face::listener::Types;
use crate::service::{
    Growth, LineFormat, Listener, LogFile, LogTo, Member, OnEnd, Output, Reach, Ready, RestartWhen,
    Service, Stamp,
};
use coracle::error::Error;
use coracle::types::nearest;
use std::rc::Rc;
use std::time::Duration;

pub static KEYS: [&str; 40] = [
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
    "buffer_size",
    "events",
    "result_handler",
    "socket",
    "socket_owner",
    "socket_mode",
    "socket_backlog",
];
/// Those of event listeners alone, of fcgi-programs alone, and both.
pub static OF_LISTENERS: [&str; 3] = ["buffer_size", "events", "result_handler"];
pub static OF_FCGI: [&str; 4] = ["socket", "socket_owner", "socket_mode", "socket_backlog"];
pub static OF_FEW: [&str; 7] = [
    "buffer_size",
    "events",
    "result_handler",
    "socket",
    "socket_owner",
    "socket_mode",
    "socket_backlog",
];

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
                let keys = builder.keys(section);
                keys.wrong("", "it is left out", "cox runs no fcgi-programs yet");
                builder.config.take(keys);
                continue;
            }
            _ => continue,
        };
        builder.processes(section, name.trim(), None, usual);
    }
    config.services.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
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
        let mut keys = Keys::new(section, self.scope);
        for (name, value) in &self.common.environment {
            keys.names.text(&format!("ENV_{name}"), value);
        }
        keys
    }

    /// The programs of a group; their names come to those in `in_groups`.
    fn group(&mut self, section: &'a Section, in_groups: &mut Vec<String>) {
        let keys = self.keys(section);
        let group = name_of(&keys);
        let priority = keys.number("priority", PRIORITY, PRIORITIES) as i32;
        let programs = keys.maybe("programs", |text| Ok(value::list(text))).unwrap_or_default();
        for program in programs {
            let named = format!("program:{program}");
            if let Some(section) = self.document.get(&named) {
                self.processes(section, &group, Some(priority), PRIORITY);
            } else {
                let all = self.document.sections.iter();
                let all = all.filter_map(|section| section.name.strip_prefix("program:"));
                let meant = nearest(&program, all);
                let hint = meant.map(|meant| format!("did you mean {meant}?"));
                let problem = format!("there is no [{named}]");
                keys.wrong("programs", &problem, &hint.unwrap_or_default());
            }
            in_groups.push(program);
        }
        self.config.take(keys);
    }

    /// The services of a program; without a priority, the group has that of the program.
    fn processes(
        &mut self,
        section: &'a Section,
        group: &str,
        group_priority: Option<i32>,
        usual: i64,
    ) {
        let mut keys = self.keys(section);
        let program = name_of(&keys);
        keys.names.text("program_name", &program);
        keys.names.text("group_name", group);
        let own = keys.number("priority", usual, PRIORITIES) as i32;
        let priority = keys.number("priority", PRIORITY, PRIORITIES) as i32;
        let count = keys.number("numprocs", 1, (0, MOST));
        let first = keys.number("numprocs_start", 0, (0, i64::from(i32::MAX)));
        keys.names.number("numprocs", count);
        let name = section.get("process_name");
        if count > 1 && !name.is_some_and(|entry| entry.value.contains("%(process_num)")) {
            let problem = "several processes need several names";
            keys.wrong("process_name", problem, "write %(program_name)s_%(process_num)02d");
        }
        let group: Rc<str> = Rc::from(group);
        let common = self.common;
        let names = keys.names.len();
        for number in first..first.saturating_add(count) {
            keys.names.number("process_num", number);
            let place = Placing {
                group: group.clone(),
                group_priority: group_priority.unwrap_or(own),
                priority,
            };
            let service = process(&mut keys, common, place, &program);
            let Some(service) = service.filter(|_| keys.is_good()) else { break };
            // A program of one process is the usual case.
            if self.config.services.iter().any(|other| other.name == service.name) {
                let problem = format!("there is a process {} already", service.name);
                keys.wrong("", &problem, "give another process_name");
                break;
            }
            self.config.services.push(service);
            keys.names.truncate(names);
        }
        self.config.take(keys);
    }
}

/// Where a process stands among the others.
struct Placing {
    group: Rc<str>,
    group_priority: i32,
    priority: i32,
}

fn process(keys: &mut Keys, common: &Common, placing: Placing, program: &str) -> Option<Service> {
    let own = keys.maybe("environment", words::variables).unwrap_or_default();
    for (name, value) in &own {
        keys.names.text(&format!("ENV_{name}"), value);
    }
    let keys = &*keys;
    let process = keys.maybe("process_name", value::name).unwrap_or(program.to_string());
    let command = keys.text("command");
    if command.is_none() && keys.is_good() {
        keys.wrong("", "there is nothing to run", "add: command = /path/to/program");
    }
    let mut draft = Draft::new();
    match words::command(command.as_deref().unwrap_or_default()) {
        Ok(argv) if argv.is_empty() && keys.is_good() => {
            keys.wrong("command", "it is empty", "write /path/to/program");
        }
        Ok(argv) => draft.argv = Some(argv),
        Err(error) => keys.note("command", error),
    }
    let variable = keys.scope.variable;
    draft.directory = keys.text("directory").map(|text| value::path(&text, variable));
    for (name, value) in common.environment.iter().cloned().chain(own) {
        draft.env.retain(|(known, _)| known.as_encoded_bytes() != name.as_bytes());
        draft.env.push((name.into(), Some(value.into())));
    }
    draft.setup.umask = keys.maybe("umask", value::octal);
    draft.setup.keeps_home = true;
    draft.user = keys.text("user").or(common.user.clone());
    restart(keys, &mut draft);
    stop(keys, &mut draft.service);
    if keys.flag("exit_on_fatal", common.exit_on_fatal) {
        draft.service.on_end = OnEnd::StopIfFailed;
    }
    let redirects = keys.flag("redirect_stderr", false);
    let (out, out_log) = output(keys, &OUT, 1);
    let (mut err, err_log) = output(keys, &ERR, 2);
    if redirects {
        if matches!(err_log, LogTo::File(_)) {
            let problem = "redirect_stderr is on, so this is ignored";
            keys.odd("stderr_logfile", problem, "remove one of them");
        }
        (err.path, err.auto) = (None, false);
    }
    let listener = match keys.section.name.starts_with("eventlistener:") {
        true => listener(keys, redirects),
        false => None,
    };
    // What a listener says on stdout is for us alone.
    draft.log = Some(if listener.is_some() { LogTo::Null } else { out_log });
    draft.stderr = Some(if redirects { LogTo::Stdout } else { err_log });
    let url = keys.text("serverurl").filter(|url| !url.trim().eq_ignore_ascii_case("auto"));
    let Placing { group, group_priority, priority } = placing;
    let whole = match *process == *group {
        true => process.clone(),
        false => format!("{group}:{process}"),
    };
    draft.service.member = Some(Box::new(Member {
        group,
        process: process.into(),
        group_priority,
        priority,
        command: command?.into(),
        url: url.map(Into::into).or(common.url.clone()),
        redirects,
        out,
        err,
        listener,
    }));
    // Whatever is missing may be what could not be read.
    if !keys.is_good() {
        return None;
    }
    match draft.finish(&whole, keys.scope.users) {
        Ok(service) => Some(service),
        Err(problems) => {
            for (key, error) in problems {
                keys.note(key.unwrap_or_default(), error);
            }
            None
        }
    }
}

fn restart(keys: &Keys, draft: &mut Draft) {
    draft.service.start.auto = keys.flag("autostart", true);
    let startsecs = keys.seconds("startsecs", 1);
    draft.service.ready = if startsecs.is_zero() { Ready::Started } else { Ready::Lasted };
    let restart = &mut *draft.service.restart;
    restart.healthy_after = startsecs;
    restart.delay = Duration::from_secs(1);
    restart.growth = Growth::Linear;
    restart.retries = Some(keys.count("startretries", 3, i64::from(u32::MAX)));
    restart.expected = Some(keys.maybe("exitcodes", value::exit_codes).unwrap_or(vec![0]));
    let when = keys.maybe("autorestart", auto_restart);
    draft.restart = Some(when.unwrap_or(RestartWhen::OnFailure));
}

fn stop(keys: &Keys, service: &mut Service) {
    let stop = &mut service.stop;
    stop.signal = keys.maybe("stopsignal", value::signal).unwrap_or(stop.signal);
    stop.limit = Some(keys.seconds("stopwaitsecs", 10));
    let as_group = keys.flag("stopasgroup", false);
    let killed = keys.flag("killasgroup", as_group);
    if as_group && !killed {
        keys.wrong("killasgroup", "stopasgroup needs killasgroup", "remove one of them");
    }
    stop.reach = as_group.then_some(Reach::Group);
    stop.kill = if killed { Reach::Group } else { Reach::Leader };
}

/// The keys of an output: file, size, backups, capture, events, syslog.
type OutputKeys = [&'static str; 6];

static OUT: OutputKeys = [
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
];
static ERR: OutputKeys = [
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
];

/// Where the output of this number goes.
fn output(keys: &Keys, names: &OutputKeys, number: u32) -> (Output, LogTo) {
    let [file, size, backups, capture, events, syslog] = *names;
    let max_size = keys.size(size, 50 << 20);
    let keep = keys.count(backups, 10, 10_000);
    let mut output = Output {
        path: None,
        auto: false,
        capture: keys.size(capture, 0),
        events: keys.flag(events, false),
        syslog: keys.flag(syslog, false),
    };
    let name = keys.text(file).unwrap_or("AUTO".into());
    let plain = LogTo::Container(LineFormat::Plain);
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
            let path = value::path(&name, keys.scope.variable);
            output.path = Some(path.clone());
            match own_descriptor(&name) {
                Some(own) if own == number => plain,
                Some(_) => LogTo::Crossed(LineFormat::Plain),
                None if name == "/dev/null" => LogTo::Null,
                None => LogTo::File(Box::new(LogFile { path, max_size, keep, stamp: Stamp::None })),
            }
        }
    };
    if output.syslog {
        let named = if keys.has(syslog) { syslog } else { file };
        keys.odd(named, "there is no syslog in a container: it goes to cox's output", "");
    }
    for (key, is_asked) in [(capture, output.capture > 0), (events, output.events)] {
        if is_asked {
            keys.odd(key, "no event tells yet what a program writes", "");
        }
    }
    (output, log)
}

/// The name behind the colon.
fn name_of(keys: &Keys) -> String {
    let name = keys.section.name.split_once(':').map_or("", |(_, name)| name);
    value::name(name).unwrap_or_else(|error| {
        keys.note("", error);
        String::new()
    })
}

/// What an event listener wants to hear of.
fn listener(keys: &Keys, redirects: bool) -> Option<Listener> {
    if redirects {
        let problem = "the stdout of an event listener is not for its stderr";
        keys.wrong("redirect_stderr", problem, "remove it");
    }
    if let Some(handler) = keys.text("result_handler")
        && handler != "supervisor.dispatchers:default_handler"
    {
        let problem = format!("\"{handler}\" is Python, which cox does not run");
        keys.wrong("result_handler", &problem, "remove it");
    }
    let buffer = keys.number("buffer_size", 10, (1, 1_000_000));
    let mut types = Types::default();
    for name in keys.text("events").iter().flat_map(|text| value::list(text)) {
        let named = Types::named(&name.to_ascii_uppercase());
        if named.is_none() {
            keys.note("events", unknown("event", &name, &Types::names()));
        }
        types = types.with(named);
    }
    if types.is_none() && keys.is_good() {
        keys.wrong("", "there are no events", "add: events = PROCESS_STATE");
    }
    Some(Listener { types, buffer: usize::try_from(buffer).unwrap_or(1) })
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
