//! What happens to containers, images, networks and volumes, told as it happens, and `events`, which
//! hears it.
//!
//! Whoever does something tells it by one write to a file; there is nobody who must be running for
//! that. What is told is Docker's: kinds, actions and attributes. It is for people and scripts to
//! see: nothing of ours depends on it, and that somebody cannot be told is no reason not to act.

mod file;
mod filter;
mod reader;

pub use filter::Filter;

use super::Engine;
use crate::container::{Config, Dir, MountKind};
use crate::error::Result;
use crate::types::{ContainerName, Digest, Timestamp};
use reader::Reader;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What something happens to.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Container, Kind::Image, Kind::Network, Kind::Volume];

    pub fn word(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time: i64,
    pub kind: Kind,
    pub action: String,
    pub id: String,
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    pub fn time(&self) -> Timestamp {
        Timestamp(self.time.into())
    }

    /// Today's form, with the four fields of 2014 in front: `status`, `id`, `from` and `time`.
    pub fn json(&self) -> Value {
        let mut json = json!({
            "Type": self.kind.word(),
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.time().unix_seconds(),
            "timeNano": self.time,
        });
        if matches!(self.kind, Kind::Container | Kind::Image) {
            json["status"] = self.action.as_str().into();
            json["id"] = self.id.as_str().into();
        }
        if self.kind == Kind::Container {
            json["from"] = self.attributes.get("image").map_or("", String::as_str).into();
        }
        json
    }
}

/// What to hear of.
#[derive(Debug, Default)]
pub struct Query {
    /// From then on; else from now on.
    pub since: Option<Timestamp>,
    /// Up to then, whether it is past or to come; else for ever.
    pub until: Option<Timestamp>,
    pub filters: Vec<Filter>,
}

impl Engine {
    /// Tells that something happened.
    pub fn tell(&self, kind: Kind, action: &str, id: &str, attributes: &[(&str, &str)]) {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        self.tell_with(kind, action, id, attributes.iter().map(owned).collect());
    }

    /// The same of a container, with what its records say of it.
    pub(super) fn tell_of(&self, dir: &Dir, action: &str, more: &[(&str, &str)]) {
        if let (Ok(config), Ok(settings)) = (dir.config(), dir.settings()) {
            self.tell_of_this(&config, &settings.name, action, more);
        }
    }

    pub(super) fn tell_of_this(
        &self,
        config: &Config,
        name: &ContainerName,
        action: &str,
        more: &[(&str, &str)],
    ) {
        let mut attributes = config.labels.clone();
        let own = [("image", &config.image_name[..]), ("name", name.as_str())];
        for (key, value) in own.iter().chain(more) {
            attributes.insert(key.to_string(), value.to_string());
        }
        self.tell_with(Kind::Container, action, config.id.as_str(), attributes);
    }

    /// The same of an image, by the name or id that it goes by.
    pub fn tell_of_image(&self, action: &str, id: &Digest, name: &str) {
        self.tell(Kind::Image, action, &id.to_string(), &[("name", name)]);
    }

    /// The same of a volume.
    pub(super) fn tell_of_volume(&self, action: &str, name: &str, more: &[(&str, &str)]) {
        self.tell(Kind::Volume, action, name, &[&[("driver", "local")], more].concat());
    }

    /// That a container has ended, and what it gave up with that.
    pub(super) fn tell_of_end(
        &self,
        dir: &Dir,
        config: &Config,
        name: &ContainerName,
        code: i32,
        more: &[(&str, &str)],
    ) {
        let code = code.to_string();
        self.tell_of_this(config, name, "die", &[&[("exitCode", &code[..])], more].concat());
        self.tell_of_places(dir, config, "disconnect");
        self.tell_of_mounts(config, "unmount");
    }

    /// That the volumes of a container are mounted, or not any more.
    pub(super) fn tell_of_mounts(&self, config: &Config, action: &str) {
        for mount in config.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
            let access = if mount.read_only { "false" } else { "true" };
            let place = [("destination", &mount.target[..]), ("read/write", access)];
            let place: &[_] = if action == "mount" { &place } else { &[] };
            let of = [("container", config.id.as_str())];
            self.tell_of_volume(action, &mount.source, &[&of, place].concat());
        }
    }

    fn tell_with(&self, kind: Kind, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let time = i64::try_from(Timestamp::now().0).unwrap_or_default();
        let event =
            Event { time, kind, action: action.to_string(), id: id.to_string(), attributes };
        // Nobody would want the act undone for it.
        let _ = file::append(&self.events_dir(), &event);
    }

    fn events_dir(&self) -> PathBuf {
        self.home.run.join("events")
    }

    /// Hands the events that are asked for to `sink`, as they come, until `query.until` or until
    /// nobody reads `audience` any more.
    pub fn events(
        &self,
        query: &Query,
        sink: &mut dyn FnMut(&Event) -> Result<()>,
        audience: BorrowedFd,
    ) -> Result<()> {
        let mut reader = Reader::open(&self.events_dir(), query.since.is_some())?;
        loop {
            // What was told before that moment is read after it.
            let is_over = query.until.is_some_and(|until| Timestamp::now() >= until);
            reader.read(&mut |event| {
                let is_meant = query.since.is_none_or(|since| event.time() >= since)
                    && query.until.is_none_or(|until| event.time() <= until)
                    && Filter::all_match(&query.filters, event);
                if is_meant { sink(event) } else { Ok(()) }
            })?;
            if is_over {
                return Ok(());
            }
            if reader.wait(audience, query.until.map(|until| Timestamp::now().until(until)))? {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_fields_of_now_and_of_2014() {
        let event = Event {
            time: 1_795_321_393_000_000_001,
            kind: Kind::Container,
            action: "die".into(),
            id: "07a2".into(),
            attributes: BTreeMap::from([
                ("exitCode".into(), "0".into()),
                ("image".into(), "busybox:latest".into()),
            ]),
        };
        let expected = json!({
            "status": "die", "id": "07a2", "from": "busybox:latest", "time": 1_795_321_393,
            "timeNano": 1_795_321_393_000_000_001_i64, "scope": "local",
            "Type": "container", "Action": "die",
            "Actor": {"ID": "07a2", "Attributes": {"exitCode": "0", "image": "busybox:latest"}},
        });
        assert_eq!(event.json(), expected);
        let network = Event { kind: Kind::Network, ..event };
        assert!(network.json().get("status").is_none());
    }
}
