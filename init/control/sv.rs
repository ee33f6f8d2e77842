//! sv, as runit 2.1.2 has it: in its words, on stdout, with its exit codes.
//!
//! The number of services that failed is the exit code, at most 99; 100 is wrong usage. Called by
//! another name, as a link in /etc/init.d, it is that service's init script, and its codes are those
//! of the LSB: status 0 runs, 3 down, 4 unknown; 2 wrong usage, 151 the system refused.
//!
//! runit looks every 0.42 s; here each change of the service wakes us. Only a `check` that says no
//! is asked again after that time, since nobody tells when it would say yes.

use super::peer::{Peer, Watch};
use crate::applets::{Call, SOURCES, USAGE};
use crate::face::fifo;
use crate::face::status::{Phase, Status};
use coracle::error::{Cause, Error, Result, reason};
use coracle::sys::child::{self, Frame, FrameKind, Plan};
use coracle::sys::fd::{self, STDERR, STDOUT};
use coracle::sys::pidfd::{self, Exit};
use coracle::sys::signal;
use coracle::sys::step::{Exec, FdSource, Step, Variables};
use coracle::types::{Pid, Signal};
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where services are if SVDIR does not say so and no scan directory exists.
const DEFAULT_DIR: &str = "/etc/service";
/// How long it waits without `-w` and SVWAIT.
const WAIT: Duration = Duration::from_secs(7);
const CHECK_AGAIN: Duration = Duration::from_millis(420);
/// The letter for "whatever was asked for": nothing is sent.
const CHECK: &[u8] = b"C";
const LSB_USAGE: u8 = 2;
const LSB_FAILED: u8 = 151;

/// What a word stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Order {
    /// Sent to `supervise/control`; none for `status`.
    letters: &'static [u8],
    /// Whether it is waited for.
    waits: bool,
    /// Whether KILL is sent when the wait is over.
    kills: bool,
}

const fn waits(letters: &'static [u8]) -> Order {
    Order { letters, waits: true, kills: false }
}

const fn forces(letters: &'static [u8]) -> Order {
    Order { letters, waits: true, kills: true }
}

const fn sends(letters: &'static [u8]) -> Order {
    Order { letters, waits: false, kills: false }
}

const STATUS: Order = sends(b"");

/// Whole words.
const WORDS: [(&str, Order); 11] = [
    ("start", waits(b"u")),
    ("stop", waits(b"d")),
    ("reload", waits(b"h")),
    ("restart", waits(b"tcu")),
    ("try-restart", waits(b"tc")),
    ("shutdown", waits(b"x")),
    ("check", waits(CHECK)),
    ("force-stop", forces(b"d")),
    ("force-reload", forces(b"tc")),
    ("force-restart", forces(b"tcu")),
    ("force-shutdown", forces(b"x")),
];

/// Of any other word, the first letter counts.
const LETTERS: [(u8, Order); 18] = [
    (b'u', sends(b"u")),
    (b'd', sends(b"d")),
    (b'o', sends(b"o")),
    (b'p', sends(b"p")),
    (b'c', sends(b"c")),
    (b'h', sends(b"h")),
    (b'a', sends(b"a")),
    (b'i', sends(b"i")),
    (b'q', sends(b"q")),
    (b'1', sends(b"1")),
    (b'2', sends(b"2")),
    (b't', sends(b"t")),
    (b'k', sends(b"k")),
    (b'x', sends(b"x")),
    (b'e', sends(b"x")),
    (b'D', forces(b"d")),
    (b'T', forces(b"tc")),
    (b's', STATUS),
];

fn order(word: &str) -> Option<Order> {
    if let Some((_, order)) = WORDS.iter().find(|(name, _)| *name == word) {
        return Some(*order);
    }
    let first = word.bytes().next()?;
    match first {
        b'X' | b'E' => Some(forces(b"x")),
        _ => LETTERS.iter().find(|(letter, _)| *letter == first).map(|(_, order)| *order),
    }
}

