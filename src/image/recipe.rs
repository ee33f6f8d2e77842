//! The recipe of a layer: how to rebuild its tar, bit by bit, from the unpacked files.
//!
//! A gzip stream of
//!
//! ```text
//! "coracle recipe 1\n"
//! then operations, each one tag byte and its operands (numbers are LEB128):
//!   1 LITERAL length bytes            bytes that no file holds: headers, padding, maps
//!   2 FILE    length path             the data that follows comes from fs/<path>
//!   3 ASIDE   length path             ... from aside/<path>
//!   4 DATA    offset length           a run of the current file
//!   0 END     length                  the length of the whole tar
//! ```
//!
//! `aside/` holds files that a later member of the same tar replaced. When the recipe is being
//! written it is not known yet which files these will be: `settle` writes it again where there
//! were any.
//!
//! Both directions stream; the memory taken does not depend on the layer. A recipe is written
//! once, into a temporary directory, and never changed after.

use super::room::Room;
use crate::error::{Error, OsContext, Result, reason};
use crate::sys::fs::{self, Open};
use crate::types::Digest;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use sha2::Digest as _;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"coracle recipe 1\n";
const END: u8 = 0;
const LITERAL: u8 = 1;
const FILE: u8 = 2;
const ASIDE: u8 = 3;
const DATA: u8 = 4;
/// Literal bytes are gathered to runs of about this length.
const LITERAL_RUN: usize = 32 << 10;
const PATH_MAX: u64 = 4096;

/// Where the data of an operation lies.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Source {
    File(Vec<u8>),
    Aside(Vec<u8>),
}

pub struct Writer {
    path: PathBuf,
    out: GzEncoder<BufWriter<File>>,
    literal: Vec<u8>,
    total: u64,
    /// What is written may be as long as what the archive says, however little that unpacks to.
    room: Room,
}

impl Writer {
    pub fn create(path: &Path) -> Result<Writer> {
        let file = File::create_new(path).on("create", path)?;
        let mut out = GzEncoder::new(BufWriter::new(file), Compression::fast());
        out.write_all(MAGIC).on("write", path)?;
        let (path, room) = (path.to_path_buf(), Room::at(path)?);
        Ok(Writer { path, out, literal: Vec::new(), total: 0, room })
    }

    pub fn literal(&mut self, bytes: &[u8]) -> Result<()> {
        self.total += bytes.len() as u64;
        self.literal.extend_from_slice(bytes);
        if self.literal.len() < LITERAL_RUN { Ok(()) } else { self.flush() }
    }

    /// Names the file that holds the data of the calls to `data` that follow.
    pub fn file(&mut self, path: &[u8]) -> Result<()> {
        self.source(FILE, path)
    }

    pub fn data(&mut self, offset: u64, length: u64) -> Result<()> {
        self.flush()?;
        self.total += length;
        let mut op = vec![DATA];
        push_number(&mut op, offset);
        push_number(&mut op, length);
        self.write(&op)
    }

    /// Completes the recipe and gives the length of the tar it stands for.
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        let mut op = vec![END];
        push_number(&mut op, self.total);
        self.write(&op)?;
        let finished = self.out.finish().and_then(|mut out| out.flush());
        finished.on("write", &self.path)?;
        Ok(self.total)
    }

    fn source(&mut self, tag: u8, path: &[u8]) -> Result<()> {
        self.flush()?;
        let mut op = vec![tag];
        push_number(&mut op, path.len() as u64);
        op.extend_from_slice(path);
        self.write(&op)
    }

    fn flush(&mut self) -> Result<()> {
        if self.literal.is_empty() {
            return Ok(());
        }
        let mut op = vec![LITERAL];
        push_number(&mut op, self.literal.len() as u64);
        self.write(&op)?;
        let mut literal = std::mem::take(&mut self.literal);
        self.write(&literal)?;
        literal.clear();
        self.literal = literal;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.room.take(bytes.len() as u64)?;
        self.out.write_all(bytes).on("write", &self.path)
    }
}

fn push_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Files (or trees) moved aside while a layer was unpacked.
#[derive(Debug, Default)]
pub struct Displaced {
    /// By the path they had: up to which file of the recipe they were meant, and the name they
    /// have in `aside/`.
    by_path: HashMap<Vec<u8>, Vec<(u64, u64)>>,
    count: u64,
    bytes: usize,
}

