//! The names of a network's containers, for their name servers.
//!
//! ```text
//! <network>/names/<name>/<address>   an empty file: a name, or an alias that several may share
//! <network>/addresses/<address>      a symbolic link whose text is the first name of the address
//! ```
//!
//! Names are in lower case. They are written under the network lock and read without one. Each
//! step leaves what can be read: the link counts only while its name leads back, so a crash leaves
//! names at most, and `remove_address` takes those too.

use super::NetworkLock;
use crate::error::{Error, OsContext, Result};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const NAMES: &str = "names";
const ADDRESSES: &str = "addresses";

/// What a name of the domain name system may have (RFC 1035).
const LENGTH_MAX: usize = 253;

/// A name as it is written down.
pub fn check(name: &str) -> Result<String> {
    normal(name).ok_or_else(|| {
        Error::invalid(format!("\"{name}\" is no name for a network"))
            .hint("a name has letters, digits, hyphens, underscores and dots, and no dot in front")
    })
}

/// Whether both lead to the same: letters are of no case.
pub fn are_same(one: &str, other: &str) -> bool {
    normal(one).is_some_and(|one| Some(one) == normal(other))
}

/// Has `name` lead to `address` too, on the network whose directory is `network`. The first name
/// that an address gets is its own.
pub fn add(_: &NetworkLock, network: &Path, name: &str, address: IpAddr) -> Result<()> {
    let name = check(name)?;
    let (dir, addresses) = (network.join(NAMES).join(&name), network.join(ADDRESSES));
    for dir in [&dir, &addresses] {
        fs::create_dir_all(dir).on("create", dir)?;
    }
    let entry = dir.join(address.to_string());
    OpenOptions::new().create(true).append(true).open(&entry).on("create", &entry)?;
    let link = addresses.join(address.to_string());
    match symlink(&name, &link) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.on("create", &link),
    }
}

/// Has an address that was called `old` be called `new`; as its own name, and with `keeps` as well
/// as before.
pub fn rename(
    lock: &NetworkLock,
    network: &Path,
    (old, new): (&str, &str),
    keeps: bool,
    address: IpAddr,
) -> Result<()> {
    add(lock, network, new, address)?;
    let (entry, addresses) = (address.to_string(), network.join(ADDRESSES));
    let (link, aside) = (addresses.join(&entry), addresses.join("new"));
    gone(fs::remove_file(&aside)).on("remove", &aside)?;
    symlink(check(new)?, &aside).on("create", &aside)?;
    fs::rename(&aside, &link).on("rename", &aside)?;
    let name = network.join(NAMES).join(check(old)?);
    let path = name.join(&entry);
    if !keeps && check(old)? != check(new)? && gone(fs::remove_file(&path)).on("remove", &path)? {
        // Others may share it.
        let _ = fs::remove_dir(&name);
    }
    Ok(())
}

/// Takes away all names of an address. None is no error.
pub fn remove_address(_: &NetworkLock, network: &Path, address: IpAddr) -> Result<()> {
    let entry = address.to_string();
    for name in entries(&network.join(NAMES))? {
        let path = name.join(&entry);
        if gone(fs::remove_file(&path)).on("remove", &path)? {
            // Others may share it.
            let _ = fs::remove_dir(&name);
        }
    }
    let link = network.join(ADDRESSES).join(&entry);
    gone(fs::remove_file(&link)).on("remove", &link).map(drop)
}

/// The addresses that `name` leads to on a network, in order.
pub fn addresses(network: &Path, name: &str) -> Vec<IpAddr> {
    let Some(name) = normal(name) else { return Vec::new() };
    let entries = entries(&network.join(NAMES).join(name)).unwrap_or_default();
    let address = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
    let mut addresses: Vec<IpAddr> = entries.iter().filter_map(address).collect();
    addresses.sort();
    addresses
}

/// The own name of an address on a network.
pub fn name_of(network: &Path, address: IpAddr) -> Option<String> {
    let address = address.to_string();
    let name = fs::read_link(network.join(ADDRESSES).join(&address)).ok()?;
    let name = normal(name.to_str()?)?;
    network.join(NAMES).join(&name).join(address).exists().then_some(name)
}

/// As `addresses`, on several networks, whose directories have the networks' names: also of
/// `<name>.<network>`.
pub fn addresses_on(networks: &[PathBuf], name: &str) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    let mut take = |found: Vec<IpAddr>| {
        for address in found {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    };
    networks.iter().for_each(|network| take(addresses(network, name)));
    if all.is_empty() {
        for network in networks {
            let within =
                name.strip_suffix(&network_name(network)).and_then(|n| n.strip_suffix('.'));
            for address in within.map(|name| addresses(network, name)).unwrap_or_default() {
                all.push(address);
            }
        }
    }
    all
}

/// `<name>.<network>` of an address on one of several networks.
pub fn name_on(networks: &[PathBuf], address: IpAddr) -> Option<String> {
    let full = |network: &PathBuf| {
        Some(format!("{}.{}", name_of(network, address)?, network_name(network)))
    };
    networks.iter().find_map(full)
}

