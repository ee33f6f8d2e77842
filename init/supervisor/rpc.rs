//! Answers supervisor's clients. Calls that take their time leave a job: it is looked at whenever
//! the state of a service has changed.

use super::Supervisor;
use super::programs::{Standing, unix_time};
use super::slot::By;
use crate::command::Command;
use crate::face::web::Heard;
use crate::face::web::call::{self, Call, Whom};
use crate::face::web::fault::{Fault, Kind};
use crate::face::web::http::{self, Answer, Method, Request};
use crate::face::web::xml::{self, Members, Value};
use crate::log::Channel;
use crate::machine::{Event, Want};
use crate::message::say;
use crate::service::{Exec, LogTo, Output, Reach, Service};
use coracle::types::Signal;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

/// What the clients were made for.
const VERSION: &str = "4.2.5";
const API: &str = "3.0";

type Result<T> = std::result::Result<T, Fault>;

/// What a call has come to.
pub enum Outcome {
    Done(Value),
    Wait(Work),
}

/// Somebody waits for this.
pub struct Job {
    work: Work,
    /// The connection ends with the answer.
    close: bool,
}

pub enum Work {
    One(Sought),
    /// Of several processes: what became of those that are done, and the others.
    All(Vec<Value>, Vec<Sought>),
    /// Of several calls: what became of the first, the present one, and the others.
    Several(Vec<Value>, Box<Work>, VecDeque<Value>),
}

pub struct Sought {
    id: u32,
    /// As it was asked for.
    name: String,
    goal: Goal,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    Started,
    Stopped,
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Outcome {
        Outcome::Done(value)
    }
}

impl Supervisor {
    /// Answers what was heard on connection `n`, and what comes behind it.
    pub(super) fn serve_web(&mut self, n: u32, heard: Heard) {
        let mut heard = heard;
        loop {
            match heard {
                Heard::Nothing => return,
                Heard::Gone => return self.forget_client(n),
                Heard::Request(request) => {
                    if !self.serve_request(n, &request) {
                        return;
                    }
                }
            }
            heard = self.programs.web.hear(n, &mut self.event_loop, Instant::now());
        }
    }

    /// Whether the answer is whole, so that the next request may come.
    fn serve_request(&mut self, n: u32, request: &Request) -> bool {
        let answer = match (request.method, request.path.as_str()) {
            (Method::Post, path) if path.starts_with("/RPC2") => {
                let Some((name, params)) = xml::read_call(&request.body) else {
                    return self.reply(n, &Answer::refusal(http::BAD_REQUEST), request.close);
                };
                let called = Call::parse(&name, &params).and_then(|call| self.call(call));
                match called {
                    Ok(Outcome::Wait(work)) => {
                        self.programs.jobs.push((n, Job { work, close: request.close }));
                        // It may be done already.
                        self.programs.changed = true;
                        return false;
                    }
                    Ok(Outcome::Done(value)) => Answer::xml(xml::answer(&Ok(value))),
                    Err(fault) => Answer::xml(xml::answer(&Err(fault))),
                }
            }
            (Method::Get, path) if path.starts_with("/logtail/") || path == "/mainlogtail" => {
                return self.tail(n, path, request.close);
            }
            (Method::Get, _) => Answer::refusal(http::NOT_FOUND),
            _ => Answer::refusal(http::BAD_REQUEST),
        };
        self.reply(n, &answer, request.close)
    }

    pub(super) fn reply(&mut self, n: u32, answer: &Answer, close: bool) -> bool {
        self.programs.web.answer(n, answer, close);
        let there = self.programs.web.send(n, &mut self.event_loop, Instant::now());
        if !there {
            self.forget_client(n);
        }
        there
    }

    pub(super) fn forget_client(&mut self, n: u32) {
        self.programs.jobs.retain(|(number, _)| *number != n);
        self.forget_tail(n);
    }

