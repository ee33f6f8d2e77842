//! Amounts as people read them, in the words and digits of Docker's `go-units`.

use super::Timestamp;
use std::time::Duration;

/// `Less than a second`, `About a minute`, `3 hours`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Docker rounds hours and cuts all else.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_string(),
        (1, ..) => "1 second".to_string(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_string(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, ..2) => "About an hour".to_string(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// `3 hours ago`.
pub fn human_ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", human_duration(then.until(now)))
}

/// Bytes in powers of 1000 with three digits: `4.43MB`.
pub fn human_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Bytes in powers of 1024 with four digits: `23.48GiB`.
pub fn human_memory(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// C's `%.<digits>g` of the number in the largest unit that leaves at least one.
fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= base && unit + 1 < units.len() {
        number /= base;
        unit += 1;
    }
    // Numbers of more digits than asked for (1000 to 1023) are whole already or rounded to be so.
    let before_point = if number >= 1.0 { number.log10() as usize + 1 } else { 1 };
    let text = format!("{number:.*}", digits.saturating_sub(before_point));
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers_words() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60 + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1799, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
        ] {
            assert_eq!(human_duration(Duration::from_secs(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_as_many_digits_as_dockers() {
        for (bytes, text) in [
            (0, "0B"),
            (58, "58B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_428_123, "4.43MB"),
            (1_984_000, "1.98MB"),
            (77_800_000, "77.8MB"),
            (123_456_789, "123MB"),
            (2_560, "2.56kB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
        for (bytes, text) in
            [(512 << 20, "512MiB"), (1023 << 10, "1023KiB"), (25_211_234_567, "23.48GiB")]
        {
            assert_eq!(human_memory(bytes), text);
        }
    }
}
