//! Writing tars of files on disk: owner, mode, times to the nanosecond, extended attributes, hard
//! links, devices and fifos. The same files give the same bytes.
//!
//! ustar headers, with a pax header before each that says what they cannot. Sources: POSIX.1-2017
//! pax; image-spec `layer.md` for whiteouts. Holes are written as the zeros that they read as:
//! Docker and Podman take the sparse forms in, but can never save or push such a layer again; and
//! `unpack` makes holes of zeros. Sockets are left out, as they mean nothing without the process
//! behind them.

use super::links::{self, FirstNames};
use super::tar::{self, BLOCK};
use super::walk::{Entry, display};
use crate::error::{Error, OsContext, Result};
use crate::sys::fs::{self, FileType, Open, Stat, Time};
use crate::sys::xattr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// What is read and written at a time.
const BUFFER: usize = 256 << 10;
/// Most of a file that is told to be empty and is not, as those of /proc.
const UNTOLD: u64 = 64 << 20;
/// The largest number in the field of an owner.
const ID_MAX: u32 = 0o777_7777;
const SIZE_MAX: u64 = 0o777_7777_7777;

pub struct Packer<'o> {
    out: &'o mut dyn Write,
    links: FirstNames,
    /// How many files became shorter while they were read, and the first of them.
    shrunk: Option<(u64, PathBuf)>,
    buffer: Vec<u8>,
}

/// The fields of a header.
struct Head<'h> {
    path: &'h [u8],
    kind: u8,
    link: &'h [u8],
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    device: (u32, u32),
    size: u64,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'o> Packer<'o> {
    pub fn new(out: &'o mut dyn Write) -> Packer<'o> {
        let links = FirstNames::within(links::BOUND);
        Packer { out, links, shrunk: None, buffer: vec![0; BUFFER] }
    }

    /// Writes what `entry` is.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        let Some(stat) = entry.stat.filter(|stat| stat.file_type != FileType::Socket) else {
            return Ok(());
        };
        let mut head = Head::of(entry.path, &stat);
        let first = match stat.file_type {
            FileType::Directory => None,
            _ => self.links.of(entry.path, &stat),
        };
        if let Some(first) = first {
            head.kind = b'1';
            head.link = &first;
            return self.head(&head);
        }
        head.xattrs = xattrs(entry)?;
        match stat.file_type {
            FileType::Regular => self.file(entry, &stat, head),
            FileType::Symlink => {
                let target = fs::read_link_at(entry.dir, entry.name);
                let target = target.on("read", display(entry.path))?;
                head.link = &target;
                self.head(&head)
            }
            FileType::Directory => {
                let path = [entry.path, b"/"].concat();
                self.head(&Head { path: if entry.path.is_empty() { b"./" } else { &path }, ..head })
            }
            _ => self.head(&head),
        }
    }

    /// Writes that lower layers' `path` is hidden.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let (dir, name) = super::tree::split(path);
        let name = [b".wh.", name].concat();
        self.mark(&super::tree::join(dir, &name))
    }

    /// Writes that all is hidden that lower layers have in the directory `path`.
    pub fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.mark(&super::tree::join(path, b".wh..wh..opq"))
    }

    /// Ends the archive.
    pub fn finish(self) -> Result<()> {
        let Packer { out, .. } = self;
        let written = out.write_all(&[0; 2 * BLOCK]).and_then(|()| out.flush());
        written.map_err(unwritable)
    }

    fn mark(&mut self, path: &[u8]) -> Result<()> {
        self.head(&Head::new(path, b'0'))
    }

    /// What is not as it should be in what was written.
    pub fn warnings(&self) -> Vec<Error> {
        let shrunk = self.shrunk.as_ref().map(|(count, first)| {
            let first = first.display();
            format!("{count} files became shorter while they were read, the first {first}: they end in zeros")
        });
        shrunk.into_iter().chain(self.links.parted()).map(Error::conflict).collect()
    }

    /// The header says how long a file is: one that ends within the first block is read before.
    fn file(&mut self, entry: &Entry, stat: &Stat, head: Head) -> Result<()> {
        let file = fs::open_at(entry.dir, entry.name, Open::Read);
        let file = fs::file(file.on("open", display(entry.path))?);
        let read = |e: io::Error| Error::os("read", display(entry.path).display().to_string(), e);
        let mut first = std::mem::take(&mut self.buffer);
        let begun = begin(&file, stat.size, &mut first);
        let written = begun.map_err(read).and_then(|size| {
            self.head(&Head { size, ..head })?;
            let length = usize::try_from(size).unwrap_or(first.len()).min(first.len());
            let known = first.get(..length).unwrap_or_default();
            self.write(known).map(|()| (size, length as u64))
        });
        first.resize(BUFFER, 0);
        self.buffer = first;
        let (size, at) = written?;
        let is_whole = self.rest(&file, at, size).map_err(|e| e.or(read))?;
        if !is_whole {
            self.shrunk.get_or_insert_with(|| (0, display(entry.path))).0 += 1;
        }
        Ok(())
    }

    /// Copies the data from `at`, and completes the last block. A file that has become shorter is
    /// filled up with zeros; `false` then.
    fn rest(&mut self, file: &File, from: u64, size: u64) -> std::result::Result<bool, Copy> {
        let (mut at, mut is_whole) = (from, true);
        while at < size {
            let wanted = usize::try_from(size - at).unwrap_or(BUFFER).min(BUFFER);
            let window = self.buffer.get_mut(..wanted).unwrap_or_default();
            let n = match file.read_at(window, at) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Copy::Read(e)),
                Ok(0) => {
                    is_whole = false;
                    window.fill(0);
                    wanted
                }
                Ok(n) => n,
            };
            let bytes = self.buffer.get(..n).unwrap_or_default();
            self.out.write_all(bytes).map_err(Copy::Write)?;
            at += n as u64;
        }
        let padding = tar::padding(size) as usize;
        let zeros = [0; BLOCK];
        let padded = self.out.write_all(zeros.get(..padding).unwrap_or_default());
        padded.map_err(Copy::Write).map(|()| is_whole)
    }

    fn head(&mut self, head: &Head) -> Result<()> {
        let records = head.records();
        if !records.is_empty() {
            let base = super::tree::split(head.path.strip_suffix(b"/").unwrap_or(head.path)).1;
            let name = [b"PaxHeaders.0/", base.get(..80).unwrap_or(base)].concat();
            let size = records.len() as u64;
            self.write(&Head { size, mode: 0o644, ..Head::new(&name, b'x') }.block())?;
            self.write(&records)?;
            let zeros = [0; BLOCK];
            self.write(zeros.get(..tar::padding(size) as usize).unwrap_or_default())?;
        }
        self.write(&head.block())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(unwritable)
    }
}

