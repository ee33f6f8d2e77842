//! Answers what coxctl asks. Answers that take their time have a watcher: it is looked at whenever
//! the state of a service has changed.

use super::Supervisor;
use super::goal::{Goal, Standing, Verdict, judge};
use super::report::because;
use super::slot::By;
use crate::command::Command;
use crate::event_loop::{EventLoop, Source, Timer, Wake};
use crate::face::coxctl::{Address, Heard, Server};
use crate::face::request::{Request, Verb, fits, is_pattern};
use crate::json::Object;
use crate::machine::{Event, State, Want};
use crate::service::{LogTo, Ready};
use crate::sorted::Set;
use coracle::types::nearest;
use std::time::{Duration, Instant, SystemTime};

/// Exit codes of coxctl, besides 0.
pub const FAILED: u8 = 1;
const USAGE: u8 = 100;

/// Who asks, and who still waits.
pub struct Desk {
    server: Server,
    /// By the numbers of their connections. They are few.
    watchers: Vec<(u32, Watcher)>,
    /// What has changed since the watchers were last told; nothing is noted while there are none.
    changes: Vec<Change>,
}

impl Desk {
    pub fn open(place: Address, events: &EventLoop) -> Desk {
        let server = Server::open(place, events);
        Desk { server, watchers: Vec::new(), changes: Vec::new() }
    }
}

enum Watcher {
    Goals { sought: Vec<Sought>, code: u8 },
    Events { json: bool, patterns: Vec<String> },
}

struct Sought {
    id: u32,
    name: String,
    goal: Goal,
    /// When it is to be judged again, though nothing has changed.
    until: Option<Instant>,
}

struct Change {
    id: u32,
    name: String,
    from: &'static str,
    to: &'static str,
    why: String,
    at: Duration,
}

impl Change {
    fn show(&self, json: bool) -> String {
        let time = crate::log::rfc3339(self.at, 3);
        let Change { name, from, to, why, .. } = self;
        if json {
            let mut object = Object::new();
            object.text("time", &time).text("service", name).text("from", from).text("to", to);
            return object.text("why", why).end();
        }
        format!("{time} {name} {from} -> {to}: {why}")
    }
}

impl Supervisor {
    /// Something happened to coxctl's socket, or to a connection.
    pub(super) fn take_client(&mut self, wake: Wake) {
        let now = Instant::now();
        let (server, events) = (&mut self.desk.server, &mut self.event_loop);
        match wake {
            Wake::Io(Source::Listener) => server.accept(events, now),
            Wake::Io(Source::Connection(n)) => match server.attend(n, events, now) {
                Heard::Nothing => {}
                Heard::Gone => self.forget_watcher(n),
                Heard::TooLong => self.refuse(n, USAGE, "the request is too long"),
                Heard::Request(words) => match Request::parse(&words) {
                    Ok(request) => self.serve(n, &request),
                    Err(problem) => self.refuse(n, USAGE, &problem),
                },
            },
            Wake::Due(Timer::Connection(n)) if server.due(n, events, now) => self.judge(n, None),
            _ => {}
        }
    }

    fn serve(&mut self, n: u32, request: &Request) {
        let ids = match self.find(&request.names) {
            Ok(ids) => ids,
            Err(problem) => return self.refuse(n, FAILED, &problem),
        };
        let lines = match request.verb {
            Verb::Status if request.json => self.objects(&ids),
            Verb::Status => {
                let mut lines = vec![Supervisor::HEAD.to_string()];
                lines.extend(ids.iter().filter_map(|id| self.row(*id)));
                lines
            }
            Verb::Tree => self.tree(&self.roots(&request.names, ids)),
            Verb::Why => {
                let mut lines = Vec::new();
                ids.iter().for_each(|id| lines.extend(self.why(*id)));
                lines
            }
            Verb::Reload => self.reload_and_tell(),
            Verb::Healthy => return self.tell_health(n, &ids, !request.names.is_empty()),
            Verb::Logs { .. } => return self.tell_logs(n, &ids),
            Verb::Events => {
                let patterns = request.names.clone();
                let watcher = Watcher::Events { json: request.json, patterns };
                self.desk.watchers.push((n, watcher));
                return;
            }
            Verb::Wait(aim) => {
                let goals = ids.into_iter().map(|id| (id, Goal::Wait(aim))).collect();
                return self.watch_goals(n, goals, 0);
            }
            Verb::Pause | Verb::Continue | Verb::Signal(_) => {
                return self.signal_all(n, request.verb, &ids);
            }
            Verb::Start | Verb::Stop | Verb::Restart | Verb::Once => {
                return self.drive(n, request, ids);
            }
        };
        for line in lines {
            self.desk.server.tell(n, b'+', &line);
        }
        self.finish(n, 0);
    }