/// Whether all of `letters` have taken effect, `check` aside: how it stood when they were sent, and
/// how it stands `now`.
fn has_taken_effect(letters: &[u8], before: &Status, now: &Status) -> bool {
    let up = now.pid.is_some();
    let runs = up && now.phase == Phase::Run;
    let changed = now.since != before.since;
    letters.iter().all(|letter| match letter {
        b'u' => runs,
        // One that waits for its next start is down too, but not for long.
        b'd' => !up && now.phase == Phase::Down && now.want != b'u',
        // Another supervisor has begun with it anew.
        b'x' => changed && now.want == b'u' && !now.told,
        b't' | b'k' => !up && now.want == b'd' || runs && changed && !now.told,
        b'o' if up => now.want != b'u',
        b'o' => changed,
        b'p' => !up || now.paused,
        b'c' => !up || !now.paused,
        _ => true,
    })
}

/// Whether `check` has to agree.
fn wants_check(letters: &[u8], now: &Status) -> bool {
    now.pid.is_some() && letters.iter().any(|letter| b"utkC".contains(letter))
}

/// The service as `sv status` shows it, without what tells the state.
fn describe(name: &str, dir: &Path, status: &Status, now: SystemTime) -> String {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let age = seconds(now).saturating_sub(seconds(status.since));
    let pid = status.pid.map(Pid::raw);
    let state = match status.phase {
        Phase::Down => "down",
        Phase::Run => "run",
        Phase::Finish => "finish",
    };
    let mut text = format!("{state}: {name}: ");
    if status.phase != Phase::Down {
        text.push_str(&format!("(pid {}) ", pid.unwrap_or(0)));
    }
    text.push_str(&format!("{age}s"));
    let (up, normally_up) = (pid.is_some(), !dir.join("down").exists());
    let notes = [
        (up && !normally_up, ", normally down"),
        (!up && normally_up, ", normally up"),
        (up && status.paused, ", paused"),
        (!up && status.want == b'u', ", want up"),
        (up && status.want == b'd', ", want down"),
        (up && status.told, ", got TERM"),
    ];
    notes.iter().filter(|(holds, _)| *holds).for_each(|(_, note)| text.push_str(note));
    text
}

/// How it was called.
struct Asked<'a> {
    order: Order,
    wait: Duration,
    services: Vec<&'a OsStr>,
}

struct Told<'a> {
    name: String,
    dir: PathBuf,
    peer: Peer,
    before: Status,
    letters: &'a [u8],
}

/// Why nothing can be done with a service.
enum Trouble {
    /// It is not supervised.
    Alone,
    /// What could not be done, and why.
    Unable(&'static str, String),
}

pub fn sv(call: &Call) -> u8 {
    let asked = match parse(call) {
        Ok(asked) => asked,
        Err(problem) if call.script().is_some() => {
            call.usage(&problem);
            return LSB_USAGE;
        }
        Err(problem) => return call.usage(&problem),
    };
    let answered = if asked.order == STATUS { status(call, &asked) } else { control(&asked) };
    answered.unwrap_or_else(|error| {
        call.fail(&error);
        if call.script().is_some() { LSB_FAILED } else { USAGE }
    })
}

fn parse(call: &Call) -> std::result::Result<Asked<'_>, String> {
    let number = |text: &str| text.parse().map(Duration::from_secs).ok();
    let variable = std::env::var("SVWAIT").ok();
    let mut wait = variable.and_then(|text| number(&text)).unwrap_or(WAIT);
    let mut verbose = false;
    let mut words = call.args.iter().map(|word| word.as_os_str()).peekable();
    let is_option = |word: &&OsStr| word.len() > 1 && word.as_encoded_bytes().starts_with(b"-");
    while let Some(word) = words.next_if(is_option) {
        if word == "--" {
            break;
        }
        let text = word.to_str().unwrap_or_default();
        let (flags, value) = match text.split_once('w') {
            Some((flags, value)) => (flags, Some(value)),
            None => (text, None),
        };
        if flags.get(1..).is_none_or(|flags| flags.chars().any(|flag| flag != 'v')) {
            return Err(format!("unknown option {}", word.to_string_lossy()));
        }
        verbose = true;
        if let Some(value) = value {
            let value = match value {
                "" => words.next().and_then(OsStr::to_str).unwrap_or_default(),
                joined => joined,
            };
            let problem = || format!("\"{value}\" is not a number of seconds, such as 7");
            wait = number(value).ok_or_else(problem)?;
        }
    }
    let word = words.next().and_then(OsStr::to_str).ok_or("no command")?;
    let mut order = order(word).ok_or_else(|| format!("unknown command {word}"))?;
    order.waits |= verbose && order != STATUS;
    let services: Vec<&OsStr> = match call.script() {
        Some(_) if order == STATUS && word != "status" => {
            return Err(format!("unknown command {word}"));
        }
        Some(name) => vec![name],
        None => words.collect(),
    };
    if services.is_empty() {
        return Err("no service".into());
    }
    Ok(Asked { order, wait, services })
}

