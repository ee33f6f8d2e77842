//! Names of images: `[registry[:port]/]repository[:tag]`; the default tag is `latest`. Digests as
//! references come with the registry.
//!
//! Source: github.com/distribution/reference, "Grammar", whose messages these are too. Names are
//! kept in Docker's familiar form, without the registry of Docker Hub, and so are what they were
//! when they are read again. Therefore some names that are right in Docker's long form are not right
//! here: nothing would tell `docker.io/<64 hex digits>` from an id, `docker.io/localhost/a` from a
//! name on localhost.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// The most characters of a repository, with its registry.
const REPOSITORY_MAX: usize = 255;
const TAG_MAX: usize = 128;

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

    /// The registry it names; none stands for Docker Hub.
    pub fn registry(&self) -> Option<&str> {
        split_registry(&self.repository).0
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// The first part is a registry where no path could begin with it, or it is `localhost`.
fn split_registry(repository: &str) -> (Option<&str>, &str) {
    let is_upper = |c: char| c.is_uppercase();
    match repository.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.contains(is_upper) =>
        {
            (Some(first), rest)
        }
        _ => (None, repository),
    }
}

/// What stands behind the registry of Docker Hub, if that is named.
fn on_hub(repository: &str) -> Option<&str> {
    match split_registry(repository) {
        (Some("docker.io" | "index.docker.io"), path) => Some(path),
        _ => None,
    }
}

/// Lower-case letters and digits, in which a dot, one or two underscores or some dashes may stand.
fn component_fits(part: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    part.starts_with(is_alphanumeric)
        && part.ends_with(is_alphanumeric)
        && part.split(is_alphanumeric).all(is_separator)
}

/// A host name, an IPv4 address or one of IPv6 in brackets, and maybe a port.
fn registry_fits(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label_fits = |label: &str| {
        let is_alphanumeric = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(is_alphanumeric)
            && label.ends_with(is_alphanumeric)
            && label.chars().all(|c| is_alphanumeric(c) || c == '-')
    };
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.chars().all(|c| c.is_ascii_hexdigit() || c == ':'),
        None => host.split('.').all(label_fits),
    };
    let port_fits =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host_fits && port.is_none_or(port_fits)
}

