//! Being attached to a container through its monitor.

use super::Engine;
use super::session::{self, End, Output, Peer};
use super::start::Started;
use super::stop::COMING_OR_GOING;
use crate::container::log::{Reader, Stream};
use crate::container::{Client, Dir, Frame};
use crate::error::{OsContext, Result};
use crate::sys::pidfd;
use crate::sys::signal::SignalFd;
use crate::types::Signal;
use std::fs::File;
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
        Ok(Started { log: open_log(&dir)?, id: dir.id, client, attach: Some(attach) })
    }

    /// Passes bytes until the container ends or the user detaches.
    pub fn follow(
        &self,
        started: Started,
        standard: session::Standard,
        options: session::Options,
        signals: &SignalFd,
    ) -> Result<End> {
        let Started { id, client, attach, log } = started;
        let dir = Dir::new(&self.home, &id);
        let mut peer = Attached { engine: self, client, dir, attach, log, start: 0, seen: [0; 2] };
        session::run(&mut peer, standard, options, signals)
    }
}

/// The log of a container that may be gone before the last of it was read.
pub(super) fn open_log(dir: &Dir) -> Result<File> {
    let path = dir.log();
    File::options().read(true).append(true).create(true).open(&path).on("open", &path)
}

struct Attached<'a> {
    engine: &'a Engine,
    client: Client,
    dir: Dir,
    /// What we asked for.
    attach: Option<Frame>,
    /// The log, where in it our attachment begins, and how much of each stream we have had since.
    log: File,
    start: u64,
    seen: [u64; 2],
}

type Sink<'a> = dyn FnMut(Output, &[u8]) -> Result<()> + 'a;

impl Attached<'_> {
    fn send(&mut self, frame: &Frame) -> Result<()> {
        // A monitor that is gone shows when we read.
        let _ = self.client.send(frame);
        Ok(())
    }

    fn attached(&mut self, start: u64) {
        self.start = start;
        self.seen = [0; 2];
    }

    /// We missed some, being too slow or because the monitor died: attaches anew, and shows what
    /// lies between from the log. The exit code where there is nothing to attach to any more.
    fn catch_up(&mut self, sink: &mut Sink) -> Result<Option<i32>> {
        let (end, code) = loop {
            if let Some(attach) = self.attach.clone() {
                self.send(&attach)?;
            }
            match self.next_attachment()? {
                Some(answer) => break answer,
                None => match self.reconnect()? {
                    Some(code) => break (u64::MAX, Some(code)),
                    None => continue,
                },
            }
        };
        self.show_missed(end, sink)?;
        if code.is_none() {
            self.attached(end);
        }
        Ok(code)
    }

    /// Where the new attachment begins, or that the container ended; `None` where the monitor is
    /// gone.
    fn next_attachment(&mut self) -> Result<Option<(u64, Option<i32>)>> {
        while let Ok(Some(frame)) = self.client.receive() {
            match frame {
                Frame::Attached { log } => return Ok(Some((log, None))),
                // It ended meanwhile: the log is complete.
                Frame::Exited { code, .. } => return Ok(Some((u64::MAX, Some(code)))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Finds the next monitor, which the sweep makes; the exit code where the container is down.
    fn reconnect(&mut self) -> Result<Option<i32>> {
        loop {
            self.engine.begin()?;
            let state = self.dir.state()?;
            if !state.status.is_up() {
                return Ok(Some(state.exit_code));
            }
            if let Ok(client) = Client::connect(&self.dir.socket()) {
                self.client = client;
                return Ok(None);
            }
            std::thread::sleep(COMING_OR_GOING);
        }
    }

    /// Shows what the log has from where we stopped up to `end`.
    fn show_missed(&mut self, end: u64, sink: &mut Sink) -> Result<()> {
        let file = self.log.try_clone().on("dup", "the log")?;
        let Some(Frame::Attach { stdout, stderr, .. }) = self.attach else { return Ok(()) };
        let mut seen = self.seen;
        Reader::of_range(file, self.start..end)?.read(&mut |piece| {
            let (output, wanted, seen) = match piece.stream {
                Stream::Stdout => (Output::Stdout, stdout, &mut seen[0]),
                Stream::Stderr => (Output::Stderr, stderr, &mut seen[1]),
            };
            let skip = usize::try_from(*seen).unwrap_or(usize::MAX).min(piece.bytes.len());
            *seen -= skip as u64;
            if wanted { sink(output, &piece.bytes[skip..]) } else { Ok(()) }
        })?;
        Ok(())
    }
}

impl Peer for Attached<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
    fn has_pending(&self) -> bool {
        self.client.has_frame()
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
        let pending = self.client.has_frame();
        let gone = !pending && self.client.fill().on("hear from", "the monitor")? == 0;
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
                Frame::Attached { log } => self.attached(log),
                Frame::Exited { code, .. } => return Ok(Some(code)),
                Frame::Lagged => {
                    if let Some(code) = self.catch_up(sink)? {
                        return Ok(Some(code));
                    }
                }
                _ => {}
            }
        }
        if gone { self.catch_up(sink) } else { Ok(None) }
    }
}
