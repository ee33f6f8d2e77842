//! The files about the network in a container's /etc: texts from texts.

use crate::error::{OsContext, Result};
use crate::types::Resolver;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The servers that systemd-resolved asks, where /etc/resolv.conf names only its own stub.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// Asked where the host names no server that a container can reach, as Docker does.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// /etc/hostname.
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}

/// /etc/hosts: the host itself, then the container by its addresses and `more`.
/// `domain` completes the container's name, which may have one in itself: it is found by its whole
/// name and by its first part.
pub fn hosts(
    name: &str,
    domain: Option<&str>,
    addresses: &[IpAddr],
    more: &[(String, IpAddr)],
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for address in addresses {
        let _ = writeln!(text, "{address}\t{}", own_names(name, domain));
    }
    with_hosts(text, more)
}

/// What the line with a container's own address calls it.
pub fn own_names(name: &str, domain: Option<&str>) -> String {
    let whole = match domain.filter(|domain| !domain.is_empty()) {
        Some(domain) => format!("{name}.{domain}"),
        None => name.to_string(),
    };
    match whole.split_once('.') {
        Some((first, _)) => format!("{whole} {first}"),
        None => whole,
    }
}

/// Lines for `more` behind those that are there.
pub fn with_hosts(mut text: String, more: &[(String, IpAddr)]) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in more {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// The host's resolver files: /etc/resolv.conf, and the list behind systemd-resolved's stub;
/// empty where they do not exist.
pub fn read_resolv_conf() -> Result<(String, String)> {
    let read = |path: &str| match fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other.on("read", path).map(|text| String::from_utf8_lossy(&text).into_owned()),
    };
    Ok((read(RESOLV_CONF)?, read(UPSTREAM)?))
}

/// /etc/resolv.conf of a container with a network of its own: the host's, without the servers that
/// it cannot reach: those on the host's loopback or on one link of the host, and without IPv6 those
/// that have no other address. Where none is left, `upstream` in the same way; where that has none,
/// two public servers.
///
/// `None` where the host's servers have IPv6 addresses alone: who asks from the host reaches them.
pub fn resolv_conf(host: &str, upstream: &str, has_ipv6: bool) -> Option<String> {
    let reached = |text: &str| -> String {
        let keep = |line: &&str| server(line).is_none_or(|server| is_reached(server, has_ipv6));
        text.lines().filter(keep).map(|line| format!("{line}\n")).collect()
    };
    for text in [host, upstream] {
        let text = reached(text);
        if servers(&text).next().is_some() {
            return Some(text);
        }
    }
    if servers(host).chain(servers(upstream)).any(|server| !server.is_loopback()) {
        return None;
    }
    Some(FALLBACK.iter().fold(reached(host), |text, server| text + "nameserver " + server + "\n"))
}

/// A resolv.conf with what was asked for in place of what it says itself.
pub fn with_resolver(text: String, asked: &Resolver) -> String {
    if asked.is_empty() {
        return text;
    }
    let is_replaced = |line: &&str| match line.split_ascii_whitespace().next() {
        Some("nameserver") => !asked.servers.is_empty(),
        Some("search" | "domain") => !asked.search.is_empty(),
        Some("options") => !asked.options.is_empty(),
        _ => false,
    };
    let kept = text.lines().filter(|line| !is_replaced(line));
    let mut text: String = kept.map(|line| format!("{line}\n")).collect();
    for server in &asked.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search: Vec<&str> = asked.search.iter().map(String::as_str).filter(|s| *s != ".").collect();
    for (word, values) in [("search", search.join(" ")), ("options", asked.options.join(" "))] {
        if !values.is_empty() {
            let _ = writeln!(text, "{word} {values}");
        }
    }
    text
}

/// /etc/resolv.conf of a container whose names its own name server at `address` knows: the host's,
/// with that server alone. A name without a dot is asked for as it is, unless the host wants it
/// otherwise: those of containers have none.
pub fn resolv_conf_builtin(host: &str, address: IpAddr) -> String {
    let mut text = resolv_conf_by(host, address);
    let options = host.lines().filter_map(|line| line.trim_start().strip_prefix("options"));
    if !options.flat_map(str::split_ascii_whitespace).any(|word| word.starts_with("ndots:")) {
        text.push_str("options ndots:0\n");
    }
    text
}

