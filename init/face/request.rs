//! What `coxctl` asks for: the words of its command line, which are the words of its request. Pure.
//!
//! The client parses them to find slips of the finger, the supervisor because it trusts nobody.

use coracle::types::{Signal, nearest};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub verb: Verb,
    /// Names of services, or patterns for them.
    pub names: Vec<String>,
    pub json: bool,
    /// Whether the answer comes only once it is done.
    pub wait: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Status,
    Start,
    Stop,
    Restart,
    Once,
    Pause,
    Continue,
    Signal(Signal),
    Events,
    Logs { follow: bool },
    Tree,
    Reload,
    Why,
    Healthy,
    Wait(Aim),
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aim {
    Ready,
    Down,
    Done,
}

/// How many names a verb takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    None,
    Any,
    Some,
}

use Names::{Any, Some as AtLeastOne};

/// A verb, the names it takes, and its options.
const VERBS: [(&str, Names, &[&str]); 15] = [
    ("status", Any, &["--json"]),
    ("start", AtLeastOne, &["--no-wait"]),
    ("stop", AtLeastOne, &["--no-wait"]),
    ("restart", AtLeastOne, &["--no-wait"]),
    ("once", AtLeastOne, &["--no-wait"]),
    ("pause", AtLeastOne, &[]),
    ("cont", AtLeastOne, &[]),
    ("signal", AtLeastOne, &[]),
    ("events", Any, &["--json"]),
    ("logs", AtLeastOne, &["-f", "--follow"]),
    ("tree", Any, &[]),
    ("reload", Names::None, &[]),
    ("why", AtLeastOne, &[]),
    ("healthy", Any, &[]),
    ("wait", AtLeastOne, &["--ready", "--down", "--done"]),
];

impl Request {
    /// What is wrong with the words, if anything is.
    pub fn parse(words: &[String]) -> Result<Request, String> {
        let mut words = words.iter().map(String::as_str);
        let verb = words.next().ok_or("no command")?;
        let Some((_, takes, options)) = VERBS.iter().find(|(name, ..)| *name == verb) else {
            let meant = nearest(verb, VERBS.iter().map(|(name, ..)| *name));
            let meant = meant.map(|meant| format!(", did you mean {meant}?"));
            let (verb, meant) = (verb.escape_debug(), meant.unwrap_or_default());
            return Err(format!("unknown command \"{verb}\"{meant}"));
        };
        let mut names = Vec::new();
        let (mut json, mut wait, mut aim, mut follow) = (false, true, Aim::Ready, false);
        while let Some(word) = words.next() {
            if word == "--" {
                names.extend(words.by_ref().map(String::from));
                break;
            }
            if !word.starts_with('-') || word == "-" {
                names.push(word.to_string());
                continue;
            }
            if !options.contains(&word) {
                return Err(format!("{verb} has no option {}", word.escape_debug()));
            }
            match word {
                "--json" => json = true,
                "--no-wait" => wait = false,
                "-f" | "--follow" => follow = true,
                "--down" => aim = Aim::Down,
                "--done" => aim = Aim::Done,
                _ => {}
            }
        }
        let mut signal = None;
        if verb == "signal" {
            if names.is_empty() {
                return Err("signal needs a signal and a service".into());
            }
            let text = names.remove(0);
            signal = Some(text.parse::<Signal>().map_err(|e| e.to_string())?);
        }
        match (takes, names.len()) {
            (Names::None, 1..) => return Err(format!("{verb} takes no service")),
            (Names::Some, 0) => return Err(format!("{verb} needs a service")),
            _ => {}
        }
        let verb = match (verb, signal) {
            ("status", _) => Verb::Status,
            ("start", _) => Verb::Start,
            ("stop", _) => Verb::Stop,
            ("restart", _) => Verb::Restart,
            ("once", _) => Verb::Once,
            ("pause", _) => Verb::Pause,
            ("cont", _) => Verb::Continue,
            (_, Some(signal)) => Verb::Signal(signal),
            ("events", _) => Verb::Events,
            ("logs", _) => Verb::Logs { follow },
            ("tree", _) => Verb::Tree,
            ("reload", _) => Verb::Reload,
            ("why", _) => Verb::Why,
            ("healthy", _) => Verb::Healthy,
            _ => Verb::Wait(aim),
        };
        Ok(Request { verb, names, json, wait })
    }

    /// Whether the answer may take long, so that a limit makes sense.
    pub fn waits(&self) -> bool {
        match self.verb {
            Verb::Start | Verb::Stop | Verb::Restart | Verb::Once => self.wait,
            Verb::Wait(_) => true,
            _ => false,
        }
    }
}

/// Whether `pattern` fits `name`: `*` is any number of characters but `/`, `?` one of them.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0usize, 0usize);
    // Where the last star stands, and how far the name was when it was met.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p = p.saturating_add(1);
                continue;
            }
            Some(wanted) if wanted == byte || (*wanted == b'?' && *byte != b'/') => {
                p = p.saturating_add(1);
                n = n.saturating_add(1);
                continue;
            }
            _ => {}
        }
        // The last star takes one more.
        match star {
            Some((at, taken)) if name.get(taken) != Some(&b'/') => {
                star = Some((at, taken.saturating_add(1)));
                p = at.saturating_add(1);
                n = taken.saturating_add(1);
            }
            _ => return false,
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == b'*')
}

pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn words_become_a_request() {
        let request = parse("status --json web db").unwrap();
        assert_eq!(request.names, ["web", "db"]);
        assert!(request.json && request.verb == Verb::Status);
        assert_eq!(parse("signal hup web").unwrap().verb, Verb::Signal(Signal::HUP));
        assert!(!parse("stop --no-wait web").unwrap().wait);
        assert_eq!(parse("wait web --down").unwrap().verb, Verb::Wait(Aim::Down));
        assert_eq!(parse("logs -f web").unwrap().verb, Verb::Logs { follow: true });
        assert_eq!(parse("stop -- --odd").unwrap().names, ["--odd"]);
        assert!(parse("start web").unwrap().waits() && !parse("why web").unwrap().waits());
    }

    #[test]
    fn slips_are_named() {
        for (line, problem) in [
            ("", "no command"),
            ("statsu", "unknown command \"statsu\", did you mean status?"),
            ("frobnicate", "unknown command \"frobnicate\""),
            ("stop", "stop needs a service"),
            ("stop --json web", "stop has no option --json"),
            ("signal", "signal needs a signal and a service"),
            ("signal HUP", "signal needs a service"),
            ("signal NO web", "unknown signal \"NO\""),
            ("reload web", "reload takes no service"),
        ] {
            assert_eq!(parse(line).unwrap_err(), problem, "{line}");
        }
    }

    #[test]
    fn a_star_stops_at_a_slash() {
        for (pattern, name, expected) in [
            ("*", "web", true),
            ("*", "web/log", false),
            ("*/log", "web/log", true),
            ("w*b", "web", true),
            ("w*b", "wab/b", false),
            ("we?", "web", true),
            ("we?", "we/", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "", true),
            ("", "", true),
            ("", "x", false),
            ("web", "web", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