impl Displaced {
    /// The most memory the paths may take.
    const BYTES_MAX: usize = 8 << 20;

    /// Notes that what was at `path` moves aside now that `files` files were written; gives its
    /// name there.
    pub fn add(&mut self, path: &[u8], files: u64) -> Result<u64> {
        self.bytes += path.len() + 64;
        if self.bytes > Displaced::BYTES_MAX {
            let count = self.count;
            let text = format!("replaces an earlier member, as {count} did before");
            return Err(Error::invalid(text).hint("unpack the archive, and pack the tree again"));
        }
        let name = self.count;
        self.count += 1;
        self.by_path.entry(path.to_vec()).or_default().push((files, name));
        Ok(name)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where the data of the recipe's file number `index`, written to `path`, lies now: moved
    /// with the first thing that was displaced at or above the path after it was written.
    fn find(&self, path: &[u8], index: u64) -> Option<Vec<u8>> {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
        let (_, name, rest) = ends
            .chain([path.len()])
            .filter_map(|end| {
                let (head, rest) = path.split_at_checked(end)?;
                let moves = self.by_path.get(head)?;
                let (files, name) = moves.iter().find(|(files, _)| *files > index)?;
                Some((*files, *name, rest))
            })
            .min()?;
        Some([name.to_string().as_bytes(), rest].concat())
    }
}

/// Writes the recipe in `dir` again with the files that were moved aside.
pub fn settle(dir: &Path, displaced: &Displaced) -> Result<()> {
    let (path, again) = (dir.join("recipe"), dir.join("recipe.settled"));
    let mut reader = Reader::open(&path)?;
    let mut writer = Writer::create(&again)?;
    let mut index = 0;
    while let Some(operation) = reader.next()? {
        match operation {
            Operation::Literal(length) => {
                reader.literal(length, &mut |bytes| writer.literal(bytes))?;
            }
            Operation::Source(Source::File(path)) => {
                match displaced.find(&path, index) {
                    Some(aside) => writer.source(ASIDE, &aside)?,
                    None => writer.file(&path)?,
                }
                index += 1;
            }
            Operation::Source(Source::Aside(path)) => writer.source(ASIDE, &path)?,
            Operation::Data { offset, length } => writer.data(offset, length)?,
        }
    }
    writer.finish()?;
    std::fs::rename(&again, &path).on("rename", &again)
}

enum Operation {
    /// That many bytes are to be read with `literal` next.
    Literal(u64),
    Source(Source),
    Data {
        offset: u64,
        length: u64,
    },
}

struct Reader {
    path: PathBuf,
    input: BufReader<GzDecoder<BufReader<File>>>,
    total: u64,
}

impl Reader {
    fn open(path: &Path) -> Result<Reader> {
        let file = File::open(path).on("open", path)?;
        let input = BufReader::new(GzDecoder::new(BufReader::new(file)));
        let mut reader = Reader { path: path.to_path_buf(), input, total: 0 };
        let mut magic = [0; MAGIC.len()];
        reader.read(&mut magic)?;
        if magic != MAGIC {
            return Err(reader.damaged("it is none, or one of a later version"));
        }
        Ok(reader)
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!("recipe {}: {what}", self.path.display()))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.input.read_exact(bytes).map_err(|e| self.damaged(&reason(&e)))
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.read(&mut byte)?;
        Ok(byte[0])
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number is too long"))
    }

    fn path(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        if length > PATH_MAX {
            return Err(self.damaged("a path is too long"));
        }
        let mut path = vec![0; length as usize];
        self.read(&mut path)?;
        Ok(path)
    }

    /// The next operation; `None` at the end, once the lengths agree.
    fn next(&mut self) -> Result<Option<Operation>> {
        Ok(Some(match self.byte()? {
            LITERAL => {
                let length = self.number()?;
                self.count(length)?;
                Operation::Literal(length)
            }
            FILE => Operation::Source(Source::File(self.path()?)),
            ASIDE => Operation::Source(Source::Aside(self.path()?)),
            DATA => {
                let (offset, length) = (self.number()?, self.number()?);
                self.count(length)?;
                Operation::Data { offset, length }
            }
            END => {
                if self.number()? != self.total {
                    return Err(self.damaged("its length is wrong"));
                }
                // Reading to the end has gzip's checksum verified.
                let rest = self.input.fill_buf().map(<[u8]>::len);
                return match rest {
                    Ok(0) => Ok(None),
                    Ok(_) => Err(self.damaged("it goes on after its end")),
                    Err(e) => Err(self.damaged(&reason(&e))),
                };
            }
            _ => return Err(self.damaged("an unknown operation")),
        }))
    }

