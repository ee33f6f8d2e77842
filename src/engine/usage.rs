//! `system df`: what takes room on the disk, and what of it nobody needs.

use super::Engine;
use super::image::{ImageRow, images};
use super::report::{self, Container};
use crate::error::Result;
use crate::image::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What there is, by kind, each with the bytes of its files.
#[derive(Debug, Default)]
pub struct DiskUsage {
    pub images: Vec<ImageUsage>,
    pub layers: Layers,
    pub containers: Vec<(Container, ContainerSize)>,
    pub volumes: Vec<VolumeUsage>,
    /// What was discarded and waits for the next sweep.
    pub trash: u64,
}

/// One name of an image, or an image without a name.
#[derive(Debug)]
pub struct ImageUsage {
    pub row: ImageRow,
    /// Bytes of the layers that no other image has.
    pub unique: u64,
    /// How many were made from it.
    pub containers: usize,
}

/// Bytes of all layers, each counted once however many images share it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layers {
    pub bytes: u64,
    /// Of those that no used image has.
    pub unused: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContainerSize {
    /// Bytes of the files that it wrote.
    pub written: u64,
    /// With the image's.
    pub whole: u64,
    /// Bytes of its files on the disk; also those of the image, where they were copied.
    pub taken: u64,
}

#[derive(Debug)]
pub struct VolumeUsage {
    pub volume: report::Volume,
    pub bytes: u64,
    /// How many containers have it.
    pub links: usize,
}

/// One kind of thing in one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Total {
    pub count: usize,
    /// Those in use.
    pub active: usize,
    pub bytes: u64,
    /// What would be gone with all that are not in use.
    pub reclaimable: u64,
}

impl Engine {
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let store = self.images()?;
        let containers = self.containers()?;
        let (images, layers) = self.image_usage(&store)?;
        let links = |name: &str| {
            let has = |c: &&Container| c.volumes().any(|mount| mount.source == name);
            containers.iter().filter(has).count()
        };
        let volumes = self.volumes()?.into_iter().map(|volume| VolumeUsage {
            bytes: bytes(&volume.mountpoint),
            links: links(&volume.name),
            volume,
        });
        Ok(DiskUsage {
            images,
            layers,
            volumes: volumes.collect(),
            trash: bytes(&store.trash()),
            containers: containers
                .into_iter()
                .map(|container| {
                    let size = self.container_size(&container);
                    (container, size)
                })
                .collect(),
        })
    }

    /// An image that cannot be read counts nothing. Of copied files those were written that
    /// changed after the copy.
    pub fn container_size(&self, container: &Container) -> ContainerSize {
        let since = container.driver.has_all_files().then(|| {
            let mark = container.directory.join("copied").symlink_metadata();
            mark.map_or((i64::MAX, 0), |mark| (mark.mtime(), mark.mtime_nsec()))
        });
        let (mut written, mut taken) = (0_u64, 0_u64);
        each_file(&container.directory.join("upper"), &mut |meta| {
            taken = taken.saturating_add(meta.len());
            if since.is_none_or(|since| (meta.ctime(), meta.ctime_nsec()) >= since) {
                written = written.saturating_add(meta.len());
            }
        });
        let size = |store: Store| store.size(&store.image(&container.config.image)?);
        let image = self.images().and_then(size).unwrap_or_default();
        ContainerSize { written, whole: image.saturating_add(written), taken }
    }

    fn image_usage(&self, store: &Store) -> Result<(Vec<ImageUsage>, Layers)> {
        let users = self.image_users()?;
        let rows = images(store, true, &[])?;
        // One that cannot be read is for `fsck`.
        let layers_of = |row: &ImageRow| -> BTreeMap<PathBuf, u64> {
            let sizes = store.image(&row.id).and_then(|image| store.layer_sizes(&image));
            sizes.unwrap_or_default().into_iter().collect()
        };
        let by_id: BTreeMap<_, _> = rows.iter().map(|row| (row.id, layers_of(row))).collect();
        let is_used = |id| users.iter().any(|(image, ..)| image == id);
        let mut total = Layers::default();
        // How many images have the layer, and whether one of them is used.
        let mut seen: BTreeMap<&Path, (u64, usize, bool)> = BTreeMap::new();
        for (id, layers) in &by_id {
            for (dir, size) in layers {
                let (_, images, needed) = seen.entry(dir).or_insert((*size, 0, false));
                *images += 1;
                *needed |= is_used(id);
            }
        }
        for (size, _, needed) in seen.values() {
            total.bytes = total.bytes.saturating_add(*size);
            if !needed {
                total.unused = total.unused.saturating_add(*size);
            }
        }
        let usage = |row: ImageRow| {
            let own = by_id[&row.id].iter().filter(|(dir, _)| seen[dir.as_path()].1 == 1);
            let unique = own.fold(0, |sum: u64, (_, size)| sum.saturating_add(*size));
            let containers = users.iter().filter(|(image, ..)| *image == row.id).count();
            ImageUsage { row, unique, containers }
        };
        Ok((rows.into_iter().map(usage).collect(), total))
    }
}

impl DiskUsage {
    pub fn image_total(&self) -> Total {
        let ids = |used: bool| {
            let rows = self.images.iter().filter(|i| !used || i.containers > 0);
            rows.map(|image| image.row.id).collect::<BTreeSet<_>>().len()
        };
        let Layers { bytes, unused } = self.layers;
        Total { count: ids(false), active: ids(true), bytes, reclaimable: unused }
    }

    pub fn container_total(&self) -> Total {
        Total::of(self.containers.iter().map(|(c, size)| (c.is_up(), size.taken)))
    }

    pub fn volume_total(&self) -> Total {
        Total::of(self.volumes.iter().map(|usage| (usage.volume.is_used, usage.bytes)))
    }

    pub fn trash_total(&self) -> Total {
        Total { bytes: self.trash, reclaimable: self.trash, ..Total::default() }
    }
}

impl Total {
    /// Whether each is used, and its bytes.
    fn of(things: impl Iterator<Item = (bool, u64)>) -> Total {
        let mut total = Total::default();
        for (is_used, bytes) in things {
            total.count += 1;
            total.active += usize::from(is_used);
            total.bytes = total.bytes.saturating_add(bytes);
            if !is_used {
                total.reclaimable = total.reclaimable.saturating_add(bytes);
            }
        }
        total
    }
}

/// Bytes of all regular files below `path`.
pub fn bytes(path: &Path) -> u64 {
    let mut total = 0_u64;
    each_file(path, &mut |meta| total = total.saturating_add(meta.len()));
    total
}

/// Tells all regular files below `path`, those with several names once. What vanishes meanwhile,
/// or cannot be read, is passed over.
fn each_file(path: &Path, tell: &mut dyn FnMut(&Metadata)) {
    let mut seen = BTreeSet::new();
    let mut rest: Vec<PathBuf> = vec![path.to_path_buf()];
    while let Some(path) = rest.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten();
            rest.extend(entries.flatten().map(|entry| entry.path()));
        } else if meta.is_file() && (meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino()))) {
            tell(&meta);
        }
    }
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