fn tag_fits(tag: &str) -> bool {
    (1..=TAG_MAX).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_id(repository: &str) -> bool {
    repository.len() == 64 && repository.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for ImageRef {
    type Err = Error;
    fn from_str(text: &str) -> Result<ImageRef, Error> {
        let format = |what: &str| {
            Err(Error::invalid(format!("invalid reference format: \"{text}\": {what}")))
        };
        // A colon after the last slash parts the tag; an earlier one parts a registry's port.
        let (repository, tag) = match text.rsplit_once(':') {
            Some((left, right)) if !right.contains('/') => (left, right),
            _ => (text, "latest"),
        };
        let hub = on_hub(repository);
        let repository = hub.unwrap_or(repository);
        let official = repository.strip_prefix("library/").filter(|name| !name.contains('/'));
        let repository = official.unwrap_or(repository);
        let (registry, path) = split_registry(repository);
        if hub.is_some() && registry.is_some() {
            return format("a path on Docker Hub cannot begin as a registry does");
        }
        if registry.is_some_and(|registry| !registry_fits(registry)) {
            return format("its registry is not host[:port]");
        }
        if path.to_lowercase() != path {
            let told = format!("repository name ({path}) must be lowercase");
            return Err(Error::invalid(format!("invalid reference format: {told}")));
        }
        if !path.split('/').all(component_fits) {
            return format(
                "a repository is lower-case letters and digits, parted by one '.', one or two '_', \
                 '-' or '/'",
            );
        }
        if !tag_fits(tag) {
            return format(
                "a tag is 1 to 128 letters, digits, '_', '.' or '-' and starts with no '.' or '-'",
            );
        }
        if repository.len() > REPOSITORY_MAX {
            return format("repository name must not be more than 255 characters");
        }
        if is_id(repository) {
            let told = "cannot specify 64-byte hexadecimal strings";
            return Err(Error::invalid(format!("invalid repository name ({repository}), {told}")));
        }
        if repository == "sha256" {
            let told = "refusing to create an ambiguous tag using digest algorithm as name";
            return Err(Error::invalid(format!("{told}: {text}")));
        }
        Ok(ImageRef { repository: repository.to_string(), tag: tag.to_string() })
    }
}

super::serde_by_text!(ImageRef);

#[cfg(test)]
mod tests {
    use super::super::corpus::fuzz;
    use super::*;

    #[test]
    fn names_split_into_repository_and_tag() {
        for (text, repository, tag) in [
            ("busybox", "busybox", "latest"),
            ("busybox:1.36", "busybox", "1.36"),
            ("localhost:5000/a/b", "localhost:5000/a/b", "latest"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b", "v1"),
            ("team/app_x:L-2", "team/app_x", "L-2"),
            ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo", "5050"),
            ("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo", "tag"),
            ("test.com:5000", "test.com", "5000"),
            ("Docker/docker", "Docker/docker", "latest"),
        ] {
            let r: ImageRef = text.parse().unwrap();
            assert_eq!((r.repository(), r.tag()), (repository, tag));
        }
    }

    #[test]
    fn docker_hub_goes_without_saying() {
        for (text, repository) in [
            ("docker.io/library/busybox:1", "busybox"),
            ("docker.io/busybox", "busybox"),
            ("index.docker.io/busybox", "busybox"),
            ("library/ubuntu-12.04-base", "ubuntu-12.04-base"),
            ("docker.io/team/app", "team/app"),
            ("index.docker.io/team/app", "team/app"),
            ("docker.io/library/foo/bar", "library/foo/bar"),
            ("library/foo/bar", "library/foo/bar"),
            ("example.com/library/foo", "example.com/library/foo"),
        ] {
            assert_eq!(text.parse::<ImageRef>().unwrap().repository(), repository, "{text}");
        }
        let registry = |text: &str| text.parse::<ImageRef>().unwrap().registry().map(String::from);
        assert_eq!(registry("docker.io/team/app"), None);
        assert_eq!(registry("localhost/app").as_deref(), Some("localhost"));
        assert_eq!(registry("h:5000/team/app").as_deref(), Some("h:5000"));
    }

    #[test]
    fn what_is_wrong_with_a_name_is_told_in_dockers_words() {
        let id = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";
        for (text, told) in [
            ("a..b", "invalid reference format: \"a..b\": a repository is"),
            (
                "team/Busy",
                "invalid reference format: repository name (team/Busy) must be lowercase",
            ),
            ("a:.b", "invalid reference format: \"a:.b\": a tag is"),
            (id, "cannot specify 64-byte hexadecimal strings"),
            (&format!("docker.io/{id}:x"), "cannot specify 64-byte hexadecimal strings"),
            ("sha256:abc", "refusing to create an ambiguous tag using digest algorithm as name"),
            ("docker.io/library/sha256", "refusing to create an ambiguous tag"),
            (&"a/".repeat(150), "a repository is"),
            (&"a".repeat(300), "repository name must not be more than 255 characters"),
            ("-h.x/a", "its registry is not host[:port]"),
            ("h.x:+5/a", "its registry is not host[:port]"),
        ] {
            let error = text.parse::<ImageRef>().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    /// Those of the files are for the most part from the tests of distribution/reference.
    #[test]
    fn names_of_the_corpus_are_what_they_were_when_they_are_read_again() {
        let words =
            ["docker.io/", "library/", ":", "/", "..", "__", "---", "[::1]", "A", "@", "sha256"];
        fuzz("reference", &words, 20_000, |bytes| {
            let name: ImageRef =
                String::from_utf8_lossy(bytes).parse().map_err(|e: Error| e.to_string())?;
            assert_eq!(name.to_string().parse::<ImageRef>().unwrap(), name);
            Ok(())
        });
    }
}
