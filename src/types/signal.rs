//! Signals by name and number (signal(7), x86 and arm numbering), as `kill -s`, `STOPSIGNAL` and
//! the service directories write them.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signal(i32);

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    pub const HUP: Signal = Signal(1);
    pub const INT: Signal = Signal(2);
    pub const QUIT: Signal = Signal(3);
    pub const ABRT: Signal = Signal(6);
    pub const KILL: Signal = Signal(9);
    pub const USR1: Signal = Signal(10);
    pub const USR2: Signal = Signal(12);
    pub const PIPE: Signal = Signal(13);
    pub const ALRM: Signal = Signal(14);
    pub const TERM: Signal = Signal(15);
    pub const CHLD: Signal = Signal(17);
    pub const CONT: Signal = Signal(18);
    pub const STOP: Signal = Signal(19);
    pub const XFSZ: Signal = Signal(25);
    pub const WINCH: Signal = Signal(28);
    pub const PWR: Signal = Signal(30);

    /// Signals 1 to 64.
    pub fn from_number(number: i32) -> Option<Signal> {
        (1..=RTMAX).contains(&number).then_some(Signal(number))
    }

    pub fn number(self) -> i32 {
        self.0
    }

    /// All signals, in order of their numbers.
    pub fn all() -> impl Iterator<Item = Signal> {
        (1..=RTMAX).map(Signal)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match usize::try_from(self.0 - 1).ok().and_then(|i| NAMES.get(i)) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "SIG{}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = Error;

    /// Takes `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
    fn from_str(text: &str) -> Result<Signal, Error> {
        let bad = || {
            Error::invalid(format!("unknown signal \"{text}\""))
                .hint("use a name such as TERM or SIGHUP, RTMIN+n, or a number from 1 to 64")
        };
        if let Ok(number) = text.parse::<i32>() {
            return Signal::from_number(number).ok_or_else(bad);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(i) = NAMES.iter().position(|n| *n == name) {
            return i32::try_from(i + 1).ok().and_then(Signal::from_number).ok_or_else(bad);
        }
        let offset = |rest: &str| {
            if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() }
        };
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest).map(|n| RTMIN.saturating_add(n))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest).map(|n| RTMAX.saturating_add(n))
        } else {
            match name {
                "CLD" => Some(17),
                "POLL" => Some(29),
                "IOT" => Some(6),
                _ => None,
            }
        };
        number.filter(|n| (1..=RTMAX).contains(n)).map(Signal).ok_or_else(bad)
    }
}

super::serde_by_text!(Signal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_signal() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("RTMIN", 34),
            ("SYS", 31),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        for bad in ["", "0", "65", "-1", "TERMX", "RTMAX+1", "SIG"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
        for s in Signal::all().filter(|s| s.number() < 32 || s.number() >= 34) {
            assert_eq!(s.to_string().parse::<Signal>().unwrap(), s);
        }
    }
}
