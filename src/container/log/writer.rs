//! Turns the bytes of a container's two streams into records. A pure machine: it is given bytes
//! and the time, and appends whole records to a buffer, so that one write(2) holds no part of one.
//!
//! Each stream is in one of two states: *at the start* of a line, or *inside* one, some of which
//! may be written already (`continues`) and some still held (`held`, at most `LIMIT` bytes). Only
//! what has no newline yet is held; `flush` writes that out too, and whoever is about to sleep
//! should call it, so that a crash finds nothing unwritten.

use super::{LIMIT, Stream, encode};
use crate::types::Timestamp;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Writer {
    lines: [OpenLine; 2],
    /// What each record says of its container, as JSON with a comma before it.
    attributes: String,
    /// The time of the present call, as text, and what a plain line of that time ends with.
    time: String,
    tail: Vec<u8>,
}

#[derive(Debug, Default)]
struct OpenLine {
    held: Vec<u8>,
    continues: bool,
}

impl Writer {
    #[cfg(test)]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// With attributes in every record.
    pub fn with(attributes: &BTreeMap<String, String>) -> Writer {
        let json = serde_json::to_string(attributes).unwrap_or_default();
        let attributes = match attributes.is_empty() {
            true => String::new(),
            false => format!(",\"attrs\":{json}"),
        };
        Writer { attributes, ..Writer::default() }
    }

    /// Takes what was read from `stream` at `now`; appends each record that is complete.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        self.set_time(now);
        self.tail.clear();
        encode::tail(stream, &self.attributes, &self.time, &mut self.tail);
        let line = &mut self.lines[stream.index()];
        let mut rest = bytes;
        loop {
            // Most of what is said are whole lines of plain text.
            if line.held.is_empty() && !line.continues {
                rest = plain_lines(rest, &self.tail, out);
            }
            let Some(at) = memchr::memchr(b'\n', rest) else { break };
            let (whole, after) = rest.split_at(at + 1);
            line.take(whole, true, |content, continues| {
                encode::encode(stream, content, continues, (&self.attributes, &self.time), out);
            });
            rest = after;
        }
        line.take(rest, false, |content, continues| {
            encode::encode(stream, content, continues, (&self.attributes, &self.time), out);
        });
    }

    /// Appends what is held of unfinished lines, up to the last whole character.
    pub fn flush(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        self.set_time(now);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = &mut self.lines[stream.index()];
            let whole = line.held.len() - open_character(&line.held);
            self.release(stream, whole, out);
        }
    }

    /// Appends all that is held of `stream`, which has come to its end.
    pub fn finish(&mut self, stream: Stream, now: Timestamp, out: &mut Vec<u8>) {
        self.set_time(now);
        let all = self.lines[stream.index()].held.len();
        self.release(stream, all, out);
    }

    /// Whether the present line of `stream` has a start.
    pub fn is_inside(&self, stream: Stream) -> bool {
        let line = &self.lines[stream.index()];
        line.continues || !line.held.is_empty()
    }

    fn release(&mut self, stream: Stream, len: usize, out: &mut Vec<u8>) {
        let line = &mut self.lines[stream.index()];
        if len > 0 {
            encode::encode(
                stream,
                &line.held[..len],
                line.continues,
                (&self.attributes, &self.time),
                out,
            );
            line.held.drain(..len);
            line.continues = true;
        }
    }

    fn set_time(&mut self, now: Timestamp) {
        self.time.clear();
        // Writing to a string does not fail.
        let _ = std::fmt::Write::write_fmt(&mut self.time, format_args!("{now}"));
    }
}

impl OpenLine {
    /// Adds `bytes`, the last of which is the line's newline if `ends`, and hands out records.
    fn take(&mut self, mut bytes: &[u8], ends: bool, mut emit: impl FnMut(&[u8], bool)) {
        let newline = usize::from(ends);
        while self.held.len() + bytes.len() - newline > LIMIT {
            if self.held.is_empty() {
                let cut = LIMIT - open_character(&bytes[..LIMIT]);
                emit(&bytes[..cut], self.continues);
                bytes = &bytes[cut..];
            } else {
                let (fill, rest) = bytes.split_at(LIMIT - self.held.len());
                self.held.extend_from_slice(fill);
                let cut = LIMIT - open_character(&self.held);
                emit(&self.held[..cut], self.continues);
                self.held.drain(..cut);
                bytes = rest;
            }
            self.continues = true;
        }
        match (ends, self.held.is_empty()) {
            (true, true) => emit(bytes, self.continues),
            (true, false) => {
                self.held.extend_from_slice(bytes);
                emit(&self.held, self.continues);
                self.held.clear();
            }
            (false, _) => {
                self.held.extend_from_slice(bytes);
                return;
            }
        }
        self.continues = false;
    }
}

/// Appends a record for each whole line of plain text at the start of `bytes`; gives the rest.
fn plain_lines<'b>(mut bytes: &'b [u8], tail: &[u8], out: &mut Vec<u8>) -> &'b [u8] {
    loop {
        let len = encode::plain_ascii_len(bytes);
        let (text, after) = bytes.split_at(len);
        let Some((b'\n', after)) = after.split_first().filter(|_| len <= LIMIT) else {
            return bytes;
        };
        out.reserve(encode::HEAD.len() + len + tail.len());
        out.extend_from_slice(encode::HEAD);
        out.extend_from_slice(text);
        out.extend_from_slice(tail);
        bytes = after;
    }
}

