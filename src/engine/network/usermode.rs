//! The network of a container without root: by a program of its own (`network::usermode`).

use super::super::{Engine, publish};
use crate::container::{Config, Dir, Network, ProcessId};
use crate::engine::options::{Membership, NetworkMode, Options};
use crate::error::{Error, OsContext, Result};
use crate::network::DEFAULT;
use crate::network::ports::Reservation;
use crate::network::usermode;
use crate::types::{Pid, Protocol, UserMode};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// What only root can do, and what else there is.
const CURE: &str =
    "publish ports, have containers share one by --network container:NAME, or be root";

impl Engine {
    /// The kind of network that a new container is to have.
    pub(in crate::engine) fn network_mode(&self, options: &Options) -> Result<NetworkMode> {
        match (&options.network, self.is_rootless()) {
            (NetworkMode::UserMode(mode), false) => {
                let text = format!("--network {mode} is for containers without root");
                Err(Error::invalid(text).hint("leave it out"))
            }
            (NetworkMode::Bridge, true) => {
                let asked = [
                    (!options.links.is_empty(), "--link"),
                    (options.mac_address.is_some(), "--mac-address"),
                    (
                        options.networks.iter().any(|at| *at != Membership::new(DEFAULT)),
                        "--network NAME",
                    ),
                ];
                match asked.into_iter().find(|(asked, _)| *asked) {
                    Some((_, what)) => Err(needs_root(what)),
                    None => usermode::find().map(NetworkMode::UserMode),
                }
            }
            (mode, _) => Ok(mode.clone()),
        }
    }

    /// Whether this state root is one without root.
    pub(in crate::engine) fn is_rootless(&self) -> bool {
        self.home.run.starts_with(&self.home.root)
    }

    /// For the verbs on networks.
    pub(in crate::engine) fn refuse_rootless(&self, what: &str) -> Result<()> {
        if self.is_rootless() { Err(needs_root(what)) } else { Ok(()) }
    }

    /// Finds the ports that a program is going to take.
    pub(in crate::engine) fn choose_ports(
        &self,
        dir: &Dir,
        config: &Config,
        mode: UserMode,
    ) -> Result<Reservation> {
        let wanted = publish::wanted(config);
        let has_ipv6 = usermode::addresses(mode).iter().any(|address| address.is_ipv6());
        for wanted in &wanted {
            let is_ipv6 = wanted.address.is_some_and(|address| address.is_ipv6());
            let lack = match wanted.port.protocol {
                Protocol::Sctp => format!("{mode} knows tcp and udp only"),
                _ if is_ipv6 && !has_ipv6 => "there is no IPv6 here".into(),
                _ => continue,
            };
            return Err(Error::conflict(format!("cannot publish {wanted}: {lack}")));
        }
        let mut ports = Reservation::new(&wanted, has_ipv6).map_err(|refused| {
            let error = self.explain(dir, &refused);
            match refused.error.kind() {
                ErrorKind::PermissionDenied => error.hint(
                    "publish another port, or as root: sysctl -w \
                     net.ipv4.ip_unprivileged_port_start=80",
                ),
                _ => error,
            }
        })?;
        ports.give_up();
        Ok(ports)
    }

    /// Gives a container whose first process waits its network, where it is by a program.
    pub(in crate::engine) fn start_usermode(
        &self,
        dir: &Dir,
        config: &Config,
        process: Pid,
        ports: &Reservation,
    ) -> Result<()> {
        let Network::UserMode(mode) = config.network else { return Ok(()) };
        // The program is to stay where the monitor does.
        self.place_monitor();
        let (run, ports) = (dir.run_path(), ports.published());
        dir.update_state(|state| state.ports = ports.to_vec())?;
        let wanted = usermode::Wanted { mode, run, process, ports };
        usermode::start(&wanted, |pid| write_helper(dir, pid))
    }

    /// Ends the program of a container that has ended.
    pub(in crate::engine) fn end_usermode(&self, dir: &Dir) -> Result<()> {
        read_helper(dir)?.map_or(Ok(()), usermode::end)
    }
}

fn helper(dir: &Dir) -> PathBuf {
    dir.run_path().join("helper")
}

pub(super) fn write_helper(dir: &Dir, pid: Pid) -> Result<()> {
    let path = helper(dir);
    let text = serde_json::to_vec(&ProcessId::of(pid)?).unwrap_or_default();
    fs::write(&path, text).on("write", &path)
}

/// The program of a container, while it lives.
pub(super) fn read_helper(dir: &Dir) -> Result<Option<OwnedFd>> {
    let path = helper(dir);
    let text = match fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.on("read", &path)?,
    };
    // A torn record is that of one that was not executed.
    let process = serde_json::from_slice::<ProcessId>(&text).ok();
    Ok(process.and_then(|process| process.open()))
}

fn needs_root(what: &str) -> Error {
    Error::invalid(format!("{what} needs root: it is made of bridges and rules")).hint(CURE)
}
