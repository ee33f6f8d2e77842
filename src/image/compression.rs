//! Compressed streams: which compression one has, told by its first bytes, never by its name, and
//! the reader that takes it off.
//!
//! ```text
//! gzip   1f 8b 08                        RFC 1952          flate2 on zlib-rs
//! bzip2  "BZh" '1'-'9', a block's magic  no standard       libbz2-rs-sys
//! xz     fd "7zXZ" 00                    xz-file-format    lzma-rust2
//! zstd   28 b5 2f fd, 5? 2a 4d 18        RFC 8878          ruzstd (zstd)
//! ```
//!
//! A stream may go on with further members, streams or frames. What is damaged, cut off or grows
//! out of all proportion is an error that names the compression and the byte. Zeros behind the last
//! gzip member are passed over, as by gzip(1): tapes and disks pad with them.

use super::tar::unreadable;
use super::zstd;
use crate::error::{Error, Result};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};
use std::rc::Rc;

pub const BUFFER: usize = 256 << 10;
/// How far back a stream may refer: what has to be kept in memory. `xz -9` needs as much.
pub const WINDOW_MAX: u32 = 64 << 20;
/// A stream may grow by this factor, which gzip cannot exceed ...
const RATIO_MAX: u64 = 1100;
/// ... once it is as long as this.
const RATIO_FROM: u64 = 1 << 30;
/// As many bytes as are needed to tell.
const HEAD: u64 = 10;

/// What else people pack files with.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"LZIP", "lzip"),
    (b"PK\x03\x04", "zip"),
    (b"]\0\0", "lzma"),
    (b"\x89LZO\0", "lzop"),
];
pub const READABLE: &str = "an archive is a tar, plain or compressed by gzip, bzip2, xz or zstd";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// What was looked at, and the stream with it put back.
pub type Peeked<'a> = Chain<Cursor<Vec<u8>>, &'a mut dyn Read>;

/// Looks at the head of `input`.
pub fn peek(input: &mut dyn Read) -> Result<(Compression, Peeked<'_>)> {
    let mut head = Vec::new();
    input.take(HEAD).read_to_end(&mut head).map_err(|e| unreadable(&e))?;
    check(&head)?;
    Ok((detect(&head), Cursor::new(head).chain(input)))
}

/// Refuses a stream that begins with `head` by the name of what it is, if it is none of ours.
pub fn check(head: &[u8]) -> Result<()> {
    let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) else {
        return Ok(());
    };
    Err(Error::invalid(format!("it is in the format of {name}, which is not read")).hint(READABLE))
}

/// The compression of a stream that begins with `head`.
pub fn detect(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, 8, ..] => Compression::Gzip,
        // The first block, or the end of an empty stream; three letters alone may be a name.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
            Compression::Bzip2
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The stream, decompressed where it needs to be.
pub fn plain(input: &mut dyn Read) -> Result<Box<dyn Read + '_>> {
    let (compression, input) = peek(input)?;
    Ok(compression.plain(input))
}

impl Compression {
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Bzip2 => "bzip2",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        }
    }

    /// `input` without this compression.
    pub fn plain<'a>(self, input: impl Read + 'a) -> Box<dyn Read + 'a> {
        let meter = Rc::new(Meter::default());
        // Of one type, whatever it is: each decoder is there but once.
        let input: Box<dyn Read> = Box::new(input);
        let input = BufReader::with_capacity(BUFFER, input);
        let input = Metered { input, meter: Rc::clone(&meter) };
        let decoder: Box<dyn Read> = match self {
            Compression::None => return Box::new(input),
            Compression::Gzip => {
                Box::new(Gzip { member: Some(GzDecoder::new(input)), ended: false })
            }
            Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
            // A little more than the window is for the decoder itself.
            Compression::Xz => {
                Box::new(XzReader::new_mem_limit(input, true, (WINDOW_MAX >> 10) + 1024))
            }
            Compression::Zstd => Box::new(zstd::Decoder::new(input)),
        };
        Box::new(Plain { decoder, compression: self, meter, written: 0 })
    }
}

