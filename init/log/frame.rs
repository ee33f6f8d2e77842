//! How a line looks where it goes: as it is, after a time stamp, after the service's name, or as
//! a JSON object. Pure.

use super::Channel;
use super::batch::Batch;
use super::lines::Piece;
use super::syslog::Record;
use crate::json::escape;
use crate::service::Stamp;
use crate::tai;
use std::time::Duration;
use time::OffsetDateTime;

/// Names are aligned up to this length.
const WIDEST: usize = 32;

/// What is put around the lines of one read.
#[derive(Debug)]
pub enum Frame {
    /// A stamp before each line. The pieces of a long one follow each other.
    Flow(Head),
    /// Each piece is a line of its own: the first of a line after `first`, others after `further`.
    Labelled { first: Vec<u8>, further: Vec<u8> },
    /// An object a piece, up to its message; `partial` in all but the last of a long line.
    Json(Vec<u8>),
}

impl Frame {
    pub fn stamped(stamp: Stamp, now: Duration) -> Frame {
        Frame::Flow(Head::new(&stamp_text(stamp, now)))
    }

    /// `web | line`; a long line goes on with `web + `.
    pub fn prefix(name: &str, width: usize) -> Frame {
        let width = width.min(WIDEST);
        let first = format!("{name:width$} | ").into_bytes();
        Frame::Labelled { first, further: format!("{name:width$} + ").into_bytes() }
    }

    pub fn json(name: &str, channel: Channel, now: Duration) -> Frame {
        let mut head = json_time(now);
        head.put(b",\"service\":\"");
        escape(name.as_bytes(), |part| head.put(part));
        let rest = format!("\",\"stream\":\"{}\",\"message\":\"", channel.name());
        head.put(rest.as_bytes());
        Frame::Json(head.bytes().to_vec())
    }

    /// What came by syslog(3), as it would stand in a log of it: `tag[pid]: text`.
    pub fn syslog(record: &Record, stamp: Stamp, now: Duration) -> Frame {
        let pid = record.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        let head = stamp_text(stamp, now) + record.tag_or_default() + &pid + ": ";
        Frame::Labelled { first: head.clone().into_bytes(), further: head.into_bytes() }
    }

    pub fn syslog_json(record: &Record, now: Duration) -> Frame {
        let mut head = json_time(now);
        let (facility, severity) = (record.facility_name(), record.severity_name());
        let fields = format!(
            ",\"stream\":\"syslog\",\"facility\":\"{facility}\",\"severity\":\"{severity}\",\"tag\":\""
        );
        head.put(fields.as_bytes());
        escape(record.tag.as_bytes(), |part| head.put(part));
        head.put(b"\"");
        if let Some(pid) = record.pid {
            head.put(format!(",\"pid\":{pid}").as_bytes());
        }
        head.put(b",\"message\":\"");
        Frame::Json(head.bytes().to_vec())
    }

    /// Whether a long line is one line here too.
    pub fn flows(&self) -> bool {
        matches!(self, Frame::Flow(_))
    }

    #[inline(always)]
    pub fn add(&self, out: &mut Batch, piece: Piece) {
        match self {
            Frame::Flow(head) => {
                if piece.starts {
                    head.add(out);
                }
                if let Some(short) = piece.short {
                    out.put_first(short, piece.text.len().saturating_add(1));
                } else {
                    out.put(piece.text);
                    out.put(if piece.ends { b"\n" } else { b"" });
                }
            }
            Frame::Labelled { first, further } => {
                out.put(if piece.starts { first } else { further });
                out.put(piece.text);
                out.put(b"\n");
            }
            Frame::Json(head) => {
                out.put(head);
                escape(piece.text, |part| out.put(part));
                out.put(if piece.ends { b"\"}\n" } else { b"\",\"partial\":true}\n" });
            }
        }
    }
}

/// At most 32 bytes, copied as 32: a constant length costs no call.
#[derive(Debug)]
pub struct Head {
    bytes: [u8; 32],
    length: usize,
}

impl Head {
    fn new(text: &str) -> Head {
        let mut bytes = [0; 32];
        for (byte, given) in bytes.iter_mut().zip(text.bytes()) {
            *byte = given;
        }
        Head { bytes, length: text.len().min(bytes.len()) }
    }

