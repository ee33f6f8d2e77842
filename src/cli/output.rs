//! Writing: results to stdout, where a reader who goes away is no failure, all else to stderr.

use crate::error::{Cause, Error, Result};
use std::io::{self, Write};

const TARGET: &str = "standard output";

pub fn text(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

pub fn line(line: impl std::fmt::Display) -> Result<()> {
    text(&format!("{line}\n"))
}

/// Writes and flushes.
pub fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|e| Error::os("write", TARGET, e))
}

/// A line for the user, on stderr. One that cannot be written has nobody to be told to.
pub fn diagnostic(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether `error` says that nobody reads our stdout any more.
pub fn is_closed(error: &Error) -> bool {
    matches!(error.root(), Cause::Os { target, source, .. }
        if target == TARGET && source.kind() == io::ErrorKind::BrokenPipe)
}

/// Stdout for those who write much.
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
