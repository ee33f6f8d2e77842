//! Writing: results to stdout, where a reader who goes away is no failure, all else to stderr.
//!
//! Names of files and what images say of themselves may hold what a terminal takes for commands.
//! There, control characters are shown as errors show them (`\u{1b}`), as ls(1) does; pipes and
//! files get the bytes as they are, as with Docker. Streams of containers and the text of a user's
//! own `--format` are never changed.

use super::template::Template;
use crate::engine::outfile;
use crate::error::{Cause, Error, OsContext, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

pub const TARGET: &str = "standard output";
/// How much of an archive is written at a time.
const BUFFER: usize = 64 << 10;

pub fn text(text: &str) -> Result<()> {
    bytes(shown(text).as_bytes())
}

/// What was rendered by a template, if there is one, which has shown the fields already.
pub fn rendered(by: Option<&Template>, result: &str) -> Result<()> {
    if by.is_some() { bytes(result.as_bytes()) } else { text(result) }
}

/// Lines as stdout is to get them.
pub fn shown(text: &str) -> Cow<'_, str> {
    match io::stdout().is_terminal() && text.contains(is_command) {
        true => Cow::Owned(escaped(text, is_command)),
        false => Cow::Borrowed(text),
    }
}

/// Text of others that is to be one line, wherever it goes.
pub fn on_a_line(text: &str) -> String {
    escaped(text, char::is_control)
}

/// A name that is to stay on its line, as stdout is to get it.
pub fn name(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !io::stdout().is_terminal() {
        return Cow::Borrowed(bytes);
    }
    let mut name = String::new();
    for chunk in bytes.utf8_chunks() {
        name += &escaped(chunk.valid(), char::is_control);
        name.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    Cow::Owned(name.into_bytes())
}

fn is_command(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

fn escaped(text: &str, is_shown: fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_shown(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
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

/// What is done otherwise than it was asked for.
pub fn warning(text: &impl std::fmt::Display) {
    diagnostic(&format!("coracle: warning: {text}"));
}

/// Whether `error` says that nobody reads our stdout any more.
pub fn is_closed(error: &Error) -> bool {
    matches!(error.root(), Cause::Os { target, source, .. }
        if target == TARGET && source.kind() == io::ErrorKind::BrokenPipe)
}

/// Has `write` write much to stdout: not by way of std's, which flushes at the end of each line.
pub fn stream(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().on("dup", TARGET)?;
    let mut out = BufWriter::with_capacity(BUFFER, File::from(stdout));
    write(&mut out)?;
    out.flush().on("write", TARGET)
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
    match file {
        Some(path) => outfile::replace(Path::new(path), write),
        None => stream(write),
    }
}