    /// Looks at who waits, after something has changed.
    pub(super) fn look_at_jobs(&mut self) {
        while std::mem::take(&mut self.programs.changed) {
            for (n, mut job) in std::mem::take(&mut self.programs.jobs) {
                match self.work(&mut job.work) {
                    None => self.programs.jobs.push((n, job)),
                    Some(result) => {
                        let answer = Answer::xml(xml::answer(&result));
                        if self.reply(n, &answer, job.close) {
                            let now = Instant::now();
                            let heard = self.programs.web.hear(n, &mut self.event_loop, now);
                            self.serve_web(n, heard);
                        }
                    }
                }
            }
        }
    }

    fn call(&mut self, call: Call) -> Result<Outcome> {
        let of_supervisor = !matches!(call, Call::Methods | Call::Several(_));
        if of_supervisor && self.shutdown.is_some() {
            return Err(Kind::ShutdownState.into());
        }
        let done: Value = match call {
            Call::ApiVersion => API.into(),
            Call::Version => VERSION.into(),
            Call::Identification => self.programs.settings.identifier.as_str().into(),
            Call::State => {
                Members::default().number("statecode", 1).text("statename", "RUNNING").end()
            }
            Call::Pid => Value::Int(i64::from(std::process::id())),
            Call::Shutdown => {
                self.ask_to_stop("asked to stop by supervisorctl");
                Value::Flag(true)
            }
            Call::Restart => {
                let begun = self.begin_again("asked to begin anew by supervisorctl");
                begun.map_err(|error| Kind::CantReread.of(&error.to_string()))?;
                Value::Flag(true)
            }
            Call::Reread => self.tell_reread()?,
            Call::Add(group) => self.add_group(&group)?,
            Call::Remove(group) => self.remove_group(&group)?,
            Call::Start(whom, wait) => return self.start_or_stop(whom, wait, Goal::Started),
            Call::Stop(whom, wait) => return self.start_or_stop(whom, wait, Goal::Stopped),
            Call::Signal(whom, signal) => self.signal_programs(whom, &signal)?,
            Call::Info(name) => {
                let id = self.process(&name)?;
                self.info(id)
            }
            Call::AllInfo => {
                let ids = self.by_name();
                Value::Array(ids.into_iter().map(|id| self.info(id)).collect())
            }
            Call::AllConfig => self.configured(),
            Call::ReadLog(offset, length) => self.read_main(offset, length)?,
            Call::ClearLog => {
                self.programs.log.recent.clear();
                Value::Flag(true)
            }
            Call::ReadOutput(channel, name, offset, length) => {
                let id = self.process(&name)?;
                self.read_output(id, channel, offset, length)?
            }
            Call::TailOutput(channel, name, offset, length) => {
                let id = self.process(&name)?;
                self.tail_output(id, channel, offset, length)
            }
            Call::ClearOutput(name) => {
                let id = self.process(&name)?;
                self.clear_output(id).map_err(|_| Kind::Failed.of(&name))?;
                Value::Flag(true)
            }
            Call::ClearAllOutputs => {
                let ids = self.in_order();
                let results = ids.into_iter().map(|id| {
                    let cleared = self.clear_output(id).map_err(|_| Kind::Failed.into());
                    self.outcome(id, &cleared)
                });
                Value::Array(results.collect())
            }
            Call::SendInput(name, text) => {
                let id = self.process(&name)?;
                self.send_input(id, &name, text.as_bytes())?;
                Value::Flag(true)
            }
            Call::SendEvent(kind, data) => {
                self.publish("REMOTE_COMMUNICATION", || {
                    format!("type:{kind}\n{data}").into_bytes()
                });
                Value::Flag(true)
            }
            Call::Methods => call::names(),
            Call::Several(calls) => {
                return Ok(self.several(Vec::new(), calls.into()));
            }
        };
        Ok(done.into())
    }

    /// Calls one after the other, until one takes its time.
    fn several(&mut self, mut results: Vec<Value>, mut calls: VecDeque<Value>) -> Outcome {
        while let Some(value) = calls.pop_front() {
            match Call::of_several(&value).and_then(|call| self.call(call)) {
                Ok(Outcome::Done(value)) => results.push(value),
                Ok(Outcome::Wait(work)) => {
                    return Outcome::Wait(Work::Several(results, Box::new(work), calls));
                }
                Err(fault) => results.push(fault.value()),
            }
        }
        Outcome::Done(Value::Array(results))
    }

