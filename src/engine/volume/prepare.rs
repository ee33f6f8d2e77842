//! The volumes of a new container: taken over from others, made where they are missing, and given
//! the image's content.
//!
//! A kill leaves a container that is `creating`: with it go the volumes that were made for it, and
//! what was being copied (`discard`).

use super::Engine;
use crate::container::{Config, Dir, Mount, MountKind, Status};
use crate::engine::options::{Options, Source};
use crate::error::{Context, Error, OsContext, Result};
use crate::image::merged::Merged;
use crate::image::{Image, copy};
use crate::sys::atomic::Durability;
use crate::sys::fs;
use crate::sys::lock::Guard;
use crate::types::Digest;
use crate::volume::{ANONYMOUS, Volume, VolumesFrom, clean, open_image_directory};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

impl Engine {
    /// The volumes lock, where a container of these options and this image has volumes.
    pub(in crate::engine) fn lock_volumes_of(
        &self,
        options: &Options,
        image: &Image,
    ) -> Result<Option<Guard>> {
        let is_volume = |source: &Source| !matches!(source, Source::Host(_) | Source::Tmpfs);
        let has_some = !options.volumes_from.is_empty()
            || !image.config.config.volumes.is_empty()
            || options.mounts.iter().any(|mount| is_volume(&mount.source));
        has_some.then(|| self.volume_store().lock()).transpose()
    }

    /// All mounts of a new container, each before those below it. At one place the later container
    /// of `--volumes-from` counts, and a `-v` with a source before them; a volume without a name
    /// only where there is nothing else. The caller holds the volumes lock.
    pub(in crate::engine) fn resolve_mounts(
        &self,
        options: &Options,
        image: &Image,
    ) -> Result<Vec<Mount>> {
        let mut mounts = self.inherited(&options.volumes_from)?;
        for spec in &options.mounts {
            let (kind, source) = match &spec.source {
                Source::Host(path) => (MountKind::Bind, path.clone()),
                Source::Volume(name) => (MountKind::Volume, name.clone()),
                Source::Tmpfs => (MountKind::Tmpfs, String::new()),
                Source::Anonymous if spec.by_mount => (MountKind::Volume, new_name()?),
                Source::Anonymous => continue,
            };
            mounts.retain(|mount| mount.target != spec.target);
            mounts.push(Mount {
                kind,
                source,
                target: spec.target.clone(),
                read_only: spec.read_only,
                anonymous: spec.source == Source::Anonymous,
                inherited: false,
                nocopy: spec.nocopy,
                options: spec.options.clone(),
                subpath: spec.subpath.clone(),
                labels: spec.labels.clone(),
                must_exist: spec.must_exist,
                by_mount: spec.by_mount,
            });
        }
        let asked = options.mounts.iter().filter(|spec| spec.source == Source::Anonymous);
        let asked = asked.map(|spec| spec.target.clone());
        for target in asked.chain(image.config.config.volumes.keys().map(|path| clean(path))) {
            if target == "/" || mounts.iter().any(|mount| mount.target == target) {
                continue;
            }
            mounts.push(Mount {
                kind: MountKind::Volume,
                source: new_name()?,
                target,
                read_only: false,
                anonymous: true,
                inherited: false,
                nocopy: false,
                options: Vec::new(),
                subpath: String::new(),
                labels: Default::default(),
                must_exist: false,
                by_mount: false,
            });
        }
        mounts.sort_by_key(|mount: &Mount| mount.target.split('/').count());
        Ok(mounts)
    }

    fn inherited(&self, from: &[VolumesFrom]) -> Result<Vec<Mount>> {
        let mut mounts: Vec<Mount> = Vec::new();
        for VolumesFrom { container, read_only } in from {
            let doing = || "--volumes-from".to_string();
            let dir = self.find(container).doing(doing)?;
            let state = dir.state().doing(doing)?;
            if matches!(state.status, Status::Creating | Status::Removing) {
                let text = format!("container {container} is being made or removed");
                return Err(Error::conflict(text).doing(doing()));
            }
            for mount in dir.read_config().doing(doing)?.mounts {
                if mount.kind == MountKind::Tmpfs {
                    continue;
                }
                mounts.retain(|other| other.target != mount.target);
                mounts.push(Mount {
                    read_only: mount.read_only || *read_only,
                    inherited: true,
                    nocopy: true,
                    ..mount
                });
            }
        }
        Ok(mounts)
    }

