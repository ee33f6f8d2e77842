//! `logs -f`: reads a log as it grows, woken by inotify, until its container ends.

use super::reader::{Piece, Query, Reader};
use crate::error::{OsContext, Result};
use crate::sys::inotify::Inotify;
use crate::sys::poll;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Hands the log at `path` to `sink`, first what is there and then what is added, until `ended`
/// becomes readable or hangs up and all that was written before is read.
pub fn follow(
    path: &Path,
    query: Query,
    ended: BorrowedFd,
    sink: &mut dyn FnMut(Piece) -> Result<()>,
) -> Result<()> {
    let changes = Inotify::new().on("inotify_init", path)?;
    let mut reader = Reader::open(path, query)?;
    changes.watch_writes(path).on("watch", path)?;
    loop {
        // The end is looked at before the log is read, or the last words would be missed.
        let is_last = poll::readable(ended, Some(std::time::Duration::ZERO)).on("poll", path)?;
        if !reader.read(sink)? || is_last {
            return Ok(());
        }
        poll::any_readable(&[changes.as_fd(), ended]).on("poll", path)?;
        changes.drain().on("read inotify of", path)?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stream, Writer};
    use super::*;
    use crate::types::Timestamp;
    use std::io::Write;

    #[test]
    fn a_log_is_followed_to_the_end_of_its_container() {
        let path = std::env::temp_dir().join(format!("coracle-follow-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        let (ended, container) = std::io::pipe().unwrap();
        let mut container = Some(container);
        let mut writer = Writer::new();
        let mut add = |text: &str| {
            let mut out = Vec::new();
            writer.push(Stream::Stdout, text.as_bytes(), Timestamp::now(), &mut out);
            file.write_all(&out).unwrap();
        };
        add("0\n");
        let mut seen = Vec::new();
        follow(&path, Query::default(), ended.as_fd(), &mut |piece| {
            seen.extend_from_slice(piece.bytes);
            // Each line read writes the next: had one been missed, this would wait for ever.
            match seen.len() / 2 {
                n @ 1..5 => add(&format!("{n}\n")),
                5 => {
                    add("end\n");
                    container.take();
                }
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), "0\n1\n2\n3\n4\nend\n");
    }
}
