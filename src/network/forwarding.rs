//! What the kernel has to be told besides rules: that it is to forward packets, and that the
//! host's loopback may be answered from the bridge.
//!
//! ```text
//! <run>/../forwarding/lock          held by whoever switches; all roots share it
//! <run>/../forwarding/4.<root>, 6.<root>   there while containers of that root need it
//! <run>/../forwarding/4, 6          there while forwarding of that version is on because we switched
//!                                   it on; `<link> <key> <value>` a line, of what that changes besides
//! <run>/route_localnet/<link>       the same of what lets a link answer the loopback
//! ```
//!
//! A host that forwards IPv6 is a router, which believes no other: it would lose the routes that
//! routers told it, and would hear of no new ones. So all links that listen to routers listen to
//! them all the same (accept_ra 2 in place of 1, which without forwarding are one), and so do those
//! that come later (`default`).
//!
//! To switch forwarding is to switch it for every link, and IPv4's takes the hosts' redirects along.
//! Who has it on for a link of his own finds it so again.
//!
//! A router it is for our containers, not for everybody: `rules::transit`.

use super::rules::transit;
use super::sysctl::{ACCEPT_RA, get, is, set};
use super::{bridge, rules::Version};
use crate::error::{OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::sys::lock::{self, Guard, Mode};
use crate::sys::netlink::nftables::Tables;
use crate::sys::netlink::{Link, Socket};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const BRIDGED: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const BRIDGED6: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
const LOOPBACK_RECORDS: &str = "route_localnet";

/// The kinds of links by which others may rely on forwarding. Tunnels are not among them: most hosts
/// that have one are clients of a VPN.
pub const FORWARDERS: [&str; 2] = ["bridge", "ipvlan"];

const FORWARDING: &str = "forwarding";
const REDIRECTS: &str = "accept_redirects";

/// The switch of one version, as one root directory uses it.
pub struct Forwarding<'a> {
    version: &'static Version,
    dir: PathBuf,
    run: &'a Path,
}

impl<'a> Forwarding<'a> {
    pub fn new(version: &'static Version, run: &'a Path) -> Forwarding<'a> {
        Forwarding { version, dir: run.with_file_name("forwarding"), run }
    }

    /// Switches forwarding on. `anew`: somebody took our tables away.
    pub fn enable(&self, tables: &mut Tables, anew: bool) -> Result<()> {
        let (mark, all) = (self.mark(), self.of("all", FORWARDING));
        if is_there(&mark)? && is(&all, "1")? && !anew {
            return Ok(());
        }
        let _lock = self.lock()?;
        fs::write(&mark, "").on("write", &mark)?;
        let record = self.record();
        if !is_there(&record)? {
            if is(&all, "1")? {
                return Ok(());
            }
            // Before anything is changed: where we die in between, it is put back once more than needed.
            let before = self.look()?.concat();
            atomic::replace(&record, before.as_bytes(), Durability::Crash).on("write", &record)?;
        }
        transit::close(tables, self.version)?;
        self.listen()?;
        set(&all, "1")
    }

    /// Whether there is anything to undo.
    pub fn concerns_us(&self) -> Result<bool> {
        Ok(is_there(&self.mark())? || is_there(&self.record())?)
    }

    /// Undoes that with our last container, if nobody else is known to need it: no container of
    /// another root, and no link but `ours`.
    pub fn restore(&self, tables: &mut Tables, ours: &[&str]) -> Result<()> {
        let (mark, record, all) = (self.mark(), self.record(), self.of("all", FORWARDING));
        let _lock = self.lock()?;
        match fs::remove_file(&mark) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => other.on("remove", &mark)?,
        }
        let before = match fs::read_to_string(&record) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.on("read", &record)?,
        };
        if self.is_needed_by_roots()? {
            return Ok(());
        }
        if is(&all, "1")? {
            if is_needed_elsewhere(&Socket::open()?.links()?, ours) {
                return Ok(());
            }
            set(&all, "0")?;
        }
        self.put_back(&before)?;
        transit::open(tables, self.version)?;
        fs::remove_file(&record).on("remove", &record)
    }

    /// What switching changes besides, a line each.
    fn look(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut note = |link: &str, key: &str, value: String| {
            lines.push(format!("{link} {key} {value}\n"));
        };
        for link in self.links()? {
            // It may just have gone.
            match get(&self.of(&link, FORWARDING)) {
                Ok(value) if value == "1" => note(&link, FORWARDING, value),
                _ => {}
            }
            match get(&self.of(&link, ACCEPT_RA)) {
                Ok(value) if !self.version.is_ipv4() => note(&link, ACCEPT_RA, value),
                _ => {}
            }
        }
        if self.version.is_ipv4() {
            note("all", REDIRECTS, get(&self.of("all", REDIRECTS))?);
        }
        Ok(lines)
    }

    /// Has who listens to routers go on with it.
    fn listen(&self) -> Result<()> {
        for link in self.links()?.iter().filter(|_| !self.version.is_ipv4()) {
            self.change(link, ACCEPT_RA, "1", "2")?;
        }
        Ok(())
    }

    fn put_back(&self, before: &str) -> Result<()> {
        let value = |link: &str, key: &str| {
            let has = |line: &&str| line.split(' ').take(2).eq([link, key]);
            before.lines().find(has).and_then(|line| line.rsplit(' ').next())
        };
        if let Some(value) = value("all", REDIRECTS) {
            set(&self.of("all", REDIRECTS), value)?;
        }
        for link in &self.links()? {
            if value(link, FORWARDING) == Some("1") {
                self.change(link, FORWARDING, "0", "1")?;
            }
            // One that came later has it of `default`.
            if let Some(value) = value(link, ACCEPT_RA).or(value(DEFAULT_LINK, ACCEPT_RA)) {
                self.change(link, ACCEPT_RA, "2", value)?;
            }
        }
        Ok(())
    }

    /// Where it still is `from`: the link may be gone, or somebody else's choice now.
    fn change(&self, link: &str, key: &str, from: &str, to: &str) -> Result<()> {
        let path = self.of(link, key);
        match is(&path, from) {
            Ok(true) if from != to => set(&path, to),
            _ => Ok(()),
        }
    }

    /// All links of this version, and `default`.
    fn links(&self) -> Result<Vec<String>> {
        let conf = self.conf();
        let mut links = Vec::new();
        for entry in fs::read_dir(&conf).on("read", &conf)? {
            links.extend(entry.on("read", &conf)?.file_name().into_string());
        }
        links.retain(|link| link != "all");
        Ok(links)
    }

    fn is_needed_by_roots(&self) -> Result<bool> {
        let marks = format!("{}.", self.number());
        for entry in fs::read_dir(&self.dir).on("read", &self.dir)? {
            let name = entry.on("read", &self.dir)?.file_name();
            if name.to_string_lossy().starts_with(&marks) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn lock(&self) -> Result<Guard> {
        fs::create_dir_all(&self.dir).on("make", &self.dir)?;
        let path = self.dir.join("lock");
        lock::lock(&path, 0, Mode::Exclusive).on("lock", &path)
    }

    fn record(&self) -> PathBuf {
        self.dir.join(self.number())
    }

    fn mark(&self) -> PathBuf {
        let root = self.run.file_name().unwrap_or_default().to_string_lossy();
        self.dir.join(format!("{}.{root}", self.number()))
    }

    fn number(&self) -> &'static str {
        if self.version.is_ipv4() { "4" } else { "6" }
    }

    fn conf(&self) -> PathBuf {
        let version = if self.version.is_ipv4() { "ipv4" } else { "ipv6" };
        Path::new("/proc/sys/net").join(version).join("conf")
    }

    fn of(&self, link: &str, key: &str) -> String {
        format!("{}/{link}/{key}", self.conf().display())
    }
}

