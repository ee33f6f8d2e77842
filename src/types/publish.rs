//! Ports of containers that are to be found on the host.
//!
//! What `-p` asks for is a `PortBinding`; both documentations of Docker, of 2014 and of today, write
//! it `[[ip]:[hostPort]]:containerPort[/protocol]`:
//!
//! ```text
//! 80                       on every address, on a port that is chosen at start
//! 8080:80/udp              on every address
//! 127.0.0.1:8080:80        on this one; [::1]:8080:80
//! 127.0.0.1::80            on this one, on a port that is chosen at start; so is 0
//! 8000-8010:9000-9010      each to its counterpart
//! 8000-8010:80             on one of them
//! ```
//!
//! What came of it is a `Published`, written as `ps` shows it: `0.0.0.0:8080->80/tcp`.

use super::port::{PortRange, split_protocol};
use super::{Port, serde_by_text};
use crate::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

/// A port of the container, and where on the host it is to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortBinding {
    pub port: Port,
    /// `None` for every address.
    pub address: Option<IpAddr>,
    /// One of these; `None` for any that is free.
    pub host: Option<PortRange>,
}

impl PortBinding {
    /// The one port of the host that will do.
    pub fn fixed(&self) -> Option<NonZeroU16> {
        self.host.filter(|range| range.count() == 1).map(|range| range.first)
    }

    /// Whether both can only be had at the same place.
    pub fn clashes(&self, other: &PortBinding) -> bool {
        self.port.protocol == other.port.protocol
            && self.fixed().is_some_and(|host| other.fixed() == Some(host))
            && overlap(self.address, other.address)
    }
}

/// Whether a socket on the one address is in the way of a socket on the other.
fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let one_is_any = one.is_unspecified() || other.is_unspecified();
    one == other || (one.is_ipv4() == other.is_ipv4() && one_is_any)
}

/// The bindings that a `-p` asks for.
pub fn parse_publish(text: &str) -> Result<Vec<PortBinding>, Error> {
    const NUMBERS: &str = "a port is a number from 1 to 65535; write [[ip]:[port]:]port[/protocol]";
    let bad = |what: String| Error::invalid(format!("cannot publish \"{text}\": {what}"));
    let mut parts = text.rsplitn(3, ':');
    let inside = parts.next().unwrap_or_default();
    let outside = parts.next().filter(|part| !part.is_empty() && *part != "0");
    let address = parts.next().filter(|part| !part.is_empty());

    let (inside, protocol) = split_protocol(inside)?;
    if inside.is_empty() {
        return Err(bad("the container's port is missing".into()).hint(NUMBERS));
    }
    let range = |text: &str| PortRange::parse(text).map_err(|what| bad(what).hint(NUMBERS));
    let (ports, host) = (range(inside)?, outside.map(range).transpose()?);
    let address = address.map(|text| {
        parse_address(text).ok_or_else(|| {
            bad(format!("\"{text}\" is no IP address")).hint("write it as 127.0.0.1 or [::1]")
        })
    });
    let address = address.transpose()?;

    if let Some(host) = host
        && ports.count() > 1
        && ports.count() != host.count()
    {
        return Err(bad(format!("{host} and {ports} differ in length"))
            .hint("give each port of the container one of the host, or none at all"));
    }
    // Each has its own, or all have the choice.
    let mut own = host.filter(|_| ports.count() > 1).map(PortRange::numbers);
    let binding = |number| PortBinding {
        port: Port { number, protocol },
        address,
        host: match &mut own {
            Some(own) => own.next().map(PortRange::of),
            None => host,
        },
    };
    Ok(ports.numbers().map(binding).collect())
}

/// IPv6 comes with or without its brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inside {
        Some(inside) => inside.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    }
}

/// As the last word of `-p`; the record of a container has it so.
impl fmt::Display for PortBinding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:{}", self.port),
            None if self.address.is_some() => write!(f, ":{}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}

impl FromStr for PortBinding {
    type Err = Error;
    fn from_str(text: &str) -> Result<PortBinding, Error> {
        match parse_publish(text)?[..] {
            [binding] => Ok(binding),
            _ => Err(Error::invalid(format!("\"{text}\" is more than one port"))),
        }
    }
}

serde_by_text!(PortBinding);

/// A port of a container, and where on the host it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published {
    pub address: IpAddr,
    pub host: NonZeroU16,
    pub port: Port,
}

impl Published {
    /// As a wish for just that.
    pub fn binding(&self) -> PortBinding {
        let host = Some(PortRange::of(self.host));
        PortBinding { port: self.port, address: Some(self.address), host }
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}->{}", SocketAddr::new(self.address, self.host.get()), self.port)
    }
}

impl FromStr for Published {
    type Err = Error;
    fn from_str(text: &str) -> Result<Published, Error> {
        let read = || {
            let (outside, port) = text.split_once("->")?;
            let (address, host) = outside.rsplit_once(':')?;
            let (address, host) = (parse_address(address)?, host.parse().ok()?);
            Some(Published { address, host, port: port.parse().ok()? })
        };
        read().ok_or_else(|| Error::invalid(format!("\"{text}\" is not address:port->port")))
    }
}

