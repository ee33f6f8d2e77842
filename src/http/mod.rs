//! A small HTTP client: `GET` over a connection of its own, answers as streams.
//!
//! ```text
//! url    what a URL names
//! body   the body of an answer: by length, in chunks, or to the end of the connection
//! ```
//!
//! Redirects are followed to http URLs only, ten at most. Nobody is waited for longer than
//! `Timeouts` says. A body that ends early is an error, so what came out whole is whole.
//! Sources: RFC 9110 (redirects), RFC 9112 (messages, chunks).

mod body;
mod url;

pub use body::Body;
pub use url::Url;

use crate::error::{Context, Error, Result, reason};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const REDIRECTS_MAX: usize = 10;
/// The most bytes of an answer's head, and the most fields in it.
const HEAD_MAX: usize = 32 << 10;
const FIELDS_MAX: usize = 100;
const BUFFER: usize = 64 << 10;

/// How long a server may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(30), silence: Duration::from_secs(60) }
    }
}

/// Gets what `url` names, through redirects.
pub fn get(url: &Url, timeouts: Timeouts) -> Result<Body> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        match get_once(&url, timeouts).doing(|| format!("get {url}"))? {
            Answer::Body(body) => return Ok(body),
            Answer::Redirect(to) => url = url.join(&to).doing(|| format!("get {url}"))?,
        }
    }
    Err(Error::invalid(format!("get {url}: more than {REDIRECTS_MAX} redirects")))
}

enum Answer {
    Body(Body),
    Redirect(String),
}

fn get_once(url: &Url, timeouts: Timeouts) -> Result<Answer> {
    let mut stream = connect(url, timeouts)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: coracle/{}\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
        url.path(),
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(request.as_bytes()).map_err(|e| failed("send the request", e, timeouts))?;
    let mut input = BufReader::with_capacity(BUFFER, stream);
    loop {
        let head = Head::read(&mut input, timeouts)?;
        match head.code {
            100..=199 => {}
            200 => return head.body(input, timeouts).map(Answer::Body),
            301 | 302 | 303 | 307 | 308 => {
                let location = head.location.ok_or_else(|| {
                    Error::invalid(format!("the server answers {} without a place", head.code))
                })?;
                return Ok(Answer::Redirect(location));
            }
            code => {
                let text = format!("the server answers {code} {}", head.reason);
                let text = text.trim_end().to_string();
                return Err(if code == 404 {
                    Error::not_found(text)
                } else {
                    Error::invalid(text)
                });
            }
        }
    }
}

/// A connection to the first address that takes one.
fn connect(url: &Url, timeouts: Timeouts) -> Result<TcpStream> {
    let addresses = (url.host(), url.port()).to_socket_addrs();
    let addresses = addresses.map_err(|e| Error::os("look up", url.host(), e))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeouts.connect) {
            Ok(stream) => {
                let set = stream.set_read_timeout(Some(timeouts.silence));
                let set = set.and_then(|()| stream.set_write_timeout(Some(timeouts.silence)));
                set.map_err(|e| Error::os("set up", "the connection", e))?;
                return Ok(stream);
            }
            Err(e) => last = Some(Error::os("connect to", address.to_string(), e)),
        }
    }
    Err(last.unwrap_or_else(|| Error::not_found(format!("{} has no address", url.host()))))
}

/// The error of a connection; silence is told by its length.
fn failed(op: &'static str, error: std::io::Error, timeouts: Timeouts) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::invalid(silence(timeouts)),
        _ => Error::os(op, "", error),
    }
}

fn silence(timeouts: Timeouts) -> String {
    format!("the server has been silent for {} seconds", timeouts.silence.as_secs())
}

/// What is of use in the head of an answer.
struct Head {
    code: u16,
    reason: String,
    location: Option<String>,
    length: Option<u64>,
    encoding: Option<String>,
}

impl Head {
    fn read(input: &mut BufReader<TcpStream>, timeouts: Timeouts) -> Result<Head> {
        let mut bytes = Vec::new();
        loop {
            let part = match input.fill_buf() {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(|e| failed("read the answer", e, timeouts))?,
            };
            if part.is_empty() {
                return Err(Error::invalid("the server closed the connection without an answer"));
            }
            let before = bytes.len();
            bytes.extend_from_slice(part);
            let taken = part.len();
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&bytes) {
                Ok(httparse::Status::Complete(length)) => {
                    let head = Head::new(&response)?;
                    input.consume(length - before);
                    return Ok(head);
                }
                Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => input.consume(taken),
                _ => return Err(Error::invalid("the server does not speak HTTP")),
            }
        }
    }

    fn new(response: &httparse::Response) -> Result<Head> {
        let fields = |name: &str| {
            let named = response.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
            named.map(|h| String::from_utf8_lossy(h.value).trim().to_string()).collect::<Vec<_>>()
        };
        let lengths = fields("content-length");
        let bad = || Error::invalid(format!("a Content-Length of \"{}\"", lengths.join(", ")));
        let length = match lengths.split_first() {
            None => None,
            Some((first, others)) if others.iter().all(|other| other == first) => {
                let digits = first.bytes().all(|b| b.is_ascii_digit());
                Some(first.parse().ok().filter(|_| digits).ok_or_else(bad)?)
            }
            Some(_) => return Err(bad()),
        };
        let encodings = fields("transfer-encoding");
        Ok(Head {
            code: response.code.unwrap_or_default(),
            reason: response.reason.unwrap_or_default().to_string(),
            location: fields("location").pop(),
            length,
            encoding: (!encodings.is_empty()).then(|| encodings.join(", ")),
        })
    }

    fn body(&self, input: BufReader<TcpStream>, timeouts: Timeouts) -> Result<Body> {
        match &self.encoding {
            None => Ok(Body::new(Box::new(input), self.length, timeouts)),
            Some(name) if name.eq_ignore_ascii_case("chunked") => {
                Ok(Body::chunked(Box::new(input), timeouts))
            }
            Some(name) => Err(Error::invalid(format!("an unknown transfer encoding: {name}"))),
        }
    }
}

/// The words for an error of `input` while a body is read.
fn told(error: std::io::Error, timeouts: Timeouts) -> std::io::Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => std::io::Error::other(silence(timeouts)),
        _ => std::io::Error::other(format!("the connection broke: {}", reason(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn a_silent_server_is_not_waited_for() {
        let timeouts = Timeouts { silence: Duration::from_millis(50), ..Timeouts::default() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Url = format!("http://{}/x", listener.local_addr().unwrap()).parse().unwrap();
        let told = get(&url, timeouts).err().unwrap().to_string();
        assert!(told.ends_with("the server has been silent for 0 seconds"), "{told}");

        let mut body = std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                // The first one is of the attempt above.
                let (_, (mut stream, _)) = (listener.accept(), listener.accept().unwrap());
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
                stream
            });
            let body = get(&url, timeouts).unwrap();
            // The connection stays open.
            (body, server.join().unwrap())
        });
        let mut text = String::new();
        let told = body.0.read_to_string(&mut text).unwrap_err().to_string();
        assert_eq!((text.as_str(), told.contains("silent")), ("half", true), "{told}");
    }
}
