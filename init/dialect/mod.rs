//! What people write, made into `service::Service` values.

#[cfg(test)]
pub mod corpus;
pub mod directory;
mod document;
mod draft;
mod expansion;
mod keys;
pub mod options;
pub mod schema;
pub mod toml;
mod typed;
pub mod units;
