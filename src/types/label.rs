//! Labels, and choosing by them: `--filter label=KEY[=VALUE]`.

use std::collections::BTreeMap;

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
}
