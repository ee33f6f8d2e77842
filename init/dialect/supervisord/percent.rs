//! `%(name)s` in supervisor's values: Python's % with the names of a table. Pure.
//!
//! ```text
//! %(program_name)s       the text, or the number
//! %(process_num)02d      a number: flags 0 - + and blank, a width, a precision; d, i, u, x, X, o
//! %%                     a percent sign
//! ```

use coracle::error::{Error, Result};
use coracle::types::nearest;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expansion {
    Text(String),
    Number(i64),
}

/// So many characters at most are put in for one name: what is wider is a slip.
const WIDEST: usize = 1000;

/// Names and what they stand for; the last of a name counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names(Vec<(String, Expansion)>);

impl Names {
    pub fn text(&mut self, name: &str, text: &str) {
        self.0.push((name.to_string(), Expansion::Text(text.to_string())));
    }

    pub fn number(&mut self, name: &str, number: i64) {
        self.0.push((name.to_string(), Expansion::Number(number)));
    }

    fn get(&self, name: &str) -> Option<&Expansion> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// `text` with the values of its names. Variables of cox's environment are `variable`'s.
    pub fn expand(&self, text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                expanded.push('%');
                rest = after;
                continue;
            }
            let Some((name, after)) = after.strip_prefix('(').and_then(|rest| rest.split_once(')'))
            else {
                return Err(bad());
            };
            let environment = name.strip_prefix("ENV_").and_then(variable).map(Expansion::Text);
            let Some(value) = self.get(name).cloned().or(environment) else {
                return Err(self.unknown(name));
            };
            let (format, after) = Format::parse(after).ok_or_else(bad)?;
            expanded.push_str(&format.apply(&value).ok_or_else(|| {
                let kind = format.kind;
                Error::invalid(format!("%({name}){kind}: {name} is a text"))
                    .hint(format!("write %({name})s"))
            })?);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn unknown(&self, name: &str) -> Error {
        if let Some(variable) = name.strip_prefix("ENV_") {
            let error = Error::not_found(format!("%({name})s: {variable} is not set"));
            return error.hint(format!("set {variable} for cox, or in [supervisord] environment"));
        }
        let names = || self.0.iter().map(|(name, _)| name.as_str());
        let error = Error::invalid(format!("%({name})s: there is no such name"));
        match nearest(name, names()) {
            Some(meant) => error.hint(format!("did you mean %({meant})s?")),
            None => {
                let known: Vec<&str> = names().filter(|name| !name.starts_with("ENV_")).collect();
                error.hint(format!("there is {}, and ENV_NAME", known.join(", ")))
            }
        }
    }
}

fn bad() -> Error {
    Error::invalid("a % that begins no name").hint("write %(NAME)s, or %% for a percent sign")
}

struct Format {
    zero: bool,
    left: bool,
    sign: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

impl Format {
    fn parse(text: &str) -> Option<(Format, &str)> {
        let mut rest = text.chars();
        let mut format =
            Format { zero: false, left: false, sign: None, width: 0, precision: None, kind: 's' };
        loop {
            let c = rest.next()?;
            match c {
                '0' if format.width == 0 && format.precision.is_none() => format.zero = true,
                '-' => format.left = true,
                '+' => format.sign = Some('+'),
                ' ' => format.sign = format.sign.or(Some(' ')),
                '#' => {}
                '.' if format.precision.is_none() => format.precision = Some(0),
                '0'..='9' => {
                    let number = format.precision.as_mut().unwrap_or(&mut format.width);
                    let digit = c.to_digit(10).and_then(|digit| usize::try_from(digit).ok())?;
                    *number = number.checked_mul(10)?.checked_add(digit)?;
                    if *number > WIDEST {
                        return None;
                    }
                }
                's' | 'r' | 'a' | 'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
                    format.kind = c;
                    return Some((format, rest.as_str()));
                }
                _ => return None,
            }
        }
    }

    /// `None` where a number is asked of a text.
    fn apply(&self, value: &Expansion) -> Option<String> {
        let (text, is_number) = match (self.kind, value) {
            ('s' | 'r' | 'a', Expansion::Text(text)) => (self.cut(text), false),
            ('s' | 'r' | 'a', Expansion::Number(number)) => (self.cut(&number.to_string()), false),
            (_, Expansion::Text(_)) => return None,
            (kind, Expansion::Number(number)) => {
                let digits = match kind {
                    'x' => format!("{:x}", number.unsigned_abs()),
                    'X' => format!("{:X}", number.unsigned_abs()),
                    'o' => format!("{:o}", number.unsigned_abs()),
                    _ => number.unsigned_abs().to_string(),
                };
                let least = self.precision.unwrap_or(1);
                let sign = if *number < 0 { Some('-') } else { self.sign };
                let sign = sign.map(String::from).unwrap_or_default();
                let fill = self.width.saturating_sub(sign.len());
                let least = if self.zero && !self.left { least.max(fill) } else { least };
                (format!("{sign}{digits:0>least$}"), true)
            }
        };
        let width = self.width;
        Some(match self.left {
            true => format!("{text:<width$}"),
            false if is_number || !text.is_empty() || width > 0 => format!("{text:>width$}"),
            false => text,
        })
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    fn expand(text: &str) -> Result<String> {
        let mut names = Names::default();
        names.text("program_name", "web");
        names.text("ENV_OWN", "mine");
        names.number("process_num", 7);
        names.expand(text, &|name| (name == "HOME").then(|| "/root".to_string()))
    }

    #[test]
    fn names_have_values_in_pythons_formats() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("%(program_name)s_%(process_num)02d", "web_07"),
            ("%(process_num)d %(process_num)s %(process_num)3d|", "7 7   7|"),
            ("%(process_num)-3d| %(process_num)+d %(process_num)05d", "7  | +7 00007"),
            ("%(process_num)x %(process_num).3d", "7 007"),
            ("%(program_name)5s|%(program_name)-5s|%(program_name).2s", "  web|web  |we"),
            ("100%% %(ENV_HOME)s %(ENV_OWN)s", "100% /root mine"),
        ] {
            assert_eq!(expand(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_said() {
        for (text, problem, hint) in [
            ("50%", "a % that begins no name", "write %(NAME)s"),
            ("%s", "a % that begins no name", "%% for a percent sign"),
            ("%(program_name)", "a % that begins no name", "write"),
            ("%(program_name)y", "a % that begins no name", "write"),
            ("%(program_nam)s", "%(program_nam)s: there is no such name", "%(program_name)s?"),
            ("%(wholly_different)s", "%(wholly_different)s: there is no such", "ENV_NAME"),
            ("%(ENV_NO)s", "%(ENV_NO)s: NO is not set", "set NO for cox"),
            ("%(program_name)d", "%(program_name)d: program_name is a text", "%(program_name)s"),
            ("%(process_num)99999d", "a % that begins no name", "write"),
        ] {
            let error = expand(text).unwrap_err();
            assert!(error.to_string().starts_with(problem), "{text}: {error}");
            assert!(error.hints().join(" ").contains(hint), "{text}: {:?}", error.hints());
        }
    }

    #[test]
    fn of_the_corpus_every_expansion_is_made_or_refused() {
        let words = ["%", "%%", "(", ")", "s", "02d", "%(process_num)", "-", "+", ".", "999"];
        fuzz("expansion", &words, 5_000, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            expand(&text).map(drop).map_err(|error| {
                assert!(!error.hints().is_empty());
                error.to_string()
            })
        });
    }
}
