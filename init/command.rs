//! What one can ask of a service; every face ends here.

use crate::machine::{Event, Want};
use coracle::types::Signal;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    Up,
    Down,
    Once,
    /// Not started again when it ends; one that is down stays down.
    AtMostOnce,
    /// As `Up`, `Down`, `AtMostOnce`, for the next supervisor too: the file `down` goes or comes.
    KeepUp,
    KeepDown,
    KeepAtMostOnce,
    /// Stopped by its own signal, and started again.
    Restart,
    Pause,
    Continue,
    Signal(Signal),
    /// Stop it and forget it.
    Exit,
}

impl Command {
    /// By its letter in supervise/control and on the command line of `svc` (daemontools' svc,
    /// runit's runsv and s6-svc agree on those they share).
    pub fn from_letter(letter: u8) -> Option<Command> {
        Some(match letter {
            b'u' => Command::Up,
            b'd' => Command::Down,
            b'o' => Command::Once,
            b'O' => Command::AtMostOnce,
            b'U' => Command::KeepUp,
            b'D' => Command::KeepDown,
            b'Q' => Command::KeepAtMostOnce,
            b'r' => Command::Restart,
            b'p' => Command::Pause,
            b'c' => Command::Continue,
            b'h' => Command::Signal(Signal::HUP),
            b'a' => Command::Signal(Signal::ALRM),
            b'i' => Command::Signal(Signal::INT),
            b'q' => Command::Signal(Signal::QUIT),
            b'1' => Command::Signal(Signal::USR1),
            b'2' => Command::Signal(Signal::USR2),
            b't' => Command::Signal(Signal::TERM),
            b'k' => Command::Signal(Signal::KILL),
            b'b' => Command::Signal(Signal::ABRT),
            b'y' => Command::Signal(Signal::WINCH),
            b'x' => Command::Exit,
            _ => return None,
        })
    }

    pub fn event(self) -> Event {
        match self {
            Command::Up | Command::KeepUp => Event::Want(Want::Up),
            Command::Down | Command::KeepDown => Event::Want(Want::Down),
            Command::AtMostOnce | Command::KeepAtMostOnce => Event::AtMostOnce,
            Command::Restart => Event::Restart,
            Command::Once => Event::Want(Want::Once),
            Command::Pause => Event::Pause,
            Command::Continue => Event::Continue,
            Command::Signal(signal) => Event::Signal(signal),
            Command::Exit => Event::Forget,
        }
    }

    /// What is asked for, after "asked to".
    pub fn wish(self) -> &'static str {
        match self {
            Command::Up | Command::KeepUp => "start it",
            Command::Down | Command::KeepDown => "stop it",
            Command::Once => "start it once",
            Command::AtMostOnce | Command::KeepAtMostOnce => "not start it again",
            Command::Restart => "restart it",
            Command::Pause => "pause it",
            Command::Continue => "continue it",
            Command::Signal(_) => "signal it",
            Command::Exit => "forget it",
        }
    }

    /// Whether the directory's file `down` is to be there from now on; `None`: as it is.
    pub fn down_file(self) -> Option<bool> {
        match self {
            Command::KeepUp => Some(false),
            Command::KeepDown | Command::KeepAtMostOnce => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;
    use crate::machine::{Machine, Moment, State};
    use crate::service::{Exec, Service};
    use std::time::Instant;

    /// The letters that mean something: those of docs/cox.md and of svc(8), sv(8) and s6-svc.
    const LETTERS: &[u8] = b"udoOUDQrpchaiq12tkbyx";

    #[test]
    fn of_the_corpus_the_known_letters_alone_do_something() {
        let service = Service::new("x", Exec::new(vec![c"x".into()]));
        fuzz("fifo", &[], 2_000, |bytes| {
            let mut machine = Machine::new();
            for letter in bytes {
                let command = Command::from_letter(*letter);
                assert_eq!(command.is_some(), LETTERS.contains(letter), "{letter}");
                let Some(command) = command else { continue };
                let at = Moment { now: Instant::now(), jitter: 1, clear: true };
                machine.step(&service, machine.run, command.event(), at);
                // Nobody answers here, so no run ever is there to end.
                assert!(machine.pid.is_none() && machine.state != State::Stopping);
            }
            Ok(())
        });
    }
}
