//! s6-svstat and s6-svwait, as s6 2.11 has them.
//!
//! What of s6's answers our supervisor does not publish: since when a service is down counts from the
//! end of its `finish`, not of its `run`; and `readysince` of one that is not ready is when it
//! last changed.

use super::peer::{Peer, Watch};
use crate::applets::{Call, FAILED, USAGE};
use crate::face::status::{Phase, Status, tai64n_of_s6};
use crate::message::with_hints;
use coracle::error::{Error, Result};
use coracle::sys::pidfd::Exit;
use coracle::types::{Pid, Signal};
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// s6-svstat's exit code: nobody supervises it.
const ALONE: u8 = 1;
/// s6-svwait's exit code: the time is up.
const TIMED_OUT: u8 = 99;

/// Options in djb's style: letters that may be joined, with `valued` ones followed by a value.
/// What is left are the other words.
fn options<'a>(
    call: &'a Call,
    valued: &[u8],
    mut take: impl FnMut(u8, &'a str) -> std::result::Result<(), String>,
) -> std::result::Result<Vec<&'a OsStr>, String> {
    let mut words = call.args.iter().map(|word| word.as_os_str()).peekable();
    let is_option = |word: &&OsStr| word.len() > 1 && word.as_encoded_bytes().starts_with(b"-");
    while let Some(word) = words.next_if(is_option) {
        if word == "--" {
            break;
        }
        let mut rest = word.to_str().unwrap_or_default().get(1..).unwrap_or_default();
        while let Some(letter) = rest.bytes().next() {
            rest = rest.get(1..).unwrap_or_default();
            let mut value = "";
            if valued.contains(&letter) {
                value = match rest {
                    "" => words.next().and_then(OsStr::to_str).unwrap_or_default(),
                    joined => joined,
                };
                rest = "";
            }
            take(letter, value)?;
        }
    }
    Ok(words.collect())
}

fn unknown(letter: u8) -> String {
    format!("unknown option -{}", char::from(letter))
}

/// What s6-svstat shows of a service.
struct View {
    status: Status,
    normally_up: bool,
    now: SystemTime,
}

type Field = fn(&View) -> String;

/// By their names and, where they have one, their letters.
const FIELDS: [(&str, u8, Field); 13] = [
    ("up", b'u', |view| view.up().is_some().to_string()),
    ("wantedup", b'w', |view| (view.status.want == b'u').to_string()),
    ("normallyup", b'N', |view| view.normally_up.to_string()),
    ("ready", b'r', |view| (view.up().is_some() && view.status.ready.is_some()).to_string()),
    ("paused", 0, |view| view.status.paused.to_string()),
    ("pid", b'p', |view| view.up().map_or(-1, Pid::raw).to_string()),
    ("exitcode", b'e', |view| match view.exit() {
        Some(Exit::Code(code)) => code.to_string(),
        _ => "-1".into(),
    }),
    ("signal", b's', |view| match view.exit() {
        Some(Exit::Signal(number)) => name(number),
        _ => "NA".into(),
    }),
    ("signum", 0, |view| match view.exit() {
        Some(Exit::Signal(number)) => number.to_string(),
        _ => "-1".into(),
    }),
    ("updownsince", 0, |view| label(view.status.since)),
    ("readysince", 0, |view| label(view.ready_since())),
    ("updownfor", b't', |view| view.seconds(view.status.since).to_string()),
    ("readyfor", 0, |view| view.seconds(view.ready_since()).to_string()),
];

impl View {
    /// The process of `run`.
    fn up(&self) -> Option<Pid> {
        self.status.pid.filter(|_| self.status.phase == Phase::Run)
    }

    /// How the last run ended, if none lives.
    fn exit(&self) -> Option<Exit> {
        self.up().is_none().then_some(self.status.exit)
    }

    fn ready_since(&self) -> SystemTime {
        self.status.ready.unwrap_or(self.status.since)
    }

    fn seconds(&self, since: SystemTime) -> u64 {
        self.now.duration_since(since).unwrap_or_default().as_secs()
    }

    /// The line without options.
    fn sentence(&self, numbers: bool) -> String {
        let status = &self.status;
        let mut text = match (self.up(), status.exit) {
            (Some(pid), _) => format!("up (pid {pid})"),
            (None, Exit::Signal(number)) if numbers => format!("down (signal {number})"),
            (None, Exit::Signal(number)) => format!("down (signal {})", name(number)),
            (None, Exit::Code(code)) => format!("down (exitcode {code})"),
        };
        text.push_str(&format!(" {} seconds", self.seconds(status.since)));
        let up = self.up().is_some();
        let notes = [
            (up && !self.normally_up, ", normally down"),
            (!up && self.normally_up, ", normally up"),
            (up && status.paused, ", paused"),
            (!up && status.want == b'u', ", want up"),
            (up && status.want != b'u', ", want down"),
        ];
        notes.iter().filter(|(holds, _)| *holds).for_each(|(_, note)| text.push_str(note));
        if let Some(since) = status.ready {
            text.push_str(&format!(", ready {} seconds", self.seconds(since)));
        }
        text
    }
}

