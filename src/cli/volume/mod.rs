//! `volume`: the commands about volumes.

mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

pub use create::Create;
pub use inspect::Inspect;
pub use ls::Ls;
pub use prune::Prune;
pub use rm::Rm;

use crate::engine::report::Volume;
use crate::error::Result;
use crate::types::{LabelFilter, all_match, parse_filter, parse_switch};

/// One `--filter`. Of those with the same key one must match; labels all.
#[derive(Debug, PartialEq)]
enum Filter {
    /// No container uses it.
    Dangling(bool),
    /// A part of the name.
    Name(String),
    Driver(String),
    Label(LabelFilter),
    NotLabel(LabelFilter),
    /// Those with a name too.
    All(bool),
}

impl Filter {
    /// Reads one whose key is among `keys`.
    fn parse(text: &str, keys: &[&str]) -> Result<Filter> {
        let (key, value) = parse_filter(text, keys)?;
        match key {
            "dangling" => parse_switch(key, value).map(Filter::Dangling),
            "all" => parse_switch(key, value).map(Filter::All),
            "name" => Ok(Filter::Name(value.to_string())),
            "driver" => Ok(Filter::Driver(value.to_string())),
            "label" => Ok(Filter::Label(LabelFilter::new(value))),
            _ => Ok(Filter::NotLabel(LabelFilter::new(value))),
        }
    }

    fn matches(&self, volume: &Volume) -> bool {
        match self {
            Filter::Dangling(dangling) => volume.is_used != *dangling,
            Filter::Name(part) => volume.name.contains(part.as_str()),
            Filter::Driver(driver) => driver == DRIVER,
            Filter::Label(label) => label.matches(&volume.labels),
            Filter::NotLabel(label) => !label.matches(&volume.labels),
            Filter::All(_) => true,
        }
    }

    fn all_match(filters: &[Filter], volume: &Volume) -> bool {
        let each = |filter: &Filter| matches!(filter, Filter::Label(_) | Filter::NotLabel(_));
        all_match(filters, each, |filter| filter.matches(volume))
    }
}

/// The only one there is.
const DRIVER: &str = "local";

#[cfg(test)]
pub(super) fn sample(name: &str, labels: &[(&str, &str)], is_used: bool) -> Volume {
    Volume {
        name: name.to_string(),
        created: crate::types::Timestamp::from_unix(1_400_000_000),
        labels: labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        mountpoint: format!("/root/volumes/{name}/data").into(),
        is_used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_apart_and_all_must_match() {
        let used = sample("web", &[("tier", "front")], true);
        for (filters, matches) in [
            (&["dangling=true"][..], false),
            (&["dangling=0"], true),
            (&["name=we"], true),
            (&["name=db", "name=eb"], true),
            (&["name=db"], false),
            (&["label=tier"], true),
            (&["label=tier=front", "label=x"], false),
            (&["label!=tier=back"], true),
            (&["label!=tier"], false),
            (&["driver=local", "all=true"], true),
            (&["driver=nfs"], false),
        ] {
            let keys = ["all", "dangling", "driver", "label", "label!", "name"];
            let parsed: Vec<_> =
                filters.iter().map(|text| Filter::parse(text, &keys).unwrap()).collect();
            assert_eq!(Filter::all_match(&parsed, &used), matches, "{filters:?}");
        }
        for (text, word) in
            [("name", "key=value"), ("nam=x", "no filter \"nam\""), ("dangling=maybe", "\"maybe\"")]
        {
            let error = Filter::parse(text, &["dangling", "name"]).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
