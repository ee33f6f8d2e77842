//! `export`: all files of a container as a tar: its image's, with its own changes, without what is
//! mounted on them.
//!
//! Of a container that runs it is the root that its processes see, cloned out of their mount
//! namespace without the mounts below; it is not frozen. Of one that is down, its layer is read
//! as the top one of its image's.

use super::Engine;
use crate::container::{Dir, Status};
use crate::error::{Context, Error, OsContext, Result};
use crate::image::pack::Packer;
use crate::image::walk::{Entry, Event, Walk};
use crate::sys::fs::{self, FileType};
use crate::sys::{mount, process};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

impl Engine {
    pub fn export(&self, name: &str, out: &mut dyn Write) -> Result<()> {
        let dir = self.find(name)?;
        let exported = match self.process(&dir, name) {
            Ok(container) => {
                self.seal()?;
                // Nobody inside may look into us while we are half in (CVE-2019-5736).
                process::set_undumpable().on("prctl", "")?;
                let tree = mount::clone_root_of(container.fd.as_fd());
                tree.on("reach", "the container's root").and_then(|tree| write(tree, out))
            }
            Err(_) => {
                self.begin()?;
                self.hold(&dir, true, || write(self.tree_of_down(&dir)?, out))
            }
        };
        exported.doing(|| format!("export {name}"))
    }

    fn tree_of_down(&self, dir: &Dir) -> Result<OwnedFd> {
        if dir.state()?.status == Status::Running {
            return Err(Error::conflict("the container was just started").hint("try again"));
        }
        self.tree(&self.images()?.image(&dir.config()?.image)?, Some(dir.upper()))
    }
}

fn write(tree: OwnedFd, out: &mut dyn Write) -> Result<()> {
    let mut packer = Packer::new(out);
    let mut walk = Walk::new(tree, None)?;
    let root = walk.root();
    let stat = Some(fs::fstat(root).on("look at", "/")?);
    packer.entry(&Entry { dir: root, name: b".", path: b"", stat })?;
    while let Some(event) = walk.advance()? {
        let Event::Entry(entry) = event else {
            continue;
        };
        packer.entry(&entry)?;
        if entry.stat.is_some_and(|stat| stat.file_type == FileType::Directory) {
            walk.enter(None)?;
        }
    }
    packer.finish()
}
