//! The archives that hold whole images, and the parts of them that are JSON.
//!
//! ```text
//! manifest.json        [{"Config": path, "RepoTags": [...], "Layers": [paths, bottom first]}]
//! index.json           OCI image layout: descriptors of manifests, names in annotations
//! oci-layout           {"imageLayoutVersion": "1.0.0"}
//! blobs/sha256/<hex>   configs, manifests, layers
//! ```
//!
//! An archive with `manifest.json` is read as `docker save` writes it (the paths are whatever it
//! says), one with only `index.json` as an OCI layout (image-spec `image-layout.md`). We write
//! both indexes over the same blobs, as Docker does since version 25.

use crate::error::{Error, Result};
use crate::types::{Digest, ImageRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The layers of OCI's and of Docker's images; those that others are not to hand on too. Each may
/// say how it is compressed.
const LAYERS: [&str; 4] = [
    OCI_LAYER,
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];
const COMPRESSIONS: [&str; 5] = ["", "+gzip", "+zstd", ".gzip", ".zstd"];
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The tag alone (OCI), and the whole name (containerd).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

/// One image of `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedImage {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    pub layers: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    #[serde(default)]
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
}

/// The member `oci-layout`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    pub image_layout_version: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_string(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// The same, called `name`.
    pub fn named(mut self, name: &ImageRef) -> Descriptor {
        self.annotations.insert(REF_NAME.to_string(), name.tag().to_string());
        self.annotations.insert(IMAGE_NAME.to_string(), full_name(name));
        self
    }

    /// What the annotations call it. A tag alone is no name.
    pub fn name(&self) -> Option<&str> {
        let ref_name = self.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
        self.annotations.get(IMAGE_NAME).or(ref_name).map(String::as_str)
    }

    pub fn is_index(&self) -> bool {
        [OCI_INDEX, DOCKER_LIST].contains(&self.media_type.as_str())
    }

    pub fn is_manifest(&self) -> bool {
        ["", OCI_MANIFEST, DOCKER_MANIFEST].contains(&self.media_type.as_str())
    }

    pub fn is_config(&self) -> bool {
        ["", OCI_CONFIG, DOCKER_CONFIG].contains(&self.media_type.as_str())
    }

    pub fn is_layer(&self) -> bool {
        let fits = |kind: &&str| {
            let rest = self.media_type.strip_prefix(*kind);
            rest.is_some_and(|rest| COMPRESSIONS.contains(&rest))
        };
        self.media_type.is_empty() || LAYERS.iter().any(fits)
    }

    /// The error where it is none of what it should be.
    pub fn unknown(&self) -> Error {
        let (path, media_type) = (self.path(), &self.media_type);
        Error::invalid(format!("{path}: unknown media type {media_type}"))
    }

    /// Whether it is for machines of this `architecture`, or does not say.
    pub fn fits(&self, architecture: &str) -> bool {
        let Some(platform) = &self.platform else { return true };
        platform.os == "linux" && platform.architecture == architecture
    }

    /// Where an OCI layout has it.
    pub fn path(&self) -> String {
        blob_path(&self.digest)
    }
}

pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The name with its registry, as containerd and skopeo want it.
fn full_name(name: &ImageRef) -> String {
    if name.registry().is_some() {
        return name.to_string();
    }
    let library = if name.repository().contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{name}")
}

/// Reads the JSON member `name`.
pub fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("{name}: {e}")))
}

/// Reads the index or the manifest `name`, of the one version that there is.
pub fn parse_version_2<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        schema_version: u32,
    }
    match parse::<Versioned>(name, bytes)?.schema_version {
        2 => parse(name, bytes),
        other => Err(Error::invalid(format!("{name}: schema version {other}, not 2"))),
    }
}

/// The bytes of the JSON member `name`.
pub fn to_bytes<T: Serialize>(name: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::invalid(format!("{name}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_into_annotations_and_come_back() {
        for text in ["busybox:1", "team/app:latest", "localhost:5000/a:b"] {
            let name: ImageRef = text.parse().unwrap();
            let named = Descriptor::new(OCI_MANIFEST, Digest::of(b""), 1).named(&name);
            assert_eq!(named.name().unwrap().parse::<ImageRef>().unwrap(), name);
        }
        let mut bare = Descriptor::new(OCI_MANIFEST, Digest::of(b""), 1);
        bare.annotations.insert(REF_NAME.to_string(), "latest".to_string());
        assert_eq!(bare.name(), None);
        bare.annotations.insert(REF_NAME.to_string(), "a:1".to_string());
        assert_eq!(bare.name(), Some("a:1"));
    }
}
