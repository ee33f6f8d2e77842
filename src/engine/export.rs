//! `export`: all files of a container as a tar: its image's, with its own changes, without what is
//! mounted on them.
//!
//! Of a container that runs it is the root that its processes see, cloned out of their mount
//! namespace without the mounts below; it is not frozen. Of one that is down, it is what its root
//! was (`storage`).

use super::Engine;
use crate::container::{Dir, Status};
use crate::error::{Context, Error, OsContext, Result};
use crate::image::merged::Merged;
use crate::image::pack::Packer;
use crate::image::walk::{Entry, Event, Walk};
use crate::sys::fs::{self, FileType};
use crate::sys::{mount, process};
use std::io::Write;
use std::os::fd::AsFd;

impl Engine {
    pub fn export(&self, name: &str, out: &mut dyn Write) -> Result<()> {
        let dir = self.find(name)?;
        let exported = match self.process(&dir, name) {
            Ok(container) => {
                self.seal()?;
                // Nobody inside may look into us while we are half in (CVE-2019-5736).
                process::set_undumpable().on("prctl", "")?;
                let tree = mount::clone_root_of(container.fd.as_fd());
                let tree = tree.on("reach", "the container's root");
                tree.and_then(|tree| write(Merged::plain(tree), out))
            }
            Err(_) => {
                self.begin()?;
                self.hold(&dir, "export", true, || write(self.files_of_down(&dir)?, out))
            }
        };
        let warnings = exported.doing(|| format!("export {name}"))?;
        self.troubles.borrow_mut().extend(warnings);
        self.tell_of(&dir, "export", &[]);
        Ok(())
    }

    fn files_of_down(&self, dir: &Dir) -> Result<Merged> {
        if dir.state()?.status == Status::Running {
            return Err(Error::conflict("the container was just started").hint("try again"));
        }
        self.files(dir)
    }
}

fn write(tree: Merged, out: &mut dyn Write) -> Result<Vec<Error>> {
    let mut packer = Packer::new(out);
    if let Some(dir) = tree.root()?.top() {
        let stat = Some(fs::fstat(dir).on("look at", "/")?);
        packer.entry(&Entry { dir, name: b".", path: b"", stat })?;
    }
    let mut walk = Walk::new(tree, None)?;
    while let Some(event) = walk.advance()? {
        let Event::Entry(entry) = event else {
            continue;
        };
        packer.entry(&entry)?;
        if entry.stat.is_some_and(|stat| stat.file_type == FileType::Directory) {
            walk.enter(None)?;
        }
    }
    let warnings = packer.warnings();
    packer.finish().map(|()| warnings)
}
