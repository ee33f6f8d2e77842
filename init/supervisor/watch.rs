//! Watching over services: hearing that they are ready, asking whether they are, asking whether
//! they are still healthy; and the programs that are run for a service beside its own: the
//! commands of probes and of stops.
//!
//! What is watched follows from the state of the machine and is put right after each event
//! (`watch_over`), so nothing has to be remembered to be undone.

use super::Supervisor;
use super::slot::Slot;
use crate::event_loop::{Source, Timer};
use crate::machine::{Event, State};
use crate::message::{say, say_error};
use crate::probe::{Asked, Probing, Purpose, Verdict};
use crate::service::{Exec, Health, OnUnhealthy, Probe, Ready};
use crate::spare;
use crate::spawn::{Output, Streams};
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::notify::{NotifySocket, Sender};
use coracle::sys::pidfd::Exit;
use coracle::sys::{poll, process, signal};
use coracle::types::{Pid, Signal};
use mio::net::TcpStream;
use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// So many notices are taken before others have their turn.
const TURN: usize = 16;

/// How a service says by itself that it is ready.
#[derive(Debug)]
pub enum Channel {
    /// The reading end of the pipe that the present run has as its notification descriptor.
    Pipe(PipeReader),
    /// The socket of all its runs.
    Socket(NotifySocket),
}

/// A program that is run for a service, beside its `run` and `finish`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Helper {
    pub id: u32,
    /// The spawn that it is about.
    pub run: u32,
    pub task: Task,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    Probe,
    Stop,
}

impl Supervisor {
    /// Makes what the coming run of a service needs to say that it is ready: a pipe's writing end,
    /// to be closed once the run has it.
    pub(super) fn open_channel(&mut self, id: u32) -> Result<Option<PipeWriter>> {
        let Some(slot) = self.slots.get_mut(&id) else { return Ok(None) };
        let kept = matches!(
            (&slot.service.ready, slot.channel.as_deref()),
            (Ready::Notify, Some(Channel::Socket(_)))
        );
        if kept {
            return Ok(None);
        }
        self.close_channel(id);
        let Some(slot) = self.slots.get_mut(&id) else { return Ok(None) };
        match slot.service.ready {
            Ready::Descriptor(_) => {
                let (reader, writer) = io::pipe().on("make", "a notification pipe")?;
                spare::of_runs(writer.as_fd()).on("make", "a notification pipe")?;
                self.event_loop
                    .watch(reader.as_fd(), Source::Ready(id))
                    .on("watch", "a notification pipe")?;
                slot.channel = Some(Box::new(Channel::Pipe(reader)));
                Ok(Some(writer))
            }
            Ready::Notify => {
                let socket = NotifySocket::new().on("make", "a notification socket")?;
                spare::of_runs(socket.as_fd()).on("make", "a notification socket")?;
                self.event_loop
                    .watch(socket.as_fd(), Source::Notify(id))
                    .on("watch", "a notification socket")?;
                slot.channel = Some(Box::new(Channel::Socket(socket)));
                Ok(None)
            }
            Ready::Started | Ready::Lasted | Ready::Probe(_) => Ok(None),
        }
    }

    pub(super) fn close_channel(&mut self, id: u32) {
        match self.slots.get_mut(&id).and_then(|slot| slot.channel.take()).as_deref() {
            Some(Channel::Pipe(reader)) => self.event_loop.unwatch(reader.as_fd()),
            Some(Channel::Socket(socket)) => self.event_loop.unwatch(socket.as_fd()),
            None => {}
        }
    }

    /// A service wrote to its notification descriptor, or closed it.
    pub(super) fn take_ready(&mut self, id: u32) {
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(Channel::Pipe(reader)) = slot.channel.as_deref() else { return };
        if !poll::readable(reader.as_fd(), Some(Duration::ZERO)).unwrap_or(false) {
            return;
        }
        let mut bytes = [0; 256];
        let mut source: &PipeReader = reader;
        match source.read(&mut bytes) {
            // As with s6: the newline is the end of it, whoever goes on is not heard.
            Ok(count @ 1..) if bytes.iter().take(count).any(|byte| *byte == b'\n') => {
                self.close_channel(id);
                self.dispatch(id, None, Event::Ready);
            }
            Ok(1..) => self.event_loop.again(reader.as_fd(), Source::Ready(id)),
            _ => self.close_channel(id),
        }
    }

