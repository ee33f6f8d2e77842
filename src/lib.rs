//! coracle: a daemonless container engine.
//!
//! The layers, top to bottom; each imports only what stands below it (`tests/architecture.rs`
//! holds us to it):
//!
//! ```text
//! cli                                  faces: arguments and text; no syscalls, no state files
//! engine                               one file per verb: ordering, locks, rollback; never prints
//! image  container  network  dns  volume    nouns; they do not import each other, the engine joins them
//! oci                                  the OCI runtime spec and its execution
//! sys                                  the kernel: the only `unsafe` and `libc`; no policy
//! toml  types  error                   importable by all
//! ```
//!
//! `docs/design.md` is the house plan, `docs/layout.md` what lies on disk.

pub mod cli;
pub mod container;
pub mod dns;
pub mod engine;
pub mod error;
pub mod http;
pub mod image;
pub mod network;
pub mod oci;
pub mod sys;
pub mod toml;
pub mod types;
pub mod volume;
