//! The name server of a container, on its monitor's loop.

use super::Engine;
use crate::container::Service;
use crate::dns::{self, Config, Names};
use crate::error::Result;
use crate::network::names;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Instant;

/// The names of the networks whose directories the function tells, at the moment of a question.
struct Networks<F>(F);

impl<F: Fn() -> Vec<PathBuf>> Names for Networks<F> {
    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        names::addresses_on(&(self.0)(), name)
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        names::name_on(&(self.0)(), address)
    }
}

impl Service for dns::Service {
    fn deadline(&self) -> Option<Instant> {
        dns::Service::deadline(self)
    }

    fn serve(&mut self) {
        dns::Service::serve(self);
    }
}

impl Engine {
    /// Opens the name server of the container whose first process is behind the pidfd, for the
    /// monitor's `service`. `networks` tells the directories of its networks, `servers` whom to
    /// ask for other names (`network::files::host_servers`, or the user's choice), if anybody.
    pub fn name_server(
        process: BorrowedFd,
        networks: impl Fn() -> Vec<PathBuf> + 'static,
        servers: Option<Box<dyn Fn() -> Vec<SocketAddr>>>,
    ) -> Result<Box<dyn Service>> {
        let config = Config { names: Box::new(Networks(networks)), servers };
        Ok(Box::new(dns::Service::open(process, config)?))
    }
}
