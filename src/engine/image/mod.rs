//! The verbs on images. Each takes a `Store` and plain data and returns data.

mod history;
mod images;
mod import;
mod inspect;
mod lineage;
mod load;
mod prune;
mod rmi;
mod save;
mod tag;

pub use crate::http::Url;
pub use history::{HistoryRow, history};
pub use images::{ImageFilter, ImageRow, images, matches};
pub use import::{ImportOptions, fetch, import, url};
pub use inspect::{GraphDriver, ImageInspect, inspect_image};
pub use lineage::{ImageTree, Node, StepId, descendants, image_tree};
pub use load::{Loaded, load};
pub use prune::prune;
pub use rmi::{ImageUser, Removed, RmiOptions, Users, rmi};
pub use save::save;
pub use tag::tag;
