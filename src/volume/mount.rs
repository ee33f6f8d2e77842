//! What one `--mount` or `--tmpfs` says.
//!
//! ```text
//! --mount KEY[=VALUE],...   one line of CSV (RFC 4180), as `encoding/csv` of Go reads it: a field
//!                           that holds a comma stands in quotes, a quote in it is doubled
//! --tmpfs DST[:WORD,...]    an empty file system in memory, gone with the container's run
//! ```
//!
//! Source: Docker's references of `run --mount` and `--tmpfs`.

use super::{MountSpec, Source, absolute, check_name, is_relative, target};
use crate::error::{Context, Error, Result};
use crate::types::{nearest, parse_size};
use std::path::Path;

/// The keys of `--mount`, under all their names.
const KEYS: [(&str, Key); 21] = [
    ("type", Key::Type),
    ("source", Key::Source),
    ("src", Key::Source),
    ("target", Key::Target),
    ("destination", Key::Target),
    ("dst", Key::Target),
    ("readonly", Key::ReadOnly),
    ("ro", Key::ReadOnly),
    ("consistency", Key::Consistency),
    ("bind-propagation", Key::Propagation),
    ("bind-nonrecursive", Key::NonRecursive),
    ("bind-recursive", Key::Recursive),
    ("bind-create-src", Key::CreateSource),
    ("volume-nocopy", Key::NoCopy),
    ("volume-subpath", Key::Subpath),
    ("volume-label", Key::Label),
    ("volume-driver", Key::Driver),
    ("volume-opt", Key::DriverOption),
    ("tmpfs-size", Key::Size),
    ("tmpfs-mode", Key::Mode),
    ("image-subpath", Key::ImageSubpath),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Type,
    Source,
    Target,
    ReadOnly,
    Consistency,
    Propagation,
    NonRecursive,
    Recursive,
    CreateSource,
    NoCopy,
    Subpath,
    Label,
    Driver,
    DriverOption,
    Size,
    Mode,
    ImageSubpath,
}

impl Key {
    fn is_switch(self) -> bool {
        matches!(self, Key::ReadOnly | Key::NonRecursive | Key::NoCopy | Key::CreateSource)
    }
}

const TYPES: [&str; 3] = ["bind", "volume", "tmpfs"];
const PROPAGATION: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];
const RECURSIVE: [&str; 4] = ["enabled", "disabled", "writable", "readonly"];

/// How messages show where they come from.
fn bad(text: &str, what: &str) -> Error {
    Error::invalid(format!("invalid mount \"{text}\": {what}"))
}

fn choose(text: &str, key: &str, value: &str, words: &[&str]) -> Result<String> {
    let value = value.to_ascii_lowercase();
    if words.contains(&value.as_str()) {
        return Ok(value);
    }
    let hint = match nearest(&value, words.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("{key} is one of {}", words.join(", ")),
    };
    Err(bad(text, &format!("{key} cannot be \"{value}\"")).hint(hint))
}

