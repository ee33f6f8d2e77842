//! Volumes, and the grammar of `-v`.
//!
//! ```text
//! -v DST                 an anonymous volume at DST
//! -v NAME:DST[:ro|rw]    the named volume
//! -v /SRC:DST[:ro|rw]    the host's file or directory; ./SRC and ../SRC count from the caller's
//!                        working directory
//! ```
//!
//! Source: Docker's reference of `run -v`; a source that is not there is created as a directory
//! when the container starts.

use crate::error::{Error, Result};
use std::path::Path;

/// What one `-v` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountSpec {
    pub source: Source,
    /// Absolute and clean: no `.`, `..`, `//` or trailing slash; never `/` itself.
    pub target: String,
    pub read_only: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A volume of its own, named when the container is created.
    Anonymous,
    /// The volume of this name, created where it is missing.
    Volume(String),
    /// A path of the host, absolute and clean.
    Host(String),
}

/// Reads `[src:]dst[:ro|rw]`; `cwd` is where a relative source starts.
pub fn parse(text: &str, cwd: &Path) -> Result<MountSpec> {
    let bad = |what: &str| {
        Error::invalid(format!("invalid volume \"{text}\": {what}"))
            .hint("write [source:]/path/in/container[:ro|rw]")
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => (None, target, None),
        // `-v /path:ro` would be an anonymous volume; Docker refuses it too, as a relative target.
        [source, target] => (Some(source), target, None),
        [source, target, mode] => (Some(source), target, Some(mode)),
        _ => return Err(bad("too many colons")),
    };
    let read_only = match mode {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(other) => return Err(bad(&format!("mode \"{other}\" is neither ro nor rw"))),
    };
    if !target.starts_with('/') {
        return Err(bad(&format!("the path in the container, \"{target}\", is not absolute")));
    }
    let target = clean(target);
    if target == "/" {
        return Err(bad("the path in the container cannot be /"));
    }
    let source = match source {
        None => Source::Anonymous,
        Some("") => return Err(bad("the source is empty")),
        Some(path) if path.starts_with('/') => Source::Host(clean(path)),
        Some(path) if is_relative(path) => {
            let cwd = cwd.to_str().ok_or_else(|| bad("the working directory is not UTF-8"))?;
            Source::Host(clean(&format!("{cwd}/{path}")))
        }
        Some(name) if name_fits(name) => Source::Volume(name.to_string()),
        Some(name) if name.contains('/') => {
            return Err(bad(&format!(
                "\"{name}\" is neither a volume name nor a path from / or ./"
            )));
        }
        Some(name) => {
            return Err(bad(&format!(
                "\"{name}\" is no volume name (2 or more letters, digits, '_', '.' or '-')"
            )));
        }
    };
    Ok(MountSpec { source, target, read_only })
}

fn is_relative(path: &str) -> bool {
    matches!(path, "." | "..") || path.starts_with("./") || path.starts_with("../")
}

fn name_fits(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// An absolute path without `.`, `..` and doubled slashes, by words alone (Go's `path.Clean`).
pub fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<MountSpec> {
        parse(text, Path::new("/home/me"))
    }

    #[test]
    fn sources_are_told_apart() {
        let host = |path: &str| Source::Host(path.to_string());
        for (text, source, target, read_only) in [
            ("/data", Source::Anonymous, "/data", false),
            ("web:/srv", Source::Volume("web".into()), "/srv", false),
            ("/a:/b", host("/a"), "/b", false),
            ("/a/../c//d/:/b/.//x/:ro", host("/c/d"), "/b/x", true),
            ("./x:/b:rw", host("/home/me/x"), "/b", false),
            ("../x:/b", host("/home/x"), "/b", false),
            (".:/b", host("/home/me"), "/b", false),
            ("/:/host:ro", host("/"), "/host", true),
        ] {
            let expected = MountSpec { source, target: target.to_string(), read_only };
            assert_eq!(spec(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("", "not absolute"),
            ("data", "not absolute"),
            ("/a:b", "not absolute"),
            ("/a:/b:rx", "\"rx\""),
            ("/a:/b:ro:z", "colons"),
            ("/a:/", "cannot be /"),
            ("/..", "cannot be /"),
            (":/b", "empty"),
            ("x/y:/b", "\"x/y\""),
            ("a:/b", "\"a\""),
            ("-ab:/b", "\"-ab\""),
        ] {
            let error = spec(text).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
            assert_eq!(error.hints().len(), 1);
        }
    }
}
