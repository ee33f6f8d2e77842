//! The steps an image was made in: its history and its layers brought together.
//!
//! An entry of the history made the next layer, unless it says `empty_layer`. Where there are more
//! layers than such entries (not every builder writes a history), a step without words stands for
//! each of the rest.
//!
//! Two images that begin with the same steps have the same `key`s there: so it shows which image
//! was made from which, though no config names its parent.

use super::config::{History, ImageConfig};
use super::v1::{self, V1Id};
use crate::error::{Error, Result};
use crate::types::Digest;

#[derive(Clone, Debug)]
pub struct Step {
    pub history: History,
    /// Which of the layers it made.
    pub layer: Option<usize>,
    /// Stands for this step and all below it.
    pub key: Digest,
    /// What Docker of 2014 called the image that ended here.
    pub v1: Option<V1Id>,
}

/// The steps, bottom first.
pub fn steps(config: &ImageConfig) -> Result<Vec<Step>> {
    let diff_ids = &config.rootfs.diff_ids;
    let mut layers = 0..diff_ids.len();
    let mut all: Vec<(History, Option<usize>)> = Vec::new();
    for history in &config.history {
        let layer = if history.empty_layer { None } else { layers.next() };
        all.push((history.clone(), layer));
    }
    all.extend(layers.map(|layer| (History::default(), Some(layer))));

    let mut below = String::new();
    let mut steps = Vec::new();
    for (history, layer) in all {
        let words = serde_json::to_string(&history)
            .map_err(|e| Error::invalid(format!("image config: {e}")))?;
        let diff_id = layer.and_then(|layer| diff_ids.get(layer));
        let diff_id = diff_id.map(Digest::to_string).unwrap_or_default();
        let key = Digest::of(format!("{below} {diff_id} {words}").as_bytes());
        below = key.to_string();
        let v1 = v1::kept(&history).map(|(head, _)| head.id);
        steps.push(Step { history, layer, key, v1 });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::super::config::RootFs;
    use super::*;

    fn config(history: &[&str], layers: &[&str]) -> ImageConfig {
        let entry = |words: &&str| History {
            created_by: words.to_string(),
            empty_layer: words.starts_with('#'),
            ..History::default()
        };
        let diff_ids = layers.iter().map(|layer| Digest::of(layer.as_bytes())).collect();
        ImageConfig {
            history: history.iter().map(entry).collect(),
            rootfs: RootFs { kind: "layers".to_string(), diff_ids },
            ..ImageConfig::default()
        }
    }

    #[test]
    fn every_layer_has_its_step_whatever_the_history_says() {
        let layers = |history: &[&str], layers: &[&str]| -> Vec<Option<usize>> {
            steps(&config(history, layers)).unwrap().iter().map(|step| step.layer).collect()
        };
        assert_eq!(layers(&["ADD", "#ENV", "RUN"], &["a", "b"]), [Some(0), None, Some(1)]);
        assert_eq!(layers(&[], &["a", "b"]), [Some(0), Some(1)]);
        assert_eq!(layers(&["ADD", "RUN"], &["a"]), [Some(0), None]);
    }

    #[test]
    fn images_that_begin_alike_have_the_same_keys_there() {
        let keys = |history: &[&str], layers: &[&str]| -> Vec<Digest> {
            steps(&config(history, layers)).unwrap().iter().map(|step| step.key).collect()
        };
        let base = keys(&["ADD", "#ENV"], &["a"]);
        let made = keys(&["ADD", "#ENV", "RUN"], &["a", "b"]);
        assert_eq!(made[..2], base);
        assert_ne!(keys(&["ADD", "#ENV"], &["x"])[1], base[1]);
        assert_ne!(keys(&["ADD", "#ENV 2"], &["a"])[1], base[1]);
    }
}
