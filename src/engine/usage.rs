//! `system df`: what takes room on the disk, and what of it nobody needs.

use super::Engine;
use crate::error::Result;
use crate::image::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One kind of thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    pub total: usize,
    /// Those in use.
    pub active: usize,
    pub bytes: u64,
    /// What would be gone with all that are not in use.
    pub reclaimable: u64,
}

/// What there is, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DiskUsage {
    pub images: Usage,
    pub containers: Usage,
    pub volumes: Usage,
    /// What was discarded and waits for the next sweep.
    pub trash: u64,
}

impl Engine {
    /// Bytes are those of the files, each counted once however many images share it.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let store = self.images()?;
        Ok(DiskUsage {
            images: self.image_usage(&store)?,
            containers: self.container_usage()?,
            volumes: self.volume_usage()?,
            trash: bytes(&store.trash()),
        })
    }

    fn image_usage(&self, store: &Store) -> Result<Usage> {
        let used = self.used_images()?;
        let mut usage = Usage::default();
        let (mut layers, mut needed) = (BTreeMap::new(), BTreeSet::new());
        for id in store.refs()?.images() {
            usage.total += 1;
            let is_used = used.contains(&id);
            usage.active += usize::from(is_used);
            // One that cannot be read is for `fsck`.
            let sizes = store.image(&id).and_then(|image| store.layer_sizes(&image));
            for (dir, size) in sizes.unwrap_or_default() {
                if is_used {
                    needed.insert(dir.clone());
                }
                layers.insert(dir, size);
            }
        }
        usage.bytes = layers.values().sum();
        let free = layers.iter().filter(|(dir, _)| !needed.contains(*dir));
        usage.reclaimable = free.map(|(_, size)| size).sum();
        Ok(usage)
    }

    fn container_usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for container in self.containers()? {
            usage.add(container.is_up(), bytes(&container.directory.join("upper")));
        }
        Ok(usage)
    }

    fn volume_usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for volume in self.volumes()? {
            usage.add(volume.is_used, bytes(&volume.mountpoint));
        }
        Ok(usage)
    }
}

impl Usage {
    fn add(&mut self, is_used: bool, bytes: u64) {
        self.total += 1;
        self.active += usize::from(is_used);
        self.bytes = self.bytes.saturating_add(bytes);
        if !is_used {
            self.reclaimable = self.reclaimable.saturating_add(bytes);
        }
    }
}

/// Bytes of all regular files below `path`, those with several names once. What vanishes
/// meanwhile, or cannot be read, counts nothing.
pub fn bytes(path: &Path) -> u64 {
    let (mut total, mut seen) = (0_u64, BTreeSet::new());
    let mut rest: Vec<PathBuf> = vec![path.to_path_buf()];
    while let Some(path) = rest.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten();
            rest.extend(entries.flatten().map(|entry| entry.path()));
        } else if meta.is_file() && (meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino()))) {
            total = total.saturating_add(meta.len());
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_links_are_not_followed() {
        let dir = std::env::temp_dir().join(format!("coracle-usage-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::write(dir.join("a/b/one"), [0; 100]).unwrap();
        std::fs::hard_link(dir.join("a/b/one"), dir.join("two")).unwrap();
        std::os::unix::fs::symlink("/", dir.join("root")).unwrap();
        assert_eq!(bytes(&dir), 100);
        assert_eq!(bytes(&dir.join("none")), 0);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
