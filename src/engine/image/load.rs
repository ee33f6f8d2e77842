//! `load`: the images of an archive come into the store, all or none.
//!
//! The archive is read once, front to back, as from a pipe, and its members may come in any
//! order: layers are unpacked as they pass, told by their content, and the JSON is set aside.
//! Only then the indexes say which belong together. What they do not mention is dropped.
//! Docker 1.10 to 24 wrote `manifest.json` beside what Docker of 2014 reads (`v1`); it comes first.

use crate::error::{Cause, Context, Error, OsContext, Result};
use crate::image::archive::{self, Descriptor, Index, Manifest, SavedImage};
use crate::image::compression::{self, BUFFER, Compression};
use crate::image::config::{ImageConfig, host_architecture, runs_here};
use crate::image::scratch::Scratch;
use crate::image::store::{NewImage, NewLayer, Store};
use crate::image::tar::{self, Archive, Data, EndMarker, Kind, Member};
use crate::image::tree;
use crate::image::unpack::{Limits, unpack};
use crate::sys::fs;
use crate::types::{Digest, ImageRef};
use std::collections::{BTreeSet, HashMap};
use std::io::{BufReader, Read};
use std::path::PathBuf;

mod v1;

/// Longest JSON of an archive that is kept.
const JSON_MAX: u64 = 8 << 20;
/// Most members of an archive.
const MEMBERS_MAX: usize = 20_000;
/// How deep indexes may nest.
const DEPTH_MAX: usize = 4;

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
    let mut images: Vec<NewImage> = Vec::new();
    for image in parts.images()? {
        // One image under several names is listed once for each in an OCI layout.
        match images.iter_mut().find(|other| other.config == image.config) {
            Some(other) => other.names.extend(image.names),
            None => images.push(image),
        }
    }
    let names: Vec<_> = images.iter().map(|image| image.names.clone()).collect();
    let ids = store.add(&scratch, images)?;
    Ok(ids.into_iter().zip(names).map(|(id, names)| Loaded { id, names }).collect())
}

/// A member of the archive.
enum Part {
    Layer(NewLayer),
    /// A file in the scratch directory, maybe JSON.
    File(PathBuf),
    /// Another name of a member.
    Link(String),
    /// What is neither a layer nor small, and why.
    Unknown(Error),
}

struct Parts(HashMap<String, Part>);

impl Parts {
    fn read(input: &mut dyn Read, scratch: &Scratch) -> Result<Parts> {
        let mut plain = BufReader::with_capacity(BUFFER, compression::plain(input)?);
        let mut archive = Archive::new(&mut plain, EndMarker::Optional);
        let mut parts = HashMap::new();
        while let Some(member) = archive.next(&mut tar::ignore)? {
            let name = String::from_utf8_lossy(&tree::clean(&member.name)?).into_owned();
            if parts.len() == MEMBERS_MAX {
                return Err(Error::invalid(format!("more than {MEMBERS_MAX} members")));
            }
            let part = Part::read(&member, &mut archive, scratch);
            if let Some(part) = part.doing(|| format!("member {}", member.display_name()))? {
                parts.insert(name, part);
            }
        }
        Ok(Parts(parts))
    }

