//! Files of variables, as Docker's `--env-file` and Compose's `env_file` have them.
//!
//! ```text
//! # a comment
//! NAME=value               blanks around it do not count; a # after a blank begins a comment
//! export NAME=value        the same
//! NAME='as it is'          may have several lines, as the next one
//! NAME="with \n and \""    \n \r \t \" \\ \$ in it
//! NAME                     as cox was given it; nothing where it was not
//! ```
//!
//! A dollar sign stands for itself: passwords hold them.

use coracle::error::{Error, Result};

/// The variables in `text`; a value is `None` where only the name stands there. `place` names the
/// file.
pub fn parse(text: &str, place: &str) -> Result<Vec<(String, Option<String>)>> {
    let mut variables = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let line = line_of(text, rest);
        let bad = |what: &str| Error::invalid(format!("{place}:{line}: {what}"));
        let (now, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let now = now.trim();
        if now.is_empty() || now.starts_with('#') {
            rest = after;
            continue;
        }
        let name = now.split('=').next().unwrap_or_default();
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            let problem = format!("\"{name}\" is not the name of a variable");
            return Err(bad(&problem).hint("write NAME=value"));
        }
        let Some((_, value)) = now.split_once('=') else {
            variables.push((name.to_string(), None));
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let value = match quote {
            None => {
                rest = after;
                unquoted(value).to_string()
            }
            Some(quote) => {
                // Again from the whole rest: a quoted value may go on in the next line.
                let (_, open) = rest.split_once('=').unwrap_or_default();
                let open = open.trim_start().strip_prefix(quote).unwrap_or_default();
                let (value, behind) =
                    quoted(open, quote).ok_or_else(|| bad("the quotes are not closed"))?;
                let (behind, after) = behind.split_once('\n').unwrap_or((behind, ""));
                if !behind.trim().is_empty() && !behind.trim_start().starts_with('#') {
                    return Err(bad("something stands behind the quotes"));
                }
                rest = after;
                value
            }
        };
        variables.push((name.to_string(), Some(value)));
    }
    Ok(variables)
}

/// The number of the line that `rest`, the end of `text`, begins in.
fn line_of(text: &str, rest: &str) -> usize {
    let before = text.strip_suffix(rest).unwrap_or_default();
    before.matches('\n').count().saturating_add(1)
}

/// Up to a comment.
fn unquoted(value: &str) -> &str {
    if value.starts_with('#') {
        return "";
    }
    let is_comment = |pair: &[u8]| matches!(pair, [b' ' | b'\t', b'#']);
    let comment = value.as_bytes().windows(2).position(is_comment);
    comment.and_then(|at| value.get(..at)).unwrap_or(value).trim_end()
}

/// What stands in the quotes, and what comes after them; `None` where they are not closed.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next == quote {
            return Some((value, chars.as_str()));
        }
        if next != '\\' || quote == '\'' {
            value.push(next);
            continue;
        }
        match chars.next()? {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            escaped @ ('"' | '\\' | '$') => value.push(escaped),
            other => value.extend(['\\', other]),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plain_or_quoted() {
        let text = "\
# comment
A=1
  B = two words  # comment
export C=c#c
D=
E='a # \\n \"b\"' # comment
F=\"a\\n\\\"b\\\" \\$x \\d\"
G='two
lines'
H
I=$A ${B} a=b
J=#c

K=last";
        let expected: [(&str, Option<&str>); 11] = [
            ("A", Some("1")),
            ("B", Some("two words")),
            ("C", Some("c#c")),
            ("D", Some("")),
            ("E", Some("a # \\n \"b\"")),
            ("F", Some("a\n\"b\" $x \\d")),
            ("G", Some("two\nlines")),
            ("H", None),
            ("I", Some("$A ${B} a=b")),
            ("J", Some("")),
            ("K", Some("last")),
        ];
        let expected = expected.map(|(name, value)| (name.to_string(), value.map(String::from)));
        assert_eq!(parse(text, "x").unwrap(), expected);
        assert_eq!(parse("A=1\r\nB='2'\r\n", "x").unwrap().len(), 2);
        assert_eq!(parse("", "x").unwrap(), []);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, problem) in [
            ("A=1\n=2", "x:2: \"\" is not the name of a variable"),
            ("A B=1", "x:1: \"A B\" is not the name of a variable"),
            ("A=1\n\nB='\n\n", "x:3: the quotes are not closed"),
            ("A=\"\\", "x:1: the quotes are not closed"),
            ("A='1'2", "x:1: something stands behind the quotes"),
        ] {
            assert_eq!(parse(text, "x").unwrap_err().to_string(), problem);
        }
    }
}
