//! Images as Docker had them until 1.9, and as its `save` wrote them until 24: each layer is an
//! image of its own, with a random id, a `json`, and the id of its parent.
//!
//! ```text
//! repositories        {"busybox": {"latest": ID}}
//! ID/VERSION          1.0
//! ID/json             {"id": ID, "parent": ID, "created": …, "container_config": {"Cmd": …},
//!                     "config": …, …}
//! ID/layer.tar        what this image adds to its parent
//! ```
//!
//! On the way in, such a chain becomes one config of today: its `config` is that of the top, and
//! each `json` becomes an entry of the history, which keeps it byte for byte (`KEPT`). So the ids
//! last as long as the image, in images made from it too, and a crash cannot part them. On the way
//! out each layer gets its `json` back, or, where there was none, one that follows from the config,
//! with an id that follows from it, as Docker made them since 1.10.
//!
//! Source: moby `image/spec/v1.md`.

use super::config::{History, ImageConfig, RunConfig, Unknown};
use super::layer;
use super::refs::Refs;
use super::steps::steps;
use super::store::Store;
use crate::error::{Context, Error, Result};
use crate::types::{Digest, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The field of a history entry that holds a v1 `json` as it came.
const KEPT: &str = "v1_json";
/// What the member VERSION says.
pub const VERSION: &str = "1.0";
/// Fields of a v1 `json` that are about the one layer, or about nothing any more.
const DROPPED: [&str; 9] = [
    "Size",
    "comment",
    "container_config",
    "history",
    "id",
    "layer_id",
    "parent",
    "parent_id",
    "throwaway",
];

/// 64 lower-case hex digits, random with Docker before 1.10.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct V1Id(String);

impl V1Id {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for V1Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for V1Id {
    type Err = Error;
    fn from_str(text: &str) -> Result<V1Id> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(V1Id(text.to_string()));
        }
        Err(Error::invalid(format!("\"{text}\" is no image id (64 hex digits)")))
    }
}

impl Serialize for V1Id {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

/// Who an image is, and whose child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    pub id: V1Id,
    pub parent: Option<V1Id>,
}

/// A `json` and what it says.
#[derive(Clone, Debug)]
pub struct V1Image {
    pub head: Head,
    text: String,
    created_by: String,
    comment: String,
    /// All else, of no layers yet.
    config: ImageConfig,
}

impl V1Image {
    pub fn parse(bytes: Vec<u8>) -> Result<V1Image> {
        let text = String::from_utf8(bytes).map_err(|_| Error::invalid("is not UTF-8"))?;
        let mut fields = object(text.as_bytes())?;
        let head = head(&fields)?;
        let created_by = fields.get("container_config").map(command).unwrap_or_default();
        let comment = string(&fields, "comment").to_string();
        fields.retain(|key, _| !DROPPED.contains(&key.as_str()));
        fields.insert("rootfs".to_string(), json!({"type": "layers"}));
        let config = ImageConfig::parse(&to_bytes(&fields)?)?;
        Ok(V1Image { head, text, created_by, comment, config })
    }
}

fn object(bytes: &[u8]) -> Result<Unknown> {
    serde_json::from_slice(bytes).map_err(|e| Error::invalid(e.to_string()))
}

fn to_bytes(fields: &Unknown) -> Result<Vec<u8>> {
    serde_json::to_vec(fields).map_err(|e| Error::invalid(e.to_string()))
}

fn string<'f>(fields: &'f Unknown, key: &str) -> &'f str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn head(fields: &Unknown) -> Result<Head> {
    let parent = match fields.get("parent") {
        None | Some(Value::Null) => None,
        Some(Value::String(none)) if none.is_empty() => None,
        Some(parent) => {
            let parent = parent.as_str().unwrap_or_default().parse();
            Some(parent.doing(|| "its parent".to_string())?)
        }
    };
    Ok(Head { id: string(fields, "id").parse()?, parent })
}

/// The words of a container's command.
fn command(config: &Value) -> String {
    match &config["Cmd"] {
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        one => one.as_str().unwrap_or_default().to_string(),
    }
}

