//! What programs send to /dev/log. Pure.
//!
//! `<PRI>Mmm dd hh:mm:ss tag[pid]: text`, as the syslog(3) of glibc and musl writes it (RFC 3164
//! without the host), `<PRI>text`, and `<PRI>1 TIME HOST APP PROCID MSGID DATA text` (RFC 5424).
//! Whatever is missing or wrong is text: nothing is refused. The sender's time is not used, cox
//! has its own.

/// Where a datagram is cut.
pub const LONGEST: usize = 16 * 1024;
/// user.notice, where nothing is said (RFC 3164, 4.3.3).
const DEFAULT: u8 = 13;
/// local7.debug.
const HIGHEST: u8 = 191;
const LONGEST_TAG: usize = 64;

/// In the order of their numbers, by the names that logger(1) takes.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// One datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Facility times 8 plus severity.
    pub priority: u8,
    /// Printable ASCII; empty if there is none.
    pub tag: &'a str,
    pub pid: Option<u32>,
    /// May hold several lines.
    pub text: &'a [u8],
}

impl Record<'_> {
    pub fn facility_name(&self) -> &'static str {
        FACILITIES.get(usize::from(self.priority / 8)).copied().unwrap_or("user")
    }

    pub fn severity_name(&self) -> &'static str {
        SEVERITIES.get(usize::from(self.priority % 8)).copied().unwrap_or("notice")
    }

    pub fn tag_or_default(&self) -> &str {
        if self.tag.is_empty() { "syslog" } else { self.tag }
    }
}

pub fn parse(datagram: &[u8]) -> Record<'_> {
    // Some count their terminating NUL or a newline.
    let end = datagram.iter().rposition(|byte| !matches!(byte, 0 | b'\n' | b'\r'));
    let data = end.and_then(|end| datagram.get(..=end)).unwrap_or_default();
    let (priority, rest) = priority(data).unwrap_or((DEFAULT, data));
    let (tag, pid, text) = match rest.strip_prefix(b"1 ").and_then(structured) {
        Some(found) => found,
        None => traditional(rest),
    };
    Record { priority, tag, pid, text }
}

fn priority(data: &[u8]) -> Option<(u8, &[u8])> {
    let rest = data.strip_prefix(b"<")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(digits)?;
    let number: u8 = str::from_utf8(digits).ok()?.parse().ok()?;
    let rest = rest.strip_prefix(b">")?;
    (number <= HIGHEST).then_some((number, rest))
}

type Parts<'a> = (&'a str, Option<u32>, &'a [u8]);

/// `[Mmm dd hh:mm:ss ][tag[pid]: ]text`.
fn traditional(data: &[u8]) -> Parts<'_> {
    let data = without_time(data).unwrap_or(data);
    tagged(data).unwrap_or(("", None, data))
}

fn without_time(data: &[u8]) -> Option<&[u8]> {
    let (time, rest) = data.split_first_chunk::<16>()?;
    let (month, clock) = time.split_first_chunk::<3>()?;
    let known = MONTHS.iter().any(|name| name.as_bytes() == month);
    let shape = clock.iter().zip(b" dd dd:dd:dd ").all(|(byte, kind)| match kind {
        b'd' => byte.is_ascii_digit() || *byte == b' ',
        _ => byte == kind,
    });
    (known && shape).then_some(rest)
}

fn tagged(data: &[u8]) -> Option<Parts<'_>> {
    let in_tag = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[');
    let length = data.iter().take_while(|byte| in_tag(byte)).count();
    if length == 0 || length > LONGEST_TAG {
        return None;
    }
    let (tag, rest) = data.split_at_checked(length)?;
    let (pid, rest) = match rest.strip_prefix(b"[") {
        Some(rest) => {
            let (digits, rest) = rest.split_at_checked(memchr::memchr(b']', rest)?)?;
            (Some(number(digits)?), rest.strip_prefix(b"]")?)
        }
        None => (None, rest),
    };
    let rest = rest.strip_prefix(b":")?;
    Some((str::from_utf8(tag).ok()?, pid, rest.strip_prefix(b" ").unwrap_or(rest)))
}

