//! Who tells the service manager that a container is ready (Podman's `--sdnotify`), and what of a
//! program's words reaches it (sd_notify(3)).

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SdNotify {
    /// The program, by a socket that it is given.
    Container,
    /// The engine, as soon as the program runs. It is Podman's word for its own monitor.
    Conmon,
    /// The engine, when the container is healthy.
    Healthy,
    /// Nobody.
    Ignore,
}

impl SdNotify {
    const WORDS: [(&str, SdNotify); 4] = [
        ("container", SdNotify::Container),
        ("conmon", SdNotify::Conmon),
        ("healthy", SdNotify::Healthy),
        ("ignore", SdNotify::Ignore),
    ];
}

impl fmt::Display for SdNotify {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let word = SdNotify::WORDS.iter().find(|(_, one)| one == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

impl FromStr for SdNotify {
    type Err = Error;
    fn from_str(text: &str) -> Result<SdNotify> {
        let found = SdNotify::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, one)| *one).ok_or_else(|| {
            Error::invalid(format!("\"{text}\" tells nobody"))
                .hint("use container, conmon, healthy or ignore")
        })
    }
}

super::serde_by_text!(SdNotify);

/// What a program may say. Its pids are its own namespace's, and it keeps no descriptors there.
const PASSED: [&str; 7] = [
    "READY",
    "RELOADING",
    "MONOTONIC_USEC",
    "STOPPING",
    "STATUS",
    "WATCHDOG",
    "EXTEND_TIMEOUT_USEC",
];

/// What of a message is passed on; nothing where it is not text.
pub fn passed_on(message: &[u8]) -> String {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let is_passed =
        |line: &&str| line.split_once('=').is_some_and(|(key, _)| PASSED.contains(&key));
    let lines: Vec<&str> = text.lines().filter(is_passed).collect();
    lines.join("\n")
}

/// Whether a message says that all is up.
pub fn says_ready(message: &str) -> bool {
    message.lines().any(|line| line == "READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_words() {
        for (word, mode) in SdNotify::WORDS {
            assert_eq!(word.parse::<SdNotify>().unwrap(), mode);
            assert_eq!(mode.to_string(), word);
        }
        assert!("init".parse::<SdNotify>().is_err());
    }

    #[test]
    fn a_program_speaks_of_itself_and_of_no_process() {
        let told = passed_on(b"MAINPID=1\nREADY=1\nSTATUS=up: 3=3\nFDSTORE=1\nBARRIER=1\nREADY\n");
        assert_eq!(told, "READY=1\nSTATUS=up: 3=3");
        assert!(says_ready(&told));
        assert!(!says_ready("STATUS=READY=1\nREADY=0"));
        assert_eq!(passed_on(b"READY=1\nSTATUS=\xff"), "");
    }
}
