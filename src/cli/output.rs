//! Writing: results to stdout, where a reader who goes away is no failure, all else to stderr.

use crate::error::{Cause, Error, OsContext, Result};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};

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

/// Refuses to write an archive to a terminal, before anything else is done for it.
pub fn check_archive(command: &str, file: Option<&str>) -> Result<()> {
    if file.is_some() || !io::stdout().is_terminal() {
        return Ok(());
    }
    Err(Error::invalid("stdout is a terminal, no place for an archive")
        .hint(format!("use {command} -o FILE, or {command} >FILE")))
}

/// Has `write` write an archive to the file, or to stdout where none is named.
pub fn archive(file: Option<&str>, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let Some(path) = file else {
        return write(&mut Stdout);
    };
    // Written aside: a failure leaves what was there.
    let aside = format!("{path}.coracle-{}", std::process::id());
    let write_to = |file: File| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush().on("write", path)
    };
    let written = File::create(&aside)
        .on("create", &aside)
        .and_then(write_to)
        .and_then(|()| std::fs::rename(&aside, path).on("rename", &aside));
    if written.is_err() {
        // The error to tell is the other one.
        let _ = std::fs::remove_file(&aside);
    }
    written
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
