//! The OCI runtime spec (config.json) and its execution. Knows nothing of images, names or Docker.
//!
//! `spec` is the document; `bind` opens what is to be mounted; `plan` turns it into the
//! steps of a child (pure); `create` makes the cgroup, clones the child and leaves it waiting at a
//! gate, and `Created::start` opens it.

mod bind;
pub mod capabilities;
pub mod cgroup;
pub mod create;
pub mod plan;
pub mod seccomp;
pub mod spec;

pub use capabilities::CapSet;
pub use create::{Create, Created, Stdio};
pub use spec::Spec;
