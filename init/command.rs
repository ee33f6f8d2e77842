//! What one can ask of a service; every face ends here.

use crate::machine::{Event, Want};
use coracle::types::Signal;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    Up,
    Down,
    Once,
    Pause,
    Continue,
    Signal(Signal),
    /// Stop it and forget it.
    Exit,
}

impl Command {
    /// By its letter in supervise/control and on the command line of `svc` (daemontools' svc and
    /// runit's runsv agree on those they share).
    pub fn from_letter(letter: u8) -> Option<Command> {
        Some(match letter {
            b'u' => Command::Up,
            b'd' => Command::Down,
            b'o' => Command::Once,
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
            b'x' => Command::Exit,
            _ => return None,
        })
    }

    pub fn event(self) -> Event {
        match self {
            Command::Up => Event::Want(Want::Up),
            Command::Down => Event::Want(Want::Down),
            Command::Once => Event::Want(Want::Once),
            Command::Pause => Event::Pause,
            Command::Continue => Event::Continue,
            Command::Signal(signal) => Event::Signal(signal),
            Command::Exit => Event::Forget,
        }
    }
}
