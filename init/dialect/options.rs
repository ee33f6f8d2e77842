//! What a cox.toml says about cox itself.

use crate::service::LogTo;
use coracle::types::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// `None` and empty where the file says nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    pub stop_timeout: Option<Duration>,
    /// More scan directories.
    pub scan: Vec<PathBuf>,
    /// Directories of programs to run before the services.
    pub init: Vec<PathBuf>,
    /// Whether the others are started after one of these has failed.
    pub init_may_fail: bool,
    /// The last of the services that `init` was made into: all others come after it, those of
    /// other sources too.
    pub last_of_init: Option<String>,
    pub explain_exit: Option<bool>,
    /// Where what is sent to /dev/log goes.
    pub dev_log: Option<LogTo>,
    pub control: Option<PathBuf>,
    pub signals: Vec<(Signal, OnSignal)>,
}

/// What cox does with a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnSignal {
    Stop,
    /// Reads all configuration again.
    Reload,
    /// Looks at the scan directories again.
    Rescan,
    /// Opens log files again.
    Reopen,
    /// Passes it on to the main service.
    Main,
    Ignore,
}
