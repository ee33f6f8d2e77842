//! One file per verb: ordering, locks and rollback. Returns data; never prints.

pub mod image;
pub mod options;
pub mod report;
