//! `tag`: another name for an image.

use crate::error::Result;
use crate::image::Store;
use crate::sys::lock::Mode;
use crate::types::{Digest, ImageRef};

/// Calls the image that `image` stands for `name` too. A name that another image had moves over.
pub fn tag(store: &Store, image: &str, name: ImageRef) -> Result<Digest> {
    let _lock = store.lock(Mode::Exclusive)?;
    let id = store.resolve(image)?;
    let mut refs = store.refs_to_change()?;
    refs.set(name, id);
    store.write_refs(&refs)?;
    Ok(id)
}
