//! One client of a monitor: its frames in, its frames out, neither ever blocking the monitor.

use super::frame::{Frame, MAX_LEN, VERSION};
use super::log::{Place, Stream};
use mio::net::UnixStream;
use std::io::{self, Read, Write};

/// What waits to be sent to a client before it counts as too slow.
const MAX_WAITING: usize = 1 << 20;

#[derive(Debug)]
pub struct Conn {
    pub stream: UnixStream,
    incoming: Vec<u8>,
    /// The socket may hold more than was read.
    pub more: bool,
    outgoing: Vec<u8>,
    pub attached: Attached,
    /// It reads the container's files, which are to stand still until it is done.
    pub holds: bool,
    /// Too slow: output is kept from it until it has caught up with what was sent.
    lagging: bool,
    /// It asked for no more, went away, or spoke nonsense.
    pub closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Attached {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Conn {
    pub fn new(stream: UnixStream) -> Conn {
        let mut conn = Conn {
            stream,
            incoming: Vec::new(),
            more: false,
            outgoing: Vec::new(),
            attached: Attached::default(),
            holds: false,
            lagging: false,
            closed: false,
        };
        conn.send(&Frame::Hello { version: VERSION, features: 0 });
        conn
    }

    /// Reads what has come, up to a bound: what we cannot pass on stays with its sender.
    pub fn fill(&mut self) {
        self.more = false;
        let mut bytes = [0; 16384];
        loop {
            if self.incoming.len() > MAX_LEN {
                self.more = true;
                return;
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => self.closed = true,
                Ok(n) => {
                    self.incoming.extend(&bytes[..n]);
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
            return;
        }
    }

    /// The next frame that has come whole.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            match Frame::decode(&mut self.incoming) {
                Ok(Some(Ok(frame))) => return Some(frame),
                Ok(Some(Err(kind))) => self.send(&Frame::Unknown { kind }),
                Ok(None) => return None,
                Err(_) => {
                    self.closed = true;
                    return None;
                }
            }
        }
    }

    /// Queues a frame and sends what the socket takes.
    pub fn send(&mut self, frame: &Frame) {
        frame.encode(&mut self.outgoing);
        self.flush();
    }

    /// Passes on what the container wrote, if this client wants it and keeps up.
    pub fn output(&mut self, stream: Stream, frame: &Frame) {
        let wanted = match stream {
            Stream::Stdout => self.attached.stdout,
            Stream::Stderr => self.attached.stderr,
        };
        if !wanted || self.closed || self.lagging {
            return;
        }
        if self.is_behind() {
            self.lagging = true;
            return self.send(&Frame::Lagged);
        }
        self.send(frame);
    }

    /// So much waits for it that more must wait, or be left out.
    pub fn is_behind(&self) -> bool {
        self.outgoing.len() > MAX_WAITING
    }

    /// Attaches, or goes on after a lag: output from here on is in the log from `log` on.
    pub fn attach(&mut self, attached: Attached, log: Place) {
        self.attached = attached;
        self.lagging = false;
        self.send(&Frame::Attached { log });
    }

    /// Attaches, but is not sent anything yet.
    pub fn attach_later(&mut self, attached: Attached) {
        self.attached = attached;
        self.lagging = true;
    }

    /// It was too slow, and has taken all now.
    pub fn has_caught_up(&self) -> bool {
        self.lagging && self.outgoing.is_empty()
    }

    pub fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.outgoing.len() && !self.closed {
            match self.stream.write(&self.outgoing[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.closed = true,
            }
        }
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() && self.outgoing.capacity() > 1 << 16 {
            self.outgoing = Vec::new();
        }
    }

    /// Gone, and with nothing left to say.
    pub fn is_over(&self) -> bool {
        self.closed && (self.incoming.is_empty() || !self.attached.stdin)
    }

    /// Has something to send, and somebody to send it to.
    pub fn is_waiting(&self) -> bool {
        !self.closed && !self.outgoing.is_empty()
    }
}