    /// The names of all members, in order.
    fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The member called `name`, through links.
    fn get(&self, name: &str) -> Option<&Part> {
        let mut part = self.0.get(name);
        for _ in 0..8 {
            let Some(Part::Link(target)) = part else { return part };
            part = self.0.get(target);
        }
        None
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Part::File(path)) => std::fs::read(path).on("read", path).map(Some),
            Some(_) => Err(Error::invalid(format!("{name}: no JSON"))),
        }
    }

    fn needed(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || Error::invalid(format!("the archive lacks its member {name}"));
        self.bytes(name)?.ok_or_else(missing)
    }

    /// A member whose digest its name tells.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.needed(&descriptor.path())?;
        if Digest::of(&bytes) != descriptor.digest {
            let path = descriptor.path();
            return Err(Error::invalid(format!("member {path} has not the digest of its name")));
        }
        Ok(bytes)
    }

    fn layer(&self, name: &str) -> Result<NewLayer> {
        match self.get(name) {
            Some(Part::Layer(layer)) => Ok(layer.clone()),
            Some(Part::Unknown(why)) => Err(Error::invalid(format!("layer {name}: {why}"))),
            Some(_) => Err(Error::invalid(format!("layer {name}: no tar"))),
            None => Err(Error::invalid(format!("the archive lacks its layer {name}"))),
        }
    }

    fn images(&self) -> Result<Vec<NewImage>> {
        if let Some(bytes) = self.bytes("manifest.json")? {
            let saved: Vec<SavedImage> = archive::parse("manifest.json", &bytes)?;
            return saved.iter().map(|image| self.saved_image(image)).collect();
        }
        if let Some(bytes) = self.bytes("index.json")? {
            let index: Index = archive::parse("index.json", &bytes)?;
            let mut images = Vec::new();
            for descriptor in &index.manifests {
                self.described(descriptor, descriptor.name(), 0, &mut images)?;
            }
            return Ok(images);
        }
        if let Some(images) = self.v1_images()? {
            return Ok(images);
        }
        let text = "no image archive: it has neither manifest.json, index.json nor repositories";
        Err(Error::invalid(text).hint("a tar of a root file system becomes an image by `import`"))
    }

    /// An image of `manifest.json`.
    fn saved_image(&self, saved: &SavedImage) -> Result<NewImage> {
        let config = self.needed(&clean(&saved.config)?)?;
        let names = saved.repo_tags.iter().flatten().map(|tag| tag.parse());
        let names = names.collect::<Result<Vec<_>>>().doing(|| "manifest.json".to_string())?;
        let mut layers = Vec::new();
        for path in &saved.layers {
            layers.push(self.layer(&clean(path)?)?);
        }
        checked(NewImage { config, names, layers }, &saved.config)
    }

    /// The images that a descriptor of an OCI layout leads to.
    fn described(
        &self,
        descriptor: &Descriptor,
        name: Option<&str>,
        depth: usize,
        images: &mut Vec<NewImage>,
    ) -> Result<()> {
        let path = descriptor.path();
        if descriptor.is_index() {
            if depth == DEPTH_MAX {
                return Err(Error::invalid(format!("{path}: indexes nest too deep")));
            }
            let index: Index = archive::parse(&path, &self.blob(descriptor)?)?;
            let host = host_architecture();
            let Some(fitting) = index.manifests.iter().find(|d| d.fits(host)) else {
                return Err(Error::invalid(format!("{path}: has no image for linux/{host}")));
            };
            return self.described(fitting, name.or(fitting.name()), depth + 1, images);
        }
        if !descriptor.is_manifest() {
            let media_type = &descriptor.media_type;
            return Err(Error::invalid(format!("{path}: unknown media type {media_type}")));
        }
        let manifest: Manifest = archive::parse(&path, &self.blob(descriptor)?)?;
        let config = self.blob(&manifest.config)?;
        let names = name.map(str::parse).transpose().doing(|| "index.json".to_string())?;
        let mut layers = Vec::new();
        for descriptor in &manifest.layers {
            let layer = self.layer(&descriptor.path())?;
            if layer.unpacked.blob != descriptor.digest {
                let path = descriptor.path();
                return Err(Error::invalid(format!(
                    "member {path} has not the digest of its name"
                )));
            }
            layers.push(layer);
        }
        let names = names.into_iter().collect();
        images.push(checked(NewImage { config, names, layers }, &path)?);
        Ok(())
    }
}

impl Part {
    /// `None` for what has no content, such as a directory.
    fn read(member: &Member, archive: &mut Archive, scratch: &Scratch) -> Result<Option<Part>> {
        match member.kind {
            Kind::Regular => {}
            Kind::Symlink | Kind::HardLink => {
                // A symbolic link is relative to its place, a hard link to the archive.
                let from = match member.kind {
                    Kind::Symlink => tree::split(&member.name).0,
                    _ => b"",
                };
                let target = tree::clean(&tree::join(from, &member.link))?;
                return Ok(Some(Part::Link(String::from_utf8_lossy(&target).into_owned())));
            }
            _ => return Ok(None),
        }
        if member.segments.is_some() {
            return Err(Error::invalid("is sparse"));
        }
        let mut data = Data(archive);
        let mut head = Vec::new();
        let read = (&mut data).take(tar::BLOCK as u64).read_to_end(&mut head);
        read.map_err(|e| tar::unreadable(&e))?;
        // Docker of 2014 wrote an empty file where a layer was empty. JSON never is.
        let is_tar = head.is_empty() || tar::is_header(&head) || head == [0; tar::BLOCK];
        let compression = compression::detect(&head);
        if is_tar || compression != Compression::None {
            let dir = scratch.fresh_directory()?;
            let mut input = head.as_slice().chain(data);
            return match unpack(&mut input, &dir, Limits::default(), EndMarker::Optional) {
                Ok(unpacked) => Ok(Some(Part::Layer(NewLayer { dir, unpacked }))),
                // It matters only where an index asks for it.
                Err(why) if matches!(why.root(), Cause::Invalid(_)) => {
                    fs::remove_tree(&dir).on("remove", &dir)?;
                    Ok(Some(Part::Unknown(why)))
                }
                Err(e) => Err(e),
            };
        }
        if member.size > JSON_MAX {
            return Ok(Some(Part::Unknown(Error::invalid("no tar, compressed or not"))));
        }
        let mut rest = Vec::new();
        data.read_to_end(&mut rest).map_err(|e| tar::unreadable(&e))?;
        head.append(&mut rest);
        let path = scratch.fresh();
        std::fs::write(&path, &head).on("write", &path)?;
        Ok(Some(Part::File(path)))
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
    let wanted = &config.rootfs.diff_ids;
    let (has, needs) = (image.layers.len(), wanted.len());
    if has != needs {
        return Err(Error::invalid(format!("{name}: lists {needs} layers, the archive {has}")));
    }
    for (layer, wanted) in image.layers.iter().zip(wanted) {
        let got = layer.unpacked.diff_id;
        if got != *wanted {
            return Err(Error::invalid(format!("{name}: its layer {wanted} came as {got}")));
        }
    }
    Ok(image)
}

fn clean(path: &str) -> Result<String> {
    let clean = tree::clean(path.as_bytes()).doing(|| format!("manifest.json: \"{path}\""))?;
    Ok(String::from_utf8_lossy(&clean).into_owned())
}