fn name(signal: i32) -> String {
    Signal::from_number(signal).map_or("SIG?".into(), |signal| signal.to_string())
}

fn label(time: SystemTime) -> String {
    let digits: Vec<String> = tai64n_of_s6(time).iter().map(|b| format!("{b:02x}")).collect();
    format!("@{}", digits.concat())
}

/// The fields of `-o`.
fn fields(names: &str) -> std::result::Result<Vec<Field>, String> {
    let find = |name: &str| {
        let found = FIELDS.iter().find(|(full, _, _)| *full == name).map(|(_, _, field)| *field);
        found.ok_or_else(|| format!("unknown field \"{name}\""))
    };
    names.split(',').map(find).collect()
}

pub fn svstat(call: &Call) -> u8 {
    let (mut chosen, mut numbers) = (Vec::new(), false);
    let words = options(call, b"o", |letter, value| {
        match letter {
            b'n' => numbers = true,
            b'o' => chosen.extend(fields(value)?),
            _ => {
                let found = FIELDS.iter().find(|(_, own, _)| *own == letter);
                chosen.push(found.map(|(_, _, field)| *field).ok_or_else(|| unknown(letter))?);
            }
        }
        Ok(())
    });
    let dir = match words.as_deref() {
        Ok([dir, ..]) => Path::new(dir),
        Ok([]) => return call.usage("no directory"),
        Err(problem) => return call.usage(problem),
    };
    let seen = Peer::open(dir).and_then(|peer| peer.map(|peer| peer.status()).transpose());
    let unable = |why: &str| {
        call.say(&format!("fatal: unable to read status for {}: {why}", dir.display()));
    };
    let status = match seen {
        Ok(Some(status)) => status,
        Ok(None) => {
            unable("s6-supervise not running");
            return ALONE;
        }
        Err(error) => {
            unable(&with_hints(&error));
            return FAILED;
        }
    };
    let view = View { status, normally_up: !dir.join("down").exists(), now: SystemTime::now() };
    let text = if chosen.is_empty() {
        view.sentence(numbers)
    } else {
        let values: Vec<String> = chosen.iter().map(|field| field(&view)).collect();
        values.join(" ")
    };
    call.answer(&format!("{text}\n"))
}

/// What s6-svwait waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Goal {
    up: bool,
    ready: bool,
    /// Only after it has been down.
    restarted: bool,
}

const GOALS: [(u8, Goal); 6] = [
    (b'u', Goal { up: true, ready: false, restarted: false }),
    (b'U', Goal { up: true, ready: true, restarted: false }),
    (b'd', Goal { up: false, ready: false, restarted: false }),
    (b'D', Goal { up: false, ready: true, restarted: false }),
    (b'r', Goal { up: true, ready: false, restarted: true }),
    (b'R', Goal { up: true, ready: true, restarted: true }),
];

impl Goal {
    fn is_reached(self, status: &Status, has_been_down: bool) -> bool {
        let up = status.phase == Phase::Run && status.pid.is_some();
        up == self.up
            && (!self.ready || status.ready.is_some())
            && (!self.restarted || has_been_down)
    }
}

struct Waited {
    peer: Peer,
    first: Status,
    has_been_down: bool,
    reached: bool,
    /// It never will.
    lost: bool,
}

impl Waited {
    fn open(dir: &Path, watch: &Watch) -> Result<Waited> {
        let Some(peer) = Peer::open(dir)? else {
            return Err(Error::conflict(format!("{}: not supervised", dir.display())));
        };
        watch.add(&peer)?;
        let first = peer.status()?;
        Ok(Waited { peer, first, has_been_down: false, reached: false, lost: false })
    }

    fn look(&mut self, goal: Goal) -> Result<()> {
        let status = self.peer.status()?;
        // A run that is another one has been down in between, however short that was.
        self.has_been_down |= status.phase != Phase::Run || status.since != self.first.since;
        self.reached = goal.is_reached(&status, self.has_been_down);
        let gave_up = goal.up && status.gave_up && !self.first.gave_up;
        self.lost |= !self.reached && (gave_up || !self.peer.is_alive());
        Ok(())
    }
}

