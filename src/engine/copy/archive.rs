//! A tar of what is at a place, and a tar unpacked into a directory that is there.

use super::bounds::Bounds;
use super::job::Job;
use super::place::{Place, Root};
use super::put::Target;
use crate::error::{Context, Error, OsContext, Result};
use crate::image::compression;
use crate::image::merged::Merged;
use crate::image::pack::Packer;
use crate::image::sparse::Segment;
use crate::image::tar::{Archive, EndMarker, Kind, Member};
use crate::image::tree::{Attributes, clean, join, split};
use crate::image::unpack::written;
use crate::image::walk::{self, Entry, Event, Walk};
use crate::sys::fs::{self, FileType, Stat};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

const BUFFER: usize = 256 << 10;

/// Writes what is at `place`, as `base`; without a base, what is in the directory. Gives what is to
/// be told beside.
pub fn write(
    place: &Place,
    stat: Stat,
    base: &[u8],
    bounds: &Bounds,
    out: &mut dyn Write,
) -> Result<Vec<Error>> {
    let mut packer = Packer::new(out);
    let (dir, name) = (place.dir.as_fd(), &place.name[..]);
    packer.entry(&Entry { dir, name, path: base, stat: Some(stat) })?;
    if stat.file_type == FileType::Directory {
        let opened = walk::open(dir, name).unwrap_or_else(|| Err(ErrorKind::NotFound.into()));
        let opened = opened.on("open", String::from_utf8_lossy(base).as_ref())?;
        let mut walk = Walk::new(Merged::plain(opened), None)?;
        while let Some(event) = walk.advance()? {
            let Event::Entry(entry) = event else { continue };
            let Some(stat) = entry.stat else { continue };
            packer.entry(&Entry { path: &join(base, entry.path), ..entry })?;
            if stat.file_type == FileType::Directory
                && !bounds.leave_out(&entry, &stat).on("look at", walk::display(entry.path))?
            {
                walk.enter(None)?;
            }
        }
    }
    let warnings = packer.warnings();
    packer.finish().map(|()| warnings)
}

/// Unpacks a tar, compressed or not, into the directory `path` of a tree. Names and links of it
/// lead nowhere but inside of the tree. Gives the bytes of its files.
pub fn read(root: &Root, path: &[u8], input: &mut dyn Read, job: &Job) -> Result<u64> {
    let plain = compression::plain(input)?;
    let mut plain = BufReader::with_capacity(BUFFER, plain);
    let mut archive = Archive::new(&mut plain, EndMarker::Optional);
    let mut unpacking = Unpacking { root, path, job, bytes: 0, times: Vec::new() };
    while let Some(member) = archive.next(&mut |_| Ok(()))? {
        unpacking
            .place(&member, &mut archive)
            .doing(|| format!("member {}", member.display_name()))?;
    }
    unpacking.finish()
}

struct Unpacking<'r> {
    root: &'r Root,
    path: &'r [u8],
    job: &'r Job,
    bytes: u64,
    /// Directories that were made: each file in them changes their times.
    times: Vec<(Vec<u8>, fs::Time)>,
}

impl Unpacking<'_> {
    fn whole(&self, path: &[u8]) -> Vec<u8> {
        [self.path, b"/", path].concat()
    }

    /// The directory `path` below ours, made where it is missing.
    fn directory(&self, path: &[u8]) -> Result<OwnedFd> {
        let shown = || self.root.shown(&self.whole(path));
        match self.root.directory(&self.whole(path)) {
            Err(e) if e.kind() == ErrorKind::NotFound && !path.is_empty() => {
                let (parent, name) = split(path);
                let parent = self.directory(parent)?;
                match fs::mkdir_at(parent.as_fd(), name, 0o755) {
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                    made => made.on("create", shown())?,
                }
                self.root.directory(&self.whole(path)).on("open", shown())
            }
            found => found.on("open", shown()),
        }
    }

    fn place(&mut self, member: &Member, archive: &mut Archive) -> Result<()> {
        let path = clean(&member.name)?;
        let (parent, name) = split(&path);
        if member.kind == Kind::Label || name.is_empty() {
            return Ok(());
        }
        let id = |n: u64| u32::try_from(n).ok().filter(|id| *id != u32::MAX);
        let no_id = || Error::invalid("has an owner that no file can have");
        let mut xattrs = member.xattrs.clone();
        let original = Attributes {
            uid: id(member.uid).ok_or_else(no_id)?,
            gid: id(member.gid).ok_or_else(no_id)?,
            mode: member.mode,
            mtime: member.mtime,
            xattrs: &[],
        };
        let attributes = self.job.of(member.kind == Kind::Directory, original, &mut xattrs);
        let dir = self.directory(parent)?;
        let shown = self.root.shown(&self.whole(&path));
        let target = Target { dir: dir.as_fd(), name, shown, job: self.job };
        match member.kind {
            Kind::Directory => {
                if fs::stat_at(dir.as_fd(), name).on("look at", &target.shown)?.is_none() {
                    self.times.push((path.clone(), member.mtime));
                    return target.directory(&attributes).map(drop);
                }
                // Links in the container may lead to the directory.
                self.directory(&path).map(drop)
            }
            Kind::Regular => {
                self.bytes += member.size;
                target.file(&attributes, |file| fill(file, member, archive))
            }
            Kind::Symlink => target.symlink(&member.link, &attributes),
            Kind::HardLink => {
                let first = clean(&member.link).doing(|| "its target".into())?;
                let (parent, first) = split(&first);
                target.link(self.directory(parent)?.as_fd(), first)
            }
            Kind::CharDevice => target.node(FileType::CharDevice, member.device, &attributes),
            Kind::BlockDevice => target.node(FileType::BlockDevice, member.device, &attributes),
            Kind::Fifo => target.node(FileType::Fifo, member.device, &attributes),
            Kind::Label => Ok(()),
        }
    }

    fn finish(self) -> Result<u64> {
        for (path, time) in self.times.iter().rev() {
            // What was replaced meanwhile has a time of its own.
            if let Ok(dir) = self.root.directory(&self.whole(path)) {
                let shown = || self.root.shown(&self.whole(path));
                fs::futimens(dir.as_fd(), *time).on("set the time of", shown())?;
            }
        }
        Ok(self.bytes)
    }
}

/// Writes the data of a member; blocks of zeros become holes.
fn fill(file: &File, member: &Member, archive: &mut Archive) -> Result<()> {
    let whole = [Segment { offset: 0, length: member.size }];
    for Segment { offset, length } in member.segments.as_deref().unwrap_or(&whole).iter().copied() {
        let mut at = offset;
        while at < offset + length {
            let bytes = archive.data()?;
            let left = usize::try_from(offset + length - at).unwrap_or(usize::MAX);
            let bytes = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            for (from, data) in written(bytes, at) {
                file.write_all_at(data, from).on("write", "it")?;
            }
            let n = bytes.len();
            archive.consume(n);
            at += n as u64;
        }
    }
    file.set_len(member.size).on("set the size of", "it")
}
