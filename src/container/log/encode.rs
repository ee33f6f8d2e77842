//! One record as a line of JSON, with the escapes of Go's encoding/json.
//!
//! A log is written as fast as the program writes, so plain text is skipped eight bytes at a time
//! and copied whole; only quotes, backslashes, controls, `<`, `>` and `&` are looked at one by one.

use super::{Stream, base64};

/// What stands between the mark of a continued line (or the stream) and the time's digits.
pub const TIME_KEY: &str = ",\"time\":\"";
pub const CONTINUES: &str = ",\"continues\":true";
/// What a record begins with, and what ends the text of a whole line.
pub const HEAD: &[u8] = b"{\"log\":\"";
const NEWLINE: &[u8] = b"\\n";
/// `2026-11-22T13:34:18.000000001Z`
pub const TIME_LEN: usize = 30;

/// Appends the record, newline included, to `out`.
/// `attributes` is what stands behind the stream in each record: `,"attrs":{...}`, or nothing.
pub fn encode(
    stream: Stream,
    content: &[u8],
    continues: bool,
    (attributes, time): (&str, &str),
    out: &mut Vec<u8>,
) {
    out.reserve(content.len() + 96);
    out.extend_from_slice(HEAD);
    let is_text = escape(content, out);
    out.push(b'"');
    if !is_text {
        out.extend_from_slice(b",\"raw\":\"");
        base64::encode(content, out);
        out.push(b'"');
    }
    end(stream, continues, attributes, time, out);
}

/// What stands behind the text.
fn end(stream: Stream, continues: bool, attributes: &str, time: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    out.push(b'"');
    out.extend_from_slice(attributes.as_bytes());
    if continues {
        out.extend_from_slice(CONTINUES.as_bytes());
    }
    out.extend_from_slice(TIME_KEY.as_bytes());
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// All that stands behind the plain text of a whole line: the same for all of one time.
pub fn tail(stream: Stream, attributes: &str, time: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(NEWLINE);
    out.push(b'"');
    end(stream, false, attributes, time, out);
}

/// Appends `content` as the inside of a JSON string; `false` where it was not UTF-8 and has lost
/// something.
fn escape(content: &[u8], out: &mut Vec<u8>) -> bool {
    if let Ok(text) = std::str::from_utf8(content) {
        escape_text(text, out);
        return true;
    }
    for chunk in content.utf8_chunks() {
        escape_text(chunk.valid(), out);
        // Go replaces byte by byte.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    false
}

fn escape_text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_len(rest));
        out.extend_from_slice(plain);
        rest = match special {
            [] => return,
            // Go escapes U+2028 and U+2029, which JavaScript took for line ends.
            [0xe2, 0x80, last @ (0xa8 | 0xa9), rest @ ..] => {
                out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                rest
            }
            [0xe2, rest @ ..] => {
                out.push(0xe2);
                rest
            }
            [byte, rest @ ..] => {
                escape_ascii(*byte, out);
                rest
            }
        };
    }
}

fn escape_ascii(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'\n' => b'n',
        b'"' | b'\\' => byte,
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// How many bytes at the start of `bytes` need no escape. 0xe2 is where U+2028 begins.
fn plain_len(bytes: &[u8]) -> usize {
    scan(bytes, 0)
}

/// How many of them are ASCII as well.
pub fn plain_ascii_len(bytes: &[u8]) -> usize {
    scan(bytes, 0x80)
}

/// How many bytes need no escape and have none of these bits (0x80 or none).
fn scan(bytes: &[u8], bits: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // Sets the top bit of each byte below `n` (at most 128). A borrow may set some *above* a true
    // one as well; only the lowest counts.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let equals = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        let word = u64::from_le_bytes(eight);
        let special = below(word, 0x20)
            | equals(word, 0xe2)
            | equals(word, b'\\')
            // " and & differ in one bit, < and > in another.
            | equals(word | (ONES * 0x04), b'&')
            | equals(word | (ONES * 0x02), b'>')
            | word & (ONES * u64::from(bits));
        let special = special & TOPS;
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let is_plain = |b: &u8| *b >= 0x20 && *b & bits == 0 && !b"\"\\&<>\xe2".contains(b);
    at + bytes[at..].iter().take_while(|b| is_plain(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(content: &[u8]) -> (String, bool) {
        let mut out = Vec::new();
        let is_text = escape(content, &mut out);
        (String::from_utf8(out).unwrap(), is_text)
    }

    #[test]
    fn a_record_is_dockers_line() {
        let mut out = Vec::new();
        encode(Stream::Stdout, b"a\n", false, ("", "2026-11-22T13:34:18.000000001Z"), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-22T13:34:18.000000001Z\"}\n"
        );
    }

    #[test]
    fn escapes_are_those_of_go() {
        let text =
            "q\" b\\ \n\r\t\u{8}\u{c} \u{1b}[0m <a&b> \u{7f} ä 漢 🛶 \u{2028}\u{2029} \u{fffd}";
        let expected = r#"q\" b\\ \n\r\t\b\f \u001b[0m \u003ca\u0026b\u003e"#.to_string()
            + " \u{7f} ä 漢 🛶 "
            + r"\u2028\u2029"
            + " \u{fffd}";
        assert_eq!(escaped(text.as_bytes()), (expected, true));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_one_by_one_and_kept_raw() {
        assert_eq!(escaped(b"a\xff\xe2\x82z"), (r"a\ufffd\ufffd\ufffdz".into(), false));
        let mut out = Vec::new();
        encode(Stream::Stderr, b"\xff", true, ("", "T"), &mut out);
        let expected =
            r#"{"log":"\ufffd","raw":"/w==","stream":"stderr","continues":true,"time":"T"}"#;
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), expected);
    }

    #[test]
    fn every_byte_is_told_plain_or_special_at_every_place() {
        for byte in 0..=255_u8 {
            let is_plain = byte >= 0x20 && !b"\"\\&<>\xe2".contains(&byte);
            for place in 0..20 {
                let mut bytes = [b'~'; 20];
                bytes[place] = byte;
                let expected = if is_plain { 20 } else { place };
                assert_eq!(plain_len(&bytes), expected, "{byte:#x} at {place}");
                let expected = if is_plain && byte < 0x80 { 20 } else { place };
                assert_eq!(plain_ascii_len(&bytes), expected, "{byte:#x} at {place}");
            }
        }
    }
}
