//! The name server of a container, on its monitor's loop.

use super::Engine;
use super::network::has_name_server;
use crate::container::{Act, Config, Dir, Service, State};
use crate::dns;
use crate::error::Result;
use crate::network::{DEFAULT, files, names};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Instant;

/// The names of the networks whose directories the function tells, at the moment of a question.
struct Names<F>(F);

impl<F: Fn() -> Vec<PathBuf>> dns::Names for Names<F> {
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

    fn serve(&mut self) -> Vec<Act> {
        dns::Service::serve(self);
        Vec::new()
    }
}

impl Engine {
    /// Opens the name server of a container whose first process is there, where it has one; for the
    /// monitor.
    pub(super) fn name_server(
        &self,
        dir: &Dir,
        config: &Config,
        process: BorrowedFd,
    ) -> Result<Option<Box<dyn Service>>> {
        if !has_name_server(config, &dir.state()?.endpoints)? {
            return Ok(None);
        }
        let networks = {
            let (dir, all) = (dir.clone(), self.networks().dir(""));
            move || {
                let endpoints = dir.state().map(|state| state.endpoints).unwrap_or_default();
                let named = endpoints.iter().filter(|at| at.network != DEFAULT);
                named.map(|at| all.join(&at.network)).collect()
            }
        };
        let servers = {
            let (dir, asked) = (dir.clone(), config.resolver.servers.clone());
            move || {
                let leads_out = |state: State| state.endpoints.iter().any(|at| at.leads_out);
                match dir.state().is_ok_and(leads_out) {
                    false => Vec::new(),
                    true if asked.is_empty() => files::host_servers(),
                    true => asked.iter().map(|server| (*server, dns::PORT).into()).collect(),
                }
            }
        };
        serve_names(process, networks, Some(Box::new(servers))).map(Some)
    }

    /// The same for a container that runs, which is told whom to ask.
    pub(super) fn name_server_again(
        &self,
        dir: &Dir,
        config: &Config,
        process: BorrowedFd,
    ) -> Result<Option<Box<dyn Service>>> {
        let server = self.name_server(dir, config, process)?;
        self.rewrite_resolv_conf(dir, config)?;
        Ok(server)
    }
}

/// Opens the name server of the container whose first process is behind the pidfd. `networks` tells
/// the directories of its networks, `servers` whom to ask for other names, if anybody.
pub fn serve_names(
    process: BorrowedFd,
    networks: impl Fn() -> Vec<PathBuf> + 'static,
    servers: Option<Servers>,
) -> Result<Box<dyn Service>> {
    let config = dns::Config { names: Box::new(Names(networks)), servers };
    Ok(Box::new(dns::Service::open(process, config)?))
}

/// Whom to ask, as it is at the moment.
pub type Servers = Box<dyn Fn() -> Vec<SocketAddr>>;
