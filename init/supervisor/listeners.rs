//! Event listeners: what happens is written down for each pool of them that wants it, and sent to
//! one that is ready.

use super::Supervisor;
use super::main_log::Change;
use super::programs::{Standing, unix_time};
use crate::event_loop::{Source, Timer};
use crate::face::listener::{Ear, Heard, Types, header};
use crate::spare;
use coracle::error::{OsContext, Result};
use coracle::sys::fd;
use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// All listeners of one section.
#[derive(Debug)]
pub struct Pool {
    group: Rc<str>,
    types: Types,
    /// So many events wait at most.
    most: usize,
    queue: VecDeque<Notice>,
    serial: u64,
}

#[derive(Clone, Debug)]
pub struct Notice {
    name: &'static str,
    serial: u64,
    pool_serial: u64,
    payload: Rc<[u8]>,
}

/// A listener that runs.
#[derive(Debug)]
pub struct Listening {
    reader: PipeReader,
    ear: Ear,
    /// What it was sent, and has not dealt with yet.
    notice: Option<Notice>,
}

#[derive(Debug, Default)]
pub struct Pools {
    all: Vec<Pool>,
    serial: u64,
    /// Somebody may be ready for an event.
    stirred: bool,
    tick: Option<Instant>,
}

impl Pools {
    /// Whether somebody wants to hear of that.
    pub fn want(&self, types: Types) -> bool {
        self.all.iter().any(|pool| pool.types.has(types))
    }

    pub fn stir(&mut self) {
        self.stirred = true;
    }
}

/// Events that come with the clock, each with its period.
const TICKS: [(&str, u64); 3] = [("TICK_5", 5), ("TICK_60", 60), ("TICK_3600", 3600)];

impl Supervisor {
    /// Makes a pool of each group of listeners that has none, and forgets the others.
    pub(super) fn know_pools(&mut self) {
        let mut known = Vec::new();
        for slot in self.slots.values() {
            let Some(member) = slot.service.member.as_deref() else { continue };
            let Some(listener) = &member.listener else { continue };
            if known.contains(&member.group) {
                continue;
            }
            known.push(member.group.clone());
            let (types, most) = (listener.types, listener.buffer);
            match self.programs.pools.all.iter_mut().find(|pool| pool.group == member.group) {
                Some(pool) => (pool.types, pool.most) = (types, most),
                None => self.programs.pools.all.push(Pool {
                    group: member.group.clone(),
                    types,
                    most,
                    queue: VecDeque::new(),
                    serial: 0,
                }),
            }
        }
        self.programs.pools.all.retain(|pool| known.contains(&pool.group));
        self.arm_tick();
    }

