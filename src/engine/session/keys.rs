//! The detach sequence: as it is written, and found in what is typed, over the borders of reads.

use crate::error::{Error, Result};
use std::str::FromStr;

/// What is typed to leave a container running: ctrl-p ctrl-q where nothing else is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys(Vec<u8>);

impl Default for Keys {
    fn default() -> Keys {
        Keys(vec![16, 17])
    }
}

impl FromStr for Keys {
    type Err = Error;
    /// `ctrl-p,ctrl-q`, `ctrl-e,e`: each a character, or `ctrl-` and a letter or one of `@[\\]^_`.
    fn from_str(text: &str) -> Result<Keys> {
        if text.is_empty() {
            return Ok(Keys::default());
        }
        let key = |word: &str| match (word.as_bytes(), word.strip_prefix("ctrl-")) {
            (&[key], _) => Some(key),
            (_, Some(word)) => match word.as_bytes() {
                [key @ (b'a'..=b'z' | b'@' | b'['..=b'_')] => Some(key & 0x1f),
                _ => None,
            },
            _ => None,
        };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        keys.map(Keys).ok_or_else(|| {
            Error::invalid(format!("\"{text}\" is no sequence of keys"))
                .hint("write ctrl-p,ctrl-q or ctrl-e,e")
        })
    }
}

pub(super) struct DetachKeys {
    keys: Option<Keys>,
    /// The start of the sequence that was typed last, and is held back.
    held: Vec<u8>,
}

impl DetachKeys {
    pub fn new(keys: Option<Keys>) -> DetachKeys {
        DetachKeys { keys, held: Vec::new() }
    }

    /// What to pass on, and whether the sequence is complete.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let Some(Keys(keys)) = &self.keys else {
            return (typed.to_vec(), false);
        };
        let mut pass = Vec::with_capacity(typed.len() + 1);
        for &key in typed {
            self.held.push(key);
            while !keys.starts_with(&self.held) {
                pass.push(self.held.remove(0));
            }
            if self.held.len() == keys.len() {
                return (pass, true);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_keys_are_found_and_nothing_else_is_lost() {
        let mut keys = DetachKeys::new(Some(Keys::default()));
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11z"), (Vec::new(), true));
        assert_eq!(DetachKeys::new(None).filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    #[test]
    fn sequences_are_read_and_overlaps_found() {
        assert_eq!("".parse::<Keys>().unwrap(), Keys::default());
        assert_eq!("ctrl-p,ctrl-q".parse::<Keys>().unwrap(), Keys::default());
        assert!("a,ctrl-@,ctrl-[,,".parse::<Keys>().is_err());
        let mut keys = DetachKeys::new(Some("a,a,ctrl-b".parse().unwrap()));
        assert_eq!(keys.filter(b"aaa"), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"\x02"), (Vec::new(), true));
        for bad in ["ab", "ctrl-", "ctrl-1", "ctrl-ab", ",", "\u{e4}"] {
            assert!(bad.parse::<Keys>().is_err(), "{bad}");
        }
    }
}
