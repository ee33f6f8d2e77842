//! The ordered stop: the hands of `shutdown`.

use super::{STOP_TIMEOUT, Supervisor};
use crate::event_loop::Timer;
use crate::machine::{Event, Want};
use crate::process_table::ProcessTable;
use crate::shutdown::{Phase, Shutdown};
use crate::sorted::Set;
use coracle::sys::signal;
use coracle::types::{Pid, Signal};
use std::time::Instant;

/// Why all ended, and who did not go by himself.
#[derive(Debug, Default)]
pub struct End {
    why: String,
    /// The services that had to be killed.
    pub services: Set<String>,
    /// How many other processes had to be.
    strangers: usize,
}

impl End {
    pub fn explain(&self, code: u8) -> String {
        const MOST: usize = 8;
        let mut killed: Vec<String> = self.services.iter().take(MOST).cloned().collect();
        match self.services.len().saturating_sub(MOST) {
            0 => {}
            more => killed.push(format!("{more} more")),
        }
        match self.strangers {
            0 => {}
            1 => killed.push("an orphan".into()),
            count => killed.push(format!("{count} orphans")),
        }
        let mut text = format!("exit {code}: {}", self.why);
        if !killed.is_empty() {
            text.push_str(&format!("; killed: {}", killed.join(", ")));
        }
        text
    }
}

impl Supervisor {
    /// Begins the stop; asked again, hurries it.
    pub(super) fn ask_to_stop(&mut self, why: &str) {
        let now = Instant::now();
        let old = self.shutdown.as_ref().map(Shutdown::until);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.hurry(now);
            return self.arm_shutdown(old);
        }
        self.end.why = why.to_string();
        self.publish("SUPERVISOR_STATE_CHANGE_STOPPING", Vec::new);
        let loggers =
            !self.router.is_empty() || self.slots.values().any(|slot| slot.pipe.is_some());
        self.shutdown =
            Some(Shutdown::begin(now, self.options.stop_timeout.unwrap_or(STOP_TIMEOUT), loggers));
        self.arm_shutdown(None);
        let writers = self.ids(false);
        self.leaving = writers.into_iter().map(|id| (id, Event::Want(Want::Down))).collect();
        self.let_go();
        let services: Set<Pid> = self.pids.keys().chain(self.helpers.keys()).copied().collect();
        self.tell_strangers(&services);
        if self.options.first
            && let (Some(table), Some(me)) = (ProcessTable::read(), own_pid())
        {
            // They are told, but not waited for: they are not ours.
            table.guests(me).into_iter().for_each(|pid| send(pid, Signal::TERM));
        }
    }

    /// Goes on as far as the stop has come; whether it is over.
    pub(super) fn advance_shutdown(&mut self) -> bool {
        loop {
            let Some(shutdown) = &self.shutdown else { return false };
            let phase = shutdown.phase();
            if phase == Phase::Over {
                self.kill_the_rest();
                self.router.abandon();
                return true;
            }
            let loggers = phase >= Phase::Loggers;
            let busy = self
                .slots
                .values()
                .any(|slot| slot.pipe.is_some() == loggers && slot.machine.is_active());
            let writing = loggers && !self.router.is_empty();
            if busy || writing || !loggers && self.tell_strangers(&self.loggers()) {
                return false;
            }
            self.enter(Shutdown::complete);
        }
    }

    /// The time of the present phase is up.
    pub(super) fn expire_shutdown(&mut self) {
        // Something else may just have begun the next one.
        if self.shutdown.as_ref().is_some_and(|shutdown| shutdown.until() <= Instant::now()) {
            self.enter(Shutdown::expire);
        }
    }

    fn enter(&mut self, next: fn(&mut Shutdown, Instant) -> Phase) {
        let Some(shutdown) = &mut self.shutdown else { return };
        let old = Some(shutdown.until());
        let phase = next(shutdown, Instant::now());
        self.arm_shutdown(old);
        match phase {
            Phase::WritersKilled => {
                self.each(false, Event::Kill);
                self.kill_strangers(&self.loggers());
            }
            Phase::Loggers => {
                self.each(false, Event::Kill);
                let loggers = self.ids(true);
                loggers.into_iter().for_each(|id| self.drain(id));
                self.router.finish(&mut self.event_loop);
            }
            Phase::LoggersTold => self.each(true, Event::Want(Want::Down)),
            Phase::LoggersKilled => self.each(true, Event::Kill),
            Phase::Writers => {
                self.leaving.clear();
                self.each(false, Event::Want(Want::Down));
            }
            Phase::InOrder | Phase::Over => {}
        }
    }

    fn arm_shutdown(&mut self, old: Option<Instant>) {
        let new = self.shutdown.as_ref().map(Shutdown::until);
        self.event_loop.arm(Timer::Shutdown, old, new);
    }

    pub(super) fn ids(&self, loggers: bool) -> Vec<u32> {
        let chosen = self.slots.iter().filter(|(_, slot)| slot.pipe.is_some() == loggers);
        chosen.map(|(id, _)| *id).collect()
    }

    fn each(&mut self, loggers: bool, event: Event) {
        for id in self.ids(loggers) {
            self.dispatch(id, None, event);
        }
    }

    fn loggers(&self) -> Set<Pid> {
        let loggers = self.slots.values().filter(|slot| slot.pipe.is_some());
        loggers.filter_map(|slot| slot.machine.pid).collect()
    }

    /// Our descendants, but those in `spared` and theirs. None where /proc cannot tell.
    fn strangers(&self, spared: &Set<Pid>) -> Vec<Pid> {
        let table = ProcessTable::read().unwrap_or_default();
        own_pid().map(|me| table.descendants(me, spared)).unwrap_or_default()
    }

    fn kill_strangers(&mut self, spared: &Set<Pid>) {
        let strangers = self.strangers(spared);
        self.end.strangers = self.end.strangers.max(strangers.len());
        for pid in strangers {
            send(pid, Signal::KILL);
        }
    }

    /// Sends TERM to each stranger that has not had it yet; whether there are strangers.
    fn tell_strangers(&mut self, spared: &Set<Pid>) -> bool {
        let strangers = self.strangers(spared);
        if let Some(shutdown) = &mut self.shutdown {
            for pid in &strangers {
                if shutdown.told.insert(*pid) {
                    send(*pid, Signal::TERM);
                    send(*pid, Signal::CONT);
                }
            }
        }
        !strangers.is_empty()
    }

    fn kill_the_rest(&mut self) {
        self.kill_strangers(&Set::new());
        // Whom /proc did not show. Refused where we are not PID 1.
        if self.options.first && ProcessTable::read().is_none() {
            let _ = signal::kill_namespace(Signal::KILL);
        }
    }
}

/// One that has ended meanwhile cannot be signalled, and need not be.
fn send(pid: Pid, signal: Signal) {
    let _ = signal::kill(pid, signal);
}

fn own_pid() -> Option<Pid> {
    i32::try_from(std::process::id()).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_names_the_killed_but_not_endlessly() {
        let mut end = End { why: "asked to stop by SIGTERM".into(), ..End::default() };
        assert_eq!(end.explain(0), "exit 0: asked to stop by SIGTERM");
        end.services.insert("web".into());
        end.strangers = 1;
        assert_eq!(end.explain(0), "exit 0: asked to stop by SIGTERM; killed: web, an orphan");
        end.services = (0..10).map(|n| format!("s{n}")).collect();
        end.strangers = 12;
        let text = end.explain(0);
        assert!(text.ends_with("killed: s0, s1, s2, s3, s4, s5, s6, s7, 2 more, 12 orphans"));
    }
}
