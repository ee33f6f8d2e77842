//! Where services come from: files, and scan directories: which services are there, and being told
//! when that changes.
//!
//! Watched are the scan directories, and those of their entries that lack an executable `run`; for a
//! scan directory that is not there, the nearest above it that is.
//! A change is acted on once all has been quiet for 50 ms (a copy of a directory is many changes),
//! but at most a second after it was noticed. Where inotify does not work, that is said once, and
//! HUP or ALRM make cox look again.

use crate::dialect::directory;
use crate::message::say_error;
use crate::policy;
use crate::sorted::{Map, Set};
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::inotify::{ENTRIES, Inotify, Watch};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_millis(50);
const AT_MOST: Duration = Duration::from_secs(1);

/// Which directory it is, whatever its path: device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity(u64, u64);

impl Identity {
    pub fn of(dir: &Path) -> Result<Identity> {
        let meta = fs::metadata(dir).on("look at", dir)?;
        Ok(Identity(meta.dev(), meta.ino()))
    }
}

#[derive(Default)]
pub struct Sources {
    pub files: Vec<PathBuf>,
    known: Vec<Identity>,
    scans: Vec<PathBuf>,
    inotify: Option<Inotify>,
    /// The watches on entries without `run`, and on what is above missing scan directories.
    incomplete: Map<PathBuf, Watch>,
    /// When the changes that were not acted on yet began.
    changed: Option<Instant>,
}

impl Sources {
    /// Fails where one of `sources` is not there. One that is another by a second path counts once.
    pub fn new(sources: Vec<PathBuf>) -> Result<Sources> {
        let mut all = Sources::default();
        for source in sources {
            all.add(&source)?;
        }
        Ok(all)
    }

    pub fn add(&mut self, source: &Path) -> Result<()> {
        let meta = fs::metadata(source).on("read", source)?;
        let identity = Identity(meta.dev(), meta.ino());
        if self.known.contains(&identity) {
            return Ok(());
        }
        self.known.push(identity);
        if meta.is_dir() {
            fs::read_dir(source).on("read", source)?;
            self.scans.push(source.to_path_buf());
        } else {
            self.files.push(source.to_path_buf());
        }
        Ok(())
    }

    /// Whether services may yet appear.
    pub fn has_scans(&self) -> bool {
        !self.scans.is_empty()
    }

    /// From now on, changes in the directories are told.
    pub fn start_watching(&mut self) {
        match Inotify::new() {
            Ok(inotify) => self.inotify = Some(inotify),
            Err(_) if self.scans.is_empty() => {}
            Err(e) => tell(Error::os("start", "inotify", e)),
        }
    }

    /// Becomes readable when something changes.
    pub fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is pending; the time at which to look, if there was anything.
    pub fn noticed(&mut self, now: Instant) -> Option<Instant> {
        let any = self.inotify.as_ref().is_some_and(|inotify| inotify.drain().unwrap_or(false));
        if !any {
            return None;
        }
        let latest = policy::after(*self.changed.get_or_insert(now), AT_MOST);
        Some(policy::after(now, QUIET).min(latest))
    }

    /// The directories that hold a service now. `None` if a scan directory cannot be read, but
    /// may still be there: nothing is to be concluded from that.
    pub fn look(&mut self) -> Result<Map<PathBuf, Identity>> {
        self.changed = None;
        let mut services = Map::new();
        let mut incomplete = Set::new();
        let mut failed = None;
        for scan in self.scans.clone() {
            let mut entries = self.entries(&scan);
            if entries.is_err() && !scan.exists() {
                incomplete.extend(self.wait_above(&scan));
                // It may have come back meanwhile.
                entries = self.entries(&scan);
            }
            let entries = match entries {
                Ok(entries) => entries,
                Err(_) if !scan.exists() => continue,
                Err(e) => {
                    failed = Some(e);
                    continue;
                }
            };
            for entry in entries {
                let mut complete = directory::is_service(&entry);
                if !complete && self.wait_for(&entry) {
                    complete = directory::is_service(&entry);
                }
                if !complete {
                    incomplete.insert(entry);
                } else if let Ok(identity) = Identity::of(&entry) {
                    services.insert(entry, identity);
                }
            }
        }
        let inotify = &self.inotify;
        self.incomplete.retain(|entry, watch| {
            let keep = incomplete.contains(entry);
            if let (Some(inotify), false) = (inotify, keep) {
                inotify.unwatch(*watch);
            }
            keep
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(services),
        }
    }

    /// Lists a scan directory, and watches it from then on.
    fn entries(&mut self, scan: &Path) -> Result<Vec<PathBuf>> {
        // The watch comes first, so that nothing falls between it and the look.
        if let Some(inotify) = &self.inotify
            && let Err(e) = inotify.watch(scan, ENTRIES)
            && scan.exists()
        {
            tell(Error::os("watch", scan.display().to_string(), e));
            self.inotify = None;
        }
        directory::entries(scan)
    }

    /// Watches a directory for as long as it is incomplete; whether it was not watched before.
    fn wait_for(&mut self, dir: &Path) -> bool {
        if !self.incomplete.contains_key(dir)
            && let Some(inotify) = &self.inotify
            && let Ok(watch) = inotify.watch(dir, ENTRIES)
        {
            self.incomplete.insert(dir.to_path_buf(), watch);
            return true;
        }
        false
    }

    /// Watches what is next above a scan directory that is not there.
    fn wait_above(&mut self, scan: &Path) -> Option<PathBuf> {
        let mut above = nearest_above(scan)?;
        loop {
            // Scan directories are watched anyway, and for ever.
            if self.scans.contains(&above) || !self.wait_for(&above) {
                return Some(above);
            }
            match nearest_above(scan)? {
                same if same == above => return Some(above),
                nearer => above = nearer,
            }
        }
    }
}

/// The nearest directory that exists above `path`.
fn nearest_above(path: &Path) -> Option<PathBuf> {
    let above = path.ancestors().skip(1);
    let mut above = above.map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    above.find(|dir| dir.is_dir()).map(Path::to_path_buf)
}

fn tell(error: Error) {
    let told: Result<()> = Err(error);
    if let Err(error) = told.hint(|| "send HUP to have new directories noticed".into()) {
        say_error(&error);
    }
}
