//! Reading a log as it grows, woken by inotify.

use super::files;
use super::reader::{Piece, Query, Reader};
use crate::error::{OsContext, Result};
use crate::sys::inotify::{ENTRIES, Inotify, WRITES};
use crate::sys::poll::{self, Interest};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A log, and being told when more is written to it.
#[derive(Debug)]
pub struct Follower {
    reader: Reader,
    changes: Inotify,
    path: PathBuf,
}

impl Follower {
    pub fn open(path: &Path, query: Query) -> Result<Follower> {
        let changes = Inotify::new().on("inotify_init", path)?;
        // Its directory, as the file may be another tomorrow.
        let path = &files::resolve(path);
        let dir = path.parent().unwrap_or(path);
        changes.watch(dir, ENTRIES | WRITES).on("watch", dir)?;
        let reader = Reader::open(path, query)?;
        Ok(Follower { reader, changes, path: path.to_path_buf() })
    }

    /// As `Reader::read`, also of the files that came since.
    pub fn read(&mut self, sink: &mut dyn FnMut(Piece) -> Result<()>) -> Result<bool> {
        loop {
            if !self.reader.read(sink)? {
                return Ok(false);
            }
            if !self.reader.find_newer()? {
                return Ok(true);
            }
        }
    }

    /// Sleeps until the log has grown since it was last waited for, `other` is readable, `limit`
    /// has passed, or nobody reads `audience` any more; says whether that is so.
    pub fn wait(
        &self,
        other: BorrowedFd,
        audience: BorrowedFd,
        limit: Option<Duration>,
    ) -> Result<bool> {
        let changes = (self.changes.as_fd(), Interest::Read);
        let fds = [changes, (other, Interest::Read), (audience, Interest::HangUp)];
        let found = poll::ready(&fds, limit).on("poll", &self.path)?;
        self.changes.drain().on("read inotify of", &self.path)?;
        Ok(found[2])
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stream;
    use super::super::writer::Writer;
    use super::*;
    use crate::types::Timestamp;
    use std::io::Write;

    #[test]
    fn no_line_is_missed_while_a_log_grows() {
        let dir = std::env::temp_dir().join(format!("coracle-grow-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("log");
        let mut file = std::fs::File::create(&path).unwrap();
        let (never, _kept_open) = std::io::pipe().unwrap();
        let (listening, audience) = std::io::pipe().unwrap();
        let mut writer = Writer::new();
        let mut add = |text: &str| {
            let mut out = Vec::new();
            writer.push(Stream::Stdout, text.as_bytes(), Timestamp::now(), &mut out);
            file.write_all(&out).unwrap();
        };
        add("0\n");
        let mut follower = Follower::open(&path, Query::default()).unwrap();
        let mut seen = Vec::new();
        for next in 1..=10 {
            let mut sink = |piece: Piece| {
                seen.extend_from_slice(piece.bytes);
                Ok(())
            };
            assert!(follower.read(&mut sink).unwrap());
            add(&format!("{next}\n"));
            // Were the change not told, this would be for ever.
            assert!(!follower.wait(never.as_fd(), audience.as_fd(), None).unwrap());
        }
        drop(listening);
        assert!(follower.wait(never.as_fd(), audience.as_fd(), None).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    }
}
