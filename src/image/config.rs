//! The image config: what a program in the image is to be started with, and of which layers the
//! image consists. An image's id is the digest of its config's bytes, so stored configs are kept
//! byte for byte; these structs are for reading them and for making new ones.
//!
//! Source of the format: image-spec `config.md`, and Docker's additions to it (Healthcheck,
//! Shell, OnBuild, the fields of a container). Fields that are not known here are kept.

use crate::error::{Error, Result};
use crate::types::{Digest, Healthcheck, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Fields nobody here knows, carried along.
pub type Unknown = serde_json::Map<String, serde_json::Value>;

/// An object used as a set: `{"80/tcp": {}}`.
pub type Set = BTreeMap<String, Empty>;

/// `{}`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Empty {}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    #[serde(default)]
    pub os: String,
    #[serde(default, deserialize_with = "or_default")]
    pub config: RunConfig,
    pub rootfs: RootFs,
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The layers, bottom first.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// How one layer (or one change of the config alone) came about.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a container of this image runs unless it is told otherwise: `config` of the image config.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// `user[:group]`, names or numbers.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `80/tcp`
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Set::is_empty")]
    pub exposed_ports: Set,
    /// `NAME=value`
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Set::is_empty")]
    pub volumes: Set,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A signal's name or number, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(default, deserialize_with = "words", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Go writes an empty list or map as `null`.
fn or_default<'de, D, T>(d: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A command: a list of words, or, in images of old, one string.
fn words<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<String>),
        One(String),
    }
    Ok(Option::deserialize(d)?.map(|words| match words {
        Words::List(list) => list,
        Words::One(word) => vec![word],
    }))
}

impl ImageConfig {
    /// Reads a config's bytes. The errors name what is wrong, not which image it is.
    pub fn parse(bytes: &[u8]) -> Result<ImageConfig> {
        let config: ImageConfig = serde_json::from_slice(bytes)
            .map_err(|e| Error::invalid(format!("image config: {e}")))?;
        if config.rootfs.kind != "layers" {
            let kind = &config.rootfs.kind;
            return Err(Error::invalid(format!("image config: unknown rootfs type \"{kind}\"")));
        }
        Ok(config)
    }

    /// The config of a new image: one more layer, and how that came about. Fields that nobody here
    /// knows tell of the old image, and are left out.
    pub fn with_layer(self, diff_id: Digest, made: History) -> ImageConfig {
        let ImageConfig { mut rootfs, mut history, .. } = self;
        let or = |text: String, other: &str| if text.is_empty() { other.to_string() } else { text };
        let created = made.created;
        rootfs.diff_ids.push(diff_id);
        history.push(made);
        ImageConfig {
            created,
            author: self.author,
            architecture: or(self.architecture, host_architecture()),
            variant: self.variant,
            os: or(self.os, "linux"),
            config: self.config,
            rootfs,
            history,
            unknown: Unknown::default(),
        }
    }

    /// The bytes of a new config.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::invalid(format!("image config: {e}")))
    }
}

/// Whether programs for that system run here; one that is not told may.
pub fn runs_here(os: &str, architecture: &str) -> bool {
    let host = host_architecture();
    // The 64-bit kernels run the programs of their 32-bit ancestors too.
    let is_ancestor = matches!((host, architecture), ("amd64", "386") | ("arm64", "arm"));
    ["", "linux"].contains(&os) && (["", host].contains(&architecture) || is_ancestor)
}

/// The name of this machine's architecture in image configs (Go's GOARCH).
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{"architecture":"amd64","config":{"Hostname":"","Env":["PATH=/bin"],
        "Cmd":["sh"],"ArgsEscaped":true,"Volumes":null,"Entrypoint":null,"OnBuild":null,
        "Labels":null,"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","true"],"Interval":5}},
        "created":"2024-09-26T21:31:42Z","docker_version":"27","history":[{"created":
        "2024-09-26T21:31:42Z","created_by":"BusyBox","empty_layer":true,"x":1}],"os":"linux",
        "rootfs":{"type":"layers","diff_ids":[
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;

    #[test]
    fn a_config_is_read_and_its_unknown_fields_are_kept() {
        let config = ImageConfig::parse(DOCKER.as_bytes()).unwrap();
        assert_eq!(config.config.cmd, Some(vec!["sh".to_string()]));
        assert_eq!(config.config.entrypoint, None);
        assert!(config.config.exposed_ports.contains_key("80/tcp"));
        let again = ImageConfig::parse(&config.to_bytes().unwrap()).unwrap();
        assert_eq!(again, config);
        assert_eq!(again.unknown["docker_version"], "27");
        assert_eq!(again.config.unknown["ArgsEscaped"], true);
        assert_eq!(again.history[0].unknown["x"], 1);
    }

    #[test]
    fn what_is_no_config_is_refused() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"rootfs":{"type":"tarball","diff_ids":[]}}"#,
            r#"{"rootfs":{"type":"layers","diff_ids":["sha256:zz"]}}"#,
        ] {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_entry_point_may_be_one_string() {
        let text = r#"{"config":{"Entrypoint":"/init"},"rootfs":{"type":"layers"}}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.config.entrypoint, Some(vec!["/init".to_string()]));
    }
}
