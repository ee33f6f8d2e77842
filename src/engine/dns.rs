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
    fn deadline(&self, _: bool) -> Option<Instant> {
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
        let Some(mut server) = self.make_name_server(dir, config, process)? else {
            return Ok(None);
        };
        server.open()?;
        Ok(Some(Box::new(server)))
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

    /// The same for a container that is adopted. What stands in the way of its name server, which
    /// may be its own program, is no reason to leave it without a monitor: the server opens when
    /// that is out of the way.
    pub(super) fn name_server_in_time(
        &self,
        dir: &Dir,
        config: &Config,
        process: BorrowedFd,
    ) -> (Option<Box<dyn Service>>, Vec<String>) {
        let made = self.make_name_server(dir, config, process);
        let told = made.is_ok().then(|| self.rewrite_resolv_conf(dir, config).err()).flatten();
        let (server, error) = match made {
            Err(error) => (None, Some(error)),
            Ok(None) => (None, None),
            Ok(Some(mut server)) => {
                let error = server.open().err();
                (Some(Box::new(server) as Box<dyn Service>), error)
            }
        };
        (server, error.into_iter().chain(told).map(|error| error.to_string()).collect())
    }

    fn make_name_server(
        &self,
        dir: &Dir,
        config: &Config,
        process: BorrowedFd,
    ) -> Result<Option<dns::Service>> {
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
        let asked = config.resolver.servers.clone();
        let asks_inside = !asked.is_empty();
        let dir = dir.clone();
        let servers = move || {
            let leads_out = |state: State| state.endpoints.iter().any(|at| at.leads_out);
            match dir.state().is_ok_and(leads_out) {
                false => Vec::new(),
                true if asked.is_empty() => files::host_servers(),
                true => asked.iter().map(|server| (*server, dns::PORT).into()).collect(),
            }
        };
        let servers = Box::new(servers);
        make(process, networks, servers, asks_inside).map(Some)
    }
}

/// Opens the name server of the container whose first process is behind the pidfd. `networks` tells
/// the directories of its networks, `servers` whom to ask for other names, if anybody, and
/// `asks_inside` whether from the container's namespace.
pub fn serve_names(
    process: BorrowedFd,
    networks: impl Fn() -> Vec<PathBuf> + 'static,
    servers: Servers,
    asks_inside: bool,
) -> Result<Box<dyn Service>> {
    let mut server = make(process, networks, servers, asks_inside)?;
    server.open()?;
    Ok(Box::new(server))
}

fn make(
    process: BorrowedFd,
    networks: impl Fn() -> Vec<PathBuf> + 'static,
    servers: Servers,
    asks_inside: bool,
) -> Result<dns::Service> {
    let names = Box::new(Names(networks));
    dns::Service::new(process, dns::Config { names, servers, asks_inside })
}

/// Whom to ask, as it is at the moment.
pub type Servers = Box<dyn Fn() -> Vec<SocketAddr>>;
