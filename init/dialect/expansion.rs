//! Variables in texts, in the words of the shell and of Docker Compose's files:
//!
//! ```text
//! ${NAME}            its value; an error where it is not set
//! ${NAME:-default}   the default where it is not set or empty; ${NAME-default} only where not set
//! ${NAME:?message}   an error with that message instead; ${NAME?message} likewise
//! $$                 a dollar sign
//! ```
//!
//! A dollar sign in front of anything else stands for itself. Defaults may hold variables.

use coracle::error::{Error, Result};

/// How deep defaults may nest: each is a level of recursion.
const DEEPEST: usize = 8;

/// `text` with the values that `variable` knows.
pub fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    nested(text, variable, 0)
}

fn nested(text: &str, variable: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String> {
    if depth > DEEPEST {
        return Err(Error::invalid("variables nested too deep"));
    }
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some((inside, after)) = closing_brace(inside) else {
                return Err(Error::invalid("a ${ without its }").hint("write $$ for a dollar sign"));
            };
            expanded.push_str(&value(inside, variable, depth)?);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// What is inside of the braces, and what comes after.
fn closing_brace(text: &str) -> Option<(&str, &str)> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open = open.saturating_add(1),
            b'}' if open == 0 => {
                return Some((text.get(..at)?, text.get(at..)?.strip_prefix('}')?));
            }
            b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn value(inside: &str, variable: &dyn Fn(&str) -> Option<String>, depth: usize) -> Result<String> {
    let rest = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let name = inside.strip_suffix(rest).unwrap_or_default();
    let (rest, or_empty) = match rest.strip_prefix(':') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let value = variable(name).filter(|value| !(or_empty && value.is_empty()));
    let mut letters = rest.chars();
    let operator = letters.next();
    let word = letters.as_str();
    match (operator, value) {
        _ if name.is_empty() => Err(bad(inside)),
        (None, Some(value)) if !or_empty => Ok(value),
        (None, None) if !or_empty => Err(Error::not_found(format!("{name} is not set"))
            .hint(format!("set it for cox, or write ${{{name}:-default}}"))),
        (Some('-' | '?'), Some(value)) => Ok(value),
        (Some('-'), None) => nested(word, variable, depth.saturating_add(1)),
        (Some('?'), None) => {
            let message = if word.is_empty() { "is not set" } else { word };
            Err(Error::not_found(format!("{name}: {message}")).hint(format!("set {name} for cox")))
        }
        _ => Err(bad(inside)),
    }
}

fn bad(inside: &str) -> Error {
    Error::invalid(format!("${{{inside}}} is no variable"))
        .hint("write ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String> {
        let variable = |name: &str| match name {
            "A" => Some("a".to_string()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${A}".to_string()),
            _ => None,
        };
        expand(text, &variable)
    }

    #[test]
    fn variables_have_values_and_defaults() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("x${A}y${A}", "xaya"),
            ("${A:-b}", "a"),
            ("${NONE:-b}", "b"),
            ("${NONE:-}", ""),
            ("${EMPTY:-b}", "b"),
            ("${EMPTY-b}", ""),
            ("${NONE-b}", "b"),
            ("${EMPTY}", ""),
            ("${A:?no}", "a"),
            ("${NONE:-${A}}/${NONE:-{}}", "a/{}"),
            ("${NONE:-1000}:${NONE:-100}", "1000:100"),
            ("$$A $${A} $A $ 5$", "$A ${A} $A $ 5$"),
            // What a variable holds is taken as it is.
            ("${DOLLAR}", "${A}"),
        ] {
            assert_eq!(expanded(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for (text, problem) in [
            ("${NONE}", "NONE is not set"),
            ("${NONE:?give one}", "NONE: give one"),
            ("${EMPTY:?}", "EMPTY: is not set"),
            ("${A", "a ${ without its }"),
            ("${}", "${} is no variable"),
            ("${A B}", "${A B} is no variable"),
            ("${A:+b}", "${A:+b} is no variable"),
            ("${A:}", "${A:} is no variable"),
        ] {
            let error = expanded(text).unwrap_err();
            assert_eq!(error.to_string(), problem);
            assert!(!error.hints().is_empty(), "{text}");
        }
        assert!(expanded(&format!("{}{}", "${N:-".repeat(50), "}".repeat(50))).is_err());
    }
}