/// Reads one `--mount`; `cwd` is where a relative source starts.
pub fn parse_mount(text: &str, cwd: &Path) -> Result<MountSpec> {
    let mut kind = "volume".to_string();
    let mut source = String::new();
    let mut place = None;
    let mut recursive = String::new();
    let mut propagation = String::new();
    let mut spec = MountSpec::new(Source::Anonymous, "");
    spec.by_mount = true;
    spec.must_exist = true;
    // The first key that is for one kind alone.
    let mut of_kind: Option<&str> = None;
    for field in fields(text).map_err(|what| bad(text, what))? {
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (field.as_str(), None),
        };
        let Some((name, key)) = KEYS.iter().find(|(known, _)| *known == name) else {
            let hint = match nearest(name, KEYS.iter().map(|(known, _)| *known)) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "write type=bind|volume|tmpfs,source=...,target=/path/in/container".into(),
            };
            return Err(bad(text, &format!("no key \"{name}\"")).hint(hint));
        };
        if name.starts_with("bind-") || name.starts_with("volume-") || name.starts_with("tmpfs-") {
            of_kind.get_or_insert(name);
        }
        let switch = || match value.unwrap_or("true") {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => Err(bad(text, &format!("{name} cannot be \"{other}\""))
                .hint(format!("write {name}, {name}=true or {name}=false"))),
        };
        let value = match value {
            Some(value) if key.is_switch() || !value.is_empty() => value,
            None if key.is_switch() => "",
            _ => {
                return Err(
                    bad(text, &format!("{name} has no value")).hint(format!("write {name}=..."))
                );
            }
        };
        match key {
            Key::Type if matches!(value, "npipe" | "cluster" | "image") => {
                return Err(bad(text, &format!("there are no mounts of type {value}"))
                    .hint("the types are bind, volume and tmpfs"));
            }
            Key::Type => kind = choose(text, name, value, &TYPES)?,
            Key::Source => source = value.to_string(),
            Key::Target => place = Some(value.to_string()),
            Key::ReadOnly => spec.read_only = switch()?,
            Key::Consistency => {
                choose(text, name, value, &["default", "consistent", "cached", "delegated"])?;
            }
            Key::Propagation => propagation = choose(text, name, value, &PROPAGATION)?,
            Key::NonRecursive if switch()? => recursive = "disabled".into(),
            Key::NonRecursive => {}
            Key::Recursive => recursive = choose(text, name, value, &RECURSIVE)?,
            Key::CreateSource => spec.must_exist = !switch()?,
            Key::NoCopy => spec.nocopy = switch()?,
            Key::Subpath => spec.subpath = value.to_string(),
            Key::Label => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                spec.labels.insert(key.to_string(), value.to_string());
            }
            Key::Driver if value == "local" => {}
            Key::Driver => {
                return Err(bad(text, &format!("no volume driver \"{value}\""))
                    .hint("the only one is local"));
            }
            Key::DriverOption => {
                return Err(bad(text, "volumes have no options")
                    .hint("a volume is a directory; use type=bind or type=tmpfs"));
            }
            Key::Size => {
                let size = parse_size(value).doing(|| name.to_string())?;
                if size > 0 {
                    spec.options.push(format!("size={size}"));
                }
            }
            Key::Mode => match u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777) {
                Some(mode) => spec.options.push(format!("mode={mode:o}")),
                None => {
                    return Err(bad(text, &format!("{name} cannot be \"{value}\""))
                        .hint("write a mode in octal digits: 1777"));
                }
            },
            Key::ImageSubpath => {
                return Err(bad(text, "there are no mounts of images")
                    .hint("the types are bind, volume and tmpfs"));
            }
        }
    }
    let Some(place) = place else {
        return Err(bad(text, "the target is missing").hint("add target=/path/in/container"));
    };
    let wrong = |what: String| bad(text, &what);
    if let Some(key) = of_kind.filter(|key| !key.starts_with(&format!("{kind}-"))) {
        return Err(wrong(format!("{key} is not for mounts of type {kind}"))
            .hint("write the type first: type=bind, type=volume or type=tmpfs"));
    }
    spec.target =
        target(&place).map_err(|what| wrong(what).hint("write target=/path/in/container"))?;
    spec.source = match kind.as_str() {
        "tmpfs" if !source.is_empty() => {
            return Err(wrong("a tmpfs has no source".into()).hint("leave the source out"));
        }
        "tmpfs" => Source::Tmpfs,
        "bind" => bind_source(&source, cwd)
            .map_err(|what| wrong(what).hint("write source=/path/on/host or source=./path"))?,
        _ if source.is_empty() && (spec.read_only || !spec.subpath.is_empty()) => {
            return Err(wrong("a new volume can be neither read-only nor have a subpath".into())
                .hint("name one with source=..."));
        }
        _ if source.is_empty() => Source::Anonymous,
        _ => {
            check_name(&source).map_err(|error| {
                let is_path = source.starts_with(['/', '.']);
                if is_path { error.hint("for a path of the host write type=bind") } else { error }
            })?;
            Source::Volume(source)
        }
    };
    let subpath = Path::new(&spec.subpath).components();
    if !subpath.clone().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Err(wrong(format!("volume-subpath \"{}\" leads out of the volume", spec.subpath))
            .hint("write a relative path without .."));
    }
    match recursive.as_str() {
        "disabled" => spec.options.push("bind".into()),
        "writable" | "readonly" if !spec.read_only => {
            return Err(wrong(format!("bind-recursive={recursive} is for what is read-only"))
                .hint("add readonly"));
        }
        "readonly" if !matches!(propagation.as_str(), "rprivate") => {
            return Err(wrong("bind-recursive=readonly is for private mounts".into())
                .hint("add bind-propagation=rprivate"));
        }
        "writable" => spec.options.push("ro".into()),
        _ => {}
    }
    spec.options.extend(Some(propagation).filter(|word| !word.is_empty()));
    Ok(spec)
}

