//! Pax extended headers: `<length> <key>=<value>\n`, the length counting the whole record
//! (POSIX.1-2017, pax, "pax Extended Header").

use crate::error::{Error, Result};
use crate::sys::fs::Time;

/// The most bytes of keys and values of global headers: each member carries a copy.
const GLOBALS_MAX: usize = 64 << 10;

/// Records in the order of the archive; of several with one key the last counts, except for
/// `all`.
#[derive(Clone, Debug, Default)]
pub struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    pub fn parse(data: &[u8]) -> Result<Records> {
        let bad = || Error::invalid("a damaged pax header");
        let mut records = Vec::new();
        let mut rest = data;
        // Some writers pad with NULs.
        while rest.first().is_some_and(|b| *b != 0) {
            let space = rest.iter().position(|b| *b == b' ').ok_or_else(bad)?;
            let digits = rest.get(..space).unwrap_or_default();
            let length = decimal(digits).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
            let record = rest.get(space + 1..length).ok_or_else(bad)?;
            let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            let (key, value) = record.split_at(equals);
            records.push((key.to_vec(), value.get(1..).unwrap_or_default().to_vec()));
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Records(records))
    }

    /// The value of `key`; an empty one takes back what a global header said.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|(k, _)| k == key);
        last.map(|(_, v)| v.as_slice()).filter(|v| !v.is_empty())
    }

    pub fn number(&self, key: &[u8]) -> Result<Option<u64>> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        match decimal(text) {
            Some(n) => Ok(Some(n)),
            None => Err(Error::invalid(format!("has a damaged pax {}", key.escape_ascii()))),
        }
    }

    /// All records, in order.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }

    /// Extended attributes, by name.
    pub fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let named = |(k, v): &(Vec<u8>, Vec<u8>)| {
            k.strip_prefix(b"SCHILY.xattr.").map(|name| (name.to_vec(), v.clone()))
        };
        self.0.iter().filter_map(named).collect()
    }

    /// Adds the records of a later global header to those of the earlier ones.
    pub fn merge(&mut self, later: Records) -> Result<()> {
        self.0.retain(|(k, _)| !later.0.iter().any(|(l, _)| l == k));
        self.0.extend(later.0);
        let total: usize = self.0.iter().map(|(k, v)| k.len() + v.len()).sum();
        if total > GLOBALS_MAX {
            return Err(Error::invalid("global pax headers of more than 64 KiB"));
        }
        Ok(())
    }

    /// These global records, with those of one member on top.
    pub fn with(&self, local: Records) -> Result<Records> {
        if self.0.is_empty() {
            return Ok(local);
        }
        let mut all = self.clone();
        all.0.extend(local.0);
        Ok(all)
    }
}

pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with an optional sign and fraction: `1700000000.123456789`. Digits below a nanosecond
/// are dropped.
pub fn time(text: &[u8]) -> Result<Time> {
    let bad = || Error::invalid(format!("has a damaged time \"{}\"", text.escape_ascii()));
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = digits.splitn(2, |b| *b == b'.');
    let seconds = halves.next().and_then(decimal).ok_or_else(bad)?;
    let fraction = halves.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |n, digit| n * 10 + i128::from(digit - b'0'));
    let total = i128::from(seconds) * 1_000_000_000 + nanoseconds;
    Ok(Time(if negative { -total } else { total }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_any_byte() {
        let records = Records::parse(b"30 SCHILY.xattr.user.a=1\n2=\x003\n12 path=a/b\n").unwrap();
        assert_eq!(records.xattrs(), [(b"user.a".to_vec(), b"1\n2=\x003".to_vec())]);
        assert_eq!(records.get(b"path"), Some(&b"a/b"[..]));
    }

    #[test]
    fn damaged_records_are_refused() {
        for bad in [
            &b"x path=a\n"[..],
            b"99 path=a\n",
            b"11 path=a/b\n",
            b"0 path=a\n",
            b"9 patha/b\n",
            b"18446744073709551616 p=1\n",
        ] {
            assert!(Records::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn times_have_nanoseconds_and_a_sign() {
        assert_eq!(time(b"1.5").unwrap(), Time(1_500_000_000));
        assert_eq!(time(b"-0.000000001").unwrap(), Time(-1));
        assert_eq!(time(b"7").unwrap(), Time(7_000_000_000));
        assert_eq!(time(b"1.0000000019").unwrap(), Time(1_000_000_001));
        assert!(time(b"").is_err() && time(b"1.x").is_err() && time(b"1e9").is_err());
    }
}
