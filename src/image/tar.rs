//! Reading tar archives, member by member, with every raw byte handed on.
//!
//! The reader understands what GNU tar, bsdtar, Go and Python write: v7, ustar, GNU long names
//! (`L`, `K`) and sparse members (`S`), pax extended and global headers (`x`, `g`) with
//! sub-second times, extended attributes (`SCHILY.xattr.*`) and pax sparse maps 0.0, 0.1, 1.0.
//! Whatever it reads that is not the data of a member, and the data too where nobody asks for
//! it, goes to the caller's `Tap`: so a layer can be written down such that its tar is rebuilt
//! bit by bit (`recipe`). That is why this is our own reader: the `tar` crate keeps the raw bytes
//! of neither extension headers nor padding, and splits pax records at newlines, which binary
//! attributes contain.
//!
//! Sources: POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format" and "Sparse Formats". Where
//! they leave room, Go's archive/tar decides, as Docker reads with it: links, devices and
//! directories have no data whatever their size field says.

use super::compression::READABLE;
use super::pax::{self, Records};
use super::sparse::{self, Segment};
use crate::error::{Error, Result, reason};
use crate::sys::fs::Time;
use std::io::{self, BufRead, Read};

pub const BLOCK: usize = 512;
/// The longest extension header (Go's limit). A path has at most 4 KiB, an attribute 64.
const EXTENSION_MAX: u64 = 1 << 20;
/// The most extension headers of one member; there are five kinds.
const EXTENSIONS_MAX: usize = 16;

/// Takes raw bytes of the archive, in order.
pub type Tap<'t> = &'t mut dyn FnMut(&[u8]) -> Result<()>;

/// A tap for callers that want no raw bytes.
pub fn ignore(_: &[u8]) -> Result<()> {
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Regular,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// A GNU volume label: names the archive, is no file.
    Label,
}

/// One member, its extension headers merged in.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Time,
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Size of the file. The archive holds less of a sparse one.
    pub size: u64,
    /// Where the data in the archive belongs, if the file has holes.
    pub segments: Option<Vec<Segment>>,
}

impl Member {
    /// The name for messages.
    pub fn display_name(&self) -> String {
        quote(&self.name)
    }
}

/// `name` in quotes, readable whatever its bytes, and not too long.
pub fn quote(name: &[u8]) -> String {
    let head = name.get(..200).unwrap_or(name);
    let dots = if head.len() < name.len() { "…" } else { "" };
    format!("\"{}{dots}\"", head.escape_ascii())
}

/// Whether an archive must close with its two zero blocks. Without them, one cut off between two
/// members looks whole; where a digest tells, they are not needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndMarker {
    Required,
    Optional,
}

pub struct Archive<'a> {
    input: &'a mut dyn BufRead,
    end_marker: EndMarker,
    /// Data of the current member that has not been read, and the padding after it.
    remaining: u64,
    padding: u64,
    globals: Records,
    current: Vec<u8>,
}

impl<'a> Archive<'a> {
    pub fn new(input: &'a mut dyn BufRead, end_marker: EndMarker) -> Archive<'a> {
        Archive {
            input,
            end_marker,
            remaining: 0,
            padding: 0,
            globals: Records::default(),
            current: Vec::new(),
        }
    }

    /// Moves to the next member, or to the end of the input. What was left of the last one, and
    /// all headers, go to `tap`.
    pub fn next(&mut self, tap: Tap) -> Result<Option<Member>> {
        self.skip(self.remaining, tap)?;
        self.remaining = 0;
        self.skip(self.padding, tap)?;
        self.padding = 0;
        let mut local = Records::default();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..=EXTENSIONS_MAX {
            let Some(header) = self.header(tap)? else {
                return Ok(None);
            };
            match header.type_flag() {
                b'x' | b'X' => local = Records::parse(&self.extension(&header, tap)?)?,
                b'g' => {
                    let records = Records::parse(&self.extension(&header, tap)?)?;
                    self.globals.merge(records)?;
                }
                b'L' => long_name = Some(until_nul(&self.extension(&header, tap)?).to_vec()),
                b'K' => long_link = Some(until_nul(&self.extension(&header, tap)?).to_vec()),
                _ => {
                    let records = self.globals.with(local)?;
                    let member = self.member(&header, &records, long_name, long_link, tap);
                    return member.map(Some).map_err(|e| self.at_member(e));
                }
            }
        }
        let text = format!("more than {EXTENSIONS_MAX} extension headers before one member");
        Err(self.after_member(Error::invalid(text)))
    }

    /// Data of the current member: as much as is at hand, empty at its end.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let bytes = fill(self.input)?;
        if bytes.is_empty() {
            return Err(Error::invalid("the archive ends inside it: it is cut off"));
        }
        Ok(bytes.get(..remaining.min(bytes.len())).unwrap_or_default())
    }

