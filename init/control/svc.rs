//! svc, svstat and svok, as daemontools has them.

use super::peer::Peer;
use crate::applets::{Call, FAILED, USAGE};
use crate::command::Command;
use crate::face::status::{Phase, Status};
use crate::message::with_hints;
use coracle::error::{Error, OsContext, Result};
use coracle::sys::fd::{self, STDOUT};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// svok: whether the service in this directory is supervised.
pub fn svok(call: &Call) -> u8 {
    let [dir] = call.args.as_slice() else {
        return call.usage("one directory is needed");
    };
    match Peer::open(Path::new(dir)) {
        Ok(Some(_)) => 0,
        Ok(None) => USAGE,
        Err(error) => call.fail(&error),
    }
}

/// svc: sends the commands of all its options to all its directories.
pub fn svc(call: &Call) -> u8 {
    let mut letters = Vec::new();
    let mut dirs = call.args.as_slice();
    while let [word, rest @ ..] = dirs
        && let Some(options) = word.as_encoded_bytes().strip_prefix(b"-")
        && !options.is_empty()
    {
        dirs = rest;
        if options == b"-" {
            break;
        }
        if options.iter().any(|letter| Command::from_letter(*letter).is_none()) {
            return call.usage(&format!("unknown option {}", word.to_string_lossy()));
        }
        letters.extend_from_slice(options);
    }
    if dirs.is_empty() {
        return call.usage("no directory");
    }
    let mut code = 0;
    for dir in dirs {
        if let Err(error) = send(Path::new(dir), &letters) {
            call.fail(&error);
            code = FAILED;
        }
    }
    code
}

fn send(dir: &Path, letters: &[u8]) -> Result<()> {
    fs::metadata(dir).on("open", dir)?;
    let Some(peer) = Peer::open(dir)? else {
        return Err(Error::conflict(format!("{}: not supervised", dir.display())));
    };
    peer.send(letters)
}

/// svstat: a line for each directory, in daemontools' words.
pub fn svstat(call: &Call) -> u8 {
    if call.args.is_empty() {
        return call.usage("no directory");
    }
    let mut text = String::new();
    for dir in &call.args {
        let dir = Path::new(dir);
        let line = line(dir).unwrap_or_else(|error| with_hints(&error));
        text.push_str(&format!("{}: {line}\n", dir.display()));
    }
    match fd::write_all(STDOUT, text.as_bytes()) {
        Ok(()) => 0,
        Err(e) => call.fail(&Error::os("write", "the result", e)),
    }
}

fn line(dir: &Path) -> Result<String> {
    if let Err(e) = fs::metadata(dir) {
        return Err(Error::os("unable to open", "", e));
    }
    let Some(peer) = Peer::open(dir)? else {
        return Ok("supervise not running".into());
    };
    let status = peer.status()?;
    Ok(sentence(&status, dir.join("down").exists(), SystemTime::now()))
}

fn sentence(status: &Status, normally_down: bool, now: SystemTime) -> String {
    let seconds = now.duration_since(status.since).unwrap_or_default().as_secs();
    let mut text = match (status.phase, status.pid) {
        (Phase::Run, Some(pid)) => format!("up (pid {pid}) {seconds} seconds"),
        (Phase::Finish, Some(pid)) => format!("finishing (pid {pid}) {seconds} seconds"),
        _ => format!("down {seconds} seconds"),
    };
    let up = status.pid.is_some();
    let notes = [
        (up && normally_down, ", normally down"),
        (!up && !normally_down, ", normally up"),
        (status.paused, ", paused"),
        (!up && status.want == b'u', ", want up"),
        (up && status.want == b'd', ", want down"),
    ];
    for (holds, note) in notes {
        if holds {
            text.push_str(note);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle::sys::pidfd::Exit;
    use coracle::types::Pid;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn svstat_speaks_as_daemontools_does() {
        let mut status = Status {
            since: UNIX_EPOCH,
            pid: Pid::from_raw(7),
            paused: false,
            want: b'u',
            told: false,
            phase: Phase::Run,
            exit: Exit::Code(0),
            ready: None,
            gave_up: false,
        };
        let now = UNIX_EPOCH + Duration::from_secs(12);
        assert_eq!(sentence(&status, false, now), "up (pid 7) 12 seconds");
        status.paused = true;
        status.want = b'd';
        let text = "up (pid 7) 12 seconds, normally down, paused, want down";
        assert_eq!(sentence(&status, true, now), text);
        status.pid = None;
        status.paused = false;
        status.phase = Phase::Down;
        assert_eq!(sentence(&status, true, now), "down 12 seconds");
        status.want = b'u';
        assert_eq!(sentence(&status, false, now), "down 12 seconds, normally up, want up");
    }
}
