//! What is done to a cgroup that exists: joining, looking, freezing, killing, removing.

use super::{Cgroup, V1};
use crate::error::{Context, Error, OsContext, Result};
use crate::sys::inotify::Inotify;
use crate::sys::{pidfd, poll};
use crate::types::{Pid, Signal};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a frozen or killed group may take to be so: the kernel needs milliseconds, a process
/// in uninterruptible sleep for ever.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// The files to which a child writes `0` to join; opened for writing.
    pub fn join_files(&self) -> Result<Vec<OwnedFd>> {
        let v1 = self.v1.iter().map(|v1| v1.dir.join("tasks"));
        let unified = self.unified.iter().map(|dir| dir.join("cgroup.procs"));
        v1.chain(unified)
            .map(|path| {
                let file = File::options().write(true).open(&path).on("open", &path)?;
                Ok(OwnedFd::from(file))
            })
            .collect()
    }

    /// The processes in this cgroup and those below it, as seen from our pid namespace.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let mut pids = Vec::new();
        if let Some(dir) = self.main_dir() {
            walk(dir, &mut |dir| {
                let path = dir.join("cgroup.procs");
                let text = match fs::read_to_string(&path) {
                    Err(e) if is_gone(&e) => return Ok(()),
                    other => other.on("read", &path)?,
                };
                pids.extend(text.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
                Ok(())
            })?;
        }
        Ok(pids)
    }

    /// Whether the kernel killed a process here for want of memory.
    pub fn oom_killed(&self) -> bool {
        let file = match (self.v1_dir("memory"), &self.unified) {
            (Some(dir), _) => dir.join("memory.oom_control"),
            (None, Some(dir)) => dir.join("memory.events"),
            (None, None) => return false,
        };
        number_in(&fs::read_to_string(file).unwrap_or_default(), "oom_kill").unwrap_or(0) > 0
    }

    /// Stops every process and comes back when all stand still.
    pub fn freeze(&self) -> Result<()> {
        let frozen = match (self.v1_dir("freezer"), &self.unified) {
            (Some(dir), _) => freeze_v1(dir),
            (None, Some(dir)) => {
                write(&dir.join("cgroup.freeze"), "1").and_then(|()| wait_event(dir, "frozen", 1))
            }
            (None, None) => {
                return Err(Error::not_found("this container has no cgroup to freeze"));
            }
        };
        if frozen.is_err() {
            let _ = self.thaw();
        }
        frozen
    }

    /// Whether it is to stand still, or does.
    pub fn is_frozen(&self) -> bool {
        let (file, running) = match (self.v1_dir("freezer"), &self.unified) {
            (Some(dir), _) => (dir.join("freezer.state"), "THAWED"),
            (None, Some(dir)) => (dir.join("cgroup.freeze"), "0"),
            (None, None) => return false,
        };
        fs::read_to_string(file).is_ok_and(|state| state.trim() != running)
    }

    pub fn thaw(&self) -> Result<()> {
        match (self.v1_dir("freezer"), &self.unified) {
            (Some(dir), _) => write(&dir.join("freezer.state"), "THAWED"),
            (None, Some(dir)) => write(&dir.join("cgroup.freeze"), "0"),
            (None, None) => Ok(()),
        }
    }

    /// Kills every process and comes back when all have ended.
    pub fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        if let (None, Some(dir)) = (self.v1_dir("freezer"), &self.unified) {
            // Linux 5.14; before that, as in v1.
            let _ = write(&dir.join("cgroup.kill"), "1");
        }
        loop {
            let processes = self.processes()?;
            if processes.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::conflict(format!(
                    "{} processes of {} do not end",
                    processes.len(),
                    self.path.display()
                )));
            }
            // Frozen processes cannot fork away; they die as they thaw.
            let held = self.freeze().is_ok();
            let ended = self.processes().map(|now| signal_all(&now));
            if held {
                self.thaw()?;
            }
            wait_ended(&ended?, deadline);
        }
    }

    /// Takes the directories away, those below included. Nothing there is success; processes
    /// that are about to end are waited for.
    ///
    /// Errors: processes that go on living.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut errors = Vec::new();
        for dir in self.dirs() {
            loop {
                match remove_tree(dir) {
                    Ok(()) => break,
                    Err(e) if e.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                        self.wait_unused(dir, deadline);
                    }
                    Err(e) => {
                        errors.push(Error::os("remove", dir.display().to_string(), e));
                        break;
                    }
                }
            }
        }
        Error::collect(errors).doing(|| format!("remove cgroup {}", self.path.display()))
    }

    /// As `remove`, without waiting.
    pub(super) fn replace(&self) -> Result<()> {
        for dir in self.dirs() {
            match remove_tree(dir) {
                Err(e) if e.kind() == ErrorKind::ResourceBusy => {
                    let problem = format!("cgroup {} is in use", self.path.display());
                    return Err(Error::conflict(problem)
                        .hint("remove the container that runs there, or choose another path"));
                }
                other => other.on("remove", dir)?,
            }
        }
        Ok(())
    }

    /// Waits for the processes in `dir` to end; where none is to be seen, for the kernel to have
    /// let go of one that just did.
    fn wait_unused(&self, dir: &Path, deadline: Instant) {
        let pids = self.processes().unwrap_or_default();
        let open: Vec<OwnedFd> = pids.iter().filter_map(|pid| pidfd::open(*pid).ok()).collect();
        if !open.is_empty() {
            wait_ended(&open, deadline);
        } else if self.unified.as_deref() == Some(dir) {
            let _ = wait_event(dir, "populated", 0);
        } else {
            // v1 has no event for it; the rest of an exit takes microseconds.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.v1.iter().map(|V1 { dir, .. }| dir.as_path()).chain(self.unified.as_deref())
    }

    /// The directory by which to know the processes.
    fn main_dir(&self) -> Option<&Path> {
        // A cpuset may have been added later, and not have them yet.
        let all = self.v1_dir("freezer").or(self.v1_dir("memory")).map(PathBuf::as_path);
        self.unified.as_deref().or(all).or_else(|| self.dirs().last())
    }
}

