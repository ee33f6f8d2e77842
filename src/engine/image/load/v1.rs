//! `load` of an archive as Docker wrote it in 2014 (`image::v1`): `repositories` and ID/json,
//! ID/layer.tar. Every image that has a name or no child becomes an image here; those between are
//! its layers.

use super::parts::Parts;
use super::{Found, few_enough, within};
use crate::error::{Context, Error, Result};
use crate::image::archive;
use crate::image::store::{NewImage, NewLayer};
use crate::image::tree;
use crate::image::v1::{self, V1Id, V1Image};
use crate::types::ImageRef;
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of all `json` together.
const JSON_MAX: usize = 8 << 20;

/// Repository, tag, id.
type Repositories = BTreeMap<String, BTreeMap<String, String>>;

impl Parts {
    /// The images of a 2014 archive, in the order of their ids; whether it is one.
    pub(super) fn v1_images(&self, found: &mut Found) -> Result<bool> {
        let repositories = self.bytes("repositories")?;
        let mut images = BTreeMap::new();
        let mut total = 0;
        for name in self.names() {
            let Some((Ok(id), "json")) =
                name.split_once('/').map(|(dir, rest)| (dir.parse(), rest))
            else {
                continue;
            };
            let bytes = self.needed(name)?;
            total += bytes.len();
            within(total, JSON_MAX, "of json")?;
            images.insert(id, self.v1_image(name, bytes)?);
        }
        let mut wanted = match &repositories {
            None if images.is_empty() => return Ok(false),
            None => BTreeMap::new(),
            Some(bytes) => named(bytes, &images)?,
        };
        let parents: BTreeSet<_> = images.values().flat_map(|i| i.head.parent.clone()).collect();
        for id in images.keys().filter(|id| !parents.contains(id)) {
            wanted.entry(id.clone()).or_default();
        }
        for (id, names) in wanted {
            found.add(id.to_string(), self.v1_chain(&id, names, &images)?)?;
        }
        // A circle has no end that anything would lead to.
        if found.images.is_empty()
            && let Some(id) = images.keys().next()
        {
            chain(id, &images)?;
        }
        Ok(true)
    }

    fn v1_image(&self, member: &str, bytes: Vec<u8>) -> Result<V1Image> {
        let (id, _) = tree::split(member.as_bytes());
        let image = V1Image::parse(bytes).doing(|| format!("member {member}"))?;
        if image.head.id.as_str().as_bytes() != id {
            let other = image.head.id;
            return Err(Error::invalid(format!("member {member}: says that it is image {other}")));
        }
        let version = member.replace("json", "VERSION");
        match self.bytes(&version)? {
            Some(bytes) if bytes.trim_ascii() != v1::VERSION.as_bytes() => {
                let told = bytes.get(..20).unwrap_or(&bytes).escape_ascii();
                Err(Error::invalid(format!(
                    "member {version}: \"{told}\" is no version known here"
                ))
                .hint(format!("images of version {} are read", v1::VERSION)))
            }
            _ => Ok(image),
        }
    }

    fn v1_chain(
        &self,
        id: &V1Id,
        names: Vec<ImageRef>,
        images: &BTreeMap<V1Id, V1Image>,
    ) -> Result<NewImage> {
        let mut layers: Vec<NewLayer> = Vec::new();
        let mut parts = Vec::new();
        let chain = chain(id, images)?;
        few_enough(chain.len(), &format!("{id}/json"))?;
        for image in chain {
            let layer = self.layer(&format!("{}/layer.tar", image.head.id))?;
            parts.push((image, layer.unpacked.diff_id));
            layers.push(layer);
        }
        let config = v1::config(&parts)?.to_bytes()?;
        Ok(NewImage { config, names, layers })
    }
}

