//! A line of the log read back: ours, or one that Docker wrote.

use super::{Stream, base64, encode};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One record.
#[derive(PartialEq, Eq, Debug)]
pub struct Record<'a> {
    pub stream: Stream,
    pub content: Cow<'a, [u8]>,
    /// It goes on with the line that the stream's last record left open.
    pub continues: bool,
    pub time: Cow<'a, str>,
    /// `key=value,...` of its attributes, by `--details`.
    pub details: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    raw: Option<String>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(default)]
    continues: bool,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    attrs: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

/// `None` for a line that is torn or not a record.
pub fn decode(line: &[u8]) -> Option<Record<'_>> {
    plain(line).or_else(|| any(line))
}

/// The record that nearly all are: ours, with no escape but that of its newline. Read by its ends.
fn plain(line: &[u8]) -> Option<Record<'_>> {
    const KEYS: usize = "\",\"stream\":\"stdout".len() + "\"".len() + encode::TIME_KEY.len();
    let rest = line.strip_prefix(b"{\"log\":\"")?.strip_suffix(b"\"}")?;
    let (rest, time) = rest.split_at_checked(rest.len().checked_sub(encode::TIME_LEN)?)?;
    let (text, keys) = rest.split_at_checked(rest.len().checked_sub(KEYS)?)?;
    let keys = keys.strip_suffix(encode::TIME_KEY.as_bytes())?;
    let stream = match keys {
        b"\",\"stream\":\"stdout\"" => Stream::Stdout,
        b"\",\"stream\":\"stderr\"" => Stream::Stderr,
        _ => return None,
    };
    let content = match memchr::memchr2(b'\\', b'"', text) {
        None => Cow::Borrowed(text),
        Some(at) if text.get(at..) == Some(b"\\n") => {
            let mut content = Vec::with_capacity(at + 1);
            content.extend_from_slice(text.get(..at)?);
            content.push(b'\n');
            Cow::Owned(content)
        }
        Some(_) => return None,
    };
    let time = Cow::Borrowed(std::str::from_utf8(time).ok()?);
    Some(Record { stream, content, continues: false, time, details: None })
}

fn any(line: &[u8]) -> Option<Record<'_>> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let content = match line.raw {
        Some(raw) => Cow::Owned(base64::decode(&raw)?),
        None => match line.log {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
    };
    let stream = match &*line.stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let details = line.attrs;
    Some(Record { stream, content, continues: line.continues, time: line.time, details })
}

/// Whether a line holds a record that begins a line of output, by its ends alone: what counting
/// lines from the end of a large file needs.
pub fn begins_line(line: &[u8]) -> bool {
    if !line.starts_with(b"{") || !line.ends_with(b"}") {
        return false;
    }
    let after_mark = encode::TIME_KEY.len() + encode::TIME_LEN + "\"}".len();
    let before_time = &line[..line.len().saturating_sub(after_mark)];
    !before_time.ends_with(encode::CONTINUES.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_read_back() {
        let every: Vec<u8> = (0..=255).collect();
        for content in [&b"a\n"[..], b"", "ä\u{2028}<\"".as_bytes(), &every] {
            for continues in [false, true] {
                let time = "2026-11-22T13:34:18.000000001Z";
                let mut line = Vec::new();
                encode::encode(Stream::Stderr, content, continues, ("", time), &mut line);
                line.pop();
                let record = decode(&line).unwrap();
                assert_eq!(record.content, content);
                assert_eq!((record.stream, record.continues), (Stream::Stderr, continues));
                assert_eq!(record.time, time);
                assert_eq!(begins_line(&line), !continues);
                assert!(plain(&line).is_none_or(|quick| quick == any(&line).unwrap()));
            }
        }
    }

    #[test]
    fn dockers_own_lines_are_read_and_torn_ones_are_not() {
        let line =
            br#"{"log":"x\n","stream":"stdout","attrs":{"a":"b"},"time":"2014-02-01T00:00:00.1Z"}"#;
        assert_eq!(decode(line).unwrap().content, &b"x\n"[..]);
        assert!(begins_line(line));
        for torn in [&line[..40], &line[40..], b"", b"{}", b"\0\0\0"] {
            assert_eq!(decode(torn), None);
        }
    }
}
