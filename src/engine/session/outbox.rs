//! Our own standard output and error, and what waits for them to take it.
//!
//! The descriptors are shared with whoever started us, so they stay blocking. What poll(2) calls
//! writable takes at least PIPE_BUF bytes of a pipe without blocking (pipe(7)); more is not
//! written at once.

use super::{Output, Standard};
use crate::error::{Error, Result};
use crate::sys::fd::{self, PIPE_BUF};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

/// Bounded by whoever fills it: nothing is asked of the other side while something waits here.
#[derive(Default)]
pub struct Outbox {
    waiting: VecDeque<(Output, Vec<u8>)>,
    /// How much of the first is written.
    written: usize,
}

impl Outbox {
    pub fn push(&mut self, output: Output, data: &[u8]) {
        if !data.is_empty() {
            self.waiting.push_back((output, data.to_vec()));
        }
    }

    /// Who is to take the next piece; `None` where nothing waits.
    pub(super) fn next<'a>(&self, standard: Standard<'a>) -> Option<BorrowedFd<'a>> {
        self.waiting.front().map(|(output, _)| match output {
            Output::Stdout => standard.output,
            Output::Stderr => standard.error,
        })
    }

    /// Writes one piece; `false` where nobody reads any more.
    pub(super) fn write(&mut self, to: BorrowedFd) -> Result<bool> {
        let Some((_, data)) = self.waiting.front() else { return Ok(true) };
        let rest = data.get(self.written..).unwrap_or_default();
        match fd::write(to, rest.get(..PIPE_BUF).unwrap_or(rest)) {
            Ok(n) => self.written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(e) => return Err(Error::os("write", "standard output", e)),
        }
        if self.written >= data.len() {
            self.waiting.pop_front();
            self.written = 0;
        }
        Ok(true)
    }
}
