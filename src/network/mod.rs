//! The network of containers: a bridge on the host, an address for each container, and what they
//! find in /etc.
//!
//! ```text
//! <root>/network/bridge.json       the bridge's name and range, kept once they are chosen
//! <root>/network/leases/<address>  a symbolic link whose text is the holder's container id
//! <root>/network/networks/<network>/names, addresses   who is called what, see `names`
//! <run>/ip_forward                 forwarding was off before us
//! ```
//!
//! A container's way in: `Network::ensure_bridge`, `Network::lease` and `Network::publish` under
//! the network lock; clone the child into a new namespace; `Attachment::connect` with its pid; the
//! child then sends `Attachment::child_requests`. Its way out: the namespace ends and takes the
//! pair of links along (deleting links costs the caller 50 to 110 ms, so we never do), then
//! `Network::release`.
//!
//! The kernel is the truth about the bridge, which stays when its last user goes, as Docker's and
//! Podman's do. A crash leaves at most a lease whose container is dead, which the next `release` of
//! that id takes away.

mod bridge;
pub mod files;
mod forwarding;
mod lease;
pub mod names;
pub mod ports;
mod rules;
mod subnet;

pub use bridge::{Attachment, Bridge, Network, mac_of};
pub use rules::Policy;
pub use subnet::Subnet;

use crate::sys::lock;
use crate::sys::netlink::{self, Request};

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
pub fn loopback_requests() -> Vec<Request> {
    vec![netlink::link_up(netlink::LOOPBACK)]
}
