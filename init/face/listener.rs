//! Event listeners of supervisor: the types of events, and what a listener says. Pure.
//! (supervisord.org/events.html)
//!
//! ```text
//! READY\n             it waits for an event
//! RESULT 2\nOK        it has dealt with the one that it was sent; anything else than OK: it has not
//! ```

/// The types, each with a bit of its own: its place here.
static TYPES: [&str; 20] = [
    "PROCESS_STATE_STOPPED",
    "PROCESS_STATE_STARTING",
    "PROCESS_STATE_RUNNING",
    "PROCESS_STATE_BACKOFF",
    "PROCESS_STATE_STOPPING",
    "PROCESS_STATE_EXITED",
    "PROCESS_STATE_FATAL",
    "PROCESS_STATE_UNKNOWN",
    "PROCESS_COMMUNICATION_STDOUT",
    "PROCESS_COMMUNICATION_STDERR",
    "PROCESS_LOG_STDOUT",
    "PROCESS_LOG_STDERR",
    "REMOTE_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE_RUNNING",
    "SUPERVISOR_STATE_CHANGE_STOPPING",
    "TICK_5",
    "TICK_60",
    "TICK_3600",
    "PROCESS_GROUP_ADDED",
    "PROCESS_GROUP_REMOVED",
];

/// Names that stand for several types.
static KINDS: [&str; 6] = [
    "PROCESS_STATE",
    "PROCESS_COMMUNICATION",
    "PROCESS_LOG",
    "SUPERVISOR_STATE_CHANGE",
    "TICK",
    "PROCESS_GROUP",
];

/// Types of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Types(u32);

impl Types {
    /// Those of a name; none if nobody knows it.
    pub fn named(name: &str) -> Types {
        let several = KINDS.contains(&name);
        let fits = |one: &str| {
            let begins = one.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
            name == "EVENT" || one == name || several && begins
        };
        let bits = TYPES.iter().zip(0..).filter(|(one, _)| fits(one));
        Types(bits.fold(0, |sum, (_, bit)| sum | 1_u32.wrapping_shl(bit)))
    }

    pub fn names() -> Vec<&'static str> {
        [&TYPES[..], &KINDS, &["EVENT"]].concat()
    }

    pub fn with(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub fn has(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// What came of what a listener said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It waits for an event.
    Ready,
    /// It has dealt with the last one, or not.
    Result(bool),
    /// It does not keep to the protocol: nothing more is heard of it.
    Broken,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// It may say that it is ready.
    #[default]
    Acknowledged,
    Ready,
    /// It was sent an event.
    Busy,
    Broken,
}

#[derive(Debug, Default)]
pub struct Ear {
    state: State,
    heard: Vec<u8>,
}

const READY: &[u8] = b"READY\n";
/// A result is no longer, nor is the line before it.
const LONGEST: usize = 64 * 1024;

impl Ear {
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// It was sent an event.
    pub fn send(&mut self) {
        self.state = State::Busy;
    }

    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        if self.state == State::Broken {
            return Vec::new();
        }
        self.heard.extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some(heard) = self.next() {
            all.push(heard);
            if heard == Heard::Broken {
                self.state = State::Broken;
                self.heard = Vec::new();
                break;
            }
        }
        all
    }

    fn next(&mut self) -> Option<Heard> {
        if self.heard.is_empty() {
            return None;
        }
        match self.state {
            State::Acknowledged => {
                let count = self.heard.len().min(READY.len());
                if self.heard.get(..count) != READY.get(..count) {
                    return Some(Heard::Broken);
                }
                if count < READY.len() {
                    return None;
                }
                self.heard.drain(..count);
                self.state = State::Ready;
                Some(Heard::Ready)
            }
            State::Busy => {
                let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else {
                    return (self.heard.len() > LONGEST).then_some(Heard::Broken);
                };
                let line = self.heard.get(..end).unwrap_or_default();
                let Some(length) = length(line) else { return Some(Heard::Broken) };
                let begin = end.saturating_add(1);
                let end = begin.saturating_add(length);
                let good = self.heard.get(begin..end)? == b"OK";
                self.heard.drain(..end);
                self.state = State::Acknowledged;
                Some(Heard::Result(good))
            }
            State::Ready | State::Broken => Some(Heard::Broken),
        }
    }
}

