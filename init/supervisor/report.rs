//! What is told about services: in the cells of a table, in sentences, in JSON, as a tree.

use super::Supervisor;
use super::slot::{By, Slot, describe};
use crate::json::Object;
use crate::machine::{Event, Fault, State, Want};
use crate::service::{Kind, Ready};
use crate::sorted::Set;
use coracle::sys::pidfd::Exit;
use coracle::types::Signal;
use std::time::{Duration, Instant, SystemTime};

impl Supervisor {
    /// The cells of a row, in the order of `HEAD`.
    pub(super) fn row(&self, id: u32) -> Option<String> {
        let slot = self.slots.get(&id)?;
        let pid = slot.machine.pid.map_or("-".into(), |pid| pid.to_string());
        let time = span(slot.history.since.elapsed());
        let restarts = slot.restarts();
        let name = slot.service.name.replace('\t', " ");
        let (state, health, note) = (slot.state(), slot.health(), self.note(id));
        Some(format!("{name}\t{state}\t{pid}\t{time}\t{restarts}\t{health}\t{note}"))
    }

    pub(super) const HEAD: &str = "NAME\tSTATE\tPID\tFOR\tRESTARTS\tHEALTH\tNOTE";

    /// Every fact, as a JSON object.
    pub(super) fn facts(&self, id: u32) -> Option<String> {
        let slot = self.slots.get(&id)?;
        let machine = &slot.machine;
        let mut object = Object::new();
        object
            .text("name", &slot.service.name)
            .text("kind", if slot.is_oneshot() { "oneshot" } else { "daemon" })
            .text("state", slot.state())
            .text(
                "want",
                match machine.want {
                    Want::Up => "up",
                    Want::Down => "down",
                    Want::Once => "once",
                },
            )
            .maybe("pid", machine.pid)
            .text("since", &timestamp(slot.history.since))
            .plain("seconds", seconds(slot.history.since.elapsed()))
            .plain("restarts", slot.restarts())
            .plain("tries", machine.tries)
            .plain("ready", machine.state == State::Up || slot.is_oneshot_done())
            .maybe("healthy", slot.healthy)
            .plain("paused", machine.paused);
        let (code, signal) = match machine.last {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(number)) => (None, Some(number)),
            None => (None, None),
        };
        object.maybe("exit_code", code);
        match signal.and_then(Signal::from_number) {
            Some(signal) => object.text("exit_signal", &signal.to_string()),
            None => object.maybe("exit_signal", signal),
        };
        let next = slot.next_start().map(seconds);
        object.maybe("next_start_in", next);
        let start = &slot.service.start;
        object.plain("auto", start.auto);
        object.texts("requires", &start.requires).texts("after", &start.after);
        let logger = slot.logger.and_then(|logger| self.slots.get(&logger));
        match logger {
            Some(logger) => object.text("logger", &logger.service.name),
            None => object.maybe("logger", None::<u8>),
        };
        Some(object.text("note", &self.note(id)).end())
    }

    /// What is worth knowing besides the state, in few words.
    pub(super) fn note(&self, id: u32) -> String {
        let Some(slot) = self.slots.get(&id) else { return "is gone".into() };
        let machine = &slot.machine;
        let ended = machine.last.map(describe);
        let ended = ended.unwrap_or_else(|| "could not be started".into());
        match machine.state {
            State::Blocked => self.obstacle(id).unwrap_or_else(|| "is about to start".into()),
            State::Backoff => {
                let wait = span(slot.next_start().unwrap_or_default());
                let fault = fault(machine.fault);
                format!("{fault}{ended}; start {} in {wait}", slot.history.starts.saturating_add(1))
            }
            State::Failed => match slot.history.gave_up {
                Some(why) => format!("{ended}; stays down: {why}"),
                None => ended,
            },
            State::Done => ended,
            State::Down if machine.last.is_some() && machine.want == Want::Down => self
                .who_asked(slot)
                .map_or(ended, |(who, wish, _)| format!("{who} asked to {wish}")),
            State::Down if !slot.service.start.auto => "starts only when asked to".into(),
            State::Down | State::Gone => String::new(),
            State::Stopping => match machine.deadline {
                Some(at) => {
                    let left = span(at.saturating_duration_since(Instant::now()));
                    format!("{}is killed in {left}", fault(machine.fault))
                }
                None => format!("{}has no limit to its stop", fault(machine.fault)),
            },
            State::Finishing => format!("{ended}; its finish runs"),
            State::Starting | State::Up if machine.paused => "paused".into(),
            State::Starting | State::Up if slot.restarts() > 0 && machine.last.is_some() => {
                format!("before that it {ended}")
            }
            State::Starting | State::Up => String::new(),
        }
    }

    /// Why it is as it is, in sentences.
    pub(super) fn why(&self, id: u32) -> Vec<String> {
        let Some(slot) = self.slots.get(&id) else { return Vec::new() };
        let machine = &slot.machine;
        let name = &slot.service.name;
        let mut first =
            format!("{name} is {} for {}", slot.state(), { span(slot.history.since.elapsed()) });
        if let Some(pid) = machine.pid {
            first.push_str(&format!(", as process {pid}"));
        }
        match slot.history.starts {
            0 => first.push_str(", and was never started"),
            1 => {}
            starts => first.push_str(&format!(", and was started {starts} times")),
        }
        let note = self.note(id);
        if !note.is_empty() {
            first.push_str(&format!(": {note}"));
        }
        let mut sentences = vec![first + "."];
        if let Some((who, wish, ago)) = self.who_asked(slot) {
            sentences.push(format!("{who} asked to {wish} {ago} ago."));
        } else if machine.want == Want::Down && slot.history.starts == 0 {
            sentences.push("Nobody asked for it.".into());
        }
        match slot.health() {
            "-" => {}
            health => sentences.push(format!("It is {health}.")),
        }
        if machine.state == State::Failed {
            sentences.push(format!("It is not started again until asked to: coxctl start {name}"));
        }
        sentences
    }

    /// Who wanted something of it last, what, and how long ago.
    fn who_asked(&self, slot: &Slot) -> Option<(String, &'static str, String)> {
        let asked = slot.history.asked.as_deref()?;
        let who = match asked.by {
            By::Control => "svc, or whoever writes to its supervise/control,".into(),
            By::Coxctl => "coxctl".into(),
            By::Supervisorctl => "supervisorctl".into(),
            By::Service(id) => match self.slots.get(&id) {
                Some(other) => format!("the stop of {}", other.service.name),
                None => "the stop of a service that is gone".into(),
            },
        };
        Some((who, asked.wish, span(asked.at.elapsed())))
    }

    /// Why a service does not count as healthy, if it does not. One that nobody wants up has no
    /// need to be, unless it was asked about by name.
    pub(super) fn ailment(&self, id: u32, by_name: bool) -> Option<String> {
        let slot = self.slots.get(&id)?;
        let machine = &slot.machine;
        let well = match machine.state {
            State::Up => slot.healthy != Some(false),
            State::Failed => false,
            State::Done => slot.is_oneshot() || !by_name,
            _ => machine.want == Want::Down && !machine.is_active() && !by_name,
        };
        if well {
            return None;
        }
        if machine.state == State::Up {
            return Some("is unhealthy".into());
        }
        let (state, note) = (slot.state(), self.note(id));
        Some(if note.is_empty() { format!("is {state}") } else { format!("is {state}: {note}") })
    }

    /// Services, under each what it waits for. One that was shown before stands alone.
    pub(super) fn tree(&self, ids: &[u32]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut shown = Set::new();
        // What is to be shown, with its depth and how it is needed; the last comes next.
        let mut open: Vec<(u32, usize, &str)> = ids.iter().rev().map(|id| (*id, 0, "")).collect();
        while let Some((id, depth, how)) = open.pop() {
            let Some(slot) = self.slots.get(&id) else { continue };
            let indent = "  ".repeat(depth);
            let needs = self.graph.needs(id);
            let again = !shown.insert(id) && !needs.is_empty();
            let more = if again { " ..." } else { "" };
            let (name, state) = (&slot.service.name, slot.state());
            lines.push(format!("{indent}{how}{name} ({state}){more}"));
            if again {
                continue;
            }
            let below = depth.saturating_add(1);
            for missing in self.graph.missing(id) {
                let indent = "  ".repeat(below);
                lines.push(format!("{indent}requires {missing} ({})", self.absence(missing)));
            }
            for needs in needs.iter().rev() {
                open.push((needs.id, below, if needs.hard { "requires " } else { "after " }));
            }
        }
        lines
    }
}

