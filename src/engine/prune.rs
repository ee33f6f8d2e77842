//! `prune` and `gc`: what nobody needs goes. What is in use is derived from the records of the
//! containers, under the locks of what they use.

use super::image::{self, Removed};
use super::{Engine, usage};
use crate::error::{Error, Result};
use crate::types::{ContainerId, Digest, LabelFilter, Timestamp, parse_filter, parse_moment};
use std::collections::{BTreeMap, BTreeSet};

/// What went, and the bytes that its files had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pruned<T> {
    pub removed: Vec<T>,
    pub bytes: u64,
}

/// One `--filter` of a prune: all must match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// Made before then.
    Until(Timestamp),
    Label(LabelFilter),
    NotLabel(LabelFilter),
}

impl Filter {
    /// Reads `until=TIME`, `label=KEY[=VALUE]` or `label!=KEY[=VALUE]`.
    pub fn parse(text: &str, now: Timestamp) -> Result<Filter> {
        let (key, value) = parse_filter(text, &["label", "label!", "until"])?;
        match key {
            "until" => parse_moment(value, now).map(Filter::Until),
            "label" => Ok(Filter::Label(LabelFilter::new(value))),
            _ => Ok(Filter::NotLabel(LabelFilter::new(value))),
        }
    }

    pub fn all_match(
        filters: &[Filter],
        created: Timestamp,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        filters.iter().all(|filter| match filter {
            Filter::Until(time) => created < *time,
            Filter::Label(label) => label.matches(labels),
            Filter::NotLabel(label) => !label.matches(labels),
        })
    }
}

impl Engine {
    /// Removes the containers that do not run.
    pub fn prune_containers(&self, filters: &[Filter]) -> Result<Pruned<ContainerId>> {
        self.begin()?;
        let mut pruned = Pruned { removed: Vec::new(), bytes: 0 };
        let mut errors = Vec::new();
        for container in self.containers()? {
            let config = &container.config;
            if container.is_up() || !Filter::all_match(filters, config.created, &config.labels) {
                continue;
            }
            let bytes = usage::bytes(&container.directory.join("upper"));
            match self.remove(config.id.as_str(), false, false) {
                Ok(()) => {
                    pruned.removed.push(config.id.clone());
                    pruned.bytes = pruned.bytes.saturating_add(bytes);
                }
                // Somebody else removed it, or has just started it.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => errors.push(error),
            }
        }
        Error::collect(errors).map(|()| pruned)
    }

    /// Removes images without a name that no container uses; with `all`, those with one too.
    pub fn prune_images(&self, all: bool, filters: &[Filter]) -> Result<Pruned<Removed>> {
        self.begin()?;
        let store = self.images()?;
        let pruned = image::prune(&store, all, filters, &|| self.used_images())?;
        store.sweep()?;
        Ok(pruned)
    }

    /// Removes for good what was discarded, and what crashes left; the bytes that it had.
    pub fn gc(&self) -> Result<u64> {
        self.begin()?;
        let store = self.images()?;
        store.discard()?;
        let bytes = || usage::bytes(&store.trash()).saturating_add(usage::bytes(&store.tmp()));
        let before = bytes();
        store.remove_discarded()?;
        Ok(before.saturating_sub(bytes()))
    }

    /// The images that containers were made from.
    pub(super) fn used_images(&self) -> Result<BTreeSet<Digest>> {
        Ok(self.image_users()?.into_iter().map(|(id, ..)| id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_by_age_and_label() {
        let now = Timestamp::from_unix(1_700_000_000);
        let labels = BTreeMap::from([("keep".to_string(), "yes".to_string())]);
        let made = Timestamp::from_unix(1_700_000_000 - 7200);
        for (text, matches) in [
            ("until=1h", true),
            ("until=3h", false),
            ("label=keep", true),
            ("label=keep=no", false),
            ("label!=keep", false),
            ("label!=other", true),
        ] {
            let filter = Filter::parse(text, now).unwrap();
            assert_eq!(Filter::all_match(&[filter], made, &labels), matches, "{text}");
        }
        for text in ["until", "until=soon", "dangling=true", ""] {
            assert!(Filter::parse(text, now).is_err(), "{text}");
        }
    }
}
