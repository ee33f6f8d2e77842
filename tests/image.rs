//! Images end to end, at the level of the engine's verbs: archives made by GNU tar, Python and
//! skopeo go in, trees in overlayfs form and the very same archives come out.

#[path = "image/archives.rs"]
mod archives;
#[path = "common/corpus.rs"]
mod corpus;
#[path = "image/crash.rs"]
mod crash;
#[path = "image/hostile.rs"]
mod hostile;
#[path = "image/layers.rs"]
mod layers;
#[path = "image/readers.rs"]
mod readers;
#[path = "image/store.rs"]
mod store;
#[path = "image/support.rs"]
mod support;
