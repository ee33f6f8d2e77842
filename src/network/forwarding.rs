//! What the kernel has to be told besides rules: that it is to forward packets, and that the
//! host's loopback may be answered from the bridge.
//!
//! ```text
//! <run>/ip_forward            there while forwarding is on because we switched it on
//! <run>/ipv6_forward          the same for IPv6; in it, a line for each link that is to listen to
//!                             routers all the same (accept_ra 2, which was 1)
//! <run>/route_localnet/<link> the same of what lets a link answer the loopback
//! ```
//!
//! A host that forwards IPv6 is a router, which believes no other: it would lose the routes that
//! routers told it.

use crate::error::{OsContext, Result};
use crate::sys::netlink::{Link, Socket};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const IPV6: &str = "/proc/sys/net/ipv6/conf";
const BRIDGED: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const BRIDGED6: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
const RECORD: &str = "ip_forward";
const RECORD6: &str = "ipv6_forward";
const LOOPBACK_RECORDS: &str = "route_localnet";

/// Links that are there to forward by.
const FORWARDERS: [&str; 3] = ["ipvlan", "tun", "wireguard"];

/// Switches forwarding on.
pub fn enable(run: &Path) -> Result<()> {
    if is(IP_FORWARD, "1")? {
        return Ok(());
    }
    // The record first: where we die in between, it is switched off once more than needed.
    let record = run.join(RECORD);
    fs::create_dir_all(run).on("make", run)?;
    fs::write(&record, "").on("write", &record)?;
    set(IP_FORWARD, "1")
}

/// Whether we switched any of it on.
pub fn is_ours(run: &Path) -> Result<bool> {
    Ok(is_there(&run.join(RECORD))? || is_there(&run.join(RECORD6))?)
}

fn is_there(record: &Path) -> Result<bool> {
    record.try_exists().on("look up", record)
}

/// Switches off what we switched on, with our last container, if nobody else is known to need it.
pub fn restore(run: &Path, ours: &[&str]) -> Result<()> {
    let record = run.join(RECORD);
    if !is_there(&record)? {
        return Ok(());
    }
    if is(IP_FORWARD, "1")? && !is_needed_elsewhere(&Socket::open()?.links()?, ours) {
        set(IP_FORWARD, "0")?;
    }
    fs::remove_file(&record).on("remove", &record)
}

/// Switches forwarding of IPv6 on.
pub fn enable6(run: &Path) -> Result<()> {
    let forwarding = of_link("all", "forwarding");
    if is(&forwarding, "1")? {
        return Ok(());
    }
    let mut socket = Socket::open()?;
    let mut told: Vec<u32> = Vec::new();
    told.extend(socket.routes6()?.iter().filter(|r| r.is_advertised).filter_map(|r| r.index));
    let record = run.join(RECORD6);
    // What a crash left: those it lists may have been told already.
    let mut listening = fs::read_to_string(&record).unwrap_or_default();
    for link in socket.links()?.iter().filter(|link| told.contains(&link.index)) {
        if is(&of_link(&link.name, ACCEPT_RA), "1")? {
            listening.extend([&link.name, "\n"]);
        }
    }
    fs::create_dir_all(run).on("make", run)?;
    fs::write(&record, &listening).on("write", &record)?;
    listening.lines().try_for_each(|link| set(&of_link(link, ACCEPT_RA), "2"))?;
    set(&forwarding, "1")
}

/// Undoes that, as `restore` does.
pub fn restore6(run: &Path, ours: &[&str]) -> Result<()> {
    let record = run.join(RECORD6);
    let listening = match fs::read_to_string(&record) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.on("read", &record)?,
    };
    let forwarding = of_link("all", "forwarding");
    if is(&forwarding, "1")? && !is_needed_elsewhere(&Socket::open()?.links()?, ours) {
        set(&forwarding, "0")?;
        for accepting in listening.lines().map(|link| of_link(link, ACCEPT_RA)) {
            // The link may be gone, or somebody else's choice now.
            if is(&accepting, "2").unwrap_or(false) {
                set(&accepting, "1")?;
            }
        }
    }
    fs::remove_file(&record).on("remove", &record)
}

const ACCEPT_RA: &str = "accept_ra";

fn of_link(name: &str, what: &str) -> String {
    format!("{IPV6}/{name}/{what}")
}

/// Has a bridge of ours believe no container that says it is a router. Without IPv6 in the kernel
/// there is none.
pub fn ignore_routers_on(name: &str) {
    let _ = fs::write(of_link(name, ACCEPT_RA), "0");
}

/// Lets a link have IPv6 addresses, where by default none has.
pub fn enable_ipv6_on(name: &str) -> Result<()> {
    let path = of_link(name, "disable_ipv6");
    if is(&path, "0")? { Ok(()) } else { set(&path, "0") }
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
    if !record.try_exists().on("look up", &record)? {
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

/// Another bridge with ports, or a tunnel.
fn is_needed_elsewhere(links: &[Link], ours: &[&str]) -> bool {
    links.iter().filter(|link| !ours.contains(&link.name.as_str())).any(|link| {
        let has_ports = || links.iter().any(|port| port.master == Some(link.index));
        FORWARDERS.contains(&link.kind.as_str()) || (link.kind == "bridge" && has_ports())
    })
}

fn is(path: &str, value: &str) -> Result<bool> {
    Ok(fs::read_to_string(path).on("read", path)?.trim() == value)
}

fn set(path: &str, value: &str) -> Result<()> {
    let cure = || format!("have whoever may write it do so: echo {value} >{path}");
    fs::write(path, value).on("write", path).map_err(|e| e.hint(cure()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_need_it_who_have_a_bridge_with_ports_or_a_tunnel() {
        let link = |index, name: &str, kind: &str, master| Link {
            index,
            name: name.into(),
            mac: None,
            kind: kind.into(),
            up: true,
            master,
            mtu: 1500,
        };
        let ours = link(2, "coracle0", "bridge", None);
        let port = |n, master| link(n, "veth", "veth", Some(master));
        let docker = link(3, "docker0", "bridge", None);
        let needed = |links: &[&Link]| {
            let links: Vec<Link> = links.iter().map(|link| (*link).clone()).collect();
            is_needed_elsewhere(&links, &["coracle0"])
        };
        assert!(!needed(&[&ours, &port(4, 2), &docker]));
        assert!(needed(&[&ours, &docker, &port(4, 3)]));
        assert!(needed(&[&ours, &link(5, "wg0", "wireguard", None)]));
    }
}
