//! One file per verb: ordering, locks and rollback. Returns data; never prints.
//!
//! Every verb that changes something begins with `Engine::begin`: it makes the state root where
//! it is missing, checks its version, and sweeps what the dead left (`sweep`). Readers do none of
//! it: they work while anything else is stuck.

mod attach;
mod create;
mod devices;
mod exec;
mod find;
pub mod image;
mod kill;
mod logs;
mod monitor;
mod names;
mod network;
pub mod options;
mod remove;
pub mod report;
pub mod session;
mod spec;
mod start;
mod stop;
mod supervise;
mod sweep;
mod top;
mod user;
mod view;
mod wait;

pub use exec::ExecOptions;
pub use monitor::Mode;
pub use start::Started;

use crate::error::{Context, Error, OsContext, Result};
use crate::image::Store;
use crate::sys::atomic::{self, Durability};
use crate::types::Home;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The format of the state root that this release reads and writes.
const VERSION: u32 = 1;

#[derive(Clone, Debug)]
pub struct Engine {
    pub home: Home,
    /// The installed binary, of which monitors are made.
    pub program: PathBuf,
}

impl Engine {
    /// `root` is absolute; nothing is made or looked at yet.
    pub fn new(root: &Path) -> Result<Engine> {
        let program = std::env::current_exe().on("find", "our own binary")?;
        Ok(Engine { home: Home::new(root)?, program })
    }

    /// What every changing verb does first.
    pub fn begin(&self) -> Result<()> {
        self.lay_root().hint(|| {
            format!("is {} on a disk you may write to? See --root", self.home.root.display())
        })?;
        self.sweep()
    }

    pub fn images(&self) -> Result<Store> {
        Store::open(&self.home.root)
    }

    /// Makes the directories, once.
    fn lay_root(&self) -> Result<()> {
        if crate::sys::process::effective_uid() != 0 {
            return Err(Error::Conflict("this needs root".into())
                .hint("run it with sudo; rootless containers are not there yet"));
        }
        let version = self.home.root.join("version");
        match fs::read_to_string(&version) {
            Ok(text) => {
                let found: u32 = text
                    .trim()
                    .parse()
                    .map_err(|_| Error::Damaged(format!("{}: not a number", version.display())))?;
                if found > VERSION {
                    return Err(Error::Conflict(format!(
                        "{} has format {found}; this release knows up to {VERSION}",
                        self.home.root.display()
                    ))
                    .hint("use the newer release that wrote it"));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                for dir in ["containers", "names", "mountpoint", "network", "volumes"] {
                    make_dir(&self.home.root.join(dir))?;
                }
                let text = format!("{VERSION}\n");
                atomic::replace(&version, text.as_bytes(), Durability::PowerLoss)
                    .on("write", &version)?;
            }
            Err(e) => return Err(Error::os("read", version.display().to_string(), e)),
        }
        if !self.home.run.join("live").exists() {
            self.lay_run()?;
        }
        Ok(())
    }

    /// After a reboot the run directory is new, and every container the sweep's business.
    fn lay_run(&self) -> Result<()> {
        make_dir(&self.home.run.join("c"))?;
        let aside = self.home.run.join(format!("live.{}", std::process::id()));
        make_dir(&aside)?;
        for id in crate::container::Dir::all(&self.home)? {
            let path = aside.join(id.as_str());
            fs::File::create(&path).on("create", &path)?;
        }
        let live = self.home.run.join("live");
        if fs::rename(&aside, &live).is_err() {
            // Somebody else was first.
            fs::remove_dir_all(&aside).on("remove", &aside)?;
        }
        Ok(())
    }
}

/// `mkdir -p`, for us alone.
fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).on("create", path)
}
