//! The stdin of supervisor's programs: a pipe for each run, which its clients may write to.

use super::Supervisor;
use super::slot::Input;
use crate::event_loop::Source;
use crate::face::web::fault::{Fault, Kind};
use crate::spare;
use coracle::error::{OsContext, Result};
use coracle::sys::fd;
use std::io::{self, ErrorKind, PipeReader, Write};
use std::os::fd::AsFd;

/// So much may wait for a program to read it.
const MOST: usize = 1 << 20;

impl Supervisor {
    /// Makes the pipe of a coming run: its reading end, to be closed once the run has it.
    pub(super) fn open_input(&mut self, id: u32) -> Result<Option<PipeReader>> {
        self.close_input(id);
        let Some(slot) = self.slots.get_mut(&id) else { return Ok(None) };
        if slot.service.member.is_none() {
            return Ok(None);
        }
        let (reader, writer) = io::pipe().on("make", "a pipe")?;
        spare::of_services(writer.as_fd()).on("make", "a pipe")?;
        fd::set_nonblocking(writer.as_fd(), true).on("set up", "a pipe")?;
        slot.input = Some(Box::new(Input { writer, pending: Vec::new() }));
        Ok(Some(reader))
    }

    pub(super) fn close_input(&mut self, id: u32) {
        if let Some(input) = self.slots.get_mut(&id).and_then(|slot| slot.input.take()) {
            self.event_loop.unwatch(input.writer.as_fd());
        }
    }

    /// Writes to the stdin of a program.
    pub(super) fn send_input(
        &mut self,
        id: u32,
        name: &str,
        text: &[u8],
    ) -> std::result::Result<(), Fault> {
        let slot = self.slots.get_mut(&id);
        let slot = slot.filter(|slot| slot.standing().is_running() && slot.machine.pid.is_some());
        let slot = slot.ok_or_else(|| Kind::NotRunning.of(name))?;
        let input = slot.input.as_mut().ok_or_else(|| Kind::NoFile.of(name))?;
        if input.pending.len().saturating_add(text.len()) > MOST {
            return Err(Kind::Failed.of(&format!("{name} does not read what it was sent")));
        }
        input.pending.extend_from_slice(text);
        if self.flush_input(id) { Ok(()) } else { Err(Kind::NoFile.of(name)) }
    }

    /// Writes on; whether somebody reads.
    pub(super) fn flush_input(&mut self, id: u32) -> bool {
        let Some(input) = self.slots.get_mut(&id).and_then(|slot| slot.input.as_mut()) else {
            return false;
        };
        let watched = self.event_loop.watch_writable(input.writer.as_fd(), Source::Input(id));
        // It is watched already.
        let _ = watched;
        while !input.pending.is_empty() {
            match input.writer.write(&input.pending) {
                Ok(count) => drop(input.pending.drain(..count)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => {
                    self.close_input(id);
                    return false;
                }
            }
        }
        input.pending = Vec::new();
        self.event_loop.unwatch(input.writer.as_fd());
        true
    }
}
