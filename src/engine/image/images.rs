//! `images`: what is in the store.

use crate::error::Result;
use crate::image::Store;
use crate::types::{Digest, ImageRef, Timestamp};

/// One name of one image; an image without a name has one row too.
#[derive(Clone, PartialEq, Debug)]
pub struct ImageRow {
    pub id: Digest,
    pub name: Option<ImageRef>,
    pub created: Option<Timestamp>,
    /// Bytes of all its files; `None` where the image is damaged (`inspect` tells why).
    pub size: Option<u64>,
}

/// All images, the newest first.
pub fn images(store: &Store) -> Result<Vec<ImageRow>> {
    let refs = store.refs()?;
    let mut rows = Vec::new();
    for id in refs.images() {
        let image = store.image(&id).ok();
        let row = ImageRow {
            id,
            name: None,
            created: image.as_ref().and_then(|image| image.config.created),
            size: image.as_ref().and_then(|image| store.size(image).ok()),
        };
        let names = refs.names_of(&id);
        if names.is_empty() {
            rows.push(row);
        } else {
            rows.extend(names.into_iter().map(|n| ImageRow { name: Some(n), ..row.clone() }));
        }
    }
    rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
    Ok(rows)
}
