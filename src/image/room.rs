//! The room that stays free on the store's disk: running containers need some to log and to write
//! down how they end.

use crate::error::{Error, OsContext, Result};
use crate::sys::fs;
use crate::types::human_size;
use std::os::fd::BorrowedFd;

/// A part of the disk, at most this much, is left free.
const KEPT_PART: u64 = 50;
const KEPT_MAX: u64 = 1 << 30;
/// After so many bytes or members the room is looked at again.
pub const LOOK_BYTES: u64 = 4 << 20;
pub const LOOK_MEMBERS: u64 = 64;

/// Refuses to fill the disk that `on` is on.
pub fn check(on: BorrowedFd) -> Result<()> {
    let room = fs::room(on).on("look at the room of", "the store's disk")?;
    let (kept, files) = ((room.bytes / KEPT_PART).min(KEPT_MAX), room.files / KEPT_PART);
    let left = if room.free_bytes < kept {
        format!("less than {}", human_size(kept))
    } else if room.free_files < files {
        format!("less than {files} files")
    } else {
        return Ok(());
    };
    Err(Error::conflict(format!("would leave {left} of room on the store's disk"))
        .hint("make room there, or move the store (--root)"))
}