/// The same without a word on names: the host's, with that server alone.
pub fn resolv_conf_by(host: &str, address: IpAddr) -> String {
    let mut text = format!("nameserver {address}\n");
    for line in host.lines() {
        let word = line.split_ascii_whitespace().next().unwrap_or_default();
        if ["search", "domain", "options"].contains(&word) {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// Whom a name server of ours asks, from the host's namespace: the host's servers at this moment,
/// those on its loopback too. Where the host names none, two public ones, as Docker does.
pub fn host_servers() -> Vec<SocketAddr> {
    let text = fs::read(RESOLV_CONF).unwrap_or_default();
    let found = reachable(&String::from_utf8_lossy(&text));
    if found.is_empty() {
        FALLBACK.iter().filter_map(|server| socket(server)).collect()
    } else {
        found
    }
}

fn reachable(host: &str) -> Vec<SocketAddr> {
    host.lines().filter_map(|line| socket(server(line)?)).collect()
}

/// The name server at an address as resolv.conf writes it; one of a link has the link's name or
/// number behind it.
fn socket(server: &str) -> Option<SocketAddr> {
    const PORT: u16 = 53;
    match address(server)? {
        IpAddr::V6(address) => {
            let zone = server.split_once('%').map_or("0", |(_, zone)| zone);
            let index = || fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok();
            let index = zone.parse().ok().or_else(|| index()?.trim().parse().ok());
            Some(SocketAddrV6::new(address, PORT, 0, index.unwrap_or_default()).into())
        }
        address => Some((address, PORT).into()),
    }
}

/// The servers that a resolv.conf names (resolv.conf(5)).
pub(super) fn servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| address(server(line)?))
}

fn server(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    (words.next()? == "nameserver").then(|| words.next())?
}

/// Without the zone of `fe80::1%eth0`.
fn address(server: &str) -> Option<IpAddr> {
    server.split('%').next()?.parse().ok()
}

/// By a container. What is no address is left to its resolver.
fn is_reached(server: &str, has_ipv6: bool) -> bool {
    match address(server) {
        Some(IpAddr::V6(address)) => {
            has_ipv6 && !address.is_loopback() && !address.is_unicast_link_local()
        }
        Some(IpAddr::V4(address)) => !address.is_loopback(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_container() {
        let address = &["172.17.0.2".parse().unwrap()];
        let more = [("db".to_string(), "172.17.0.3".parse().unwrap())];
        let text = hosts("web", Some("example.org"), address, &more);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost "));
        assert!(text.ends_with("172.17.0.2\tweb.example.org web\n172.17.0.3\tdb\n"));
        assert!(hosts("web", None, address, &[]).ends_with("172.17.0.2\tweb\n"));
        let whole = hosts("web.example.org", None, address, &[]);
        assert!(whole.ends_with("172.17.0.2\tweb.example.org web\n"));
        assert!(hosts("web", None, &[], &[]).ends_with("ip6-allrouters\n"));
        let both = &["172.17.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        assert!(hosts("web", None, both, &[]).ends_with("\n172.17.0.2\tweb\nfd00::2\tweb\n"));
    }

    #[test]
    fn servers_on_the_hosts_loopback_are_left_out() {
        let host = "# mine\nsearch example.org\nnameserver 127.0.0.53\nnameserver 10.0.0.1\n\
                    nameserver ::1\noptions edns0";
        let expected = "# mine\nsearch example.org\nnameserver 10.0.0.1\noptions edns0\n";
        assert_eq!(resolv_conf(host, "", true).unwrap(), expected);
    }

    #[test]
    fn servers_that_a_container_cannot_reach_are_left_out() {
        let host = "nameserver fe80::1%lan\nnameserver fd00::53\nnameserver 10.0.0.1\n";
        let (six, four) = ("nameserver fd00::53\n", "nameserver 10.0.0.1\n");
        assert_eq!(resolv_conf(host, "", true).unwrap(), format!("{six}{four}"));
        assert_eq!(resolv_conf(host, "", false).unwrap(), four);
        // They are asked from the host.
        assert_eq!(resolv_conf(six, "", false), None);
        assert_eq!(resolv_conf("nameserver fe80::1%lan\n", "", true), None);
        assert_eq!(resolv_conf("nameserver 127.0.0.53\n", six, false), None);
        assert_eq!(resolv_conf("nameserver ::1\n", six, true).unwrap(), six);
    }

    #[test]
    fn the_servers_behind_a_stub_are_used() {
        let stub = "nameserver 127.0.0.53\nsearch x\n";
        assert_eq!(
            resolv_conf(stub, "nameserver 9.9.9.9\n", false).unwrap(),
            "nameserver 9.9.9.9\n"
        );
        let public = "search x\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n";
        assert_eq!(resolv_conf(stub, "", false).unwrap(), public);
    }

    #[test]
    fn what_was_asked_for_replaces_what_the_host_says() {
        let host = "# mine\ndomain a.org\nsearch a.org\nnameserver 10.0.0.1\noptions edns0\n";
        let with = |servers: &[&str], search: &[&str], options: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(|text| text.to_string()).collect();
            let servers = servers.iter().map(|server| server.parse().unwrap()).collect();
            let asked = Resolver { servers, search: owned(search), options: owned(options) };
            with_resolver(host.to_string(), &asked)
        };
        assert_eq!(with(&[], &[], &[]), host);
        assert_eq!(
            with(&["127.0.0.1", "fd00::53"], &[], &[]),
            "# mine\ndomain a.org\nsearch a.org\noptions edns0\nnameserver 127.0.0.1\nnameserver fd00::53\n"
        );
        assert_eq!(
            with(&[], &["b.org", "c.org"], &["ndots:2", "rotate"]),
            "# mine\nnameserver 10.0.0.1\nsearch b.org c.org\noptions ndots:2 rotate\n"
        );
        assert_eq!(with(&[], &["."], &[]), "# mine\nnameserver 10.0.0.1\noptions edns0\n");
    }

    #[test]
    fn with_a_name_server_of_its_own_a_container_keeps_how_the_host_asks() {
        let address = "127.0.0.11".parse().unwrap();
        for (host, expected) in [
            ("", "options ndots:0\n"),
            (
                "# mine\nnameserver 10.0.0.1\nsearch a.example b.example\noptions edns0 trust-ad\n",
                "search a.example b.example\noptions edns0 trust-ad\noptions ndots:0\n",
            ),
            ("domain a.example\noptions ndots:2", "domain a.example\noptions ndots:2\n"),
            (
                "search ndots:1.example\n;options ndots:3",
                "search ndots:1.example\noptions ndots:0\n",
            ),
        ] {
            let expected = format!("nameserver 127.0.0.11\n{expected}");
            assert_eq!(resolv_conf_builtin(host, address), expected, "{host}");
        }
    }

    #[test]
    fn the_hosts_own_servers_are_asked_from_the_host() {
        let host = "nameserver 127.0.0.53\n nameserver fe80::1%lo\nnameserver fe80::2%7 # x\n\
                    nameserver x\nnameserver\nsearch nameserver";
        let found = reachable(host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found, ["127.0.0.53:53", "[fe80::1%1]:53", "[fe80::2%7]:53"]);
    }
}
