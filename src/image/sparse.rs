//! Maps of sparse members: where the data that the archive holds belongs in the file.
//!
//! Source: GNU tar manual, "Storing Sparse Files" (the old GNU format; pax 0.0, 0.1, 1.0).

use super::pax::{self, Records};
use super::tar;
use crate::error::{Error, Result};

/// A run of data in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// The most runs of one file: what bounds the memory for a map (16 bytes each).
pub const SEGMENTS_MAX: usize = 1 << 18;
/// The longest map in text form.
pub const TEXT_MAX: usize = 4 << 20;

#[derive(Default)]
pub struct Map(Vec<Segment>);

impl Map {
    fn push(&mut self, offset: u64, length: u64) -> Result<()> {
        if self.0.len() == SEGMENTS_MAX {
            return Err(Error::invalid(format!("has more than {SEGMENTS_MAX} runs of data")));
        }
        self.0.push(Segment { offset, length });
        Ok(())
    }

    /// The pairs of an old GNU header or of a block that continues it, the last byte of which
    /// says whether another one follows.
    pub fn read_gnu(&mut self, bytes: &[u8]) -> Result<bool> {
        let Some((more, pairs)) = bytes.split_last() else {
            return Err(damaged());
        };
        let before = self.0.len();
        for pair in pairs.chunks_exact(24) {
            let (offset, length) = pair.split_at(12);
            if offset.first() == Some(&0) {
                break;
            }
            let field = |f| tar::number(f).and_then(|n| u64::try_from(n).ok()).ok_or_else(damaged);
            self.push(field(offset)?, field(length)?)?;
        }
        // A block without any would be continued for ever.
        if *more != 0 && self.0.len() == before {
            return Err(damaged());
        }
        Ok(*more != 0)
    }

    /// The map of pax 1.0.
    pub fn read_lines(&mut self, text: &[u8]) -> Result<()> {
        let mut lines = text.split(|b| *b == b'\n');
        let mut next = || lines.next().and_then(pax::decimal).ok_or_else(damaged);
        for _ in 0..next()? {
            let offset = next()?;
            self.push(offset, next()?)?;
        }
        Ok(())
    }

    /// The map of pax 0.1 (one record) or 0.0 (two records a run).
    pub fn read_records(&mut self, records: &Records) -> Result<()> {
        let mut numbers = Vec::new();
        if let Some(map) = records.get(b"GNU.sparse.map") {
            numbers = map.split(|b| *b == b',').map(<[u8]>::to_vec).collect();
        } else {
            let wanted = [&b"GNU.sparse.offset"[..], b"GNU.sparse.numbytes"];
            let mut turn = wanted.iter().cycle();
            for (key, value) in records.all().filter(|(key, _)| wanted.contains(key)) {
                if turn.next() != Some(&key) {
                    return Err(damaged());
                }
                numbers.push(value.to_vec());
            }
        }
        for pair in numbers.chunks(2) {
            let [offset, length] = pair else {
                return Err(damaged());
            };
            let number = |text: &Vec<u8>| pax::decimal(text).ok_or_else(damaged);
            self.push(number(offset)?, number(length)?)?;
        }
        Ok(())
    }

    /// Checks the map against the file's size and the size of the data in the archive.
    pub fn finish(self, file_size: u64, stored: u64) -> Result<Vec<Segment>> {
        let (mut end, mut total) = (0_u64, 0_u64);
        for segment in &self.0 {
            if segment.offset < end {
                return Err(damaged());
            }
            end = segment.offset.checked_add(segment.length).ok_or_else(damaged)?;
            total += segment.length;
        }
        if end > file_size || total != stored || file_size > i64::MAX as u64 {
            return Err(damaged());
        }
        Ok(self.0)
    }
}

/// How many lines a pax 1.0 map has, told by its first one; `None` while that is not whole.
pub fn lines_of_map(text: &[u8]) -> Result<Option<u64>> {
    // As many digits as a number can have.
    let head = text.get(..21).unwrap_or(text);
    let Some(end) = head.iter().position(|b| *b == b'\n') else {
        return if text.len() > 20 { Err(damaged()) } else { Ok(None) };
    };
    match text.get(..end).and_then(pax::decimal) {
        Some(pairs) if pairs <= SEGMENTS_MAX as u64 => Ok(Some(1 + 2 * pairs)),
        _ => Err(damaged()),
    }
}

fn damaged() -> Error {
    Error::invalid("has a damaged sparse map")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &[u8]) -> Result<Map> {
        let mut map = Map::default();
        map.read_lines(text).map(|()| map)
    }

    #[test]
    fn a_map_must_agree_with_both_sizes() {
        let text = b"2\n0\n5\n100\n7\n";
        assert_eq!(lines_of_map(text).unwrap(), Some(5));
        assert_eq!(lines_of_map(b"2").unwrap(), None);
        assert!(lines_of_map(b"99999999\n").is_err());
        let segments = map(text).unwrap().finish(200, 12).unwrap();
        assert_eq!(segments[1], Segment { offset: 100, length: 7 });
        assert!(map(text).unwrap().finish(106, 12).is_err());
        assert!(map(text).unwrap().finish(200, 13).is_err());
        assert!(map(b"2\n4\n5\n3\n7\n").unwrap().finish(200, 12).is_err());
        assert!(map(b"1\n18446744073709551615\n5\n").unwrap().finish(200, 5).is_err());
    }
}