    /// What has become of some work; `None` if it goes on.
    fn work(&mut self, work: &mut Work) -> Option<Result<Value>> {
        match work {
            Work::One(sought) => {
                self.reached(sought).map(|result| result.map(|()| Value::Flag(true)))
            }
            Work::All(results, open) => {
                let mut left = Vec::new();
                for sought in open.drain(..) {
                    match self.reached(&sought) {
                        Some(result) => results.push(self.outcome(sought.id, &result)),
                        None => left.push(sought),
                    }
                }
                *open = left;
                open.is_empty().then(|| Ok(Value::Array(std::mem::take(results))))
            }
            Work::Several(results, present, calls) => {
                let result = self.work(present)?;
                results.push(result.unwrap_or_else(|fault| fault.value()));
                match self.several(std::mem::take(results), std::mem::take(calls)) {
                    Outcome::Done(value) => Some(Ok(value)),
                    Outcome::Wait(more) => {
                        *work = more;
                        self.work(work)
                    }
                }
            }
        }
    }

    fn reached(&self, sought: &Sought) -> Option<Result<()>> {
        let Some(slot) = self.slots.get(&sought.id) else {
            return Some(Err(Kind::Failed.of(&sought.name)));
        };
        let standing = slot.standing();
        match (sought.goal, standing) {
            (Goal::Stopped, standing) => standing.is_stopped().then_some(Ok(())),
            (Goal::Started, Standing::Running) => Some(Ok(())),
            (Goal::Started, Standing::Starting) => None,
            // It starts again once it has ended.
            (Goal::Started, Standing::Stopping) if slot.machine.want != Want::Down => None,
            (Goal::Started, _) => {
                let kind = match slot.spawn_error().is_empty() {
                    true => Kind::AbnormalTermination,
                    false => Kind::SpawnError,
                };
                Some(Err(kind.of(&sought.name)))
            }
        }
    }

    /// A result among several.
    fn outcome(&self, id: u32, result: &Result<()>) -> Value {
        let (code, text) = match result {
            Ok(()) => (Kind::Success.code(), "OK".to_string()),
            Err(fault) => (fault.kind.code(), fault.text()),
        };
        let (group, process) = self.names(id);
        let mut members = Members::default();
        members.text("name", &process).text("group", &group);
        members.number("status", code).text("description", &text).end()
    }

    /// The group and the name of a process.
    fn names(&self, id: u32) -> (String, String) {
        let member = self.slots.get(&id).and_then(|slot| slot.service.member.as_deref());
        member.map_or_else(Default::default, |m| (m.group.to_string(), m.process.to_string()))
    }

    /// Those who were asked for, by a name that is all of a group or one of its processes.
    fn whom(&self, whom: &Whom) -> Result<(Vec<u32>, bool)> {
        let group = |name: &str| -> Result<Vec<u32>> {
            let ids = self.active_groups().remove(name);
            ids.ok_or_else(|| Kind::BadName.of(name))
        };
        match whom {
            Whom::All => Ok((self.in_order(), true)),
            Whom::Group(name) => Ok((group(name)?, true)),
            Whom::One(name) => match call::split(name) {
                (of, None) => Ok((group(of)?, true)),
                (_, Some(_)) => Ok((vec![self.process(name)?], false)),
            },
        }
    }

    /// The process of this name.
    pub(super) fn process(&self, name: &str) -> Result<u32> {
        let (group, process) = call::split(name);
        let process = process.ok_or_else(|| Kind::BadName.of(name))?;
        let found = self.slots.iter().find(|(_, slot)| {
            let member = slot.service.member.as_deref();
            let is_it = |group_of: &str, name: &str| group_of == group && name == process;
            member.is_some_and(|member| is_it(&member.group, &member.process))
                && !slot.machine.is_forgotten()
        });
        found.map(|(id, _)| *id).ok_or_else(|| Kind::BadName.of(name))
    }

