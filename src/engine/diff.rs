//! `diff`: what a container changed in the files of its image.

use super::Engine;
use crate::error::Result;
use crate::image::changes::{self, For, Kind};

impl Engine {
    /// Tells each change, in the order of the paths, which begin with a slash.
    pub fn diff(&self, name: &str, tell: &mut dyn FnMut(Kind, &[u8]) -> Result<()>) -> Result<()> {
        let compared = self.compared(&self.find(name)?)?;
        changes::changes(compared, For::People, &mut |change| {
            tell(change.kind, &[b"/", change.entry.path].concat())
        })
    }
}
