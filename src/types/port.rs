//! Ports that a program listens on, as EXPOSE and `--expose` write them: `80`, `53/udp`,
//! `8000-8010/tcp` (Dockerfile reference). Without a protocol it is tcp.

use crate::error::Error;
use std::fmt;
use std::num::NonZeroU16;

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
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// `80/tcp`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.word())
    }
}

/// The ports of `text`: one, or each of a range.
pub fn parse_ports(text: &str) -> Result<Vec<Port>, Error> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = known.into_iter().find(|known| known.word().eq_ignore_ascii_case(protocol));
    let protocol = protocol.ok_or_else(|| {
        Error::invalid(format!("unknown protocol in \"{text}\"")).hint("use tcp, udp or sctp")
    })?;
    let bad = || {
        Error::invalid(format!("\"{text}\" is not port[-port][/protocol]"))
            .hint("a port is a number from 1 to 65535: 80, 53/udp, 8000-8010")
    };
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<NonZeroU16>().ok().filter(|_| plain).ok_or_else(bad)
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(bad());
    }
    let numbers = (first.get()..=last.get()).filter_map(NonZeroU16::new);
    Ok(numbers.map(|number| Port { number, protocol }).collect())
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
