//! A health check as image configurations have it (Docker's `Healthcheck`), and what is done where
//! it fails (Podman's `--health-on-failure`).

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Durations in nanoseconds; 0 stands for Docker's default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// Empty: inherit. `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", command]`.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// The shortest span there can be, but for 0.
const SHORTEST: i64 = 1_000_000;

const OPTIONS: &str = "use --interval, --timeout, --start-period, --start-interval or --retries";

impl Healthcheck {
    /// Nothing is to be checked, whatever the image says.
    pub fn none() -> Healthcheck {
        Healthcheck { test: vec!["NONE".to_string()], ..Healthcheck::default() }
    }

    /// The command; a line for the shell stands behind `shell`. `None` where nothing is checked.
    pub fn command(&self, shell: &[String]) -> Option<Vec<String>> {
        let (kind, words) = self.test.split_first()?;
        match kind.as_str() {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" => Some([shell, words].concat()),
            _ => None,
        }
    }

    /// Sets what is called `name`: `interval`, `timeout`, `start-period`, `start-interval` or
    /// `retries`. The error does not say what the name was.
    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let place = match name {
            "interval" => &mut self.interval,
            "timeout" => &mut self.timeout,
            "start-period" => &mut self.start_period,
            "start-interval" => &mut self.start_interval,
            "retries" => &mut self.retries,
            _ => return Err(Error::invalid("there is no such option").hint(OPTIONS)),
        };
        if text.starts_with('-') {
            return Err(Error::invalid(format!("{text} is negative")));
        }
        if name == "retries" {
            let number = text.parse::<u32>();
            let number = number.map_err(|_| Error::invalid(format!("\"{text}\" is no number")))?;
            *place = number.into();
            return Ok(());
        }
        let span = if text == "0" { Some(0) } else { super::moment::parse_span(text) };
        let span = span.and_then(|span| i64::try_from(span).ok()).ok_or_else(|| {
            Error::invalid(format!("\"{text}\" is no duration")).hint("write 30s, 500ms or 1m30s")
        })?;
        if (1..SHORTEST).contains(&span) {
            return Err(Error::invalid(format!("\"{text}\" is less than 1ms")));
        }
        *place = span;
        Ok(())
    }

    /// This one, with what it leaves open as `other` has it.
    pub fn or(self, other: &Healthcheck) -> Healthcheck {
        let or = |own, other| if own == 0 { other } else { own };
        Healthcheck {
            test: if self.test.is_empty() { other.test.clone() } else { self.test },
            interval: or(self.interval, other.interval),
            timeout: or(self.timeout, other.timeout),
            start_period: or(self.start_period, other.start_period),
            start_interval: or(self.start_interval, other.start_interval),
            retries: or(self.retries, other.retries),
        }
    }

    /// How often it is made, in full.
    pub fn pace(&self) -> Pace {
        let or = |span: i64, seconds| match u64::try_from(span) {
            Ok(span @ 1..) => Duration::from_nanos(span),
            _ => Duration::from_secs(seconds),
        };
        Pace {
            interval: or(self.interval, 30),
            timeout: or(self.timeout, 30),
            start_period: or(self.start_period, 0),
            start_interval: or(self.start_interval, 5),
            retries: u32::try_from(self.retries).ok().filter(|n| *n > 0).unwrap_or(3),
        }
    }
}

/// How often a check is made, how long it may take, and what it takes to be unhealthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// From the end of one to the next.
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures do not count so long after the start, until a check went well.
    pub start_period: Duration,
    /// As `interval`, meanwhile.
    pub start_interval: Duration,
    /// Failures in a row.
    pub retries: u32,
}

/// What becomes of a container that came to be unhealthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    #[default]
    None,
    /// It is killed; its restart policy decides what then.
    Kill,
    /// It is stopped and started again, whatever its policy.
    Restart,
    /// It is stopped, and stays down.
    Stop,
}

impl OnFailure {
    const WORDS: [(&str, OnFailure); 4] = [
        ("none", OnFailure::None),
        ("kill", OnFailure::Kill),
        ("restart", OnFailure::Restart),
        ("stop", OnFailure::Stop),
    ];
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let word = OnFailure::WORDS.iter().find(|(_, one)| one == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

impl FromStr for OnFailure {
    type Err = Error;
    fn from_str(text: &str) -> Result<OnFailure> {
        let found = OnFailure::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, one)| *one).ok_or_else(|| {
            Error::invalid(format!("\"{text}\" is no action"))
                .hint("use none, kill, restart or stop")
        })
    }
}

super::serde_by_text!(OnFailure);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_bad_ones_told() {
        let mut check = Healthcheck::default();
        for (name, text) in [
            ("interval", "1m30s"),
            ("timeout", "500ms"),
            ("start-period", "0"),
            ("start-interval", "1ms"),
            ("retries", "5"),
        ] {
            check.set(name, text).unwrap();
        }
        let spans = (check.interval, check.timeout, check.start_period, check.start_interval);
        assert_eq!(spans, (90_000_000_000, 500_000_000, 0, 1_000_000));
        assert_eq!(check.pace().retries, 5);
        for (name, text, told) in [
            ("interval", "-1s", "-1s is negative"),
            ("interval", "30", "is no duration"),
            ("timeout", "999us", "less than 1ms"),
            ("timeout", "999999999999h", "is no duration"),
            ("retries", "-1", "-1 is negative"),
            ("retries", "x", "is no number"),
            ("shape", "1s", "no such option"),
        ] {
            let text = check.set(name, text).unwrap_err().to_string();
            assert!(text.contains(told), "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_the_images_then_dockers() {
        let image = Healthcheck {
            test: vec!["CMD".into(), "true".into()],
            interval: 5,
            retries: 7,
            ..Healthcheck::default()
        };
        let own = Healthcheck { interval: 9, ..Healthcheck::default() }.or(&image);
        assert_eq!((own.interval, own.retries, own.test.len()), (9, 7, 2));
        let pace = Healthcheck { timeout: -3, ..Healthcheck::default() }.pace();
        assert_eq!((pace.interval, pace.timeout), (Duration::from_secs(30), pace.interval));
        assert_eq!((pace.start_period, pace.retries), (Duration::ZERO, 3));
    }

    #[test]
    fn a_command_is_words_or_a_line_for_the_shell() {
        let shell = ["/bin/sh".to_string(), "-c".to_string()];
        let command = |words: &[&str]| {
            let test = words.iter().map(ToString::to_string).collect();
            Healthcheck { test, ..Healthcheck::default() }.command(&shell)
        };
        assert_eq!(command(&["CMD", "a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(command(&["CMD-SHELL", "a b"]).unwrap(), ["/bin/sh", "-c", "a b"]);
        for none in [&["NONE"][..], &[], &["CMD"], &["EXEC", "a"]] {
            assert_eq!(command(none), None);
        }
    }

    #[test]
    fn actions_are_words() {
        for (word, action) in OnFailure::WORDS {
            assert_eq!(word.parse::<OnFailure>().unwrap(), action);
            assert_eq!(action.to_string(), word);
        }
        assert!("reboot".parse::<OnFailure>().is_err());
    }
}