    /// All processes, in the order in which they came.
    fn in_order(&self) -> Vec<u32> {
        let all = self.slots.iter().filter(|(_, slot)| slot.service.member.is_some());
        let all = all.filter(|(_, slot)| !slot.machine.is_forgotten());
        all.map(|(id, _)| *id).collect()
    }

    /// All processes, by the names of their groups and their own.
    fn by_name(&self) -> Vec<u32> {
        let ids = self.in_order();
        let mut named: Vec<((String, String), u32)> =
            ids.into_iter().map(|id| (self.names(id), id)).collect();
        named.sort_unstable();
        named.into_iter().map(|(_, id)| id).collect()
    }

    fn start_or_stop(&mut self, whom: Whom, wait: bool, goal: Goal) -> Result<Outcome> {
        let (ids, several) = self.whom(&whom)?;
        let mut results = Vec::new();
        let mut open = Vec::new();
        for id in ids {
            let (group, process) = self.names(id);
            let name = match &whom {
                Whom::One(name) if !several => name.clone(),
                _ if group == process => group,
                _ => format!("{group}:{process}"),
            };
            let Some(standing) = self.slots.get(&id).map(|slot| slot.standing()) else { continue };
            // Of several, those that are there already are left alone.
            if several && standing.is_running() == (goal == Goal::Started) {
                continue;
            }
            let begun = match goal {
                Goal::Started => self.start_program(id, &name),
                Goal::Stopped => self.stop_program(id, &name),
            };
            let sought = Sought { id, name, goal };
            match begun {
                Err(fault) if !several => return Err(fault),
                Err(fault) => results.push(self.outcome(id, &Err(fault))),
                Ok(()) if wait => open.push(sought),
                Ok(()) => results.push(self.outcome(id, &Ok(()))),
            }
        }
        Ok(match (several, open.pop()) {
            (false, Some(sought)) => Outcome::Wait(Work::One(sought)),
            (false, None) => Outcome::Done(Value::Flag(true)),
            (true, Some(last)) => {
                open.push(last);
                Outcome::Wait(Work::All(results, open))
            }
            (true, None) => Outcome::Done(Value::Array(results)),
        })
    }

    fn start_program(&mut self, id: u32, name: &str) -> Result<()> {
        let Some(slot) = self.slots.get(&id) else { return Err(Kind::BadName.of(name)) };
        executable(&slot.service)?;
        if slot.standing().is_running() {
            return Err(Kind::AlreadyStarted.of(name));
        }
        self.command(id, Command::Up, By::Supervisorctl);
        Ok(())
    }

    fn stop_program(&mut self, id: u32, name: &str) -> Result<()> {
        let Some(slot) = self.slots.get(&id) else { return Err(Kind::BadName.of(name)) };
        if !slot.standing().is_running() {
            return Err(Kind::NotRunning.of(name));
        }
        self.command(id, Command::Down, By::Supervisorctl);
        Ok(())
    }

    fn signal_programs(&mut self, whom: Whom, text: &str) -> Result<Value> {
        let (ids, several) = self.whom(&whom)?;
        let signal: Result<Signal> = text.trim().parse().map_err(|_| Kind::BadSignal.of(text));
        let mut results = Vec::new();
        for id in ids {
            let Some(slot) = self.slots.get(&id) else { continue };
            let pid = slot.machine.pid.filter(|_| slot.standing().has_process());
            if several && pid.is_none() {
                continue;
            }
            let (group, process) = self.names(id);
            let name = if group == process { group } else { format!("{group}:{process}") };
            let sent = match (&signal, pid) {
                (Err(fault), _) => Err(fault.clone()),
                (Ok(_), None) => Err(Kind::NotRunning.of(&name)),
                (Ok(signal), Some(_)) => {
                    self.command(id, Command::Signal(*signal), By::Supervisorctl);
                    Ok(())
                }
            };
            match (several, sent) {
                (true, sent) => results.push(self.outcome(id, &sent)),
                (false, sent) => return sent.map(|()| Value::Flag(true)),
            }
        }
        Ok(Value::Array(results))
    }

