//! Containers: what is written about them, their log, and the monitor that stands beside each.

pub mod log;
pub mod record;

pub use record::{
    Config, Mount, MountKind, Network, ProcessId, Settings, State, Status, Terminal, Want,
};
