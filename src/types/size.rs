//! Amounts of memory as Docker's flags write them: a whole number with an optional `b`, `k`, `m`,
//! `g` or `t` (powers of 1024, any case, an optional `b` or `ib` behind).

use crate::error::Error;

/// Bytes of `text`: `512m`, `1g`, `64KiB`, `4096`.
pub fn parse_size(text: &str) -> Result<u64, Error> {
    let bad = || {
        Error::invalid(format!("invalid size \"{text}\""))
            .hint("use a number of bytes, or one with k, m or g: 512m")
    };
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(bad()),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).filter(|n| i64::try_from(*n).is_ok()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("512m").unwrap(), 512 << 20);
        assert_eq!(parse_size("1G").unwrap(), 1 << 30);
        assert_eq!(parse_size("64KiB").unwrap(), 64 << 10);
        assert_eq!(parse_size("7b").unwrap(), 7);
        for bad in ["", "m", "-1", "1.5g", "1x", "99999999t", "1 g 2"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
