//! What one service writes to one of its descriptors: read, cut into lines, framed, given to an
//! outlet.

use super::Channel;
use super::batch::Batch;
use super::frame::Frame;
use super::lines::{LIMIT, Splitter};
use super::outlet::Outlet;
use super::recent::Recent;
use super::router::Key;
use crate::service::{LineFormat, Stamp};
use coracle::sys::fd;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

/// A read of a stream that has little to say.
pub const SMALL: usize = 16 * 1024;
/// A read of one that filled a small one: all that a pipe holds.
const LARGE: usize = 64 * 1024;
/// What the pipe of a stream that filled a large one holds from then on.
pub const PIPE: i32 = 256 * 1024;
/// As much is formatted before it is written.
const BATCH: usize = 64 * 1024;
/// Reads, or datagrams, before others have their turn.
pub const TURN: usize = 16;

/// How the lines of a stream look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    Container(LineFormat),
    File(Stamp),
}

/// What a service writes to one of its descriptors.
#[derive(Debug)]
pub struct Stream {
    pub reader: PipeReader,
    /// Held, so that the pipe survives restarts; `None` once the service does not come back.
    pub writer: Option<PipeWriter>,
    pub name: String,
    channel: Channel,
    pub style: Style,
    pub outlet: u32,
    splitter: Splitter,
    /// Was read, and not passed on: a line that has begun, or what the outlet did not take.
    pub rest: Vec<u8>,
    /// It is the latter.
    held: bool,
    /// Where the pipe is empty, what has begun is a whole line: its writer has ended.
    pub cut: bool,
    /// How much is read at once.
    most: usize,
    /// The last of it, for those streams of which that is kept.
    pub recent: Option<Box<Recent>>,
}

enum Fill<'a> {
    Data(&'a [u8]),
    Nothing,
    End,
}

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Nothing is left to read.
    Idle,
    /// There may be more.
    More,
    /// The outlet takes no more.
    Waits,
    /// Nobody will write any more.
    Over,
}

/// Shared by all streams. Large ones are given back when their turn is over.
#[derive(Debug, Default)]
pub struct Buffers {
    pub input: Vec<u8>,
    pub output: Batch,
}

impl Buffers {
    pub fn give_back(self) -> Buffers {
        // A small read behind the longest line that can have begun.
        let most = SMALL.saturating_add(LIMIT);
        let Buffers { input, output } = self;
        Buffers {
            input: if input.capacity() > most { Vec::new() } else { input },
            output: if output.capacity() > most { Batch::default() } else { output },
        }
    }
}

impl Stream {
    pub fn new(
        (reader, writer): (PipeReader, PipeWriter),
        (name, channel): (&str, Channel),
        style: Style,
        outlet: u32,
    ) -> Stream {
        Stream {
            reader,
            writer: Some(writer),
            name: name.to_string(),
            channel,
            style,
            outlet,
            splitter: Splitter::default(),
            rest: Vec::new(),
            held: false,
            cut: false,
            most: SMALL,
            recent: None,
        }
    }

    fn frame(&self, now: Duration, width: usize) -> Frame {
        match self.style {
            Style::Container(LineFormat::Plain) => Frame::stamped(Stamp::None, now),
            Style::Container(LineFormat::Prefix) => Frame::prefix(&self.name, width),
            Style::Container(LineFormat::Json) => Frame::json(&self.name, self.channel, now),
            Style::File(stamp) => Frame::stamped(stamp, now),
        }
    }

    /// Reads on behind `rest` into `input`; what is in there then.
    fn fill<'a>(&mut self, input: &'a mut Vec<u8>) -> Fill<'a> {
        let before = self.rest.len();
        let wanted = if self.held { before } else { before.saturating_add(self.most) };
        if input.len() < wanted {
            input.resize(wanted, 0);
        }
        let Some((head, tail)) = input.split_at_mut_checked(before) else { return Fill::Nothing };
        head.copy_from_slice(&self.rest);
        let mut count = 0;
        if !self.held {
            let Some(space) = tail.get_mut(..self.most) else { return Fill::Nothing };
            count = loop {
                match self.reader.read(space) {
                    Ok(0) => return Fill::End,
                    Ok(count) => break count,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Fill::Nothing,
                    Err(_) => return Fill::End,
                }
            };
            if let Some(recent) = &mut self.recent {
                recent.push(space.get(..count).unwrap_or_default());
            }
            self.adapt(count);
        }
        self.rest.clear();
        input.get(..before.saturating_add(count)).map_or(Fill::Nothing, Fill::Data)
    }

    /// A stream that fills what it is given gets more.
    fn adapt(&mut self, count: usize) {
        if count == SMALL && self.most == SMALL {
            self.most = LARGE;
        } else if count == LARGE && self.most == LARGE {
            self.most = PIPE as usize;
            // Refused where the user has much in pipes already: then it stays as it is.
            let _ = fd::grow_pipe(self.reader.as_fd(), PIPE);
        }
    }

    /// Keeps what was not passed on, in as much memory as it takes.
    fn keep(&mut self, rest: &[u8], held: bool) {
        self.held = held;
        self.rest = rest.to_vec();
    }

    pub fn turn(&mut self, key: Key, to: &mut Outlet, width: usize, buffers: &mut Buffers) -> Turn {
        for _ in 0..TURN {
            if !to.is_free() {
                return Turn::Waits;
            }
            match self.fill(&mut buffers.input) {
                Fill::Data(data) => {
                    let frame = self.frame(now(), width);
                    self.deliver(key, data, &frame, to, &mut buffers.output);
                }
                Fill::Nothing if !self.cut => return Turn::Idle,
                end => {
                    let turn = if matches!(end, Fill::End) { Turn::Over } else { Turn::Idle };
                    self.cut = false;
                    self.finish_line(key, width, to, &mut buffers.output);
                    return turn;
                }
            }
        }
        Turn::More
    }

    /// Passes on the pieces of `data`, and keeps the rest.
    fn deliver(
        &mut self,
        key: Key,
        data: &[u8],
        frame: &Frame,
        to: &mut Outlet,
        output: &mut Batch,
    ) {
        let mut rest = data;
        loop {
            output.clear();
            let mut begins = begin(key, frame, to, output);
            let mut last_ends = true;
            let used = self.splitter.split(rest, |mut piece| {
                piece.starts |= begins;
                begins = false;
                last_ends = piece.ends;
                frame.add(output, piece);
                if output.len() < BATCH {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if used == 0 {
                return self.keep(rest, false);
            }
            to.open = (frame.flows() && !last_ends).then_some(key);
            to.give(output.bytes());
            rest = rest.get(used..).unwrap_or_default();
            if !to.is_free() {
                return self.keep(rest, true);
            }
        }
    }

    /// What has begun is a line.
    fn finish_line(&mut self, key: Key, width: usize, to: &mut Outlet, output: &mut Batch) {
        let rest = std::mem::take(&mut self.rest);
        if let Some(mut piece) = self.splitter.finish(&rest) {
            let frame = self.frame(now(), width);
            output.clear();
            piece.starts |= begin(key, &frame, to, output);
            frame.add(output, piece);
            to.open = None;
            to.give(output.bytes());
        }
    }
}

/// Ends the long line of somebody else, if one is open; whether a line of `key` that goes on has to
/// begin anew, as that was done to it.
pub fn begin(key: Key, frame: &Frame, to: &mut Outlet, output: &mut Batch) -> bool {
    if to.open == Some(key) {
        return false;
    }
    if to.open.take().is_some() {
        output.put(b"\n");
    }
    frame.flows()
}

/// Since 1970.
pub fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
