//! `import`: one tar becomes an image of one layer.

use crate::error::{Context, Result};
use crate::http::{self, Timeouts, Url};
use crate::image::config::{History, ImageConfig, RootFs, RunConfig, host_architecture};
use crate::image::store::{NewImage, NewLayer, Store};
use crate::image::tar::EndMarker;
use crate::image::unpack::{Limits, unpack};
use crate::types::{Digest, ImageRef, Timestamp};
use std::io::Read;

#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    pub name: Option<ImageRef>,
    pub config: RunConfig,
    pub message: Option<String>,
    /// When the image was made; else now.
    pub created: Option<Timestamp>,
    /// What the archive is called in the history: a file's name, or `-`.
    pub source: String,
}

/// The URL, where the source of an archive is one and no file.
pub fn url(source: &str) -> Result<Option<Url>> {
    let scheme = source.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http") => source.parse().map(Some),
        Some("https") => {
            let url = source.parse::<Url>().map(Some);
            url.map_err(|e| e.hint("curl -L URL | coracle import - NAME"))
        }
        _ => Ok(None),
    }
}

/// What a URL names.
pub fn fetch(url: &Url) -> Result<Box<dyn Read>> {
    Ok(Box::new(http::get(url, Timeouts::default())?))
}

/// Reads the tar, compressed or not, to its end, and gives the new image's id.
pub fn import(store: &Store, archive: &mut dyn Read, options: &ImportOptions) -> Result<Digest> {
    store.sweep()?;
    let scratch = store.scratch()?;
    let dir = scratch.fresh_directory()?;
    let unpacked = unpack(archive, &dir, Limits::default(), EndMarker::Required)
        .doing(|| format!("import {}", options.source))?;

    let created = Some(options.created.unwrap_or_else(Timestamp::now));
    let imported = || format!("Imported from {}", options.source);
    let comment = options.message.clone().unwrap_or_else(imported);
    let image = ImageConfig {
        created,
        architecture: host_architecture().to_string(),
        os: "linux".to_string(),
        config: options.config.clone(),
        rootfs: RootFs { kind: "layers".to_string(), diff_ids: vec![unpacked.diff_id] },
        history: vec![History { created, comment, ..History::default() }],
        ..ImageConfig::default()
    };
    let config = image.to_bytes()?;
    let id = Digest::of(&config);
    let names = options.name.iter().cloned().collect();
    let layers = vec![NewLayer { dir, unpacked }];
    store.add(&scratch, vec![NewImage { config, names, layers }])?;
    Ok(id)
}
