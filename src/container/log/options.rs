//! What becomes of a container's output: `--log-driver` and `--log-opt`, with Docker's names.
//!
//! - `json-file`: kept, for ever or in `max-file` files of `max-size` each;
//! - `local`: the same file, at most five of 20 MB where nothing else is said;
//! - `none`: not kept.
//!
//! With `path=FILE` it is kept there: `containers/<id>/log` is a link to it then, which nobody
//! follows to remove anything. Without a log, it leads to /dev/null.

use crate::error::{Context, Error, Result};
use crate::types::{nearest, parse_size, serde_by_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Driver {
    #[default]
    JsonFile,
    Local,
    None,
}

impl Driver {
    pub fn word(self) -> &'static str {
        match self {
            Driver::JsonFile => "json-file",
            Driver::Local => "local",
            Driver::None => "none",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Driver {
    type Err = Error;
    fn from_str(text: &str) -> Result<Driver> {
        match text {
            // Podman's word for its own.
            "" | "json-file" | "k8s-file" => Ok(Driver::JsonFile),
            "local" => Ok(Driver::Local),
            "none" => Ok(Driver::None),
            _ => Err(Error::invalid(format!("there is no log driver \"{text}\""))
                .hint("use json-file, local or none")),
        }
    }
}
serde_by_text!(Driver);

/// What somebody asks for; what is not said is as usual.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    pub driver: Option<Driver>,
    pub options: BTreeMap<String, String>,
}

/// The driver, and its options as they were given.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Logging {
    pub driver: Driver,
    pub options: BTreeMap<String, String>,
}

/// How large the files may become, and how many there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub size: u64,
    pub files: u32,
}

const KEYS: [&str; 8] =
    ["compress", "env", "labels", "max-buffer-size", "max-file", "max-size", "mode", "path"];
const TAG: &str = "tag";

/// How much each record may say of its container, as JSON: readers know no longer records than
/// ours (`reader::LONGEST`).
const ATTRIBUTES: usize = 16 << 10;

/// Of the driver `local` (Docker's).
const LOCAL: Bounds = Bounds { size: 20 << 20, files: 5 };