impl Slot {
    fn restarts(&self) -> u32 {
        self.history.starts.saturating_sub(1)
    }

    fn is_oneshot_done(&self) -> bool {
        self.service.kind == Kind::Oneshot && self.machine.state == State::Done
    }

    fn next_start(&self) -> Option<Duration> {
        let waits = self.machine.state == State::Backoff;
        let deadline = self.machine.deadline.filter(|_| waits)?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// In a word; `-` where there is nothing to tell.
    fn health(&self) -> &'static str {
        match (self.machine.state, self.healthy) {
            (State::Up, Some(true)) => "healthy",
            (State::Up, Some(false)) => "unhealthy",
            (State::Up, None) if self.service.ready != Ready::Started => "ready",
            (State::Starting, _) if !self.is_oneshot() => "not ready",
            _ => "-",
        }
    }
}

/// What changed the state of a service, in words.
pub fn because(event: Event, fault: Option<Fault>) -> String {
    match event {
        Event::Want(Want::Down) => "to be stopped".into(),
        Event::Want(_) => "to be started".into(),
        Event::Clear => "what it waited for is there".into(),
        Event::Spawned(pid) => format!("is process {pid}"),
        Event::SpawnFailed => "could not be started".into(),
        Event::Ready => "is ready".into(),
        Event::Unhealthy => "is unhealthy".into(),
        Event::Exited(exit) => describe(exit),
        Event::Deadline if fault == Some(Fault::NotReady) => "was not ready in time".into(),
        Event::Deadline => "has waited".into(),
        Event::AtMostOnce => "not to be started again".into(),
        Event::Restart => "to be restarted".into(),
        Event::Drain => "nobody writes to it any more".into(),
        Event::Forget => "to be forgotten".into(),
        Event::ExecFailed(_) | Event::Signal(_) | Event::Pause | Event::Continue | Event::Kill => {
            String::new()
        }
    }
}

fn fault(fault: Option<Fault>) -> &'static str {
    match fault {
        Some(Fault::NotReady) => "was not ready in time and ",
        Some(Fault::Unhealthy) => "was unhealthy and ",
        None => "",
    }
}

fn timestamp(at: Instant) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    crate::log::rfc3339(now.saturating_sub(at.elapsed()), 3)
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// A length of time in its two largest units.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        let count = rest.checked_div(length).unwrap_or_default();
        rest = rest.checked_rem(length).unwrap_or_default();
        if count > 0 || !parts.is_empty() {
            parts.push((count, unit));
        }
    }
    let parts: Vec<String> = parts
        .iter()
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    match parts.is_empty() {
        true => format!("{}ms", time.subsec_millis()),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_at_most_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (61_000, "1m 1s"),
            (3_600_000, "1h"),
            (3_601_000, "1h"),
            (7_260_000, "2h 1m"),
            (90_000_000, "1d 1h"),
            (8_640_000_000, "100d"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
        assert_eq!(seconds(Duration::from_millis(1025)), "1.025");
    }
}
