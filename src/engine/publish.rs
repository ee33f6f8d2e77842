//! The ports of the host for a container on its way up: which ones, and who is in the way.

use super::Engine;
use crate::container::{Config, Dir, Network, Status};
use crate::error::{Error, Result};
use crate::network::ports::{self, Refused, Reservation};
use crate::types::{Port, PortBinding, Protocol};
use std::io::ErrorKind;
use std::net::Ipv6Addr;

impl Engine {
    /// Takes all ports that the container is to have. Given up with what is returned.
    pub(super) fn reserve_ports(&self, dir: &Dir, config: &Config) -> Result<Reservation> {
        if let Network::UserMode(mode) = config.network {
            return self.choose_ports(dir, config, mode);
        }
        if config.network != Network::Bridge {
            return Ok(Reservation::default());
        }
        let mut wanted = wanted(config);
        let Some(first) =
            dir.settings()?.networks.into_iter().next().filter(|_| !wanted.is_empty())
        else {
            return Ok(Reservation::default());
        };
        let network = self.networks().get(&first.network)?;
        if network.is_disabled || network.without_rules {
            let text = format!(
                "cannot publish {}: it is switched off on network {}",
                wanted[0], first.network
            );
            return Err(Error::conflict(text).hint("see the settings bridge and iptables"));
        }
        for wanted in wanted.iter_mut().filter(|wanted| wanted.address.is_none()) {
            wanted.address = network.host_address;
        }
        let has_ipv6 = self.will_have_ipv6(dir)?;
        let is_loopback = |w: &&PortBinding| w.address == Some(Ipv6Addr::LOCALHOST.into());
        if let Some(wanted) = wanted.iter().find(is_loopback).filter(|_| has_ipv6) {
            let text = format!("cannot publish {wanted}: the kernel leads nowhere from [::1]");
            return Err(Error::conflict(text).hint("publish it at 127.0.0.1, or at [::]"));
        }
        let is_ipv6 = |w: &&PortBinding| w.address.is_some_and(|a| a.is_ipv6());
        if let Some(wanted) = wanted.iter().find(is_ipv6).filter(|_| !has_ipv6) {
            let text = format!("cannot publish {wanted}: containers have no IPv6 address");
            return Err(Error::conflict(text).hint("publish it at an IPv4 address, or at all"));
        }
        for wanted in wanted.iter().filter(|w| w.port.protocol == Protocol::Sctp) {
            // The kernel may have no socket to find that out with.
            if let Some(holder) = self.port_holder(dir, wanted) {
                return Err(allocated(wanted, &holder));
            }
        }
        Reservation::new(&wanted, has_ipv6).map_err(|refused| self.explain(dir, &refused))
    }

    /// Whether the host's ports can lead to an IPv6 address of the container: on the network that
    /// leads out.
    fn will_have_ipv6(&self, dir: &Dir) -> Result<bool> {
        for membership in dir.settings()?.networks {
            let network = self.networks().get(&membership.network)?;
            if !network.internal {
                return Ok(network.is_bridge() && !network.is_foreign && network.subnet6.is_some());
            }
        }
        Ok(false)
    }

    pub(super) fn explain(&self, dir: &Dir, Refused { wanted, error }: &Refused) -> Error {
        match error.kind() {
            ErrorKind::AddrInUse => {}
            ErrorKind::AddrNotAvailable => {
                let address = wanted.address.map(|address| address.to_string());
                let address = address.unwrap_or_default();
                let text = format!("cannot publish {wanted}: {address} is no address of this host");
                return Error::conflict(text);
            }
            _ => {
                let source = error.raw_os_error().map(std::io::Error::from_raw_os_error);
                let source = source.unwrap_or_else(|| error.kind().into());
                return Error::os("publish", wanted.to_string(), source);
            }
        }
        if wanted.fixed().is_none() {
            let range = wanted.host.map_or("49153-65535".into(), |range| range.to_string());
            return Error::conflict(format!(
                "cannot publish {wanted}: all ports of {range} are in use"
            ));
        }
        match self.port_holder(dir, wanted) {
            Some(name) => allocated(wanted, &name),
            None => {
                let program = ports::user_of(wanted).unwrap_or_else(|| "another program".into());
                Error::conflict(format!("cannot publish {wanted}: port is in use by {program}"))
                    .hint("publish another port, or stop that program")
            }
        }
    }

    /// The name of the container that has the port of `wanted`, or is about to.
    fn port_holder(&self, dir: &Dir, wanted: &PortBinding) -> Option<String> {
        let ids = Dir::live(&self.home).unwrap_or_default();
        ids.into_iter().filter(|id| *id != dir.id).find_map(|id| {
            let other = Dir::new(&self.home, &id);
            let state = other.state().ok()?;
            let has = match state.status {
                Status::Running => state.ports.iter().any(|held| held.binding().clashes(wanted)),
                Status::Starting | Status::Restarting => {
                    other.config().ok()?.ports.iter().any(|binding| binding.clashes(wanted))
                }
                _ => false,
            };
            has.then(|| other.settings().ok().map(|settings| settings.name.to_string()))?
        })
    }
}

fn allocated(wanted: &PortBinding, holder: &str) -> Error {
    Error::conflict(format!(
        "cannot publish {wanted}: port is already allocated to container {holder}"
    ))
    .hint("publish another port, or have one chosen: leave out the host's")
}

/// What was asked for, and with `-P` all that is exposed.
pub(super) fn wanted(config: &Config) -> Vec<PortBinding> {
    let mut wanted = config.ports.clone();
    if config.publish_all {
        // What the image says and nobody can read is shown only.
        let exposed = config.exposed_ports.iter().filter_map(|text| text.parse::<Port>().ok());
        for port in exposed {
            if !config.ports.iter().any(|binding| binding.port == port) {
                wanted.push(PortBinding { port, address: None, host: None });
            }
        }
    }
    wanted
}
