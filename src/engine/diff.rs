//! `diff`: what a container changed in the files of its image.

use super::Engine;
use crate::error::{OsContext, Result};
use crate::image::Image;
use crate::image::changes::{self, For, Kind};
use crate::sys::fs;
use crate::sys::mount::Overlay;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

impl Engine {
    /// Tells each change, in the order of the paths, which begin with a slash.
    pub fn diff(&self, name: &str, tell: &mut dyn FnMut(Kind, &[u8]) -> Result<()>) -> Result<()> {
        let dir = self.find(name)?;
        let lower = self.tree(&self.images()?.image(&dir.config()?.image)?, None)?;
        let upper = fs::open_directory(&dir.upper()).on("open", dir.upper())?;
        changes::changes(upper, lower, For::People, &mut |change| {
            tell(change.kind, &[b"/", change.entry.path].concat())
        })
    }

    /// The files of the image as one tree, and on `top` of them another layer. It is mounted
    /// read-only, and nowhere.
    pub(super) fn tree(&self, image: &Image, top: Option<PathBuf>) -> Result<OwnedFd> {
        let mut layers = self.images()?.layer_dirs(image)?;
        layers.extend(top);
        let layers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
        match layers[..] {
            // overlayfs wants two.
            [] => {
                let empty = self.home.root.join("mountpoint");
                fs::open_directory(&empty).on("open", empty)
            }
            [only] => fs::open_directory(only).on("open", only),
            _ => {
                let overlay = Overlay { lower: &layers, upper: None, volatile: false };
                overlay.mount().on("mount", "the files of the image")
            }
        }
    }
}
