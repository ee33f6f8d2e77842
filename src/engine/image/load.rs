//! `load`: the images of an archive come into the store, all or none.
//!
//! The archive is read once, front to back, as from a pipe, and its members may come in any
//! order: layers are unpacked as they pass, told by their content, and the JSON is set aside.
//! Only then the indexes say which belong together. What they do not mention is dropped.
//! Docker 1.10 to 24 wrote `manifest.json` beside what Docker of 2014 reads (`v1`); it comes first.

use crate::error::{Context, Error, Result};
use crate::image::archive::{self, Descriptor, Index, Layout, Manifest, SavedImage};
use crate::image::config::{ImageConfig, host_architecture, runs_here};
use crate::image::layer;
use crate::image::store::{NewImage, NewLayer, Store};
use crate::image::tree;
use crate::types::{Digest, ImageRef};
use parts::Parts;
use std::collections::HashMap;
use std::io::Read;

mod parts;
mod v1;

/// How deep indexes may nest.
const DEPTH_MAX: usize = 4;
/// Most bytes of the configs of all images, and most layers.
const CONFIGS_MAX: usize = 16 << 20;
const LAYERS_MAX: usize = 50_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    pub id: Digest,
    pub names: Vec<ImageRef>,
}

/// Reads the archive, compressed or not, to its end, and gives the images in its order.
pub fn load(store: &Store, archive: &mut dyn Read) -> Result<Vec<Loaded>> {
    store.sweep()?;
    let scratch = store.scratch()?;
    let parts = Parts::read(archive, &scratch)?;
    let images = parts.images()?.images;
    let names: Vec<_> = images.iter().map(|image| image.names.clone()).collect();
    let ids = store.add(&scratch, images)?;
    Ok(ids.into_iter().zip(names).map(|(id, names)| Loaded { id, names }).collect())
}

/// The images of an archive, in its order, each once.
#[derive(Default)]
struct Found {
    images: Vec<NewImage>,
    /// Which of them a config, and which a member, leads to: one that several names lead to is
    /// listed as often, and read once.
    by_config: HashMap<Digest, usize>,
    by_member: HashMap<String, usize>,
    /// Bytes of their configs, and layers.
    bytes: usize,
    layers: usize,
}

impl Found {
    /// Takes the image that the member `name` stands for.
    fn add(&mut self, name: String, image: NewImage) -> Result<()> {
        let id = Digest::of(&image.config);
        let at = match self.by_config.get(&id).copied() {
            Some(at) => {
                self.call(at, image.names);
                at
            }
            None => {
                self.bytes += image.config.len();
                within(self.bytes, CONFIGS_MAX, "of image configs")?;
                self.layers += image.layers.len();
                if self.layers > LAYERS_MAX {
                    let text = format!("the images have more than {LAYERS_MAX} layers");
                    return Err(Error::invalid(text).hint("save fewer at once"));
                }
                self.by_config.insert(id, self.images.len());
                self.images.push(image);
                self.images.len() - 1
            }
        };
        self.by_member.insert(name, at);
        Ok(())
    }

    /// Takes one that is there already, with these layers by what `name` says.
    fn again(
        &mut self,
        at: usize,
        names: Vec<ImageRef>,
        layers: &[NewLayer],
        name: &str,
    ) -> Result<()> {
        let known = self.images.get(at).map(|image| image.layers.as_slice()).unwrap_or_default();
        fitting(known.iter().map(|layer| layer.unpacked.diff_id), layers, name)?;
        self.call(at, names);
        Ok(())
    }

    fn call(&mut self, at: usize, names: Vec<ImageRef>) {
        if let Some(image) = self.images.get_mut(at) {
            image.names.extend(names);
        }
    }
}

fn within(total: usize, most: usize, what: &str) -> Result<()> {
    if total <= most {
        return Ok(());
    }
    let most = most >> 20;
    Err(Error::invalid(format!("the archive has more than {most} MiB {what}"))
        .hint("save fewer images at once"))
}

impl Parts {
    fn images(&self) -> Result<Found> {
        let mut found = Found::default();
        if let Some(bytes) = self.bytes("manifest.json")? {
            let saved: Vec<SavedImage> = archive::parse("manifest.json", &bytes)?;
            for image in &saved {
                self.saved_image(image, &mut found)?;
            }
        } else if let Some(bytes) = self.bytes("index.json")? {
            if let Some(bytes) = self.bytes("oci-layout")? {
                let version = archive::parse::<Layout>("oci-layout", &bytes)?.image_layout_version;
                if !version.starts_with("1.") {
                    let text = format!("oci-layout: version \"{version}\", not 1");
                    return Err(Error::invalid(text));
                }
            }
            let index: Index = archive::parse_version_2("index.json", &bytes)?;
            for descriptor in &index.manifests {
                self.described(descriptor, descriptor.name(), 0, &mut found)?;
            }
        } else if !self.v1_images(&mut found)? {
            let text =
                "no image archive: it has neither manifest.json, index.json nor repositories";
            let cure = "a tar of a root file system becomes an image by `import`";
            return Err(Error::invalid(text).hint(cure));
        }
        if found.images.is_empty() {
            return Err(Error::invalid("the archive holds no image"));
        }
        Ok(found)
    }

