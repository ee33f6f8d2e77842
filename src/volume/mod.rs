//! Volumes: what `-v` says (here), and where they lie (`store`).
//!
//! ```text
//! -v DST                    an anonymous volume at DST
//! -v NAME:DST[:MODE]        the named volume
//! -v /SRC:DST[:MODE]        the host's file or directory; ./SRC and ../SRC count from the caller's
//!                           working directory
//! --mount, --tmpfs          see `mount`
//! --volumes-from C[:ro|rw]  what is mounted in container C; several are parted by commas
//! ```
//!
//! MODE is a list of words: `ro` or `rw`; `nocopy`, for a volume that is not to get the image's
//! content; for a path of the host `private`, `slave` or `shared`, each also with an `r` before it;
//! and those that say what is so anyway: `z`, `Z` (there are no SELinux labels to change),
//! `consistent`, `cached`, `delegated`.
//!
//! Source: Docker's references of `run -v` and `--volumes-from`; a source that is not there is
//! created as a directory.

mod mount;
mod store;

pub use mount::{parse_mount, parse_tmpfs};
pub use store::{ANONYMOUS, Volume, Volumes, open_image_directory};

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// What one `-v`, `--mount` or `--tmpfs` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountSpec {
    pub source: Source,
    /// Absolute and clean: no `.`, `..`, `//` or trailing slash; never `/` itself.
    pub target: String,
    pub read_only: bool,
    /// A new volume stays empty, whatever the image has there.
    pub nocopy: bool,
    /// More words of mount(8): for a path of the host with whom it exchanges mounts (`rslave`),
    /// `bind` to leave out what is mounted below it, `ro` to leave that writable; all of a tmpfs.
    pub options: Vec<String>,
    /// The part of a volume to mount, relative; empty for all of it.
    pub subpath: String,
    /// For a volume that is to be made.
    pub labels: BTreeMap<String, String>,
    /// A path of the host that is not there is an error, not to be made.
    pub must_exist: bool,
    /// Said by `--mount`.
    pub by_mount: bool,
}

impl MountSpec {
    pub fn new(source: Source, target: &str) -> MountSpec {
        MountSpec {
            source,
            target: target.to_string(),
            read_only: false,
            nocopy: false,
            options: Vec::new(),
            subpath: String::new(),
            labels: BTreeMap::new(),
            must_exist: false,
            by_mount: false,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A volume of its own, named when the container is created.
    Anonymous,
    /// The volume of this name, created where it is missing.
    Volume(String),
    /// A path of the host, absolute and clean.
    Host(String),
    /// An empty file system in memory.
    Tmpfs,
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
    let target = self::target(target).map_err(|what| bad(&what))?;
    let source = match source {
        None => Source::Anonymous,
        Some("") => return Err(bad("the source is empty")),
        Some(path) if path.starts_with('/') || is_relative(path) => {
            Source::Host(absolute(path, cwd).map_err(|what| bad(&what))?)
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
    if let Some(word) = &mode.propagation
        && !matches!(source, Source::Host(_))
        && !word.ends_with("private")
    {
        return Err(bad(&format!(
            "{word} is for paths of the host; nothing is mounted in a volume"
        )));
    }
    Ok(MountSpec {
        read_only: mode.read_only,
        nocopy: mode.nocopy,
        options: mode.propagation.into_iter().collect(),
        ..MountSpec::new(source, &target)
    })
}

/// Checks and cleans a path in the container.
fn target(path: &str) -> std::result::Result<String, String> {
    match clean(path) {
        _ if !path.starts_with('/') => {
            Err(format!("the path in the container, \"{path}\", is not absolute"))
        }
        path if path == "/" => Err("the path in the container cannot be /".to_string()),
        path => Ok(path),
    }
}

/// A path of the host, clean; a relative one starts at `cwd`.
fn absolute(path: &str, cwd: &Path) -> std::result::Result<String, String> {
    if path.starts_with('/') {
        return Ok(clean(path));
    }
    if !cwd.is_absolute() {
        return Err("the working directory is gone".to_string());
    }
    let cwd = cwd.to_str().ok_or("the working directory is not UTF-8")?;
    Ok(clean(&format!("{cwd}/{path}")))
}

#[derive(Default)]
struct Mode {
    read_only: bool,
    nocopy: bool,
    propagation: Option<String>,
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
                "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {
                    if mode.propagation.replace(word.to_string()).is_some() {
                        return Err(format!("mode \"{word}\" is not the first of its kind"));
                    }
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
            let options = if text.contains("rprivate") { vec!["rprivate".into()] } else { vec![] };
            let expected = MountSpec { read_only, options, ..MountSpec::new(source, target) };
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
            ("/a:/b:slave,rshared", "\"rshared\" is not the first"),
            ("web:/b:rshared", "rshared is for paths of the host"),
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

    #[test]
    fn volumes_of_the_corpus_are_read_or_told() {
        crate::types::corpus::fuzz(
            "volume",
            &[":", "/", "ro", "..", "nocopy", ","],
            10_000,
            |text| {
                let text = String::from_utf8_lossy(text);
                let _ = parse_from(&text);
                let volume = parse(&text, Path::new("/w")).map_err(|e| e.to_string())?;
                assert!(volume.target.starts_with('/') && volume.target != "/");
                assert!(!volume.target.split('/').any(|part| part == ".."));
                Ok(())
            },
        );
    }
}
