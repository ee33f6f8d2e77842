//! What a container is told of names: whom to ask (resolv.conf(5)), and lines for its /etc/hosts.

use super::serde_by_text;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `--dns`, `--dns-search` and `--dns-option`: what is not empty replaces what the host has.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolver {
    pub servers: Vec<IpAddr>,
    /// `.` alone: no domain is searched.
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl Resolver {
    pub fn is_empty(&self) -> bool {
        *self == Resolver::default()
    }

    pub fn parse_server(text: &str) -> Result<IpAddr> {
        text.parse().map_err(|_| {
            Error::invalid(format!("\"{text}\" is no IP address"))
                .hint("name a server by its address, as in 8.8.8.8")
        })
    }

    pub fn parse_search(text: &str) -> Result<String> {
        // A dot at the end is said to be absolute, which all of them are.
        let domain = text.strip_suffix('.').unwrap_or(text);
        match text == "." || is_host_name(domain) {
            true => Ok(text.to_string()),
            false => Err(Error::invalid(format!("\"{text}\" is no domain"))
                .hint("write a domain, or . for none")),
        }
    }

    pub fn parse_option(text: &str) -> Result<String> {
        match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(text.to_string()),
            false => Err(Error::invalid(format!("\"{text}\" is no option of resolv.conf"))
                .hint("write one word, as in ndots:2")),
        }
    }
}

/// A line of /etc/hosts: `db:10.0.0.3`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtraHost {
    pub name: String,
    /// `None` for `host-gateway`: wherever the host is reached.
    pub address: Option<IpAddr>,
}

const HOST_GATEWAY: &str = "host-gateway";

impl fmt::Display for ExtraHost {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}:{address}", self.name),
            None => write!(f, "{}:{HOST_GATEWAY}", self.name),
        }
    }
}

impl FromStr for ExtraHost {
    type Err = Error;
    /// `name:address`, also with `=` for the colon and with IPv6 in brackets.
    fn from_str(text: &str) -> Result<ExtraHost> {
        let bad = |what: String| {
            Error::invalid(what).hint("write name:address, as in db:10.0.0.3, or name:host-gateway")
        };
        let Some((name, address)) = text.split_once([':', '=']) else {
            return Err(bad(format!("\"{text}\" is not name:address")));
        };
        if !is_host_name(name) {
            return Err(bad(format!("\"{name}\" of \"{text}\" is no host name")));
        }
        let address = match address {
            HOST_GATEWAY => None,
            _ => {
                let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let parsed = match bare {
                    Some(bare) => bare.parse().map(IpAddr::V6).ok(),
                    None => address.parse().ok(),
                };
                let none = || bad(format!("\"{address}\" of \"{text}\" is no IP address"));
                Some(parsed.ok_or_else(none)?)
            }
        };
        Ok(ExtraHost { name: name.to_string(), address })
    }
}
serde_by_text!(ExtraHost);

/// Whether a line of /etc/hosts or resolv.conf can name it (RFC 1123, and underscores, which
/// people use).
pub fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_an_address_in_all_spellings() {
        for (text, expected) in [
            ("db:10.0.0.3", "db:10.0.0.3"),
            ("db=10.0.0.3", "db:10.0.0.3"),
            ("db.example.org:fd00::1", "db.example.org:fd00::1"),
            ("db:[fd00::1]", "db:fd00::1"),
            ("up:host-gateway", "up:host-gateway"),
        ] {
            let host: ExtraHost = text.parse().unwrap();
            assert_eq!(host.to_string(), expected);
            assert_eq!(expected.parse::<ExtraHost>().unwrap(), host);
        }
        for (text, expected) in [
            ("db", "\"db\" is not name:address"),
            (":1.2.3.4", "\"\" of \":1.2.3.4\" is no host name"),
            ("a b:1.2.3.4", "\"a b\" of \"a b:1.2.3.4\" is no host name"),
            ("db:", "\"\" of \"db:\" is no IP address"),
            ("db:[1.2.3.4]", "\"[1.2.3.4]\" of \"db:[1.2.3.4]\" is no IP address"),
            ("db:1.2.3.256", "\"1.2.3.256\" of \"db:1.2.3.256\" is no IP address"),
        ] {
            assert_eq!(text.parse::<ExtraHost>().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn resolver_words_cannot_break_the_file() {
        assert!(Resolver::parse_server("fd00::53").is_ok());
        for text in ["dns.example.org", "", "1.2.3.4 ", "1.2.3"] {
            assert!(Resolver::parse_server(text).is_err(), "{text}");
        }
        for text in [".", "example.org", "example.org.", "_tcp.local"] {
            assert_eq!(Resolver::parse_search(text).unwrap(), text);
        }
        for text in ["", "..", "a b", "a\nnameserver 1.1.1.1", "-x"] {
            assert!(Resolver::parse_search(text).is_err(), "{text}");
        }
        assert!(Resolver::parse_option("ndots:2").is_ok());
        for text in ["", "a b", "x\ny"] {
            assert!(Resolver::parse_option(text).is_err(), "{text}");
        }
    }
}
