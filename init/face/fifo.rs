//! A service's `supervise` directory: the face that daemontools' svc, svok and svstat, runit's sv
//! and s6-svc know.
//!
//! ```text
//! supervise/           0700
//!   lock               flocked by whoever supervises the service, while it does
//!   control            FIFO: one letter a command (`command`)
//!   ok                 the same FIFO (hard link): can be opened for writing while supervised
//!   status             20 bytes, replaced whole at each change
//! ```
//!
//! status, as runit 2.1.2 writes it; daemontools reads the first 18: bytes 0-7 TAI seconds since
//! when it is so (big endian, 2^62 + 10 + Unix time), 8-11 nanoseconds (big endian), 12-15 pid
//! (little endian, 0 if down), 16 paused, 17 want ('u', 'd', 0 for once), 18 was told to stop,
//! 19 state (0 down, 1 run, 2 finish).
//!
//! Where a service's own directory cannot be written, its `supervise` lies under the first usable
//! of /run/cox, $XDG_RUNTIME_DIR/cox and /dev/shm/cox-UID, at the directory's absolute path; our
//! own tools look there too, others need a link. Nothing here outlives a reboot or matters after
//! a crash: the next supervisor takes the lock and writes anew.

use crate::command::Command;
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::{atomic, fifo, process};
use coracle::types::Pid;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// TAI64's label of 1970-01-01 (cr.yp.to/libtai/tai64.html), with the leap seconds as daemontools
/// counts them.
const TAI_EPOCH: u64 = (1 << 62) + 10;

/// What a service is doing, as the status file tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    pub since: SystemTime,
    pub pid: Option<Pid>,
    pub paused: bool,
    /// `u`, `d`, or 0 for once.
    pub want: u8,
    pub told: bool,
    pub phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Down,
    Run,
    Finish,
}

impl Status {
    pub fn encode(&self) -> [u8; 20] {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut bytes = [0; 20];
        let fields = TAI_EPOCH.saturating_add(since.as_secs()).to_be_bytes().into_iter();
        let fields = fields.chain(since.subsec_nanos().to_be_bytes());
        let fields = fields.chain(self.pid.map_or(0, Pid::raw).to_le_bytes());
        let phase = match self.phase {
            Phase::Down => 0,
            Phase::Run => 1,
            Phase::Finish => 2,
        };
        let fields = fields.chain([u8::from(self.paused), self.want, u8::from(self.told), phase]);
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }

    /// Takes daemontools' 18 bytes too.
    pub fn decode(bytes: &[u8]) -> Option<Status> {
        let (seconds, rest) = bytes.split_first_chunk()?;
        let (nanoseconds, rest) = rest.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (&[paused, want], rest) = rest.split_first_chunk()?;
        let pid = Pid::from_raw(i32::from_le_bytes(*pid));
        let seconds = u64::from_be_bytes(*seconds).saturating_sub(TAI_EPOCH);
        let since = Duration::from_secs(seconds)
            .saturating_add(Duration::from_nanos(u32::from_be_bytes(*nanoseconds).into()));
        let (told, phase) = match rest {
            [told, 2] => (*told, Phase::Finish),
            [told, _] => (*told, if pid.is_some() { Phase::Run } else { Phase::Down }),
            _ => (0, if pid.is_some() { Phase::Run } else { Phase::Down }),
        };
        Some(Status {
            since: UNIX_EPOCH.checked_add(since)?,
            pid,
            paused: paused != 0,
            want,
            told: told != 0,
            phase,
        })
    }
}

/// The supervisor's side of a `supervise` directory.
#[derive(Debug)]
pub struct Supervise {
    dir: PathBuf,
    control: File,
    _lock: File,
}

impl Supervise {
    /// Takes charge of the service in `service_dir`.
    pub fn open(service_dir: &Path) -> Result<Supervise> {
        let dir = service_dir.join("supervise");
        match Supervise::open_at(&dir) {
            Err(error) if is_unwritable(&error) => {}
            other => return other,
        }
        let Some(dir) = elsewhere(service_dir).find(|(base, _)| is_ours(base)).map(|(_, dir)| dir)
        else {
            return Err(Error::Conflict(format!(
                "{}: no place for its supervise directory",
                service_dir.display()
            ))
            .hint("make the directory writable, or /run, or /dev/shm"));
        };
        Supervise::open_at(&dir)
    }

