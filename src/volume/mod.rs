//! Volumes: what `-v` says (here), and where they lie (`store`).
//!
//! ```text
//! -v DST                    an anonymous volume at DST
//! -v NAME:DST[:MODE]        the named volume
//! -v /SRC:DST[:MODE]        the host's file or directory; ./SRC and ../SRC count from the caller's
//!                           working directory
//! --volumes-from C[:ro|rw]  what is mounted in container C; several are parted by commas
//! ```
//!
//! MODE is a list of words: `ro` or `rw`; `nocopy`, for a volume that is not to get the image's
//! content; and those that say what is so anyway: `z`, `Z` (there are no SELinux labels to change),
//! `private`, `rprivate`, `consistent`, `cached`, `delegated`.
//!
//! Source: Docker's references of `run -v` and `--volumes-from`; a source that is not there is
//! created as a directory.

mod copy;
mod store;

pub use store::{ANONYMOUS, Volume, Volumes, open_image_directory};

use crate::error::{Error, Result};
use std::path::Path;

/// What one `-v` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountSpec {
    pub source: Source,
    /// Absolute and clean: no `.`, `..`, `//` or trailing slash; never `/` itself.
    pub target: String,
    pub read_only: bool,
    /// A new volume stays empty, whatever the image has there.
    pub nocopy: bool,
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

/// A container whose mounts are taken over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumesFrom {
    /// Its name, id or the start of one, as the user wrote it.
    pub container: String,
    /// Without it, each as it is there.
    pub read_only: bool,
}

impl std::fmt::Display for VolumesFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.container)?;
        f.write_str(if self.read_only { ":ro" } else { "" })
    }
}

/// Reads `container[:ro|rw],...`.
pub fn parse_from(text: &str) -> Result<Vec<VolumesFrom>> {
    let one = |text: &str| {
        let (container, mode) = text.split_once(':').unwrap_or((text, "rw"));
        let bad = |what: &str| {
            Error::invalid(format!("\"{text}\": {what}")).hint("write container[:ro|rw]")
        };
        let read_only = match mode {
            "ro" => true,
            // No more may be written than there.
            "rw" => false,
            mode => return Err(bad(&format!("mode \"{mode}\" is neither ro nor rw"))),
        };
        match container {
            "" => Err(bad("the container is missing")),
            name => Ok(VolumesFrom { container: name.to_string(), read_only }),
        }
    };
    text.split(',').map(one).collect()
}

/// Reads `[src:]dst[:mode]`; `cwd` is where a relative source starts.
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
    let mode = mode.map_or(Ok(Mode::default()), |text| Mode::parse(text).map_err(|e| bad(&e)))?;
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
            if !cwd.is_absolute() {
                return Err(bad("the working directory is gone"));
            }
            let cwd = cwd.to_str().ok_or_else(|| bad("the working directory is not UTF-8"))?;
            Source::Host(clean(&format!("{cwd}/{path}")))
        }
        Some(name) if name_fits(name) => Source::Volume(name.to_string()),
        Some(name) if name.contains('/') => {
            return Err(bad(&format!(
                "\"{name}\" is neither a volume name nor a path from / or ./"
            )));
        }
        Some(name) => return Err(bad(&format!("\"{name}\" is no volume name ({NAME_RULE})"))),
    };
    if mode.nocopy && matches!(source, Source::Host(_)) {
        return Err(bad("nocopy is for volumes; nothing is copied to a host path"));
    }
    Ok(MountSpec { source, target, read_only: mode.read_only, nocopy: mode.nocopy })
}

#[derive(Default)]
struct Mode {
    read_only: bool,
    nocopy: bool,
}

impl Mode {
    fn parse(text: &str) -> std::result::Result<Mode, String> {
        let mut mode = Mode::default();
        let mut access = None;
        for word in text.split(',') {
            match word {
                "ro" | "rw" if access.replace(word).is_some_and(|before| before != word) => {
                    return Err("mode is both ro and rw".to_string());
                }
                "ro" => mode.read_only = true,
                "nocopy" => mode.nocopy = true,
                "rw" | "z" | "Z" | "private" | "rprivate" => {}
                "consistent" | "cached" | "delegated" => {}
                "shared" | "rshared" | "slave" | "rslave" => {
                    return Err(format!("mode \"{word}\": a container's mounts are its own"));
                }
                other => return Err(format!("mode \"{other}\" is neither ro nor rw")),
            }
        }
        Ok(mode)
    }
}

const NAME_RULE: &str = "2 or more letters, digits, '_', '.' or '-'";

/// Refuses what cannot be the name of a volume.
pub fn check_name(name: &str) -> Result<()> {
    match name_fits(name) {
        true => Ok(()),
        false => Err(Error::invalid(format!("invalid volume name \"{name}\""))
            .hint(format!("a name has {NAME_RULE}, and starts with a letter or digit"))),
    }
}

fn is_relative(path: &str) -> bool {
    matches!(path, "." | "..") || path.starts_with("./") || path.starts_with("../")
}

fn name_fits(name: &str) -> bool {
    (2..=255).contains(&name.len())
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
            ("/a:/b:Z,ro,rprivate", host("/a"), "/b", true),
        ] {
            let target = target.to_string();
            let expected = MountSpec { source, target, read_only, nocopy: false };
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
            ("/a:/b:", "\"\" is neither"),
            ("/a:/b:ro,rw", "both"),
            ("/a:/b:rshared", "rshared"),
            ("/a:/b:nocopy", "nocopy"),
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

    #[test]
    fn a_new_volume_may_be_wanted_empty() {
        let spec = spec("web:/srv:nocopy,ro").unwrap();
        assert!(spec.nocopy && spec.read_only);
    }

    #[test]
    fn containers_to_take_from_are_a_list() {
        let from =
            |container: &str, read_only| VolumesFrom { container: container.into(), read_only };
        let parsed = parse_from("777f7dc92da7,ba8c0c54f0f2:ro").unwrap();
        assert_eq!(parsed, [from("777f7dc92da7", false), from("ba8c0c54f0f2", true)]);
        assert_eq!(parse_from("a:rw").unwrap(), [from("a", false)]);
        for (text, word) in [("", "missing"), ("a,", "missing"), ("a:rx", "\"rx\"")] {
            assert!(parse_from(text).unwrap_err().to_string().contains(word), "{text}");
        }
    }
}
