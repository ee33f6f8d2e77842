//! `save`: images become one archive that Docker of any year, Podman, skopeo and containerd read.
//!
//! ```text
//! oci-layout  index.json  manifest.json    (image::archive)
//! blobs/sha256/<hex>                       configs, manifests, layers
//! repositories                             (image::v1)
//! ID/VERSION  ID/json
//! ID/layer.tar                             a hard link to the layer's blob, which came before
//! ```
//!
//! The same images give the same bytes: there are no times in it, and everything is in a fixed
//! order. Layers are rebuilt bit by bit from their recipes, uncompressed.

use crate::error::{Context, Error, Result};
use crate::image::archive::{
    self, Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, SavedImage,
};
use crate::image::layer::{Layer, LayerInfo};
use crate::image::v1::{self, V1Id, V1Member};
use crate::image::{Store, tar};
use crate::types::{Digest, ImageRef};
use std::collections::BTreeMap;
use std::io::Write;

/// Writes the images that `texts` stand for, each a name, a repository (all its names) or an id.
pub fn save(store: &Store, texts: &[String], out: &mut dyn Write) -> Result<()> {
    let mut plan = Plan::default();
    for (id, names) in wanted(store, texts)? {
        plan.add(store, &id, &names).doing(|| format!("save {}", id.short()))?;
    }
    let index =
        Index { schema_version: 2, media_type: OCI_INDEX.to_string(), manifests: plan.manifests };
    let mut out = Members { out };
    out.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    out.file("index.json", &archive::to_bytes("index.json", &index)?)?;
    out.file("manifest.json", &archive::to_bytes("manifest.json", &plan.saved)?)?;
    out.directory("blobs/")?;
    out.directory("blobs/sha256/")?;
    for (digest, bytes) in &plan.blobs {
        out.file(&archive::blob_path(digest), bytes)?;
    }
    for (layer, size) in plan.layers.values() {
        out.header(&archive::blob_path(&layer.diff_id), b'0', 0o644, *size)?;
        store.emit(layer, out.out)?;
        out.pad(*size)?;
    }
    for (id, image) in &plan.v1_images {
        out.directory(&format!("{id}/"))?;
        out.file(&format!("{id}/VERSION"), v1::VERSION.as_bytes())?;
        out.file(&format!("{id}/json"), &image.json)?;
        let blob = archive::blob_path(&image.diff_id);
        out.write(&tar::hard_link(&format!("{id}/layer.tar"), &blob))?;
    }
    if !plan.repositories.is_empty() {
        let bytes = archive::to_bytes("repositories", &plan.repositories)?;
        out.file("repositories", &bytes)?;
    }
    out.finish()
}

/// Images in the order they are asked for, each with the names it was asked for by.
fn wanted(store: &Store, texts: &[String]) -> Result<Vec<(Digest, Vec<ImageRef>)>> {
    let refs = store.refs()?;
    let mut wanted: Vec<(Digest, Vec<ImageRef>)> = Vec::new();
    for text in texts {
        let mut found: Vec<(Digest, Option<ImageRef>)> = Vec::new();
        if let Ok(name) = text.parse::<ImageRef>() {
            // Without a tag, the repository is meant.
            let bare = !text.ends_with(&format!(":{}", name.tag()));
            let same = |other: &ImageRef| match bare {
                true => other.repository() == name.repository(),
                false => *other == name,
            };
            let named = refs.names().filter(|(other, _)| same(other));
            found.extend(named.map(|(name, id)| (*id, Some(name.clone()))));
        }
        if found.is_empty() {
            found.push((store.resolve(text)?, None));
        }
        for (id, name) in found {
            match wanted.iter_mut().find(|(other, _)| *other == id) {
                Some((_, names)) => names.extend(name.filter(|name| !names.contains(name))),
                None => wanted.push((id, name.into_iter().collect())),
            }
        }
    }
    Ok(wanted)
}

/// All that goes into the archive, known before the first byte is written.
#[derive(Default)]
struct Plan {
    manifests: Vec<Descriptor>,
    saved: Vec<SavedImage>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// By diff-id: the layer and the size of its tar.
    layers: BTreeMap<Digest, (Layer, u64)>,
    v1_images: BTreeMap<V1Id, V1Member>,
    /// Repository, tag, v1 id.
    repositories: BTreeMap<String, BTreeMap<String, V1Id>>,
}

impl Plan {
    fn add(&mut self, store: &Store, id: &Digest, names: &[ImageRef]) -> Result<()> {
        let image = store.image(id)?;
        let config = store.config_bytes(id)?;
        let mut layers = Vec::new();
        for layer in store.layers(&image)? {
            let size = LayerInfo::read(&layer.dir)?.tar_size;
            layers.push(Descriptor::new(OCI_LAYER, layer.diff_id, size));
            self.layers.insert(layer.diff_id, (layer, size));
        }
        // One without layers was nothing in 2014.
        if let Some(top) = v1::add_members(&config, &image.config, &mut self.v1_images)? {
            for name in names {
                let tags = self.repositories.entry(name.repository().to_string()).or_default();
                tags.insert(name.tag().to_string(), top.clone());
            }
        }
        self.saved.push(SavedImage {
            config: archive::blob_path(id),
            repo_tags: Some(names.iter().map(ToString::to_string).collect()),
            layers: layers.iter().map(Descriptor::path).collect(),
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_string(),
            config: Descriptor::new(OCI_CONFIG, *id, config.len() as u64),
            layers,
        };
        let manifest = archive::to_bytes("manifest", &manifest)?;
        let digest = Digest::of(&manifest);
        let plain = Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64);
        if names.is_empty() {
            self.manifests.push(plain);
        } else {
            self.manifests.extend(names.iter().map(|name| plain.clone().named(name)));
        }
        self.blobs.insert(*id, config);
        self.blobs.insert(digest, manifest);
        Ok(())
    }
}

/// The archive being written.
struct Members<'o> {
    out: &'o mut dyn Write,
}

impl Members<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|e| Error::os("write", "the archive", e))
    }

    fn header(&mut self, name: &str, type_flag: u8, mode: u32, size: u64) -> Result<()> {
        self.write(&tar::header(name, type_flag, mode, size))
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        self.header(name, b'5', 0o755, 0)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.header(name, b'0', 0o644, bytes.len() as u64)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = usize::try_from(tar::padding(size)).unwrap_or_default();
        self.write([0; tar::BLOCK].get(..padding).unwrap_or_default())
    }

    fn finish(&mut self) -> Result<()> {
        self.write(&[0; 2 * tar::BLOCK])?;
        self.out.flush().map_err(|e| Error::os("write", "the archive", e))
    }
}
