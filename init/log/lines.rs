//! Cutting what a stream writes into lines. Pure: the pieces do not depend on how the bytes
//! arrived.

use std::ops::ControlFlow;

/// What of a line is kept together; a longer one is passed on in pieces of this length.
pub const LIMIT: usize = 16 * 1024;

/// A line of less than that is short.
pub const SHORT: usize = 16;

/// A line without its newline, or a piece of a long one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece<'a> {
    pub text: &'a [u8],
    /// A short line with its newline and whatever follows it: copies of one length are fast.
    pub short: Option<&'a [u8; SHORT]>,
    /// Whether it is the beginning of its line.
    pub starts: bool,
    /// Whether it is the end of its line.
    pub ends: bool,
}

impl<'a> Piece<'a> {
    pub fn line(text: &'a [u8]) -> Piece<'a> {
        Piece { text, short: None, starts: true, ends: true }
    }
}

/// Where in its lines a stream is.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of the present line has been passed on.
    inside: bool,
}

impl Splitter {
    /// Hands the pieces of `data` to `take` until that breaks; how many bytes they were. What
    /// remains is to be given again with what follows it.
    #[inline(always)]
    pub fn split<'a>(
        &mut self,
        data: &'a [u8],
        mut take: impl FnMut(Piece<'a>) -> ControlFlow<()>,
    ) -> usize {
        let mut start: usize = 0;
        while let Some((end, short)) = next_newline(data, start) {
            while end.saturating_sub(start) > LIMIT {
                let next = start.saturating_add(LIMIT);
                let text = data.get(start..next).unwrap_or_default();
                start = next;
                if take(self.piece(text, None, false)).is_break() {
                    return start;
                }
            }
            let text = data.get(start..end).unwrap_or_default();
            start = end.saturating_add(1);
            if take(self.piece(text, short, true)).is_break() {
                return start;
            }
        }
        while data.len().saturating_sub(start) > LIMIT {
            let next = start.saturating_add(LIMIT);
            let text = data.get(start..next).unwrap_or_default();
            start = next;
            if take(self.piece(text, None, false)).is_break() {
                break;
            }
        }
        start
    }

    /// The piece that ends a line which will get no newline; `None` if none has begun.
    pub fn finish<'a>(&mut self, rest: &'a [u8]) -> Option<Piece<'a>> {
        (self.inside || !rest.is_empty()).then(|| self.piece(rest, None, true))
    }

    #[inline(always)]
    fn piece<'a>(
        &mut self,
        text: &'a [u8],
        short: Option<&'a [u8; SHORT]>,
        ends: bool,
    ) -> Piece<'a> {
        let starts = !self.inside;
        self.inside = !ends;
        Piece { text, short, starts, ends }
    }
}

/// The first newline from `start` on; and what begins at `start`, if it is a short line. Where
/// lines are short, the call of memchr would cost more than the search.
#[inline(always)]
fn next_newline(data: &[u8], start: usize) -> Option<(usize, Option<&[u8; SHORT]>)> {
    let rest = data.get(start..)?;
    if let Some(window) = rest.first_chunk::<SHORT>() {
        // A byte of `differs` is zero where there is a newline; the lowest such bit is exact
        // (Bit Twiddling Hacks, "Determine if a word has a zero byte").
        const ONES: u128 = u128::from_ne_bytes([1; SHORT]);
        let differs = u128::from_le_bytes(*window) ^ ONES.wrapping_mul(b'\n' as u128);
        let zeros = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if zeros != 0 {
            let at = (zeros.trailing_zeros() / 8) as usize;
            return Some((start.saturating_add(at), Some(window)));
        }
    }
    let at = memchr::memchr(b'\n', rest)?;
    Some((start.saturating_add(at), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Jitter;

    type Owned = (Vec<u8>, bool, bool);

    /// Splits `data` as it arrives in chunks of at most `most` bytes, with a reader that now and
    /// then wants no more.
    fn pieces(data: &[u8], most: usize, random: &mut Jitter) -> Vec<Owned> {
        let mut found: Vec<Owned> = Vec::new();
        let mut splitter = Splitter::default();
        let mut rest: Vec<u8> = Vec::new();
        let mut data = data;
        while !data.is_empty() {
            let (chunk, more) = data.split_at((1 + random.below(most)).min(data.len()));
            data = more;
            rest.extend(chunk);
            loop {
                let patience = 1 + random.below(5);
                let mut count = 0;
                let used = splitter.split(&rest, |piece| {
                    found.push((piece.text.to_vec(), piece.starts, piece.ends));
                    count += 1;
                    if count == patience {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                });
                rest.drain(..used);
                if used == 0 {
                    break;
                }
            }
            assert!(rest.len() <= LIMIT);
        }
        let last = splitter.finish(&rest);
        found.extend(last.map(|piece| (piece.text.to_vec(), piece.starts, piece.ends)));
        found
    }

    #[test]
    fn the_pieces_are_the_same_whatever_the_chunks() {
        let mut random = Jitter::new(0x9e37_79b9);
        for round in 0..9 {
            let mut data = Vec::new();
            for _ in 0..random.below(30) {
                let length = match random.below(12) {
                    0 => LIMIT - 1 + random.below(3),
                    1 => 2 * LIMIT - 1 + random.below(3),
                    2 => random.below(5 * LIMIT),
                    _ => random.below(100),
                };
                data.extend((0..length).map(|n| b'a' + (n % 26) as u8));
                data.push(b'\n');
            }
            data.extend(std::iter::repeat_n(b'z', random.below(LIMIT)));
            let whole = pieces(&data, data.len() + 1, &mut random);
            let most = [1000, 100_000, 50][round % 3];
            assert_eq!(pieces(&data, most, &mut random), whole);
            // Nothing is lost, and lines begin where they should.
            let mut joined = Vec::new();
            let mut inside = false;
            for (text, starts, ends) in &whole {
                assert_eq!(*starts, !inside);
                joined.extend(text);
                joined.extend(ends.then_some(b'\n'));
                inside = !ends;
            }
            if data.last().is_some_and(|last| *last != b'\n') {
                data.push(b'\n');
            }
            assert!(joined == data);
        }
    }

    #[test]
    fn a_line_of_the_limit_is_whole() {
        let mut splitter = Splitter::default();
        let line = vec![b'x'; LIMIT];
        assert_eq!(splitter.split(&line, |_| panic!("not whole yet")), 0);
        assert_eq!(splitter.finish(&line), Some(Piece::line(&line)));
        assert_eq!(splitter.finish(&[]), None);
    }
}
