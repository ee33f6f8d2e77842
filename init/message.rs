//! What cox says: whole lines on stderr, never waiting for whoever reads them.
//!
//! Descriptor 2 is shared with every service, so it is not made non-blocking; it is polled, and a
//! line that does not go through at once is dropped and counted. A pipe that polls as writable
//! takes PIPE_BUF bytes, so longer lines are cut there.

use coracle::error::Error;
use coracle::sys::fd::{self, PIPE_BUF, STDERR};
use coracle::sys::process;
use std::sync::atomic::{AtomicU32, Ordering};

static DROPPED: AtomicU32 = AtomicU32::new(0);

/// Says `text` in a line that begins with "cox: ".
pub fn say(text: &str) {
    if !process::is_writable(STDERR) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        write(&format!("{dropped} messages were dropped, nobody read them"));
    }
    write(text);
}

fn write(text: &str) {
    let mut line = format!("cox: {}\n", text.replace('\n', " ")).into_bytes();
    if line.len() > PIPE_BUF {
        line.truncate(PIPE_BUF);
        if let Some(last) = line.last_mut() {
            *last = b'\n';
        }
    }
    // Nobody is left to be told that stderr is closed.
    let _ = fd::write_all(STDERR, &line);
}

/// Says an error and its hints on one line.
pub fn say_error(error: &Error) {
    say(&with_hints(error));
}

pub fn with_hints(error: &Error) -> String {
    let mut text = error.to_string();
    for hint in error.hints() {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}
