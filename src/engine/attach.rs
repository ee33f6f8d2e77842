//! Being attached to a container through its monitor.

use super::Engine;
use super::notify::Relay;
use super::patience::Patience;
use super::session::{self, End, Forward, Outbox, Output, Peer};
use super::start::Started;
use super::sweep::UNKNOWN_EXIT;
use crate::container::log::{Place, Reader, Stream, open_all};
use crate::container::{Client, Dir, Frame};
use crate::error::{OsContext, Result};
use crate::sys::pidfd;
use crate::sys::signal::SignalFd;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

impl Engine {
    /// Attaches to a container that runs.
    pub fn attach(&self, name: &str, stdin: bool) -> Result<Started> {
        self.begin()?;
        let dir = self.find(name)?;
        self.awake(&dir, name, "attach")?;
        let mut client = Client::connect(&dir.socket()).on("connect to", dir.socket())?;
        let attach = Frame::Attach { stdin, stdout: true, stderr: true };
        client.send(&attach).on("speak to", "the monitor")?;
        self.tell_of(&dir, "attach", &[]);
        Ok(Started { log: open_log(&dir)?, id: dir.id, client, attach: Some(attach), relay: None })
    }

    /// Passes bytes until the container ends or the user detaches.
    pub fn follow(
        &self,
        started: Started,
        standard: session::Standard,
        options: session::Options,
        signals: &SignalFd,
    ) -> Result<End> {
        let Started { id, client, attach, log, relay } = started;
        if let Some(relay) = &relay {
            relay.begin();
        }
        let dir = Dir::new(&self.home, &id);
        let mut peer = Attached {
            engine: self,
            client,
            dir,
            attach,
            log,
            relay,
            start: Place::default(),
            seen: [0; 2],
            lagged: false,
            missed: None,
            ended: None,
        };
        session::run(&mut peer, standard, options, signals)
    }
}

/// The log of a container that may be gone before the last of it was read.
pub(super) fn open_log(dir: &Dir) -> Result<Log> {
    let path = dir.log();
    let open = || File::options().read(true).append(true).create(true).open(&path);
    let file = open().on("open", &path)?;
    let inode = file.metadata().on("stat", &path)?.ino();
    Ok((inode, file))
}

/// The file of the log in which an attachment begins, by its inode.
pub(super) type Log = (u64, File);

/// What there is of the log.
const TO_THE_END: Place = Place { inode: u64::MAX, offset: u64::MAX };

struct Attached<'a> {
    engine: &'a Engine,
    client: Client,
    dir: Dir,
    /// What we asked for.
    attach: Option<Frame>,
    /// Who hears what its program says of itself.
    relay: Option<Relay>,
    /// The log, where in it our attachment begins, and how much of each stream we have had since.
    log: Log,
    start: Place,
    seen: [u64; 2],
    /// We missed some, being too slow or because the monitor died: it is shown from the log once
    /// it is known where that ends.
    lagged: bool,
    missed: Option<Missed>,
    /// The program has ended; this is told after the last of `missed`.
    ended: Option<i32>,
}

/// What is being shown from the log.
struct Missed {
    reader: Reader,
    /// How much of each stream was seen already.
    seen: [u64; 2],
}

