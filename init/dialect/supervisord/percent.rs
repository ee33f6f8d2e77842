//! `%(name)s` in supervisor's values: Python's % with the names of a table. Pure.
//!
//! ```text
//! %(program_name)s       the text, or the number
//! %(process_num)02d      a number, filled up to a width with zeros or blanks
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

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what came behind the first so many.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn get(&self, name: &str) -> Option<&Expansion> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// `text` with the values of its names. `here` is one, and so are the variables of cox's
    /// environment.
    pub fn expand(
        &self,
        text: &str,
        here: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                expanded.push('%');
                rest = after;
                continue;
            }
            let found = after.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            let (name, after) = found.ok_or_else(bad)?;
            let environment = || variable(name.strip_prefix("ENV_")?).map(Expansion::Text);
            let value = match name {
                "here" => Expansion::Text(here.to_string()),
                _ => {
                    let value = self.get(name).cloned().or_else(environment);
                    value.ok_or_else(|| self.unknown(name))?
                }
            };
            rest = put(&mut expanded, name, &value, after)?;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn unknown(&self, name: &str) -> Error {
        if let Some(variable) = name.strip_prefix("ENV_") {
            let error = Error::not_found(format!("%({name})s: {variable} is not set"));
            return error.hint(format!("set {variable} for cox, or in [supervisord] environment"));
        }
        let names = || self.0.iter().map(|(name, _)| name.as_str()).chain(["here"]);
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

/// Puts in a value as the format says that `text` begins with; what follows that.
fn put<'a>(out: &mut String, name: &str, value: &Expansion, text: &'a str) -> Result<&'a str> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let width = text.strip_suffix(digits).unwrap_or_default();
    let mut letters = digits.chars();
    let kind =
        letters.next().filter(|kind| matches!(kind, 's' | 'd' | 'i' | 'u')).ok_or_else(bad)?;
    let fill = if width.starts_with('0') && kind != 's' { '0' } else { ' ' };
    let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| bad())? };
    let value = match value {
        Expansion::Number(number) => number.to_string(),
        Expansion::Text(text) if kind == 's' => text.clone(),
        Expansion::Text(_) => {
            let error = Error::invalid(format!("%({name}){kind}: {name} is a text"));
            return Err(error.hint(format!("write %({name})s")));
        }
    };
    if width > WIDEST {
        return Err(bad());
    }
    let missing = width.saturating_sub(value.chars().count());
    out.extend(std::iter::repeat_n(fill, missing));
    out.push_str(&value);
    Ok(letters.as_str())
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
        names.expand(text, "/etc", &|name| (name == "HOME").then(|| "/root".to_string()))
    }

    #[test]
    fn names_have_values_in_pythons_formats() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("%(program_name)s_%(process_num)02d", "web_07"),
            ("%(process_num)d %(process_num)s %(process_num)3d|", "7 7   7|"),
            ("%(process_num)05d %(program_name)5s|", "00007   web|"),
            ("%(here)s/x", "/etc/x"),
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