    /// Marks `n` bytes of what `data` gave as read.
    pub fn consume(&mut self, n: usize) {
        self.input.consume(n);
        self.remaining = self.remaining.saturating_sub(n as u64);
    }

    fn truncated(&self) -> Error {
        if self.current.is_empty() {
            return Error::invalid("the archive ends inside a header: it is cut off");
        }
        let name = quote(&self.current);
        Error::invalid(format!("the archive ends inside member {name}: it is cut off"))
    }

    fn at_member(&self, error: Error) -> Error {
        if self.current.is_empty() {
            return error;
        }
        error.doing(format!("member {}", quote(&self.current)))
    }

    /// Hands the next `count` bytes to `tap`.
    fn skip(&mut self, count: u64, tap: Tap) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let bytes = fill(self.input)?;
            if bytes.is_empty() {
                return Err(self.truncated());
            }
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            tap(bytes.get(..n).unwrap_or_default())?;
            self.input.consume(n);
            left -= n as u64;
        }
        Ok(())
    }

    /// The next block, or `None` at the end of the input.
    fn block(&mut self, tap: Tap) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while let Some(rest) = block.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(self.truncated()),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.at_member(unreadable(&e))),
            }
        }
        tap(&block)?;
        Ok(Some(block))
    }

    /// The next header; `None` after the end of the archive, everything behind which was tapped.
    fn header(&mut self, tap: Tap) -> Result<Option<Header>> {
        let Some(block) = self.block(tap)? else {
            if self.end_marker == EndMarker::Optional {
                return Ok(None);
            }
            let text = match self.current.is_empty() {
                true => "the archive is empty".to_string(),
                false => format!(
                    "the archive has no end after member {}: it may be cut off",
                    quote(&self.current)
                ),
            };
            return Err(Error::invalid(text));
        };
        if block != [0; BLOCK] {
            return Header::new(block).map(Some).map_err(|e| self.after_member(e));
        }
        match self.block(tap)? {
            None => return Ok(None),
            Some(second) if second == [0; BLOCK] => {}
            Some(_) => {
                return Err(self.after_member(Error::invalid("a lone zero block")));
            }
        }
        loop {
            let bytes = fill(self.input)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let n = bytes.len();
            tap(bytes)?;
            self.input.consume(n);
        }
    }

    fn after_member(&self, error: Error) -> Error {
        if self.current.is_empty() {
            return error.hint(READABLE);
        }
        error.doing(format!("after member {}", quote(&self.current)))
    }

    /// The data of an extension header.
    fn extension(&mut self, header: &Header, tap: Tap) -> Result<Vec<u8>> {
        let size = header.size()?;
        if size > EXTENSION_MAX {
            return Err(
                self.after_member(Error::invalid(format!("an extension header of {size} bytes")))
            );
        }
        let mut data = Vec::new();
        let mut collect = |bytes: &[u8]| {
            data.extend_from_slice(bytes);
            tap(bytes)
        };
        self.skip(size, &mut collect)?;
        self.skip(padding(size), tap)?;
        Ok(data)
    }

    fn member(
        &mut self,
        header: &Header,
        records: &Records,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        tap: Tap,
    ) -> Result<Member> {
        let pax_name = records.get(b"GNU.sparse.name").or_else(|| records.get(b"path"));
        let name = pax_name.map(<[u8]>::to_vec).or(long_name).unwrap_or_else(|| header.name());
        self.current.clone_from(&name);
        let pax_link = records.get(b"linkpath").map(<[u8]>::to_vec);
        let link = pax_link.or(long_link).unwrap_or_else(|| header.link());
        let flag = header.type_flag();
        let kind = match flag {
            0 | b'0' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'V' => Kind::Label,
            b'M' => return Err(Error::invalid("goes on from another volume")),
            other => {
                let other = other.escape_ascii();
                return Err(Error::invalid(format!("is of unknown type '{other}'")));
            }
        };
        let has_data = matches!(flag, 0 | b'0' | b'7' | b'S' | b'D' | b'V');
        let stored = match records.number(b"size")? {
            Some(size) => size,
            None => header.size()?,
        };
        self.remaining = if has_data { stored } else { 0 };
        self.padding = padding(self.remaining);
        if self.remaining > i64::MAX as u64 {
            return Err(Error::invalid(format!("claims {stored} bytes")));
        }
        let (size, segments) = self.layout(header, records, tap)?;
        let mtime = match records.get(b"mtime") {
            Some(text) => pax::time(text)?,
            None => Time(i128::from(header.signed(136..148, "time")?) * 1_000_000_000),
        };
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => {
                (header.u32(329..337, "device")?, header.u32(337..345, "device")?)
            }
            _ => (0, 0),
        };
        Ok(Member {
            name,
            link,
            kind,
            mode: header.u32(100..108, "mode")? & 0o7777,
            uid: records.number(b"uid")?.map_or_else(|| header.number(108..116, "owner"), Ok)?,
            gid: records.number(b"gid")?.map_or_else(|| header.number(116..124, "group"), Ok)?,
            mtime,
            device,
            xattrs: records.xattrs(),
            size,
            segments,
        })
    }

    /// Size of the file and, where it is sparse, the map of its data. A map at the head of the
    /// data (pax 1.0) is read, and so are the blocks that continue a GNU header.
    fn layout(
        &mut self,
        header: &Header,
        records: &Records,
        tap: Tap,
    ) -> Result<(u64, Option<Vec<Segment>>)> {
        let stored = self.remaining;
        let mut map = sparse::Map::default();
        let real_size = if header.type_flag() == b'S' {
            let real_size = header.number(483..495, "size")?;
            let mut more = map.read_gnu(header.bytes.get(386..483).unwrap_or_default())?;
            while more {
                let block = self.block(tap)?.ok_or_else(|| self.truncated())?;
                more = map.read_gnu(block.get(..505).unwrap_or_default())?;
            }
            real_size
        } else if records.get(b"GNU.sparse.major") == Some(b"1") {
            let text = self.sparse_text(tap)?;
            map.read_lines(&text)?;
            records.number(b"GNU.sparse.realsize")?.unwrap_or(stored)
        } else if records.get(b"GNU.sparse.numblocks").is_some() {
            map.read_records(records)?;
            records.number(b"GNU.sparse.size")?.unwrap_or(stored)
        } else {
            return Ok((stored, None));
        };
        map.finish(real_size, self.remaining).map(|segments| (real_size, Some(segments)))
    }

    /// The map of a pax 1.0 sparse member: decimal lines, the first of which counts the pairs,
    /// padded to whole blocks.
    fn sparse_text(&mut self, tap: Tap) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut lines = 0;
        loop {
            if self.remaining < BLOCK as u64 || text.len() > sparse::TEXT_MAX {
                return Err(Error::invalid("has a damaged sparse map"));
            }
            let block = self.block(tap)?.ok_or_else(|| self.truncated())?;
            self.remaining -= BLOCK as u64;
            text.extend_from_slice(&block);
            lines += block.iter().filter(|b| **b == b'\n').count() as u64;
            if sparse::lines_of_map(&text)?.is_some_and(|wanted| lines >= wanted) {
                return Ok(text);
            }
        }
    }
}