    /// The services of these names or patterns, all if there are none.
    fn find(&self, names: &[String]) -> Result<Vec<u32>, String> {
        let mut all: Vec<(&str, u32)> =
            self.slots.iter().map(|(id, slot)| (slot.service.name.as_str(), *id)).collect();
        all.sort_unstable();
        if names.is_empty() {
            return Ok(all.into_iter().map(|(_, id)| id).collect());
        }
        let mut found = Vec::new();
        for wanted in names {
            let exact = all.iter().filter(|(name, _)| name == wanted);
            let mut ids: Vec<u32> = exact.map(|(_, id)| *id).collect();
            let pattern = if wanted == "all" { "*" } else { wanted };
            if ids.is_empty() && is_pattern(pattern) {
                ids.extend(all.iter().filter(|(name, _)| fits(pattern, name)).map(|(_, id)| *id));
            }
            if ids.is_empty() {
                let meant = nearest(wanted, all.iter().map(|(name, _)| *name));
                let meant = meant.map(|meant| format!(", did you mean {meant}?"));
                return Err(format!("no service {wanted}{}", meant.unwrap_or_default()));
            }
            ids.retain(|id| !found.contains(id));
            found.extend(ids);
        }
        Ok(found)
    }

    fn objects(&self, ids: &[u32]) -> Vec<String> {
        let mut lines = vec!["[".to_string()];
        lines.extend(ids.iter().filter_map(|id| self.facts(*id)).map(|object| object + ","));
        if ids.is_empty() {
            return vec!["[]".into()];
        }
        if let Some(last) = lines.last_mut() {
            last.pop();
        }
        lines.push("]".into());
        lines
    }

    /// The services that the tree begins with: those asked for; else those nobody waits for, and
    /// those on a cycle, which nothing else leads to.
    fn roots(&self, names: &[String], ids: Vec<u32>) -> Vec<u32> {
        if !names.is_empty() {
            return ids;
        }
        let root = |id: &u32| self.graph.needed_by(*id).is_empty() || self.graph.is_cyclic(*id);
        ids.into_iter().filter(root).collect()
    }

    /// As by HUP: what came and went.
    fn reload_and_tell(&mut self) -> Vec<String> {
        let before: Set<u32> = self.slots.keys().copied().collect();
        self.reload();
        let mut lines = Vec::new();
        for (id, slot) in self.slots.iter() {
            let name = &slot.service.name;
            if !before.contains(id) {
                lines.push(format!("{name}: new"));
            } else if self.leaving.get(id) == Some(&Event::Forget) || slot.machine.is_forgotten() {
                lines.push(format!("{name}: goes"));
            } else if slot.next.is_some() {
                lines.push(format!("{name}: changed, from its next start on"));
            }
        }
        let gone = before.iter().filter(|id| !self.slots.contains_key(id)).count();
        if gone > 0 {
            lines.push(format!("{gone} gone"));
        }
        if lines.is_empty() {
            lines.push("nothing changed".into());
        }
        lines
    }

    fn tell_health(&mut self, n: u32, ids: &[u32], by_name: bool) {
        if self.shutdown.is_some() {
            return self.refuse(n, FAILED, "cox is stopping");
        }
        let mut code = 0;
        for id in ids {
            if let Some(ailment) = self.ailment(*id, by_name) {
                code = FAILED;
                let line = format!("{} {ailment}", self.name(*id));
                self.desk.server.tell(n, b'!', &line);
            }
        }
        self.finish(n, code);
    }

