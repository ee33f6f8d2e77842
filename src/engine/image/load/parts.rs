//! The members of an archive of images, as they pass: layers are unpacked, JSON is set aside.
//!
//! Whatever an archive holds, this many of them are kept and no more, none takes the last room of
//! the disk, and what is kept in memory has a bound.

use crate::error::{Cause, Context, Error, OsContext, Result};
use crate::image::archive::Descriptor;
use crate::image::compression::{self, BUFFER, Compression};
use crate::image::room::{self, Room};
use crate::image::scratch::Scratch;
use crate::image::store::NewLayer;
use crate::image::tar::{self, Archive, Data, EndMarker, Kind, Member};
use crate::image::tree;
use crate::image::unpack::{Limits, unpack};
use crate::sys::fs;
use crate::types::Digest;
use std::collections::{BTreeSet, HashMap};
use std::io::{BufReader, Read};
use std::path::PathBuf;

/// Longest JSON that is kept.
const JSON_MAX: u64 = 8 << 20;
/// Most values that a JSON may have: in memory each is much longer than it is written.
const VALUES_MAX: usize = 200_000;
/// Most members of an archive, and most bytes of all their names.
const MEMBERS_MAX: usize = 20_000;
const NAMES_MAX: usize = 4 << 20;
/// Most members that look like layers and are none: each takes as long as a small layer does.
const BROKEN_MAX: usize = 100;
/// Through so many links a member is looked for.
const LINKS_MAX: usize = 8;

pub(super) struct Parts(HashMap<String, Part>);

/// A member of the archive.
enum Part {
    Layer(NewLayer),
    /// A file in the scratch directory, maybe JSON.
    File(PathBuf),
    /// Another name of a member.
    Link(String),
    /// What is neither a layer nor JSON, and why. It matters only where an index asks for it.
    Unknown(Error),
    /// The same of what began as a layer does.
    Broken(Error),
}

impl Parts {
    pub(super) fn read(input: &mut dyn Read, scratch: &Scratch) -> Result<Parts> {
        let mut plain = BufReader::with_capacity(BUFFER, compression::plain(input)?);
        let mut archive = Archive::new(&mut plain, EndMarker::Optional);
        let mut room = scratch.room()?;
        let (mut names, mut broken) = (0, 0);
        let mut parts: HashMap<String, Part> = HashMap::new();
        while let Some(member) = archive.next(&mut tar::ignore)? {
            let name = String::from_utf8_lossy(&tree::clean(&member.name)?).into_owned();
            if parts.len() == MEMBERS_MAX && !parts.contains_key(&name) {
                return Err(Error::invalid(format!("more than {MEMBERS_MAX} members")));
            }
            let part = Part::read(&member, &mut archive, scratch, &mut room);
            let Some(part) = part.doing(|| format!("member {}", member.display_name()))? else {
                continue;
            };
            if let Part::Broken(why) = &part {
                broken += 1;
                if broken > BROKEN_MAX {
                    let text = format!("more than {BROKEN_MAX} layers are broken; {name}: {why}");
                    return Err(Error::invalid(text));
                }
            }
            names += name.len() + if let Part::Link(target) = &part { target.len() } else { 0 };
            if names > NAMES_MAX {
                let most = NAMES_MAX >> 20;
                return Err(Error::invalid(format!("more than {most} MiB of names of members")));
            }
            // As in every tar, the last one of a name counts.
            if let Some(earlier) = parts.insert(name, part) {
                earlier.discard()?;
            }
        }
        Ok(Parts(parts))
    }

    /// The names of all members, in order.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The member called `name`, through links.
    fn get(&self, name: &str) -> Option<&Part> {
        self.0.get(self.own_name(name)?)
    }

    /// What the member that `name` leads to is called itself. `None` where the links go on and on.
    pub(super) fn own_name<'a>(&'a self, mut name: &'a str) -> Option<&'a str> {
        for _ in 0..LINKS_MAX {
            let Some(Part::Link(target)) = self.0.get(name) else { return Some(name) };
            name = target;
        }
        None
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Part::File(path)) => std::fs::read(path).on("read", path).map(Some),
            Some(Part::Unknown(why) | Part::Broken(why)) => {
                Err(Error::invalid(format!("member {name}: {why}")))
            }
            Some(_) => Err(Error::invalid(format!("member {name}: no JSON"))),
        }
    }

    pub(super) fn needed(&self, name: &str) -> Result<Vec<u8>> {
        let missing = || Error::invalid(format!("the archive lacks its member {name}"));
        self.bytes(name)?.ok_or_else(missing)
    }

    /// A member whose digest its name tells.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.needed(&descriptor.path())?;
        if Digest::of(&bytes) != descriptor.digest {
            return Err(other_digest(descriptor));
        }
        let (size, wanted) = (bytes.len() as u64, descriptor.size);
        if size != wanted {
            let text = format!("member {} has {size} bytes, not {wanted}", descriptor.path());
            return Err(Error::invalid(text));
        }
        Ok(bytes)
    }

    pub(super) fn layer(&self, name: &str) -> Result<NewLayer> {
        match self.get(name) {
            Some(Part::Layer(layer)) => Ok(layer.clone()),
            Some(Part::Unknown(why) | Part::Broken(why)) => {
                Err(Error::invalid(format!("layer {name}: {why}")))
            }
            Some(_) => Err(Error::invalid(format!("layer {name}: no tar"))),
            None => Err(Error::invalid(format!("the archive lacks its layer {name}"))),
        }
    }

    /// A layer whose digest, as it came, its name tells.
    pub(super) fn layer_blob(&self, descriptor: &Descriptor) -> Result<NewLayer> {
        let layer = self.layer(&descriptor.path())?;
        if layer.unpacked.blob != descriptor.digest {
            return Err(other_digest(descriptor));
        }
        Ok(layer)
    }
}

