//! `images`: what is in the store.

use super::lineage;
use crate::error::Result;
use crate::image::{Image, Store};
use crate::types::{
    Digest, Glob, ImageRef, LabelFilter, Timestamp, parse_filter, parse_moment, parse_switch,
};

/// One name of one image; an image without a name has one row too.
#[derive(Clone, PartialEq, Debug)]
pub struct ImageRow {
    pub id: Digest,
    pub name: Option<ImageRef>,
    pub created: Option<Timestamp>,
    /// Bytes of all its files; `None` where the image is damaged (`inspect` tells why).
    pub size: Option<u64>,
}

/// One `--filter`: all must match, but of several references one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImageFilter {
    /// Without a name, and nothing was made from it.
    Dangling(bool),
    /// Older than that image.
    Before(String),
    /// Newer than that image.
    Since(String),
    /// Made before then.
    Until(Timestamp),
    Label(LabelFilter),
    /// A pattern of the repository, or of repository and tag.
    Reference(Glob),
}

const KEYS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

impl ImageFilter {
    pub fn parse(text: &str, now: Timestamp) -> Result<ImageFilter> {
        let (key, value) = parse_filter(text, &KEYS)?;
        match key {
            "dangling" => parse_switch(key, value).map(ImageFilter::Dangling),
            "before" => Ok(ImageFilter::Before(value.to_string())),
            "since" => Ok(ImageFilter::Since(value.to_string())),
            "until" => parse_moment(value, now).map(ImageFilter::Until),
            "label" => Ok(ImageFilter::Label(LabelFilter::new(value))),
            _ => value.parse().map(ImageFilter::Reference),
        }
    }
}

/// The images that all `filters` match, the newest first; those without a name that others were
/// made from only with `all`.
pub fn images(store: &Store, all: bool, filters: &[ImageFilter]) -> Result<Vec<ImageRow>> {
    let refs = store.refs()?;
    let ids = refs.images();
    // It takes a look into every config.
    let parents = match ids.iter().any(|id| refs.names_of(id).is_empty()) {
        true => lineage::all_parents(store, &refs),
        false => Default::default(),
    };
    let filters = Filters::new(store, filters)?;
    let mut rows = Vec::new();
    for id in ids {
        let names = refs.names_of(&id);
        let is_between = names.is_empty() && parents.contains(&id);
        let image = store.image(&id).ok();
        let is_dangling = names.is_empty() && !is_between;
        if (is_between && !all) || !filters.match_image(is_dangling, image.as_ref()) {
            continue;
        }
        let row = ImageRow {
            id,
            name: None,
            created: image.as_ref().and_then(|image| image.config.created),
            size: image.as_ref().and_then(|image| store.size(image).ok()),
        };
        let names = names.into_iter().map(Some);
        let nameless = names.len() == 0;
        let names = names.chain(nameless.then_some(None)).filter(|name| filters.match_name(name));
        rows.extend(names.map(|name| ImageRow { name, ..row.clone() }));
    }
    rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
    Ok(rows)
}

/// Filters with the times of the images that they name.
struct Filters<'f> {
    filters: &'f [ImageFilter],
    /// Older than all of these.
    before: Vec<Timestamp>,
    since: Vec<Timestamp>,
}

impl Filters<'_> {
    fn new<'f>(store: &Store, filters: &'f [ImageFilter]) -> Result<Filters<'f>> {
        let created = |text: &str| -> Result<Timestamp> {
            let image = store.image(&store.resolve(text)?)?;
            Ok(image.config.created.unwrap_or_default())
        };
        let (mut before, mut since) = (Vec::new(), Vec::new());
        for filter in filters {
            match filter {
                ImageFilter::Before(image) => before.push(created(image)?),
                ImageFilter::Since(image) => since.push(created(image)?),
                ImageFilter::Until(time) => before.push(*time),
                _ => {}
            }
        }
        Ok(Filters { filters, before, since })
    }

    /// An image that cannot be read is of no time and has no labels.
    fn match_image(&self, is_dangling: bool, image: Option<&Image>) -> bool {
        let config = image.map(|image| &image.config);
        let created = config.and_then(|config| config.created).unwrap_or_default();
        let labels = config.map(|config| &config.config.labels);
        self.before.iter().all(|time| created < *time)
            && self.since.iter().all(|time| created > *time)
            && self.filters.iter().all(|filter| match filter {
                ImageFilter::Dangling(wanted) => is_dangling == *wanted,
                ImageFilter::Label(label) => labels.is_some_and(|labels| label.matches(labels)),
                _ => true,
            })
    }

    fn match_name(&self, name: &Option<ImageRef>) -> bool {
        let patterns = self.filters.iter().filter_map(|filter| match filter {
            ImageFilter::Reference(pattern) => Some(pattern),
            _ => None,
        });
        let mut patterns = patterns.peekable();
        patterns.peek().is_none()
            || name.as_ref().is_some_and(|name| patterns.any(|pattern| matches(pattern, name)))
    }
}

/// Whether it is a pattern of the repository, or of repository and tag.
pub fn matches(pattern: &Glob, name: &ImageRef) -> bool {
    pattern.matches(name.repository()) || pattern.matches(&name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_told_what_is_wrong() {
        let parse = |text| ImageFilter::parse(text, Timestamp::from_unix(100));
        assert_eq!(parse("dangling=true").unwrap(), ImageFilter::Dangling(true));
        assert_eq!(parse("since=a:1").unwrap(), ImageFilter::Since("a:1".to_string()));
        assert_eq!(parse("until=10s").unwrap(), ImageFilter::Until(Timestamp::from_unix(90)));
        for (bad, told) in [
            ("dangling", "\"dangling\" is not key=value"),
            ("dangling=yes", "dangling is true or false, not \"yes\""),
            ("befor=x", "there is no filter \"befor\""),
            ("reference=[", "no pattern"),
        ] {
            assert!(parse(bad).unwrap_err().to_string().contains(told), "{bad}");
        }
        assert_eq!(parse("befor=x").unwrap_err().hints(), ["did you mean before?"]);
    }
}