    /// Where the lines of these services are. A file that several write to is told once.
    fn tell_logs(&mut self, n: u32, ids: &[u32]) {
        let mut code = 0;
        let mut told = Vec::new();
        for id in ids {
            let Some(slot) = self.slots.get(id) else { continue };
            let service = &slot.service;
            let mut lines: Vec<(u8, String)> = Vec::new();
            for to in [&service.out, &service.err] {
                let LogTo::File(file) = to else { continue };
                // The other one may be in another directory.
                let path = std::path::absolute(&file.path).unwrap_or(file.path.clone());
                if !told.contains(&path) {
                    lines.push((b'@', format!("{}\t{}", service.name, path.display())));
                    told.push(path);
                }
            }
            let is_file = |to: &LogTo| matches!(to, LogTo::File(_));
            if !is_file(&service.out) && !is_file(&service.err) {
                code = FAILED;
                let place = match (&service.out, slot.logger) {
                    (LogTo::Null, _) => "its lines go nowhere",
                    (_, Some(_)) => "its lines go to its log/run",
                    _ => "its lines go to the container's output; see the engine's logs",
                };
                lines.push((b'!', format!("{}: {place}", service.name)));
            }
            for (mark, line) in lines {
                self.desk.server.tell(n, mark, &line);
            }
        }
        self.finish(n, code);
    }

    fn signal_all(&mut self, n: u32, verb: Verb, ids: &[u32]) {
        let mut code = 0;
        for id in ids {
            let command = match verb {
                Verb::Pause => Command::Pause,
                Verb::Signal(signal) => Command::Signal(signal),
                _ => Command::Continue,
            };
            let Some(slot) = self.slots.get(id) else { continue };
            if slot.machine.pid.is_none() || slot.machine.state == State::Finishing {
                code = FAILED;
                let line = format!("{} is {}: nothing to signal", self.name(*id), slot.state());
                self.desk.server.tell(n, b'!', &line);
            } else {
                self.command(*id, command, By::Coxctl);
            }
        }
        self.finish(n, code);
    }

    /// Starts, stops or restarts.
    fn drive(&mut self, n: u32, request: &Request, ids: Vec<u32>) {
        if self.shutdown.is_some() && request.verb != Verb::Stop {
            return self.refuse(n, FAILED, "cox is stopping");
        }
        let mut goals = Vec::new();
        for id in ids {
            let Some(slot) = self.slots.get(&id) else { continue };
            let starts = slot.history.starts;
            let runs = matches!(slot.machine.state, State::Starting | State::Up);
            let wanted = slot.machine.want == Want::Up;
            let (commands, goal): (&[Command], Goal) = match request.verb {
                Verb::Stop => (&[Command::Down], Goal::Stopped),
                Verb::Restart if runs && wanted => (&[Command::Restart], Goal::Started(starts)),
                Verb::Restart if runs => (&[Command::Restart, Command::Up], Goal::Started(starts)),
                Verb::Once if runs => (&[Command::Once], Goal::Started(starts.saturating_sub(1))),
                Verb::Once => (&[Command::Once], Goal::Started(starts)),
                _ if runs => (&[Command::Up], Goal::Started(starts.saturating_sub(1))),
                _ => (&[Command::Up], Goal::Started(starts)),
            };
            goals.push((id, goal));
            for command in commands {
                self.command(id, *command, By::Coxctl);
            }
        }
        if request.wait {
            self.watch_goals(n, goals, 0);
        } else {
            self.finish(n, 0);
        }
    }

    fn watch_goals(&mut self, n: u32, goals: Vec<(u32, Goal)>, code: u8) {
        let sought = goals
            .into_iter()
            .map(|(id, goal)| Sought { id, name: self.name(id), goal, until: None })
            .collect();
        self.desk.watchers.push((n, Watcher::Goals { sought, code }));
        self.judge(n, None);
    }

    /// Looks whether what watcher `n` waits for has come: of the services in `changed`, or of all.
    fn judge(&mut self, n: u32, changed: Option<&Set<u32>>) {
        let now = Instant::now();
        let is_it = |(number, watcher): &(u32, Watcher)| {
            *number == n && matches!(watcher, Watcher::Goals { .. })
        };
        let at = self.desk.watchers.iter().position(is_it);
        let watcher = at.map(|at| self.desk.watchers.swap_remove(at));
        let Some((_, Watcher::Goals { mut sought, mut code })) = watcher else { return };
        sought.retain_mut(|one| {
            // What it is blocked by changes with others.
            let unchanged = changed.is_some_and(|ids| !ids.contains(&one.id));
            if one.until.is_none() && unchanged && !self.is_blocked(one.id) {
                return true;
            }
            one.until = None;
            match judge(one.goal, &self.standing(one.id), now) {
                Verdict::Wait => return true,
                Verdict::Until(at) => {
                    one.until = Some(at);
                    return true;
                }
                Verdict::Reached => {
                    let state = self.slots.get(&one.id).map_or("gone", |slot| slot.state());
                    self.desk.server.tell(n, b'+', &format!("{}: {state}", one.name));
                }
                Verdict::Never => {
                    code = FAILED;
                    let note = self.note(one.id);
                    let state = self.slots.get(&one.id).map_or("gone", |slot| slot.state());
                    let note = if note.is_empty() { format!("is {state}") } else { note };
                    self.desk.server.tell(n, b'!', &format!("{}: {note}", one.name));
                }
            }
            false
        });
        if sought.is_empty() {
            return self.finish(n, code);
        }
        let until = sought.iter().filter_map(|one| one.until).min();
        self.desk.server.wake_at(n, until, &mut self.event_loop);
        self.desk.watchers.push((n, Watcher::Goals { sought, code }));
        self.send(n);
    }

