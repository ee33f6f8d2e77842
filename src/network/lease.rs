//! Which container has which address.
//!
//! A lease is a symbolic link named by the address, its text the container's id: made in one step
//! that fails where the name is taken, it is never half there and never double.

use super::Subnet;
use crate::error::{Error, OsContext, Result};
use crate::types::ContainerId;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The address that a container asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wanted {
    #[default]
    Any,
    /// Say, its last one; another will do.
    Rather(Ipv4Addr),
    Only(Ipv4Addr),
}

#[derive(Debug)]
pub(super) struct Leases {
    dir: PathBuf,
}

impl Leases {
    pub fn new(dir: PathBuf) -> Leases {
        Leases { dir }
    }

    /// The address of `id`: the one it has, else the wanted one, else the lowest free one of
    /// `pool`, which is a part of `subnet`. None of `reserved`.
    pub fn take(
        &self,
        id: &ContainerId,
        subnet: &Subnet,
        pool: &Subnet,
        reserved: &[Ipv4Addr],
        wanted: Wanted,
    ) -> Result<Ipv4Addr> {
        fs::create_dir_all(&self.dir).on("make", &self.dir)?;
        let held = self.all()?;
        let mine = |(address, holder): &&(Ipv4Addr, String)| {
            holder == id.as_str() && subnet.contains(*address)
        };
        if let Some((address, _)) = held.iter().find(mine)
            && !matches!(wanted, Wanted::Only(wanted) if wanted != *address)
        {
            return Ok(*address);
        }
        let mut taken: Vec<Ipv4Addr> = held.iter().map(|(address, _)| *address).collect();
        taken.sort_unstable();
        let usable = |a: &Ipv4Addr| subnet.is_host(*a) && !reserved.contains(a);
        let free = |a: &Ipv4Addr| usable(a) && taken.binary_search(a).is_err();
        let (first, others) = match wanted {
            Wanted::Any => (None, Some(pool.addresses())),
            Wanted::Rather(address) => (Some(address), Some(pool.addresses())),
            Wanted::Only(address) => (Some(address), None),
        };
        for address in first.into_iter().chain(others.into_iter().flatten()).filter(free) {
            let path = self.dir.join(address.to_string());
            match symlink(id.as_str(), &path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                other => return other.on("make lease", &path).map(|()| address),
            }
        }
        Err(match wanted {
            Wanted::Only(address) if usable(&address) => {
                let holder = held.iter().find(|(held, _)| *held == address);
                let holder = holder.map_or("another", |(_, id)| id.get(..12).unwrap_or(id));
                Error::conflict(format!("the address {address} is in use by container {holder}"))
            }
            Wanted::Only(address) => {
                Error::invalid(format!("{address} is no address for a container of {subnet}"))
            }
            _ => Error::conflict(format!("all addresses of {pool} are in use"))
                .hint("remove containers that are not needed"),
        })
    }

    /// Frees what `id` has; nothing is success.
    pub fn give_back(&self, id: &ContainerId) -> Result<()> {
        for (address, holder) in self.all()? {
            if holder == id.as_str() {
                let path = self.dir.join(address.to_string());
                match fs::remove_file(&path) {
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    other => other.on("remove lease", &path)?,
                }
            }
        }
        Ok(())
    }

    /// Whether `id` has this address.
    pub fn has(&self, id: &ContainerId, address: Ipv4Addr) -> bool {
        let holder = fs::read_link(self.dir.join(address.to_string()));
        holder.is_ok_and(|holder| holder.as_os_str() == id.as_str())
    }

    /// Every lease: the address and its holder.
    pub fn all(&self) -> Result<Vec<(Ipv4Addr, String)>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.on("read", &self.dir)?,
        };
        let lease = |path: &Path| {
            let address = path.file_name()?.to_str()?.parse().ok()?;
            Some((address, fs::read_link(path).ok()?.to_str()?.to_string()))
        };
        Ok(entries.flatten().filter_map(|entry| lease(&entry.path())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ContainerId {
        ContainerId::from_random([n; 32])
    }

    #[test]
    fn addresses_are_given_in_order_kept_and_never_twice() {
        let dir = std::env::temp_dir().join(format!("coracle-leases-{}", std::process::id()));
        let leases = Leases::new(dir.clone());
        let subnet: Subnet = "10.9.0.0/29".parse().unwrap();
        let reserved = [Ipv4Addr::new(10, 9, 0, 1)];
        let ask = |n, wanted| {
            leases.take(&id(n), &subnet, &subnet, &reserved, wanted).map(|a| a.octets()[3])
        };
        let take = |n| ask(n, Wanted::Any);
        assert_eq!([take(1).unwrap(), take(2).unwrap(), take(3).unwrap()], [2, 3, 4]);
        assert_eq!(take(2).unwrap(), 3, "its own again");
        leases.give_back(&id(2)).unwrap();
        leases.give_back(&id(2)).unwrap();
        assert_eq!(take(4).unwrap(), 3, "the lowest free one");

        let address = |last| Ipv4Addr::new(10, 9, 0, last);
        let rather = |n, last| ask(n, Wanted::Rather(address(last))).unwrap();
        let only = |n, last| ask(n, Wanted::Only(address(last))).map_err(|e| e.to_string());
        assert_eq!(rather(5, 6), 6, "free");
        assert_eq!(rather(6, 6), 5, "taken");
        assert!(take(7).is_err(), "full");
        let holder = "050505050505";
        let taken = format!("the address 10.9.0.6 is in use by container {holder}");
        assert_eq!(only(7, 6).unwrap_err(), taken);
        assert_eq!(only(5, 6).unwrap(), 6, "its own");
        for last in [0, 1, 7, 8] {
            let text = format!("10.9.0.{last} is no address for a container of 10.9.0.0/29");
            assert_eq!(only(7, last).unwrap_err(), text);
        }
        leases.give_back(&id(1)).unwrap();
        assert_eq!(rather(7, 7), 2, "not one for containers");
        assert_eq!(leases.all().unwrap().len(), 5);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn addresses_come_from_a_part_of_the_range() {
        let dir = std::env::temp_dir().join(format!("coracle-pool-{}", std::process::id()));
        let leases = Leases::new(dir.clone());
        let (subnet, pool) = ("10.9.0.0/24".parse().unwrap(), "10.9.0.128/25".parse().unwrap());
        let take = |n, wanted| leases.take(&id(n), &subnet, &pool, &[], wanted).unwrap();
        assert_eq!(take(1, Wanted::Any), Ipv4Addr::new(10, 9, 0, 128));
        let outside = Ipv4Addr::new(10, 9, 0, 7);
        assert_eq!(take(2, Wanted::Only(outside)), outside, "asked for by name");
        fs::remove_dir_all(dir).unwrap();
    }
}