/// The config of today for a chain of images, bottom first, each with its layer.
pub fn config(chain: &[(&V1Image, Digest)]) -> Result<ImageConfig> {
    let Some((top, _)) = chain.last() else {
        return Err(Error::invalid("an image of no layers"));
    };
    let entry = |(image, _): &(&V1Image, Digest)| {
        let kept = (KEPT.to_string(), Value::String(image.text.clone()));
        History {
            created: image.config.created,
            author: image.config.author.clone(),
            created_by: image.created_by.clone(),
            comment: image.comment.clone(),
            empty_layer: false,
            unknown: [kept].into_iter().collect(),
        }
    };
    let or = |text: &str, usual: &str| if text.is_empty() { usual } else { text }.to_string();
    let mut config = top.config.clone();
    // There was nothing else when they went without saying.
    config.architecture = or(&config.architecture, "amd64");
    config.os = or(&config.os, "linux");
    config.rootfs.diff_ids = chain.iter().map(|(_, diff_id)| *diff_id).collect();
    config.history = chain.iter().map(entry).collect();
    Ok(config)
}

/// The v1 `json` that a history entry keeps.
pub fn kept(history: &History) -> Option<(Head, &str)> {
    let text = history.unknown.get(KEPT)?.as_str()?;
    Some((head(&object(text.as_bytes()).ok()?).ok()?, text))
}

/// The image whose v1 id, or the beginning of it, is `text`; else the error `missing`.
pub fn resolve(store: &Store, refs: &Refs, text: &str, missing: Error) -> Result<Digest> {
    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.is_empty() || !text.bytes().all(is_hex) {
        return Err(missing);
    }
    let mut found: Vec<Digest> = Vec::new();
    let mut above = None;
    for id in refs.images() {
        // What cannot be read is not what is looked for.
        let Ok(image) = store.image(&id) else { continue };
        let ids: Vec<V1Id> = image.config.history.iter().filter_map(kept).map(|k| k.0.id).collect();
        let is_top = |v1: &V1Id| Some(v1) == ids.last() && has_v1_top(&image.config);
        match ids.iter().rev().find(|v1| v1.0.starts_with(text)) {
            Some(v1) if is_top(v1) => found.push(id),
            Some(_) => above = Some(id),
            None => {}
        }
    }
    match (found.as_slice(), above) {
        ([id], _) => Ok(*id),
        ([a, b, ..], _) => {
            let (a, b) = (a.short(), b.short());
            let text = format!("image id \"{text}\" is ambiguous: {a}, {b} and maybe more");
            Err(Error::invalid(text).hint("use one of these ids"))
        }
        ([], Some(id)) => {
            let text = format!("no such image: {text} is only a layer of image {}", id.short());
            Err(Error::not_found(text))
        }
        ([], None) => Err(missing),
    }
}

/// Whether the last step is a v1 image that is still this image.
fn has_v1_top(config: &ImageConfig) -> bool {
    let last = config.history.last().and_then(kept);
    last.is_some_and(|(_, text)| says(text, &config.config))
}

/// One layer of an image as Docker of 2014 reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct V1Member {
    pub json: Vec<u8>,
    pub diff_id: Digest,
}