/// How many bytes at the end of `bytes` are the start of a character that is not complete.
fn open_character(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let len = match bytes[bytes.len() - back] {
            0x80..0xc0 => continue,
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => 1,
        };
        return if len > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::super::decode::decode;
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000_000_000);

    /// The records in `out`: their content and whether they continue a line.
    fn records(out: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let lines = out.split_inclusive(|b| *b == b'\n');
        let record = |line: &[u8]| {
            let record = decode(line).unwrap();
            (record.content.into_owned(), record.continues)
        };
        lines.map(record).collect()
    }

    #[test]
    fn lines_become_records_however_they_arrive() {
        let mut writer = Writer::new();
        let mut out = Vec::new();
        for piece in ["one\ntw", "o", "\n\nthr"] {
            writer.push(Stream::Stdout, piece.as_bytes(), NOW, &mut out);
        }
        writer.push(Stream::Stderr, b"err\n", NOW, &mut out);
        let whole = |text: &str| (text.as_bytes().to_vec(), false);
        assert_eq!(records(&out), ["one\n", "two\n", "\n", "err\n"].map(whole));
        out.clear();
        writer.finish(Stream::Stdout, NOW, &mut out);
        writer.finish(Stream::Stderr, NOW, &mut out);
        assert_eq!(records(&out), [whole("thr")]);
    }

    #[test]
    fn a_line_of_16_kib_is_one_record_and_a_longer_one_is_split() {
        for (len, sizes) in [
            (LIMIT, vec![LIMIT + 1]),
            (LIMIT + 1, vec![LIMIT, 2]),
            (2 * LIMIT, vec![LIMIT, LIMIT + 1]),
            (3 * LIMIT + 7, vec![LIMIT, LIMIT, LIMIT, 8]),
        ] {
            let mut line = vec![b'x'; len];
            line.push(b'\n');
            for step in [1, 1000, LIMIT, len + 1] {
                let mut writer = Writer::new();
                let mut out = Vec::new();
                for piece in line.chunks(step) {
                    writer.push(Stream::Stdout, piece, NOW, &mut out);
                }
                let records = records(&out);
                let got: Vec<usize> = records.iter().map(|(content, _)| content.len()).collect();
                assert_eq!(got, sizes, "{len} by {step}");
                for (i, (_, continues)) in records.iter().enumerate() {
                    assert_eq!(*continues, i > 0);
                }
            }
        }
    }

    #[test]
    fn no_cut_falls_inside_a_character() {
        for shift in 0..4 {
            let mut line = vec![b'x'; shift];
            line.extend("🛶".repeat(LIMIT / 2).bytes());
            for step in [1, 4093, line.len()] {
                let mut writer = Writer::new();
                let mut out = Vec::new();
                for piece in line.chunks(step) {
                    writer.push(Stream::Stdout, piece, NOW, &mut out);
                }
                writer.flush(NOW, &mut out);
                let records = records(&out);
                assert!(records.iter().all(|(c, _)| std::str::from_utf8(c).is_ok()));
                let joined: Vec<u8> =
                    records.into_iter().flat_map(|(content, _)| content).collect();
                assert_eq!(joined, line);
            }
        }
    }

    #[test]
    fn a_flush_writes_the_start_of_a_line_and_the_rest_continues_it() {
        let mut writer = Writer::new();
        let mut out = Vec::new();
        writer.push(Stream::Stdout, b"login: \xc3", NOW, &mut out);
        assert!(out.is_empty());
        writer.flush(NOW, &mut out);
        writer.flush(NOW, &mut out);
        assert_eq!(records(&out), [(b"login: ".to_vec(), false)]);
        out.clear();
        writer.push(Stream::Stdout, b"\xa4\nnext\n", NOW, &mut out);
        let expected = [("ä\n".as_bytes().to_vec(), true), (b"next\n".to_vec(), false)];
        assert_eq!(records(&out), expected);
    }

    #[test]
    fn any_bytes_come_back() {
        // A small generator (Knuth's MMIX constants): the same bytes every time.
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        let bytes: Vec<u8> = (0..200_000).map(|_| random()).collect();
        let long: Vec<u8> = bytes.iter().map(|b| if *b == b'\n' { b' ' } else { *b }).collect();
        for bytes in [bytes, long] {
            let mut writer = Writer::new();
            let mut out = Vec::new();
            for piece in bytes.chunks(65_536) {
                writer.push(Stream::Stderr, piece, NOW, &mut out);
            }
            writer.finish(Stream::Stderr, NOW, &mut out);
            let records = records(&out);
            assert!(records.iter().all(|(content, _)| content.len() <= LIMIT + 1));
            let joined: Vec<u8> = records.into_iter().flat_map(|(content, _)| content).collect();
            assert_eq!(joined, bytes);
        }
    }
}
