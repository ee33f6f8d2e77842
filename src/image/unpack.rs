//! Unpacking one layer: from a stream of tar, compressed or not, to a directory
//!
//! ```text
//! <dir>/fs/            the tree in overlayfs form (tree)
//!       recipe         how to rebuild the tar (recipe)
//!       aside/         files that later members replaced, if any
//!       directories    notes on implied directories, if any, until `tree::adopt`
//! ```
//!
//! Archives are hostile until shown otherwise: names and links cannot lead out of the tree
//! (tree), and numbers are limited here. On any error the caller removes the directory.

use super::compression::{self, Compression};
use super::pipe;
use super::recipe::{self, Writer};
use super::sparse::Segment;
use super::tar::{Archive, EndMarker, Kind, Member, quote};
use super::tree::{self, Attributes, Tree};
use crate::error::{Context, Error, OsContext, Result};
use crate::sys::fs::FileType;
use crate::sys::xattr;
use crate::types::{Digest, human_size};
use sha2::Digest as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

/// What a layer may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub members: u64,
    /// Device nodes: each pins an inode and is a door; a full static /dev has some 2,000.
    pub devices: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { members: 5_000_000, devices: 10_000, bytes: 16 << 40 }
    }
}

/// A layer as it came out of its archive.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The digest of the stream as it came, compressed or not.
    pub blob: Digest,
    /// Bytes of the tar.
    pub tar_size: u64,
    /// Bytes of all files.
    pub size: u64,
    /// Directories that wait for the layers below (`tree::adopt`).
    pub implied: u64,
}

/// Unpacks the layer that `input` holds, to its end, into the empty directory `dir`.
pub fn unpack(
    input: &mut dyn Read,
    dir: &Path,
    limits: Limits,
    end_marker: EndMarker,
) -> Result<Unpacked> {
    let (compression, mut input) = compression::peek(input)?;
    if compression == Compression::None {
        return unpack_tar(&mut input, dir, limits, end_marker);
    }
    let mut hashed = Hashed::new(input);
    let layer = unpack_tar(&mut compression.plain(&mut hashed), dir, limits, end_marker)?;
    Ok(Unpacked { blob: hashed.digest(), ..layer })
}

/// Reads the tar in this thread and writes the tree in another.
fn unpack_tar(
    input: &mut dyn Read,
    dir: &Path,
    limits: Limits,
    end_marker: EndMarker,
) -> Result<Unpacked> {
    let (sender, mut receiver) = pipe::pipe();
    let mut hash = sha2::Sha256::new();
    thread::scope(|scope| {
        let write = move || write_tree(&mut receiver, dir, limits, end_marker);
        let writer = thread::Builder::new().spawn_scoped(scope, write).on("start", "a thread")?;
        sender.pump(input, |bytes| hash.update(bytes));
        let written = writer.join().map_err(|_| Error::damaged("a thread panicked"))?;
        let diff_id = Digest::from_bytes(hash.finalize().into());
        written.map(|Written { tar_size, size, implied }| Unpacked {
            diff_id,
            blob: diff_id,
            tar_size,
            size,
            implied,
        })
    })
}

/// What the thread that writes knows of a layer.
struct Written {
    tar_size: u64,
    size: u64,
    implied: u64,
}

fn write_tree(
    input: &mut pipe::Receiver,
    dir: &Path,
    limits: Limits,
    end_marker: EndMarker,
) -> Result<Written> {
    let mut unpacker = Unpacker {
        tree: Tree::create(dir)?,
        recipe: Writer::create(&dir.join("recipe"))?,
        limits,
        members: 0,
        devices: 0,
        size: 0,
    };
    unpacker.run(&mut Archive::new(input, end_marker))?;
    let Unpacker { tree, recipe, size, .. } = unpacker;
    let tar_size = recipe.finish()?;
    let (implied, displaced) = tree.finish()?;
    if !displaced.is_empty() {
        recipe::settle(dir, &displaced)?;
    }
    Ok(Written { tar_size, size, implied })
}

struct Unpacker {
    tree: Tree,
    recipe: Writer,
    limits: Limits,
    members: u64,
    devices: u64,
    size: u64,
}

impl Unpacker {
    fn run(&mut self, archive: &mut Archive) -> Result<()> {
        let mut last = Vec::new();
        loop {
            // What lies between two members, or behind the last, may be as long as it likes.
            let recipe = &mut self.recipe;
            let after = || match last.is_empty() {
                true => "before the first member".to_string(),
                false => format!("after member {}", quote(&last)),
            };
            let next = archive.next(&mut |raw| recipe.literal(raw).doing(after))?;
            let Some(member) = next else { return Ok(()) };
            self.members += 1;
            self.place(&member, archive).doing(|| format!("member {}", member.display_name()))?;
            last = member.name;
        }
    }