    /// Everything about how a process stands.
    fn info(&self, id: u32) -> Value {
        let now = unix_time();
        let (group, process) = self.names(id);
        let mut members = Members::default();
        let Some(slot) = self.slots.get(&id) else { return members.end() };
        let time = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let file = |channel: Channel| match slot.output(channel).and_then(|out| out.path.as_ref()) {
            Some(path) => path.display().to_string(),
            None => String::new(),
        };
        let (out, err) = (file(Channel::Out), file(Channel::Err));
        let standing = slot.standing();
        let pid = slot.machine.pid.filter(|_| standing.has_process());
        members.text("name", &process).text("group", &group);
        members.number("start", time(slot.history.started_at));
        members.number("stop", time(slot.history.ended_at)).number("now", time(now));
        members.number("state", standing as i64).text("statename", standing.word());
        members.text("spawnerr", &slot.spawn_error());
        members.number("exitstatus", i64::from(slot.exit_status()));
        members.text("logfile", &out).text("stdout_logfile", &out).text("stderr_logfile", &err);
        members.number("pid", pid.map_or(0, |pid| i64::from(pid.raw())));
        members.text("description", &slot.description(now)).end()
    }

    /// What is configured: what runs, but for what was dropped, and what does not.
    fn configured(&self) -> Value {
        let mut all: Vec<(&str, Value)> = Vec::new();
        for (_, slot) in self.slots.iter().filter(|(_, slot)| !slot.machine.is_forgotten()) {
            let Some(member) = slot.service.member.as_deref() else { continue };
            let group: &str = &member.group;
            if !self.programs.dropped.contains(group) && !self.programs.shelf.contains_key(group) {
                all.extend(config_of(&slot.service, true).map(|value| (&*member.process, value)));
            }
        }
        let active = self.active_groups();
        for (group, services) in self.programs.shelf.iter() {
            for service in services {
                let Some(member) = service.member.as_deref() else { continue };
                let in_use = active.contains_key(group);
                all.extend(config_of(service, in_use).map(|value| (&*member.process, value)));
            }
        }
        all.sort_by_key(|(name, _)| *name);
        Value::Array(all.into_iter().map(|(_, value)| value).collect())
    }

    fn tell_reread(&mut self) -> Result<Value> {
        let names = self.reread().map_err(|error| Kind::CantReread.of(&error.to_string()))?;
        let lists = names.map(|list| Value::Array(list.into_iter().map(Value::Text).collect()));
        Ok(Value::Array(vec![Value::Array(lists.into())]))
    }

    /// Begins to run a group that is configured.
    fn add_group(&mut self, group: &str) -> Result<Value> {
        let active = self.active_groups().contains_key(group);
        if active && !self.programs.dropped.contains(group) {
            return Err(Kind::AlreadyAdded.of(group));
        }
        let services = self.programs.shelf.remove(group).filter(|_| !active);
        let services = services.ok_or_else(|| Kind::BadName.of(group))?;
        let path = self.programs.path.clone().unwrap_or_default();
        let mut new = Vec::new();
        for service in services {
            let origin = super::slot::Origin::File(path.clone());
            new.push(self.add(service, Some(origin), None, None));
        }
        self.know_pools();
        self.publish_group("PROCESS_GROUP_ADDED", group);
        self.start_all(new);
        Ok(Value::Flag(true))
    }

    /// Forgets a group that has stopped.
    fn remove_group(&mut self, group: &str) -> Result<Value> {
        let ids = self.active_groups().remove(group);
        let ids = ids.ok_or_else(|| Kind::BadName.of(group))?;
        let stopped = |id: &u32| self.slots.get(id).is_none_or(|slot| slot.standing().is_stopped());
        if !ids.iter().all(stopped) {
            return Err(Kind::StillRunning.of(group));
        }
        if !self.programs.dropped.remove(group) && !self.programs.shelf.contains_key(group) {
            // It is still configured, so it may come back.
            let mut services = Vec::new();
            for id in &ids {
                if let Some(slot) = self.slots.get_mut(id) {
                    let none = Service::new("", Exec::new(Vec::new()));
                    services.push(std::mem::replace(&mut slot.service, none));
                }
            }
            self.programs.shelf.insert(group.to_string(), services);
        }
        for id in ids {
            self.want_down(id, Event::Forget);
        }
        self.know_pools();
        self.publish_group("PROCESS_GROUP_REMOVED", group);
        Ok(Value::Flag(true))
    }

