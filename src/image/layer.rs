//! Layers in the store: how they are keyed, and what is known of them.
//!
//! ```text
//! layers/<key>/fs/         the tree in overlayfs form
//!              recipe      how to rebuild its tar
//!              aside/      files the recipe needs and the tree has no more, if any
//!              layer.json  the facts below
//! ```
//!
//! The key is the hex digest of the tar (the diff-id) where the tar lists every directory it has
//! members in. Where it only implies some, their owner, mode and times come from the layers
//! below, so that the same tar makes another tree on another base: the key is then
//! `<diff-id>@<chain-id of the layers below>`, or `<diff-id>@` for the lowest layer. The root
//! directory does not count: nearly every tar leaves it out, and it is 0755 root then.

use crate::error::{Error, OsContext, Result};
use crate::types::Digest;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// So many layers of an image the kernel lays over each other: OVL_MAX_STACK of overlayfs, but for
/// the init layer.
pub const MOST: usize = 500 - 1;

/// Refuses images of more.
pub fn few_enough(count: usize) -> Result<()> {
    if count <= MOST {
        return Ok(());
    }
    let text = format!("{count} layers, and this kernel lays {MOST} of an image over each other");
    let cure = "make them fewer: export a container of the image, and import that";
    Err(Error::invalid(text).hint(cure))
}

/// The name of a layer's directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LayerKey(String);

impl LayerKey {
    /// The key of a tar that lists all its directories.
    pub fn alone(diff_id: &Digest) -> LayerKey {
        LayerKey(diff_id.hex())
    }

    /// The key of a tar that implies directories, on the layers that `below` stands for.
    pub fn on(diff_id: &Digest, below: Option<&Digest>) -> LayerKey {
        let below = below.map(Digest::hex).unwrap_or_default();
        LayerKey(format!("{}@{below}", diff_id.hex()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The chain-id of a layer on the layers `below` (image-spec `config.md`, "Layer ChainID").
pub fn chain_id(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    match below {
        None => *diff_id,
        Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
    }
}

/// Each of `diff_ids` with the chain-id of those below it.
pub fn chain(diff_ids: &[Digest]) -> impl Iterator<Item = (&Digest, Option<Digest>)> {
    let mut top: Option<Digest> = None;
    diff_ids.iter().map(move |diff_id| {
        let below = top;
        top = Some(chain_id(below.as_ref(), diff_id));
        (diff_id, below)
    })
}

/// `layer.json`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LayerInfo {
    pub diff_id: Digest,
    /// Bytes of the tar.
    pub tar_size: u64,
    /// Bytes of the files.
    pub size: u64,
}

impl LayerInfo {
    pub fn read(dir: &Path) -> Result<LayerInfo> {
        let path = dir.join("layer.json");
        let bytes = std::fs::read(&path).on("read", &path)?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::damaged(format!("{}: {e}", path.display())))
    }

    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join("layer.json");
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
        std::fs::write(&path, bytes).on("write", &path)
    }
}

/// A layer of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    pub dir: PathBuf,
    pub diff_id: Digest,
}

impl Layer {
    /// The unpacked tree, in overlayfs form.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("fs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_those_of_the_standard() {
        let ids: Vec<Digest> = [&b"a"[..], b"b", b"c"].map(Digest::of).to_vec();
        let below: Vec<_> = chain(&ids).map(|(_, below)| below).collect();
        let ab = Digest::of(format!("{} {}", ids[0], ids[1]).as_bytes());
        assert_eq!(below, [None, Some(ids[0]), Some(ab)]);
        assert_eq!(LayerKey::on(&ids[0], None).as_str(), format!("{}@", ids[0].hex()));
    }
}
