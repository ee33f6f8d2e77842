//! `-e` and `--env-file`: what the environment of a container is to have.
//!
//! `KEY=value` sets, `KEY` alone passes the caller's own value on; without one it removes what
//! the image has, or, in a file, does nothing. In a file, lines that begin with `#` are comments.

use super::infile;
use crate::engine::options::EnvChange;
use crate::error::{Error, Result};
use std::path::Path;

/// One `-e`; `own` looks a variable of the caller up.
pub fn parse(text: &str, own: &dyn Fn(&str) -> Option<String>) -> Result<EnvChange> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_string())),
        None => (text, own(text)),
    };
    if key.is_empty() {
        return Err(Error::invalid(format!("invalid environment variable \"{text}\""))
            .hint("write KEY=value, or KEY to pass your own value on"));
    }
    let key = key.to_string();
    Ok(match value {
        Some(value) => EnvChange::Set { key, value },
        None => EnvChange::Unset { key },
    })
}

/// The variables of the file at `path`.
pub fn parse_file(path: &Path, own: &dyn Fn(&str) -> Option<String>) -> Result<Vec<EnvChange>> {
    let mut changes = Vec::new();
    for (place, line) in lines(path)? {
        let key = line.split('=').next().unwrap_or_default();
        if key.contains(char::is_whitespace) {
            return Err(Error::invalid(format!("{place}: \"{key}\" has blanks in it")));
        }
        match parse(&line, own).map_err(|e| e.doing(place))? {
            EnvChange::Unset { .. } => {}
            change => changes.push(change),
        }
    }
    Ok(changes)
}

/// The lines of a file that say something, each with its place.
pub fn lines(path: &Path) -> Result<Vec<(String, String)>> {
    let text = infile::text(path)?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let lines = lines.map(|(at, line)| (at, line.trim_start()));
    let says = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let placed =
        says.map(|(at, line)| (format!("{}:{}", path.display(), at + 1), line.to_string()));
    Ok(placed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(key: &str) -> Option<String> {
        (key == "MINE").then(|| "my own".to_string())
    }

    fn set(key: &str, value: &str) -> EnvChange {
        EnvChange::Set { key: key.into(), value: value.into() }
    }

    #[test]
    fn variables_are_set_passed_on_and_removed() {
        assert_eq!(parse("A=b=c", &own).unwrap(), set("A", "b=c"));
        assert_eq!(parse("A=", &own).unwrap(), set("A", ""));
        assert_eq!(parse("MINE", &own).unwrap(), set("MINE", "my own"));
        assert_eq!(parse("NONE", &own).unwrap(), EnvChange::Unset { key: "NONE".into() });
        assert!(parse("=x", &own).is_err() && parse("", &own).is_err());
    }

    #[test]
    fn a_file_has_one_variable_a_line() {
        let path = std::env::temp_dir().join(format!("coracle-env-{}", std::process::id()));
        std::fs::write(&path, "\u{feff}# note\n\n  A=1 # kept \nMINE\nNONE\nB=\"q\"\n").unwrap();
        let changes = parse_file(&path, &own);
        std::fs::write(&path, "A=1\nBAD KEY=2\n").unwrap();
        let error = parse_file(&path, &own).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        let expected = [set("A", "1 # kept "), set("MINE", "my own"), set("B", "\"q\"")];
        assert_eq!(changes.unwrap(), expected);
        assert_eq!(error, format!("{}:2: \"BAD KEY\" has blanks in it", path.display()));
    }
}