    /// Somebody sent to the notification socket of a service (sd_notify(3)).
    // Its buffer would be part of every other frame of the loop.
    #[inline(never)]
    pub(super) fn take_notices(&mut self, id: u32) {
        let mut bytes = [0; 4096];
        for _ in 0..TURN {
            let Some(slot) = self.slots.get(&id) else { return };
            let Some(Channel::Socket(socket)) = slot.channel.as_deref() else { return };
            let Ok(Some((count, sender))) = socket.receive(&mut bytes) else { return };
            let notice = bytes.get(..count).unwrap_or_default();
            if says_ready(notice) && slot.is_of(sender) {
                self.dispatch(id, None, Event::Ready);
            }
        }
        if let Some(Channel::Socket(socket)) =
            self.slots.get(&id).and_then(|s| s.channel.as_deref())
        {
            self.event_loop.again(socket.as_fd(), Source::Notify(id));
        }
    }

    /// Begins and ends the questions to a service, as its state wants it.
    pub(super) fn watch_over(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let machine = &slot.machine;
        let wanted = match (machine.state, machine.pid, &slot.service.ready) {
            (State::Starting, Some(_), Ready::Probe(_)) => Some(Purpose::Readiness),
            (State::Up, ..) if slot.service.health.is_some() => Some(Purpose::Health),
            _ => None,
        };
        if machine.state != State::Up {
            slot.healthy = None;
        }
        let run = machine.run;
        let present = slot.probing.as_ref().map(|probing| (probing.purpose, probing.run));
        if present == wanted.map(|purpose| (purpose, run)) {
            return;
        }
        self.stop_asking(id);
        let now = Instant::now();
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let probing = match (wanted, &slot.service.health) {
            (Some(Purpose::Readiness), _) => Probing::readiness(run, now),
            (Some(Purpose::Health), Some(health)) => Probing::health(run, health, now),
            _ => return,
        };
        self.event_loop.arm(Timer::Probe(id), None, Some(probing.due));
        slot.probing = Some(Box::new(probing));
    }

    /// Ends the questions to a service.
    pub(super) fn stop_asking(&mut self, id: u32) {
        let Some(probing) = self.slots.get_mut(&id).and_then(|slot| slot.probing.take()) else {
            return;
        };
        self.event_loop.arm(Timer::Probe(id), Some(probing.due), None);
        if let Some(asked) = probing.asked {
            self.drop_question(asked);
        }
    }

    fn drop_question(&mut self, asked: Asked) {
        match asked {
            Asked::Connection(stream) => self.event_loop.unwatch(stream.as_fd()),
            Asked::Program(pid) => {
                // Reaped like a stranger from now on.
                self.helpers.remove(&pid);
                let killed = signal::kill_group(pid, Signal::KILL);
                let _ = killed.or_else(|_| signal::kill(pid, Signal::KILL));
            }
        }
    }

    /// It is time for the next question, or too late for an answer to the last.
    pub(super) fn probe_is_due(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(probing) = &mut slot.probing else { return };
        if probing.due > Instant::now() {
            return;
        }
        if let Some(asked) = probing.asked.take() {
            self.drop_question(asked);
            return self.take_answer(id, false);
        }
        let probe = match (probing.purpose, &slot.service.ready, &slot.service.health) {
            (Purpose::Readiness, Ready::Probe(probe), _) => (**probe).clone(),
            (Purpose::Health, _, Some(health)) => health.probe.clone(),
            _ => return,
        };
        match self.ask(id, &probe) {
            Ok(Ok(asked)) => {
                let now = Instant::now();
                let Some(slot) = self.slots.get_mut(&id) else { return };
                let health = slot.service.health.as_deref();
                if let Some(probing) = &mut slot.probing {
                    let health = health.filter(|_| probing.purpose == Purpose::Health);
                    probing.ask(asked, health, now);
                    let due = probing.due;
                    self.event_loop.arm(Timer::Probe(id), None, Some(due));
                }
            }
            Ok(Err(yes)) => self.take_answer(id, yes),
            Err(error) => {
                self.complain_of_probe(id, error);
                self.take_answer(id, false);
            }
        }
    }