/// The directory of a service: a bare name is looked for in the services' directory.
fn locate(name: &OsStr) -> PathBuf {
    let bytes = name.as_encoded_bytes();
    if bytes.starts_with(b"/") || bytes.starts_with(b".") || bytes.ends_with(b"/") {
        return PathBuf::from(name);
    }
    let found = || SOURCES.iter().map(PathBuf::from).find(|dir| dir.is_dir());
    let dir = std::env::var_os("SVDIR").map(PathBuf::from).or_else(found);
    dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DIR)).join(name)
}

fn look(dir: &Path) -> std::result::Result<(Peer, Status), Trouble> {
    if let Err(e) = fs::read_dir(dir) {
        return Err(Trouble::Unable("change to service directory", words(&e)));
    }
    let unable = |what| move |error: Error| Trouble::Unable(what, root(&error));
    let Some(peer) = Peer::open(dir).map_err(unable("open supervise/ok"))? else {
        return Err(match fs::metadata(fifo::locate(dir).join("ok")) {
            Err(e) => Trouble::Unable("open supervise/ok", words(&e)),
            Ok(_) => Trouble::Alone,
        });
    };
    let status = peer.status().map_err(unable("read supervise/status"))?;
    Ok((peer, status))
}

/// The system's words, as djb's libraries have them.
fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "file does not exist".into(),
        ErrorKind::PermissionDenied if error.raw_os_error() == Some(13) => "access denied".into(),
        _ => reason(error),
    }
}

fn root(error: &Error) -> String {
    match error.root() {
        Cause::Os { source, .. } => words(source),
        _ => "bad format".into(),
    }
}

/// A line for a service that nothing can be done with, and whether it counts as failed.
fn complaint(name: &str, trouble: &Trouble, letters: &[u8]) -> (String, bool) {
    match trouble {
        Trouble::Alone if letters.starts_with(b"x") => {
            (format!("ok: {name}: runsv not running"), false)
        }
        Trouble::Alone => (format!("fail: {name}: runsv not running"), true),
        Trouble::Unable(what @ "change to service directory", why) => {
            (format!("fail: {name}: unable to {what}: {why}"), true)
        }
        Trouble::Unable(what, why) => (format!("warning: {name}: unable to {what}: {why}"), true),
    }
}

fn print(line: &str) -> Result<()> {
    let written = fd::write_all(STDOUT, format!("{line}\n").as_bytes());
    written.map_err(|e| Error::os("write", "the answer", e))
}

fn status(call: &Call, asked: &Asked) -> Result<u8> {
    let (now, mut failed) = (SystemTime::now(), 0u8);
    let mut script_code = 4;
    for name in &asked.services {
        let dir = locate(name);
        let name = name.to_string_lossy();
        let mut line = match look(&dir) {
            Ok((_, status)) => {
                script_code = if status.pid.is_some() { 0 } else { 3 };
                describe(&name, &dir, &status, now)
            }
            Err(trouble) => {
                let (line, fails) = complaint(&name, &trouble, b"");
                failed = failed.saturating_add(u8::from(fails));
                print(&line)?;
                continue;
            }
        };
        let log = dir.join("log");
        if log.is_dir() {
            line.push_str("; ");
            line.push_str(&match look(&log) {
                Ok((_, status)) => describe("log", &log, &status, now),
                Err(trouble) => {
                    failed = failed.saturating_add(1);
                    complaint(&format!("{name}/log"), &trouble, b"").0
                }
            });
        }
        print(&line)?;
    }
    Ok(if call.script().is_some() { script_code } else { failed.min(99) })
}