    fn open_at(dir: &Path) -> Result<Supervise> {
        make_dir(dir)?;
        let path = dir.join("lock");
        let lock = File::options().create(true).append(true).open(&path).on("open", &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = format!("{}: already supervised by another process", dir.display());
                return Err(Error::Conflict(problem));
            }
            Err(TryLockError::Error(e)) => return Err(e).on("lock", &path),
        }
        for entry in fs::read_dir(dir).on("read", dir)?.flatten() {
            if atomic::is_leftover(&entry.file_name()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let (control, ok) = (dir.join("control"), dir.join("ok"));
        if !fs::symlink_metadata(&control).is_ok_and(|file| file.file_type().is_fifo()) {
            remove(&control)?;
            fifo::make(&control, 0o600).on("make", &control)?;
        }
        let inode = |path| fs::symlink_metadata(path).map(|file| file.ino()).ok();
        if inode(&ok) != inode(&control) {
            remove(&ok)?;
            fs::hard_link(&control, &ok).on("link", &ok)?;
        }
        Ok(Supervise {
            dir: dir.to_path_buf(),
            control: fifo::open_both_ends(&control).on("open", &control)?,
            _lock: lock,
        })
    }

    /// Becomes readable when there are commands.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The commands that have arrived; letters that mean nothing are skipped.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut letters = [0; 256];
        while let Ok(count @ 1..) = (&self.control).read(&mut letters) {
            let letters = letters.iter().take(count);
            commands.extend(letters.filter_map(|letter| Command::from_letter(*letter)));
        }
        commands
    }

    pub fn publish(&self, status: &Status) -> io::Result<()> {
        let path = self.dir.join("status");
        atomic::replace(&path, &status.encode(), atomic::Durability::Crash)
    }
}

/// Makes the directory; or, where it is a link to a directory not yet there, that one.
fn make_dir(dir: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    match builder.create(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let target = fs::read_link(dir).on("read", dir)?;
            let target = dir.parent().unwrap_or(dir).join(target);
            builder.create(&target).on("make", &target)
        }
        other => other.on("make", dir),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.on("remove", path),
    }
}

fn is_unwritable(error: &Error) -> bool {
    let Error::Os { source, .. } = error.root() else { return false };
    matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// The other places for the `supervise` directory of a service, with the base of each.
fn elsewhere(service_dir: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let bases = [
        Some(PathBuf::from("/run/cox")),
        runtime.map(|dir| Path::new(&dir).join("cox")),
        Some(PathBuf::from(format!("/dev/shm/cox-{}", process::effective_uid()))),
    ];
    let absolute = fs::canonicalize(service_dir).unwrap_or_default();
    bases.into_iter().flatten().filter_map(move |base| {
        let below = absolute.strip_prefix("/").ok()?;
        let dir = base.join(below).join("supervise");
        Some((base, dir))
    })
}

/// Whether `base` is a directory (made if missing) in which nobody else can put anything.
fn is_ours(base: &Path) -> bool {
    match DirBuilder::new().mode(0o700).create(base) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(_) => return false,
    }
    let Ok(meta) = fs::symlink_metadata(base) else { return false };
    let writable = DirBuilder::new().mode(0o700).create(base.join(".try")).is_ok();
    let _ = fs::remove_dir(base.join(".try"));
    meta.is_dir() && meta.uid() == process::effective_uid() && meta.mode() & 0o022 == 0 && writable
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
    fn a_status_reads_as_runit_and_daemontools_wrote_it() {
        // Recorded from runit 2.1.2: state run; and from daemontools 0.76.
        let runit = *b"\x40\0\0\0\x6b\x02\x6c\x9f\x28\x91\x14\x14\xb2\0\0\0\0u\0\x01";
        let status = Status::decode(&runit).unwrap();
        assert_eq!(status.pid, Pid::from_raw(0xb2));
        assert_eq!((status.want, status.phase), (b'u', Phase::Run));
        assert_eq!(status.encode(), runit);
        let daemontools = *b"\x40\0\0\0\x6b\x02\x6c\x99\x24\xbc\x03\xbc\x8e\0\0\0\0u";
        let status = Status::decode(&daemontools).unwrap();
        assert_eq!((status.pid, status.phase), (Pid::from_raw(0x8e), Phase::Run));
        assert_eq!(status.encode()[..18], daemontools);
    }

    #[test]
    fn a_torn_status_is_none() {
        let status = Status {
            since: UNIX_EPOCH,
            pid: None,
            paused: true,
            want: 0,
            told: true,
            phase: Phase::Down,
        };
        let bytes = status.encode();
        assert_eq!(Status::decode(&bytes), Some(status));
        for short in 0..18 {
            assert_eq!(Status::decode(&bytes[..short]), None);
        }
    }

    #[test]
    fn only_one_takes_charge_and_letters_arrive() {
        let dir = std::env::temp_dir().join(format!("cox-fifo-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        assert!(open_control(&locate(&dir)).unwrap().is_none());
        let first = Supervise::open(&dir).unwrap();
        let error = Supervise::open(&dir).unwrap_err().to_string();
        assert!(error.ends_with("already supervised by another process"), "{error}");
        let control = open_control(&locate(&dir)).unwrap().unwrap();
        io::Write::write_all(&mut &control, b"d?x").unwrap();
        assert_eq!(first.commands(), [Command::Down, Command::Exit]);
        drop(first);
        assert!(open_control(&locate(&dir)).unwrap().is_none());
        Supervise::open(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
