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

#[derive(Debug)]
pub(super) struct Leases {
    dir: PathBuf,
}

impl Leases {
    pub fn new(dir: PathBuf) -> Leases {
        Leases { dir }
    }

    /// The address of `id`: the one it has, else `wanted` where that is free, else the lowest
    /// free one.
    pub fn take(
        &self,
        id: &ContainerId,
        subnet: &Subnet,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr> {
        fs::create_dir_all(&self.dir).on("make", &self.dir)?;
        let held = self.all()?;
        let mine = |(address, holder): &&(Ipv4Addr, String)| {
            holder == id.as_str() && subnet.contains(*address)
        };
        if let Some((address, _)) = held.iter().find(mine) {
            return Ok(*address);
        }
        let mut taken: Vec<Ipv4Addr> = held.iter().map(|(address, _)| *address).collect();
        taken.sort_unstable();
        let free = |address: &Ipv4Addr| taken.binary_search(address).is_err();
        let is_host = |a: &Ipv4Addr| subnet.contains(*a) && subnet.hosts().any(|host| host == *a);
        for address in wanted.filter(is_host).into_iter().chain(subnet.hosts()).filter(free) {
            let path = self.dir.join(address.to_string());
            match symlink(id.as_str(), &path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                other => return other.on("make lease", &path).map(|()| address),
            }
        }
        Err(Error::conflict(format!("all addresses of {subnet} are in use"))
            .hint("remove containers that are not needed"))
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
        let take = |n| leases.take(&id(n), &subnet, None).map(|a| a.octets()[3]);
        assert_eq!([take(1).unwrap(), take(2).unwrap(), take(3).unwrap()], [2, 3, 4]);
        assert_eq!(take(2).unwrap(), 3, "its own again");
        leases.give_back(&id(2)).unwrap();
        leases.give_back(&id(2)).unwrap();
        assert_eq!(take(4).unwrap(), 3, "the lowest free one");

        let wanted = |n, last| {
            let address = Some(Ipv4Addr::new(10, 9, 0, last));
            leases.take(&id(n), &subnet, address).unwrap().octets()[3]
        };
        assert_eq!(wanted(5, 6), 6, "free");
        assert_eq!(wanted(6, 6), 5, "taken");
        assert!(take(7).is_err(), "full");
        leases.give_back(&id(1)).unwrap();
        assert_eq!(wanted(7, 7), 2, "not one for containers");
        assert_eq!(leases.all().unwrap().len(), 5);
        fs::remove_dir_all(dir).unwrap();
    }
}
