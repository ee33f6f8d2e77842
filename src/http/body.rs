//! The body of an answer as a stream: by its length, in chunks, or to the end of the connection
//! (RFC 9112, sections 6.3 and 7.1). One that ends early is an error.

use super::{Timeouts, told};
use std::io::{self, BufRead, Read};

/// The longest line of a chunk's size or of a trailer.
const LINE_MAX: u64 = 8 << 10;

pub struct Body {
    input: Box<dyn BufRead>,
    left: Left,
    /// Bytes given so far, for messages.
    given: u64,
    timeouts: Timeouts,
}

enum Left {
    Bytes {
        left: u64,
        of: u64,
    },
    /// Bytes of the present chunk.
    Chunk(u64),
    /// Before the first chunk.
    Chunks,
    UntilClose,
    Nothing,
}

impl Body {
    pub(super) fn new(input: Box<dyn BufRead>, length: Option<u64>, timeouts: Timeouts) -> Body {
        let left = length.map_or(Left::UntilClose, |of| Left::Bytes { left: of, of });
        Body { input, left, given: 0, timeouts }
    }

    pub(super) fn chunked(input: Box<dyn BufRead>, timeouts: Timeouts) -> Body {
        Body { input, left: Left::Chunks, given: 0, timeouts }
    }

    /// A line without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(LINE_MAX).read_until(b'\n', &mut line);
        read.map_err(|e| told(e, self.timeouts))?;
        match line.strip_suffix(b"\n") {
            Some(text) => Ok(text.strip_suffix(b"\r").unwrap_or(text).to_vec()),
            None if line.len() as u64 == LINE_MAX => Err(damaged()),
            None => Err(self.cut_off()),
        }
    }

    /// Goes to the next chunk, or over the trailers to the end.
    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
        let size =
            digits.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(damaged)?;
        self.left = if size > 0 { Left::Chunk(size) } else { Left::Nothing };
        if size == 0 {
            let mut lines = 0;
            while !self.line()?.is_empty() {
                lines += 1;
                if lines > 100 {
                    return Err(damaged());
                }
            }
        }
        Ok(())
    }

    fn cut_off(&self) -> io::Error {
        let given = self.given;
        io::Error::other(match self.left {
            Left::Bytes { of, .. } => format!("the server sent {given} of {of} bytes"),
            _ => format!("the server broke off after {given} bytes"),
        })
    }
}

fn damaged() -> io::Error {
    io::Error::other("the server sent a damaged chunk")
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.left, Left::Chunks) {
            self.next_chunk()?;
        }
        let most = match self.left {
            Left::Bytes { left, .. } | Left::Chunk(left) => left,
            Left::UntilClose => u64::MAX,
            Left::Chunks | Left::Nothing => 0,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let n = self.input.read(buffer).map_err(|e| told(e, self.timeouts))?;
        self.given += n as u64;
        let read = n as u64;
        match &mut self.left {
            Left::UntilClose => {}
            _ if n == 0 => return Err(self.cut_off()),
            Left::Bytes { left, .. } => *left -= read,
            Left::Chunk(left) if *left > read => *left -= read,
            Left::Chunk(_) => {
                if !self.line()?.is_empty() {
                    return Err(damaged());
                }
                self.left = Left::Chunks;
            }
            Left::Chunks | Left::Nothing => {}
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut body: Body) -> Result<String, String> {
        let mut text = String::new();
        body.read_to_string(&mut text).map(|_| text).map_err(|e| e.to_string())
    }

    fn chunks(text: &'static str) -> Result<String, String> {
        read(Body::chunked(Box::new(text.as_bytes()), Timeouts::default()))
    }

    fn counted(text: &'static str, length: Option<u64>) -> Result<String, String> {
        read(Body::new(Box::new(text.as_bytes()), length, Timeouts::default()))
    }

    #[test]
    fn a_body_ends_where_its_length_says() {
        assert_eq!(counted("hello, world", Some(5)).unwrap(), "hello");
        assert_eq!(counted("hello", None).unwrap(), "hello");
        assert_eq!(counted("", Some(0)).unwrap(), "");
        assert_eq!(counted("hello", Some(9)).unwrap_err(), "the server sent 5 of 9 bytes");
    }

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(chunks("5;x=y\r\nhello\r\n1\n!\n0\r\nDigest: x\r\n\r\n").unwrap(), "hello!");
        assert_eq!(chunks("0\r\n\r\n").unwrap(), "");
        for cut in ["", "5", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "0\r\nx\r\n"] {
            assert!(chunks(cut).unwrap_err().contains("broke off"), "{cut:?}");
        }
        for bad in ["x\r\n", "-1\r\n", "+1\r\na", "11111111111111111\r\n", "1\r\nab\r\n0\r\n\r\n"] {
            assert!(chunks(bad).unwrap_err().contains("damaged chunk"), "{bad:?}");
        }
    }
}
