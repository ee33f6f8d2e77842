//! The networks of one root directory: which there are, and who has an address on each.

use super::attachment::{Attachment, Way};
use super::bridge::Bridge;
use super::definition::{self, DEFAULT, Definition, Driver};
use super::forwarding::{self, Forwarding};
use super::lease::{Leases, Wanted};
use super::rules::{self, Link, Rules, Running, version};
use super::{NetworkLock, firewall, names};
use crate::error::{Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::netlink::nftables::{Batch, Tables};
use crate::sys::netlink::{self, Mac, Socket};
use crate::types::{ContainerId, Digest, Published};
use std::cell::{OnceCell, RefCell, RefMut};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The networks of one root directory.
#[derive(Debug)]
pub struct Networks {
    dir: PathBuf,
    pub(super) run: PathBuf,
    /// Opened when first needed.
    tables: OnceCell<RefCell<Tables>>,
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
        Networks { dir, run, tables: OnceCell::new() }
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

    /// Whether `id` has this address on a network.
    pub fn has(&self, name: &str, id: &ContainerId, address: Ipv4Addr) -> bool {
        self.leases(name).has(id, address)
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
        let reserved = definition.reserved.values().copied().chain(way.gateway());
        let reserved: Vec<Ipv4Addr> = reserved.collect();
        let pool = definition.pool.unwrap_or(range);
        let address = self.leases(name).take(id, &range, &pool, &reserved, request.address)?;
        let leads_out = request.is_first && !definition.internal;
        Ok(Attachment::new(id, &definition, way, address, leads_out, request))
    }

    /// Opens the ways of a container to the world, of the world to what it publishes, and of its
    /// links, which `links` tells for each network. Where the rules of one are missing, `others`
    /// tells what leads to the others there.
    pub fn publish(
        &self,
        _: &NetworkLock,
        places: &mut [Attachment],
        ports: &[Published],
        links: &dyn Fn(&str) -> Result<Vec<Link>>,
        others: &dyn Fn(&str) -> Result<Running>,
    ) -> Result<()> {
        let mut batch = Batch::new("");
        let mut first = Vec::new();
        let (mut needs_ipv6, mut anew) = (false, false);
        for place in &mut *places {
            let Some(bridge) = place.ruled() else { continue };
            needs_ipv6 |= bridge.subnet6.is_some();
            let ports = if place.leads_out { ports } else { &[] };
            let links = if bridge.policy.icc { Vec::new() } else { links(&place.network)? };
            let own = Running { published: vec![(place.address, ports.to_vec())], links };
            let mut tables = self.tables()?;
            let mut rules = Rules::of(bridge, &mut tables);
            let others = || others(&place.network);
            let were_missing = rules.publish(&mut batch, bridge, &own, others)?;
            anew |= were_missing;
            let is_first = were_missing || self.holders(&place.network)?.len() == 1;
            first.push(is_first && !bridge.policy.internal);
            place.publishes = !ports.is_empty();
        }
        if first.is_empty() {
            return Ok(());
        }
        let mut tables = self.tables()?;
        tables.commit(batch)?;
        for version in version::all(needs_ipv6) {
            Forwarding::new(version, &self.run).enable(&mut tables, anew)?;
        }
        let ruled = places.iter_mut().filter(|place| place.ruled().is_some());
        for (place, is_first) in ruled.zip(first) {
            let Some(bridge) = place.ruled() else { continue };
            if place.publishes {
                Rules::of(bridge, &mut tables).forget_before(ports)?;
                // Once the rules are there that keep others from it.
                forwarding::open_loopback(&self.run, &bridge.name)?;
            }
            if is_first {
                // That they cannot be read is no reason not to run.
                place.obstacles = firewall::obstacles(&mut tables, bridge)
                    .unwrap_or_else(|error| vec![error.to_string()]);
            }
        }
        Ok(())
    }

    /// What rules of others keep from the containers of all bridges, and how to let it through.
    pub fn obstacles(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for definition in self.all()? {
            let is_ours = |b: &Bridge| !b.without_rules && !b.policy.internal;
            if let Some(bridge) = self.bridge_of(&definition)?.filter(is_ours) {
                found.extend(firewall::obstacles(&mut *self.tables()?, &bridge)?);
            }
        }
        Ok(found)
    }

    /// Opens links between containers of the bridge, where containers do not reach each other
    /// anyway. Closed when one of both is released.
    pub fn link(&self, _: &NetworkLock, bridge: &Bridge, links: &[Link]) -> Result<()> {
        Rules::of(bridge, &mut *self.tables()?).link(bridge, links)
    }

    /// Closes what `link` opened.
    pub fn unlink(
        &self,
        _: &NetworkLock,
        bridge: &Bridge,
        client: Ipv4Addr,
        server: Ipv4Addr,
    ) -> Result<()> {
        Rules::of(bridge, &mut *self.tables()?).unlink(bridge, client, server)
    }

    /// Closes the ways of `id` and frees its addresses; it need not have any. The rules stay with
    /// their bridge.
    pub fn release(&self, lock: &NetworkLock, id: &ContainerId) -> Result<()> {
        let mut from = Vec::new();
        for name in self.names()? {
            let leases = self.leases(&name);
            if !leases.all()?.iter().any(|(_, holder)| holder == id.as_str()) {
                continue;
            }
            match self.read(&name)? {
                Some(definition) => from.push(definition),
                None => leases.give_back(id)?,
            }
        }
        self.leave(lock, &from, id)?;
        // Who was killed between the two may have left it to us.
        self.restore_forwarding()
    }

    /// The same for these networks.
    pub fn leave(&self, lock: &NetworkLock, from: &[Definition], id: &ContainerId) -> Result<()> {
        let mut batch = Batch::new("");
        let mut withdrawn = Vec::new();
        let mut left = Vec::new();
        for from in from {
            let leases = self.leases(&from.name).all()?.into_iter();
            let (own, others): (Vec<_>, Vec<_>) =
                leases.partition(|(_, holder)| holder == id.as_str());
            if own.is_empty() {
                continue;
            }
            let addresses: Vec<IpAddr> =
                own.iter().flat_map(|(own, _)| from.addresses(*own)).collect();
            if from.is_bridge() && !from.without_rules {
                let mut tables = self.tables()?;
                let has_ipv6 = from.subnet6.is_some();
                let mut rules = Rules { name: &from.link, has_ipv6, tables: &mut tables };
                withdrawn.push(match others.is_empty() {
                    // The user's own bridge is left as it was.
                    true if from.is_foreign => rules.remove(&mut batch)?,
                    true => rules.withdraw(&mut batch, None)?,
                    false => rules.withdraw(&mut batch, Some(&addresses))?,
                });
            }
            left.push((from, addresses, others.is_empty()));
        }
        if !withdrawn.is_empty() {
            let mut tables = self.tables()?;
            tables.commit(batch)?;
            withdrawn.iter().try_for_each(|led| rules::forget_after(&mut tables, led))?;
        }
        let mut was_last = false;
        for (from, addresses, was_last_there) in left {
            for address in addresses {
                names::remove_address(lock, &self.dir(&from.name), address)?;
            }
            self.leases(&from.name).give_back(id)?;
            if was_last_there && from.is_bridge() {
                forwarding::close_loopback(&self.run, &from.link)?;
            }
            was_last |= was_last_there;
        }
        if was_last { self.restore_forwarding() } else { Ok(()) }
    }

    /// With the last container of all networks; that of IPv6 with the last that has it.
    fn restore_forwarding(&self) -> Result<()> {
        let mut switches = Vec::new();
        for version in version::all(true).iter().rev() {
            let switch = Forwarding::new(version, &self.run);
            if switch.concerns_us()? {
                switches.push((version, switch));
            }
        }
        if switches.is_empty() {
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
        for (version, switch) in switches {
            if !(if version.is_ipv4() { is_used } else { is_used6 }) {
                switch.restore(&mut *self.tables()?, &links)?;
            }
        }
        Ok(())
    }

    /// Removes the rules of a bridge of ours that nobody uses, and the link too or not.
    pub(super) fn remove_bridge(&self, definition: &Definition, with_link: bool) -> Result<()> {
        let ours = self.bridge_of(definition)?.filter(|_| !definition.is_foreign);
        let Some(bridge) = ours else { return Ok(()) };
        let Bridge { name, index, .. } = &bridge;
        let mut tables = self.tables()?;
        let mut batch = Batch::new(name);
        let led = Rules::of(&bridge, &mut tables).remove(&mut batch)?;
        tables.commit(batch)?;
        rules::forget_after(&mut tables, &led)?;
        if with_link {
            Socket::open()?.request("remove link", name, &netlink::link_delete(*index))?;
        }
        Ok(())
    }

    fn tables(&self) -> Result<RefMut<'_, Tables>> {
        let tables = match self.tables.get() {
            Some(tables) => tables,
            None => {
                let tables = RefCell::new(Tables::open()?);
                self.tables.get_or_init(|| tables)
            }
        };
        Ok(tables.borrow_mut())
    }

    /// The bridge of a network, where it exists.
    pub fn bridge(&self, name: &str) -> Result<Option<Bridge>> {
        match self.read(name)? {
            Some(definition) => self.bridge_of(&definition),
            None => Ok(None),
        }
    }
}