fn number(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// `TIME HOST APP PROCID MSGID DATA[ text]`.
fn structured(data: &[u8]) -> Option<Parts<'_>> {
    let (_time, rest) = word(data)?;
    let (_host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (process, rest) = word(rest)?;
    let (_message_id, rest) = word(rest)?;
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => without_elements(rest)?,
    };
    let text = rest.strip_prefix(b" ").unwrap_or(rest);
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let graphic = app.iter().all(u8::is_ascii_graphic) && app.len() <= LONGEST_TAG;
    let tag = str::from_utf8(app).ok().filter(|app| graphic && *app != "-").unwrap_or_default();
    Some((tag, number(process), text))
}

/// A word and what follows the blank after it.
fn word(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = data.split_at_checked(memchr::memchr(b' ', data)?)?;
    (!word.is_empty()).then_some((word, rest.strip_prefix(b" ")?))
}

/// What follows `[id name="value" ...]...`; a backslash in a value takes the next character's
/// meaning away.
fn without_elements(data: &[u8]) -> Option<&[u8]> {
    let mut rest = data.strip_prefix(b"[")?;
    let mut quoted = false;
    loop {
        let (byte, more) = rest.split_first()?;
        rest = more;
        match byte {
            b'\\' if quoted => rest = rest.split_first()?.1,
            b'"' => quoted = !quoted,
            b']' if !quoted => match rest.strip_prefix(b"[") {
                Some(next) => rest = next,
                None => return Some(rest),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    #[track_caller]
    fn is(datagram: &str, priority: u8, tag: &str, pid: Option<u32>, text: &str) {
        let text = text.as_bytes();
        assert_eq!(parse(datagram.as_bytes()), Record { priority, tag, pid, text });
    }

    #[test]
    fn what_libc_writes_is_taken_apart() {
        is("<30>Nov 22 19:32:00 sshd[77]: hello: you", 30, "sshd", Some(77), "hello: you");
        is("<30>Nov  2 09:32:00 cron: hello", 30, "cron", None, "hello");
        is("<13>Nov 22 19:32:00 root: a\nb\n\0", 13, "root", None, "a\nb");
        is("<14>no tag here\0", 14, "", None, "no tag here");
        is("<14>tag:text", 14, "tag", None, "text");
    }

    #[test]
    fn what_rfc_5424_describes_is_taken_apart() {
        let start = "<165>1 2003-10-11T22:14:15.003Z host";
        is(&format!("{start} evntslog - ID47 - go"), 165, "evntslog", None, "go");
        let data = r#"[x@1 a="q\"]" b="\\"][y]"#;
        is(&format!("{start} su 12 - {data} \u{feff}text"), 165, "su", Some(12), "text");
        is(&format!("{start} - - - -"), 165, "", None, "");
    }

    #[test]
    fn what_is_wrong_is_text() {
        for wrong in ["", "hello", "<", "<13", "<999>x", "<192>x", "<-1>x", "<>x", "<1a>x"] {
            is(wrong, DEFAULT, "", None, wrong);
        }
        is("<13>1 a b c", 13, "", None, "1 a b c");
        is("<13>1 t h a p m [unclosed", 13, "", None, "1 t h a p m [unclosed");
        is("<13>Nov 22 19:32:00 a[x]: b", 13, "", None, "a[x]: b");
        is("<13>Now 22 19:32:00 a: b", 13, "", None, "Now 22 19:32:00 a: b");
    }

    #[test]
    fn priorities_have_names() {
        let names = |text: &'static str| {
            let record = parse(text.as_bytes());
            (record.facility_name(), record.severity_name())
        };
        assert_eq!(names("<0>x"), ("kern", "emerg"));
        assert_eq!(names("<191>x"), ("local7", "debug"));
        assert_eq!(names("x"), ("user", "notice"));
    }

    #[test]
    fn no_datagram_of_the_corpus_upsets_it() {
        let words = ["<", ">", "[", "]", ":", " ", "\"", "\\", "1", "-", "\0", "\n"];
        fuzz("syslog", &words, 20_000, |data| {
            let record = parse(data);
            assert!(record.priority <= HIGHEST && record.tag.len() <= LONGEST_TAG);
            assert!(record.tag.bytes().all(|byte| byte.is_ascii_graphic()));
            // The text is a part of what was sent.
            assert!(
                data.windows(record.text.len().max(1)).any(|part| part == record.text)
                    || record.text.is_empty()
            );
            Ok(())
        });
    }
}
