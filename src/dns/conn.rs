//! A TCP connection that carries DNS messages, each behind its length (RFC 1035 4.2.2): from a
//! client, or to a server. It never waits, and holds one message of the other side's at most.

use mio::net::TcpStream;
use std::io::{self, Read, Write};

/// What waits to be taken before no more is read.
const WAITING_MAX: usize = 128 << 10;

pub struct Conn {
    stream: TcpStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// The other side sends no more.
    ended: bool,
    /// It takes no more either.
    broken: bool,
}

impl Conn {
    pub fn new(stream: TcpStream) -> Conn {
        Conn { stream, incoming: Vec::new(), outgoing: Vec::new(), ended: false, broken: false }
    }

    /// The next message that has come whole. `None` where none has, or where the other side has to
    /// take what it was sent first; it is asked for again once there is something to read or the
    /// socket takes more.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.outgoing.len() > WAITING_MAX {
                return None;
            }
            if let [high, low, rest @ ..] = &self.incoming[..]
                && let Some(message) = rest.get(..u16::from_be_bytes([*high, *low]).into())
            {
                let message = message.to_vec();
                self.incoming.drain(..message.len() + 2);
                if self.incoming.is_empty() {
                    self.incoming = Vec::new();
                }
                return Some(message);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.incoming.extend(&bytes[..count]);
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if is_later(&e) => {}
                Err(_) => self.broken = true,
            }
            return None;
        }
    }

    /// Sends a message, or keeps what the socket does not take yet.
    pub fn send(&mut self, message: &[u8]) {
        let Ok(length) = u16::try_from(message.len()) else { return };
        self.outgoing.extend(length.to_be_bytes());
        self.outgoing.extend(message);
        self.flush();
    }

    pub fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.outgoing.len() && !self.broken {
            match self.stream.write(&self.outgoing[sent..]) {
                Ok(count) => sent += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_later(&e) => break,
                Err(_) => self.broken = true,
            }
        }
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }

    /// Nothing more will come of it, unless it still `waits` for an answer of ours.
    pub fn is_over(&self, waits: bool) -> bool {
        self.broken || (self.ended && !waits && self.outgoing.is_empty())
    }
}

/// It does not go on now, or is not connected yet.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
