//! Images: the store, the layers in it, and the archives they come from and go to.
//!
//! ```text
//! store     what lies where under <root>/images; names and ids -> images -> directories
//! refs      refs.json
//! scratch   temporary directories, locked while in use
//! layer     keys and facts of unpacked layers
//! config    the image config;  change: edits of it in a Dockerfile's words
//!           run_json: in those of 2014
//! steps     the history and the layers together;  v1: images as they were in 2014
//! unpack    tar stream -> layer directory   (compression; tar, pax, sparse: reading archives;
//!                                            pipe: between the two threads;
//! recipe    layer directory -> tar stream    tree: the directory being made)
//! compare   two trees, entry by entry
//! walk      files on disk, one after the other;  changes: those of a container
//!           merged: layers as one tree;  copy: a copy of it
//!           place: where a new one goes;  room: what stays free on the disk
//! init_layer  what lies below all images
//! pack      files on disk -> tar stream;  new_layer: a layer of them
//! archive   the archives that hold whole images
//! ```

pub mod archive;
pub mod change;
pub mod changes;
mod compare;
pub mod compression;
pub mod config;
pub mod copy;
pub mod init_layer;
pub mod layer;
pub mod links;
pub mod merged;
pub mod new_layer;
pub mod pack;
pub mod pax;
mod pipe;
pub mod place;
#[cfg(test)]
mod readers_tests;
pub mod recipe;
pub mod refs;
pub mod room;
pub mod run_json;
pub mod scratch;
pub mod sparse;
pub mod steps;
pub mod store;
pub mod tar;
pub mod tree;
pub mod unpack;
pub mod v1;
pub mod walk;
mod zstd;

pub use config::{ImageConfig, RunConfig};
pub use store::{Image, Store};
