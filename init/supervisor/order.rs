//! Starts and stops in the order of the graph.
//!
//! A service that is asked for brings those that it requires; each waits (`Blocked`) until those
//! it needs have had their turn. One that is to go takes those that require it with it, and waits
//! (`leaving`) until they have gone.

use super::Supervisor;
use super::slot::{Asked, By, Origin, Slot};
use crate::graph::{Graph, Problem};
use crate::machine::{Event, State, Want};
use crate::message::say;
use crate::service::Kind;
use std::time::Instant;

impl Supervisor {
    /// Looks again at who waits for whom, after services have come or gone.
    fn order_anew(&mut self) {
        if !std::mem::take(&mut self.reorder) {
            return;
        }
        let services = self.slots.iter().map(|(id, slot)| {
            let start = match (&slot.origin, &self.init) {
                (Some(Origin::Directory { .. }), Some(init)) => init,
                _ => &slot.service.start,
            };
            (*id, slot.service.name.as_str(), start)
        });
        let (graph, problems) = Graph::new(services);
        self.graph = graph;
        for problem in &problems {
            if !self.problems.contains(problem) {
                say(&self.describe(problem));
            }
        }
        self.problems = problems;
        self.unblock_all();
    }

    /// Starts those of `ids` that start without being asked.
    pub(super) fn start_all(&mut self, ids: Vec<u32>) {
        self.order_anew();
        for id in self.graph.order(ids) {
            match self.slots.get(&id).map(|slot| slot.service.start.auto) {
                Some(true) => self.want_up(id, Want::Up),
                _ => self.settle(id, None),
            }
        }
    }

    /// Asks for a service, and for those that it requires.
    pub(super) fn want_up(&mut self, id: u32, want: Want) {
        self.leaving.remove(&id);
        for required in self.graph.required(id) {
            if self.slots.get(&required).is_some_and(|slot| !slot.is_active_or_done()) {
                self.leaving.remove(&required);
                self.dispatch(required, None, Event::Want(Want::Up));
            }
        }
        self.dispatch(id, None, Event::Want(want));
    }

    /// Stops a service (by `Want(Down)` or `Forget`), and before it those that require it.
    pub(super) fn want_down(&mut self, id: u32, event: Event) {
        for requiring in self.graph.requiring(id) {
            if let Some(slot) = self.slots.get_mut(&requiring)
                && slot.machine.is_active()
            {
                let asked = Asked { by: By::Service(id), wish: "stop it", at: Instant::now() };
                slot.history.asked = Some(Box::new(asked));
                self.leaving.insert(requiring, Event::Want(Want::Down));
            }
        }
        self.leaving.insert(id, event);
        self.let_go();
    }

    /// Stops those of the leaving that nobody who is still there needs.
    pub(super) fn let_go(&mut self) {
        // Most of the time nobody is.
        if self.leaving.is_empty() {
            return;
        }
        let stopping = self.shutdown.is_some();
        // Groups of supervisor's programs of a higher priority go first.
        let highest = match stopping {
            true => self.slots.values().filter_map(|slot| slot.turn_to_stop()).max(),
            false => None,
        };
        let waits = |id: &u32| {
            let slot = self.slots.get(id).filter(|_| stopping);
            slot.and_then(|slot| slot.turn_to_stop()).is_some_and(|turn| Some(turn) != highest)
        };
        let free: Vec<(u32, Event)> = self
            .leaving
            .iter()
            .filter(|(id, _)| !waits(id))
            .filter(|(id, _)| {
                let mut needed_by = self.graph.needed_by(**id).iter();
                !needed_by.any(|other| {
                    (other.hard || stopping)
                        && !self.graph.is_cyclic(other.id)
                        && self.slots.get(&other.id).is_some_and(|slot| slot.machine.is_active())
                })
            })
            .map(|(id, event)| (*id, *event))
            .collect();
        for (id, event) in free {
            self.leaving.remove(&id);
            self.dispatch(id, None, event);
        }
    }

    /// Whether a service could start now: those it needs have had their turn.
    pub(super) fn is_clear(&self, id: u32) -> bool {
        !self.is_hopeless(id)
            && self.graph.needs(id).iter().all(|needs| {
                let Some(slot) = self.slots.get(&needs.id) else { return true };
                if needs.hard {
                    slot.is_there()
                } else {
                    slot.had_its_turn() || self.is_blocked_in_vain(needs.id)
                }
            })
    }

