//! What the filters of all commands have in common: `--filter KEY=VALUE`, as often as wanted.

use super::nearest;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Key and value of a filter; the key is one of `keys`.
pub fn parse_filter<'t>(text: &'t str, keys: &[&str]) -> Result<(&'t str, &'t str)> {
    let bad = |what: String| Error::invalid(format!("--filter: {what}"));
    let Some((key, value)) = text.split_once('=') else {
        return Err(bad(format!("\"{text}\" is not key=value")));
    };
    if keys.contains(&key) {
        return Ok((key, value));
    }
    Err(bad(format!("there is no filter \"{key}\"")).hint(
        match nearest(key, keys.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("use one of {}", keys.join(", ")),
        },
    ))
}

/// A value that is a yes or a no.
pub fn parse_switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::invalid(format!("--filter: {key} is true or false, not \"{value}\""))),
    }
}

/// Whether `filters` let something through: of those of one kind one must match, but all of those
/// that `each` says so of, as labels.
pub fn all_match<F>(filters: &[F], each: fn(&F) -> bool, matches: impl Fn(&F) -> bool) -> bool {
    let kind = std::mem::discriminant::<F>;
    filters.iter().all(|filter| match each(filter) {
        true => matches(filter),
        false => filters.iter().any(|other| kind(other) == kind(filter) && matches(other)),
    })
}

/// What `label=` asks for: a label, or one with just that value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelFilter {
    key: String,
    value: Option<String>,
}

impl LabelFilter {
    /// Reads `KEY` or `KEY=VALUE`.
    pub fn new(text: &str) -> LabelFilter {
        match text.split_once('=') {
            Some((key, value)) => LabelFilter { key: key.into(), value: Some(value.into()) },
            None => LabelFilter { key: text.into(), value: None },
        }
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_asked_for_with_or_without_its_value() {
        let labels = BTreeMap::from([("tier".to_string(), "front".to_string())]);
        for (text, matches) in
            [("tier", true), ("tier=front", true), ("tier=", false), ("x", false)]
        {
            assert_eq!(LabelFilter::new(text).matches(&labels), matches, "{text}");
        }
    }
    #[test]
    fn unknown_keys_and_values_are_named() {
        assert_eq!(parse_filter("label=a=b", &["label"]).unwrap(), ("label", "a=b"));
        let error = parse_filter("labl=x", &["label", "name"]).unwrap_err();
        assert_eq!(error.to_string(), "--filter: there is no filter \"labl\"");
        assert_eq!(error.hints(), ["did you mean label?"]);
        assert_eq!(
            parse_filter("x=", &["id", "name"]).unwrap_err().hints(),
            ["use one of id, name"]
        );
        assert!(parse_filter("label", &["label"]).is_err());
        assert!(!parse_switch("dangling", "0").unwrap());
        assert!(parse_switch("dangling", "maybe").is_err());
    }

    #[test]
    fn of_one_kind_one_must_match_and_of_labels_all() {
        #[derive(Clone)]
        enum Filter {
            Name(u8),
            Label(u8),
        }
        use Filter::{Label, Name};
        let has = |filter: &Filter| matches!(filter, Name(1) | Label(1 | 2));
        let each: fn(&Filter) -> bool = |filter| matches!(filter, Label(_));
        for (filters, matches) in [
            (vec![], true),
            (vec![Name(1), Name(2)], true),
            (vec![Name(2)], false),
            (vec![Label(1), Label(2)], true),
            (vec![Label(1), Label(3)], false),
            (vec![Name(2), Label(1)], false),
        ] {
            assert_eq!(all_match(&filters, each, has), matches);
        }
    }
}
