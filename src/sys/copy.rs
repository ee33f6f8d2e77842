//! Copying one file, link or device with all its attributes. Blocks are shared where the file
//! system can (FICLONE, `ioctl_ficlone(2)`), and holes stay holes.

use super::fs::{self, FileType, Open, Stat};
use super::xattr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

const BUFFER: usize = 256 << 10;
/// Most files that are told to be empty are.
const SMALL: usize = 4096;

/// Copies `name`, which is no directory, of one directory into another: content, owner, mode,
/// extended attributes but overlayfs's own, time. Those that the file system cannot hold it does
/// without. Whether the blocks are shared.
pub fn entry(from: BorrowedFd, to: BorrowedFd, name: &[u8], stat: &Stat) -> io::Result<bool> {
    let mut shares = false;
    match stat.file_type {
        FileType::Regular => {
            let source = fs::file(fs::open_at(from, name, Open::Read)?);
            let target = fs::file(fs::open_at(to, name, Open::CreateNew)?);
            shares = content(&source, &target, stat.size)?;
        }
        FileType::Symlink => fs::symlink_at(&fs::read_link_at(from, name)?, to, name)?,
        kind => fs::mknod_at(to, name, kind, stat.device)?,
    }
    // The owner first: a new one takes suid bits and capabilities away.
    fs::chown_at(to, name, stat.uid, stat.gid)?;
    if stat.file_type != FileType::Symlink {
        fs::chmod_at(to, name, stat.mode)?;
    }
    for (key, value) in xattr::all_at(from, name)? {
        if !xattr::is_overlays(&key) {
            xattr::supported(xattr::set_at(to, name, &key, &value))?;
        }
    }
    fs::utimens_at(to, name, stat.mtime)?;
    Ok(shares)
}

/// Copies the data of a file of that size, and no hole, into an empty one. Where it ends sooner by
/// now, so does the copy; one whose size is told as 0 (/proc) is read to its end. Whether the blocks
/// are shared.
pub fn content(from: &File, to: &File, size: u64) -> io::Result<bool> {
    if size == 0 {
        let mut at = 0;
        let mut buffer = Vec::new();
        while let n @ 1.. = read_some(from, to, at, SMALL, &mut buffer)? {
            at += n;
        }
        return Ok(false);
    }
    // SAFETY: takes integers.
    if unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) } == 0 {
        return Ok(true);
    }
    let (mut at, mut buffer) = (0, Vec::new());
    while let Some((begin, end)) = data(from, at, size)? {
        at = begin;
        while at < end {
            match some(from, to, at, end - at, &mut buffer)? {
                0 => return to.set_len(at).map(|()| false),
                n => at += n,
            }
        }
    }
    to.set_len(size.min(from.metadata()?.len()))?;
    Ok(false)
}

/// The next run of data before `size`. Where holes cannot be asked for (sysfs) all is data.
fn data(from: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    match fs::next_data(from, at) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ESPIPE)) => {
            Ok(Some((at, size)))
        }
        found => Ok(found?.map(|(begin, end)| (begin, end.min(size))).filter(|(b, _)| *b < size)),
    }
}

/// Copies some bytes from `at`; within the kernel where it can (`copy_file_range(2)`).
fn some(from: &File, to: &File, at: u64, length: u64, buffer: &mut Vec<u8>) -> io::Result<u64> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if buffer.is_empty() {
        let mut offsets = [i64::try_from(at).map_err(io::Error::other)?; 2];
        let [read, write] = &mut offsets;
        // SAFETY: two integers to be read and written.
        let copied = unsafe {
            let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
            libc::copy_file_range(from, read, to, write, length.min(1 << 30), 0)
        };
        match copied {
            -1 => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::StorageFull => return Err(e),
                _ => buffer.resize(BUFFER, 0),
            },
            // Some kernels give nothing between some file systems.
            0 => buffer.resize(BUFFER, 0),
            n => return Ok(n.unsigned_abs() as u64),
        }
    }
    read_some(from, to, at, length, buffer)
}

/// The same, by way of a buffer.
fn read_some(
    from: &File,
    to: &File,
    at: u64,
    length: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<u64> {
    let most = length.min(BUFFER);
    if buffer.len() < most {
        buffer.resize(most, 0);
    }
    let block = buffer.get_mut(..most).unwrap_or_default();
    let n = from.read_at(block, at)?;
    to.write_all_at(block.get(..n).unwrap_or_default(), at)?;
    Ok(n as u64)
}
