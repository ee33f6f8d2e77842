//! `network`: the commands about networks.

mod connect;
mod create;
mod disconnect;
mod inspect;
mod ls;
mod prune;
mod rm;

pub use connect::{Connect, address, address6};
pub use create::Create;
pub use disconnect::Disconnect;
pub use inspect::Inspect;
pub use ls::Ls;
pub use prune::Prune;
pub use rm::Rm;

use crate::engine::report::Network;
use crate::error::{Error, Result};
use crate::types::{LabelFilter, Timestamp, all_match, parse_filter, parse_moment, parse_switch};

/// One `--filter`. Of those with the same key one must match; labels all.
#[derive(Debug, PartialEq)]
enum Filter {
    /// No container is on it, and it was made by somebody.
    Dangling(bool),
    Driver(String),
    /// The start of the id.
    Id(String),
    Label(LabelFilter),
    /// A part of the name.
    Name(String),
    NotLabel(LabelFilter),
    /// All there are have it.
    Scope(String),
    Builtin(bool),
    /// Made before then.
    Until(Timestamp),
}

impl Filter {
    /// Reads one whose key is among `keys`.
    fn parse(text: &str, keys: &[&str]) -> Result<Filter> {
        let (key, value) = parse_filter(text, keys)?;
        Ok(match key {
            "dangling" => Filter::Dangling(parse_switch(key, value)?),
            "driver" => Filter::Driver(value.to_string()),
            "id" => Filter::Id(value.to_string()),
            "label" => Filter::Label(LabelFilter::new(value)),
            "name" => Filter::Name(value.to_string()),
            "scope" => Filter::Scope(value.to_string()),
            "type" => Filter::Builtin(match value {
                "builtin" => true,
                "custom" => false,
                _ => {
                    return Err(Error::invalid(format!(
                        "--filter: type is builtin or custom, not \"{value}\""
                    )));
                }
            }),
            "until" => Filter::Until(parse_moment(value, Timestamp::now())?),
            _ => Filter::NotLabel(LabelFilter::new(value)),
        })
    }

    fn matches(&self, network: &Network) -> bool {
        let definition = &network.definition;
        match self {
            Filter::Dangling(dangling) => {
                (network.containers.is_empty() && !network.is_builtin()) == *dangling
            }
            Filter::Driver(driver) => *driver == network.driver,
            Filter::Id(start) => definition.id.starts_with(start.as_str()),
            Filter::Label(label) => label.matches(&definition.labels),
            Filter::Name(part) => definition.name.contains(part.as_str()),
            Filter::NotLabel(label) => !label.matches(&definition.labels),
            Filter::Scope(scope) => scope == SCOPE,
            Filter::Builtin(builtin) => network.is_builtin() == *builtin,
            Filter::Until(moment) => definition.created < *moment,
        }
    }

    fn all_match(filters: &[Filter], network: &Network) -> bool {
        let each = |filter: &Filter| matches!(filter, Filter::Label(_) | Filter::NotLabel(_));
        all_match(filters, each, |filter| filter.matches(network))
    }
}

/// How far each of them reaches.
const SCOPE: &str = "local";

#[cfg(test)]
pub(super) fn sample(name: &str, labels: &[(&str, &str)]) -> Network {
    let mut definition = crate::network::Definition::new(name, [7; 32]);
    definition.created = Timestamp::from_unix(1_400_000_000);
    definition.subnet = Some("172.18.0.0/16".parse().unwrap());
    definition.labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Network { driver: definition.driver.to_string(), definition, containers: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_apart_and_all_must_match() {
        let web = sample("web", &[("tier", "front")]);
        for (filters, matches) in [
            (&["dangling=true"][..], true),
            (&["name=we", "driver=bridge", "scope=local"], true),
            (&["name=db", "name=eb"], true),
            (&["id=0707"], true),
            (&["id=7"], false),
            (&["label=tier=front", "label=x"], false),
            (&["label!=tier=back"], true),
            (&["type=custom"], true),
            (&["type=builtin"], false),
            (&["until=2014-05-14"], true),
        ] {
            let keys =
                ["dangling", "driver", "id", "label", "label!", "name", "scope", "type", "until"];
            let parsed: Vec<_> =
                filters.iter().map(|text| Filter::parse(text, &keys).unwrap()).collect();
            assert_eq!(Filter::all_match(&parsed, &web), matches, "{filters:?}");
        }
        let error = Filter::parse("type=x", &["type"]).unwrap_err();
        assert_eq!(error.to_string(), "--filter: type is builtin or custom, not \"x\"");
    }
}