impl Wish {
    /// Takes an option, `key=value`.
    pub fn set(&mut self, text: &str) -> Result<()> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Error::invalid(format!("\"{text}\" is not key=value")));
        };
        let keys = || KEYS.into_iter().chain([TAG]);
        if !keys().any(|known| known == key) {
            let error = Error::invalid(format!("there is no option \"{key}\" of a log"));
            return Err(match nearest(key, keys()) {
                Some(meant) => error.hint(format!("did you mean {meant}?")),
                None => error.hint(format!("there are {}", keys().collect::<Vec<_>>().join(", "))),
            });
        }
        self.options.insert(key.to_string(), value.to_string());
        Ok(())
    }

    /// With what is asked for besides. Options go with their driver, as with Docker.
    pub fn or(mut self, usual: &Wish) -> Wish {
        self.driver = self.driver.or(usual.driver);
        if self.driver.unwrap_or_default() == usual.driver.unwrap_or_default() {
            for (key, value) in &usual.options {
                self.options.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        self
    }

    /// Checks it together.
    pub fn logging(self) -> Result<Logging> {
        let log = Logging { driver: self.driver.unwrap_or_default(), options: self.options };
        log.check().map(|()| log)
    }
}

impl Logging {
    fn check(&self) -> Result<()> {
        if self.driver == Driver::None && !self.options.is_empty() {
            return Err(Error::invalid("--log-driver none takes no --log-opt"));
        }
        let wrong = |key: &str, what: &str| {
            let value = &self.options[key];
            Err(Error::invalid(format!("--log-opt {key}={value}: {what}")))
        };
        self.bounds()?;
        if self.files()?.is_some_and(|files| files > 1) && self.bounds()?.is_none() {
            return wrong("max-file", "it needs max-size");
        }
        match self.options.get("mode").map(String::as_str) {
            None | Some("blocking" | "non-blocking") => {}
            Some(_) => return wrong("mode", "it is blocking or non-blocking"),
        }
        self.buffer()?;
        match self.options.get("compress").map(String::as_str) {
            None | Some("false") => {}
            Some("true") => return wrong("compress", "old logs are kept as they are"),
            Some(_) => return wrong("compress", "it is true or false"),
        }
        match self.options.get("path") {
            Some(path) if !path.starts_with('/') => wrong("path", "it is not an absolute path"),
            _ => self.tag("", "", "", "").map(drop),
        }
    }

    fn files(&self) -> Result<Option<u32>> {
        let Some(text) = self.options.get("max-file") else { return Ok(None) };
        match text.parse() {
            Ok(files) if (1..=1000).contains(&files) => Ok(Some(files)),
            _ => Err(Error::invalid(format!("--log-opt max-file={text}: it is 1 to 1000"))),
        }
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.options.get(key) else { return Ok(None) };
        let size = parse_size(text).doing(|| format!("--log-opt {key}={text}"))?;
        match size {
            0 => Err(Error::invalid(format!("--log-opt {key}={text}: it is more than nothing"))),
            size => Ok(Some(size)),
        }
    }

    /// `None` where it grows for ever.
    pub fn bounds(&self) -> Result<Option<Bounds>> {
        let without = || self.options.get("max-size").is_some_and(|text| text == "-1");
        let size = if without() { None } else { self.size("max-size")? };
        let files = self.files()?;
        Ok(match (self.driver, size) {
            (Driver::None, _) => None,
            (_, Some(size)) => {
                let usual = if self.driver == Driver::Local { LOCAL.files } else { 1 };
                Some(Bounds { size, files: files.unwrap_or(usual) })
            }
            (Driver::Local, None) if !without() => {
                Some(Bounds { files: files.unwrap_or(LOCAL.files), ..LOCAL })
            }
            (_, None) => None,
        })
    }

    /// How much waits for a disk that takes nothing, before more is dropped; `None` where nothing
    /// is ever dropped, and the container waits.
    pub fn buffer(&self) -> Result<Option<u64>> {
        let size = self.size("max-buffer-size")?.unwrap_or(1 << 20);
        Ok(self.options.get("mode").is_some_and(|mode| mode == "non-blocking").then_some(size))
    }

    /// What `log` is a link to, where it is no file of its own.
    pub fn target(&self) -> Option<&str> {
        match self.driver {
            Driver::None => Some("/dev/null"),
            _ => self.options.get("path").map(String::as_str),
        }
    }

    /// What each record says of its container: the labels and variables that were asked for, and
    /// the tag.
    pub fn attributes(
        &self,
        labels: &BTreeMap<String, String>,
        env: &[String],
        tag: Option<String>,
    ) -> BTreeMap<String, String> {
        let words = |key: &str| {
            let list = self.options.get(key).map_or("", String::as_str);
            list.split(',').filter(|word| !word.is_empty()).map(str::to_string).collect::<Vec<_>>()
        };
        let mut all = BTreeMap::new();
        for key in words("labels") {
            all.extend(labels.get(&key).map(|value| (key.clone(), value.clone())));
        }
        for key in words("env") {
            let mut found = env.iter().filter_map(|text| text.split_once('='));
            let value = found.rfind(|(name, _)| *name == key).map(|(_, v)| v.to_string());
            all.extend(value.map(|value| (key.clone(), value)));
        }
        all.extend(tag.map(|tag| (TAG.to_string(), tag)));
        all
    }

    /// Checks that what each record will say of its container leaves room for what it wrote.
    pub fn check_attributes(
        &self,
        labels: &BTreeMap<String, String>,
        env: &[String],
    ) -> Result<()> {
        let said = serde_json::to_string(&self.attributes(labels, env, None)).unwrap_or_default();
        if said.len() <= ATTRIBUTES {
            return Ok(());
        }
        let text = format!("each line of the log would say {} bytes of its container", said.len());
        Err(Error::invalid(format!("--log-opt: {text}, at most {ATTRIBUTES}"))
            .hint("name fewer labels and variables"))
    }

    pub fn has_tag(&self) -> bool {
        self.options.contains_key(TAG)
    }

    /// The tag with the fields of its template filled in.
    pub fn tag(&self, id: &str, name: &str, image: &str, image_id: &str) -> Result<Option<String>> {
        let Some(tag) = self.options.get(TAG) else { return Ok(None) };
        let digits = image_id.strip_prefix("sha256:").unwrap_or(image_id);
        let short = |id: &str| id.get(..12).unwrap_or(id).to_string();
        let mut text = tag.clone();
        for (field, value) in [
            ("{{.ID}}", short(id)),
            ("{{.FullID}}", id.to_string()),
            ("{{.Name}}", name.to_string()),
            ("{{.ImageName}}", image.to_string()),
            ("{{.ImageID}}", short(digits)),
            ("{{.ImageFullID}}", image_id.to_string()),
            ("{{.DaemonName}}", "coracle".to_string()),
        ] {
            text = text.replace(field, &value);
        }
        if text.contains("{{") {
            return Err(Error::invalid(format!("--log-opt tag={tag}: there is another field"))
                .hint("use {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageName}}, {{.ImageID}}"));
        }
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logging(driver: &str, options: &[&str]) -> Result<Logging> {
        wish(driver, options)?.logging()
    }

    fn wish(driver: &str, options: &[&str]) -> Result<Wish> {
        let driver = Some(driver).filter(|word| !word.is_empty());
        let driver = driver.map(str::parse).transpose()?;
        let mut wish = Wish { driver, ..Wish::default() };
        options.iter().try_for_each(|option| wish.set(option)).map(|()| wish)
    }

    #[test]
    fn options_of_the_usual_driver_go_with_it_alone() {
        let usual = wish("local", &["max-size=1m", "max-file=2"]).unwrap();
        for (driver, options, expected) in [
            ("", &[][..], "local max-file=2 max-size=1m"),
            ("", &["max-size=5k"], "local max-file=2 max-size=5k"),
            ("local", &["tag=x"], "local max-file=2 max-size=1m tag=x"),
            ("json-file", &[], "json-file"),
            ("none", &[], "none"),
        ] {
            let log = wish(driver, options).unwrap().or(&usual).logging().unwrap();
            let options = log.options.iter().map(|(key, value)| format!(" {key}={value}"));
            assert_eq!(format!("{}{}", log.driver, options.collect::<String>()), expected);
        }
        let usual = wish("", &["max-size=1m"]).unwrap();
        assert_eq!(wish("json-file", &[]).unwrap().or(&usual).options.len(), 1);
        assert!(
            wish("", &["max-size=1m"]).unwrap().or(&wish("none", &[]).unwrap()).logging().is_err()
        );
    }

    #[test]
    fn bounds_follow_the_driver_and_its_options() {
        for (driver, options, bounds) in [
            ("json-file", &[][..], None),
            ("", &["max-size=10k"], Some((10 << 10, 1))),
            ("json-file", &["max-size=1m", "max-file=3"], Some((1 << 20, 3))),
            ("local", &[], Some((20 << 20, 5))),
            ("local", &["max-size=-1"], None),
            ("none", &[], None),
        ] {
            let found = logging(driver, options).unwrap().bounds().unwrap();
            assert_eq!(found.map(|b| (b.size, b.files)), bounds, "{driver} {options:?}");
        }
    }

    #[test]
    fn bad_values_name_their_option() {
        for (driver, option, words) in [
            ("syslog", "max-size=1m", "there is no log driver \"syslog\""),
            ("none", "max-size=1m", "--log-driver none takes no --log-opt"),
            ("json-file", "max-siz=1m", "there is no option \"max-siz\" of a log"),
            ("json-file", "max-size", "\"max-size\" is not key=value"),
            ("json-file", "max-size=0", "--log-opt max-size=0: it is more than nothing"),
            ("json-file", "max-size=x", "--log-opt max-size=x: invalid size \"x\""),
            ("json-file", "max-file=3", "--log-opt max-file=3: it needs max-size"),
            ("json-file", "max-file=0", "--log-opt max-file=0: it is 1 to 1000"),
            ("json-file", "mode=x", "--log-opt mode=x: it is blocking or non-blocking"),
            ("json-file", "path=a", "--log-opt path=a: it is not an absolute path"),
            ("json-file", "tag={{.X}}", "--log-opt tag={{.X}}: there is another field"),
        ] {
            assert_eq!(logging(driver, &[option]).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn records_say_what_was_asked_for() {
        let asked =
            logging("json-file", &["labels=a,b", "env=E", "tag={{.Name}}/{{.ID}}"]).unwrap();
        let labels = [("a", "1"), ("c", "3")].map(|(k, v)| (k.to_string(), v.to_string())).into();
        let tag = asked.tag(&"5".repeat(64), "web", "busybox", "sha256:77").unwrap();
        let said = asked.attributes(&labels, &["E=x".into(), "F=y".into()], tag);
        let said: Vec<_> = said.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(said, [("E", "x"), ("a", "1"), ("tag", "web/555555555555")]);
    }
}