    fn count(&mut self, length: u64) -> Result<()> {
        self.total =
            self.total.checked_add(length).ok_or_else(|| self.damaged("its length is wrong"))?;
        Ok(())
    }

    fn literal(&mut self, length: u64, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = length;
        while left > 0 {
            let bytes = match self.input.fill_buf() {
                Ok([]) => return Err(self.damaged("it is cut off")),
                Ok(bytes) => bytes,
                Err(e) => return Err(self.damaged(&reason(&e))),
            };
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            to(bytes.get(..n).unwrap_or_default())?;
            self.input.consume(n);
            left -= n as u64;
        }
        Ok(())
    }
}

/// Why `emit` stopped.
pub enum Emit {
    /// The layer is not what it was: the error says what is wrong with it.
    Layer(Error),
    /// `out` took no more.
    Out(io::Error),
}

impl From<Error> for Emit {
    fn from(error: Error) -> Emit {
        Emit::Layer(error)
    }
}

/// Writes the tar of the layer in `dir` to `out` and compares its digest with `diff_id`.
pub fn emit(dir: &Path, diff_id: &Digest, out: &mut dyn Write) -> std::result::Result<(), Emit> {
    let mut reader = Reader::open(&dir.join("recipe"))?;
    let mut hash = sha2::Sha256::new();
    let mut files = Files::open(dir)?;
    let mut buffer = vec![0; 256 << 10];
    let mut failed = None;
    let mut write = |bytes: &[u8]| {
        hash.update(bytes);
        out.write_all(bytes).map_err(|e| {
            failed = Some(e);
            Error::invalid("")
        })
    };
    let mut walk = || -> Result<()> {
        while let Some(operation) = reader.next()? {
            match operation {
                Operation::Literal(length) => reader.literal(length, &mut write)?,
                Operation::Source(source) => files.select(source),
                Operation::Data { offset, length } => {
                    copy(files.open_selected()?, offset, length, &mut buffer, &mut write)
                        .map_err(|e| files.blame(e))?;
                }
            }
        }
        Ok(())
    };
    let walked = walk();
    if let Some(error) = failed {
        return Err(Emit::Out(error));
    }
    walked?;
    if Digest::from_bytes(hash.finalize().into()) != *diff_id {
        let text = "its files were changed: the tar they make has another digest";
        return Err(Emit::Layer(Error::damaged(text.to_string())));
    }
    Ok(())
}

/// The files of a layer, by their source.
struct Files {
    dir: PathBuf,
    fs: OwnedFd,
    selected: Source,
    open: Option<File>,
}

impl Files {
    fn open(dir: &Path) -> Result<Files> {
        let path = dir.join("fs");
        let fs = fs::open_directory(&path).on("open", &path)?;
        let selected = Source::File(Vec::new());
        Ok(Files { dir: dir.to_path_buf(), fs, selected, open: None })
    }

    fn select(&mut self, source: Source) {
        self.selected = source;
        self.open = None;
    }

    fn open_selected(&mut self) -> Result<&File> {
        if self.open.is_none() {
            let opened = match &self.selected {
                Source::File(path) => fs::open_beneath(self.fs.as_fd(), path, Open::Read),
                Source::Aside(path) => fs::open_directory(&self.dir.join("aside"))
                    .and_then(|aside| fs::open_beneath(aside.as_fd(), path, Open::Read)),
            };
            let opened = opened.on("open", self.path());
            self.open = Some(fs::file(opened.map_err(|e| Error::damaged(e.to_string()))?));
        }
        self.open.as_ref().ok_or_else(|| Error::damaged("data of no file"))
    }

    fn path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let (sub, path) = match &self.selected {
            Source::File(path) => ("fs", path),
            Source::Aside(path) => ("aside", path),
        };
        self.dir.join(sub).join(std::ffi::OsStr::from_bytes(path))
    }

    fn blame(&self, error: Error) -> Error {
        error.doing(self.path().display().to_string())
    }
}

