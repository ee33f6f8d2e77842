//! A volume, and the JSON of `volume inspect`: Docker's keys and order.

use crate::types::Timestamp;
use crate::volume::ANONYMOUS;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A volume as it is now.
#[derive(Clone, Debug)]
pub struct Volume {
    pub name: String,
    pub created: Timestamp,
    pub labels: BTreeMap<String, String>,
    /// What containers see of it.
    pub mountpoint: PathBuf,
    /// A container has it among its mounts, whether it runs or not.
    pub is_used: bool,
}

impl Volume {
    /// Whether nobody named it.
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS)
    }
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct InspectVolume {
    created_at: Timestamp,
    driver: &'static str,
    labels: Option<BTreeMap<String, String>>,
    mountpoint: String,
    name: String,
    options: Option<BTreeMap<String, String>>,
    scope: &'static str,
}

impl From<&Volume> for InspectVolume {
    fn from(volume: &Volume) -> InspectVolume {
        let labels = &volume.labels;
        InspectVolume {
            created_at: volume.created,
            driver: "local",
            labels: (!labels.is_empty()).then(|| labels.clone()),
            mountpoint: volume.mountpoint.display().to_string(),
            name: volume.name.clone(),
            options: None,
            scope: "local",
        }
    }
}