/// What `repositories` calls which image.
fn named(bytes: &[u8], images: &BTreeMap<V1Id, V1Image>) -> Result<BTreeMap<V1Id, Vec<ImageRef>>> {
    let repositories: Repositories = archive::parse("repositories", bytes)?;
    let mut named: BTreeMap<V1Id, Vec<ImageRef>> = BTreeMap::new();
    for (repository, tags) in repositories {
        for (tag, id) in tags {
            let text = format!("{repository}:{tag}");
            let bad = |e: Error| e.doing(format!("repositories: {text}"));
            let name: ImageRef = text.parse().map_err(bad)?;
            if name.tag() != tag {
                return Err(bad(Error::invalid(format!("\"{tag}\" is no tag"))));
            }
            let id: V1Id = id.parse().map_err(bad)?;
            if !images.contains_key(&id) {
                let text = format!("the archive lacks the image it stands for, {id}/json");
                return Err(bad(Error::invalid(text)));
            }
            named.entry(id).or_default().push(name);
        }
    }
    Ok(named)
}

/// The image with all its parents, bottom first.
fn chain<'a>(top: &V1Id, images: &'a BTreeMap<V1Id, V1Image>) -> Result<Vec<&'a V1Image>> {
    let mut chain = Vec::new();
    let mut next = images.get(top);
    while let Some(image) = next {
        let member = || format!("member {}/json", image.head.id);
        // No chain is longer than there are images.
        if chain.len() == images.len() {
            return Err(Error::invalid("the image is among its own parents").doing(member()));
        }
        chain.push(image);
        next = match &image.head.parent {
            None => None,
            Some(parent) => Some(images.get(parent).ok_or_else(|| {
                Error::invalid(format!("the archive lacks its parent {parent}")).doing(member())
            })?),
        };
    }
    chain.reverse();
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::corpus::fuzz;

    fn id(n: u8) -> String {
        format!("{n:064x}")
    }

    fn images(parents: &[(u8, u8)]) -> BTreeMap<V1Id, V1Image> {
        let image = |(n, parent): &(u8, u8)| {
            let parent = if *parent == 0 { String::new() } else { id(*parent) };
            let text = format!("{{\"id\":\"{}\",\"parent\":\"{parent}\"}}", id(*n));
            (id(*n).parse().unwrap(), V1Image::parse(text.into_bytes()).unwrap())
        };
        parents.iter().map(image).collect()
    }

    #[test]
    fn a_chain_ends_at_the_bottom_or_is_refused() {
        let of = |n: u8, parents: &[(u8, u8)]| -> std::result::Result<Vec<V1Id>, String> {
            let images = images(parents);
            let chain = chain(&id(n).parse().unwrap(), &images).map_err(|e| e.to_string())?;
            Ok(chain.iter().map(|image| image.head.id.clone()).collect())
        };
        let whole = of(1, &[(1, 3), (3, 2), (2, 0), (9, 9)]).unwrap();
        assert_eq!(whole, [2, 3, 1].map(|n| id(n).parse().unwrap()));
        let told = of(1, &[(1, 2)]).unwrap_err();
        assert_eq!(told, format!("member {}/json: the archive lacks its parent {}", id(1), id(2)));
        for circle in [&[(1, 1)][..], &[(1, 2), (2, 3), (3, 2)]] {
            assert!(of(1, circle).unwrap_err().contains("among its own parents"));
        }
    }

    #[test]
    fn repositories_of_the_corpus_are_read_or_told_apart() {
        let images = images(&[(1, 0), (2, 1)]);
        let (one, two) = (id(1), id(2));
        let words = ["{", "}", "\"", ":", ",", "null", "\\u001b[2J", "../", "x", &one, &two];
        fuzz("repositories", &words, 10_000, |bytes| {
            let named = named(bytes, &images).map_err(|e| e.to_string());
            match &named {
                Ok(named) => assert!(named.keys().all(|id| images.contains_key(id))),
                Err(text) => assert!(text.starts_with("repositories: "), "{text}"),
            }
            named.map(drop)
        });
    }
}
