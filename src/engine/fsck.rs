//! `fsck`: whether what lies on the disk is what it was, and mending what can be mended.
//!
//! A layer's recipe rebuilds its tar bit by bit, so whatever was changed in the tree is found by
//! unpacking that tar again and comparing. As long as the contents of the files are whole, the
//! copy takes the layer's place. Where contents are lost, the layer is set aside, and loading or
//! importing the image again brings it back.
//!
//! Reading takes no lock, so all else goes on meanwhile; what is removed meanwhile is not looked
//! at. Mending holds the images lock, and leaves alone what a running container stands on.

use super::Engine;
use crate::container::{Dir, dir};
use crate::error::{Error, OsContext, Result};
use crate::image::layer::Layer;
use crate::image::store::Verified;
use crate::image::{Image, Store};
use crate::sys::lock::Mode;
use crate::types::{Digest, ImageRef};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Something that is not as it was.
#[derive(Debug)]
pub struct Finding {
    /// Where and what; its hints say what helps.
    pub what: Error,
    pub is_mended: bool,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Checked {
    pub images: usize,
    pub layers: usize,
    pub containers: usize,
    pub findings: Vec<Finding>,
}

impl Checked {
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.is_mended)
    }
}

impl Engine {
    /// Looks at everything, and with `repair` mends what can be.
    pub fn fsck(&self, repair: bool) -> Result<Checked> {
        self.begin()?;
        let (store, checked) = (self.images()?, Checked::default());
        let mut check = Check { engine: self, store, repair, checked };
        check.images()?;
        check.containers()?;
        Ok(check.checked)
    }
}

struct Check<'e> {
    engine: &'e Engine,
    store: Store,
    repair: bool,
    checked: Checked,
}

impl Check<'_> {
    fn add(&mut self, what: Error, is_mended: bool) {
        self.checked.findings.push(Finding { what, is_mended });
    }

    /// Names of images that are none.
    fn names(&mut self) -> Result<()> {
        let odd = self.store.refs()?.odd();
        if self.repair && !odd.is_empty() {
            let _lock = self.store.lock(Mode::Exclusive)?;
            let mut refs = self.store.refs()?;
            refs.drop_odd();
            self.store.write_refs(&refs)?;
        }
        for what in odd {
            self.add(what, self.repair);
        }
        Ok(())
    }

    fn images(&mut self) -> Result<()> {
        self.names()?;
        let refs = self.store.refs()?;
        let mut seen = BTreeSet::new();
        for id in refs.images() {
            self.checked.images += 1;
            let called = called(&id, &refs.names_of(&id));
            let image = match self.store.image(&id) {
                Ok(image) => image,
                // Removed meanwhile.
                Err(_) if !self.store.refs()?.contains(&id) => continue,
                Err(error) => {
                    let cure = "load it again, or remove it with rmi";
                    self.add(error.doing(format!("image {called}")).hint(cure), false);
                    continue;
                }
            };
            let layers = match self.store.layers(&image) {
                Ok(layers) => layers,
                Err(_) if !self.store.refs()?.contains(&id) => continue,
                Err(error) => {
                    self.add(error, false);
                    continue;
                }
            };
            let mut below: Vec<PathBuf> = Vec::new();
            for layer in layers {
                if seen.insert(layer.dir.clone()) {
                    self.checked.layers += 1;
                    self.layer(&called, &layer, &below)?;
                }
                below.push(layer.tree());
            }
        }
        Ok(())
    }

    /// A layer of the image that is called so, on the trees `below`.
    fn layer(&mut self, called: &str, layer: &Layer, below: &[PathBuf]) -> Result<()> {
        let scratch = self.store.scratch()?;
        let inode = || fs::metadata(&layer.dir).map(|meta| meta.ino()).ok();
        let before = inode();
        let verified = self.store.verify(&scratch, layer, below);
        // Removed meanwhile, and perhaps added again?
        if before.is_none() || inode() != before {
            return Ok(());
        }
        let Verified { wrong, fresh } = verified?;
        if wrong.is_empty() {
            return Ok(());
        }
        let text = format!("image {called}: layer {}: {}", layer.diff_id, wrong.join("; "));
        let what = Error::damaged(text);
        if !self.repair {
            self.add(what.hint("mend it with fsck --repair"), false);
            return Ok(());
        }
        if fresh.is_some() {
            scratch.sync()?;
        }
        let _lock = self.store.lock(Mode::Exclusive)?;
        if inode() != before {
            return Ok(());
        }
        if let Some(container) = self.running_on(layer)? {
            let cure = format!("stop container {container}, and try again");
            self.add(what.hint(cure), false);
            return Ok(());
        }
        match fresh {
            Some(fresh) => {
                self.store.replace_layer(layer, &fresh)?;
                self.add(what, true);
            }
            None => {
                let aside = self.store.set_aside(layer)?.display().to_string();
                let cure = format!("what is left of it lies in {aside}; load {called} again");
                self.add(what.hint(cure), false);
            }
        }
        Ok(())
    }

    /// A running container that has the layer in its root.
    fn running_on(&self, layer: &Layer) -> Result<Option<String>> {
        let stands = |image: Image| self.store.layers(&image).is_ok_and(|all| all.contains(layer));
        for (id, container, runs) in self.engine.image_users()? {
            // An image that cannot be read has its own finding.
            if runs && self.store.image(&id).is_ok_and(stands) {
                return Ok(Some(container));
            }
        }
        Ok(None)
    }

    fn containers(&mut self) -> Result<()> {
        let home = &self.engine.home;
        for id in Dir::all(home)? {
            self.checked.containers += 1;
            let dir = Dir::new(home, &id);
            let config = match dir.config() {
                // It is being made, or removed.
                Err(error) if error.is_not_found() => continue,
                config => config,
            };
            let read = config.and_then(|config| {
                dir.settings()?;
                dir.state()?;
                self.store.layers(&self.store.image(&config.image)?)
            });
            if let Err(error) = read
                && dir.path().exists()
            {
                self.add(error.doing(format!("container {}", id.short())), false);
            }
        }
        let names = home.root.join("names");
        for entry in fs::read_dir(&names).on("read", &names)? {
            let name = entry.on("read", &names)?.file_name().to_string_lossy().into_owned();
            let Some(id) = dir::named(home, &name)? else { continue };
            if Dir::new(home, &id).path().exists() {
                continue;
            }
            let path = names.join(&name);
            let text = format!("{}: names a container that is not there", path.display());
            let what = Error::damaged(text);
            if self.repair {
                dir::release_name(home, &name.parse()?, &id)?;
                self.add(what, true);
            } else {
                self.add(what.hint("free it with fsck --repair"), false);
            }
        }
        Ok(())
    }
}

fn called(id: &Digest, names: &[ImageRef]) -> String {
    match names.first() {
        Some(name) => name.to_string(),
        None => id.short(),
    }
}