    /// An image of `manifest.json`.
    fn saved_image(&self, saved: &SavedImage, found: &mut Found) -> Result<()> {
        let path = clean(&saved.config)?;
        let names = saved.repo_tags.iter().flatten().map(|tag| tag.parse());
        let names = names.collect::<Result<Vec<_>>>().doing(|| "manifest.json".to_string())?;
        few_enough(saved.layers.len(), &path)?;
        let mut layers = Vec::new();
        for path in &saved.layers {
            layers.push(self.layer(&clean(path)?)?);
        }
        // However many links lead to it.
        let member = self.own_name(&path).unwrap_or(&path);
        if let Some(at) = found.by_member.get(member).copied() {
            return found.again(at, names, &layers, &path);
        }
        let config = self.needed(&path)?;
        let image = checked(NewImage { config, names, layers }, &path)?;
        found.add(member.to_string(), image)
    }

    /// The image that a descriptor of an OCI layout leads to.
    fn described(
        &self,
        descriptor: &Descriptor,
        name: Option<&str>,
        depth: usize,
        found: &mut Found,
    ) -> Result<()> {
        let path = descriptor.path();
        let names = name.map(str::parse).transpose().doing(|| "index.json".to_string())?;
        let names: Vec<ImageRef> = names.into_iter().collect();
        if let Some(at) = found.by_member.get(&path).copied() {
            found.call(at, names);
            return Ok(());
        }
        if descriptor.is_index() {
            if depth == DEPTH_MAX {
                return Err(Error::invalid(format!("{path}: indexes nest too deep")));
            }
            let index: Index = archive::parse_version_2(&path, &self.blob(descriptor)?)?;
            let host = host_architecture();
            let Some(fitting) = index.manifests.iter().find(|d| d.fits(host)) else {
                return Err(Error::invalid(format!("{path}: has no image for linux/{host}")));
            };
            self.described(fitting, name.or(fitting.name()), depth + 1, found)?;
            if let Some(at) = found.by_member.get(&fitting.path()).copied() {
                found.by_member.insert(path, at);
            }
            return Ok(());
        }
        if !descriptor.is_manifest() {
            return Err(descriptor.unknown());
        }
        let manifest: Manifest = archive::parse_version_2(&path, &self.blob(descriptor)?)?;
        few_enough(manifest.layers.len(), &path)?;
        if !manifest.config.is_config() {
            return Err(manifest.config.unknown().hint("it is no image that can run"));
        }
        let mut layers = Vec::new();
        for descriptor in &manifest.layers {
            if !descriptor.is_layer() {
                return Err(descriptor.unknown());
            }
            layers.push(self.layer_blob(descriptor)?);
        }
        // However many manifests lead to it.
        if let Some(at) = found.by_config.get(&manifest.config.digest).copied() {
            found.again(at, names, &layers, &path)?;
            found.by_member.insert(path, at);
            return Ok(());
        }
        let config = self.blob(&manifest.config)?;
        let image = checked(NewImage { config, names, layers }, &path)?;
        found.add(path, image)
    }
}

/// The image, once its config is seen to list just these layers.
fn checked(image: NewImage, name: &str) -> Result<NewImage> {
    let config = ImageConfig::parse(&image.config).doing(|| name.to_string())?;
    let (os, architecture) = (&config.os, &config.architecture);
    if !runs_here(os, architecture) {
        let text = format!("{name}: is for {os}/{architecture}, and this machine is");
        let host = host_architecture();
        return Err(Error::invalid(format!("{text} linux/{host}"))
            .hint(format!("save the image for linux/{host} where it was made")));
    }
    fitting(config.rootfs.diff_ids.iter().copied(), &image.layers, name)?;
    Ok(image)
}

/// Whether the layers are those that the config `name` wants.
fn fitting(
    wanted: impl ExactSizeIterator<Item = Digest>,
    layers: &[NewLayer],
    name: &str,
) -> Result<()> {
    let (has, needs) = (layers.len(), wanted.len());
    if has != needs {
        return Err(Error::invalid(format!("{name}: lists {needs} layers, the archive {has}")));
    }
    for (layer, wanted) in layers.iter().zip(wanted) {
        let got = layer.unpacked.diff_id;
        if got != wanted {
            return Err(Error::invalid(format!("{name}: its layer {wanted} came as {got}")));
        }
    }
    Ok(())
}

/// Refuses what no overlay takes before each layer is looked for.
fn few_enough(count: usize, name: &str) -> Result<()> {
    layer::few_enough(count).doing(|| name.to_string())
}

fn clean(path: &str) -> Result<String> {
    let clean = tree::clean(path.as_bytes()).doing(|| format!("manifest.json: \"{path}\""))?;
    Ok(String::from_utf8_lossy(&clean).into_owned())
}
