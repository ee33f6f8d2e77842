//! `diff`: what a container changed in the files of its image.

use super::Engine;
use crate::container::{Config, Dir};
use crate::error::{OsContext, Result};
use crate::image::changes::{self, For, Kind};
use crate::sys::fs;
use crate::sys::mount::Overlay;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

impl Engine {
    /// Tells each change, in the order of the paths, which begin with a slash.
    pub fn diff(&self, name: &str, tell: &mut dyn FnMut(Kind, &[u8]) -> Result<()>) -> Result<()> {
        let dir = self.find(name)?;
        let lower = self.tree(&dir, &dir.config()?, None)?;
        let upper = fs::open_directory(&dir.upper()).on("open", dir.upper())?;
        changes::changes(upper, lower, For::People, &mut |change| {
            tell(change.kind, &[b"/", change.entry.path].concat())
        })
    }

    /// The files of the container's image as one tree, and on `top` of them another layer. It is
    /// mounted read-only, and nowhere.
    pub(super) fn tree(&self, dir: &Dir, config: &Config, top: Option<PathBuf>) -> Result<OwnedFd> {
        let store = self.images()?;
        let mut layers = store.layer_dirs(&store.image(&config.image)?)?;
        layers.extend(top);
        let layers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
        match layers[..] {
            // overlayfs wants two.
            [] => fs::open_directory(&dir.mountpoint()).on("open", dir.mountpoint()),
            [only] => fs::open_directory(only).on("open", only),
            _ => {
                let overlay = Overlay { lower: &layers, upper: None, volatile: false };
                overlay.mount().on("mount", "the files of the image")
            }
        }
    }
}
