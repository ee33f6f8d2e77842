//! The networks of one root directory: which there are, and who has an address on each.

use super::attachment::{Attachment, Way};
use super::bridge::Bridge;
use super::definition::{self, DEFAULT, Definition, Driver};
use super::lease::{Leases, Wanted};
use super::rules::Rules;
use super::{NetworkLock, Subnet6, firewall, forwarding, names};
use crate::error::{Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::fs as tree;
use crate::sys::netlink::nftables::Tables;
use crate::sys::netlink::{self, Mac, Socket};
use crate::types::{ContainerId, Digest, Port, Published};
use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What leads to the running containers of a network.
#[derive(Debug, Default)]
pub struct Running {
    /// The address of each, and its ports.
    pub published: Vec<(Ipv4Addr, Vec<Published>)>,
    /// Client, server, and the server's ports that are open to the client.
    pub links: Vec<(Ipv4Addr, Ipv4Addr, Vec<Port>)>,
}

/// The networks of one root directory.
#[derive(Debug)]
pub struct Networks {
    dir: PathBuf,
    pub(super) run: PathBuf,
    /// Opened when first needed.
    tables: RefCell<Option<Tables>>,
}

/// What a container asks of a network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    pub address: Wanted,
    /// Else it is made from the address.
    pub mac: Option<Mac>,
    /// Its link there is called `eth` and this.
    pub number: u8,
    /// The container's way out leads through this network, where that has one.
    pub is_first: bool,
}

impl Networks {
    /// `dir` is `<root>/networks`, `run` what does not survive a reboot; they need not exist.
    pub fn new(dir: &Path, run: &Path) -> Networks {
        let (dir, run) = (dir.to_path_buf(), run.to_path_buf());
        Networks { dir, run, tables: RefCell::default() }
    }