/// Reads member after member of a gzip stream, and passes over zeros behind the last one.
struct Gzip<R: BufRead> {
    /// Always there between two calls.
    member: Option<GzDecoder<R>>,
    /// The last one has ended.
    ended: bool,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            if !self.ended {
                match member.read(buffer)? {
                    0 if !buffer.is_empty() => {}
                    n => return Ok(n),
                }
            }
            let input = member.get_mut();
            let bytes = input.fill_buf()?;
            match bytes {
                [] => return Ok(0),
                [0, ..] => {
                    self.ended = true;
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    input.consume(zeros);
                }
                _ if self.ended => return Err(ErrorKind::InvalidData.into()),
                _ => self.member = self.member.take().map(|it| GzDecoder::new(it.into_inner())),
            }
        }
        Ok(0)
    }
}

/// What a decoder has taken of its stream.
#[derive(Default)]
struct Meter {
    bytes: Cell<u64>,
    /// It came to the end.
    ended: Cell<bool>,
    /// Reading failed, so that what the decoder says is not about the compression.
    failed: Cell<bool>,
}

struct Metered<'a> {
    input: BufReader<Box<dyn Read + 'a>>,
    meter: Rc<Meter>,
}

impl BufRead for Metered<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let filled = self.input.fill_buf();
        match &filled {
            Ok(bytes) => self.meter.ended.set(bytes.is_empty()),
            Err(e) => self.meter.failed.set(e.kind() != ErrorKind::Interrupted),
        }
        filled
    }

    fn consume(&mut self, n: usize) {
        self.input.consume(n);
        self.meter.bytes.set(self.meter.bytes.get() + n as u64);
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

/// A stream whose errors say what is wrong with it.
struct Plain<'a> {
    decoder: Box<dyn Read + 'a>,
    compression: Compression,
    meter: Rc<Meter>,
    written: u64,
}