/// The data of the current member as a stream.
pub struct Data<'m, 'a>(pub &'m mut Archive<'a>);

impl Read for Data<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.data().map_err(|e| io::Error::other(e.to_string()))?;
        let n = bytes.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..n), bytes.get(..n)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.0.consume(n);
        Ok(n)
    }
}

/// What is at hand, empty at the end of the input.
fn fill(input: &mut dyn BufRead) -> Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(unreadable(&e)),
            Ok(_) => break,
        }
    }
    // Again, as a borrow that is returned would last for the whole loop. Nothing is read.
    input.fill_buf().map_err(|e| unreadable(&e))
}

/// The stream that an archive is read from failed.
pub fn unreadable(error: &io::Error) -> Error {
    Error::invalid(format!("cannot read the archive: {}", reason(error)))
}

/// How many bytes complete the last block of a member.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// Whether `block` is a tar header: its checksum agrees. For telling tars from other files.
pub fn is_header(block: &[u8]) -> bool {
    block.try_into().is_ok_and(|block| Header::new(block).is_ok())
}

/// A header block whose checksum agreed.
struct Header {
    bytes: [u8; BLOCK],
}

impl Header {
    fn new(bytes: [u8; BLOCK]) -> Result<Header> {
        let header = Header { bytes };
        let sum = |add: fn(u8) -> i64| -> i64 {
            let body = |(i, b): (usize, &u8)| if (148..156).contains(&i) { 32 } else { add(*b) };
            bytes.iter().enumerate().map(body).sum()
        };
        // Some tars of old summed signed bytes.
        let told = header.number(148..156, "checksum").ok().and_then(|n| i64::try_from(n).ok());
        let sums = [sum(i64::from), sum(|b| i64::from(b as i8))];
        match told {
            Some(told) if sums.contains(&told) => Ok(header),
            _ => Err(Error::invalid("no tar header (its checksum is wrong)")),
        }
    }

