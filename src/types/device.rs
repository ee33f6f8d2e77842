//! Devices for a container, as `--device` and `--device-cgroup-rule` write them.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// `/dev/host[:/dev/container][:rwm]`: a node of the host, or a directory of such.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceMapping {
    /// Absolute.
    pub host: String,
    /// Below /dev.
    pub container: String,
    /// Letters of `rwm`: read, write, mknod.
    pub access: String,
}

fn is_access(text: &str) -> bool {
    let mut letters: Vec<u8> = text.bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    !text.is_empty() && letters.len() == text.len() && text.bytes().all(|b| b"rwm".contains(&b))
}

impl FromStr for DeviceMapping {
    type Err = Error;
    fn from_str(text: &str) -> Result<DeviceMapping, Error> {
        let bad = |why: String| {
            Error::invalid(format!("invalid device \"{text}\": {why}"))
                .hint("write /dev/host[:/dev/container][:rwm]")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, access) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, access] if is_access(access) => (host, host, access),
            [host, container] => (host, container, "rwm"),
            [host, container, access] => (host, container, access),
            _ => return Err(bad("there are more than three parts".into())),
        };
        if !host.starts_with('/') {
            return Err(bad(format!("\"{host}\" is not an absolute path")));
        }
        if !is_access(access) {
            return Err(bad(format!("\"{access}\" is not made of r, w and m, each once")));
        }
        let mut parts = container.split('/').skip(1);
        let is_below = parts.next() == Some("dev") && parts.clone().next().is_some();
        if !is_below || parts.any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(bad(format!("\"{container}\" is not below /dev")));
        }
        let [host, container, access] = [host, container, access].map(str::to_string);
        Ok(DeviceMapping { host, container, access })
    }
}

impl fmt::Display for DeviceMapping {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}:{}", self.host, self.container, self.access)
    }
}

super::serde_by_text!(DeviceMapping);

/// A line of the devices cgroup: `c 189:* rmw`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceLine {
    /// `a`, `b` or `c`.
    pub kind: char,
    /// None for any.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: String,
}

impl FromStr for DeviceLine {
    type Err = Error;
    fn from_str(text: &str) -> Result<DeviceLine, Error> {
        let bad = || {
            Error::invalid(format!("invalid rule for devices \"{text}\""))
                .hint("write type major:minor access: c 189:* rmw")
        };
        let [kind, numbers, access] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(bad());
        };
        let number = |word: &str| match word {
            "*" => Ok(None),
            _ => word.parse().map(Some).map_err(|_| bad()),
        };
        let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
        let kind = match kind {
            "a" => 'a',
            "b" => 'b',
            "c" => 'c',
            _ => return Err(bad()),
        };
        if !is_access(access) {
            return Err(bad());
        }
        let (major, minor) = (number(major)?, number(minor)?);
        Ok(DeviceLine { kind, major, minor, access: access.to_string() })
    }
}

impl fmt::Display for DeviceLine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let word = |n: Option<u32>| n.map_or("*".to_string(), |n| n.to_string());
        write!(f, "{} {}:{} {}", self.kind, word(self.major), word(self.minor), self.access)
    }
}

super::serde_by_text!(DeviceLine);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_its_place_and_its_access() {
        for (text, full) in [
            ("/dev/fuse", "/dev/fuse:/dev/fuse:rwm"),
            ("/dev/fuse:r", "/dev/fuse:/dev/fuse:r"),
            ("/dev/sda:/dev/xvdc", "/dev/sda:/dev/xvdc:rwm"),
            ("/srv/null:/dev/net/x:rw", "/srv/null:/dev/net/x:rw"),
        ] {
            assert_eq!(text.parse::<DeviceMapping>().unwrap().to_string(), full);
        }
        for (text, why) in [
            ("fuse", "\"fuse\" is not an absolute path"),
            ("/dev/fuse:/tmp/fuse", "\"/tmp/fuse\" is not below /dev"),
            ("/dev/fuse:/dev/../etc/x", "\"/dev/../etc/x\" is not below /dev"),
            ("/dev/fuse:/dev/", "\"/dev/\" is not below /dev"),
            ("/dev", "\"/dev\" is not below /dev"),
            ("/dev/fuse:/dev/fuse:rr", "\"rr\" is not made of r, w and m, each once"),
            ("/dev/a:/dev/b:r:w", "there are more than three parts"),
        ] {
            let error = text.parse::<DeviceMapping>().unwrap_err().to_string();
            assert_eq!(error, format!("invalid device \"{text}\": {why}"));
        }
    }

    #[test]
    fn a_rule_names_numbers() {
        for text in ["c 189:* rmw", "b 8:0 r", "a *:* rwm"] {
            assert_eq!(text.parse::<DeviceLine>().unwrap().to_string(), text);
        }
        for text in ["", "c 1:2", "x 1:2 r", "c 1 r", "c 1:-2 r", "c 1:2 q", "c 1:2 r w"] {
            assert!(text.parse::<DeviceLine>().is_err(), "{text}");
        }
    }
}
