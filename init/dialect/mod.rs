//! What people write, made into `service::Service` values.

pub mod directory;
mod draft;
mod expansion;
mod ini;
mod keys;
pub mod options;
pub mod schema;
pub mod supervisord;
pub mod toml;
mod typed;
pub mod units;

/// What random changes of TOML put in.
#[cfg(test)]
pub const WORDS: [&str; 24] = [
    "\n", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "'''", "\\", "#",
    "${", "}", "$", "-1", "1e9", "\r\n", "true", "\u{e9}",
];
