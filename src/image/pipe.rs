//! A bounded pipe between two threads: one reads, decompresses and hashes (`Sender::pump`), the
//! other takes what comes as a stream (`Receiver`).
//!
//! A fixed number of buffers goes round: full ones one way, empty ones back. Whichever end goes
//! first ends the other: a sender that is gone is the end of the stream, and one whose receiver
//! is gone stops.

use super::compression::BUFFER;
use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::mpsc::{self, SyncSender};

/// How many buffers there are: what one thread may be ahead of the other.
const DEPTH: usize = 8;

pub struct Sender {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: mpsc::Receiver<Vec<u8>>,
}

pub struct Receiver {
    full: mpsc::Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
}

pub fn pipe() -> (Sender, Receiver) {
    let (full_in, full_out) = mpsc::sync_channel(DEPTH + 1);
    let (empty_in, empty_out) = mpsc::sync_channel(DEPTH + 1);
    for _ in 0..DEPTH {
        // There is room.
        let _ = empty_in.send(Vec::new());
    }
    let receiver = Receiver { full: full_out, empty: empty_in, buffer: Vec::new(), at: 0 };
    (Sender { full: full_in, empty: empty_out }, receiver)
}

impl Sender {
    /// Sends `input` to its end, or to its error, which is sent as well. `seen` gets to see what
    /// was sent.
    pub fn pump(self, input: &mut dyn Read, mut seen: impl FnMut(&[u8])) {
        while let Ok(mut buffer) = self.empty.recv() {
            buffer.resize(BUFFER, 0);
            let (length, ended) = fill(input, &mut buffer);
            buffer.truncate(length);
            seen(&buffer);
            if self.full.send(Ok(buffer)).is_err() {
                return;
            }
            match ended {
                Ok(false) => {}
                Ok(true) => return,
                Err(e) => {
                    let _ = self.full.send(Err(e));
                    return;
                }
            }
        }
    }
}

/// Reads until the buffer is full. Gives how far it came, and whether the input ended.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> (usize, io::Result<bool>) {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => return (length, Ok(true)),
            Ok(n) => length += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return (length, Err(e)),
        }
    }
    (length, Ok(false))
}

impl BufRead for Receiver {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at >= self.buffer.len() {
            let Ok(next) = self.full.recv() else {
                return Ok(&[]);
            };
            self.at = 0;
            // A sender that is done needs no buffers.
            let _ = self.empty.send(std::mem::replace(&mut self.buffer, next?));
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.at += n;
    }
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn all_comes_through_and_then_the_end() {
        let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7) as u8).collect();
        let (sender, mut receiver) = pipe();
        let mut got = Vec::new();
        let mut seen = 0;
        thread::scope(|scope| {
            scope.spawn(|| sender.pump(&mut &data[..], |bytes| seen += bytes.len()));
            receiver.read_to_end(&mut got).unwrap();
        });
        assert!(got == data);
        assert_eq!(seen, data.len());
        assert_eq!(receiver.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn an_error_comes_behind_what_was_read_before_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let (sender, mut receiver) = pipe();
        sender.pump(&mut b"before".chain(Broken), |_| ());
        let mut got = Vec::new();
        assert_eq!(receiver.read_to_end(&mut got).unwrap_err().to_string(), "broken");
        assert_eq!(got, b"before");
    }

    #[test]
    fn a_sender_stops_once_nobody_receives() {
        let (sender, receiver) = pipe();
        thread::scope(|scope| {
            let pump = scope.spawn(|| sender.pump(&mut io::repeat(1), |_| ()));
            let mut receiver = receiver;
            assert_eq!(receiver.fill_buf().unwrap()[0], 1);
            drop(receiver);
            pump.join().unwrap();
        });
    }
}
