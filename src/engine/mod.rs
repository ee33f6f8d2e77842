//! One file per verb: ordering, locks and rollback. Returns data; never prints.
//!
//! Every verb that changes something begins with `Engine::begin`: it makes the state root where
//! it is missing, checks its version, and sweeps what the dead left (`sweep`). Readers do none of
//! it: they work while anything else is stuck.

mod attach;
mod change;
mod commit;
mod copy;
mod create;
mod devices;
mod diff;
mod dns;
pub mod events;
mod exec;
mod export;
mod find;
pub mod fsck;
mod health;
mod healthcheck;
mod hold;
pub mod image;
mod insert;
mod join;
mod kill;
mod link;
mod logs;
mod monitor;
mod names;
mod network;
mod notify;
pub mod options;
pub mod outfile;
mod patience;
mod privileges;
pub mod prune;
mod publish;
mod remove;
mod rename;
pub mod report;
mod resources;
pub mod rootless;
pub mod session;
pub mod settings;
mod share;
mod spec;
mod start;
pub mod stats;
mod stop;
mod storage;
mod supervise;
mod sweep;
mod top;
mod update;
pub mod usage;
mod user;
mod view;
mod volume;
mod wait;

pub use commit::CommitOptions;
pub use copy::CopyOptions;
pub use dns::serve_names;
pub use exec::ExecOptions;
pub use insert::InsertOptions;
pub use monitor::Mode;
pub use network::NetworkOptions;
pub use start::Started;
pub use storage::Driver;

use self::settings::Settings;
use crate::container::dir::lock_offset;
use crate::error::{Error, OsContext, Result};
use crate::image::{Store, init_layer};
use crate::network::Networks;
use crate::oci::cgroup::Cgroups;
use crate::sys::atomic::{self, Durability};
use crate::sys::exec::{self as exec_call, Environment};
use crate::sys::lock;
use crate::sys::mount;
use crate::types::Home;
use std::cell::{OnceCell, RefCell};
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The format of the state root that this release reads and writes.
const VERSION: u32 = 2;

#[derive(Debug)]
pub struct Engine {
    pub home: Home,
    /// The installed binary, of which monitors are made.
    pub program: PathBuf,
    /// This process runs a sealed copy of it.
    sealed: bool,
    /// What was asked for.
    wanted_driver: Option<Driver>,
    troubles: RefCell<Vec<Error>>,
    /// Tells the user something at once.
    voice: fn(Error),
    cgroups: OnceCell<Cgroups>,
    networks: OnceCell<Networks>,
    /// What the flags of the command say, and the file of settings.
    pub settings: Settings,
}

impl Engine {
    /// `root` is absolute; nothing is made or looked at yet.
    pub fn new(root: &Path) -> Result<Engine> {
        let program = std::env::current_exe().on("find", "our own binary")?;
        let (troubles, cgroups) = (RefCell::default(), OnceCell::new());
        let networks = OnceCell::new();
        Ok(Engine {
            home: rootless::home(root)?,
            program,
            sealed: false,
            wanted_driver: None,
            troubles,
            voice: |_| {},
            cgroups,
            networks,
            settings: Settings::default(),
        })
    }

    /// For a process that was executed from a sealed copy of `program`.
    pub fn sealed(self, program: PathBuf) -> Engine {
        Engine { program, sealed: true, ..self }
    }

    /// Has a new state root made with this driver, and refuses one that was made with another.
    pub fn with_driver(self, wanted_driver: Option<Driver>) -> Engine {
        Engine { wanted_driver, ..self }
    }

    /// What cannot wait for the end is told by `voice`.
    pub fn with_voice(self, voice: fn(Error)) -> Engine {
        Engine { voice, ..self }
    }

    /// What every process of ours does first: no umask and no closed descriptor of the caller's
    /// reaches what we make.
    pub fn enter() -> Result<()> {
        crate::sys::process::set_umask(0o022);
        crate::sys::fd::fill_standard().on("open", "/dev/null")
    }

    /// Executes this very command line again from a sealed copy of our binary, as what enters a
    /// container must be (CVE-2019-5736). Comes back only on error; the new process finds the
    /// words `sealed PROGRAM ROOT` in front of its arguments.
    fn seal(&self) -> Result<()> {
        if self.sealed {
            return Ok(());
        }
        let program = &self.program;
        let sealed = mount::sealed(program).on("mount", program)?;
        let (own, root) = (program.clone().into(), self.home.root.clone().into());
        let words = ["coracle".into(), "sealed".into(), own, root];
        let words = words.into_iter().chain(std::env::args_os().skip(1));
        let words = words.map(|word| CString::new(word.into_vec()));
        let words = words.collect::<std::result::Result<Vec<_>, _>>();
        let words = words.map_err(|_| Error::invalid("an argument with a NUL byte"))?;
        exec_call::replace(sealed.as_fd(), words, Environment::Ours, &[]).on("execute", program)
    }

