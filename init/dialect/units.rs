//! Amounts of time as people write them.

use std::time::Duration;

/// How to write a duration.
pub const DURATIONS: &str = "write a number of seconds, or 500ms, 8s, 2m, 1h30m";

/// In milliseconds. `ms` comes before `m`, so that it is found first.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// `500ms`, `8s`, `1.5s`, `1h30m`, or a number of seconds with up to three decimals.
pub fn duration(text: &str) -> Option<Duration> {
    if let Some(time) = seconds(text) {
        return Some(time);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = rest.strip_suffix(after)?;
        let (unit, factor) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        total = total.checked_add(scaled(number, *factor)?)?;
        rest = after.strip_prefix(unit)?;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total))
}

/// A number of seconds with up to three decimals.
pub fn seconds(text: &str) -> Option<Duration> {
    scaled(text, 1000).map(Duration::from_millis)
}

/// A number with up to three decimals, times `factor`.
fn scaled(text: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    let thousandths = whole.checked_mul(1000)?.checked_add(thousandths)?;
    thousandths.checked_mul(factor)?.checked_div(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_up_to_three_decimals() {
        let ms = |text| seconds(text).map(|time| time.as_millis());
        assert_eq!(ms("8"), Some(8000));
        assert_eq!(ms("0.5"), Some(500));
        assert_eq!(ms("1.025"), Some(1025));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.2345", "99999999999999999999"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        let ms = |text| duration(text).map(|time| time.as_millis());
        for (text, expected) in [
            ("8", 8000),
            ("0", 0),
            ("0.5", 500),
            ("1.025", 1025),
            ("500ms", 500),
            ("8s", 8000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(ms(text), Some(expected), "{text}");
        }
        for bad in ["", "s", "8x", "8 s", "-1", "1e3", "1.", ".5s", "1.2345", "1h30", "soon"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
        assert_eq!(ms("99999999999999999999d"), None);
    }
}