fn bind_source(source: &str, cwd: &Path) -> std::result::Result<Source, String> {
    match source {
        "" => Err("the source is missing".to_string()),
        path if path.starts_with('/') || is_relative(path) => absolute(path, cwd).map(Source::Host),
        path => Err(format!("the source \"{path}\" is not an absolute path")),
    }
}

/// Splits a line of CSV.
fn fields(text: &str) -> std::result::Result<Vec<String>, &'static str> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let mut field = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let end = quoted.find('"').ok_or("a quote is not closed")?;
                field.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix('"') {
                    Some(after) => {
                        field.push('"');
                        quoted = after;
                    }
                    None => break,
                }
            }
            rest = quoted;
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err("something stands behind a closing quote");
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(&rest[..end]);
            if field.contains('"') {
                return Err("a quote stands inside of a field; put the whole field in quotes");
            }
            rest = &rest[end..];
        }
        all.push(field);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(all),
        }
    }
}

/// Words of a tmpfs that stand alone, and those with a number behind.
const WORDS: [&str; 13] = [
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "relatime",
    "strictatime",
    "defaults",
];
const NUMBERS: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];

/// Reads one `--tmpfs`.
pub fn parse_tmpfs(text: &str) -> Result<MountSpec> {
    let bad = |what: String| Error::invalid(format!("invalid tmpfs \"{text}\": {what}"));
    let (place, words) = text.split_once(':').unwrap_or((text, ""));
    let place = target(place)
        .map_err(|what| bad(what).hint("write /path/in/container[:size=64m,mode=1777,exec]"))?;
    let mut spec = MountSpec::new(Source::Tmpfs, &place);
    for word in words.split(',').filter(|_| !words.is_empty()) {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (word, None),
        };
        let fits = match value {
            None => WORDS.contains(&word),
            Some(value) if NUMBERS.contains(&key) => number_fits(key, value),
            Some(_) => false,
        };
        if !fits {
            let known = WORDS.iter().chain(&NUMBERS).copied();
            let hint = match nearest(key, known) {
                Some(meant) if meant == key => {
                    format!("write {key} as size=64m, mode=1777, uid=0, exec are")
                }
                Some(meant) => format!("did you mean {meant}?"),
                None if word == "tmpcopyup" || word == "notmpcopyup" => {
                    "a tmpfs begins empty; a volume (-v) gets what the image has there".into()
                }
                None => format!("use {}, or a number for {}", WORDS.join(", "), NUMBERS.join(", ")),
            };
            return Err(bad(format!("\"{word}\" is no option of a tmpfs")).hint(hint));
        }
        spec.options.push(word.to_string());
    }
    Ok(spec)
}

