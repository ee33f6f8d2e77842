//! Which namespaces a container has of its own, beside that of the network.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `T` is a container: as somebody names it, or its id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Share<T> {
    /// One of its own.
    #[default]
    Own,
    /// Of ipc: one of its own, which others may join.
    Shareable,
    Host,
    /// That of another container.
    Container(T),
    /// Of ipc: one of its own, and no /dev/shm.
    None,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(
    default,
    bound(serialize = "T: fmt::Display", deserialize = "T: FromStr<Err: fmt::Display>")
)]
pub struct Namespaces<T> {
    pub pid: Share<T>,
    pub ipc: Share<T>,
    pub uts: Share<T>,
    pub cgroup: Share<T>,
}

impl<T> Default for Namespaces<T> {
    fn default() -> Self {
        Namespaces { pid: Share::Own, ipc: Share::Own, uts: Share::Own, cgroup: Share::Own }
    }
}

impl<T> Namespaces<T> {
    /// The containers whose namespaces it joins.
    pub fn owners(&self) -> impl Iterator<Item = &T> {
        [&self.pid, &self.ipc, &self.uts].into_iter().filter_map(|share| match share {
            Share::Container(owner) => Some(owner),
            _ => None,
        })
    }
}

impl<T> Share<T> {
    pub fn is_own(&self) -> bool {
        matches!(self, Share::Own | Share::Shareable | Share::None)
    }

    /// The same with another way to name containers.
    pub fn map<U>(&self, name: impl FnOnce(&T) -> Result<U, Error>) -> Result<Share<U>, Error> {
        Ok(match self {
            Share::Own => Share::Own,
            Share::Shareable => Share::Shareable,
            Share::Host => Share::Host,
            Share::None => Share::None,
            Share::Container(one) => Share::Container(name(one)?),
        })
    }
}

/// Docker's words, and Podman's `private`.
impl<T: fmt::Display> fmt::Display for Share<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Share::Own => f.write_str("private"),
            Share::Shareable => f.write_str("shareable"),
            Share::Host => f.write_str("host"),
            Share::None => f.write_str("none"),
            Share::Container(one) => write!(f, "container:{one}"),
        }
    }
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Share<T> {
    type Err = Error;
    fn from_str(text: &str) -> Result<Share<T>, Error> {
        let wrong = |why: &str| {
            Error::invalid(format!("\"{text}\" {why}")).hint("use private, host or container:NAME")
        };
        match (text, text.strip_prefix("container:")) {
            ("" | "private", _) => Ok(Share::Own),
            ("shareable", _) => Ok(Share::Shareable),
            ("host", _) => Ok(Share::Host),
            ("none", _) => Ok(Share::None),
            (_, Some("")) => Err(wrong("is without a container")),
            (_, Some(name)) => match name.parse() {
                Ok(one) => Ok(Share::Container(one)),
                Err(e) => Err(Error::invalid(format!("\"{text}\": {e}"))),
            },
            _ => Err(wrong("is no namespace")),
        }
    }
}

impl<T: fmt::Display> Serialize for Share<T> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Share<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Share<T>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ContainerId;

    #[test]
    fn a_share_is_one_word() {
        for word in ["private", "shareable", "host", "none", "container:web"] {
            assert_eq!(word.parse::<Share<String>>().unwrap().to_string(), word);
        }
        for word in ["container:", "lan"] {
            assert!(word.parse::<Share<String>>().is_err(), "{word}");
        }
        assert!("container:x".parse::<Share<ContainerId>>().is_err());
    }
}