/// Of `RESULT 2`, how many bytes follow.
fn length(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (word, number) = (words.next()?, words.next()?);
    let length = number.parse().ok().filter(|length| *length <= LONGEST)?;
    (word == "RESULT" && words.next().is_none()).then_some(length)
}

/// What stands before an event.
pub fn header(
    server: &str,
    serial: u64,
    pool: &str,
    pool_serial: u64,
    name: &str,
    length: usize,
) -> String {
    format!(
        "ver:3.0 server:{server} serial:{serial} pool:{pool} poolserial:{pool_serial} \
         eventname:{name} len:{length}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    #[test]
    fn a_name_stands_for_one_type_or_several() {
        let count = |name: &str| Types::named(name).0.count_ones();
        for (name, types) in [
            ("EVENT", 20),
            ("PROCESS_STATE", 8),
            ("PROCESS_STATE_EXITED", 1),
            ("PROCESS_LOG", 2),
            ("TICK", 3),
            ("TICK_5", 1),
            ("PROCESS_GROUP", 2),
            ("SUPERVISOR_STATE_CHANGE", 2),
            ("REMOTE_COMMUNICATION", 1),
            ("REMOTE", 0),
            ("PROCESS", 0),
            ("", 0),
        ] {
            assert_eq!(count(name), types, "{name}");
        }
        assert!(Types::names().into_iter().all(|name| !Types::named(name).is_none()));
        assert!(Types::named("TICK").has(Types::named("TICK_60")));
        assert!(!Types::named("TICK_5").has(Types::named("TICK_60")));
    }

    #[test]
    fn a_listener_is_ready_is_sent_an_event_and_has_a_result() {
        let mut ear = Ear::default();
        assert_eq!(ear.hear(b"REA"), []);
        assert_eq!(ear.hear(b"DY\n"), [Heard::Ready]);
        assert!(ear.is_ready());
        ear.send();
        assert_eq!(ear.hear(b"RESULT 2\nO"), []);
        assert_eq!(ear.hear(b"KREADY\n"), [Heard::Result(true), Heard::Ready]);
        ear.send();
        assert_eq!(ear.hear(b"RESULT 4\nFAIL"), [Heard::Result(false)]);
        assert_eq!(ear.hear(b"READY\n"), [Heard::Ready]);
        // It was not asked.
        assert_eq!(ear.hear(b"x"), [Heard::Broken]);
        assert_eq!(ear.hear(b"READY\n"), []);
    }

    #[test]
    fn whoever_breaks_the_protocol_is_heard_no_more() {
        for (before, said) in [
            (false, "hello\n"),
            (false, "RESULT 2\nOK"),
            (true, "OK\n"),
            (true, "RESULT\n"),
            (true, "RESULT x\n"),
            (true, "RESULT 99999999999\n"),
            (true, "RESULT 2 3\nOK"),
        ] {
            let mut ear = Ear::default();
            if before {
                ear.hear(b"READY\n");
                ear.send();
            }
            assert_eq!(ear.hear(said.as_bytes()), [Heard::Broken], "{said}");
        }
    }

    #[test]
    fn of_the_corpus_whatever_a_listener_says_is_heard() {
        fuzz("listener", &["READY\n", "RESULT 2\n", "OK", "\n", "RESULT ", "99"], 3_000, |bytes| {
            let mut ear = Ear::default();
            // It says nothing before it is asked.
            for chunk in bytes.chunks(1) {
                for heard in ear.hear(chunk) {
                    match heard {
                        Heard::Ready => ear.send(),
                        Heard::Result(_) => {}
                        Heard::Broken => return Err("broken".into()),
                    }
                }
                assert!(ear.heard.len() <= 2 * LONGEST);
            }
            Ok(())
        });
    }
}
