//! Patterns of names, as Go's `path.Match` reads them: `*` and `?` stop at a slash, `[a-z]` and
//! `[^a-z]` are one of some, and `\` makes the next character itself.

use crate::error::Error;
use std::str::FromStr;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Char(char),
    Any,
    Star,
    Class { ranges: Vec<(char, char)>, negated: bool },
}

impl Glob {
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut piece, mut at) = (0, 0);
        // The last star, and where in the text it ends for now.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(piece), text.get(at)) {
                (None, None) => return true,
                (Some(Piece::Star), _) => {
                    star = Some((piece, at));
                    piece += 1;
                    continue;
                }
                (Some(one), Some(c)) if one.is(*c) => {
                    (piece, at) = (piece + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            // The star takes one more character.
            match star {
                Some((of, end)) if text.get(end).is_some_and(|c| *c != '/') => {
                    star = Some((of, end + 1));
                    (piece, at) = (of + 1, end + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Piece {
    fn is(&self, c: char) -> bool {
        match self {
            Piece::Char(own) => *own == c,
            Piece::Any => c != '/',
            Piece::Star => false,
            Piece::Class { ranges, negated } => {
                c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

impl FromStr for Glob {
    type Err = Error;

    fn from_str(text: &str) -> Result<Glob, Error> {
        let mut chars = text.chars().peekable();
        let mut pieces = Vec::new();
        let bad = || Error::invalid(format!("\"{text}\" is no pattern: it breaks off"));
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' => Piece::Star,
                '?' => Piece::Any,
                '\\' => Piece::Char(chars.next().ok_or_else(bad)?),
                '[' => {
                    let negated = chars.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    while ranges.is_empty() || chars.next_if_eq(&']').is_none() {
                        let mut one = || match chars.next() {
                            Some('\\') => chars.next().ok_or_else(bad),
                            other => other.ok_or_else(bad),
                        };
                        let low = one()?;
                        let high = if chars.next_if_eq(&'-').is_some() {
                            chars.next().ok_or_else(bad)?
                        } else {
                            low
                        };
                        ranges.push((low, high));
                    }
                    Piece::Class { ranges, negated }
                }
                other => Piece::Char(other),
            });
        }
        Ok(Glob(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_gos() {
        for (pattern, text, matches) in [
            ("busybox", "busybox", true),
            ("busy", "busybox", false),
            ("busy*", "busybox:1.36", true),
            ("*box", "busybox", true),
            ("*", "team/app", false),
            ("*/*", "team/app", true),
            ("*a*b*c", "xaxbxbxc", true),
            ("*a*b*c", "xaxbxbx", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("app:[0-9].[^3]", "app:1.2", true),
            ("app:[0-9].[^3]", "app:1.3", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("", "", true),
        ] {
            let glob: Glob = pattern.parse().unwrap();
            assert_eq!(glob.matches(text), matches, "{pattern} {text}");
        }
        for bad in ["[", "[a", "[a-", "\\", "[]"] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }
}