fn freeze_v1(dir: &Path) -> Result<()> {
    let file = dir.join("freezer.state");
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Written again each time: a process born meanwhile keeps the state at FREEZING
        // (freezer-subsystem.rst).
        write(&file, "FROZEN")?;
        if fs::read_to_string(&file).on("read", &file)?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::conflict("a process does not stand still"));
        }
        // v1 has no event for it.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until `cgroup.events` (v2) says `key value`.
fn wait_event(dir: &Path, key: &str, value: u64) -> Result<()> {
    let file = dir.join("cgroup.events");
    let deadline = Instant::now() + PATIENCE;
    let changes = Inotify::new().on("watch", &file)?;
    changes.watch_writes(&file).on("watch", &file)?;
    loop {
        let events = fs::read_to_string(&file).on("read", &file)?;
        if number_in(&events, key) == Some(value) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let problem = format!("{} does not come to \"{key} {value}\"", dir.display());
            return Err(Error::conflict(problem));
        }
        poll::readable(changes.as_fd(), Some(left)).on("watch", &file)?;
        changes.drain().on("watch", &file)?;
    }
}

/// Kills them; gives a descriptor of each that is still there.
fn signal_all(pids: &[Pid]) -> Vec<OwnedFd> {
    let open = pids.iter().filter_map(|pid| pidfd::open(*pid).ok());
    open.inspect(|fd| {
        let _ = pidfd::send_signal(fd.as_fd(), Signal::KILL);
    })
    .collect()
}

fn wait_ended(processes: &[OwnedFd], deadline: Instant) {
    for process in processes {
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = pidfd::wait_ended(process.as_fd(), Some(left));
    }
}

/// Calls `visit` for `dir` and every directory below it, parents first.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    visit(dir)?;
    let entries = match fs::read_dir(dir) {
        Err(e) if is_gone(&e) => return Ok(()),
        other => other.on("read", dir)?,
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&entry.path(), visit)?;
        }
    }
    Ok(())
}

/// Removes `dir` and the directories below it; the files of a cgroup go with it.
fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(e) if is_gone(&e) => return Ok(()),
        // v1 and v2 answer EBUSY both for processes and for groups below.
        Err(e) if e.kind() == ErrorKind::ResourceBusy => {}
        other => return other,
    }
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(e) if is_gone(&e) => Ok(()),
        other => other,
    }
}

/// ENOENT, or ENODEV from a file of a group that is being removed.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(19)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).on("write", path)
}

/// The number behind `key` in a file of lines `key number`.
pub(super) fn number_in(text: &str, key: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value)
}