/// Reads the beginning of a file that is told to have `size` bytes into `buffer`, which holds a
/// block: all of it where it is told to be empty. Gives the size it has.
fn begin(mut file: &File, size: u64, buffer: &mut Vec<u8>) -> io::Result<u64> {
    if size == 0 {
        buffer.clear();
        let read = file.take(UNTOLD + 1).read_to_end(buffer)? as u64;
        let fits = (read <= UNTOLD).then_some(read);
        return fits.ok_or(io::ErrorKind::FileTooLarge.into());
    }
    let most = usize::try_from(size).unwrap_or(BUFFER).min(BUFFER);
    buffer.resize(BUFFER, 0);
    let mut filled = 0;
    while filled < most {
        match file.read(buffer.get_mut(filled..most).unwrap_or_default()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => match other? {
                0 => return Ok(filled as u64),
                n => filled += n,
            },
        }
    }
    Ok(size)
}

/// What failed while data was copied.
enum Copy {
    Read(io::Error),
    Write(io::Error),
}

impl Copy {
    fn or(self, read: impl FnOnce(io::Error) -> Error) -> Error {
        match self {
            Copy::Read(e) => read(e),
            Copy::Write(e) => unwritable(e),
        }
    }
}

fn unwritable(e: io::Error) -> Error {
    Error::os("write", "the archive", e)
}

/// The attributes of a file that belong to it, and not to overlayfs or to this host.
pub fn xattrs(entry: &Entry) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let what = || display(entry.path);
    let mut all = xattr::all_at(entry.dir, entry.name).on("look at", what())?;
    all.retain(|(key, _)| !xattr::is_reserved(key) && key != b"security.selinux");
    all.sort();
    match all.iter().find(|(key, _)| key.contains(&b'=')) {
        None => Ok(all),
        Some((key, _)) => {
            let text = format!("the attribute {} has a name no tar can hold", key.escape_ascii());
            Err(Error::invalid(text).doing(what().display().to_string()))
        }
    }
}