pub fn svwait(call: &Call) -> u8 {
    let (mut goal, mut any, mut limit) = (None, false, None);
    let words = options(call, b"t", |letter, value| {
        match letter {
            b'a' => any = false,
            b'o' => any = true,
            b't' => {
                let problem = || format!("\"{value}\" is not a number of milliseconds");
                let number = value.parse().map_err(|_| problem())?;
                limit = (number != 0).then_some(Duration::from_millis(number));
            }
            _ => {
                let found = GOALS.iter().find(|(own, _)| *own == letter);
                goal = Some(found.map(|(_, goal)| *goal).ok_or_else(|| unknown(letter))?);
            }
        }
        Ok(())
    });
    let words = match words {
        Ok(words) if words.is_empty() => return call.usage("no directory"),
        Ok(words) => words,
        Err(problem) => return call.usage(&problem),
    };
    let [(_, up), ..] = GOALS;
    match wait(&words, goal.unwrap_or(up), any, limit) {
        Ok(0) => 0,
        Ok(TIMED_OUT) => {
            call.say("fatal: timed out");
            TIMED_OUT
        }
        Ok(lost) => {
            call.say("fatal: some services reported permanent failure or their supervisor died");
            lost
        }
        Err(error) => call.fail(&error),
    }
}

/// Waits for all services, or any of them. How many of them will never get there, or `TIMED_OUT`.
fn wait(dirs: &[&OsStr], goal: Goal, any: bool, limit: Option<Duration>) -> Result<u8> {
    let watch = Watch::new(limit)?;
    let opened = dirs.iter().map(|dir| Waited::open(Path::new(dir), &watch));
    let mut services = opened.collect::<Result<Vec<Waited>>>()?;
    loop {
        let over = watch.is_over();
        for service in services.iter_mut().filter(|service| !service.lost) {
            service.look(goal)?;
        }
        let settled = |service: &Waited| service.reached || service.lost;
        let lost = services.iter().filter(|service| service.lost).count();
        if services.iter().all(settled) || any && services.iter().any(settled) {
            return Ok(u8::try_from(lost).unwrap_or(USAGE).min(TIMED_OUT.saturating_sub(1)));
        }
        if over {
            return Ok(TIMED_OUT);
        }
        let living = services.iter().filter(|service| !service.lost);
        watch.wait(living.map(|service| &service.peer), None)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn status(phase: Phase) -> Status {
        Status {
            since: UNIX_EPOCH + Duration::from_secs(10),
            pid: Pid::from_raw(7).filter(|_| phase != Phase::Down),
            paused: false,
            want: b'u',
            told: false,
            phase,
            exit: Exit::Signal(15),
            ready: None,
            gave_up: false,
        }
    }

    #[test]
    fn svstat_speaks_as_s6_does() {
        let now = UNIX_EPOCH + Duration::from_secs(22);
        let mut view = View { status: status(Phase::Run), normally_up: true, now };
        assert_eq!(view.sentence(false), "up (pid 7) 12 seconds");
        view.status.paused = true;
        view.status.want = b'd';
        view.status.ready = Some(UNIX_EPOCH + Duration::from_secs(20));
        view.normally_up = false;
        let text = "up (pid 7) 12 seconds, normally down, paused, want down, ready 2 seconds";
        assert_eq!(view.sentence(false), text);
        view.status = status(Phase::Finish);
        assert_eq!(view.sentence(false), "down (signal SIGTERM) 12 seconds, want up");
        assert_eq!(view.sentence(true), "down (signal 15) 12 seconds, want up");
        let all = "up,wantedup,normallyup,ready,paused,pid,exitcode,signal,signum,updownsince";
        let values: Vec<String> = fields(all).unwrap().iter().map(|field| field(&view)).collect();
        let values = values.join(" ");
        let expected = "false true false false false -1 -1 SIGTERM 15 @400000000000002f00000000";
        assert_eq!(values, expected);
        assert_eq!(fields("pid,").unwrap_err(), "unknown field \"\"");
    }

    #[test]
    fn a_goal_is_a_state_and_perhaps_a_way_to_it() {
        let goal = |letter| GOALS.iter().find(|(own, _)| *own == letter).unwrap().1;
        let reached = |letter, status: &Status, been| goal(letter).is_reached(status, been);
        let (run, finish, mut down) =
            (status(Phase::Run), status(Phase::Finish), status(Phase::Down));
        down.ready = Some(UNIX_EPOCH);
        let ready = Status { ready: Some(UNIX_EPOCH), ..run };
        assert!(reached(b'u', &run, false) && !reached(b'u', &finish, false));
        assert!(!reached(b'U', &run, false) && reached(b'U', &ready, false));
        assert!(reached(b'd', &finish, true) && !reached(b'd', &run, true));
        assert!(!reached(b'D', &finish, true) && reached(b'D', &down, true));
        assert!(!reached(b'r', &run, false) && reached(b'r', &run, true));
        assert!(!reached(b'R', &run, true) && reached(b'R', &ready, true));
    }
}
