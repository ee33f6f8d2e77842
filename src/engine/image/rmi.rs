//! `rmi`: names, and images without the last of them, go.
//!
//! The rules are Docker's: by one of its names an image is untagged, and removed with its last
//! name; by its id it is removed with all its names, if they are of one repository or `force` is
//! given. With it go the images without a name that it alone was made from. An image that
//! containers use stays; with `force` its names go, by its id only if the containers are stopped.
//!
//! Layers are only renamed to the trash: it takes as long to remove many files as to make them,
//! and nobody has to wait for that. The next verb that adds to the store, or `gc`, removes them.

use super::lineage;
use crate::error::{Error, Result};
use crate::image::Store;
use crate::sys::lock::Mode;
use crate::types::{Digest, ImageRef};
use std::collections::{BTreeMap, BTreeSet};

/// A container that was made from an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageUser {
    /// What to call it in messages.
    pub container: String,
    pub running: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removed {
    Untagged(ImageRef),
    Image(Digest),
}

#[derive(Clone, Copy, Debug, Default)]
pub struct RmiOptions {
    pub force: bool,
    /// Leave the images that it was made from.
    pub no_prune: bool,
}

/// The containers of each image.
pub type Users = BTreeMap<Digest, Vec<ImageUser>>;

/// Removes what `text` stands for. `users` is called with the images lock held, so that none can
/// come meanwhile.
pub fn rmi(
    store: &Store,
    text: &str,
    options: RmiOptions,
    users: &dyn Fn() -> Result<Users>,
) -> Result<Vec<Removed>> {
    let _lock = store.lock(Mode::Exclusive)?;
    let id = store.resolve(text)?;
    let mut refs = store.refs_to_change()?;
    let names = refs.names_of(&id);
    // By name where the text is one: an id's digits may spell a name too, which then wins.
    let by_name = text.parse::<ImageRef>().ok().filter(|name| refs.get(name) == Some(id));
    let is_name = by_name.is_some();
    let going = match by_name {
        Some(name) => vec![name],
        None => {
            check_repositories(&id, &names, options.force)?;
            names.clone()
        }
    };
    let users = if going.len() < names.len() { None } else { Some(users()?) };
    let stays = match &users {
        None => true,
        Some(users) => !may_go(&id, users.get(&id), options.force, is_name)?,
    };
    let mut removed = Vec::new();
    for name in going {
        refs.unset(&name);
        removed.push(Removed::Untagged(name));
    }
    if let Some(users) = users.filter(|_| !stays) {
        let mut going = vec![id];
        let parents = lineage::parents(store, &refs);
        for ancestor in lineage::ancestors(store, &refs, &id) {
            let is_made_from = |image: &Digest| parents[image].contains(&ancestor);
            let is_needed = options.no_prune
                || !refs.names_of(&ancestor).is_empty()
                || users.contains_key(&ancestor)
                || parents.keys().any(|image| !going.contains(image) && is_made_from(image));
            if is_needed {
                break;
            }
            going.push(ancestor);
        }
        for image in going {
            refs.remove(&image);
            removed.push(Removed::Image(image));
        }
    }
    store.write_refs(&refs)?;
    store.discard_unreferenced()?;
    Ok(removed)
}

fn check_repositories(id: &Digest, names: &[ImageRef], force: bool) -> Result<()> {
    let repositories: BTreeSet<_> = names.iter().map(ImageRef::repository).collect();
    if repositories.len() < 2 || force {
        return Ok(());
    }
    let list: Vec<_> = names.iter().map(ToString::to_string).collect();
    let text =
        format!("image {} has names in several repositories: {}", id.short(), list.join(", "));
    Err(Error::conflict(text).hint("name the one to remove, or use -f for all"))
}

/// Whether nothing keeps the image. The error says who does and cannot be overruled.
fn may_go(id: &Digest, users: Option<&Vec<ImageUser>>, force: bool, by_name: bool) -> Result<bool> {
    let users = users.map(Vec::as_slice).unwrap_or_default();
    let Some(user) = users.iter().find(|user| user.running).or(users.first()) else {
        return Ok(true);
    };
    let (id, name) = (id.short(), &user.container);
    if user.running && !(force && by_name) {
        let text = format!("image {id} is used by the running container {name}");
        return Err(Error::conflict(text).hint("stop and remove the container first"));
    }
    if !force {
        let text = format!("image {id} is used by the stopped container {name}");
        return Err(Error::conflict(text)
            .hint("remove the container first, or use -f to take only the names away"));
    }
    Ok(false)
}