    #[inline(always)]
    fn add(&self, out: &mut Batch) {
        if self.length > 0 {
            out.put_first(&self.bytes, self.length);
        }
    }
}

/// With the blank behind it.
fn stamp_text(stamp: Stamp, now: Duration) -> String {
    match stamp {
        Stamp::None => String::new(),
        Stamp::Iso => rfc3339(now, 3) + " ",
        Stamp::Tai64n => {
            let seconds = tai::EPOCH.saturating_add(now.as_secs());
            format!("@{seconds:016x}{:08x} ", now.subsec_nanos())
        }
    }
}

/// UTC, with so many digits of the second.
pub fn rfc3339(now: Duration, digits: usize) -> String {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = date.to_calendar_date();
    let (hour, minute, second) = date.to_hms();
    let month = u8::from(month);
    let mut fraction = format!("{:09}", now.subsec_nanos());
    fraction.truncate(digits);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction}Z")
}

/// The beginning of an object: its time.
fn json_time(now: Duration) -> Batch {
    let mut head = Batch::default();
    head.put(format!("{{\"time\":\"{}\"", rfc3339(now, 9)).as_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::new(1_795_375_920, 123_456_789);

    fn shown(frame: &Frame, pieces: &[Piece]) -> String {
        let mut out = Batch::default();
        pieces.iter().for_each(|piece| frame.add(&mut out, *piece));
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    /// A line in three pieces.
    fn long() -> [Piece<'static>; 3] {
        [(b"ab", true, false), (b"cd", false, false), (b"ef", false, true)]
            .map(|(text, starts, ends)| Piece { text, short: None, starts, ends })
    }

    #[test]
    fn a_stamp_stands_before_each_line() {
        let lines = [Piece::line(b"one"), Piece::line(b"2"), Piece::line(b"")];
        let none = Frame::stamped(Stamp::None, NOW);
        assert_eq!(shown(&none, &lines), "one\n2\n\n");
        let iso = Frame::stamped(Stamp::Iso, NOW);
        let at = "2026-11-22T19:32:00.123Z";
        assert_eq!(shown(&iso, &lines), format!("{at} one\n{at} 2\n{at} \n"));
        let tai = Frame::stamped(Stamp::Tai64n, NOW);
        let at = "@400000006b03433a075bcd15";
        assert_eq!(shown(&tai, &lines), format!("{at} one\n{at} 2\n{at} \n"));
        assert_eq!(shown(&tai, &long()), format!("{at} abcdef\n"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let date = |seconds| rfc3339(Duration::from_secs(seconds), 3);
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(951_827_696), "2000-02-29T12:34:56.000Z");
        assert_eq!(date(4_107_542_399), "2100-02-28T23:59:59.000Z");
        assert_eq!(date(4_107_542_400), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn names_are_aligned_and_long_lines_go_on() {
        let web = Frame::prefix("web", 5);
        assert_eq!(shown(&web, &[Piece::line(b"hello")]), "web   | hello\n");
        assert_eq!(shown(&web, &long()), "web   | ab\nweb   + cd\nweb   + ef\n");
    }

    #[test]
    fn an_object_a_line_holds_whatever_was_written() {
        let frame = Frame::json("we\"b", Channel::Err, NOW);
        let head =
            r#"{"time":"2026-11-22T19:32:00.123456789Z","service":"we\"b","stream":"stderr""#;
        let line = |text| shown(&frame, &[Piece::line(text)]);
        assert_eq!(line(b"hello"), format!("{head},\"message\":\"hello\"}}\n"));
        let odd = "a\t\"b\" \\ \u{1b}[1m \u{e9} \u{7f}\r".as_bytes();
        let escaped = "a\\t\\\"b\\\" \\\\ \\u001b[1m \u{e9} \\u007f\\r";
        assert_eq!(line(odd), format!("{head},\"message\":\"{escaped}\"}}\n"));
        let broken = "a\u{fffd}b\u{fffd}";
        assert_eq!(line(b"a\xffb\xc3"), format!("{head},\"message\":\"{broken}\"}}\n"));
        let text = |text, end| format!("{head},\"message\":\"{text}\"{end}}}\n");
        let partial = ",\"partial\":true";
        let pieces = [text("ab", partial), text("cd", partial), text("ef", "")].concat();
        assert_eq!(shown(&frame, &long()), pieces);
    }
}
