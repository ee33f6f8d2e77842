//! A service's `supervise` directory: the face that daemontools' svc, svok and svstat, runit's sv
//! and s6-svc know.
//!
//! ```text
//! supervise/           0700
//!   lock               flocked by whoever supervises the service, while it does
//!   control            FIFO: one letter a command (`command`)
//!   ok                 the same FIFO (hard link): can be opened for writing while supervised
//!   status             `status`; replaced whole at each change
//!   death_tally        how it ended so far (`death_tally`)
//! event/               of others who want to be told (`fifodir`), if they made it
//! ```
//!
//! Where a service's own directory cannot be written, its `supervise` lies under the first usable
//! of /run/cox, $XDG_RUNTIME_DIR/cox and /dev/shm/cox-UID, at the directory's absolute path; our
//! own tools look there too, others need a link. Nothing here outlives a reboot or matters after
//! a crash: the next supervisor takes the lock and writes anew.

use super::runtime_dir;
use super::status::Status;
use super::{death_tally, fifodir};
use crate::command::Command;
use crate::message::say_error;
use crate::spare;
use coracle::error::{Cause, Context, Error, OsContext, Result};
use coracle::sys::fs::open_for_appending;
use coracle::sys::pidfd::Exit;
use coracle::sys::{atomic, fifo, lock};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// So many letters are taken at a time.
const TURN: usize = 256;

/// The supervisor's side of a `supervise` directory.
#[derive(Debug)]
pub struct Supervise {
    dir: Box<Path>,
    control: File,
    /// How the last run ended.
    pub exit: Exit,
    _lock: Lock,
}

/// The lock of a `supervise` directory.
#[derive(Debug)]
struct Lock(lock::Guard);

impl Drop for Lock {
    fn drop(&mut self) {
        // The next to take charge may be we ourselves, in a moment.
        self.0.unlock();
    }
}

impl Supervise {
    /// Takes charge of the service in `service_dir`. `None` where there is no place for that: a
    /// service runs nevertheless.
    pub fn open(service_dir: &Path) -> Result<Option<Supervise>> {
        let dir = service_dir.join("supervise");
        match Supervise::open_at(&dir, false) {
            Err(error) if is_unwritable(&error) => {}
            other => return other.map(Some),
        }
        let usable = |(base, _): &(PathBuf, PathBuf)| runtime_dir::is_usable(base);
        let Some((_, dir)) = elsewhere(service_dir).find(usable) else {
            let text = format!(
                "{}: no place for its supervise directory, so svc and svstat will not reach it",
                service_dir.display()
            );
            let cure = "make the directory writable, or /run, or /dev/shm";
            say_error(&Error::conflict(text).hint(cure));
            return Ok(None);
        };
        Supervise::open_at(&dir, true).map(Some)
    }

    /// `whole`: with what it lies in.
    fn open_at(dir: &Path, whole: bool) -> Result<Supervise> {
        let is_new = make_dir(dir, whole)?;
        let taken =
            || Error::conflict(format!("{}: already supervised by another process", dir.display()));
        let path = dir.join("lock");
        let lock = open_for_appending(&path).on("open", &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken()),
            Err(TryLockError::Error(e)) => return Err(e).on("lock", &path),
        }
        // daemontools and runit flock; s6 looks for a lock of the other kind.
        let Some(lock) = lock::try_lock_file(lock, 0, lock::Mode::Exclusive).on("lock", &path)?
        else {
            return Err(taken());
        };
        let lock = Lock(lock);
        if !is_new {
            remove(&dir.join(death_tally::NAME))?;
        }
        let (control, ok) = (dir.join("control"), dir.join("ok"));
        let is_fifo = |file: fs::Metadata| file.file_type().is_fifo();
        unless_there(
            &control,
            || fifo::make(&control, 0o600).on("make", &control),
            || fs::symlink_metadata(&control).is_ok_and(is_fifo),
        )?;
        let inode = |path| fs::symlink_metadata(path).map(|file| file.ino()).ok();
        unless_there(
            &ok,
            || fs::hard_link(&control, &ok).on("link", &ok),
            || inode(&ok) == inode(&control),
        )?;
        let path = control;
        let control = fifo::open_both_ends(&path).on("open", &path)?;
        spare::of_services(control.as_fd()).on("open", &path).hint(|| spare::CURE.into())?;
        fifo::keep_small(control.as_fd());
        let supervise = Supervise { dir: dir.into(), control, exit: Exit::Code(0), _lock: lock };
        supervise.tell(b"s");
        Ok(supervise)
    }

    /// Becomes readable when there are commands.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Commands that have arrived (letters that mean nothing are skipped), and whether there may be
    /// more: whoever writes without end does not hold up the others.
    pub fn commands(&self) -> (Vec<Command>, bool) {
        let mut letters = [0; TURN];
        let count = (&self.control).read(&mut letters).unwrap_or(0);
        let commands =
            letters.iter().take(count).filter_map(|letter| Command::from_letter(*letter));
        (commands.collect(), count == TURN)
    }

    /// Writes down what the service is doing, and tells those who listen what has changed.
    pub fn publish(&self, old: Option<&Status>, new: &Status) -> io::Result<()> {
        let path = self.dir.join("status");
        let bytes = new.encode();
        let written = match old {
            None => atomic::create(&path, &bytes),
            Some(_) => atomic::replace(&path, &bytes, atomic::Durability::Crash),
        };
        let written = match written {
            // It has the room that it needs already, and one write is whole for readers too.
            Err(e) if e.kind() == ErrorKind::StorageFull => in_place(&path, &bytes).map_err(|_| e),
            other => other,
        };
        let letters = old.map(|old| fifodir::letters(old, new)).unwrap_or_default();
        if !letters.is_empty() {
            self.tell(&letters);
        }
        written
    }

    /// The run of the service in `dir` has ended.
    pub fn ended(&mut self, dir: &Path, exit: Exit) -> Result<()> {
        self.exit = exit;
        death_tally::record(dir, &self.dir, exit, SystemTime::now())
    }

    fn tell(&self, letters: &[u8]) {
        fifodir::tell(&self.dir.with_file_name("event"), letters);
    }
}

