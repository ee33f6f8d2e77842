//! The restart policy of a container, in Docker's words: `no`, `always`, `unless-stopped`,
//! `on-failure[:max]`.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RestartPolicy {
    #[default]
    No,
    Always,
    /// Like `Always`, but a stop by the user survives a reboot.
    UnlessStopped,
    /// After an exit code other than 0, at most `max` times in a row (no limit where `None`).
    OnFailure {
        max: Option<u32>,
    },
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            RestartPolicy::No => f.write_str("no"),
            RestartPolicy::Always => f.write_str("always"),
            RestartPolicy::UnlessStopped => f.write_str("unless-stopped"),
            RestartPolicy::OnFailure { max: None } => f.write_str("on-failure"),
            RestartPolicy::OnFailure { max: Some(n) } => write!(f, "on-failure:{n}"),
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = Error;
    fn from_str(text: &str) -> Result<RestartPolicy, Error> {
        Ok(match text {
            "no" | "" => RestartPolicy::No,
            "always" => RestartPolicy::Always,
            "unless-stopped" => RestartPolicy::UnlessStopped,
            "on-failure" => RestartPolicy::OnFailure { max: None },
            _ => match text.strip_prefix("on-failure:").map(str::parse) {
                Some(Ok(max)) => RestartPolicy::OnFailure { max: Some(max) },
                _ => {
                    return Err(Error::invalid(format!("invalid restart policy \"{text}\""))
                        .hint("use no, always, unless-stopped or on-failure[:max-retries]"));
                }
            },
        })
    }
}

super::serde_by_text!(RestartPolicy);
