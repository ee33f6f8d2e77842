//! The room that stays free on the store's disk: running containers need some to log and to write
//! down how they end.
//!
//! Whoever writes what an archive asks for counts it here, and every few megabytes, or few dozen
//! files, the disk is looked at. So nothing that comes in, whatever it is, takes the last blocks
//! or the last inodes.

use crate::error::{Error, OsContext, Result};
use crate::sys::fs;
use crate::types::human_size;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A part of the disk, at most this much, is left free.
const KEPT_PART: u64 = 50;
const KEPT_MAX: u64 = 1 << 30;
/// After so many bytes, or fewer on a small disk, the room is looked at again.
const LOOK: u64 = 4 << 20;
/// What a file, a directory or a link counts beside its data: 64 of them make one look.
pub const ENTRY: u64 = LOOK / 64;

/// Whatever is on the disk that is to be looked after.
pub struct Room {
    on: File,
    /// After so many bytes it is looked at again.
    look: u64,
    /// Bytes taken since the last look.
    unlooked: u64,
}

impl Room {
    /// Of the disk that `path` is on, once it is seen that there is any.
    pub fn at(path: &Path) -> Result<Room> {
        let on = File::open(path).on("open", path)?;
        // What is kept must last until the next look.
        let look = match check(on.as_fd(), 0)? / 4 {
            0 => LOOK,
            part => part.min(LOOK),
        };
        Ok(Room { on, look, unlooked: 0 })
    }

    /// Counts what is about to be written.
    pub fn take(&mut self, bytes: u64) -> Result<()> {
        self.unlooked = self.unlooked.saturating_add(bytes);
        if self.unlooked < self.look {
            return Ok(());
        }
        self.unlooked = 0;
        check(self.on.as_fd(), bytes).map(|_| ())
    }
}

/// Refuses to fill the disk that `on` is on, with `bytes` more. Gives how many are kept free.
fn check(on: BorrowedFd, bytes: u64) -> Result<u64> {
    let room = fs::room(on).on("look at the room of", "the store's disk")?;
    let (kept, files) = ((room.bytes / KEPT_PART).min(KEPT_MAX), room.files / KEPT_PART);
    let left = if room.free_bytes < kept.saturating_add(bytes) {
        format!("less than {}", human_size(kept))
    } else if room.free_files < files {
        format!("less than {files} files")
    } else {
        return Ok(kept);
    };
    Err(Error::conflict(format!("would leave {left} of room on the store's disk"))
        .hint("make room there, or move the store (--root)"))
}
