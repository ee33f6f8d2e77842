//! Replacing a file whole: readers see the old content or the new one, never a part.
//!
//! The new content is written to `.<name>.new` beside the file and renamed over it. A crash leaves
//! at most that leftover, which the next replacement writes over; `is_leftover` tells it from files
//! that matter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What of a replacement survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The death of any process. Costs no disk access.
    Crash,
    /// Loss of power too: file and directory are fsynced.
    PowerLoss,
}

/// Makes `path` hold `bytes` (mode 0600). The caller holds a lock: two must not replace the same
/// file at once.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    place(path, bytes, durability)?;
    if let (Durability::PowerLoss, Some(dir)) = (durability, path.parent()) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// As `replace`, but the name may be lost with the power: the next `replace` in the same directory
/// keeps that too.
pub fn place(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut leftover = std::ffi::OsString::from(".");
    leftover.push(name);
    leftover.push(".new");
    let leftover = dir.join(leftover);
    let written = write(&leftover, bytes, durability).and_then(|()| fs::rename(&leftover, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&leftover);
        return Err(error);
    }
    Ok(())
}

/// As `replace`, of a file that is hardly there yet, without the cost of a rename. Who looks for it
/// at that moment may find it empty instead of missing; so may the next after a crash.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let Ok(mut file) = file else { return replace(path, bytes, Durability::Crash) };
    if let Err(error) = fill(&mut file, bytes, Durability::Crash) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(())
}

/// Overwrites what `path` holds, in place and by one write(2); the rest of a longer content becomes
/// spaces. For a full disk: it needs no block that the file has not got.
///
/// A reader that takes no lock may see a mixture, and a loss of power may leave one.
pub fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_over(path, bytes, b' ')?.sync_all()
}

/// As `overwrite`, for a file of lines that others have mounted: the rest of a longer content is
/// empty lines, and is cut off then.
pub fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    write_over(path, bytes, b'\n')?.set_len(length)
}

fn write_over(path: &Path, bytes: &[u8], rest: u8) -> io::Result<File> {
    // What is longer was not written by us; its end a reader may see.
    const MOST: usize = 1 << 20;
    let file = OpenOptions::new().write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(MOST).min(MOST);
    let mut content = bytes.to_vec();
    content.resize(bytes.len().max(len), rest);
    file.write_all_at(&content, 0)?;
    Ok(file)
}

fn write(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Whatever has that name: nobody is waited for, and nothing is written elsewhere.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    fill(&mut file, bytes, durability)
}

fn fill(file: &mut File, bytes: &[u8], durability: Durability) -> io::Result<()> {
    file.write_all(bytes)?;
    match durability {
        Durability::PowerLoss => file.sync_all(),
        Durability::Crash => Ok(()),
    }
}

/// Whether `name` is what a killed `replace` left behind.
pub fn is_leftover(name: &std::ffi::OsStr) -> bool {
    name.as_bytes().starts_with(b".") && name.as_bytes().ends_with(b".new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_remains() {
        let dir = std::env::temp_dir().join(format!("coracle-atomic-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(".state.new"), "what a crash left of a longer text").unwrap();
        for text in ["one", "two"] {
            replace(&dir.join("state"), text.as_bytes(), Durability::PowerLoss).unwrap();
            assert_eq!(fs::read_to_string(dir.join("state")).unwrap(), text);
        }
        overwrite(&dir.join("state"), b"1").unwrap();
        assert_eq!(fs::read_to_string(dir.join("state")).unwrap(), "1  ");
        overwrite(&dir.join("state"), b"three").unwrap();
        assert_eq!(fs::read_to_string(dir.join("state")).unwrap(), "three");
        rewrite(&dir.join("state"), b"1\n").unwrap();
        assert_eq!(fs::read_to_string(dir.join("state")).unwrap(), "1\n");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert!(replace(&dir.join("none/state"), b"", Durability::Crash).is_err());
        assert!(is_leftover(std::ffi::OsStr::new(".state.new")));
        assert!(!is_leftover(std::ffi::OsStr::new("state")));
        fs::remove_dir_all(&dir).unwrap();
    }
}
