//! The name server of a container on networks of the user's: it answers for the containers of its
//! networks and passes on all else.
//!
//! ```text
//! message    questions and answers, as bytes
//! resolver   what is answered from the names of the networks, and what is passed on
//! exchange   one question that was passed on: whom to ask, when, and what counts as its answer
//! conn       a connection that carries them
//! serve      the sockets
//! redirect   127.0.0.11:53 inside the container leads to them
//! ```
//!
//! There is no process for it: the monitor of each container serves this one container, from
//! sockets that it opened in the container's network namespace. So the name server lives as long
//! as the container, and comes back with the monitor where that was killed. The servers of the
//! host are asked from the host's namespace, where one on the host's loopback is reached too; those
//! that the container was given, from its own, of which one may be on its own loopback.

mod conn;
mod exchange;
mod message;
mod redirect;
mod resolver;
mod serve;

pub use resolver::Names;
pub use serve::{Config, Service};

use std::net::Ipv4Addr;

/// Where a container finds it: the same place as in Docker.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
pub const PORT: u16 = 53;
