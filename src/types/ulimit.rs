//! Resource limits of a process by the names of getrlimit(2), and as `--ulimit` writes them:
//! `nofile=1024:2048`, one number for both, -1 for no limit.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// Each at its number in the kernel.
pub const RESOURCES: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// The kernel's number of `RLIMIT_NOFILE`, `NOFILE` or `nofile`.
pub fn resource_number(name: &str) -> Option<i32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    RESOURCES.iter().position(|n| *n == short).and_then(|i| i32::try_from(i).ok())
}

/// `u64::MAX` is no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ulimit {
    /// In small letters: `nofile`.
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

impl Ulimit {
    /// The kernel's number of the resource.
    pub fn resource(&self) -> i32 {
        resource_number(&self.name).unwrap_or_default()
    }
}

impl FromStr for Ulimit {
    type Err = Error;
    fn from_str(text: &str) -> Result<Ulimit, Error> {
        let bad = |why: &str| {
            Error::invalid(format!("invalid limit \"{text}\": {why}"))
                .hint("write name=soft[:hard]: nofile=1024:2048")
        };
        let (name, limits) = text.split_once('=').ok_or_else(|| bad("there is no \"=\""))?;
        if resource_number(name).is_none() || !name.bytes().all(|b| b.is_ascii_lowercase()) {
            let known = RESOURCES.map(str::to_ascii_lowercase);
            let error = Error::invalid(format!("invalid limit \"{text}\": no resource \"{name}\""));
            return Err(match super::nearest(name, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("the resources are {}", known.join(" "))),
            });
        }
        let number = |word: &str| match word {
            "-1" | "unlimited" => Ok(u64::MAX),
            _ => word.parse().map_err(|_| bad(&format!("\"{word}\" is not a whole number"))),
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard) = (number(soft)?, number(hard)?);
        match soft <= hard {
            true => Ok(Ulimit { name: name.into(), soft, hard }),
            false => Err(bad("the soft limit is above the hard one")),
        }
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let word = |n: u64| if n == u64::MAX { "-1".to_string() } else { n.to_string() };
        write!(f, "{}={}:{}", self.name, word(self.soft), word(self.hard))
    }
}

super::serde_by_text!(Ulimit);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written() {
        for (text, shown) in [
            ("nofile=1024:2048", "nofile=1024:2048"),
            ("core=0", "core=0:0"),
            ("memlock=-1", "memlock=-1:-1"),
            ("nproc=5:unlimited", "nproc=5:-1"),
        ] {
            assert_eq!(text.parse::<Ulimit>().unwrap().to_string(), shown);
        }
        assert_eq!("nofile=1".parse::<Ulimit>().unwrap().resource(), 7);
    }

    #[test]
    fn what_is_no_limit_says_why() {
        for (text, why) in [
            ("nofile", "there is no \"=\""),
            ("nofiles=1", "no resource \"nofiles\""),
            ("NOFILE=1", "no resource \"NOFILE\""),
            ("nofile=", "\"\" is not a whole number"),
            ("nofile=2:1", "the soft limit is above the hard one"),
            ("nofile=-1:5", "the soft limit is above the hard one"),
            ("nofile=1:2:3", "\"2:3\" is not a whole number"),
        ] {
            let error = text.parse::<Ulimit>().unwrap_err();
            assert_eq!(error.to_string(), format!("invalid limit \"{text}\": {why}"));
            assert!(!error.hints().is_empty());
        }
    }
}