/// Adds the layers of the image whose config's bytes are `bytes` to `members`, and gives the id of
/// the topmost; `None` for an image without layers.
pub fn add_members(
    bytes: &[u8],
    config: &ImageConfig,
    members: &mut BTreeMap<V1Id, V1Member>,
) -> Result<Option<V1Id>> {
    let steps = steps(config)?;
    let diff_ids = &config.rootfs.diff_ids;
    let mut below: Option<V1Id> = None;
    for (at, (diff_id, chain)) in layer::chain(diff_ids).enumerate() {
        let step = steps.iter().find(|step| step.layer == Some(at));
        let history = step.map(|step| &step.history);
        let is_top = at + 1 == diff_ids.len();
        let is_last = steps.last().is_some_and(|last| last.layer == Some(at));
        let as_it_came = history.and_then(kept).filter(|(head, text)| {
            // It must still be true: of this chain, and at the top of this config.
            let fits = head.parent == below && (!is_top || (is_last && has_v1_top(config)));
            let other = members.get(&head.id);
            fits && other.is_none_or(|m| m.json == text.as_bytes() && m.diff_id == *diff_id)
        });
        let (id, json) = match as_it_came {
            Some((head, text)) => (head.id, text.as_bytes().to_vec()),
            None => {
                let chain_id = layer::chain_id(chain.as_ref(), diff_id);
                let fields = if is_top { top_fields(bytes)? } else { Unknown::new() };
                made(fields, history, config, below.as_ref(), &chain_id)?
            }
        };
        members.insert(id.clone(), V1Member { json, diff_id: *diff_id });
        below = Some(id);
    }
    Ok(below)
}

/// Whether a v1 `json` has this `config`.
fn says(text: &str, config: &RunConfig) -> bool {
    V1Image::parse(text.into()).is_ok_and(|image| image.config.config == *config)
}

/// What of a config of today Docker of 2014 understands or passes over.
fn top_fields(config: &[u8]) -> Result<Unknown> {
    let mut fields: Unknown =
        serde_json::from_slice(config).map_err(|e| Error::invalid(format!("image config: {e}")))?;
    fields.retain(|key, _| key != "rootfs" && key != "history");
    Ok(fields)
}

