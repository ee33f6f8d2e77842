//! Ports that a program listens on, as EXPOSE and `--expose` write them: `80`, `53/udp`,
//! `8000-8010/tcp` (Dockerfile reference). Without a protocol it is tcp.

use crate::error::Error;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Port {
    pub number: NonZeroU16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    /// The number in packets (IANA protocol-numbers).
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

/// `80/tcp`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.word())
    }
}

/// Ports next to each other, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortRange {
    pub first: NonZeroU16,
    pub last: NonZeroU16,
}

impl PortRange {
    /// One port.
    pub fn of(port: NonZeroU16) -> PortRange {
        PortRange { first: port, last: port }
    }

    pub fn numbers(self) -> impl Iterator<Item = NonZeroU16> {
        (self.first.get()..=self.last.get()).filter_map(NonZeroU16::new)
    }

    pub fn count(self) -> usize {
        usize::from(self.last.get() - self.first.get()) + 1
    }

    /// `80`, or `8000-8010`. The error is the part that is wrong, and how.
    pub fn parse(text: &str) -> Result<PortRange, String> {
        let number = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<NonZeroU16>().ok().filter(|_| plain);
            number.ok_or_else(|| format!("\"{text}\" is no port"))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        match first <= last {
            true => Ok(PortRange { first, last }),
            false => Err(format!("the range \"{text}\" is the wrong way round")),
        }
    }
}

/// `80`, or `8000-8010`
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// Splits `numbers[/protocol]`.
pub(super) fn split_protocol(text: &str) -> Result<(&str, Protocol), Error> {
    let (numbers, word) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = Protocol::ALL.into_iter().find(|known| known.word().eq_ignore_ascii_case(word));
    known.map(|protocol| (numbers, protocol)).ok_or_else(|| {
        Error::invalid(format!("unknown protocol in \"{text}\"")).hint("use tcp, udp or sctp")
    })
}

/// The ports of `text`: one, or each of a range.
pub fn parse_ports(text: &str) -> Result<Vec<Port>, Error> {
    let (numbers, protocol) = split_protocol(text)?;
    let range = PortRange::parse(numbers).map_err(|_| {
        Error::invalid(format!("\"{text}\" is not port[-port][/protocol]"))
            .hint("a port is a number from 1 to 65535: 80, 53/udp, 8000-8010")
    })?;
    Ok(range.numbers().map(|number| Port { number, protocol }).collect())
}

/// One port.
impl FromStr for Port {
    type Err = Error;
    fn from_str(text: &str) -> Result<Port, Error> {
        match parse_ports(text)?[..] {
            [port] => Ok(port),
            _ => Err(Error::invalid(format!("\"{text}\" is more than one port"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_or_a_range_of_them() {
        let ports = |text: &str| {
            let ports = parse_ports(text).unwrap();
            ports.iter().map(Port::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ports("80"), "80/tcp");
        assert_eq!(ports("53/UDP"), "53/udp");
        assert_eq!(ports("8000-8002/sctp"), "8000/sctp 8001/sctp 8002/sctp");
        assert_eq!(ports("65535-65535"), "65535/tcp");
        assert_eq!("53/udp".parse::<Port>().unwrap().to_string(), "53/udp");
        assert!("53-54".parse::<Port>().is_err());
    }

    #[test]
    fn what_is_no_port_is_quoted() {
        for bad in ["", "0", "99999", "abc", "-1", "+80", "2-1", "1-", "80/xtp", "80/", "80 "] {
            let error = parse_ports(bad).unwrap_err();
            assert!(error.to_string().contains(&format!("\"{bad}\"")), "{error}");
            assert_eq!(error.hints().len(), 1);
        }
    }
}