    /// Everything about one of them.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn record(&self, name: &str) -> PathBuf {
        self.dir(name).join("network.json")
    }

    /// All that were ever used or made, by name.
    pub fn all(&self) -> Result<Vec<Definition>> {
        let mut all = Vec::new();
        for name in self.names()? {
            all.extend(self.read(&name)?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The names of all directories that networks have, in no order.
    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.on("read", &self.dir)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.on("read", &self.dir)?.file_name();
            let name = name.to_str().filter(|name| definition::name_fits(name));
            names.extend(name.map(str::to_string));
        }
        Ok(names)
    }

    pub fn read(&self, name: &str) -> Result<Option<Definition>> {
        let path = self.record(name);
        let text = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.on("read", &path)?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::damaged(format!("{}: {e}", path.display()))
                .hint("remove the file: another name and range are chosen")
        })
    }

    /// The network of this name, which need not have been used where it is the default one.
    pub fn get(&self, name: &str) -> Result<Definition> {
        match self.read(name)? {
            Some(definition) => Ok(definition),
            None if name == DEFAULT => {
                // Always the same for a root directory.
                let id = Digest::of(self.dir(name).as_os_str().as_bytes());
                Ok(Definition::new(DEFAULT, *id.bytes()))
            }
            None => Err(Error::not_found(format!("no such network: {name}"))
                .hint(format!("make it with: network create {name}"))),
        }
    }

    /// Writes down what a network is.
    pub fn write(&self, _: &NetworkLock, definition: &Definition) -> Result<()> {
        let (dir, path) = (self.dir(&definition.name), self.record(&definition.name));
        fs::create_dir_all(&dir).on("make", &dir)?;
        let mut text = serde_json::to_vec_pretty(definition)
            .map_err(|e| Error::invalid(format!("write {}: {e}", path.display())))?;
        text.push(b'\n');
        atomic::replace(&path, &text, Durability::PowerLoss).on("write", &path)
    }

    pub(super) fn leases(&self, name: &str) -> Leases {
        Leases::new(self.dir(name).join("leases"))
    }

    /// The addresses that containers have on a network, with their ids.
    pub fn holders(&self, name: &str) -> Result<Vec<(Ipv4Addr, String)>> {
        self.leases(name).all()
    }

    /// A place for `id` on a network, whose links are made where they are missing. It has the
    /// address there that it still has, else the one it asks for, else the lowest free one.
    ///
    /// Errors: no such network; the range clashes with a route of the host, or a name with a link;
    /// no address is free.
    pub fn attach(
        &self,
        lock: &NetworkLock,
        name: &str,
        id: &ContainerId,
        request: Request,
    ) -> Result<Attachment> {
        let definition = self.get(name)?;
        let way = match definition.driver {
            Driver::Bridge => Way::Bridge(self.ensure_bridge(lock, definition.clone())?),
            Driver::Macvlan | Driver::Ipvlan => self.ensure_parent(lock, &definition)?,
        };
        // It may just have been chosen.
        let definition = self.get(name)?;
        let range = way.subnet();
        let gateway = way.gateway();
        let pool = definition.pool.unwrap_or(range);
        let address = self.leases(name).take(id, &range, &pool, gateway, request.address)?;
        let leads_out = request.is_first && !definition.internal;
        Ok(Attachment::new(id, &definition, way, address, leads_out, request))
    }

    /// Opens the way of a container to the world, and of the world to what it publishes. Where the
    /// rules are missing, `running` tells what leads to the others.
    pub fn publish(
        &self,
        _: &NetworkLock,
        attachment: &mut Attachment,
        ports: &[Published],
        running: impl FnOnce() -> Result<Running>,
    ) -> Result<()> {
        let Way::Bridge(bridge) = &attachment.way else { return Ok(()) };
        if bridge.without_rules {
            return Ok(());
        }
        attachment.publishes = !ports.is_empty();
        forwarding::enable(&self.run)?;
        if bridge.subnet6.is_some() {
            forwarding::enable6(&self.run)?;
        }
        self.with_rules(&bridge.name, bridge.subnet6, |mut rules| {
            let mut links = Vec::new();
            let others = || {
                let running = running()?;
                links = running.links;
                Ok(running.published)
            };
            let were_missing = rules.publish(bridge, attachment.address, ports, others)?;
            for (client, server, ports) in &links {
                rules.link(bridge, *client, *server, ports)?;
            }
            let is_first = were_missing || self.holders(&attachment.network)?.len() == 1;
            if is_first && !bridge.policy.internal {
                // That they cannot be read is no reason not to run.
                attachment.obstacles = firewall::obstacles(rules.tables, &bridge.name)
                    .unwrap_or_else(|error| vec![error.to_string()]);
            }
            Ok(())
        })?;
        // Once the rules are there that keep others from it.
        match attachment.publishes {
            true => forwarding::open_loopback(&self.run, &bridge.name),
            false => Ok(()),
        }
    }

    /// What rules of others keep from the containers of all bridges, and how to let it through.
    pub fn obstacles(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for definition in self.all()? {
            let is_ours = |b: &Bridge| !b.without_rules && !b.policy.internal;
            if let Some(bridge) = self.bridge_of(&definition)?.filter(is_ours) {
                let name = &bridge.name;
                found.extend(self.with_rules(name, None, |r| firewall::obstacles(r.tables, name))?);
            }
        }
        Ok(found)
    }

    /// Opens ports of the container at `server` to the one at `client`, which are both on the
    /// bridge, where containers do not reach each other anyway. Closed when one of both is released.
    pub fn link(
        &self,
        _: &NetworkLock,
        bridge: &Bridge,
        client: Ipv4Addr,
        server: Ipv4Addr,
        ports: &[Port],
    ) -> Result<()> {
        let range = bridge.subnet6;
        self.with_rules(&bridge.name, range, |mut r| r.link(bridge, client, server, ports))
    }

    /// Closes what `link` opened.
    pub fn unlink(
        &self,
        _: &NetworkLock,
        bridge: &Bridge,
        client: Ipv4Addr,
        server: Ipv4Addr,
    ) -> Result<()> {
        let range = bridge.subnet6;
        self.with_rules(&bridge.name, range, |mut rules| rules.unlink(bridge, client, server))
    }

    /// Closes the ways of `id` and frees its addresses; it need not have any. The rules stay with
    /// their bridge.
    pub fn release(&self, lock: &NetworkLock, id: &ContainerId) -> Result<()> {
        for name in self.names()? {
            let leases = self.leases(&name);
            if !leases.all()?.iter().any(|(_, holder)| holder == id.as_str()) {
                continue;
            }
            match self.read(&name)? {
                Some(definition) => self.leave(lock, &definition, id)?,
                None => leases.give_back(id)?,
            }
        }
        // Who was killed between the two may have left it to us.
        self.restore_forwarding()
    }

    /// The same for one network.
    pub fn leave(&self, lock: &NetworkLock, from: &Definition, id: &ContainerId) -> Result<()> {
        let leases = self.leases(&from.name);
        let (own, others): (Vec<_>, Vec<_>) =
            leases.all()?.into_iter().partition(|(_, holder)| holder == id.as_str());
        if own.is_empty() {
            return Ok(());
        }
        let addresses: Vec<IpAddr> = own.iter().flat_map(|(own, _)| from.addresses(*own)).collect();
        if from.is_bridge() && !from.without_rules {
            // The user's own bridge is left as it was.
            self.with_rules(&from.link, from.subnet6, |mut rules| match others.is_empty() {
                true if from.is_foreign => rules.remove(),
                true => rules.withdraw(None),
                false => rules.withdraw(Some(&addresses)),
            })?;
        }
        for address in addresses {
            names::remove_address(lock, &self.dir(&from.name), address)?;
        }
        leases.give_back(id)?;
        if !others.is_empty() {
            return Ok(());
        }
        if from.is_bridge() {
            forwarding::close_loopback(&self.run, &from.link)?;
        }
        self.restore_forwarding()
    }

    /// With the last container of all networks; that of IPv6 with the last that has it.
    fn restore_forwarding(&self) -> Result<()> {
        if !forwarding::is_ours(&self.run)? {
            return Ok(());
        }
        let all = self.all()?;
        let links: Vec<&str> = all.iter().map(|definition| definition.link.as_str()).collect();
        let (mut is_used, mut is_used6) = (false, false);
        for definition in &all {
            let has_users = !self.holders(&definition.name)?.is_empty();
            is_used |= has_users;
            is_used6 |= has_users && definition.subnet6.is_some();
        }
        if !is_used6 {
            forwarding::restore6(&self.run, &links)?;
        }
        if !is_used {
            forwarding::restore(&self.run, &links)?;
        }
        Ok(())
    }

    /// Removes a network on which nobody is.
    pub fn remove(&self, _: &NetworkLock, definition: &Definition) -> Result<()> {
        self.remove_bridge(definition, true)?;
        let dir = self.dir(&definition.name);
        // The record first: what is left of a directory without one is no network.
        let record = self.record(&definition.name);
        fs::remove_file(&record).on("remove", &record)?;
        tree::remove_tree(&dir).on("remove", &dir)
    }

    /// Removes the rules of a bridge of ours that nobody uses, and the link too or not.
    pub(super) fn remove_bridge(&self, definition: &Definition, with_link: bool) -> Result<()> {
        let ours = self.bridge_of(definition)?.filter(|_| !definition.is_foreign);
        let Some(Bridge { name, index, subnet6, .. }) = ours else { return Ok(()) };
        self.with_rules(&name, subnet6, |mut rules| rules.remove())?;
        if with_link {
            Socket::open()?.request("remove link", &name, &netlink::link_delete(index))?;
        }
        Ok(())
    }

    fn with_rules<T>(
        &self,
        name: &str,
        range: Option<Subnet6>,
        act: impl FnOnce(Rules) -> Result<T>,
    ) -> Result<T> {
        let mut tables = self.tables.borrow_mut();
        let tables = match &mut *tables {
            Some(tables) => tables,
            none => none.insert(Tables::open()?),
        };
        act(Rules { name, has_ipv6: range.is_some(), tables })
    }

    /// The bridge of a network, where it exists.
    pub fn bridge(&self, name: &str) -> Result<Option<Bridge>> {
        match self.read(name)? {
            Some(definition) => self.bridge_of(&definition),
            None => Ok(None),
        }
    }
}
