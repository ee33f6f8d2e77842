//! Speaking to a monitor, from the other side of its socket.

use super::frame::{Frame, VERSION};
use crate::sys::{fd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One connection. `send` and `receive` block; who must not, uses `queue` and `flush`, `fill` and
/// `buffered`.
#[derive(Debug)]
pub struct Client {
    stream: OwnedFd,
    buffer: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Client {
    /// Takes one end of a connected pair and greets.
    pub fn new(stream: OwnedFd) -> io::Result<Client> {
        let mut client = Client { stream, buffer: Vec::new(), outgoing: Vec::new() };
        client.send(&Frame::Hello { version: VERSION, features: 0 })?;
        Ok(client)
    }

    pub fn connect(socket: &Path) -> io::Result<Client> {
        let (_dir, socket) = fd::short_path(socket)?;
        Client::new(UnixStream::connect(socket)?.into())
    }

    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.queue(frame);
        loop {
            self.flush()?;
            if !self.is_waiting() {
                return Ok(());
            }
            poll::writable(self.as_fd())?;
        }
    }

    /// To be sent by `flush`, after what was queued before.
    pub fn queue(&mut self, frame: &Frame) {
        frame.encode(&mut self.outgoing);
    }

    /// Sends of what is queued as much as the monitor takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            match self.outgoing.get(sent..) {
                None | Some([]) => break Ok(()),
                Some(rest) => match fd::try_send(self.stream.as_fd(), rest) {
                    Ok(n) => sent += n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                    Err(e) => break Err(e),
                },
            }
        };
        match result {
            Ok(()) => drop(self.outgoing.drain(..sent)),
            // A monitor that is gone takes nothing any more.
            Err(_) => self.outgoing.clear(),
        }
        result
    }

    /// Whether something is queued.
    pub fn is_waiting(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The next frame; `None` where the monitor is gone. Frames that this release does not know
    /// are passed over.
    pub fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether a frame has arrived whole already.
    pub fn has_frame(&self) -> bool {
        Frame::is_whole(&self.buffer)
    }

    /// A frame that has arrived whole already.
    pub fn buffered(&mut self) -> io::Result<Option<Frame>> {
        while let Some(frame) = Frame::decode(&mut self.buffer)? {
            if let Ok(frame) = frame {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Reads once what has come; 0 where the monitor is gone.
    pub fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 65536];
        loop {
            match fd::read(self.stream.as_fd(), &mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                Err(e) => return Err(e),
                Ok(n) => {
                    self.buffer.extend(&bytes[..n]);
                    return Ok(n);
                }
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
