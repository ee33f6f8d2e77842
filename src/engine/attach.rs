//! Being attached to a container through its monitor.

use super::Engine;
use super::session::{self, End, Output, Peer};
use super::start::Started;
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
        let mut peer = Attached { client: started.client, dir };
        session::run(&mut peer, standard, options, signals)
    }
}

struct Attached {
    client: Client,
    dir: Dir,
}

impl Attached {
    fn send(&mut self, frame: &Frame) -> Result<()> {
        // A monitor that is gone shows when we read.
        let _ = self.client.send(frame);
        Ok(())
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
                Frame::Stdout(data) => sink(Output::Stdout, &data)?,
                Frame::Stderr(data) => sink(Output::Stderr, &data)?,
                Frame::Exited { code } => return Ok(Some(code)),
                Frame::Lagged => {
                    return Err(Error::Conflict("output came faster than it was read".into())
                        .hint("the log has all of it: coracle logs -f"));
                }
                _ => {}
            }
        }
        if gone { self.end_without_monitor() } else { Ok(None) }
    }
}