    /// What every changing verb does first.
    pub fn begin(&self) -> Result<()> {
        self.lay_root().map_err(|error| {
            error.or_hint(|| {
                format!("is {} on a disk you may write to? See --root", self.home.root.display())
            })
        })?;
        // What concerns other containers is no reason not to do what was asked.
        let mut troubles = self.sweep()?;
        troubles.extend(self.volume_store().sweep().err());
        self.troubles.borrow_mut().extend(troubles);
        Ok(())
    }

    /// What the sweep could not repair so far, and what containers that were started have to do
    /// without: for the face to tell.
    pub fn take_troubles(&self) -> Vec<Error> {
        let mut all = self.troubles.take();
        all.dedup_by_key(|error| error.to_string());
        all
    }

    /// The host's control groups, looked for once: a host does not change them under a process.
    fn cgroups(&self) -> Result<&Cgroups> {
        match self.cgroups.get() {
            Some(cgroups) => Ok(cgroups),
            None => Cgroups::detect().map(|found| self.cgroups.get_or_init(|| found)),
        }
    }

    pub fn images(&self) -> Result<Store> {
        Store::open(&self.home.root)
    }

    /// Makes the directories, once.
    fn lay_root(&self) -> Result<()> {
        if crate::sys::process::effective_uid() != 0 {
            return Err(Error::conflict("this needs root, or a user namespace"));
        }
        if !self.check_version()? {
            make_dir(&self.home.root)?;
            let _lock = self.root_lock()?;
            self.choose_driver()?;
            for dir in ["containers", "names", "mountpoint", "networks", "volumes"] {
                make_dir(&self.home.root.join(dir))?;
            }
            let version = self.version_file();
            let text = format!("{VERSION}\n");
            atomic::replace(&version, text.as_bytes(), Durability::PowerLoss)
                .on("write", &version)?;
        }
        self.check_driver()?;
        if !self.home.run.join("live").exists() {
            self.lay_run()?;
        }
        let path = self.init_layer();
        if !path.exists() {
            let _lock = self.root_lock()?;
            let aside = self.home.root.join("init-layer.new");
            let made = if path.exists() { Ok(()) } else { init_layer::make(&aside, &path) };
            made.on("make", &path)?;
        }
        Ok(())
    }

    /// Refuses a state root of a later release, for readers too. Whether there is one at all.
    pub fn check_version(&self) -> Result<bool> {
        let path = self.version_file();
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            // Readers are told by what they read that they may not.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Ok(true),
            other => other.on("read", &path)?,
        };
        if self.home.run.starts_with(&self.home.root) != rootless::is_rootless(&self.home.root) {
            let text = format!("{} was made without root", self.home.root.display());
            return Err(Error::conflict(text).hint("use it as its owner, or choose another --root"));
        }
        let not_a_number = |_| Error::damaged(format!("{}: not a number", path.display()));
        let found: u32 = text.trim().parse().map_err(not_a_number)?;
        if found <= VERSION {
            return Ok(true);
        }
        let root = self.home.root.display();
        let text = format!("{root} has format {found}; this release knows up to {VERSION}");
        Err(Error::conflict(text).hint("use the newer release that wrote it"))
    }

    fn version_file(&self) -> PathBuf {
        self.home.root.join("version")
    }

    /// After a reboot the run directory is new, and every container the sweep's business. The list
    /// appears whole; whoever is next goes on with what a crash left of it aside.
    fn lay_run(&self) -> Result<()> {
        make_dir(&self.home.run.join("c"))?;
        let (live, aside) = (self.home.run.join("live"), self.home.run.join("live.new"));
        let _lock = self.root_lock()?;
        if live.exists() {
            // Somebody else was first.
            return Ok(());
        }
        make_dir(&aside)?;
        for id in crate::container::Dir::all(&self.home)? {
            let path = aside.join(id.as_str());
            fs::File::create(&path).on("create", &path)?;
        }
        fs::rename(&aside, &live).on("rename", &aside)
    }

    fn root_lock(&self) -> Result<lock::Guard> {
        let path = self.home.root.join("locks");
        lock::lock(&path, lock_offset::ROOT, lock::Mode::Exclusive).on("lock", &path)
    }
}

/// `mkdir -p`, for us alone.
fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).on("create", path)
}