    fn standing(&self, id: u32) -> Standing {
        let Some(slot) = self.slots.get(&id) else {
            return Standing {
                state: State::Gone,
                since: Instant::now(),
                starts: 0,
                oneshot: false,
                at_once: false,
                hopeless: false,
            };
        };
        Standing {
            state: slot.machine.state,
            since: slot.history.since,
            starts: slot.history.starts,
            oneshot: slot.is_oneshot(),
            at_once: slot.service.ready == Ready::Started,
            hopeless: self.is_blocked_in_vain(id),
        }
    }

    /// Remembers that `event` has changed the state of a service from `before`; whether it has.
    pub(super) fn note_change(
        &mut self,
        id: u32,
        before: State,
        event: Event,
        now: Instant,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(&id) else { return false };
        if slot.machine.state == before {
            return false;
        }
        slot.history.since = now;
        if !self.desk.watchers.is_empty() {
            let why = because(event, slot.machine.fault);
            let (from, to) = (before.word(), slot.state());
            self.note_event(id, from, to, why);
        }
        true
    }

    /// Remembers that a service was found healthy, or not.
    pub(super) fn note_health(&mut self, id: u32, why: &str) {
        if let Some(slot) = self.slots.get(&id)
            && !self.desk.watchers.is_empty()
        {
            let state = slot.state();
            self.note_event(id, state, state, why.into());
        }
    }

    fn note_event(&mut self, id: u32, from: &'static str, to: &'static str, why: String) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = self.name(id);
        self.desk.changes.push(Change { id, name, from, to, why, at });
    }

    /// Tells the watchers what has changed.
    pub(super) fn tell_clients(&mut self) {
        self.serve_pools();
        self.look_at_jobs();
        if !self.tails.is_empty() {
            self.follow_tails();
        }
        if self.desk.changes.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.desk.changes);
        let changed: Set<u32> = changes.iter().map(|change| change.id).collect();
        let watchers: Vec<u32> = self.desk.watchers.iter().map(|(n, _)| *n).collect();
        for n in watchers {
            let watcher = self.desk.watchers.iter().find(|(number, _)| *number == n);
            match watcher.map(|(_, watcher)| watcher) {
                Some(Watcher::Goals { .. }) => self.judge(n, Some(&changed)),
                Some(Watcher::Events { json, patterns }) => {
                    let wanted = |change: &&Change| {
                        let name = &change.name;
                        patterns.is_empty() || patterns.iter().any(|p| fits(p, name))
                    };
                    for change in changes.iter().filter(wanted) {
                        self.desk.server.tell(n, b'+', &change.show(*json));
                    }
                    self.send(n);
                }
                None => {}
            }
        }
    }

    fn name(&self, id: u32) -> String {
        self.slots.get(&id).map(|slot| slot.service.name.clone()).unwrap_or_default()
    }

    fn refuse(&mut self, n: u32, code: u8, problem: &str) {
        self.desk.server.tell(n, b'!', problem);
        self.finish(n, code);
    }

    fn finish(&mut self, n: u32, code: u8) {
        self.desk.server.end(n, code);
        self.send(n);
    }

    fn send(&mut self, n: u32) {
        if !self.desk.server.send(n, &mut self.event_loop, Instant::now()) {
            self.forget_watcher(n);
        }
    }

    fn forget_watcher(&mut self, n: u32) {
        self.desk.watchers.retain(|(number, _)| *number != n);
    }
}
