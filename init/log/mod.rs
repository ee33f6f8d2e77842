//! What services write: from the pipe that cox holds, line by line, to cox's own stdout and stderr
//! or to files that are rotated.
//!
//! ```text
//! service --pipe--> Stream --pieces--> Frame --batch--> Outlet --> Container | FileLog
//! syslog(3) --/dev/log--> DevLog --record----^
//! ```
//!
//! `lines`, `frame`, `batch`, `recent`, `rotation` and `syslog` are pure; `container`, `file` and `dev_log` do the I/O;
//! `router` joins them. A stream whose outlet takes nothing is not read: its pipe fills up, and the
//! service waits in write(2), as it would on a terminal that nobody reads. Nothing is dropped as
//! long as cox lives and somebody holds the other end.
//!
//! Memory: buffers belong to the router, not to streams; between two reads a stream keeps only the
//! line that has begun.

mod batch;
mod container;
mod dev_log;
mod file;
mod frame;
mod lines;
mod outlet;
mod pipe;
mod recent;
mod rotation;
mod router;
mod stream;
mod syslog;

pub use file::FileLog;
pub use frame::rfc3339;
pub use pipe::LogPipe;
pub use recent::Recent;
pub use rotation::rotated;
pub use router::Router;

/// Which of a service's two descriptors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Channel {
    Out,
    Err,
}

impl Channel {
    pub const BOTH: [Channel; 2] = [Channel::Out, Channel::Err];

    fn other(self) -> Channel {
        match self {
            Channel::Out => Channel::Err,
            Channel::Err => Channel::Out,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Channel::Out => "stdout",
            Channel::Err => "stderr",
        }
    }
}
