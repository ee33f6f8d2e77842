//! What a container is called: its id, and the name people give it.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// 64 lower-case hex digits, random, so that prefixes are as good as ids.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerId(String);

impl ContainerId {
    pub fn from_random(bytes: [u8; 32]) -> ContainerId {
        ContainerId(super::Digest::from_bytes(bytes).hex())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: what `ps` shows, and the default host name.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = Error;
    fn from_str(text: &str) -> Result<ContainerId, Error> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(ContainerId(text.to_string()))
        } else {
            Err(Error::invalid(format!("\"{text}\" is not a container id (64 hex digits)")))
        }
    }
}

super::serde_by_text!(ContainerId);

/// A container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, 1 to 128 characters, without Docker's
/// leading slash. Docker of 2014 and Podman take one character, Docker of today wants two.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContainerName(String);

impl ContainerName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = Error;
    fn from_str(text: &str) -> Result<ContainerName, Error> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let fits = (1..=128).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if fits {
            return Ok(ContainerName(name.to_string()));
        }
        Err(Error::invalid(format!("invalid container name \"{text}\"")).hint(
            "a name is 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or digit",
        ))
    }
}

super::serde_by_text!(ContainerName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_dockers_grammar() {
        for good in ["web", "a", "a1", "my_app.1-x", "/web"] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a/b", "ä1", "_x"] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
        }
    }
}
