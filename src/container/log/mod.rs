//! A container's log: what its program wrote to stdout and stderr, one JSON object a line.
//!
//! ```text
//! containers/<id>/log   {"log":"a line\n","stream":"stdout","time":"2026-11-22T13:34:18.000000001Z"}
//! ```
//!
//! This is the form of Docker's json-file driver, as Go's encoding/json writes it, so that tools
//! made for it read ours. Two fields are our own, and both are rare:
//!
//! - `"raw"`, base64: the exact bytes, where they are not UTF-8; `log` then holds U+FFFD for each
//!   byte that does not fit.
//! - `"continues":true`: the record goes on with the line that the last record of the same stream
//!   left open. A line of up to 16 KiB that arrives at once is one record; longer ones, and ones
//!   that arrive in pieces, are split between characters. A record that ends without `\n` leaves
//!   its line open.
//!
//! So the `log`s (or `raw`s) of a stream, joined, are byte for byte what the program wrote.
//!
//! Attributes that were asked for (`--log-opt labels=...`) stand behind the stream, as in Docker's:
//! `"attrs":{"tier":"front"}`. A log with a bound (`max-size`) is several files (`files`).
//!
//! A crash may leave a last line without its newline; the next writer ends it, readers skip it.

mod appender;
mod base64;
mod decode;
mod encode;
mod files;
mod follow;
mod options;
mod reader;
mod writer;

pub use appender::{Appender, BUSY, Keeping};
pub use files::{Place, exists, open_all};
pub use follow::Follower;
pub use options::{Bounds, Driver, Logging, Wish};
pub use reader::{Piece, Query, Reader};

/// The most bytes of a line that one record holds, its newline not counted.
pub const LIMIT: usize = 16 * 1024;

/// Which of a program's streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    /// An index for tables of two.
    fn index(self) -> usize {
        match self {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        }
    }
}
