//! Images end to end, at the level of the engine's verbs: archives made by GNU tar, Python and
//! skopeo go in, trees in overlayfs form and the very same archives come out.

#[path = "image/archives.rs"]
mod archives;
#[path = "image/crash.rs"]
mod crash;
#[path = "image/hostile.rs"]
mod hostile;
#[path = "image/layers.rs"]
mod layers;
#[path = "image/store.rs"]
mod store;
#[path = "image/support.rs"]
mod support;
