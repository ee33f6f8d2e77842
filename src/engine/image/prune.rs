//! `image prune`: images that nobody needs go.

use super::{Removed, lineage};
use crate::engine::prune::{Filter, Pruned};
use crate::error::Result;
use crate::image::Store;
use crate::sys::lock::Mode;
use crate::types::Digest;
use std::collections::BTreeSet;

/// Removes the images without a name from which none was made, or with `all` any, that no
/// container uses and all `filters` match. `users` tells the images of containers; it is called with the images lock held.
pub fn prune(
    store: &Store,
    all: bool,
    filters: &[Filter],
    users: &dyn Fn() -> Result<BTreeSet<Digest>>,
) -> Result<Pruned<Removed>> {
    let _lock = store.lock(Mode::Exclusive)?;
    let used = users()?;
    let mut refs = store.refs_to_change()?;
    let parents = if all { BTreeSet::new() } else { lineage::all_parents(store, &refs) };
    let mut removed = Vec::new();
    for id in refs.images() {
        let names = refs.names_of(&id);
        let is_dangling = names.is_empty() && !parents.contains(&id);
        if used.contains(&id) || !(all || is_dangling) {
            continue;
        }
        // One that cannot be read is for `fsck`.
        let Ok(image) = store.image(&id) else { continue };
        let created = image.config.created.unwrap_or_default();
        if !Filter::all_match(filters, created, &image.config.config.labels) {
            continue;
        }
        refs.remove(&id);
        removed.extend(names.into_iter().map(Removed::Untagged));
        removed.push(Removed::Image(id));
    }
    let mut bytes = 0;
    if !removed.is_empty() {
        store.write_refs(&refs)?;
        bytes = store.discard_unreferenced()?;
    }
    Ok(Pruned { removed, bytes })
}
