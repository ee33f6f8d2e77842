//! `--filter` of `events`, by Docker's rules: of those with one key one must match, labels all.

use super::{Event, Kind};
use crate::error::{Error, Result};
use crate::types::{LabelFilter, all_match, nearest, parse_filter};

#[derive(Debug, PartialEq)]
pub enum Filter {
    /// Of these, the start of the id or of the name.
    Container(String),
    Network(String),
    Volume(String),
    /// The image, or the container's.
    Image(String),
    Event(String),
    Label(LabelFilter),
    Type(String),
    /// There is none: everything is local.
    Scope(String),
    /// There is none; nothing is its.
    Daemon,
}

const KEYS: [&str; 9] =
    ["container", "daemon", "event", "image", "label", "network", "scope", "type", "volume"];

impl Filter {
    pub fn parse(text: &str) -> Result<Filter> {
        let (key, value) = parse_filter(text, &KEYS)?;
        let text = value.to_string();
        Ok(match key {
            "container" => Filter::Container(text),
            "network" => Filter::Network(text),
            "volume" => Filter::Volume(text),
            "image" => Filter::Image(text),
            "event" => Filter::Event(text),
            "label" => Filter::Label(LabelFilter::new(value)),
            "scope" => Filter::Scope(text),
            "daemon" => Filter::Daemon,
            _ => Filter::Type(check_type(value)?.to_string()),
        })
    }

    pub fn all_match(filters: &[Filter], event: &Event) -> bool {
        all_match(filters, |filter| matches!(filter, Filter::Label(_)), |one| one.matches(event))
    }

    fn matches(&self, event: &Event) -> bool {
        let attribute = |key: &str| event.attributes.get(key).map_or("", String::as_str);
        let is = |kind, start: &str| {
            event.kind == kind
                && (event.id.starts_with(start) || attribute("name").starts_with(start))
        };
        match self {
            Filter::Container(start) => is(Kind::Container, start),
            Filter::Network(start) => is(Kind::Network, start),
            Filter::Volume(start) => is(Kind::Volume, start),
            Filter::Image(image) => {
                let (id, name) = match event.kind {
                    Kind::Image => (event.id.as_str(), attribute("name")),
                    _ => ("", attribute("image")),
                };
                let digits = id.strip_prefix("sha256:").unwrap_or(id);
                let by_id = image.strip_prefix("sha256:").unwrap_or(image);
                let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
                name == image
                    || repository == image
                    || (by_id.len() >= 4 && digits.starts_with(by_id))
            }
            // `exec_create: sh -c ...`, `health_status: healthy`
            Filter::Event(action) => {
                let verb = event.action.split_once(':').map_or(&event.action[..], |(verb, _)| verb);
                event.action == *action || verb == action
            }
            Filter::Label(label) => label.matches(&event.attributes),
            Filter::Type(kind) => event.kind.word() == kind,
            Filter::Scope(scope) => scope == "local",
            Filter::Daemon => false,
        }
    }
}

/// Docker has more of them, of which nothing is ever told here.
const OTHERS: [&str; 6] = ["builder", "config", "daemon", "node", "plugin", "service"];

fn check_type(word: &str) -> Result<&str> {
    let all = || Kind::ALL.iter().map(|kind| kind.word()).chain(OTHERS);
    if all().any(|known| known == word) {
        return Ok(word);
    }
    let error = Error::invalid(format!("--filter: there is no type \"{word}\""));
    Err(match nearest(word, all()) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("use container, image, network or volume"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::file::tests::event;

    #[test]
    fn events_are_chosen_by_dockers_rules() {
        let mut health = event(1);
        health.action = "health_status: healthy".into();
        health.attributes.extend(
            [("image", "hub/busybox:1.0"), ("tier", "front")].map(|(k, v)| (k.into(), v.into())),
        );
        for (filters, matches) in [
            (&[][..], true),
            (&["container=web"], true),
            (&["container=aaaa"], true),
            (&["container=db", "container=we"], true),
            (&["container=db"], false),
            (&["network=web"], false),
            (&["event=health_status"], true),
            (&["event=health_status: healthy"], true),
            (&["event=health"], false),
            (&["type=container", "event=die", "event=health_status"], true),
            (&["type=image"], false),
            (&["image=hub/busybox"], true),
            (&["image=hub/busybox:1.0"], true),
            (&["image=busybox"], false),
            (&["label=tier=front", "label=name"], true),
            (&["label=tier=back"], false),
            (&["scope=local"], true),
            (&["daemon=x"], false),
        ] {
            let parsed: Vec<_> = filters.iter().map(|text| Filter::parse(text).unwrap()).collect();
            assert_eq!(Filter::all_match(&parsed, &health), matches, "{filters:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("container", "--filter: \"container\" is not key=value"),
            ("contaner=x", "--filter: there is no filter \"contaner\""),
            ("type=imag", "--filter: there is no type \"imag\""),
        ] {
            assert_eq!(Filter::parse(text).unwrap_err().to_string(), words);
        }
    }
}
