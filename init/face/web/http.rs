//! HTTP as supervisor's clients speak it: requests read as they arrive, answers written. Pure.
//! (RFC 9112; of its bodies only those of a length that is said.)

use super::login;
use std::fmt::Write;

/// A request line and its headers have no more bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// Nor has a body.
const LONGEST_BODY: usize = 4 << 20;

/// A code, and its words.
pub type Status = (u16, &'static str);

pub const OK: Status = (200, "OK");
pub const BAD_REQUEST: Status = (400, "Bad Request");
pub const UNAUTHORIZED: Status = (401, "Unauthorized");
pub const NOT_FOUND: Status = (404, "Not Found");
pub const LENGTH_REQUIRED: Status = (411, "Length Required");
pub const TOO_LARGE: Status = (413, "Content Too Large");
pub const HEAD_TOO_LARGE: Status = (431, "Request Header Fields Too Large");

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub method: Method,
    /// Without a question mark and what follows it.
    pub path: String,
    /// The name and the password that it gives.
    pub login: Option<(String, String)>,
    /// The connection ends with the answer.
    pub close: bool,
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Get,
    Post,
    Other,
}

/// What has arrived and was not yet asked for.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// No request is longer than what is here.
    pub fn is_full(&self) -> bool {
        self.bytes.len() > LONGEST_HEAD.saturating_add(LONGEST_BODY)
    }

    /// The next request, once it is whole.
    pub fn next(&mut self) -> Option<Result<Request, Status>> {
        // Empty lines in front of a request are none of it.
        let blank = self.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.bytes.drain(..blank);
        let Some((head, body)) = head_length(&self.bytes) else {
            return (self.bytes.len() > LONGEST_HEAD).then_some(Err(HEAD_TOO_LARGE));
        };
        if head > LONGEST_HEAD {
            return Some(Err(HEAD_TOO_LARGE));
        }
        let text = String::from_utf8_lossy(self.bytes.get(..head).unwrap_or_default());
        let (mut request, length) = match parse(&text) {
            Ok(parsed) => parsed,
            Err(status) => return Some(Err(status)),
        };
        if length > LONGEST_BODY {
            return Some(Err(TOO_LARGE));
        }
        let end = body.saturating_add(length);
        request.body = self.bytes.get(body..end)?.to_vec();
        self.bytes.drain(..end);
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        Some(Ok(request))
    }
}

/// Where the headers end, and where the body begins.
fn head_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut from: usize = 0;
    loop {
        let at = from.saturating_add(memchr::memchr(b'\n', bytes.get(from..)?)?);
        let next = at.saturating_add(1);
        let rest = bytes.get(next..)?;
        let head = bytes.get(..at).map_or(0, |head| head.strip_suffix(b"\r").unwrap_or(head).len());
        if rest.starts_with(b"\n") {
            return Some((head, next.saturating_add(1)));
        }
        if rest.starts_with(b"\r\n") {
            return Some((head, next.saturating_add(2)));
        }
        from = next;
    }
}

/// The request without its body, and how long that is.
fn parse(head: &str) -> Result<(Request, usize), Status> {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().ok_or(BAD_REQUEST)?);
    let version = words.next().unwrap_or("HTTP/0.9");
    if !version.starts_with("HTTP/") || words.next().is_some() {
        return Err(BAD_REQUEST);
    }
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        _ => Method::Other,
    };
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut request = Request {
        method,
        path: decoded(path).ok_or(BAD_REQUEST)?,
        login: None,
        close: version != "HTTP/1.1",
        body: Vec::new(),
    };
    let mut length = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(BAD_REQUEST)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let number = value.bytes().all(|byte| byte.is_ascii_digit());
                let number = Some(value).filter(|_| number).ok_or(BAD_REQUEST)?;
                // One that no number holds is too large too.
                let number = number.parse().unwrap_or(usize::MAX);
                if length.is_some_and(|other| other != number) {
                    return Err(BAD_REQUEST);
                }
                length = Some(number);
            }
            "transfer-encoding" => return Err(LENGTH_REQUIRED),
            "connection" if value.eq_ignore_ascii_case("close") => request.close = true,
            "connection" if value.eq_ignore_ascii_case("keep-alive") => request.close = false,
            "authorization" => request.login = login::basic(value),
            _ => {}
        }
    }
    match (method, length) {
        (Method::Post, None) => Err(LENGTH_REQUIRED),
        (_, length) => Ok((request, length.unwrap_or(0))),
    }
}

