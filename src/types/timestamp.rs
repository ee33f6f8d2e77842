//! Points in time as files and JSON write them: RFC 3339, UTC, nanoseconds.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970, UTC. Zero is "never" (Docker writes 0001-01-01T00:00:00Z for it).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp(pub i128);

const NEVER: &str = "0001-01-01T00:00:00Z";

impl Timestamp {
    pub fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i128::try_from(since.as_nanos()).unwrap_or_default())
    }

    pub fn from_unix(seconds: i64) -> Timestamp {
        Timestamp(i128::from(seconds) * 1_000_000_000)
    }

    pub fn unix_seconds(self) -> i64 {
        i64::try_from(self.0.div_euclid(1_000_000_000)).unwrap_or_default()
    }

    /// The time from this point to a later one; nothing, to an earlier one.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(later.0 - self.0).unwrap_or_default())
    }

    pub fn is_never(self) -> bool {
        self.0 == 0
    }

    /// As Go's `String` has it: `2014-02-01 10:00:00.5 +0000 UTC`.
    pub fn in_go(self) -> String {
        let text = self.to_string();
        let text = text.trim_end_matches('Z');
        let text = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => text,
        };
        format!("{} +0000 UTC", text.replace('T', " "))
    }

    pub fn whole_seconds(self) -> Timestamp {
        Timestamp::from_unix(self.unix_seconds())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.is_never() {
            return f.write_str(NEVER);
        }
        let t = time::OffsetDateTime::from_unix_timestamp_nanos(self.0).map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.nanosecond()
        )
    }
}

impl FromStr for Timestamp {
    type Err = Error;
    fn from_str(text: &str) -> Result<Timestamp, Error> {
        if text == NEVER {
            return Ok(Timestamp(0));
        }
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
            .map(|t| Timestamp(t.unix_timestamp_nanos()))
            .map_err(|e| Error::invalid(format!("\"{text}\" is not an RFC 3339 time: {e}")))
    }
}

super::serde_by_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip() {
        for text in ["2026-11-22T13:34:18.000000001Z", NEVER] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let t: Timestamp = "2014-02-01T12:00:00+02:00".parse().unwrap();
        assert_eq!(t.to_string(), "2014-02-01T10:00:00.000000000Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn some_are_told_as_go_tells_them() {
        for (text, told) in [
            ("2014-02-01T10:00:00.500Z", "2014-02-01 10:00:00.5 +0000 UTC"),
            ("2014-02-01T10:00:00Z", "2014-02-01 10:00:00 +0000 UTC"),
            (NEVER, "0001-01-01 00:00:00 +0000 UTC"),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().in_go(), told);
        }
        let time: Timestamp = "2014-02-01T10:00:00.500Z".parse().unwrap();
        assert_eq!(time.whole_seconds().in_go(), "2014-02-01 10:00:00 +0000 UTC");
    }
}
