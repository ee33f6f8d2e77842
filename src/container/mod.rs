//! Containers: what is written about them, their log, and the monitor that stands beside each.

pub mod client;
mod conn;
pub mod dir;
pub mod frame;
mod health;
mod isolation;
mod limits;
pub mod log;
pub mod monitor;
mod namespaces;
pub mod notify;
mod process;
pub mod record;
pub mod restart;

pub use client::Client;
pub use dir::{Dir, Live};
pub use frame::{Again, Frame};
pub use health::{Checked, Checkup, Health, HealthStatus, OUTPUT};
pub use isolation::{Isolation, SeccompChoice};
pub use limits::{Cpus, DeviceRate, Limits};
pub use monitor::{Act, Asked, Monitor, Pipes, Service, Services};
pub use namespaces::{Namespaces, Share};
pub use record::{
    Config, Endpoint, Endpoint6, Link, Membership, Mount, MountKind, Network, ProcessId, Settings,
    State, Status, Streams, TakesVolumes, Terminal, Want,
};
