//! What people write, made into `service::Service` values.

pub mod directory;
