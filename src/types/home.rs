//! Where an engine keeps its things: a state root and the run directory that belongs to it.

use super::Digest;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// ```text
/// <root>                            survives a reboot   (/var/lib/coracle, or --root)
/// /run/coracle/<16 hex digits>      does not            (the digits: SHA-256 of the root's path)
/// ```
#[derive(Clone, Debug)]
pub struct Home {
    pub root: PathBuf,
    pub run: PathBuf,
}

impl Home {
    pub const DEFAULT_ROOT: &str = "/var/lib/coracle";

    /// `root` is absolute. A colon in it would end a layer's name in an overlay's options.
    pub fn new(root: &Path) -> Result<Home> {
        let Some(text) = root.to_str().filter(|t| t.starts_with('/') && !t.contains([':', ',']))
        else {
            return Err(Error::invalid(format!("--root {}: not a usable path", root.display()))
                .hint("use an absolute path without ':' and ','"));
        };
        let hash = &Digest::of(text.trim_end_matches('/').as_bytes()).hex()[..16];
        Ok(Home { root: root.to_path_buf(), run: Path::new("/run/coracle").join(hash) })
    }
}
