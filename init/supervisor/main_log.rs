//! supervisord's own log: what became of programs, in supervisor's words, kept in memory and, where
//! the configuration names a file, written there.

use super::Supervisor;
use super::programs::Standing;
use super::slot::Slot;
use crate::log::{FileLog, Recent, rfc3339};
use crate::machine::{Event, State};
use coracle::sys::pidfd::Exit;
use coracle::types::{Pid, Signal};
use std::time::{Duration, SystemTime};

#[derive(Default)]
pub struct MainLog {
    pub recent: Recent,
    pub file: Option<FileLog>,
}

impl MainLog {
    pub fn note(&mut self, level: &str, text: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let line = line(now, level, text);
        self.recent.push(line.as_bytes());
        if let Some(file) = &mut self.file {
            // What a full disk does not take is in memory.
            file.write(line.as_bytes());
        }
    }
}

fn line(now: Duration, level: &str, text: &str) -> String {
    // 2026-11-23T17:41:00.123Z
    let time = rfc3339(now, 3).replace('T', " ").replace('.', ",");
    let time = time.trim_end_matches('Z');
    format!("{time} {level} {}\n", text.replace('\n', " "))
}

/// A change of a process's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    pub from: Standing,
    pub to: Standing,
}

/// The changes that one from `before` to `now` stands for: supervisor has more of them.
pub fn changes(before: State, now: State) -> Vec<Change> {
    use Standing::*;
    let (from, to) = (Standing::of(before), Standing::of(now));
    let between = match (from, to) {
        _ if from == to => return Vec::new(),
        (Running, Starting) => Some(Exited),
        (Stopping, Starting) => Some(Stopped),
        (Starting | Running, Fatal) => Some(Backoff),
        _ => None,
    };
    let mut all = Vec::new();
    let mut from = from;
    for to in between.into_iter().chain([to]) {
        all.push(Change { from, to });
        from = to;
    }
    all
}

impl Supervisor {
    /// A process has been started.
    pub(super) fn note_spawned(&mut self, id: u32, pid: Pid) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.history.pid = Some(pid);
        }
        if let Some(process) = self.slots.get(&id).and_then(|slot| slot.process_name()) {
            let text = format!("spawned: '{process}' with pid {pid}");
            self.programs.log.note("INFO", &text);
        }
    }

    /// The state of a program has changed.
    pub(super) fn note_program(&mut self, id: u32, before: State, event: Event) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(process) = slot.process_name() else { return };
        let expected = slot.ended_well();
        let end = match event {
            Event::Exited(Exit::Code(code)) => format!("exit status {code}"),
            Event::Exited(Exit::Signal(number)) => match Signal::from_number(number) {
                Some(signal) => format!("terminated by {signal}"),
                None => format!("terminated by signal {number}"),
            },
            _ => String::new(),
        };
        let mut lines: Vec<(&str, String)> = Vec::new();
        let changes = changes(before, slot.machine.state);
        for change in &changes {
            let judged = if expected { "expected" } else { "not expected" };
            let level = if expected { "INFO" } else { "WARN" };
            match (change.from, change.to) {
                (_, Standing::Running) => {
                    let seconds = slot.service.restart.healthy_after.as_secs();
                    let text = format!(
                        "success: {process} entered RUNNING state, process has stayed up for > than \
                         {seconds} seconds (startsecs)"
                    );
                    lines.push(("INFO", text));
                }
                (_, Standing::Backoff) => {
                    let text = match &slot.history.spawn_error {
                        Some(error) => format!("spawnerr: {error}"),
                        None => format!("exited: {process} ({end}; not expected)"),
                    };
                    lines.push(("WARN", text));
                }
                (_, Standing::Exited) => {
                    lines.push((level, format!("exited: {process} ({end}; {judged})")));
                }
                (_, Standing::Fatal) => {
                    let text = format!(
                        "gave up: {process} entered FATAL state, too many start retries too quickly"
                    );
                    lines.push(("INFO", text));
                }
                (Standing::Stopping, Standing::Stopped) => {
                    lines.push((level, format!("stopped: {process} ({end})")));
                }
                _ => {}
            }
        }
        for (level, text) in lines {
            self.programs.log.note(level, &text);
        }
        let fatal = changes.iter().any(|change| change.to == Standing::Fatal);
        for change in changes {
            self.publish_change(id, change, fatal);
        }
        self.programs.changed = true;
        self.programs.pools.stir();
    }
}

impl Slot {
    fn process_name(&self) -> Option<String> {
        self.service.member.as_ref().map(|member| member.process.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_supervisors() {
        let now = Duration::from_millis(1_795_455_660_123);
        let expected = "2026-11-23 17:41:00,123 INFO spawned: 'web' with pid 7\n";
        assert_eq!(line(now, "INFO", "spawned: 'web' with pid 7"), expected);
    }

    #[test]
    fn supervisor_has_more_states_on_the_way() {
        use Standing::*;
        for (before, now, through) in [
            (State::Down, State::Starting, vec![Stopped, Starting]),
            (State::Starting, State::Up, vec![Starting, Running]),
            (State::Up, State::Starting, vec![Running, Exited, Starting]),
            (State::Up, State::Done, vec![Running, Exited]),
            (State::Starting, State::Backoff, vec![Starting, Backoff]),
            (State::Starting, State::Failed, vec![Starting, Backoff, Fatal]),
            (State::Stopping, State::Down, vec![Stopping, Stopped]),
            (State::Stopping, State::Starting, vec![Stopping, Stopped, Starting]),
            (State::Backoff, State::Down, vec![Backoff, Stopped]),
            (State::Down, State::Blocked, vec![]),
        ] {
            let found: Vec<Standing> = changes(before, now)
                .iter()
                .enumerate()
                .flat_map(
                    |(n, change)| {
                        if n == 0 { vec![change.from, change.to] } else { vec![change.to] }
                    },
                )
                .collect();
            assert_eq!(found, through, "{before:?} {now:?}");
        }
    }
}