    /// Asks: either there is an answer at once, or something to wait for.
    fn ask(&mut self, id: u32, probe: &Probe) -> Result<std::result::Result<Asked, bool>> {
        match probe {
            Probe::File(path) => Ok(Err(path.exists())),
            Probe::Tcp(address) => {
                let Ok(stream) = TcpStream::connect(*address) else { return Ok(Err(false)) };
                spare::of_runs(stream.as_fd()).on("make", "a connection")?;
                self.event_loop
                    .watch_writable(stream.as_fd(), Source::Probe(id))
                    .on("watch", "a connection")?;
                Ok(Ok(Asked::Connection(stream)))
            }
            Probe::Command(exec) => {
                let pid = self.help(id, exec, Task::Probe)?;
                Ok(Ok(Asked::Program(pid)))
            }
        }
    }

    /// A connection was made, or refused.
    pub(super) fn connection_answered(&mut self, id: u32) {
        let probing = self.slots.get_mut(&id).and_then(|slot| slot.probing.as_mut());
        let Some(Asked::Connection(stream)) = probing.and_then(|probing| probing.asked.take())
        else {
            return;
        };
        let yes = matches!(stream.take_error(), Ok(None)) && stream.peer_addr().is_ok();
        self.event_loop.unwatch(stream.as_fd());
        drop(stream);
        self.disarm_probe(id);
        self.take_answer(id, yes);
    }

    fn disarm_probe(&mut self, id: u32) {
        if let Some(probing) = self.slots.get(&id).and_then(|slot| slot.probing.as_ref()) {
            self.event_loop.arm(Timer::Probe(id), Some(probing.due), None);
        }
    }