/// Tells all services, then waits for them, where that is asked for.
fn control(asked: &Asked) -> Result<u8> {
    let letters = asked.order.letters;
    let watch = Watch::new(Some(asked.wait))?;
    let mut failed = 0u8;
    let mut waiting = Vec::new();
    for name in &asked.services {
        let dir = locate(name);
        let name = name.to_string_lossy().into_owned();
        let told = look(&dir).and_then(|(peer, before)| {
            let told = Told { name: name.clone(), dir, peer, before, letters };
            let unable = |what| move |error: Error| Trouble::Unable(what, root(&error));
            watch.add(&told.peer).map_err(unable("watch supervise"))?;
            // One that was told to stop already is not told again.
            if letters != CHECK && !(letters == b"d" && before.want == b'd' && before.told) {
                told.peer.send(letters).map_err(unable("write to supervise/control"))?;
            }
            Ok(told)
        });
        match told {
            Ok(told) => waiting.push(told),
            Err(trouble) => {
                let (line, fails) = complaint(&name, &trouble, letters);
                failed = failed.saturating_add(u8::from(fails));
                print(&line)?;
            }
        }
    }
    while asked.order.waits && !waiting.is_empty() {
        let mut check_again = None;
        let over = watch.is_over();
        let mut still = Vec::new();
        for told in waiting {
            match told.answer(&watch, &mut check_again) {
                Some((line, fails)) => {
                    failed = failed.saturating_add(u8::from(fails));
                    print(&line)?;
                }
                None if over => {
                    failed = failed.saturating_add(1);
                    told.give_up(asked.order.kills)?;
                }
                None => still.push(told),
            }
        }
        waiting = still;
        if !waiting.is_empty() {
            watch.wait(waiting.iter().map(|told| &told.peer), check_again)?;
        }
    }
    Ok(failed.min(99))
}

