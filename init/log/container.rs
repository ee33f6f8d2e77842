//! Writing to cox's own stdout and stderr, which others share, without ever waiting for whoever
//! reads them.
//!
//! Their flags are everybody's, so they are never made non-blocking: a pipe or terminal is opened
//! once more; where that is refused (another user's), it is polled, and then takes PIPE_BUF bytes.
//! Pipes get whole lines of at most PIPE_BUF bytes at a time, which nobody else's come between
//! (pipe(7)).

use super::outlet::{Then, Written, is_full};
use crate::message::say;
use coracle::sys::fd::{self, PIPE_BUF};
use coracle::sys::fs::{self, FileType};
use coracle::sys::process::is_writable;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub struct Container {
    fd: OwnedFd,
    kind: Kind,
    name: &'static str,
    /// It was said that nobody reads this any more.
    told_gone: bool,
    /// It was said that writing fails.
    told_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Socket,
    /// Our own description.
    Reopened,
    /// A pipe or terminal that could not be opened.
    Shared,
    /// A file, or whatever else takes all.
    File,
}

impl Container {
    pub fn new(fd: OwnedFd, name: &'static str) -> Container {
        let file_type = fs::fstat(fd.as_fd()).map(|stat| stat.file_type);
        let (fd, kind) = match file_type {
            Ok(FileType::Socket) => (fd, Kind::Socket),
            Ok(FileType::Fifo | FileType::CharDevice) => match fd::reopen_nonblocking(fd.as_fd()) {
                Ok(own) => (own, Kind::Reopened),
                Err(_) => (fd, Kind::Shared),
            },
            _ => (fd, Kind::File),
        };
        Container { fd, kind, name, told_gone: false, told_failed: false }
    }

    pub fn write(&mut self, data: &[u8]) -> Written {
        let mut rest = data;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Written::part(data, rest, Then::Writable);
                }
                Err(e) if is_full(&e) => {
                    if !self.told_failed {
                        say(&format!("{}: {e}; the services' lines wait", self.name));
                        self.told_failed = true;
                    }
                    return Written::part(data, rest, Then::Later);
                }
                Err(e) => {
                    if !self.told_gone {
                        say(&format!("{}: {e}; the services' lines are lost", self.name));
                        self.told_gone = true;
                    }
                    return Written::all(data);
                }
            }
        }
        if self.told_failed {
            say(&format!("{}: takes lines again", self.name));
            self.told_failed = false;
        }
        Written::all(data)
    }

    fn write_some(&self, data: &[u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Socket => fd::try_send(self.fd.as_fd(), data),
            Kind::Reopened => fd::write(self.fd.as_fd(), chunk(data)),
            Kind::Shared if !is_writable(self.fd.as_fd()) => Err(ErrorKind::WouldBlock.into()),
            Kind::Shared => fd::write(self.fd.as_fd(), chunk(data)),
            Kind::File => fd::write(self.fd.as_fd(), data),
        }
    }
}

impl AsFd for Container {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The whole lines at the start of `data` that go into a pipe at once, or as much of a longer one.
fn chunk(data: &[u8]) -> &[u8] {
    let Some(head) = data.get(..PIPE_BUF) else { return data };
    let end = memchr::memrchr(b'\n', head).map_or(PIPE_BUF, |at| at.saturating_add(1));
    head.get(..end).unwrap_or(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_chunk_is_whole_lines() {
        let line = [vec![b'x'; 1499], vec![b'\n']].concat();
        assert_eq!(chunk(&line.repeat(5)).len(), 3000);
        assert_eq!(chunk(&line).len(), 1500);
        assert_eq!(chunk(&vec![b'x'; 10_000]).len(), PIPE_BUF);
    }

    /// Fills what nobody reads, then reads it empty: each byte arrives once, in order.
    fn fills_and_goes_on(mut to: Container, mut reader: impl Read + AsRawFd) {
        let line = [vec![b'x'; 99], vec![b'\n']].concat();
        let data = line.repeat(10_000);
        let first = to.write(&data);
        assert_eq!(first.then, Then::Writable);
        assert_eq!(first.bytes % line.len(), 0, "a line was cut");
        let (mut got, mut sent): (Vec<u8>, usize) = (Vec::new(), first.bytes);
        let mut buffer = vec![0; 10_000];
        while got.len() < data.len() {
            let count = reader.read(&mut buffer).unwrap();
            got.extend(&buffer[..count]);
            sent += to.write(&data[sent..]).bytes;
        }
        assert!(got == data);
    }

    #[test]
    fn a_slow_reader_of_a_pipe_is_not_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        let shared = writer.try_clone().unwrap();
        let to = Container::new(writer.into(), "stdout");
        assert_eq!(to.kind, Kind::Reopened);
        fills_and_goes_on(to, reader);
        drop(shared);
    }

    #[test]
    fn a_pipe_that_cannot_be_reopened_is_polled() {
        let (reader, writer) = io::pipe().unwrap();
        let to = Container {
            fd: writer.into(),
            kind: Kind::Shared,
            name: "stdout",
            told_gone: false,
            told_failed: false,
        };
        fills_and_goes_on(to, reader);
    }

    #[test]
    fn nobody_reading_is_no_reason_to_stop() {
        let (reader, writer) = io::pipe().unwrap();
        let mut to = Container::new(writer.into(), "stdout");
        drop(reader);
        assert_eq!(to.write(b"hello\n"), Written { bytes: 6, then: Then::More });
    }
}