    fn place(&mut self, member: &Member, archive: &mut Archive) -> Result<()> {
        if self.members > self.limits.members {
            let text = format!("is one too many after {}", self.limits.members);
            return Err(Error::invalid(text).hint("make of it an image of several layers"));
        }
        if member.kind == Kind::Label {
            return Ok(());
        }
        let path = tree::clean(&member.name)?;
        let (parent, name) = tree::split(&path);
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            return self.whiteout(parent, hidden);
        }
        let id = |n: u64, what| match u32::try_from(n) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(Error::invalid(format!("has a {what} of {n}"))),
        };
        for (key, _) in &member.xattrs {
            if xattr::is_reserved(key) {
                let key = key.escape_ascii();
                return Err(Error::invalid(format!("has the attribute {key}, which is reserved")));
            }
        }
        let attributes = Attributes {
            uid: id(member.uid, "user id")?,
            gid: id(member.gid, "group id")?,
            mode: member.mode,
            mtime: member.mtime,
            xattrs: &member.xattrs,
        };
        match member.kind {
            Kind::Regular => self.file(&path, member, &attributes, archive),
            Kind::Directory => self.tree.directory(&path, &attributes),
            Kind::Symlink => self.tree.symlink(&path, &member.link, &attributes),
            Kind::HardLink => {
                let target = tree::clean(&member.link).doing(|| "its target".to_string())?;
                self.tree.hard_link(&path, &target)
            }
            Kind::Fifo => self.tree.node(&path, FileType::Fifo, (0, 0), &attributes),
            Kind::CharDevice => {
                self.device(&path, FileType::CharDevice, member.device, &attributes)
            }
            Kind::BlockDevice => {
                self.device(&path, FileType::BlockDevice, member.device, &attributes)
            }
            Kind::Label => Ok(()),
        }
    }

    fn whiteout(&mut self, parent: &[u8], hidden: &[u8]) -> Result<()> {
        match hidden {
            b".wh..opq" => self.tree.opaque(parent),
            // Other names with two prefixes are aufs's own bookkeeping.
            _ if hidden.starts_with(b".wh.") => Ok(()),
            b"" | b"." | b".." => Err(Error::invalid("is a whiteout of nothing")),
            _ => self.tree.whiteout(&tree::join(parent, hidden)),
        }
    }

    fn device(
        &mut self,
        path: &[u8],
        file_type: FileType,
        device: (u32, u32),
        attributes: &Attributes,
    ) -> Result<()> {
        self.devices += 1;
        if self.devices > self.limits.devices {
            let limit = self.limits.devices;
            return Err(Error::invalid(format!("is one device too many after {limit}")));
        }
        self.tree.node(path, file_type, device, attributes)
    }

    fn file(
        &mut self,
        path: &[u8],
        member: &Member,
        attributes: &Attributes,
        archive: &mut Archive,
    ) -> Result<()> {
        self.size = self.size.saturating_add(member.size);
        if self.size > self.limits.bytes {
            let limit = human_size(self.limits.bytes);
            return Err(Error::invalid(format!("makes the layer larger than {limit}")));
        }
        let (file, path) = self.tree.file(path)?;
        self.recipe.file(&path)?;
        let whole = [Segment { offset: 0, length: member.size }];
        let segments = member.segments.as_deref().unwrap_or(&whole);
        let mut end = 0;
        for Segment { offset, length } in segments.iter().copied() {
            end = self.fill(&file, offset, length, archive)?.max(end);
            if length > 0 || member.segments.is_some() {
                self.recipe.data(offset, length)?;
            }
        }
        if end < member.size {
            file.set_len(member.size).on("set the size of", "it")?;
        }
        self.tree.finish_file(&file, attributes)
    }

    /// Copies the next `length` bytes of the member's data to `offset`; blocks of zeros become
    /// holes. Gives where the last byte that was written ends.
    fn fill(&mut self, to: &File, offset: u64, length: u64, archive: &mut Archive) -> Result<u64> {
        let (mut at, mut end) = (offset, 0);
        while at < offset + length {
            let bytes = archive.data()?;
            let left = usize::try_from(offset + length - at).unwrap_or(usize::MAX);
            let bytes = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            for (from, data) in written(bytes, at) {
                self.tree.take(data.len() as u64)?;
                to.write_all_at(data, from).on("write", "it")?;
                end = from + data.len() as u64;
            }
            let n = bytes.len();
            archive.consume(n);
            at += n as u64;
        }
        Ok(end)
    }
}

/// So long, and so aligned, a run of zeros is not written.
const HOLE: usize = 4096;

/// The parts of `bytes`, which belong at `offset`, that are to be written, each with its place:
/// all but whole blocks of zeros.
pub fn written(bytes: &[u8], offset: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let block = move |at: usize| {
        let into = (offset + at as u64) % HOLE as u64;
        (HOLE - into as usize).min(bytes.len() - at)
    };
    let is_hole = move |at: usize| {
        let block = bytes.get(at..at + block(at)).unwrap_or_default();
        block.len() == HOLE && block.iter().all(|byte| *byte == 0)
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && is_hole(at) {
            at += HOLE;
        }
        let from = at;
        while at < bytes.len() && !is_hole(at) {
            at += block(at);
        }
        let data = bytes.get(from..at).filter(|data| !data.is_empty())?;
        Some((offset + from as u64, data))
    })
}

/// Hashes what is read through it.
struct Hashed<R> {
    input: R,
    hash: sha2::Sha256,
}

impl<R> Hashed<R> {
    fn new(input: R) -> Hashed<R> {
        Hashed { input, hash: sha2::Sha256::new() }
    }

    fn digest(self) -> Digest {
        Digest::from_bytes(self.hash.finalize().into())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.hash.update(buffer.get(..n).unwrap_or_default());
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_of_zeros_are_not_written() {
        let mut bytes = vec![0; 5 * HOLE];
        bytes[2 * HOLE + 7] = 1;
        let parts = |from: usize, to: usize, at: usize| -> Vec<(u64, usize)> {
            written(&bytes[from..to], at as u64).map(|(at, data)| (at, data.len())).collect()
        };
        assert_eq!(parts(0, 5 * HOLE, 0), [(2 * HOLE as u64, HOLE)]);
        assert_eq!(parts(0, 5 * HOLE, HOLE), [(3 * HOLE as u64, HOLE)]);
        // Blocks are those of the file: of one that comes in two parts nobody knows yet.
        assert_eq!(parts(0, HOLE, 100), [(100, HOLE)]);
        assert_eq!(parts(0, 100, 0), [(0, 100)]);
        assert_eq!(parts(0, 0, 0), []);
    }
}
