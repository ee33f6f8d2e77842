//! The verbs on images. Each takes a `Store` and plain data and returns data.

mod import;

pub use import::{ImportOptions, import};