serde_by_text!(Published);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let all = parse_publish(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        all.iter().map(PortBinding::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_form_of_the_documentations() {
        for (text, expected) in [
            ("80", "80/tcp"),
            ("80/udp", "80/udp"),
            ("80/SCTP", "80/sctp"),
            (":80", "80/tcp"),
            ("::80", "80/tcp"),
            ("0:80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            (":8080:80", "8080:80/tcp"),
            ("127.0.0.1:80:8080", "127.0.0.1:80:8080/tcp"),
            ("127.0.0.1:53:5353/udp", "127.0.0.1:53:5353/udp"),
            ("127.0.0.1::80/udp", "127.0.0.1::80/udp"),
            ("127.0.0.1:0:80", "127.0.0.1::80/tcp"),
            ("0.0.0.0:1:65535", "0.0.0.0:1:65535/tcp"),
            ("[::1]:80:80", "[::1]:80:80/tcp"),
            ("[::]::80", "[::]::80/tcp"),
            ("::1:80:80", "[::1]:80:80/tcp"),
            ("2001:db8::1::80", "[2001:db8::1]::80/tcp"),
            ("80-81", "80/tcp 81/tcp"),
            ("8000-8001:80-81/udp", "8000:80/udp 8001:81/udp"),
            ("10.0.0.1:8000-8001:80-81", "10.0.0.1:8000:80/tcp 10.0.0.1:8001:81/tcp"),
            ("10.0.0.1::80-81", "10.0.0.1::80/tcp 10.0.0.1::81/tcp"),
            ("8000-8010:80", "8000-8010:80/tcp"),
            ("[fe80::1]:8000-8010:80/udp", "[fe80::1]:8000-8010:80/udp"),
            ("80-80:443-443", "80:443/tcp"),
        ] {
            assert_eq!(read(text), expected, "{text}");
            // What is written down is read the same.
            for one in expected.split(' ') {
                assert_eq!(read(one), one);
            }
        }
        assert_eq!(parse_publish("1-65535:1-65535").unwrap().len(), 65535);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, what) in [
            ("", "the container's port is missing"),
            ("8080:", "the container's port is missing"),
            ("/udp", "the container's port is missing"),
            ("0", "\"0\" is no port"),
            ("80:0", "\"0\" is no port"),
            ("65536:80", "\"65536\" is no port"),
            ("80:65536", "\"65536\" is no port"),
            ("+80", "\"+80\" is no port"),
            ("80-:80", "\"\" is no port"),
            ("0-5:80", "\"0\" is no port"),
            ("http:80", "\"http\" is no port"),
            ("90-80", "the range \"90-80\" is the wrong way round"),
            ("8010-8000:80-90", "the range \"8010-8000\" is the wrong way round"),
            ("8000-8005:80-90", "8000-8005 and 80-90 differ in length"),
            ("8000:80-90", "8000 and 80-90 differ in length"),
            ("localhost:80:80", "\"localhost\" is no IP address"),
            ("127.0.0:80:80", "\"127.0.0\" is no IP address"),
            ("[127.0.0.1]:80:80", "\"[127.0.0.1]\" is no IP address"),
            ("[::1:80:80", "\"[::1\" is no IP address"),
            (":::80", "\":\" is no IP address"),
            ("fe80::1%eth0:80:80", "\"fe80::1%eth0\" is no IP address"),
        ] {
            let error = parse_publish(text).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot publish \"{text}\": {what}"));
            assert_eq!(error.hints().len(), 1, "{text}");
        }
        let error = parse_publish("80:80/xtp").unwrap_err();
        assert_eq!(error.to_string(), "unknown protocol in \"80/xtp\"");
    }

    #[test]
    fn two_clash_on_the_same_port_and_address_only() {
        let clash = |a: &str, b: &str| {
            let (a, b): (PortBinding, PortBinding) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.clashes(&b), b.clashes(&a));
            a.clashes(&b)
        };
        assert!(clash("80:80", "80:81"));
        assert!(clash("80:80", "127.0.0.1:80:81") && clash("80:80", "[::1]:80:81"));
        assert!(clash("0.0.0.0:80:80", "127.0.0.1:80:81"));
        assert!(!clash("0.0.0.0:80:80", "[::]:80:80"));
        assert!(!clash("127.0.0.1:80:80", "127.0.0.2:80:80"));
        assert!(!clash("80:80", "80:80/udp") && !clash("80:80", "81:80"));
        assert!(!clash("80", "80") && !clash("80-81:80", "80:81"));
    }

    #[test]
    fn what_is_published_is_written_as_ps_shows_it() {
        for text in ["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp", "[::1]:53->53/udp"] {
            assert_eq!(text.parse::<Published>().unwrap().to_string(), text);
        }
        assert!("8080->80/tcp".parse::<Published>().is_err());
        assert!("0.0.0.0:0->80/tcp".parse::<Published>().is_err());
    }
}
