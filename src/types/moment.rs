//! Points in time and spans as people type them: `--since 10m`, `--until 2026-11-22T13:00:00Z`.

use super::Timestamp;
use crate::error::Error;

/// A point in time: RFC 3339, as Go prints it (`2013-09-03 15:49:29 +0200 CEST`), the same without zone or without time of day (UTC), seconds since
/// 1970 with an optional fraction, or a span (`1h30m`) that lies so far before `now`.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    if let Some(nanoseconds) = parse_span(text) {
        return Ok(Timestamp(now.0 - nanoseconds));
    }
    if let Some(nanoseconds) = parse_decimal(text, 1_000_000_000) {
        return Ok(Timestamp(nanoseconds));
    }
    let whole = text;
    let joined = joined(text);
    let text = joined.as_deref().unwrap_or(text);
    for rest in ["", "Z", ":00Z", ":00:00Z", "T00:00:00Z"] {
        if let Ok(time) = format!("{text}{rest}").parse() {
            return Ok(time);
        }
    }
    Err(Error::invalid(format!("invalid time \"{whole}\""))
        .hint("use 2026-11-22T13:00:00Z, seconds since 1970, or how long ago, as in 10m or 1h30m"))
}

/// As Go prints a time, and Docker 0.8 did: `2013-09-03 15:49:29 +0200 CEST`, or a part of it.
fn joined(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let (date, time, zone) = match words[..] {
        [date, time] => (date, time, ""),
        [date, time, zone] => (date, time, zone),
        [date, time, zone, name] if name.bytes().all(|b| b.is_ascii_alphabetic()) => {
            (date, time, zone)
        }
        _ => return None,
    };
    Some(match zone {
        "UTC" | "GMT" => format!("{date}T{time}Z"),
        _ if zone.len() == 5 && zone.is_ascii() => {
            format!("{date}T{time}{}:{}", &zone[..3], &zone[3..])
        }
        _ => format!("{date}T{time}{zone}"),
    })
}

/// Nanoseconds of Go's duration syntax: numbers with `ns`, `us`, `ms`, `s`, `m`, `h`.
pub(super) fn parse_span(text: &str) -> Option<i128> {
    let mut rest = text;
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let nanoseconds = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        sum += parse_decimal(number, nanoseconds)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// `text` (digits with an optional fraction) times `unit`, cut to a whole number.
fn parse_decimal(text: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let in_bounds = (1..=12).contains(&whole.len()) && (1..=9).contains(&fraction.len());
    if !in_bounds || !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole.parse::<i128>().ok()? * unit + fraction.parse::<i128>().ok()? * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_every_form() {
        let now: Timestamp = "2026-11-22T13:00:00Z".parse().unwrap();
        for (text, time) in [
            ("10m", "2026-11-22T12:50:00Z"),
            ("10", "1970-01-01T00:00:10Z"),
            ("1h30m", "2026-11-22T11:30:00Z"),
            ("1.5s", "2026-11-22T12:59:58.5Z"),
            ("100ms", "2026-11-22T12:59:59.9Z"),
            ("1385000000", "2013-11-21T02:13:20Z"),
            ("1385000000.25", "2013-11-21T02:13:20.25Z"),
            ("2026-11-22T13:00:00+02:00", "2026-11-22T11:00:00Z"),
            ("2026-11-22T13:00:01", "2026-11-22T13:00:01Z"),
            ("2026-11-22T13:01", "2026-11-22T13:01:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("2026-11-22 13:00:01", "2026-11-22T13:00:01Z"),
            ("2013-09-03 15:49:29 +0200 CEST", "2013-09-03T13:49:29Z"),
            ("2026-11-22 13:00:01 +0000 UTC", "2026-11-22T13:00:01Z"),
            ("2026-11-22 13:00:01 UTC", "2026-11-22T13:00:01Z"),
        ] {
            assert_eq!(parse_moment(text, now).unwrap(), time.parse().unwrap(), "{text}");
        }
        for bad in
            ["", "yesterday", "-5m", "5x", "1h30", ".", "10mm", "2026-13-01", "2026-11-22 noon"]
        {
            assert!(parse_moment(bad, now).is_err(), "{bad}");
        }
    }
}
