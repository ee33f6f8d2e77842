//! Our own standard output and error, which may be slow: while one takes nothing, signals are
//! served all the same.
//!
//! The descriptors are shared with whoever started us, so they stay blocking. What poll(2) calls
//! writable takes at least PIPE_BUF bytes without blocking (pipe(7)); more is not written at once.

use super::signals::Signals;
use super::{Output, Standard};
use crate::error::{Error, OsContext, Result};
use crate::sys::fd;
use crate::sys::poll::{self, Interest};
use std::io;

const PIPE_BUF: usize = 4096;

/// Writes it all, unless a signal ends the session meanwhile.
pub(super) fn write(
    standard: Standard,
    output: Output,
    data: &[u8],
    signals: &mut Signals,
) -> Result<()> {
    let to = match output {
        Output::Stdout => standard.output,
        Output::Stderr => standard.error,
    };
    let mut rest = data;
    while !rest.is_empty() && signals.ended_by.is_none() {
        let wait_for = [(to, Interest::Write), (signals.fd(), Interest::Read)];
        let ready = poll::ready(&wait_for, None).on("poll", "")?;
        if ready.get(1) == Some(&true) {
            signals.receive()?;
        }
        if ready.first() != Some(&true) {
            continue;
        }
        match fd::write(to, rest.get(..PIPE_BUF).unwrap_or(rest)) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(Error::os("write", "standard output", e)),
        }
    }
    Ok(())
}