fn network_name(network: &Path) -> String {
    let name = network.file_name().unwrap_or_default();
    name.to_string_lossy().to_ascii_lowercase()
}

/// How a name is written; `None` for what is none, or would be another file.
fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_plain = name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    let fits = (1..=LENGTH_MAX).contains(&name.len());
    (fits && is_plain && !name.starts_with('.')).then(|| name.to_ascii_lowercase())
}

/// The paths in a directory; none where it does not exist.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => {
            Ok(Vec::new())
        }
        other => Ok(other.on("read", dir)?.flatten().map(|entry| entry.path()).collect()),
    }
}

/// Whether something was removed.
fn gone(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::lock;

    struct Networks(PathBuf);

    impl Networks {
        fn new(test: &str) -> Networks {
            let dir = std::env::temp_dir().join(format!("coracle-{test}-{}", std::process::id()));
            fs::create_dir(&dir).unwrap();
            Networks(dir)
        }

        fn lock(&self) -> NetworkLock {
            NetworkLock::new(lock::lock(&self.0.join("locks"), 0, lock::Mode::Exclusive).unwrap())
        }

        fn add(&self, network: &str, name: &str, address: &str) {
            add(&self.lock(), &self.0.join(network), name, address.parse().unwrap()).unwrap();
        }

        fn remove(&self, network: &str, address: &str) {
            let address = address.parse().unwrap();
            remove_address(&self.lock(), &self.0.join(network), address).unwrap();
        }

        fn paths(&self) -> [PathBuf; 2] {
            ["front", "Back"].map(|network| self.0.join(network))
        }

        #[track_caller]
        fn lead(&self, name: &str, expected: &[&str]) {
            let found = addresses_on(&self.paths(), name);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{name}");
        }

        fn name(&self, address: &str) -> Option<String> {
            name_on(&self.paths(), address.parse().unwrap())
        }
    }

    impl Drop for Networks {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn names_lead_to_addresses_and_back() {
        let networks = Networks::new("names");
        networks.lead("web", &[]);
        networks.add("front", "Web", "172.18.0.3");
        networks.add("front", "www", "172.18.0.3");
        networks.add("front", "www", "172.18.0.10");
        networks.add("front", "www", "172.18.0.10");
        networks.add("Back", "Web", "172.19.0.2");
        networks.add("Back", "web", "fd00::2");
        networks.add("Back", "db.example.org", "172.19.0.4");

        networks.lead("web", &["172.18.0.3", "172.19.0.2", "fd00::2"]);
        networks.lead("WEB.", &["172.18.0.3", "172.19.0.2", "fd00::2"]);
        networks.lead("web.front", &["172.18.0.3"]);
        networks.lead("web.back", &["172.19.0.2", "fd00::2"]);
        networks.lead("www", &["172.18.0.3", "172.18.0.10"]);
        networks.lead("www.back", &[]);
        networks.lead("webfront", &[]);
        networks.lead("db.example.org", &["172.19.0.4"]);
        networks.lead("db.example.org.back", &["172.19.0.4"]);
        assert_eq!(networks.name("172.18.0.3").unwrap(), "web.front", "not www");
        assert_eq!(networks.name("fd00::2").unwrap(), "web.back");
        assert_eq!(networks.name("172.18.0.4"), None);

        networks.remove("front", "172.18.0.3");
        networks.remove("front", "172.18.0.3");
        networks.lead("web", &["172.19.0.2", "fd00::2"]);
        networks.lead("www", &["172.18.0.10"]);
        assert_eq!(networks.name("172.18.0.3"), None);
        let left = entries(&networks.0.join("front/names")).unwrap();
        assert_eq!(left, [networks.0.join("front/names/www")]);
    }

    #[test]
    fn a_name_is_no_path() {
        let networks = Networks::new("name-paths");
        fs::create_dir_all(networks.0.join("front/names")).unwrap();
        fs::write(networks.0.join("front/10.0.0.1"), "").unwrap();
        let address = "10.0.0.1".parse().unwrap();
        let long = "a".repeat(254);
        for name in ["", ".", "..", "../x", "a/b", ".a", "a b", "a\nb", "a\0b", "\u{e4}", &long] {
            let added = add(&networks.lock(), &networks.0.join("front"), name, address);
            assert!(added.unwrap_err().to_string().contains("is no name"), "{name:?}");
            networks.lead(name, &[]);
        }
        assert_eq!(fs::read_dir(networks.0.join("front/names")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_is_not_believed_and_goes() {
        let networks = Networks::new("name-crash");
        networks.add("front", "old", "10.0.0.1");
        // Killed between the names and the link.
        fs::remove_dir_all(networks.0.join("front/names/old")).unwrap();
        assert_eq!(networks.name("10.0.0.1"), None);
        networks.remove("front", "10.0.0.1");
        networks.add("front", "new", "10.0.0.1");
        assert_eq!(networks.name("10.0.0.1").unwrap(), "new.front");
        // Before the link was made.
        fs::remove_file(networks.0.join("front/addresses/10.0.0.1")).unwrap();
        networks.lead("new", &["10.0.0.1"]);
        networks.remove("front", "10.0.0.1");
        networks.lead("new", &[]);
    }
}