    /// What a blocked service waits for, in words.
    pub(super) fn obstacle(&self, id: u32) -> Option<String> {
        if let Some(name) = self.graph.missing(id).first() {
            return Some(format!("requires {name}, which {}", self.absence(name)));
        }
        if self.graph.is_cyclic(id) {
            return Some("is part of a cycle".into());
        }
        self.graph.needs(id).iter().find_map(|needs| {
            let slot = self.slots.get(&needs.id)?;
            let name = &slot.service.name;
            match needs.hard {
                true if !slot.is_there() => {
                    Some(format!("requires {name}, which is {}", slot.state()))
                }
                false if !slot.had_its_turn() => {
                    Some(format!("comes after {name}, which is {}", slot.state()))
                }
                _ => None,
            }
        })
    }

    pub(super) fn is_blocked(&self, id: u32) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.is_blocked())
    }

    /// Whatever comes, it can never start as things are.
    fn is_hopeless(&self, id: u32) -> bool {
        self.graph.is_cyclic(id) || !self.graph.missing(id).is_empty()
    }

    /// Blocked, and nobody is about to change that: whoever only comes after it need not wait.
    pub(super) fn is_blocked_in_vain(&self, id: u32) -> bool {
        // Those on the way were blocked by each other; a cycle ends it as hopeless.
        let mut open = vec![id];
        let mut seen = Vec::new();
        while let Some(id) = open.pop() {
            if !self.is_blocked(id) || seen.contains(&id) {
                continue;
            }
            seen.push(id);
            if self.is_hopeless(id) {
                return true;
            }
            for needs in self.graph.needs(id).iter().filter(|needs| needs.hard) {
                match self.slots.get(&needs.id) {
                    Some(slot) if !slot.is_active_or_done() => return true,
                    _ => open.push(needs.id),
                }
            }
        }
        false
    }

    /// Something changed for `id`: those that wait for it, directly or not, may start.
    pub(super) fn unblock_after(&mut self, id: u32) {
        let mut open: Vec<u32> = self.graph.needed_by(id).iter().map(|needs| needs.id).collect();
        while let Some(id) = open.pop() {
            if self.is_blocked(id) && self.unblocked.insert(id) {
                open.extend(self.graph.needed_by(id).iter().map(|needs| needs.id));
            }
        }
    }

    /// Why there is no service of this name, as the end of a sentence.
    pub(super) fn absence(&self, name: &str) -> &'static str {
        if self.named.contains(name) { "was left out for a fault" } else { "does not exist" }
    }

    fn describe(&self, problem: &Problem) -> String {
        match problem {
            Problem::Unknown { service, other, hard: true } => {
                format!(
                    "{service}: requires {other}, which {}; it is not started",
                    self.absence(other)
                )
            }
            Problem::Unknown { service, other, hard: false } => {
                format!(
                    "{service}: comes after {other}, which {}; that is ignored",
                    self.absence(other)
                )
            }
            Problem::Cycle(names) => match names.as_slice() {
                [name] => format!("{name}: waits for itself; it is not started"),
                [first, ..] => format!(
                    "{}: each waits for the next, and {first} is the next of the last; none is started",
                    names.join(", ")
                ),
                [] => String::new(),
            },
        }
    }

    fn unblock_all(&mut self) {
        let blocked = self.slots.iter().filter(|(_, slot)| slot.is_blocked());
        self.unblocked.extend(blocked.map(|(id, _)| *id));
    }

    /// Starts those that were waiting and need not any more; lets go of those that may leave.
    pub(super) fn go_on(&mut self) {
        self.order_anew();
        while let Some(id) = self.unblocked.pop_first() {
            if self.is_blocked(id) && self.is_clear(id) {
                self.dispatch(id, None, Event::Clear);
            }
        }
        self.let_go();
    }
}

impl Slot {
    pub fn is_blocked(&self) -> bool {
        self.machine.state == State::Blocked
    }

    /// The priority of its group, as long as that has to be stopped.
    fn turn_to_stop(&self) -> Option<i32> {
        let member = self.service.member.as_ref().filter(|_| self.machine.is_active());
        member.map(|member| member.group_priority)
    }

    pub fn is_oneshot(&self) -> bool {
        self.service.kind == Kind::Oneshot
    }

    /// A requirement of it is met.
    fn is_there(&self) -> bool {
        match self.machine.state {
            State::Up => true,
            State::Done => self.is_oneshot(),
            _ => false,
        }
    }

    /// Whoever comes after it may start.
    fn had_its_turn(&self) -> bool {
        match self.machine.state {
            State::Blocked | State::Starting => false,
            State::Finishing => !self.is_oneshot(),
            _ => true,
        }
    }

    fn is_active_or_done(&self) -> bool {
        self.machine.is_active() || self.is_there()
    }
}
