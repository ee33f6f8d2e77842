//! Which compression a stream has, told by its first bytes, never by its name.

use super::tar::unreadable;
use crate::error::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use std::io::{BufReader, Chain, Cursor, Read};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip,
}

/// What was looked at, and the stream with it put back.
pub type Peeked<'a> = Chain<Cursor<Vec<u8>>, &'a mut dyn Read>;

pub const BUFFER: usize = 256 << 10;

/// Looks at the head of `input`. A compression that cannot be read here is an error.
pub fn peek(input: &mut dyn Read) -> Result<(Compression, Peeked<'_>)> {
    let mut head = Vec::new();
    input.take(6).read_to_end(&mut head).map_err(|e| unreadable(&e))?;
    let compression = detect(&head)?;
    Ok((compression, Cursor::new(head).chain(input)))
}

/// The compression of a stream that begins with `head`.
pub fn detect(head: &[u8]) -> Result<Compression> {
    if head.starts_with(b"\x1f\x8b") {
        return Ok(Compression::Gzip);
    }
    let others: [(&[u8], _); 3] =
        [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2")];
    match others.iter().find(|(magic, _)| head.starts_with(magic)) {
        None => Ok(Compression::None),
        Some((_, name)) => Err(Error::invalid(format!("the archive is compressed with {name}"))
            .hint("decompress it first: plain and gzip archives are read")),
    }
}

/// The stream, decompressed where it needs to be.
pub fn plain(input: &mut dyn Read) -> Result<Box<dyn Read + '_>> {
    let (compression, input) = peek(input)?;
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, input))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn streams_are_told_by_their_first_bytes() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let gzip = gzip.finish().unwrap();
        for stream in [&b"hello"[..], &gzip] {
            let mut text = String::new();
            plain(&mut &stream[..]).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
        let told = plain(&mut &b"\x28\xb5\x2f\xfd...."[..]).err().unwrap();
        assert_eq!(told.to_string(), "the archive is compressed with zstd");
    }
}