fn copy(
    file: &File,
    offset: u64,
    length: u64,
    buffer: &mut [u8],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let (mut at, mut left) = (offset, length);
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let window = buffer.get_mut(..wanted).unwrap_or_default();
        let n = match file.read_at(window, at) {
            Ok(0) => return Err(Error::damaged("the file is too short")),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::damaged(reason(&e))),
        };
        write(window.get(..n).unwrap_or_default())?;
        at += n as u64;
        left -= n as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("coracle-recipe-{name}-{}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        std::fs::create_dir_all(dir.join("fs")).unwrap();
        std::fs::create_dir_all(dir.join("aside")).unwrap();
        std::fs::write(dir.join("fs/a"), "hello world").unwrap();
        let mut writer = Writer::create(&dir.join("recipe")).unwrap();
        writer.literal(b"<").unwrap();
        writer.file(b"a").unwrap();
        writer.data(6, 5).unwrap();
        writer.literal(&[b'x'; 100_000]).unwrap();
        writer.data(0, 5).unwrap();
        assert_eq!(writer.finish().unwrap(), 100_011);
        dir
    }

    fn whole() -> Vec<u8> {
        [&b"<world"[..], &[b'x'; 100_000], b"hello"].concat()
    }

    #[test]
    fn what_was_written_down_is_emitted() {
        let dir = layer("emit");
        let mut out = Vec::new();
        assert!(emit(&dir, &Digest::of(&whole()), &mut out).is_ok());
        assert!(out == whole());
        fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn a_changed_file_and_a_changed_recipe_are_found() {
        let dir = layer("damage");
        let id = Digest::of(&whole());
        let why = |result| match result {
            Err(Emit::Layer(e)) => e.to_string(),
            _ => String::new(),
        };
        for (text, wanted) in [("hello World", "another digest"), ("hell", "too short")] {
            std::fs::write(dir.join("fs/a"), text).unwrap();
            let told = why(emit(&dir, &id, &mut Vec::new()));
            assert!(told.contains(wanted), "{told}");
        }
        std::fs::remove_file(dir.join("fs/a")).unwrap();
        assert!(why(emit(&dir, &id, &mut Vec::new())).contains("fs/a"));
        let mut bytes = std::fs::read(dir.join("recipe")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        std::fs::write(dir.join("recipe"), &bytes).unwrap();
        assert!(!why(emit(&dir, &id, &mut Vec::new())).is_empty());
        fs::remove_tree(&dir).unwrap();
    }

    #[test]
    fn data_is_found_where_its_file_was_moved_to() {
        let mut displaced = Displaced::default();
        assert_eq!(displaced.add(b"d/f", 1).unwrap(), 0);
        assert_eq!(displaced.add(b"d", 3).unwrap(), 1);
        assert_eq!(displaced.find(b"d/f", 0).unwrap(), b"0");
        assert_eq!(displaced.find(b"d/f", 2).unwrap(), b"1/f");
        assert_eq!(displaced.find(b"d/g/h", 1).unwrap(), b"1/g/h");
        assert_eq!(displaced.find(b"d/f", 3), None);
        assert_eq!(displaced.find(b"dd", 0), None);
    }

    #[test]
    fn a_settled_recipe_reads_from_aside() {
        let dir = layer("settle");
        let mut displaced = Displaced::default();
        let name = displaced.add(b"a", 1).unwrap();
        std::fs::rename(dir.join("fs/a"), dir.join(format!("aside/{name}"))).unwrap();
        settle(&dir, &displaced).unwrap();
        let mut out = Vec::new();
        assert!(emit(&dir, &Digest::of(&whole()), &mut out).is_ok());
        fs::remove_tree(&dir).unwrap();
    }

    /// What is in the gzip stream, of files and with changes. The digest tells of any that is read.
    #[test]
    fn recipes_of_the_corpus_make_their_tar_or_are_damaged() {
        let dir = layer("corpus");
        crate::types::corpus::fuzz("recipe", &["a", "../", "\u{7f}", "\0"], 3_000, |operations| {
            let file = File::create(dir.join("recipe")).unwrap();
            let mut out = GzEncoder::new(file, Compression::fast());
            out.write_all(operations).unwrap();
            out.finish().unwrap();
            match emit(&dir, &Digest::of(b"<world"), &mut io::sink()) {
                Ok(()) => Ok(()),
                Err(Emit::Layer(e)) => Err(e.to_string()),
                Err(Emit::Out(e)) => panic!("{e}"),
            }
        });
        fs::remove_tree(&dir).unwrap();
    }
}
