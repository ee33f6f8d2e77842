//! Programs that bring packets of a network namespace out of it without root.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserMode {
    /// passt.top: the host's own addresses, IPv6 too.
    Pasta,
    /// github.com/rootless-containers/slirp4netns: a network of its own.
    Slirp4netns,
}

impl UserMode {
    /// The better one first.
    pub const ALL: [UserMode; 2] = [UserMode::Pasta, UserMode::Slirp4netns];

    /// The program, and the word for `--network`.
    pub fn word(self) -> &'static str {
        match self {
            UserMode::Pasta => "pasta",
            UserMode::Slirp4netns => "slirp4netns",
        }
    }
}

impl fmt::Display for UserMode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for UserMode {
    type Err = Error;
    fn from_str(text: &str) -> Result<UserMode, Error> {
        let found = UserMode::ALL.into_iter().find(|mode| mode.word() == text);
        found.ok_or_else(|| Error::invalid(format!("\"{text}\" is neither pasta nor slirp4netns")))
    }
}