/// A path with its `%2F`; `None` where that is no text.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    status: Status,
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    pub fn xml(body: String) -> Answer {
        Answer { status: OK, kind: "text/xml", body: body.into_bytes() }
    }

    /// A text whose end is not known yet.
    pub fn text() -> Answer {
        Answer { status: OK, kind: "text/plain;charset=utf-8", body: Vec::new() }
    }

    pub fn refusal(status: Status) -> Answer {
        let (code, words) = status;
        let body = format!("{code} {words}\n").into_bytes();
        Answer { status, kind: "text/plain;charset=utf-8", body }
    }

    fn head(&self) -> String {
        let ((code, words), kind) = (self.status, self.kind);
        let mut head =
            format!("HTTP/1.1 {code} {words}\r\nServer: cox\r\nContent-Type: {kind}\r\n");
        if self.status == UNAUTHORIZED {
            head.push_str("WWW-Authenticate: Basic realm=\"default\"\r\n");
        }
        head
    }

    pub fn whole(&self, close: bool) -> Vec<u8> {
        let mut head = self.head();
        let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        head.push_str(if close { "Connection: close\r\n\r\n" } else { "\r\n" });
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The beginning of one that comes in chunks.
    pub fn beginning(&self) -> Vec<u8> {
        let rest = "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n";
        (self.head() + rest).into_bytes()
    }
}

/// A part of an answer that comes in parts.
pub fn chunk(part: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", part.len()).into_bytes();
    bytes.extend_from_slice(part);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    fn read(bytes: &[u8]) -> Option<Result<Request, Status>> {
        let mut reader = Reader::default();
        reader.feed(bytes);
        reader.next()
    }

    #[test]
    fn a_request_is_there_once_it_is_whole() {
        let text = "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /a%2Fb?c HTTP/1.0\r\n\r\n";
        let mut reader = Reader::default();
        let mut requests = Vec::new();
        for byte in text.bytes() {
            reader.feed(&[byte]);
            requests.extend(reader.next().transpose().unwrap());
        }
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[0].method, requests[0].path.as_str()), (Method::Post, "/RPC2"));
        assert_eq!((requests[0].body.as_slice(), requests[0].close), (&b"hello"[..], false));
        assert_eq!((requests[1].path.as_str(), requests[1].close), ("/a/b", true));
    }

    #[test]
    fn a_bad_request_has_one_answer() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(LONGEST_HEAD));
        for (text, status) in [
            ("nonsense\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1 x\r\n\r\n", BAD_REQUEST),
            ("GET /%zz HTTP/1.1\r\n\r\n", BAD_REQUEST),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", BAD_REQUEST),
            ("POST / HTTP/1.1\r\n\r\n", LENGTH_REQUIRED),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", LENGTH_REQUIRED),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", BAD_REQUEST),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", BAD_REQUEST),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", TOO_LARGE),
            ("POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n", TOO_LARGE),
            (long.as_str(), HEAD_TOO_LARGE),
        ] {
            assert_eq!(read(text.as_bytes()), Some(Err(status)), "{text}");
        }
        assert_eq!(read(&vec![b'x'; LONGEST_HEAD + 1]), Some(Err(HEAD_TOO_LARGE)));
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost"), None);
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let whole = String::from_utf8(Answer::xml("<x/>".into()).whole(true)).unwrap();
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with("\r\n\r\n<x/>"));
        assert!(whole.contains("Content-Length: 4\r\n") && whole.contains("Connection: close"));
        assert_eq!(chunk(b"0123456789abcdef"), b"10\r\n0123456789abcdef\r\n");
    }

    #[test]
    fn of_the_corpus_every_request_is_read_refused_or_not_whole() {
        let words = ["\r\n", "\r\n\r\n", ":", " ", "HTTP/1.1", "Content-Length: ", "%", "9"];
        fuzz("http", &words, 5_000, |bytes| {
            let mut reader = Reader::default();
            reader.feed(bytes);
            loop {
                let before = reader.bytes.len();
                match reader.next() {
                    None => return Ok(()),
                    Some(Err((code, _))) => return Err(format!("{code}")),
                    Some(Ok(_)) => assert!(reader.bytes.len() < before),
                }
            }
        });
    }
}
