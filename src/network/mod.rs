//! The networks of containers: a bridge on the host, an address for each container, and what they
//! find in /etc.
//!
//! ```text
//! <root>/networks/<name>/network.json      what it is (`definition`)
//! <root>/networks/<name>/leases/<address>  a symbolic link whose text is the holder's container id
//! <root>/networks/<name>/names, addresses  who is called what (`names`)
//! <run>/../forwarding                      it was off before us (`forwarding`)
//! <run>/removed/<index>                    of a bridge whose network is gone (`removal`)
//! ```
//!
//! A container's way in: `Networks::attach` and `Networks::publish` under the network lock; clone
//! the child into a new namespace; `Attachment::connect` with its pid; the child then sends
//! `Attachment::requests`. Its way out: the namespace ends and takes the pair of links along
//! (deleting links costs the caller 15 to 110 ms: only `disconnect`, `network rm`, changed settings
//! and a namespace that others have joined pay it), then `Networks::release`.
//!
//! The kernel is the truth about a bridge, which stays when its last user goes, as Docker's and
//! Podman's do. A crash leaves at most a lease whose container is dead, which the next `release` of
//! that id takes away.

mod attachment;
mod bridge;
mod counters;
mod definition;
pub mod files;
mod firewall;
mod forwarding;
mod lease;
pub mod names;
mod networks;
pub mod ports;
mod removal;
mod rules;
mod settings;
mod subnet;
mod subnet6;
mod sysctl;
pub mod usermode;

pub use attachment::{
    Attachment, GOING, LOOK, NETWORKS_MAX, Way, disconnect, is_taken, strip, unplug,
};
pub use bridge::{Bridge, mac_of};
pub use counters::{LinkCounters, Traffic};
pub use definition::{DEFAULT, Definition, Driver, check_link_name, check_name};
pub use lease::Wanted;
pub use networks::{Networks, Request};
pub use rules::{Link, Policy, Running};
pub use settings::{LinkAddress, NO_BRIDGE, Settings};
pub use subnet::Subnet;
pub use subnet6::Subnet6;

use crate::sys::lock;
use crate::sys::netlink;

/// Proof that the caller holds the lock on everything about networks.
#[derive(Debug)]
pub struct NetworkLock {
    _guard: lock::Guard,
}

impl NetworkLock {
    pub fn new(guard: lock::Guard) -> NetworkLock {
        NetworkLock { _guard: guard }
    }
}

/// What the child of a container without a network sends (`--net=none`).
pub fn loopback_requests() -> Vec<netlink::Request> {
    vec![netlink::link_up(netlink::LOOPBACK)]
}
