//! Being attached to a container through its monitor.

use super::Engine;
use super::session::{self, End, Output, Peer};
use super::start::Started;
use crate::container::log::{Reader, Stream};
use crate::container::{Client, Dir, Frame, Status};
use crate::error::{Error, OsContext, Result};
use crate::sys::pidfd;
use crate::types::Signal;
use std::os::fd::{AsFd, BorrowedFd};

impl Engine {
    /// Attaches to a container that runs.
    pub fn attach(&self, name: &str, stdin: bool) -> Result<Started> {
        self.begin()?;
        let dir = self.find(name)?;
        self.process(&dir, name)?;
        let mut client = Client::connect(&dir.socket()).on("connect to", dir.socket())?;
        let attach = Frame::Attach { stdin, stdout: true, stderr: true };
        client.send(&attach).on("speak to", "the monitor")?;
        Ok(Started { id: dir.id, client })
    }

    /// Passes bytes until the container ends or the user detaches.
    pub fn follow(
        &self,
        started: Started,
        standard: session::Standard,
        options: session::Options,
        signals: &crate::sys::signal::SignalFd,
    ) -> Result<End> {
        let dir = Dir::new(&self.home, &started.id);
        let mut peer =
            Attached { client: started.client, dir, stdin: options.stdin, log: 0, seen: [0; 2] };
        session::run(&mut peer, standard, options, signals)
    }
}

struct Attached {
    client: Client,
    dir: Dir,
    stdin: bool,
    /// Where in the log our attachment begins, and how much of each stream we have had since.
    log: u64,
    seen: [u64; 2],
}

impl Attached {
    fn send(&mut self, frame: &Frame) -> Result<()> {
        // A monitor that is gone shows when we read.
        let _ = self.client.send(frame);
        Ok(())
    }

    /// We were too slow, and missed some: attaches anew, and shows what lies between from the log.
    fn catch_up(
        &mut self,
        sink: &mut dyn FnMut(Output, &[u8]) -> Result<()>,
    ) -> Result<Option<i32>> {
        self.send(&Frame::Attach { stdin: self.stdin, stdout: true, stderr: true })?;
        let (end, code) = loop {
            match self.client.receive().on("hear from", "the monitor")? {
                Some(Frame::Attached { log }) => break (log, None),
                // It ended meanwhile: the log is complete.
                Some(Frame::Exited { code, .. }) => break (u64::MAX, Some(code)),
                Some(_) => {}
                None => break (u64::MAX, self.end_without_monitor()?),
            }
        };
        let mut seen = self.seen;
        Reader::open_range(&self.dir.log(), self.log..end)?.read(&mut |piece| {
            let (output, seen) = match piece.stream {
                Stream::Stdout => (Output::Stdout, &mut seen[0]),
                Stream::Stderr => (Output::Stderr, &mut seen[1]),
            };
            let skip = usize::try_from(*seen).unwrap_or(usize::MAX).min(piece.bytes.len());
            *seen -= skip as u64;
            sink(output, &piece.bytes[skip..])
        })?;
        self.log = end;
        self.seen = [0; 2];
        Ok(code)
    }

    /// What the records say once the monitor is gone without a word.
    fn end_without_monitor(&self) -> Result<Option<i32>> {
        match self.dir.state() {
            Ok(state) if state.status == Status::Exited => Ok(Some(state.exit_code)),
            Ok(_) => Err(Error::Conflict("the container's monitor died".into())
                .hint("the container runs on; attach again")),
            Err(error) => Err(error),
        }
    }
}

impl Peer for Attached {
    fn fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
    fn input(&mut self, data: &[u8]) -> Result<()> {
        self.send(&Frame::Stdin(data.to_vec()))
    }
    fn input_ended(&mut self) -> Result<()> {
        self.send(&Frame::StdinClose)
    }
    fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.send(&Frame::Resize { rows, columns })
    }
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(process) = self.dir.state()?.process.and_then(|process| process.open()) {
            // A process that is gone needs none.
            let _ = pidfd::send_signal(process.as_fd(), signal);
        }
        Ok(())
    }
    fn receive(
        &mut self,
        sink: &mut dyn FnMut(Output, &[u8]) -> Result<()>,
    ) -> Result<Option<i32>> {
        let gone = self.client.fill().on("hear from", "the monitor")? == 0;
        while let Some(frame) = self.client.buffered().on("hear from", "the monitor")? {
            match frame {
                Frame::Stdout(data) => {
                    self.seen[0] += data.len() as u64;
                    sink(Output::Stdout, &data)?;
                }
                Frame::Stderr(data) => {
                    self.seen[1] += data.len() as u64;
                    sink(Output::Stderr, &data)?;
                }
                Frame::Attached { log } => self.log = log,
                Frame::Exited { code, .. } => return Ok(Some(code)),
                Frame::Lagged => {
                    if let Some(code) = self.catch_up(sink)? {
                        return Ok(Some(code));
                    }
                }
                _ => {}
            }
        }
        if gone { self.end_without_monitor() } else { Ok(None) }
    }
}