    /// HUP, as supervisord takes it.
    pub(super) fn hang_up(&mut self) {
        if let Err(error) = self.begin_again("asked to begin anew by SIGHUP") {
            say(&format!("SIGHUP is ignored: {error}"));
        }
    }
}

/// What is configured about a process.
fn config_of(service: &Service, in_use: bool) -> Option<Value> {
    let member = service.member.as_deref()?;
    let setup = service.run.setup.as_deref();
    let restart = &*service.restart;
    let mut members = Members::default();
    let codes = restart.expected.iter().flatten().map(|code| Value::Int(i64::from(*code)));
    members.put("exitcodes", Value::Array(codes.collect()));
    members.flag("autostart", service.start.auto).flag("inuse", in_use);
    match service.run.cwd.as_deref() {
        Some(path) => members.text("directory", &path.display().to_string()),
        None => members.text("directory", "none"),
    };
    match setup.and_then(|setup| setup.user.as_ref()) {
        Some(user) => members.number("uid", i64::from(user.uid)),
        None => members.text("uid", "none"),
    };
    members.text("command", &member.command);
    members.text("group", &member.group).text("name", &member.process);
    members.number("group_prio", i64::from(member.group_priority));
    members.number("process_prio", i64::from(member.priority));
    members.flag("killasgroup", service.stop.kill == Reach::Group);
    members.flag("redirect_stderr", member.redirects);
    members.number("startretries", i64::from(restart.retries.unwrap_or_default()));
    members.number("startsecs", seconds(restart.healthy_after));
    members.number("stopsignal", i64::from(service.stop.signal.number()));
    members.number("stopwaitsecs", seconds(service.stop.limit.unwrap_or_default()));
    members.text("serverurl", member.url.as_deref().unwrap_or("none"));
    put_output(&mut members, OUT, &member.out, &service.out);
    put_output(&mut members, ERR, &member.err, &service.err);
    Some(members.end())
}

static OUT: [&str; 6] = [
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
];
static ERR: [&str; 6] = [
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
];

#[inline(never)]
fn put_output(members: &mut Members, names: [&'static str; 6], output: &Output, log: &LogTo) {
    let [file, size, keep, capture, events, syslog] = names;
    match (&output.path, output.auto) {
        (Some(path), _) => members.text(file, &path.display().to_string()),
        (None, true) => members.text(file, "auto"),
        (None, false) => members.text(file, "none"),
    };
    let (most, kept) = match log {
        LogTo::File(file) => (file.max_size, file.keep),
        _ => (50 << 20, 10),
    };
    members.number(size, i64::try_from(most).unwrap_or(i64::MAX)).number(keep, i64::from(kept));
    members.number(capture, i64::try_from(output.capture).unwrap_or(i64::MAX));
    members.flag(events, output.events).flag(syslog, output.syslog);
}

fn seconds(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Whether the program of a service can be executed: asked before it is tried.
fn executable(service: &Service) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let Some(program) = service.run.argv.first() else { return Err(Kind::NotExecutable.into()) };
    let program = Path::new(std::ffi::OsStr::from_bytes(program.as_bytes()));
    let shown = program.display();
    let found = match program.as_os_str().as_bytes().contains(&b'/') {
        true => program.metadata().ok().map(|meta| (program.to_path_buf(), meta)),
        false => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut places = std::env::split_paths(&path).map(|dir| dir.join(program));
            places.find_map(|path| path.metadata().ok().map(|meta| (path, meta)))
        }
    };
    let Some((path, meta)) = found else {
        return Err(Kind::NoFile.of(&format!("can't find command '{shown}'")));
    };
    let path = path.display();
    if meta.is_dir() {
        return Err(Kind::NotExecutable.of(&format!("command at '{path}' is a directory")));
    }
    match meta.permissions().mode() & 0o111 {
        0 => Err(Kind::NotExecutable.of(&format!("command at '{path}' is not executable"))),
        _ => Ok(()),
    }
}
