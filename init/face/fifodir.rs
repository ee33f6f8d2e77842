//! `event/`: s6's way of being told (its fifodir page). Whoever wants to know makes a FIFO there,
//! and the supervisor writes a letter into each for what happens:
//!
//! s a supervisor has begun; u up, U ready; d down, D down and its `finish` done; O it stays down for
//! good; x the supervisor is done with it.
//!
//! So Debian's s6-svwait, `s6-svc -wu` and s6-ftrig-wait work on our trees. They make the directory
//! themselves, where there is none.

use super::status::{Phase, Status};
use coracle::sys::fifo;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Writes `letters` to each listener. FIFOs that nobody reads any more are removed; of one that is
/// full the letters are lost, as waiting for its reader is not for us.
pub fn tell(dir: &Path, letters: &[u8]) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let is_fifo = entry.file_type().is_ok_and(|kind| kind.is_fifo());
        if !is_fifo || !is_listener(entry.file_name().as_encoded_bytes()) {
            continue;
        }
        let dead = match fifo::open_for_writing(&entry.path()) {
            Ok(Some(file)) => {
                matches!((&file).write(letters), Err(e) if e.kind() == ErrorKind::BrokenPipe)
            }
            Ok(None) => true,
            Err(_) => false,
        };
        if dead {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// `ftrig1:`, a TAI64N label (`@` and 24 digits), `:`, and six characters at random.
fn is_listener(name: &[u8]) -> bool {
    name.starts_with(b"ftrig1:@") && name.len() == 39
}

/// What has happened between two states.
pub fn letters(old: &Status, new: &Status) -> Vec<u8> {
    let ended = old.phase == Phase::Run && (new.phase, new.since) != (old.phase, old.since);
    let finished = (ended || old.phase == Phase::Finish) && new.phase != Phase::Finish;
    let began = new.phase == Phase::Run && (ended || old.phase != Phase::Run);
    let ready = new.phase == Phase::Run && new.ready.is_some() && (began || old.ready.is_none());
    let gave_up = new.gave_up && !old.gave_up;
    let letters = [(ended, b'd'), (gave_up, b'O'), (finished, b'D'), (began, b'u'), (ready, b'U')];
    letters.iter().filter(|(happened, _)| *happened).map(|(_, letter)| *letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle::sys::pidfd::Exit;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn letters_tell_what_happened_even_where_states_were_skipped() {
        let status = |phase, second, ready: bool| Status {
            since: UNIX_EPOCH + Duration::from_secs(second),
            pid: None,
            paused: false,
            want: b'u',
            told: false,
            phase,
            exit: Exit::Code(0),
            ready: ready.then_some(UNIX_EPOCH),
            gave_up: false,
        };
        let down = status(Phase::Down, 1, true);
        let run = status(Phase::Run, 2, false);
        let ready = status(Phase::Run, 2, true);
        let finish = status(Phase::Finish, 3, false);
        let again = status(Phase::Run, 4, false);
        let told = |old, new| String::from_utf8(letters(old, new)).unwrap();
        assert_eq!(told(&down, &run), "u");
        assert_eq!(told(&run, &ready), "U");
        assert_eq!(told(&run, &run), "");
        assert_eq!(told(&down, &ready), "uU");
        assert_eq!(told(&ready, &finish), "d");
        assert_eq!(told(&finish, &down), "D");
        assert_eq!(told(&finish, &again), "Du");
        assert_eq!(told(&run, &down), "dD");
        assert_eq!(told(&ready, &again), "dDu");
        assert_eq!(told(&down, &down), "");
        let gave_up = Status { gave_up: true, ..down };
        assert_eq!(told(&finish, &gave_up), "OD");
        assert_eq!(told(&gave_up, &gave_up), "");
    }

    #[test]
    fn only_fifos_with_a_listeners_name_are_written_to_and_dead_ones_go() {
        let dir = std::env::temp_dir().join(format!("cox-fifodir-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let name = |end: &str| dir.join(format!("ftrig1:@{}:{end}", "4".repeat(24)));
        for end in ["living", "dead00"] {
            fifo::make(&name(end), 0o600).unwrap();
        }
        fs::write(name("nofifo"), "text").unwrap();
        let mut living = fifo::open_for_reading(&name("living")).unwrap();
        tell(&dir, b"dD");
        let mut got = [0; 8];
        let count = std::io::Read::read(&mut living, &mut got).unwrap();
        assert_eq!(&got[..count], b"dD");
        assert!(name("living").exists() && !name("dead00").exists());
        assert_eq!(fs::read(name("nofifo")).unwrap(), b"text");
        fs::remove_dir_all(&dir).unwrap();
    }
}