    /// Makes what the mounts refer to: a missing host directory, a volume. The caller holds the
    /// volumes lock, and has written the container's configuration.
    pub(in crate::engine) fn make_sources(&self, config: &Config) -> Result<()> {
        let volumes = self.volume_store();
        for mount in &config.mounts {
            let made = match mount.kind {
                MountKind::Bind => {
                    let path = PathBuf::from(&mount.source);
                    match path.exists() {
                        true => Ok(()),
                        false if mount.must_exist => Err(Error::not_found(format!(
                            "the source {} does not exist",
                            mount.source
                        ))
                        .hint("create it first, or mount it with -v, which makes a directory")),
                        false => std::fs::create_dir_all(&path).on("create", &path),
                    }
                }
                MountKind::Volume => {
                    let mut labels = mount.labels.clone();
                    if mount.anonymous {
                        labels.insert(ANONYMOUS.to_string(), String::new());
                    }
                    let maker = Some(config.id.clone());
                    let volume = Volume { maker, ..Volume::new(&mount.source, labels) };
                    let is_new = volumes.get(&mount.source).is_err();
                    let made = volumes.make(&volume, durability(config, mount));
                    if made.is_ok() && is_new {
                        self.tell_of_volume("create", &mount.source, &[]);
                    }
                    made
                }
                MountKind::Tmpfs => Ok(()),
            };
            made.doing(|| match mount {
                Mount { by_mount: true, target, .. } => format!("--mount on {target}"),
                Mount { inherited: false, anonymous: false, source, target, .. } => {
                    format!("--volume {source}:{target}")
                }
                Mount { target, .. } => format!("prepare the mount on {target}"),
            })?;
        }
        Ok(())
    }

    /// Gives the volumes that are empty what the image has where they are to be mounted. Links of
    /// the image lead nowhere but inside of it.
    pub(in crate::engine) fn fill_volumes(&self, dir: &Dir, config: &Config) -> Result<()> {
        let volumes = self.volume_store();
        let mut empty = Vec::new();
        // What the image has there is not for a part of a volume.
        let whole = |m: &&Mount| m.kind == MountKind::Volume && !m.nocopy && m.subpath.is_empty();
        for mount in config.mounts.iter().filter(whole) {
            if volumes.is_empty(&mount.source)? {
                empty.push(mount);
            }
        }
        if empty.is_empty() {
            return Ok(());
        }
        let root = self.mount_root(&self.root_mount(dir, config)?)?;
        for mount in empty {
            if let Some(from) = open_image_directory(root.as_fd(), &mount.target)? {
                let from = &from;
                let mut copy = |to: BorrowedFd| {
                    let what = || format!("the image's {}", mount.target);
                    fs::copy_attributes(from.as_fd(), to).on("copy the attributes of", what())?;
                    let from = from.try_clone().on("dup", what())?;
                    let told = copy::tree(Merged::plain(from), to)?;
                    self.troubles.borrow_mut().extend(told.map(Error::conflict));
                    Ok(())
                };
                volumes
                    .fill(&mount.source, durability(config, mount), &mut copy)
                    .doing(|| format!("copy the image's {} to its volume", mount.target))?;
            }
        }
        Ok(())
    }
}

/// A name for a volume that nobody named.
fn new_name() -> Result<String> {
    let random = crate::sys::random::bytes().on("read", "random bytes")?;
    Ok(Digest::from_bytes(random).hex())
}

/// What goes with its container need not survive a loss of power.
fn durability(config: &Config, mount: &Mount) -> Durability {
    match mount.anonymous && config.auto_remove {
        true => Durability::Crash,
        false => Durability::PowerLoss,
    }
}
