//! Names of images: `[registry[:port]/]repository[:tag]` (Docker's reference grammar; the default
//! tag is `latest`). Digests as references come with the registry.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ImageRef {
    repository: String,
    tag: String,
}

impl ImageRef {
    /// Registry and path: `busybox`, `localhost:5000/team/app`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

fn component_fits(part: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(edge)
        && part.ends_with(edge)
        && part.chars().all(|c| edge(c) || matches!(c, '.' | '_' | '-'))
}

fn registry_fits(part: &str) -> bool {
    let (host, port) = part.split_once(':').unwrap_or((part, "0"));
    !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        && port.parse::<u16>().is_ok()
}

fn tag_fits(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

impl FromStr for ImageRef {
    type Err = Error;
    fn from_str(text: &str) -> Result<ImageRef, Error> {
        let bad = |what: &str| Error::invalid(format!("invalid image name \"{text}\": {what}"));
        // The long form of the short names.
        let hub = ["docker.io/library/", "docker.io/", "index.docker.io/library/"];
        let text = hub.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        // A colon after the last slash parts the tag; an earlier one parts a registry's port.
        let (repository, tag) = match text.rsplit_once(':') {
            Some((left, right)) if !right.contains('/') => (left, right),
            _ => (text, "latest"),
        };
        if !tag_fits(tag) {
            return Err(bad(
                "a tag is 1 to 128 letters, digits, '_', '.' or '-' and starts with no '.' or '-'",
            ));
        }
        let mut parts = repository.split('/').peekable();
        if let Some((first, _)) = repository.split_once('/')
            && (first.contains(['.', ':']) || first == "localhost")
        {
            if !registry_fits(first) {
                return Err(bad("its registry is not host[:port]"));
            }
            parts.next();
        }
        if repository.len() > 255 {
            return Err(bad("a repository has at most 255 characters"));
        }
        if parts.peek().is_none() || !parts.all(component_fits) {
            return Err(bad("a repository is lower-case letters, digits, '.', '_', '-' and '/'"));
        }
        Ok(ImageRef { repository: repository.to_string(), tag: tag.to_string() })
    }
}

super::serde_by_text!(ImageRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_repository_and_tag() {
        for (text, repository, tag) in [
            ("busybox", "busybox", "latest"),
            ("busybox:1.36", "busybox", "1.36"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b", "v1"),
            ("team/app_x:L-2", "team/app_x", "L-2"),
            ("docker.io/library/busybox:1", "busybox", "1"),
            ("docker.io/team/app", "team/app", "latest"),
        ] {
            let r: ImageRef = text.parse().unwrap();
            assert_eq!((r.repository(), r.tag()), (repository, tag));
        }
        for bad in ["", "Busy", "a//b", ":x", "a:", "a:b:c", "-a", "a/", "h.x:99999/a", "a b"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }
}
