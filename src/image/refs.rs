//! `refs.json`: which images there are, and what they are called.
//!
//! ```json
//! {"names": {"busybox:latest": "sha256:…"}, "unnamed": ["sha256:…"]}
//! ```
//!
//! An image is in `unnamed` exactly while no name stands for it: after another image took its
//! name over, or when it was loaded without one. The file is replaced whole under the images
//! lock; readers take no lock.
//!
//! What another release took for a name may be none here. Its image can be used by id, and nothing
//! of it is lost: the file is not written again before `fsck --repair` has dropped the name.

use crate::error::{Error, OsContext, Result};
use crate::sys::atomic::{self, Durability};
use crate::types::{Digest, ImageRef};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Refs {
    names: BTreeMap<ImageRef, Digest>,
    unnamed: BTreeSet<Digest>,
    /// What stands in a name's place and is none.
    #[serde(skip)]
    odd: BTreeMap<String, Digest>,
}

/// The file.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    names: BTreeMap<String, Digest>,
    #[serde(default)]
    unnamed: BTreeSet<Digest>,
}

impl From<Stored> for Refs {
    fn from(stored: Stored) -> Refs {
        let mut refs = Refs { unnamed: stored.unnamed, ..Refs::default() };
        for (text, id) in stored.names {
            match text.parse::<ImageRef>() {
                // Another way to write a name would stand for the same one.
                Ok(name) if name.to_string() == text => drop(refs.names.insert(name, id)),
                _ => drop(refs.odd.insert(text, id)),
            }
        }
        refs
    }
}

impl Refs {
    /// A file that is not there is an empty store.
    pub fn read(path: &Path) -> Result<Refs> {
        let bytes = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Refs::default()),
            other => other.on("read", path)?,
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::damaged(format!("{}: {e}", path.display()))
                .hint("restore the file from a copy; the images themselves are untouched")
        })
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
        atomic::replace(path, &bytes, Durability::PowerLoss).on("write", path)
    }

    pub fn get(&self, name: &ImageRef) -> Option<Digest> {
        self.names.get(name).copied()
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = (&ImageRef, &Digest)> {
        self.names.iter()
    }

    pub fn names_of(&self, id: &Digest) -> Vec<ImageRef> {
        self.names.iter().filter(|(_, i)| *i == id).map(|(n, _)| n.clone()).collect()
    }

    /// All images, each once.
    pub fn images(&self) -> BTreeSet<Digest> {
        self.names.values().chain(self.odd.values()).chain(&self.unnamed).copied().collect()
    }

    pub fn contains(&self, id: &Digest) -> bool {
        self.unnamed.contains(id) || self.names.values().chain(self.odd.values()).any(|i| i == id)
    }

    /// The error for each name that is none.
    pub fn odd(&self) -> Vec<Error> {
        let error = |(text, id): (&String, &Digest)| {
            let id = id.short();
            Error::damaged(format!("refs.json: image {id} is called \"{text}\", which is no name"))
                .hint("drop the name with fsck --repair; the image stays, by its id")
        };
        self.odd.iter().map(error).collect()
    }

    /// Takes away the names that are none; their images stay, unnamed if that was their last.
    pub fn drop_odd(&mut self) {
        for id in std::mem::take(&mut self.odd).into_values() {
            self.add(id);
        }
    }

    /// Lists an image that may have no name.
    pub fn add(&mut self, id: Digest) {
        if !self.contains(&id) {
            self.unnamed.insert(id);
        }
    }

    /// Gives `id` the name `name`; an image that loses its last name by it stays, unnamed.
    pub fn set(&mut self, name: ImageRef, id: Digest) {
        self.unnamed.remove(&id);
        if let Some(old) = self.names.insert(name, id) {
            self.add(old);
        }
    }

    /// Takes the name away; the image stays, unnamed if that was its last name.
    pub fn unset(&mut self, name: &ImageRef) {
        if let Some(id) = self.names.remove(name) {
            self.add(id);
        }
    }

    /// Takes the image and all its names off the list.
    pub fn remove(&mut self, id: &Digest) {
        self.names.retain(|_, i| i != id);
        self.unnamed.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;

    #[test]
    fn an_image_is_listed_until_it_is_removed_with_or_without_a_name() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let name: ImageRef = "busybox".parse().unwrap();
        let mut refs = Refs::default();
        refs.add(a);
        refs.set(name.clone(), a);
        assert_eq!(refs.unnamed.len(), 0);
        refs.set(name.clone(), b);
        assert_eq!((refs.get(&name), refs.contains(&a)), (Some(b), true));
        refs.unset(&name);
        assert_eq!(refs.images().len(), 2);
        refs.remove(&a);
        refs.remove(&b);
        assert_eq!(refs, Refs::default());
    }

    #[test]
    fn a_name_that_is_none_costs_its_image_nothing_but_the_name() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let names = |odd: &str| format!(r#"{{"names": {{"x:1": "{a}", "{odd}": "{b}"}}}}"#);
        for odd in ["x..y:1", "", "x", "docker.io/library/x:1"] {
            let mut refs: Refs = serde_json::from_str(&names(odd)).unwrap();
            assert_eq!((refs.images().len(), refs.contains(&b)), (2, true), "{odd}");
            let [told] = refs.odd().try_into().unwrap();
            assert!(told.to_string().ends_with(&format!("\"{odd}\", which is no name")), "{told}");
            refs.drop_odd();
            assert_eq!((refs.odd().len(), refs.unnamed.contains(&b)), (0, true), "{odd}");
            assert_eq!(refs.names().count(), 1, "{odd}");
        }
    }

    #[test]
    fn a_torn_file_is_told_and_left_alone() {
        let path = std::env::temp_dir().join(format!("coracle-refs-{}", std::process::id()));
        std::fs::write(&path, "{\"names\":").unwrap();
        assert!(matches!(Refs::read(&path).unwrap_err().root(), Cause::Damaged(_)));
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"names\":");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Refs::read(&path).unwrap(), Refs::default());
    }
}
