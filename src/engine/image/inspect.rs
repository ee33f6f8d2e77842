//! `inspect` of an image, in the JSON that Docker's API gives it (`ImageInspect`).

use crate::error::Result;
use crate::image::layer::Layer;
use crate::image::{RunConfig, Store};
use crate::types::{Digest, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInspect {
    pub id: Digest,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub parent: String,
    pub comment: String,
    pub created: Timestamp,
    pub author: String,
    pub config: RunConfig,
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    pub os: String,
    pub size: u64,
    pub graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
}

/// Where the layers lie.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    pub name: String,
    pub data: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    pub r#type: String,
    pub layers: Vec<Digest>,
}

/// What is known of the image that `text` stands for.
pub fn inspect_image(store: &Store, driver: &'static str, text: &str) -> Result<ImageInspect> {
    let id = store.resolve(text)?;
    let image = store.image(&id)?;
    let layers = store.layers(&image)?;
    let size = store.size(&image)?;
    let names = store.names(&id)?;
    let config = image.config;
    Ok(ImageInspect {
        id,
        repo_tags: names.iter().map(ToString::to_string).collect(),
        repo_digests: Vec::new(),
        parent: String::new(),
        comment: config.history.last().map(|h| h.comment.clone()).unwrap_or_default(),
        created: config.created.unwrap_or_default(),
        author: config.author,
        config: config.config,
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        size,
        graph_driver: graph_driver(driver, &layers),
        root_fs: RootFs { r#type: config.rootfs.kind, layers: config.rootfs.diff_ids },
    })
}

/// As Docker's overlay2 tells it: the top layer is the upper directory, the others are below,
/// the upper ones first.
fn graph_driver(name: &str, layers: &[Layer]) -> GraphDriver {
    let mut paths: Vec<_> = layers.iter().map(|l| l.tree().display().to_string()).collect();
    let mut data = BTreeMap::new();
    if let Some(top) = paths.pop() {
        data.insert("UpperDir".to_string(), top);
    }
    if !paths.is_empty() {
        paths.reverse();
        data.insert("LowerDir".to_string(), paths.join(":"));
    }
    GraphDriver { name: name.to_string(), data }
}
