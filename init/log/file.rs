//! A log file: appended to, renamed when it is full, opened anew when somebody else renamed it.
//!
//! ```text
//! web.log      being written
//! web.log.1    the one before; each rotation renames .1 to .2 and so on, up to the number kept
//! ```
//!
//! A full disk: the oldest renamed file of this log goes, and writing goes on. Where there is none,
//! or where something else fails, what was not written is tried again after a while; until then the
//! service waits in write(2).

use super::outlet::{Then, Written, is_full};
use super::rotation::{fit, rotated};
use crate::message::{say, say_error};
use crate::service::LogFile;
use coracle::error::Error;
use coracle::sys::fs::open_for_appending;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

#[derive(Debug)]
pub struct FileLog {
    settings: LogFile,
    file: Option<Open>,
    /// What was said of it, as long as that holds.
    said: Said,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Only a regular file is rotated.
    regular: bool,
    /// What counts towards its size.
    taken: u64,
    /// What was written last was no newline.
    inside: bool,
}

#[derive(Debug, Default)]
struct Said {
    /// Writing fails.
    waits: bool,
    /// Renaming fails.
    grows: bool,
    /// Renamed files are deleted to make room.
    deletes: bool,
    /// They were, since the last rotation.
    deleted: bool,
}

impl FileLog {
    pub fn new(settings: LogFile) -> FileLog {
        FileLog { settings, file: None, said: Said::default() }
    }

    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    /// Other limits, from now on.
    pub fn set(&mut self, settings: &LogFile) {
        self.settings = settings.clone();
    }

    pub fn write(&mut self, data: &[u8]) -> Written {
        let mut rest = data;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_full(&e) && self.delete_oldest() => {}
                Err(e) => {
                    if !self.said.waits {
                        let error = Error::os("write", self.shown(), e);
                        say_error(&error.hint("its lines wait until that works"));
                        self.said.waits = true;
                    }
                    return Written::part(data, rest, Then::Later);
                }
            }
        }
        if self.said.waits {
            say(&format!("{}: can be written again", self.shown()));
            self.said.waits = false;
        }
        Written::all(data)
    }

    /// Opens the file of this name, which may be another one by now.
    pub fn reopen(&mut self) {
        match open(self.path()) {
            Ok(file) => self.file = Some(file),
            Err(e) => {
                let error = Error::os("open", self.shown(), e);
                say_error(&error.hint("the file that is open stays in use"));
            }
        }
    }

    /// Writes what goes into the present file before it is to be rotated, or rotates it.
    fn write_some(&mut self, data: &[u8]) -> io::Result<usize> {
        let most = match self.settings.max_size {
            0 => u64::MAX,
            most => most,
        };
        let present = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.settings.path)?),
        };
        let most = if present.regular { most } else { u64::MAX };
        let count = fit(data, present.taken, most, present.inside);
        let Some(part) = data.get(..count).filter(|part| !part.is_empty()) else {
            // Somebody else may have emptied it.
            let size = present.file.metadata()?.len();
            if size < present.taken {
                present.taken = size;
            } else {
                self.rotate()?;
            }
            return Ok(0);
        };
        let count = present.file.write(part)?;
        if count == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        present.taken = present.taken.saturating_add(count as u64);
        let last = part.get(..count).and_then(<[u8]>::last);
        present.inside = last.is_some_and(|last| *last != b'\n');
        Ok(count)
    }

    /// Renames the file and its predecessors, and opens a new one. Where that is refused, the
    /// present one grows on.
    fn rotate(&mut self) -> io::Result<()> {
        match self.rename() {
            Ok(()) => {
                self.file = None;
                self.said.grows = false;
                self.said.deletes &= self.said.deleted;
                self.said.deleted = false;
                self.file = Some(open(self.path())?);
            }
            Err(e) => {
                if !self.said.grows {
                    let error = Error::os("rotate", self.shown(), e);
                    say_error(&error.hint("it grows on; the directory must be writable"));
                    self.said.grows = true;
                }
                if let Some(file) = &mut self.file {
                    file.taken = 0;
                }
            }
        }
        Ok(())
    }

    fn rename(&self) -> io::Result<()> {
        let path = self.path();
        if self.settings.keep == 0 {
            return unless_missing(fs::remove_file(path));
        }
        for n in (1..self.settings.keep).rev() {
            let older = rotated(path, n.saturating_add(1));
            unless_missing(fs::rename(rotated(path, n), older))?;
        }
        unless_missing(fs::rename(path, rotated(path, 1)))
    }

    /// Makes room on a full disk; whether there was something to delete.
    fn delete_oldest(&mut self) -> bool {
        let path = &self.settings.path;
        for n in (1..=self.settings.keep).rev() {
            let oldest = rotated(path, n);
            if fs::remove_file(&oldest).is_ok() {
                self.said.deleted = true;
                if !self.said.deletes {
                    self.said.deletes = true;
                    say(&format!(
                        "{}: the disk is full; deleted {}",
                        self.shown(),
                        oldest.display()
                    ));
                }
                return true;
            }
        }
        false
    }

    fn shown(&self) -> String {
        self.path().display().to_string()
    }
}

fn open(path: &Path) -> io::Result<Open> {
    let file = match open_for_appending(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            open_for_appending(path)?
        }
        other => other?,
    };
    let meta = file.metadata()?;
    Ok(Open { file, regular: meta.is_file(), taken: meta.len(), inside: false })
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