impl Plain<'_> {
    fn told(&self, error: io::Error) -> io::Error {
        let (name, at) = (self.compression.name(), self.meter.bytes.get());
        io::Error::other(match error.kind() {
            _ if self.meter.failed.get() => return error,
            ErrorKind::Interrupted => return error,
            ErrorKind::OutOfMemory => {
                format!("its {name} stream needs a window of more than {} MiB", WINDOW_MAX >> 20)
            }
            _ if self.meter.ended.get() => format!("its {name} stream is cut off at byte {at}"),
            _ => format!("its {name} stream is damaged near byte {at}"),
        })
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer).map_err(|e| self.told(e))?;
        self.written += n as u64;
        let read = self.meter.bytes.get();
        if self.written > RATIO_FROM && self.written / RATIO_MAX > read {
            let name = self.compression.name();
            let text = format!("its {name} stream grows more than {RATIO_MAX}-fold: {read} bytes");
            return Err(io::Error::other(format!("{text} became {}", self.written)));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// `data` as the tool compresses it.
    fn by(tool: &[&str], data: &[u8]) -> Vec<u8> {
        let mut child = Command::new(tool[0])
            .args(&tool[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", tool[0]));
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(data).unwrap());
            child.wait_with_output().unwrap().stdout
        })
    }

    const TOOLS: [(&[&str], Compression); 4] = [
        (&["gzip", "-c"], Compression::Gzip),
        (&["bzip2", "-c"], Compression::Bzip2),
        (&["xz", "-c"], Compression::Xz),
        (&["zstd", "-qc"], Compression::Zstd),
    ];

    fn read(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        plain(&mut &stream[..]).unwrap().read_to_end(&mut text).map(|_| text)
    }

    /// Compressible, and different everywhere.
    fn text() -> Vec<u8> {
        (0..40_000_u32).flat_map(|n| format!("{:x} ", n.wrapping_mul(n)).into_bytes()).collect()
    }

    #[test]
    fn streams_are_told_by_their_first_bytes() {
        let text = text();
        assert_eq!(read(&text).unwrap(), text);
        assert_eq!(detect(b"BZhello"), Compression::None);
        for (tool, compression) in TOOLS {
            let stream = by(tool, &text);
            assert_eq!(detect(&stream), compression, "{tool:?}");
            assert!(read(&stream).unwrap() == text, "{tool:?}");
            assert_eq!(read(&by(tool, b"")).unwrap(), b"", "{tool:?}");
        }
    }

    #[test]
    fn streams_go_on_with_further_ones() {
        let text = text();
        for (tool, _) in TOOLS {
            let twice = [by(tool, &text), by(tool, b""), by(tool, b"more")].concat();
            assert!(read(&twice).unwrap() == [&text[..], b"more"].concat(), "{tool:?}");
        }
        let skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        let zstd = by(TOOLS[3].0, b"text");
        let around = [&skipped[..], &zstd, &skipped, &zstd].concat();
        assert_eq!(read(&around).unwrap(), b"texttext");
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_named_with_its_place() {
        let text = text();
        for (tool, compression) in TOOLS {
            let whole = by(tool, &text);
            let name = compression.name();
            for cut in [11, 20, whole.len() / 2, whole.len() - 1] {
                let told = read(&whole[..cut]).unwrap_err().to_string();
                assert_eq!(told, format!("its {name} stream is cut off at byte {cut}"));
            }
            let garbage = [&whole[..], &[b'x'; 100]].concat();
            let told = read(&garbage).unwrap_err().to_string();
            assert!(told.contains(&format!("its {name} stream is damaged near byte")), "{told}");
            // Every stream here ends with a checksum or what follows from one.
            for at in (0..20).map(|n| 12 + n * (whole.len() - 13) / 20) {
                let mut flipped = whole.clone();
                flipped[at] ^= 0x10;
                let told = read(&flipped).map(|other| other == text);
                assert!(!told.is_ok_and(|same| !same), "{tool:?} {at}: damage goes unseen");
            }
        }
    }

    #[test]
    fn gzip_may_be_padded_with_zeros_alone() {
        let (text, tool) = (text(), TOOLS[0].0);
        let whole = by(tool, &text);
        let zeros = vec![0; 3 * BUFFER + 7];
        for padding in [&[0][..], &zeros] {
            let twice = [&whole[..], &whole, padding].concat();
            assert!(read(&twice).unwrap() == [&text[..], &text].concat());
            // As with gzip(1), members end where the padding begins.
            let after = [&whole[..], padding, &whole].concat();
            let told = read(&after).unwrap_err().to_string();
            let at = whole.len() + padding.len();
            assert_eq!(told, format!("its gzip stream is damaged near byte {at}"));
        }
        let cut = [&whole[..], &whole[..30]].concat();
        let told = read(&cut).unwrap_err().to_string();
        assert_eq!(told, format!("its gzip stream is cut off at byte {}", cut.len()));
    }

    #[test]
    fn a_window_that_takes_too_much_memory_is_refused() {
        let xz = by(&["xz", "-c", "--lzma2=dict=128MiB"], b"text");
        let told = read(&xz).unwrap_err().to_string();
        assert_eq!(told, "its xz stream needs a window of more than 64 MiB");
        assert_eq!(read(&by(&["xz", "-9c"], b"text")).unwrap(), b"text");
        // No checksum, one raw last block, and a window of 128 MiB.
        let zstd = b"\x28\xb5\x2f\xfd\0\x88\x09\0\0x";
        let told = read(zstd).unwrap_err().to_string();
        assert_eq!(told, "its zstd stream needs a window of more than 64 MiB");
        assert_eq!(read(b"\x28\xb5\x2f\xfd\0\x80\x09\0\0x").unwrap(), b"x");
    }

    #[test]
    fn a_stream_that_grows_out_of_proportion_is_refused() {
        // A block of a run of 128 KiB: 4 bytes.
        let mut zstd = b"\x28\xb5\x2f\xfd\0\x38".to_vec();
        for _ in 0..9000 {
            zstd.extend(b"\x02\0\x10\0");
        }
        let mut stream = &zstd[..];
        let mut input = plain(&mut stream).unwrap();
        let told = io::copy(&mut input, &mut io::sink()).unwrap_err().to_string();
        assert!(told.contains("its zstd stream grows more than 1100-fold"), "{told}");
    }
}