impl<'h> Head<'h> {
    fn new(path: &'h [u8], kind: u8) -> Head<'h> {
        Head {
            path,
            kind,
            link: b"",
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Time(0),
            device: (0, 0),
            size: 0,
            xattrs: Vec::new(),
        }
    }

    fn of(path: &'h [u8], stat: &Stat) -> Head<'h> {
        let kind = match stat.file_type {
            FileType::Regular | FileType::Socket => b'0',
            FileType::Symlink => b'2',
            FileType::CharDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Directory => b'5',
            FileType::Fifo => b'6',
        };
        let device = if matches!(kind, b'3' | b'4') { stat.device } else { (0, 0) };
        let Stat { mode, uid, gid, mtime, .. } = *stat;
        Head { mode, uid, gid, mtime, device, ..Head::new(path, kind) }
    }

    /// Whole seconds, where the field can hold the time.
    fn seconds(&self) -> Option<u64> {
        let fits = self.mtime.0 % 1_000_000_000 == 0;
        u64::try_from(self.mtime.0 / 1_000_000_000).ok().filter(|s| fits && *s <= SIZE_MAX)
    }

    /// The pax records: what the header cannot say.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| record(&mut records, key, value);
        let number = |n: u64| n.to_string().into_bytes();
        if self.path.len() > 100 {
            add(b"path", self.path);
        }
        if self.link.len() > 100 {
            add(b"linkpath", self.link);
        }
        if self.uid > ID_MAX {
            add(b"uid", &number(self.uid.into()));
        }
        if self.gid > ID_MAX {
            add(b"gid", &number(self.gid.into()));
        }
        if self.size > SIZE_MAX {
            add(b"size", &number(self.size));
        }
        if self.seconds().is_none() {
            add(b"mtime", decimal(self.mtime).as_bytes());
        }
        for (key, value) in &self.xattrs {
            add(&[b"SCHILY.xattr.", &key[..]].concat(), value);
        }
        records
    }

    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| {
            for (to, from) in block.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        let octal = |n: u64, digits: usize| format!("{n:0digits$o}\0").into_bytes();
        let id = |id: u32| octal(if id > ID_MAX { 0 } else { id.into() }, 7);
        put(0, self.path.get(..100).unwrap_or(self.path));
        put(100, &octal(self.mode.into(), 7));
        put(108, &id(self.uid));
        put(116, &id(self.gid));
        put(124, &octal(if self.size > SIZE_MAX { 0 } else { self.size }, 11));
        // A reader that knows no pax gets the nearest there is.
        let seconds = u64::try_from(self.mtime.0 / 1_000_000_000).unwrap_or(0).min(SIZE_MAX);
        put(136, &octal(seconds, 11));
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link.get(..100).unwrap_or(self.link));
        put(257, b"ustar\x0000");
        put(329, &octal(self.device.0.into(), 7));
        put(337, &octal(self.device.1.into(), 7));
        tar::set_checksum(&mut block);
        block
    }
}

/// Adds `<length> <key>=<value>\n`; the length counts its own digits.
fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend_from_slice(format!("{length} ").as_bytes());
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}

/// Seconds with a fraction, the sign for both.
fn decimal(time: Time) -> String {
    let sign = if time.0 < 0 { "-" } else { "" };
    let (seconds, fraction) = (time.0.abs() / 1_000_000_000, time.0.abs() % 1_000_000_000);
    match fraction {
        0 => format!("{sign}{seconds}"),
        _ => format!("{sign}{seconds}.{fraction:09}").trim_end_matches('0').to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pax::{self, Records};
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 88, 89, 90, 91, 92, 993, 9990] {
            let mut bytes = Vec::new();
            record(&mut bytes, b"path", &vec![b'x'; length]);
            let records = Records::parse(&bytes).unwrap();
            assert_eq!(records.get(b"path").unwrap().len(), length);
        }
    }

    #[test]
    fn times_come_back_to_the_nanosecond() {
        for time in [0, 1, -1, 1_500_000_000, -2_000_000_001, 1_700_000_000_123_456_789] {
            assert_eq!(pax::time(decimal(Time(time)).as_bytes()).unwrap(), Time(time));
        }
    }
}
