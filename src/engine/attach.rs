//! Being attached to a container through its monitor.

use super::Engine;
use super::session::{self, End, Forward, Output, Peer, Sink};
use super::start::Started;
use super::stop::COMING_OR_GOING;
use crate::container::log::{Reader, Stream};
use crate::container::{Client, Dir, Frame};
use crate::error::{OsContext, Result};
use crate::sys::pidfd;
use crate::sys::signal::SignalFd;
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
        let (start, seen, lagged) = (0, [0; 2], false);
        let mut peer = Attached { engine: self, client, dir, attach, log, start, seen, lagged };
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
    /// We missed some, being too slow or because the monitor died: what lies between is shown
    /// from the log once it is known where the new attachment begins.
    lagged: bool,
}

impl Attached<'_> {
    /// Passes on what is queued. A monitor that is gone shows when we read.
    fn send(&mut self, frame: &Frame) {
        self.client.queue(frame);
        let _ = self.client.flush();
    }

    /// Output comes from the log's offset `start` on.
    fn attached(&mut self, start: u64, sink: &mut Sink) -> Result<()> {
        if std::mem::take(&mut self.lagged) {
            self.show_missed(start, sink)?;
        }
        self.start = start;
        self.seen = [0; 2];
        Ok(())
    }

    fn ended(&mut self, code: i32, sink: &mut Sink) -> Result<Option<i32>> {
        if self.lagged {
            // The log is complete.
            self.show_missed(u64::MAX, sink)?;
        }
        Ok(Some(code))
    }

    /// The monitor is gone: finds the next one, which the sweep makes; the exit code where the
    /// container is down.
    fn reconnect(&mut self, sink: &mut Sink) -> Result<Option<i32>> {
        self.lagged = true;
        loop {
            self.engine.begin()?;
            let state = self.dir.state()?;
            if !state.status.is_up() {
                return self.ended(state.exit_code, sink);
            }
            if let Ok(client) = Client::connect(&self.dir.socket()) {
                self.client = client;
                if let Some(attach) = self.attach.clone() {
                    self.send(&attach);
                }
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
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.client.as_fd()]
    }
    fn has_pending(&self) -> bool {
        self.client.has_frame()
    }
    fn input(&mut self, data: &[u8]) -> Result<()> {
        self.send(&Frame::Stdin(data.to_vec()));
        Ok(())
    }
    fn input_ended(&mut self) -> Result<()> {
        self.send(&Frame::StdinClose);
        Ok(())
    }
    fn blocked(&self) -> Option<BorrowedFd<'_>> {
        self.client.is_waiting().then(|| self.client.as_fd())
    }
    fn flush(&mut self) -> Result<()> {
        // A monitor that is gone shows when we read.
        let _ = self.client.flush();
        Ok(())
    }
    fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.send(&Frame::Resize { rows, columns });
        Ok(())
    }
    fn forward(&self) -> Result<Forward> {
        let dir = self.dir.clone();
        Ok(Box::new(move |signal| {
            let process = dir.state().ok().and_then(|state| state.process?.open());
            if let Some(process) = process {
                // A process that is gone needs none.
                let _ = pidfd::send_signal(process.as_fd(), signal);
            }
        }))
    }
    fn receive(&mut self, sink: &mut Sink) -> Result<Option<i32>> {
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
                Frame::Attached { log } => self.attached(log, sink)?,
                Frame::Lagged => self.lagged = true,
                Frame::Exited { code, .. } => return self.ended(code, sink),
                _ => {}
            }
        }
        if gone { self.reconnect(sink) } else { Ok(None) }
    }
}