const DEFAULT_LINK: &str = "default";

fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().on("look up", path)
}

/// Has answers from the bridge `name` find their way back to a client on 127.0.0.1. (What may not
/// come that way, the rules drop.)
pub fn open_loopback(run: &Path, name: &str) -> Result<()> {
    let path = route_localnet(name);
    if is(&path, "1")? {
        return Ok(());
    }
    let record = run.join(LOOPBACK_RECORDS).join(name);
    let records = run.join(LOOPBACK_RECORDS);
    fs::create_dir_all(&records).on("make", &records)?;
    fs::write(&record, "").on("write", &record)?;
    set(&path, "1")
}

/// Undoes it with the last container of the bridge `name`.
pub fn close_loopback(run: &Path, name: &str) -> Result<()> {
    let record = run.join(LOOPBACK_RECORDS).join(name);
    let path = route_localnet(name);
    if !is_there(&record)? {
        return Ok(());
    }
    // The bridge may have gone.
    if Path::new(&path).exists() {
        set(&path, "0")?;
    }
    fs::remove_file(&record).on("remove", &record)
}

fn route_localnet(name: &str) -> String {
    format!("/proc/sys/net/ipv4/conf/{name}/route_localnet")
}

/// Whether br_netfilter shows rules for packets what bridges pass on.
pub fn sees_bridged() -> bool {
    is(BRIDGED, "1").unwrap_or(false)
}

/// The same of IPv6.
pub fn sees_bridged6() -> bool {
    is(BRIDGED6, "1").unwrap_or(false)
}

/// Another bridge with ports, or an ipvlan. Bridges of other roots have marks of their own.
fn is_needed_elsewhere(links: &[Link], ours: &[&str]) -> bool {
    let is_ours = |link: &Link| ours.contains(&link.name.as_str()) || bridge::is_of_a_root(link);
    links.iter().filter(|link| !is_ours(link)).any(|link| {
        let has_ports = || links.iter().any(|port| port.master == Some(link.index));
        FORWARDERS.contains(&link.kind.as_str()) && (link.kind != "bridge" || has_ports())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_need_it_who_have_a_bridge_with_ports() {
        let link = |index, name: &str, kind: &str, master| Link {
            index,
            name: name.into(),
            mac: None,
            kind: kind.into(),
            up: true,
            master,
            mtu: 1500,
        };
        let own = link(2, "br0", "bridge", None);
        let port = |n, master| link(n, "veth", "veth", Some(master));
        let docker = link(3, "docker0", "bridge", None);
        let needed = |links: &[&Link]| {
            let links: Vec<Link> = links.iter().map(|link| (*link).clone()).collect();
            is_needed_elsewhere(&links, &["br0"])
        };
        assert!(!needed(&[&own, &port(4, 2), &docker]));
        assert!(needed(&[&own, &docker, &port(4, 3)]));
        assert!(needed(&[&own, &link(5, "flat0", "ipvlan", None)]));
        for tunnel in ["wireguard", "tun"] {
            assert!(!needed(&[&own, &link(5, "vpn0", tunnel, None)]));
        }
        let of_a_root = Link { mac: Some([0x02, 0xc0, 1, 2, 3, 4]), ..docker.clone() };
        assert!(!needed(&[&own, &of_a_root, &port(4, 3)]));
    }
}