    /// The clock is watched only for whoever wants to be told.
    fn arm_tick(&mut self) {
        let old = self.programs.pools.tick;
        let new = self.programs.pools.want(Types::named("TICK")).then(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // All periods are multiples of the first.
            let past = now.as_millis().checked_rem(5_000).unwrap_or_default();
            let left = u64::try_from(5_000_u128.saturating_sub(past)).unwrap_or_default();
            crate::policy::after(Instant::now(), Duration::from_millis(left))
        });
        self.event_loop.arm(Timer::Tick, old, new);
        self.programs.pools.tick = new;
    }

    pub(super) fn tick(&mut self) {
        self.programs.pools.tick = None;
        // The timer is not early, but the clock may have been set.
        let now = unix_time();
        let now = now.saturating_sub(now.checked_rem(5).unwrap_or_default());
        for (name, period) in TICKS {
            if now.checked_rem(period) == Some(0) {
                self.publish(name, || format!("when:{now}").into_bytes());
            }
        }
        self.arm_tick();
    }

    /// Tells the pools that want to hear of it.
    pub(super) fn publish(&mut self, name: &'static str, payload: impl FnOnce() -> Vec<u8>) {
        let types = Types::named(name);
        let pools = &mut self.programs.pools;
        if !pools.want(types) {
            return;
        }
        let payload: Rc<[u8]> = payload().into();
        let serial = pools.serial;
        pools.serial = serial.saturating_add(1);
        pools.stirred = true;
        let mut lost = Vec::new();
        for pool in pools.all.iter_mut().filter(|pool| pool.types.has(types)) {
            let pool_serial = pool.serial;
            pool.serial = pool_serial.saturating_add(1);
            if pool.queue.len() >= pool.most
                && let Some(oldest) = pool.queue.pop_front()
            {
                let (group, serial) = (&pool.group, oldest.serial);
                lost.push(format!(
                    "pool {group} event buffer overflowed, discarding event {serial}"
                ));
            }
            let payload = payload.clone();
            pool.queue.push_back(Notice { name, serial, pool_serial, payload });
        }
        for text in lost {
            self.programs.log.note("ERRO", &text);
        }
    }

    /// The state of a process has changed so.
    pub(super) fn publish_change(&mut self, id: u32, change: Change, fatal: bool) {
        let name = match change.to {
            Standing::Stopped => "PROCESS_STATE_STOPPED",
            Standing::Starting => "PROCESS_STATE_STARTING",
            Standing::Running => "PROCESS_STATE_RUNNING",
            Standing::Backoff => "PROCESS_STATE_BACKOFF",
            Standing::Stopping => "PROCESS_STATE_STOPPING",
            Standing::Exited => "PROCESS_STATE_EXITED",
            Standing::Fatal => "PROCESS_STATE_FATAL",
            Standing::Unknown => "PROCESS_STATE_UNKNOWN",
        };
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(member) = slot.service.member.as_deref() else { return };
        let mut text = format!(
            "processname:{} groupname:{} from_state:{}",
            member.process,
            member.group,
            change.from.word()
        );
        let pid = slot.history.pid.map_or(0, |pid| pid.raw());
        match change.to {
            Standing::Starting => text.push_str(&format!(" tries:{}", slot.machine.tries)),
            Standing::Backoff => {
                // The last of them is not one that is waited after.
                let tries = slot.machine.tries.saturating_add(u32::from(fatal));
                text.push_str(&format!(" tries:{tries}"));
            }
            Standing::Exited => {
                let expected = u8::from(slot.ended_well());
                text.push_str(&format!(" expected:{expected} pid:{pid}"));
            }
            Standing::Running | Standing::Stopping | Standing::Stopped => {
                text.push_str(&format!(" pid:{pid}"));
            }
            Standing::Fatal | Standing::Unknown => {}
        }
        self.publish(name, || text.into_bytes());
    }

    /// A group has come or gone.
    pub(super) fn publish_group(&mut self, name: &'static str, group: &str) {
        self.publish(name, || format!("groupname:{group}\n").into_bytes());
    }

    /// Makes what a coming run of a listener speaks into: the writing end of a pipe, to be closed
    /// once the run has it.
    pub(super) fn open_ear(&mut self, id: u32) -> Result<Option<PipeWriter>> {
        self.close_ear(id);
        let Some(slot) = self.slots.get_mut(&id) else { return Ok(None) };
        let member = slot.service.member.as_deref();
        if member.is_none_or(|member| member.listener.is_none()) {
            return Ok(None);
        }
        let (reader, writer) = io::pipe().on("make", "a pipe")?;
        spare::of_services(writer.as_fd()).on("make", "a pipe")?;
        fd::set_nonblocking(reader.as_fd(), true).on("set up", "a pipe")?;
        self.event_loop.watch(reader.as_fd(), Source::Ear(id)).on("watch", "a pipe")?;
        slot.ear = Some(Box::new(Listening { reader, ear: Ear::default(), notice: None }));
        Ok(Some(writer))
    }

    /// A listener says something.
    pub(super) fn take_ear(&mut self, id: u32) {
        let mut bytes = [0; 4096];
        while let Some(listening) = self.slots.get_mut(&id).and_then(|slot| slot.ear.as_mut()) {
            let count = match listening.reader.read(&mut bytes) {
                Ok(count @ 1..) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                _ => return,
            };
            let all = listening.ear.hear(bytes.get(..count).unwrap_or_default());
            for heard in all {
                let Some(listening) = self.slots.get_mut(&id).and_then(|slot| slot.ear.as_mut())
                else {
                    return;
                };
                let notice = match heard {
                    Heard::Ready => None,
                    Heard::Result(good) => listening.notice.take().filter(|_| !good),
                    Heard::Broken => {
                        let notice = listening.notice.take();
                        let name = self.process_of(id);
                        let text = format!("{name}: has broken the protocol of event listeners");
                        self.programs.log.note("WARN", &text);
                        notice
                    }
                };
                self.give_back(id, notice);
                self.programs.pools.stir();
            }
        }
    }

    /// A listener has ended.
    pub(super) fn close_ear(&mut self, id: u32) {
        self.take_ear(id);
        let Some(mut listening) = self.slots.get_mut(&id).and_then(|slot| slot.ear.take()) else {
            return;
        };
        self.event_loop.unwatch(listening.reader.as_fd());
        let notice = listening.notice.take();
        self.give_back(id, notice);
    }

    /// What was not dealt with is sent again, before all others.
    fn give_back(&mut self, id: u32, notice: Option<Notice>) {
        let Some(notice) = notice else { return };
        let group = self.slots.get(&id).and_then(|slot| slot.service.member.as_deref());
        let Some(group) = group.map(|member| member.group.clone()) else { return };
        let mut pools = self.programs.pools.all.iter_mut();
        if let Some(pool) = pools.find(|pool| pool.group == group) {
            pool.queue.push_front(notice);
        }
        self.programs.pools.stir();
    }

    /// Sends what waits to those that are ready for it.
    pub(super) fn serve_pools(&mut self) {
        if !std::mem::take(&mut self.programs.pools.stirred) {
            return;
        }
        for at in 0..self.programs.pools.all.len() {
            while let Some((id, notice)) = self.next_for(at) {
                let server = &self.programs.settings.identifier;
                let Notice { name, serial, pool_serial, payload } = &notice;
                let Some(group) = self.programs.pools.all.get(at).map(|pool| &pool.group) else {
                    break;
                };
                let head = header(server, *serial, group, *pool_serial, name, payload.len());
                let mut bytes = head.into_bytes();
                bytes.extend_from_slice(payload);
                if let Some(listening) = self.slots.get_mut(&id).and_then(|slot| slot.ear.as_mut())
                {
                    listening.ear.send();
                    listening.notice = Some(notice);
                }
                let name = self.process_of(id);
                if self.send_input(id, &name, &bytes).is_err() {
                    // Its end will come, and give it back.
                    break;
                }
            }
        }
    }

    /// The next event of a pool, and who is ready for it.
    fn next_for(&mut self, at: usize) -> Option<(u32, Notice)> {
        let pool = self.programs.pools.all.get_mut(at)?;
        if pool.queue.is_empty() {
            return None;
        }
        let ready = self.slots.iter().find(|(_, slot)| {
            let member = slot.service.member.as_deref();
            member.is_some_and(|member| member.group == pool.group)
                && slot.standing() == Standing::Running
                && slot.ear.as_ref().is_some_and(|listening| listening.ear.is_ready())
        });
        let (id, _) = ready?;
        Some((*id, pool.queue.pop_front()?))
    }

    fn process_of(&self, id: u32) -> String {
        self.slots.get(&id).map(|slot| slot.service.name.clone()).unwrap_or_default()
    }
}
