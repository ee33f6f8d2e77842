//! Which image was made from which. No config names its parent; an image that another one begins
//! with, step by step, is one (`image::steps`).

use crate::error::Result;
use crate::image::Store;
use crate::image::refs::Refs;
use crate::image::steps::{Step, steps};
use crate::image::v1::V1Id;
use crate::types::{Digest, ImageRef, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What the result of a step is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepId {
    Image(Digest),
    /// An image of 2014 that is only a layer here.
    V1(V1Id),
    Missing,
}

impl StepId {
    pub fn short(&self) -> String {
        match self {
            StepId::Image(id) => id.short(),
            StepId::V1(id) => id.short().to_string(),
            StepId::Missing => self.whole(),
        }
    }

    pub fn whole(&self) -> String {
        match self {
            StepId::Image(id) => id.to_string(),
            StepId::V1(id) => id.to_string(),
            StepId::Missing => "<missing>".to_string(),
        }
    }
}

/// The images of `refs` by the step each ends with. What cannot be read is for `fsck`.
pub fn tops(store: &Store, refs: &Refs) -> BTreeMap<Digest, Digest> {
    let mut tops = BTreeMap::new();
    for id in refs.images() {
        if let Some(top) = steps_of(store, &id).last() {
            tops.entry(top.key).or_insert(id);
        }
    }
    tops
}

/// All images, and what each was made from.
pub fn parents(store: &Store, refs: &Refs) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let tops = tops(store, refs);
    let of = |id: &Digest| {
        below(&steps_of(store, id)).filter_map(|step| tops.get(&step.key)).copied().collect()
    };
    refs.images().into_iter().map(|id| (id, of(&id))).collect()
}

/// The images that others were made from.
pub fn all_parents(store: &Store, refs: &Refs) -> BTreeSet<Digest> {
    parents(store, refs).into_values().flatten().collect()
}

/// `image`, and the images that were made from it.
pub fn descendants(store: &Store, image: &Digest) -> Result<Vec<Digest>> {
    let mut all = vec![*image];
    let Some(top) = steps_of(store, image).last().map(|step| step.key) else { return Ok(all) };
    for id in store.refs()?.images() {
        if id != *image && below(&steps_of(store, &id)).any(|step| step.key == top) {
            all.push(id);
        }
    }
    Ok(all)
}

/// The images that `image` was made from, the nearest first.
pub fn ancestors(store: &Store, refs: &Refs, image: &Digest) -> Vec<Digest> {
    let tops = tops(store, refs);
    let steps = steps_of(store, image);
    below(&steps).filter_map(|step| tops.get(&step.key)).copied().collect()
}

fn steps_of(store: &Store, image: &Digest) -> Vec<Step> {
    store.image(image).and_then(|image| steps(&image.config)).unwrap_or_default()
}

/// All but the last step, backwards.
fn below(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.split_last().map(|(_, below)| below).unwrap_or_default().iter().rev()
}

/// All steps of all images, each but once, those made from it below it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageTree {
    pub nodes: Vec<Node>,
    /// Places in `nodes`; the newest first, as everywhere here.
    pub roots: Vec<usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub id: StepId,
    pub names: Vec<ImageRef>,
    pub created: Option<Timestamp>,
    /// Bytes of all files, with those of the steps before; `None` where the image is damaged.
    pub size: Option<u64>,
    pub children: Vec<usize>,
}

pub fn image_tree(store: &Store) -> Result<ImageTree> {
    let refs = store.refs()?;
    let mut tree = ImageTree::default();
    let mut by_key: BTreeMap<Digest, usize> = BTreeMap::new();
    for id in refs.images() {
        let image = store.image(&id).ok();
        let steps = image.as_ref().and_then(|image| steps(&image.config).ok()).unwrap_or_default();
        let sizes = image.as_ref().and_then(|image| store.layer_sizes(image).ok());
        let (mut parent, mut size) = (None, sizes.as_ref().map(|_| 0));
        let top = steps.len().saturating_sub(1);
        for (at, step) in steps.into_iter().enumerate() {
            let layer = step.layer.and_then(|layer| sizes.as_ref()?.get(layer));
            size = size.map(|size: u64| size.saturating_add(layer.map_or(0, |(_, size)| *size)));
            let same = by_key.get(&step.key).copied();
            // Of two images that differ in their config alone, the second stands beside the first.
            let taken = |at: &usize| matches!(tree.nodes[*at].id, StepId::Image(_));
            let node = match same.filter(|node| at < top || !taken(node)) {
                Some(node) => node,
                None => {
                    let node = tree.add(parent, step.v1.map_or(StepId::Missing, StepId::V1));
                    by_key.entry(step.key).or_insert(node);
                    tree.nodes[node].created = step.history.created;
                    tree.nodes[node].size = size;
                    node
                }
            };
            parent = Some(node);
        }
        let node = parent.unwrap_or_else(|| tree.add(None, StepId::Missing));
        tree.nodes[node].id = StepId::Image(id);
        tree.nodes[node].names = refs.names_of(&id);
    }
    tree.sort();
    Ok(tree)
}

impl ImageTree {
    fn add(&mut self, parent: Option<usize>, id: StepId) -> usize {
        let at = self.nodes.len();
        let (names, children) = (Vec::new(), Vec::new());
        self.nodes.push(Node { id, names, created: None, size: None, children });
        match parent.and_then(|parent| self.nodes.get_mut(parent)) {
            Some(parent) => parent.children.push(at),
            None => self.roots.push(at),
        }
        at
    }

    fn sort(&mut self) {
        let created: Vec<_> = self.nodes.iter().map(|node| node.created).collect();
        let newest_first =
            |list: &mut Vec<usize>| list.sort_by(|a, b| created[*b].cmp(&created[*a]));
        newest_first(&mut self.roots);
        for node in &mut self.nodes {
            newest_first(&mut node.children);
        }
    }

    /// Only the image and what was made from it.
    pub fn from(mut self, id: &Digest) -> ImageTree {
        let is_it = |node: &Node| node.id == StepId::Image(*id);
        self.roots = self.nodes.iter().position(is_it).into_iter().collect();
        self
    }
}
