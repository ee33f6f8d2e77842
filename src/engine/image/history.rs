//! `history`: the steps an image was made in.

use super::lineage::{StepId, tops};
use crate::error::Result;
use crate::image::Store;
use crate::image::steps::steps;
use crate::types::Timestamp;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    pub id: StepId,
    pub created: Option<Timestamp>,
    pub created_by: String,
    pub comment: String,
    /// Bytes of the files that this step added.
    pub size: u64,
}

/// The steps of the image that `text` stands for, the last first.
pub fn history(store: &Store, text: &str) -> Result<Vec<HistoryRow>> {
    let id = store.resolve(text)?;
    let image = store.image(&id)?;
    let sizes = store.layer_sizes(&image)?;
    let tops = tops(store, &store.refs()?);
    let mut rows = Vec::new();
    for step in steps(&image.config)?.into_iter().rev() {
        let known = match rows.is_empty() {
            true => Some(&id),
            false => tops.get(&step.key),
        };
        rows.push(HistoryRow {
            id: match (known, step.v1) {
                (Some(id), _) => StepId::Image(*id),
                (None, Some(id)) => StepId::V1(id),
                (None, None) => StepId::Missing,
            },
            created: step.history.created,
            created_by: step.history.created_by,
            comment: step.history.comment,
            size: step.layer.and_then(|layer| sizes.get(layer)).map_or(0, |(_, size)| *size),
        });
    }
    Ok(rows)
}
