//! Joining containers and the bridge: leases under the network lock, and the files in /etc that
//! follow from them.

use super::Engine;
use super::report::Endpoint;
use crate::container::{Config, Dir, Network as Kind, State, Status, dir::lock_offset};
use crate::error::{OsContext, Result};
use crate::network::{self, Attachment, Network, NetworkLock, files};
use crate::sys::lock::{self, Mode};
use crate::sys::netlink::Request;
use crate::types::{ExtraHost, MacAddress, Pid, Published};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// What a container on its way up gets of the network.
pub(super) enum Plan {
    Bridge(Attachment),
    LoopbackOnly,
    /// The host's own namespace.
    Host,
}

impl Plan {
    /// What the container's first process is to ask of its own namespace.
    pub fn requests(&self) -> Vec<Request> {
        match self {
            Plan::Bridge(attachment) => attachment.child_requests(),
            Plan::LoopbackOnly => network::loopback_requests(),
            Plan::Host => Vec::new(),
        }
    }

    pub fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Plan::Bridge(attachment) => Some(attachment.address),
            Plan::LoopbackOnly | Plan::Host => None,
        }
    }

    /// Gives the namespace of a process its link.
    pub fn connect(&self, process: Pid) -> Result<()> {
        match self {
            Plan::Bridge(attachment) => attachment.connect(process).map(drop),
            Plan::LoopbackOnly | Plan::Host => Ok(()),
        }
    }
}

impl Engine {
    fn network(&self) -> &Network {
        let make = || Network::new(&self.home.root.join("network"), &self.home.run);
        self.network.get_or_init(make)
    }

    pub(super) fn network_lock(&self) -> Result<NetworkLock> {
        let path = self.home.root.join("locks");
        let guard = lock::lock(&path, lock_offset::NETWORK, Mode::Exclusive).on("lock", &path)?;
        Ok(NetworkLock::new(guard))
    }

    /// Leases an address, has `ports` lead to it, and writes what the container finds in /etc.
    /// `release_network` takes all of it back, whatever happens in between.
    pub(super) fn prepare_network(
        &self,
        dir: &Dir,
        config: &Config,
        ports: &[Published],
    ) -> Result<Plan> {
        let plan = match config.network {
            Kind::Bridge => {
                let last = dir.state()?.address;
                let lock = self.network_lock()?;
                let bridge = self.network().ensure_bridge(&lock)?;
                let mut attachment = self.network().lease(&lock, &bridge, &dir.id, last)?;
                if let Some(MacAddress(mac)) = config.mac_address {
                    attachment.mac = mac;
                }
                let others = || self.published_by_others(dir);
                self.network().publish(&lock, &mut attachment, ports, others)?;
                Plan::Bridge(attachment)
            }
            Kind::None => Plan::LoopbackOnly,
            Kind::Host => Plan::Host,
        };
        let more: Vec<_> = extra_hosts(config, &plan).collect();
        let hosts = match plan {
            Plan::Host => {
                let text = fs::read_to_string("/etc/hosts").unwrap_or_default();
                files::with_hosts(text, &more)
            }
            _ => {
                let address = plan.address().map(IpAddr::from);
                files::hosts(&config.hostname, Some(&config.domainname), address, &more)
            }
        };
        let (host, upstream) = files::read_resolv_conf()?;
        let resolv = match plan {
            Plan::Host => host,
            _ => files::resolv_conf(&host, &upstream),
        };
        let resolv = files::with_resolver(resolv, &config.resolver);
        for (path, text) in [
            (dir.hostname(), files::hostname(&config.hostname)),
            (dir.hosts(), hosts),
            (dir.resolv_conf(), resolv),
        ] {
            // In place: it is bind-mounted. Everybody in the container may read it.
            fs::write(&path, text).on("write", &path)?;
        }
        Ok(plan)
    }

    /// What leads to the containers that run, but for `dir`.
    fn published_by_others(&self, dir: &Dir) -> Result<Vec<(Ipv4Addr, Vec<Published>)>> {
        let others = Dir::live(&self.home)?.into_iter().filter(|id| *id != dir.id);
        // One that cannot be read is for its next start.
        let states = others.filter_map(|id| Dir::new(&self.home, &id).state().ok());
        let running = states.filter(|state| state.status == Status::Running);
        Ok(running.filter_map(|state| Some((state.address?, state.ports))).collect())
    }

    pub(super) fn release_network(&self, dir: &Dir) -> Result<()> {
        match dir.config() {
            Ok(config) if config.network != Kind::Bridge => Ok(()),
            // Where there is no record any more, there may be a lease.
            _ => self.network().release(&self.network_lock()?, &dir.id),
        }
    }

    /// Where a running container is attached.
    pub(super) fn endpoint(&self, config: &Config, state: &State) -> Option<Endpoint> {
        let address = state.address.filter(|_| state.status == Status::Running)?;
        let bridge = self.network().bridge().ok().flatten()?;
        let mac = config.mac_address.unwrap_or(MacAddress(network::mac_of(address)));
        Some(Endpoint {
            gateway: bridge.subnet.gateway(),
            prefix_len: bridge.subnet.prefix(),
            bridge: bridge.name,
            address,
            mac_address: mac.to_string(),
        })
    }
}

/// The lines of `--add-host`, with `host-gateway` being where the host is reached.
fn extra_hosts(config: &Config, plan: &Plan) -> impl Iterator<Item = (String, IpAddr)> {
    let gateway = match plan {
        Plan::Bridge(attachment) => Some(attachment.gateway()),
        Plan::Host => Some(Ipv4Addr::LOCALHOST),
        Plan::LoopbackOnly => None,
    };
    let address = move |host: &ExtraHost| host.address.or(gateway.map(IpAddr::from));
    config.extra_hosts.iter().filter_map(move |host| Some((host.name.clone(), address(host)?)))
}