    fn field(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn type_flag(&self) -> u8 {
        self.bytes[156]
    }

    fn name(&self) -> Vec<u8> {
        let name = until_nul(self.field(0..100));
        // POSIX archives continue the name to the left; in GNU's that place has other fields.
        if self.field(257..263) != b"ustar\0" {
            return name.to_vec();
        }
        let star = self.field(508..512) == b"tar\0";
        let prefix = until_nul(self.field(if star { 345..476 } else { 345..500 }));
        match prefix.is_empty() {
            true => name.to_vec(),
            false => [prefix, b"/", name].concat(),
        }
    }

    fn link(&self) -> Vec<u8> {
        until_nul(self.field(157..257)).to_vec()
    }

    fn size(&self) -> Result<u64> {
        self.number(124..136, "size")
    }

    fn number(&self, range: std::ops::Range<usize>, what: &str) -> Result<u64> {
        let value = self.signed(range, what)?;
        u64::try_from(value).map_err(|_| Error::invalid(format!("has a negative {what}")))
    }

    fn u32(&self, range: std::ops::Range<usize>, what: &str) -> Result<u32> {
        let value = self.number(range, what)?;
        u32::try_from(value).map_err(|_| Error::invalid(format!("has a {what} of {value}")))
    }

    fn signed(&self, range: std::ops::Range<usize>, what: &str) -> Result<i64> {
        number(self.field(range))
            .ok_or_else(|| Error::invalid(format!("has a damaged {what} field")))
    }
}

/// A numeric field: octal text, or, with the top bit set, a big-endian two's complement number
/// (GNU's base-256). An empty field is 0.
pub fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Bit 6 is the sign.
        let mut value = if first & 0x40 != 0 { -1_i64 } else { 0 };
        value = (value << 6) | i64::from(first & 0x3f);
        for byte in field.get(1..)? {
            let shifted = value.checked_mul(256)?;
            value = shifted | i64::from(*byte);
        }
        return Some(value);
    }
    let text = until_nul(field).trim_ascii();
    let mut value = 0_i64;
    for digit in text {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// The header of a plain member written by us, ustar with GNU's large numbers. `name` fits the
/// 100 bytes of its field.
pub fn header(name: &str, type_flag: u8, mode: u32, size: u64) -> [u8; BLOCK] {
    linked_header(name, type_flag, mode, size, "")
}

/// The header of another name for the member `target`, which came before.
pub fn hard_link(name: &str, target: &str) -> [u8; BLOCK] {
    linked_header(name, b'1', 0o644, 0, target)
}

fn linked_header(name: &str, type_flag: u8, mode: u32, size: u64, link: &str) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, name.as_bytes().get(..100).unwrap_or(name.as_bytes()));
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < 1 << 33 {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[type_flag]);
    put(157, link.as_bytes().get(..100).unwrap_or(link.as_bytes()));
    put(257, b"ustar\x0000");
    set_checksum(&mut block);
    block
}

/// Completes a header, in which blanks hold the checksum's place.
pub fn set_checksum(block: &mut [u8; BLOCK]) {
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    let digits = format!("{sum:06o}\0 ");
    for (to, from) in block.iter_mut().skip(148).zip(digits.as_bytes()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\x01\0\0"), Some(65536));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xbf; 12]), None);
        assert_eq!(number(b"12x"), None);
        assert_eq!(number(b"77777777777777777777777"), None);
    }

    #[test]
    fn a_header_of_ours_is_read_back() {
        for size in [0, 5, 1 << 34] {
            let block = header("blobs/sha256/x", b'0', 0o644, size);
            assert!(is_header(&block));
            let mut input = block.as_slice();
            let mut archive = Archive::new(&mut input, EndMarker::Optional);
            let member = archive.next(&mut ignore).unwrap().unwrap();
            assert_eq!((member.name.as_slice(), member.size), (&b"blobs/sha256/x"[..], size));
            assert_eq!((member.kind, member.mode), (Kind::Regular, 0o644));
        }
        assert!(!is_header(&[b'x'; BLOCK]));
    }

    #[test]
    fn an_archive_that_is_cut_off_is_told() {
        let mut tar = header("a", b'0', 0o644, 600).to_vec();
        tar.extend_from_slice(&[b'x'; 600]);
        let outcome = |bytes: &[u8]| {
            let mut input = bytes;
            let mut archive = Archive::new(&mut input, EndMarker::Required);
            let first = archive.next(&mut ignore);
            first.and_then(|_| archive.next(&mut ignore)).map(|m| m.is_none())
        };
        let text = outcome(&tar).unwrap_err().to_string();
        assert_eq!(text, "the archive ends inside member \"a\": it is cut off");
        tar.resize(512 + 1024, 0);
        let text = outcome(&tar).unwrap_err().to_string();
        assert!(text.contains("may be cut off"), "{text}");
        tar.resize(512 + 1024 + 1024, 0);
        assert!(outcome(&tar).unwrap());
        assert_eq!(outcome(b"").unwrap_err().to_string(), "the archive is empty");
    }
}
