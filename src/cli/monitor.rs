//! `coracle monitor`: not for people. The engine executes it, once for each container.

use crate::engine::{Engine, Mode, rootless};
use crate::error::{Error, Result};
use crate::types::ContainerId;
use std::ffi::OsString;
use std::path::Path;

/// `args` are those after the word `monitor`: ROOT ID MODE PROGRAM.
pub fn run(args: &[OsString]) -> Result<()> {
    let [root, id, mode, program] = args else {
        return Err(Error::invalid("a monitor is started by the engine, not by hand"));
    };
    let text = |word: &OsString| word.to_string_lossy().into_owned();
    let id: ContainerId = text(id).parse()?;
    let mode: Mode = text(mode).parse()?;
    let _member = rootless::enter(Path::new(root))?;
    let engine = Engine::new(Path::new(root))?.sealed(program.into());
    engine.supervise(&id, mode)
}