impl Told<'_> {
    /// The line that ends the wait, and whether it tells of a failure. Sets the time after which to
    /// ask `check` again, if that is all that is missing.
    fn answer(&self, watch: &Watch, again: &mut Option<Duration>) -> Option<(String, bool)> {
        if !self.peer.is_alive() {
            return Some(complaint(&self.name, &Trouble::Alone, self.letters));
        }
        let status = match self.peer.status() {
            Ok(status) => status,
            Err(error) => {
                let trouble = Trouble::Unable("read supervise/status", root(&error));
                return Some(complaint(&self.name, &trouble, self.letters));
            }
        };
        if !has_taken_effect(self.letters, &self.before, &status) {
            return None;
        }
        if wants_check(self.letters, &status) && !self.check(watch.left()) {
            *again = Some(CHECK_AGAIN);
            return None;
        }
        let line = describe(&self.name, &self.dir, &status, SystemTime::now());
        Some((format!("ok: {line}"), false))
    }

    fn give_up(&self, kills: bool) -> Result<()> {
        if let Ok(status) = self.peer.status() {
            let line = describe(&self.name, &self.dir, &status, SystemTime::now());
            print(&format!("{}: {line}", if kills { "kill" } else { "timeout" }))?;
        }
        if kills { self.peer.send(b"k") } else { Ok(()) }
    }

    /// Whether the service's `check` agrees, within `limit`; one without does.
    fn check(&self, limit: Option<Duration>) -> bool {
        if !self.dir.join("check").exists() {
            return true;
        }
        self.ask_check(limit).unwrap_or_else(|e| {
            let line = format!("warning: unable to run {}/check: {}\n", self.name, words(&e));
            let _ = fd::write_all(STDERR, line.as_bytes());
            true
        })
    }

    fn ask_check(&self, limit: Option<Duration>) -> io::Result<bool> {
        let null = File::options().write(true).open("/dev/null")?;
        let (mut reports, reporter) = io::pipe()?;
        let env = std::env::vars_os().map(|(name, value)| {
            CString::new([name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat())
        });
        let env = Variables::new(env.flatten().collect());
        let mut plan = Plan::new();
        plan.push(Step::Chdir(CString::new(self.dir.as_os_str().as_encoded_bytes())?));
        plan.push(Step::Descriptors(vec![(FdSource::Fd(null.as_fd()), 1)]));
        plan.push(Step::DefaultSignals { set: signal::ALL, mask: 0 });
        plan.push(Step::Exec(Exec::new(vec![c"./check".into()], vec![c"./check".into()], env)));
        let child = child::spawn(&plan, 0, reporter.as_fd(), 0)?;
        drop(reporter);
        if !pidfd::wait_ended(child.pidfd.as_fd(), limit)? {
            pidfd::send_signal(child.pidfd.as_fd(), Signal::KILL)?;
        }
        let exit = pidfd::wait(child.pidfd.as_fd())?;
        let mut frame = [0; Frame::LEN];
        // Nothing is reported of one that was executed.
        if reports.read_exact(&mut frame).is_ok()
            && let FrameKind::Failed { errno, .. } = Frame::decode(&frame).kind
        {
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(exit == Exit::Code(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_or_count_by_their_first_letter() {
        let letters = |word| order(word).map(|order| order.letters);
        assert_eq!(letters("status"), Some(&b""[..]));
        assert_eq!(letters("s"), Some(&b""[..]));
        assert_eq!(letters("start"), Some(&b"u"[..]));
        assert_eq!(letters("up"), Some(&b"u"[..]));
        assert_eq!(letters("term"), Some(&b"t"[..]));
        assert_eq!(letters("try-restart"), Some(&b"tc"[..]));
        assert_eq!(letters("cont"), Some(&b"c"[..]));
        assert_eq!(letters("exit"), Some(&b"x"[..]));
        assert_eq!(order("restart"), Some(waits(b"tcu")));
        assert_eq!(order("force-stop"), Some(forces(b"d")));
        assert_eq!(order("E"), Some(forces(b"x")));
        for unknown in ["", "r", "reboot", "force", "z", "3"] {
            assert_eq!(order(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_was_asked_for_shows_in_the_status() {
        let status = |pid, second, want, told, phase| Status {
            since: UNIX_EPOCH + Duration::from_secs(second),
            pid: Pid::from_raw(pid),
            paused: false,
            want,
            told,
            phase,
            exit: Exit::Code(0),
            ready: None,
            gave_up: false,
        };
        let up = status(7, 1, b'u', false, Phase::Run);
        let stopping = status(7, 1, b'd', true, Phase::Run);
        let finish = status(8, 2, b'd', true, Phase::Finish);
        let down = status(0, 3, b'd', true, Phase::Down);
        let again = status(9, 4, b'u', false, Phase::Run);
        let once = status(9, 4, 0, false, Phase::Run);
        let done = |letters: &str, before, now| has_taken_effect(letters.as_bytes(), before, now);
        assert!(done("u", &up, &up) && !done("u", &up, &finish) && !done("u", &up, &down));
        assert!(!done("d", &up, &stopping) && !done("d", &up, &finish) && done("d", &up, &down));
        let waits = Status { want: b'u', ..down };
        assert!(!done("d", &up, &waits));
        assert!(!done("tcu", &up, &up) && done("tcu", &up, &again) && !done("tcu", &up, &down));
        assert!(done("tc", &down, &down) && !done("tc", &up, &finish));
        assert!(done("o", &down, &once) && !done("o", &down, &down) && !done("o", &down, &again));
        assert!(!done("x", &up, &up) && !done("x", &up, &down) && done("x", &up, &again));
        let paused = Status { paused: true, ..up };
        assert!(!done("p", &up, &up) && done("p", &up, &paused) && !done("c", &up, &paused));
        assert!(done("h", &up, &up) && done("C", &up, &down));
        assert!(wants_check(b"tcu", &again) && !wants_check(b"C", &down));
        assert!(!wants_check(b"h", &up));
    }
}
