//! A layer that is made here, of files on disk, and not read from an archive: it is packed and
//! unpacked again, by two threads with a pipe between them. So it gets its digest, its recipe and
//! its limits in the same way as every other, and never has to lie on disk as a tar.

use super::pack::Packer;
use super::store::NewLayer;
use super::tar::EndMarker;
use super::tree::split;
use super::unpack::{Limits, unpack};
use super::walk::Entry;
use crate::error::{Cause, Error, OsContext, Result};
use std::io::{BufWriter, ErrorKind};
use std::path::PathBuf;
use std::thread;

/// Makes a layer in the empty directory `dir` of what `pack` packs.
pub fn make(dir: PathBuf, pack: impl FnOnce(&mut Packer) -> Result<()> + Send) -> Result<NewLayer> {
    let (mut reader, writer) = std::io::pipe().on("pipe", "")?;
    thread::scope(|scope| {
        let packing = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(64 << 10, writer);
            let mut packer = Packer::new(&mut out);
            pack(&mut packer)?;
            packer.finish()
        });
        let unpacked = unpack(&mut reader, &dir, Limits::default(), EndMarker::Required);
        drop(reader);
        let packed = packing.join();
        match packed.unwrap_or_else(|_| Err(Error::conflict("the layer could not be packed"))) {
            // It was cut off, as the other side had failed.
            Err(error) if !is_cut_off(&error) => return Err(error),
            _ => {}
        }
        Ok(NewLayer { unpacked: unpacked?, dir: dir.clone() })
    })
}

/// Packs what `entry` is.
pub fn pack(packer: &mut Packer, entry: &Entry) -> Result<()> {
    if split(entry.path).1.starts_with(b".wh.") {
        let text = format!("a layer cannot hold /{}", entry.path.escape_ascii());
        return Err(Error::invalid(text)
            .hint("in layers, names that begin with .wh. stand for what was deleted"));
    }
    packer.entry(entry)
}

fn is_cut_off(error: &Error) -> bool {
    matches!(error.root(), Cause::Os { source, .. } if source.kind() == ErrorKind::BrokenPipe)
}