    /// What the answer to the present question means. Its timer is not armed.
    fn take_answer(&mut self, id: u32, yes: bool) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let health = slot.service.health.as_deref();
        let Some(probing) = &mut slot.probing else { return };
        let verdict = probing.answer(yes, health, Instant::now());
        let (run, due) = (probing.run, probing.due);
        self.event_loop.arm(Timer::Probe(id), None, Some(due));
        match verdict {
            Verdict::Wait => {}
            Verdict::Ready => self.dispatch(id, Some(run), Event::Ready),
            Verdict::Healthy => {
                if slot.healthy.replace(true) != Some(true) {
                    self.note_health(id, "is healthy");
                }
            }
            Verdict::Unhealthy => {
                let action = health.map(|health: &Health| health.action);
                let was = slot.healthy.replace(false);
                if was != Some(false) {
                    say(&format!("{}: is unhealthy", slot.service.name));
                    self.note_health(id, "is unhealthy");
                }
                match action {
                    Some(OnUnhealthy::Restart) => {
                        self.dispatch(id, Some(run), Event::Unhealthy);
                    }
                    Some(OnUnhealthy::StopContainer) => self.stop_with(id, 1),
                    Some(OnUnhealthy::Report) | None => {}
                }
            }
        }
    }

    /// Executes the stop command of a service; its signal where that is impossible.
    pub(super) fn run_stop_command(&mut self, id: u32) -> Option<Event> {
        let slot = self.slots.get(&id)?;
        let mut command = (**slot.service.stop.command.as_ref()?).clone();
        let signal = slot.service.stop.signal;
        if let Some(pid) = slot.machine.pid {
            command.env.push(("MAINPID".into(), Some(pid.to_string().into())));
        }
        match self.help(id, &command, Task::Stop) {
            Ok(_) => None,
            Err(error) => {
                self.complain(id, error);
                Some(Event::Signal(signal))
            }
        }
    }

    fn help(&mut self, id: u32, exec: &Exec, task: Task) -> Result<Pid> {
        let (stdout, stderr) = match task {
            Task::Probe => (Output::Null, Output::Null),
            // Where the service writes to.
            Task::Stop => {
                let streams = self.streams(id);
                (streams.stdout, streams.stderr)
            }
        };
        let streams = Streams { stdin: None, stdout, stderr, notification: None };
        // Its failure to be executed is its own, not that of `run`: no service has the number 0.
        let pid = self.spawner.spawn(exec, streams, 0, 0)?;
        let run = self.slots.get(&id).map_or(0, |slot| slot.machine.run);
        self.helpers.insert(pid, Helper { id, run, task });
        Ok(pid)
    }

    /// A helper has ended.
    pub(super) fn helper_ended(&mut self, pid: Pid, helper: Helper, exit: Exit) {
        let yes = exit == Exit::Code(0);
        // What it left behind goes with it.
        let _ = signal::kill_group(pid, Signal::KILL);
        match helper.task {
            Task::Probe => {
                let slot = self.slots.get_mut(&helper.id);
                let Some(probing) = slot.and_then(|slot| slot.probing.as_mut()) else { return };
                if matches!(probing.asked, Some(Asked::Program(asked)) if asked == pid) {
                    probing.asked = None;
                    self.disarm_probe(helper.id);
                    self.take_answer(helper.id, yes);
                }
            }
            Task::Stop if yes => {}
            Task::Stop => {
                let Some(slot) = self.slots.get(&helper.id) else { return };
                let name = &slot.service.name;
                let signal = slot.service.stop.signal;
                let ended = super::slot::describe(exit);
                if slot.machine.state == State::Stopping && slot.machine.run == helper.run {
                    say(&format!("{name}: its stop command {ended}; sending {signal}"));
                    self.dispatch(helper.id, Some(helper.run), Event::Signal(signal));
                }
            }
        }
    }

    fn complain_of_probe(&self, id: u32, error: Error) {
        let Some(slot) = self.slots.get(&id) else { return };
        if slot.probing.as_ref().is_some_and(|probing| probing.is_new()) {
            let name = slot.service.name.clone();
            let told: Result<()> = Err(error).doing(|| format!("{name}: probe"));
            if let Err(error) = told {
                say_error(&error);
            }
        }
    }
}

/// Whether one of the lines of a notice says so (sd_notify(3)).
fn says_ready(notice: &[u8]) -> bool {
    notice.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

impl Slot {
    /// Whether a notice comes from this service: from its session; or, where the sender has ended
    /// already, from somebody who is it, us or root.
    fn is_of(&self, sender: Sender) -> bool {
        let Some(pid) = sender.pid else { return false };
        match process::session(pid) {
            Ok(session) => Some(session) == self.machine.pid,
            Err(_) => {
                let user = self.service.run.setup.as_ref().and_then(|setup| setup.user.as_ref());
                let own = process::effective_uid();
                [0, own].contains(&sender.uid) || user.is_some_and(|user| user.uid == sender.uid)
            }
        }
    }

    /// What the run is given to find its notification socket.
    pub fn notify_address(&self) -> Option<OsString> {
        match self.channel.as_deref() {
            Some(Channel::Socket(socket)) => Some(socket.address().into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    #[test]
    fn of_the_corpus_only_a_whole_line_of_a_notice_says_ready() {
        let mut ready = 0;
        fuzz("notify", &["READY=1", "\n"], 5_000, |notice| {
            let lines = String::from_utf8_lossy(notice).into_owned();
            let expected = lines.split('\n').any(|line| line == "READY=1");
            assert_eq!(says_ready(notice), expected, "{lines:?}");
            ready += u32::from(expected);
            Ok(())
        });
        assert!(ready > 0);
    }
}