impl Drop for Supervise {
    fn drop(&mut self) {
        self.tell(b"x");
    }
}

fn in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fifo::open_for_writing(path)? {
        Some(mut file) => file.write_all(bytes),
        None => Err(ErrorKind::NotFound.into()),
    }
}

/// Makes the directory; or, where it is a link to a directory not yet there, that one. Not what it
/// lies in, unless it is to be made as a whole: a service's directory that was just removed stays away.
/// Whether it is sure to be new.
fn make_dir(dir: &Path, whole: bool) -> Result<bool> {
    let mut builder = DirBuilder::new();
    match builder.mode(0o700).recursive(whole).create(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let Ok(target) = fs::read_link(dir) else { return Ok(false) };
            let target = dir.parent().unwrap_or(dir).join(target);
            builder.recursive(true).create(&target).on("make", &target).map(|()| false)
        }
        other => other.on("make", dir).map(|()| !whole),
    }
}

/// Makes `path`; where something has that name, and is not `right`, in place of that.
fn unless_there(
    path: &Path,
    make: impl Fn() -> Result<()>,
    right: impl Fn() -> bool,
) -> Result<()> {
    match make() {
        Err(error) if is(&error, ErrorKind::AlreadyExists) => {}
        made => return made,
    }
    if right() {
        return Ok(());
    }
    remove(path)?;
    make()
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.on("remove", path),
    }
}

fn is_unwritable(error: &Error) -> bool {
    use ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    [ReadOnlyFilesystem, PermissionDenied, StorageFull].iter().any(|kind| is(error, *kind))
}

fn is(error: &Error, kind: ErrorKind) -> bool {
    matches!(error.root(), Cause::Os { source, .. } if source.kind() == kind)
}

/// The other places for the `supervise` directory of a service, with the base of each.
fn elsewhere(service_dir: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let absolute = fs::canonicalize(service_dir).unwrap_or_default();
    runtime_dir::candidates().filter_map(move |base| {
        let below = absolute.as_os_str().as_bytes().strip_prefix(b"/")?;
        let dir = base.join(OsStr::from_bytes(below)).join("supervise");
        Some((base, dir))
    })
}

/// The `supervise` directory of the service in `service_dir`, for tools.
pub fn locate(service_dir: &Path) -> PathBuf {
    let here = service_dir.join("supervise");
    if here.join("ok").exists() {
        return here;
    }
    let mut others = elsewhere(service_dir).map(|(_, dir)| dir);
    others.find(|dir| dir.join("ok").exists()).unwrap_or(here)
}

/// Opens a supervised service's FIFO for commands; `None` where nobody supervises it.
pub fn open_control(supervise: &Path) -> Result<Option<File>> {
    let path = supervise.join("control");
    let opened = fifo::open_for_writing(&path);
    match opened {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.on("open", &path).doing(|| "control".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_takes_charge_and_letters_arrive() {
        let dir = std::env::temp_dir().join(format!("cox-fifo-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        assert!(open_control(&locate(&dir)).unwrap().is_none());
        let first = Supervise::open(&dir).unwrap().unwrap();
        let error = Supervise::open(&dir).unwrap_err().to_string();
        assert!(error.ends_with("already supervised by another process"), "{error}");
        let control = open_control(&locate(&dir)).unwrap().unwrap();
        Write::write_all(&mut &control, b"d?x").unwrap();
        assert_eq!(first.commands(), (vec![Command::Down, Command::Exit], false));
        assert_eq!(first.commands(), (vec![], false));
        Write::write_all(&mut &control, &[b'u'; TURN + 1]).unwrap();
        assert_eq!(first.commands(), (vec![Command::Up; TURN], true));
        assert_eq!(first.commands(), (vec![Command::Up], false));
        drop(first);
        assert!(open_control(&locate(&dir)).unwrap().is_none());
        Supervise::open(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
