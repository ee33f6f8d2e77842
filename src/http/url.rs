//! URLs with the scheme http (RFC 3986, as far as http needs it).

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    host: String,
    port: u16,
    /// With the query, beginning with a slash.
    path: String,
}

impl Url {
    /// Without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path, as the name of a file; `None` where it cannot be one.
    pub fn file_name(&self) -> Option<Vec<u8>> {
        let path = self.path.split('?').next().unwrap_or_default();
        let mut parts = path.rsplit('/').next().unwrap_or_default().split('%');
        let mut name = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (digits, rest) = part.split_at_checked(2)?;
            let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
            name.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
            name.extend_from_slice(rest.as_bytes());
        }
        let is_name = !matches!(&name[..], b"" | b"." | b"..") && !name.contains(&b'/');
        (is_name && !name.contains(&0)).then_some(name)
    }

    /// Host and port as a request names them.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    /// What `reference` means on a page of this URL.
    pub fn join(&self, reference: &str) -> Result<Url> {
        let base = |path: String| Url { path, ..self.clone() };
        let reference = reference.split('#').next().unwrap_or_default();
        if let Some(rest) = reference.strip_prefix("//") {
            return format!("http://{rest}").parse();
        }
        if reference.starts_with('/') {
            return checked(base(reference.to_string()));
        }
        let first = reference.split(['/', '?']).next().unwrap_or_default();
        if first.contains(':') {
            return reference.parse();
        }
        let path = self.path.split('?').next().unwrap_or_default();
        if reference.is_empty() || reference.starts_with('?') {
            return checked(base(format!("{path}{reference}")));
        }
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        checked(base(format!("{directory}/{reference}")))
    }
}

/// A request is one line of printable characters.
fn checked(url: Url) -> Result<Url> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    if plain(&url.host) && plain(&url.path) {
        return Ok(url);
    }
    let text = url.to_string();
    Err(Error::invalid(format!("{}: a URL has no such characters", text.escape_default()))
        .hint("write a blank as %20, others likewise"))
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Url> {
        let bad = |what: &str| Error::invalid(format!("{}: {what}", text.escape_default()));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("no URL"))?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(bad("https is not built in yet").hint("curl -L URL gets it"));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(bad("no http URL"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(bad("a URL with a user's name is not supported"));
        }
        let after_host = authority.find(']').map_or(0, |at| at + 1);
        let (host, port) = match authority.get(after_host..).and_then(|rest| rest.rfind(':')) {
            None => (authority, "80"),
            Some(at) => {
                let (host, port) = authority.split_at(after_host + at);
                (host, port.get(1..).filter(|port| !port.is_empty()).unwrap_or("80"))
            }
        };
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("a bad port"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || (bracketed.is_none() && host.contains([':', '[', ']'])) {
            return Err(bad("a bad host"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        checked(Url { host: host.to_string(), port, path: format!("{slash}{path}") })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, host, port, path) in [
            ("http://example.com", "example.com", 80, "/"),
            ("HTTP://example.com/a.tgz?b=c#d", "example.com", 80, "/a.tgz?b=c"),
            ("http://[::1]:8080/x", "::1", 8080, "/x"),
            ("http://10.0.0.1:/x", "10.0.0.1", 80, "/x"),
            ("http://h?q", "h", 80, "/?q"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.path()), (host, port, path), "{text}");
        }
        for bad in [
            "x",
            "ftp://h/",
            "http://",
            "http://h:0/",
            "http://h:x/",
            "http://a b/",
            "http://h/\r\n",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
        let told = "https://h/x".parse::<Url>().unwrap_err();
        assert!(told.to_string().contains("not built in yet") && !told.hints().is_empty());
    }

    #[test]
    fn the_last_part_names_a_file() {
        for (text, name) in [
            ("http://h/a/b.txt?c=/d", Some("b.txt")),
            ("http://h/a%20b%C3%A9", Some("a b\u{e9}")),
            ("http://h/.../", None),
            ("http://h", None),
            ("http://h/a/..", None),
            ("http://h/a%2fb", None),
            ("http://h/a%00", None),
            ("http://h/a%", None),
            ("http://h/a%+1", None),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.file_name().as_deref(), name.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn redirects_are_read_from_where_they_were_found() {
        let base: Url = "http://h:81/a/b?q".parse().unwrap();
        for (reference, whole) in [
            ("/x", "http://h:81/x"),
            ("x?y", "http://h:81/a/x?y"),
            ("?y", "http://h:81/a/b?y"),
            ("//other/x", "http://other/x"),
            ("http://other:82/x", "http://other:82/x"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), whole);
        }
        assert!(base.join("https://h/x").unwrap_err().to_string().contains("not built in"));
        assert!(base.join("file:///etc/passwd").is_err());
        assert!(base.join("/a b").is_err());
    }
}