impl Attached<'_> {
    /// Passes on what is queued. A monitor that is gone shows when we read.
    fn send(&mut self, frame: &Frame) {
        self.client.queue(frame);
        let _ = self.client.flush();
    }

    /// Output comes from the log's offset `start` on.
    fn attached(&mut self, start: Place) -> Result<()> {
        self.catch_up(start)?;
        self.start = start;
        if start.inode != 0 && start.inode != self.log.0 {
            // Held open, it is there when it is needed.
            let parts = open_all(&self.dir.log()).unwrap_or_default();
            let part = parts.into_iter().find(|(inode, _)| *inode == start.inode);
            self.log = part.unwrap_or(open_log(&self.dir)?);
        }
        self.seen = [0; 2];
        Ok(())
    }

    fn ended(&mut self, code: i32, log: Place) -> Result<()> {
        self.ended = Some(code);
        self.catch_up(log)
    }

    /// What was missed lies in the log from where we stopped up to `end`.
    fn catch_up(&mut self, end: Place) -> Result<()> {
        if std::mem::take(&mut self.lagged) {
            let file = self.log.1.try_clone().on("dup", "the log")?;
            let first = (self.log.0, file);
            let reader = Reader::of_range(&self.dir.log(), first, self.start..end)?;
            self.missed = Some(Missed { reader, seen: self.seen });
        }
        Ok(())
    }

    /// Shows a piece of what was missed.
    fn show_missed(&mut self, out: &mut Outbox) -> Result<()> {
        let (Some(missed), Some(Frame::Attach { stdout, stderr, .. })) =
            (&mut self.missed, &self.attach)
        else {
            self.missed = None;
            return Ok(());
        };
        let Missed { reader, seen } = missed;
        let more = reader.read_block(&mut |piece| {
            let (output, wanted, seen) = match piece.stream {
                Stream::Stdout => (Output::Stdout, *stdout, &mut seen[0]),
                Stream::Stderr => (Output::Stderr, *stderr, &mut seen[1]),
            };
            let skip = usize::try_from(*seen).unwrap_or(usize::MAX).min(piece.bytes.len());
            *seen -= skip as u64;
            if wanted {
                out.push(output, &piece.bytes[skip..]);
            }
            Ok(())
        })?;
        if !more {
            self.missed = None;
        }
        Ok(())
    }

    /// The monitor is gone: finds the next one, which the sweep makes, or the end.
    fn reconnect(&mut self) -> Result<()> {
        self.lagged = true;
        let mut patience = Patience::new(&self.dir);
        loop {
            self.engine.begin()?;
            match self.dir.state() {
                Ok(state) if state.status.is_up() => {}
                Ok(state) => return self.ended(state.exit_code, TO_THE_END),
                // It ended, and with --rm is gone already; nobody saw how.
                Err(error) if error.is_not_found() => return self.ended(UNKNOWN_EXIT, TO_THE_END),
                Err(error) => return Err(error),
            }
            if let Ok(client) = Client::connect(&self.dir.socket()) {
                self.client = client;
                if let Some(attach) = self.attach.clone() {
                    self.send(&attach);
                }
                return Ok(());
            }
            patience.wait()?;
        }
    }

    fn handle(&mut self, frame: Frame, out: &mut Outbox) -> Result<()> {
        match frame {
            Frame::Stdout(data) => {
                self.seen[0] += data.len() as u64;
                out.push(Output::Stdout, &data);
            }
            Frame::Stderr(data) => {
                self.seen[1] += data.len() as u64;
                out.push(Output::Stderr, &data);
            }
            Frame::Attached { log } => self.attached(log)?,
            Frame::Lagged => self.lagged = true,
            Frame::Notify(text) => self.relay.iter().for_each(|relay| relay.tell(&text)),
            Frame::Exited { code, log, .. } => self.ended(code, log)?,
            _ => {}
        }
        Ok(())
    }
}

impl Peer for Attached<'_> {
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.client.as_fd()]
    }
    fn has_pending(&self) -> bool {
        self.missed.is_some() || self.ended.is_some() || self.client.has_frame()
    }
    /// One thing at a time, so that input gets its turn.
    fn receive(&mut self, out: &mut Outbox) -> Result<Option<i32>> {
        if self.missed.is_some() {
            self.show_missed(out)?;
        } else if self.ended.is_some() {
            return Ok(self.ended);
        } else if self.client.has_frame() {
            if let Some(frame) = self.client.buffered().on("hear from", "the monitor")? {
                self.handle(frame, out)?;
            }
        } else if self.client.fill().on("hear from", "the monitor")? == 0 {
            self.reconnect()?;
        }
        Ok(None)
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
        let (rows, columns) = (rows.to_string(), columns.to_string());
        self.engine.tell_of(&self.dir, "resize", &[("height", &rows), ("width", &columns)]);
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
}
