//! `coxctl logs`: the lines of services, from the files that cox writes them to (`log::file`). The
//! renamed ones come first, the oldest of them before the others.

use coracle::error::{OsContext, Result};
use coracle::sys::fd::{self, STDOUT};
use coracle::sys::inotify::{ENTRIES, Inotify, Watch};
use coracle::sys::poll;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The log of a service, as far as it was read.
struct Tail {
    label: String,
    path: PathBuf,
    file: Option<File>,
    inode: u64,
    watch: Option<Watch>,
    /// A line that has begun.
    rest: Vec<u8>,
}

/// Prints the logs at these paths, `name | ` before each line if there are several; with `follow`
/// also what is added to them, until nobody reads it any more.
pub fn show(logs: Vec<(String, PathBuf)>, follow: bool) -> Result<()> {
    let inotify = follow.then(Inotify::new).transpose().on("start", "inotify")?;
    let several = logs.len() > 1;
    let mut tails = Vec::new();
    for (name, path) in logs {
        if let (Some(inotify), Some(dir)) = (&inotify, path.parent()) {
            inotify.watch(dir, ENTRIES).on("watch", dir)?;
        }
        let label = if several { format!("{name} | ") } else { String::new() };
        tails.push(Tail { label, path, file: None, inode: 0, watch: None, rest: Vec::new() });
    }
    loop {
        for tail in &mut tails {
            match tail.read_on(inotify.as_ref()) {
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(()),
                other => other.on("show", &tail.path)?,
            }
        }
        let Some(inotify) = &inotify else { return Ok(()) };
        poll::readable(inotify.as_fd(), None).on("wait for", "lines")?;
        inotify.drain().on("read", "inotify")?;
    }
}

impl Tail {
    /// Prints what is there and was not printed yet.
    fn read_on(&mut self, inotify: Option<&Inotify>) -> io::Result<()> {
        self.copy()?;
        for (file, inode) in self.younger()? {
            // Whatever was written to the one before, before it was renamed.
            self.copy()?;
            self.finish_line()?;
            if let (Some(inotify), Some(watch)) = (inotify, self.watch.take()) {
                inotify.unwatch(watch);
            }
            (self.file, self.inode) = (Some(file), inode);
            if let Some(inotify) = inotify {
                // Renamed just now? Then nothing more is written to it.
                self.watch = inotify.watch_writes(&self.path).ok();
            }
            self.copy()?;
        }
        if inotify.is_none() {
            self.finish_line()?;
        }
        Ok(())
    }

    /// The files that were begun after the present one, oldest first.
    fn younger(&self) -> io::Result<VecDeque<(File, u64)>> {
        let mut found: VecDeque<(File, u64)> = VecDeque::new();
        let mut missing = false;
        for n in 0_u32.. {
            let file = match File::open(numbered(&self.path, n)) {
                // In the midst of a rotation one name is free, and the older ones have moved on.
                Err(e) if e.kind() == ErrorKind::NotFound && !missing => {
                    missing = true;
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                other => other?,
            };
            let inode = file.metadata()?.ino();
            if self.file.is_some() && inode == self.inode {
                break;
            }
            // One may be renamed while we look.
            if found.iter().all(|(_, known)| *known != inode) {
                found.push_front((file, inode));
            }
        }
        Ok(found)
    }

    fn copy(&mut self) -> io::Result<()> {
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.rest.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let Some(end) = memchr::memrchr(b'\n', &self.rest) else { continue };
            let begun = self.rest.split_off(end.saturating_add(1));
            let whole = std::mem::replace(&mut self.rest, begun);
            if self.label.is_empty() {
                fd::write_all(STDOUT, &whole)?;
                continue;
            }
            let lines = whole.split_inclusive(|byte| *byte == b'\n');
            let lines: Vec<u8> = lines.fold(Vec::new(), |mut text, line| {
                text.extend_from_slice(self.label.as_bytes());
                text.extend_from_slice(line);
                text
            });
            fd::write_all(STDOUT, &lines)?;
        }
    }

    /// What has begun is a line.
    fn finish_line(&mut self) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Ok(());
        }
        rest.push(b'\n');
        fd::write_all(STDOUT, &[self.label.as_bytes(), &rest].concat())
    }
}

/// The file, or the `n`th of the renamed ones.
fn numbered(path: &Path, n: u32) -> PathBuf {
    match n {
        0 => path.to_path_buf(),
        n => crate::log::rotated(path, n),
    }
}