/// A `json` for a layer that has none, with an id that follows from it.
fn made(
    mut fields: Unknown,
    history: Option<&History>,
    config: &ImageConfig,
    parent: Option<&V1Id>,
    chain_id: &Digest,
) -> Result<(V1Id, Vec<u8>)> {
    let mut add = |key: &str, value: Value| {
        fields.entry(key).or_insert(value);
    };
    if let Some(history) = history {
        add("created", json!(history.created.unwrap_or_default()));
        for (key, text) in [("author", &history.author), ("comment", &history.comment)] {
            if !text.is_empty() {
                add(key, json!(text));
            }
        }
        if !history.created_by.is_empty() {
            add("container_config", json!({"Cmd": [history.created_by]}));
        }
    }
    add("created", json!(Timestamp::default()));
    add("architecture", json!(config.architecture));
    add("os", json!(config.os));
    if let Some(parent) = parent {
        fields.insert("parent".to_string(), json!(parent.as_str()));
    }
    // The id stands for the layers too, though they are not in the file.
    fields.insert("layer_id".to_string(), json!(chain_id));
    let id = V1Id(Digest::of(&to_bytes(&fields)?).hex());
    fields.remove("layer_id");
    fields.insert("id".to_string(), json!(id.as_str()));
    let bytes = to_bytes(&fields)?;
    Ok((id, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn image(digit: char, parent: Option<char>, more: &str) -> V1Image {
        let parent = parent.map(|p| format!("\"parent\":\"{}\",", id(p))).unwrap_or_default();
        let text = format!("{{\"id\":\"{}\", {parent}{more} \"Size\":5}}", id(digit));
        V1Image::parse(text.into_bytes()).unwrap()
    }

    fn two() -> [V1Image; 2] {
        let cmd = r#""created":"2014-02-01T12:00:00Z","container_config":{"Cmd":["/bin/sh","-c","x  y"]},"#;
        let config = r#""config":{"Cmd":["sh"],"Memory":0,"Dns":null},"docker_version":"0.8.1","#;
        [image('a', None, cmd), image('b', Some('a'), config)]
    }

    fn joined(images: &[V1Image]) -> ImageConfig {
        let layer = |(n, image)| (image, Digest::of(&[n]));
        config(&(0_u8..).zip(images).map(layer).collect::<Vec<_>>()).unwrap()
    }

    fn members(config: &ImageConfig) -> (String, BTreeMap<V1Id, V1Member>) {
        let mut members = BTreeMap::new();
        let bytes = config.to_bytes().unwrap();
        let top = add_members(&bytes, config, &mut members).unwrap().unwrap();
        (top.to_string(), members)
    }

    #[test]
    fn a_chain_becomes_a_config_and_the_config_that_chain() {
        let images = two();
        let config = joined(&images);
        assert_eq!(config.history[0].created_by, "/bin/sh -c x  y");
        assert_eq!(config.config.cmd, Some(vec!["sh".to_string()]));
        assert_eq!((config.architecture.as_str(), config.os.as_str()), ("amd64", "linux"));
        assert_eq!(config.unknown.keys().collect::<Vec<_>>(), ["docker_version"]);
        let again = ImageConfig::parse(&config.to_bytes().unwrap()).unwrap();
        let (top, members) = members(&again);
        assert_eq!(top, id('b'));
        for (image, member) in images.iter().zip(members.values()) {
            assert_eq!(member.json, image.text.as_bytes());
        }
    }

    #[test]
    fn a_json_that_is_no_longer_true_is_made_anew() {
        // The config was changed.
        let mut config = joined(&two());
        config.config.user = "app".to_string();
        let (top, found) = members(&config);
        assert!(top != id('b') && found.contains_key(&id('a').parse().unwrap()));
        let json: Value = serde_json::from_slice(&found[&top.parse().unwrap()].json).unwrap();
        assert_eq!((&json["parent"], &json["config"]["User"]), (&json!(id('a')), &json!("app")));
        // It is on another base.
        let mut config = joined(&two());
        config.history.remove(0);
        config.rootfs.diff_ids.remove(0);
        assert_ne!(members(&config).0, id('b'));
        // A later step changed only the config.
        let mut config = joined(&two());
        config.history.push(History { empty_layer: true, ..History::default() });
        assert_ne!(members(&config).0, id('b'));
    }

    #[test]
    fn ids_that_are_made_follow_from_the_image() {
        let mut config = joined(&two());
        config.history.iter_mut().for_each(|history| history.unknown.clear());
        let (top, found) = members(&config);
        assert_eq!(members(&config), (top.clone(), found.clone()));
        let json: Value = serde_json::from_slice(&found[&top.parse().unwrap()].json).unwrap();
        let below: Value =
            serde_json::from_slice(&found[&json["parent"].as_str().unwrap().parse().unwrap()].json)
                .unwrap();
        assert_eq!((&json["id"], below.get("parent")), (&json!(top), None));
        assert_eq!(below["container_config"]["Cmd"], json!(["/bin/sh -c x  y"]));
        config.rootfs.diff_ids[1] = Digest::of(b"another layer");
        assert_ne!(members(&config).0, top);
    }

    #[test]
    fn two_images_that_claim_one_id_do_not_share_it() {
        let [_, top] = two();
        let mut found = BTreeMap::new();
        for layer in [b"x", b"y"] {
            let mut lone = top.clone();
            lone.head.parent = None;
            lone.text = lone.text.replace("parent", "former");
            let config = config(&[(&lone, Digest::of(layer))]).unwrap();
            add_members(&config.to_bytes().unwrap(), &config, &mut found).unwrap();
        }
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_no_v1_json_is_refused() {
        let (a, text) = (id('a'), |e: Error| e.to_string());
        for (bad, told) in [
            (String::new(), "EOF"),
            (format!("{{\"id\":\"{a}\""), "EOF"),
            ("{\"id\":\"../x\"}".to_string(), "\"../x\" is no image id"),
            (format!("{{\"id\":\"{a}\",\"parent\":\"up\"}}"), "its parent: \"up\" is no image id"),
            (format!("{{\"id\":\"{a}\",\"parent\":7}}"), "its parent: \"\" is no image id"),
            (format!("{{\"id\":\"{a}\",\"created\":\"x\"}}"), "RFC 3339"),
        ] {
            let e = text(V1Image::parse(bad.clone().into_bytes()).unwrap_err());
            assert!(e.contains(told), "{bad}: {e}");
        }
        assert_eq!(text(V1Image::parse(vec![0xff]).unwrap_err()), "is not UTF-8");
    }
}