fn number_fits(key: &str, value: &str) -> bool {
    let digits = match key {
        "mode" => return u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777),
        "uid" | "gid" => return value.parse::<u32>().is_ok(),
        "size" => value.strip_suffix('%').unwrap_or(value),
        _ => value,
    };
    parse_size(digits).is_ok() && !value.ends_with(['b', 'B', 't', 'T'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<MountSpec> {
        parse_mount(text, Path::new("/home/me"))
    }

    #[test]
    fn a_mount_is_read_key_by_key() {
        let bind = mount("type=bind,src=./data,\"dst=/a,b \"\"c\"\"\",ro,bind-propagation=rslave")
            .unwrap();
        assert_eq!(bind.source, Source::Host("/home/me/data".into()));
        assert_eq!(bind.target, "/a,b \"c\"");
        assert!(bind.read_only && bind.must_exist && bind.by_mount);
        assert_eq!(bind.options, ["rslave"]);
        let volume = mount(
            "source=web,destination=/srv/,volume-nocopy,volume-subpath=a/b,volume-label=tier=front,\
             volume-driver=local,readonly=true",
        )
        .unwrap();
        assert_eq!((volume.source, &*volume.target), (Source::Volume("web".into()), "/srv"));
        assert!(volume.nocopy && volume.read_only);
        assert_eq!((volume.subpath.as_str(), &*volume.labels["tier"]), ("a/b", "front"));
        let tmpfs = mount("type=tmpfs,target=/x,tmpfs-size=64m,tmpfs-mode=0700").unwrap();
        assert_eq!(tmpfs.source, Source::Tmpfs);
        assert_eq!(tmpfs.options, ["size=67108864", "mode=700"]);
        assert_eq!(mount("dst=/x").unwrap().source, Source::Anonymous);
        assert_eq!(mount("type=bind,src=/,dst=/x,bind-nonrecursive").unwrap().options, ["bind"]);
        let writable = mount("type=bind,src=/,dst=/x,ro,bind-recursive=writable").unwrap();
        assert_eq!(writable.options, ["ro"]);
    }

    #[test]
    fn what_is_wrong_with_a_mount_is_named_with_the_cure() {
        for (text, word, hint) in [
            ("type=bnid,src=/,dst=/x", "\"bnid\"", "did you mean bind?"),
            ("type=image,src=x,dst=/x", "type image", "bind, volume and tmpfs"),
            ("type=bind,sorce=/,dst=/x", "no key \"sorce\"", "did you mean source?"),
            ("type=bind,src=/,dst=/x,Readonly", "no key \"Readonly\"", "did you mean readonly?"),
            ("type=bind,src=/", "the target is missing", "add target="),
            ("type=bind,dst=/x", "the source is missing", "source=/path"),
            ("type=bind,src=a,dst=/x", "\"a\" is not an absolute", "source=/path"),
            ("type=bind,src=/,dst=x", "\"x\", is not absolute", "target=/path"),
            ("type=bind,src=/,dst=/", "cannot be /", "target=/path"),
            ("type=bind,src=,dst=/x", "src has no value", "src="),
            ("type=bind,src=/,dst=/x,ro=maybe", "ro cannot be \"maybe\"", "ro=false"),
            ("type=bind,src=/,dst=/x,bind-propagation=shard", "\"shard\"", "shared?"),
            ("type=bind,src=/,dst=/x,volume-nocopy", "volume-nocopy is not for", "type"),
            ("dst=/x,bind-propagation=slave", "not for mounts of type volume", "type=bind"),
            ("type=bind,src=/,dst=/x,bind-recursive=writable", "read-only", "add readonly"),
            ("type=bind,src=/,dst=/x,ro,bind-recursive=readonly", "private", "rprivate"),
            ("src=/srv,dst=/x", "invalid volume name \"/srv\"", "type=bind"),
            ("dst=/x,ro", "neither read-only", "source="),
            ("src=web,dst=/x,volume-subpath=a/../../b", "leads out", "relative"),
            ("src=web,dst=/x,volume-subpath=/etc", "leads out", "relative"),
            ("src=web,dst=/x,volume-driver=nfs", "\"nfs\"", "local"),
            ("src=web,dst=/x,volume-opt=type=nfs", "no options", "bind"),
            ("type=tmpfs,src=/,dst=/x", "no source", "leave"),
            ("type=tmpfs,dst=/x,tmpfs-mode=9", "tmpfs-mode", "octal"),
            ("type=tmpfs,dst=/x,tmpfs-size=lots", "tmpfs-size", "512m"),
            ("type=tmpfs,\"dst=/x", "not closed", ""),
            ("type=tmpfs,d\"st=/x", "inside", ""),
        ] {
            let error = mount(text).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
            assert!(error.hints().iter().any(|h| h.contains(hint)) || hint.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_tmpfs_takes_the_words_of_mount() {
        let tmpfs = parse_tmpfs("/run/:size=64m,mode=755,exec").unwrap();
        assert_eq!((&*tmpfs.target, tmpfs.source), ("/run", Source::Tmpfs));
        assert_eq!(tmpfs.options, ["size=64m", "mode=755", "exec"]);
        assert!(parse_tmpfs("/run").unwrap().options.is_empty());
        assert!(parse_tmpfs("/run:size=50%,nr_inodes=10k").is_ok());
        for (text, word, hint) in [
            ("run", "not absolute", "/path"),
            ("/", "cannot be /", "/path"),
            ("/x:siz=1m", "\"siz=1m\"", "did you mean size?"),
            ("/x:size=lots", "\"size=lots\"", "size=64m"),
            ("/x:mode=99", "\"mode=99\"", "mode=1777"),
            ("/x:noexc", "\"noexc\"", "did you mean noexec?"),
            ("/x:tmpcopyup", "\"tmpcopyup\"", "begins empty"),
            ("/x:bind", "\"bind\"", "use rw"),
        ] {
            let error = parse_tmpfs(text).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
            assert!(error.hints()[0].contains(hint), "{text}: {:?}", error.hints());
        }
    }
}