fn other_digest(descriptor: &Descriptor) -> Error {
    Error::invalid(format!("member {} has not the digest of its name", descriptor.path()))
}

impl Part {
    /// `None` for what has no content, such as a directory.
    fn read(
        member: &Member,
        archive: &mut Archive,
        scratch: &Scratch,
        room: &mut Room,
    ) -> Result<Option<Part>> {
        match member.kind {
            Kind::Regular => {}
            Kind::Symlink | Kind::HardLink => return link(member).map(Some),
            _ => return Ok(None),
        }
        if member.segments.is_some() {
            return Err(Error::invalid("is sparse"));
        }
        room.take(room::ENTRY)?;
        let mut data = Data(archive);
        let mut head = Vec::new();
        let read = (&mut data).take(tar::BLOCK as u64).read_to_end(&mut head);
        read.map_err(|e| tar::unreadable(&e))?;
        // Docker of 2014 wrote an empty file where a layer was empty. JSON never is.
        let is_tar = head.is_empty() || tar::is_header(&head) || head == [0; tar::BLOCK];
        let compression = compression::detect(&head);
        if is_tar || compression != Compression::None {
            let dir = scratch.fresh_directory()?;
            let mut input = head.as_slice().chain(data);
            return match unpack(&mut input, &dir, Limits::default(), EndMarker::Optional) {
                Ok(unpacked) => Ok(Some(Part::Layer(NewLayer { dir, unpacked }))),
                Err(why) if matches!(why.root(), Cause::Invalid(_)) => {
                    fs::remove_tree(&dir).on("remove", &dir)?;
                    Ok(Some(Part::Broken(why)))
                }
                Err(e) => Err(e),
            };
        }
        if let Err(why) = compression::check(&head) {
            return Ok(Some(Part::Unknown(why)));
        }
        if member.size > JSON_MAX {
            let text =
                format!("no tar, compressed or not, and too long for JSON: {} bytes", member.size);
            return Ok(Some(Part::Unknown(Error::invalid(text))));
        }
        let mut rest = Vec::new();
        data.read_to_end(&mut rest).map_err(|e| tar::unreadable(&e))?;
        head.append(&mut rest);
        if values(&head) > VALUES_MAX {
            let text = format!("JSON of more than {VALUES_MAX} values");
            return Ok(Some(Part::Unknown(Error::invalid(text))));
        }
        room.take(head.len() as u64)?;
        let path = scratch.fresh();
        std::fs::write(&path, &head).on("write", &path)?;
        Ok(Some(Part::File(path)))
    }

    /// Removes what it has on disk.
    fn discard(self) -> Result<()> {
        match self {
            Part::Layer(NewLayer { dir: path, .. }) | Part::File(path) => {
                fs::remove_tree(&path).on("remove", &path)
            }
            Part::Link(_) | Part::Unknown(_) | Part::Broken(_) => Ok(()),
        }
    }
}

/// A link leads to another member, never out of the archive.
fn link(member: &Member) -> Result<Part> {
    // A symbolic link is relative to its place, a hard link to the archive.
    let from = match member.kind {
        Kind::Symlink if !member.link.starts_with(b"/") => tree::split(&member.name).0,
        _ => b"",
    };
    let target = tree::clean(&tree::join(from, &member.link)).doing(|| "its target".to_string())?;
    Ok(Part::Link(String::from_utf8_lossy(&target).into_owned()))
}

/// How many values `json` has, or a few more.
fn values(json: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_what_is_in_quotes_is_not() {
        for (json, count) in
            [("", 0), ("\"a,b,[{\"", 0), ("[\"a\\\",b\", 2, {\"c\": [,]}]", 6), ("\"\\\\\",", 1)]
        {
            assert_eq!(values(json.as_bytes()), count, "{json}");
        }
    }

    #[test]
    fn links_stay_in_the_archive() {
        let to = |kind, name: &str, link: &str| {
            let member = Member {
                name: name.into(),
                link: link.into(),
                kind,
                mode: 0,
                uid: 0,
                gid: 0,
                mtime: fs::Time(0),
                device: (0, 0),
                xattrs: Vec::new(),
                size: 0,
                segments: None,
            };
            match super::link(&member) {
                Ok(Part::Link(target)) => target,
                Ok(_) => panic!("{link} is no link"),
                Err(e) => e.to_string(),
            }
        };
        assert_eq!(to(Kind::Symlink, "./a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        assert_eq!(to(Kind::Symlink, "a/layer.tar", "/b/layer.tar"), "b/layer.tar");
        assert_eq!(to(Kind::HardLink, "a/layer.tar", "b/layer.tar"), "b/layer.tar");
        let out = to(Kind::Symlink, "a/layer.tar", "../../etc/passwd");
        assert!(out.starts_with("its target: leads out"), "{out}");
    }
}
