//! Streams and outlets: who is read, who waits, in which turn.
//!
//! A stream is read when its pipe becomes readable and its outlet is free: up to `TURN` times, then
//! others have their turn. If the outlet takes no more, what was read stays with the stream, which
//! then queues for the outlet; when that is free again, everybody in the queue has a turn.

use super::Channel;
use super::batch::Batch;
use super::container::Container;
use super::dev_log::DevLog;
use super::file::FileLog;
use super::frame::Frame;
use super::lines::{Piece, Splitter};
use super::outlet::{Outlet, Sink, Target, Then};
use super::syslog::{self, Record};
use crate::event_loop::{EventLoop, Source, Timer};
use crate::message::say;
use crate::policy::after;
use crate::service::{LineFormat, LogTo, Stamp};
use coracle::error::{OsContext, Result};
use coracle::sys::fd;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A read of a stream that has little to say.
const SMALL: usize = 16 * 1024;
/// A read of one that filled a small one: all that a pipe holds.
const LARGE: usize = 64 * 1024;
/// What the pipe of a stream that filled a large one holds from then on.
const PIPE: i32 = 256 * 1024;
/// As much is formatted before it is written.
const BATCH: usize = 64 * 1024;
/// Reads, or datagrams, before others have their turn.
const TURN: usize = 16;
/// Until a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Whoever has lines to write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    Service(u32, Channel),
    Syslog,
}

/// How the lines of a stream look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    Container(LineFormat),
    File(Stamp),
}

/// What a service writes to one of its descriptors.
#[derive(Debug)]
struct Stream {
    reader: PipeReader,
    /// Held, so that the pipe survives restarts; `None` once the service does not come back.
    writer: Option<PipeWriter>,
    name: String,
    channel: Channel,
    style: Style,
    outlet: u32,
    splitter: Splitter,
    /// Was read, and not passed on: a line that has begun, or what the outlet did not take.
    rest: Vec<u8>,
    /// It is the latter.
    held: bool,
    /// Where the pipe is empty, what has begun is a whole line: its writer has ended.
    cut: bool,
    /// How much is read at once.
    most: usize,
}

impl Stream {
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

    /// Keeps what was not passed on.
    fn keep(&mut self, rest: &[u8], held: bool) {
        self.held = held;
        if rest.is_empty() {
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(rest);
        }
    }
}

enum Fill<'a> {
    Data(&'a [u8]),
    Nothing,
    End,
}

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
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
struct Buffers {
    input: Vec<u8>,
    output: Batch,
}

impl Buffers {
    fn give_back(self) -> Buffers {
        let Buffers { input, output } = self;
        Buffers {
            input: if input.capacity() > SMALL { Vec::new() } else { input },
            output: if output.capacity() > SMALL { Batch::default() } else { output },
        }
    }
}

#[derive(Debug, Default)]
pub struct Router {
    streams: BTreeMap<Key, Stream>,
    outlets: BTreeMap<u32, Outlet>,
    next_outlet: u32,
    syslog: Option<Syslog>,
    /// When the outlets that failed are tried again.
    retry_at: Option<Instant>,
    buffers: Buffers,
    /// To which the names are aligned.
    width: usize,
}

#[derive(Debug)]
struct Syslog {
    socket: DevLog,
    style: Style,
    outlet: u32,
    /// A datagram that the outlet had no room for is not received; nothing is kept here.
    over: bool,
}

impl Router {
    /// Prepares the descriptors of service `id`, which is about to be started.
    pub fn prepare(
        &mut self,
        id: u32,
        name: &str,
        to: [(Channel, &LogTo); 2],
        events: &mut EventLoop,
    ) -> Result<()> {
        for (channel, to) in to {
            let key = Key::Service(id, channel);
            match to {
                LogTo::Container(format) => {
                    let style = Style::Container(*format);
                    let outlet = self.outlet(Target::Container(channel), None)?;
                    self.connect(key, name, channel, style, outlet, events)?;
                }
                LogTo::File(file) => {
                    let outlet = self.outlet(Target::File(file.path.clone()), Some(to))?;
                    self.connect(key, name, channel, Style::File(file.stamp), outlet, events)?;
                }
                // A change of mind: what is in the pipe is still passed on.
                LogTo::Null | LogTo::Inherit | LogTo::Stdout => self.close(key, events),
            }
        }
        Ok(())
    }

    /// What service `id` gets as this descriptor, if its lines are routed.
    pub fn writer(&self, id: u32, channel: Channel) -> Option<BorrowedFd<'_>> {
        let stream = self.streams.get(&Key::Service(id, channel))?;
        stream.writer.as_ref().map(AsFd::as_fd)
    }

    /// Receives what syslog(3) sends, where nobody else does; whether that is so now.
    pub fn open_dev_log(&mut self, path: &Path, to: &LogTo, events: &EventLoop) -> Result<bool> {
        let (target, style) = match to {
            LogTo::File(file) => (Target::File(file.path.clone()), Style::File(file.stamp)),
            LogTo::Container(format) => {
                (Target::Container(Channel::Out), Style::Container(*format))
            }
            _ => (Target::Container(Channel::Out), Style::Container(LineFormat::Plain)),
        };
        let Some(socket) = DevLog::open(path)? else { return Ok(false) };
        events.watch(socket.as_fd(), Source::Syslog).on("watch", path)?;
        let outlet = self.outlet(target, Some(to))?;
        self.syslog = Some(Syslog { socket, style, outlet, over: false });
        Ok(true)
    }

    /// The outlet there, opened if it is not yet.
    fn outlet(&mut self, target: Target, to: Option<&LogTo>) -> Result<u32> {
        let known = self.outlets.iter_mut().find(|(_, outlet)| outlet.is(&target));
        if let Some((id, outlet)) = known {
            if let (Sink::File(file), Some(LogTo::File(settings))) = (&mut outlet.sink, to) {
                file.set(settings);
            }
            return Ok(*id);
        }
        let sink = match (&target, to) {
            (Target::File(_), Some(LogTo::File(settings))) => {
                Sink::File(Box::new(FileLog::new(settings.as_ref().clone())))
            }
            (Target::Container(Channel::Err), _) => {
                let fd = io::stderr().as_fd().try_clone_to_owned().on("copy", "stderr")?;
                Sink::Container(Channel::Err, Container::new(fd, Channel::Err.name()))
            }
            _ => {
                let fd = io::stdout().as_fd().try_clone_to_owned().on("copy", "stdout")?;
                Sink::Container(Channel::Out, Container::new(fd, Channel::Out.name()))
            }
        };
        Ok(self.add_outlet(sink))
    }

    fn add_outlet(&mut self, sink: Sink) -> u32 {
        self.next_outlet = self.next_outlet.wrapping_add(1);
        self.outlets.insert(self.next_outlet, Outlet::new(sink));
        self.next_outlet
    }

    /// Leads a stream to an outlet, with a new pipe if it has none.
    fn connect(
        &mut self,
        key: Key,
        name: &str,
        channel: Channel,
        style: Style,
        outlet: u32,
        events: &mut EventLoop,
    ) -> Result<()> {
        if let Some(stream) = self.streams.get_mut(&key) {
            if stream.outlet != outlet {
                if let Some(old) = self.outlets.get_mut(&stream.outlet) {
                    old.queue.retain(|waiting| *waiting != key);
                }
                stream.outlet = outlet;
            }
            stream.style = style;
            if stream.writer.is_none() {
                let writer = fd::reopen_nonblocking(stream.reader.as_fd());
                let writer = PipeWriter::from(writer.on("open", "a log pipe")?);
                fd::set_nonblocking(writer.as_fd(), false).on("set up", "a log pipe")?;
                stream.writer = Some(writer);
            }
        } else {
            let (reader, writer) = io::pipe().on("make", "a log pipe")?;
            fd::set_nonblocking(reader.as_fd(), true).on("set up", "a log pipe")?;
            if let Key::Service(id, channel) = key {
                events
                    .watch(reader.as_fd(), Source::Output(id, channel))
                    .on("watch", "a log pipe")?;
            }
            let stream = Stream {
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
            };
            self.streams.insert(key, stream);
        }
        let prefixed = |stream: &&Stream| stream.style == Style::Container(LineFormat::Prefix);
        let lengths = self.streams.values().filter(prefixed).map(|s| s.name.chars().count());
        self.width = lengths.max().unwrap_or(0);
        self.forget_outlets();
        Ok(())
    }

    /// A pipe is readable, an outlet writable, or a timer due.
    pub fn readable(&mut self, id: u32, channel: Channel, events: &mut EventLoop) {
        self.pump(Key::Service(id, channel), events);
    }

    pub fn syslog_readable(&mut self, events: &mut EventLoop) {
        self.pump(Key::Syslog, events);
    }

    pub fn writable(&mut self, channel: Channel, events: &mut EventLoop) {
        let target = Target::Container(channel);
        let ids: Vec<u32> = self.ids(|outlet| outlet.is(&target));
        ids.into_iter().for_each(|id| self.retry(id, events));
    }

    pub fn retry_due(&mut self, events: &mut EventLoop) {
        self.retry_at = None;
        let ids = self.ids(|outlet| outlet.then() == Then::Later);
        ids.into_iter().for_each(|id| self.retry(id, events));
    }

    /// A run of service `id` has ended: what it wrote last is a line, newline or not.
    pub fn ended(&mut self, id: u32, events: &mut EventLoop) {
        for channel in Channel::BOTH {
            let key = Key::Service(id, channel);
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.cut = true;
                self.pump(key, events);
            }
        }
    }

    /// Service `id` does not come back; what it wrote is still passed on.
    pub fn remove(&mut self, id: u32, events: &mut EventLoop) {
        Channel::BOTH.into_iter().for_each(|channel| self.close(Key::Service(id, channel), events));
    }

    /// Nobody is started any more: each stream is read to its end.
    pub fn finish(&mut self, events: &mut EventLoop) {
        let keys: Vec<Key> = self.streams.keys().copied().collect();
        keys.into_iter().for_each(|key| self.close(key, events));
        if let Some(syslog) = &mut self.syslog {
            syslog.over = true;
        }
        self.pump(Key::Syslog, events);
    }

    /// Whether there is anything to be finished.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
            && self.syslog.is_none()
            && self.outlets.values().all(Outlet::is_free)
    }

    /// The end, though some may not have been written: says how much.
    pub fn abandon(&mut self) {
        let mut lost: usize = 0;
        let mut buffer = vec![0; SMALL];
        for stream in self.streams.values_mut() {
            lost = lost.saturating_add(stream.rest.len());
            // A pipe holds no more than this, or somebody still writes.
            for _ in 0..(PIPE as usize / SMALL) {
                let Ok(count @ 1..) = stream.reader.read(&mut buffer) else { break };
                lost = lost.saturating_add(count);
            }
        }
        let pending = self.outlets.values().map(Outlet::pending);
        lost = pending.fold(lost, usize::saturating_add);
        if lost > 0 {
            say(&format!("{lost} bytes of the services' output could not be written"));
        }
        self.streams.clear();
        self.syslog = None;
    }

    /// Somebody has renamed the log files.
    pub fn reopen(&mut self) {
        for outlet in self.outlets.values_mut() {
            if let Sink::File(file) = &mut outlet.sink {
                file.reopen();
            }
        }
    }

    fn ids(&self, wanted: impl Fn(&Outlet) -> bool) -> Vec<u32> {
        let found = self.outlets.iter().filter(|(_, outlet)| wanted(outlet));
        found.map(|(id, _)| *id).collect()
    }

    fn close(&mut self, key: Key, events: &mut EventLoop) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.writer = None;
            self.pump(key, events);
        }
    }

    /// Gives an outlet what it did not take, and then everybody in its queue a turn.
    fn retry(&mut self, id: u32, events: &mut EventLoop) {
        let Some(outlet) = self.outlets.get_mut(&id) else { return };
        if !outlet.is_free() {
            outlet.flush();
            self.attend(id, events);
        }
        let waiting = self.outlets.get(&id).map_or(0, |outlet| outlet.queue.len());
        for _ in 0..waiting {
            let Some(outlet) = self.outlets.get_mut(&id).filter(|outlet| outlet.is_free()) else {
                break;
            };
            if let Some(key) = outlet.queue.pop_front() {
                self.pump(key, events);
            }
        }
        self.forget_outlets();
    }

    /// One turn of a stream.
    fn pump(&mut self, key: Key, events: &mut EventLoop) {
        let mut buffers = std::mem::take(&mut self.buffers);
        let (turn, outlet) = match (key, self.streams.get_mut(&key), &self.syslog) {
            (Key::Syslog, _, Some(syslog)) => {
                let id = syslog.outlet;
                let outlet = self.outlets.get_mut(&id);
                (outlet.map_or(Turn::Over, |to| syslog.turn(to, &mut buffers)), id)
            }
            (Key::Service(..), Some(stream), _) => {
                let id = stream.outlet;
                let outlet = self.outlets.get_mut(&id);
                let width = self.width;
                (outlet.map_or(Turn::Over, |to| stream.turn(key, to, width, &mut buffers)), id)
            }
            _ => return self.buffers = buffers.give_back(),
        };
        self.buffers = buffers.give_back();
        self.attend(outlet, events);
        match turn {
            Turn::Idle => {}
            Turn::More => self.again(key, events),
            Turn::Waits => {
                if let Some(outlet) = self.outlets.get_mut(&outlet)
                    && !outlet.queue.contains(&key)
                {
                    outlet.queue.push_back(key);
                }
            }
            Turn::Over => {
                if let Some(stream) = self.streams.remove(&key) {
                    events.unwatch(stream.reader.as_fd());
                }
                if key == Key::Syslog
                    && let Some(syslog) = self.syslog.take()
                {
                    events.unwatch(syslog.socket.as_fd());
                }
                self.forget_outlets();
            }
        }
    }

    /// Has the event loop tell once more that there is something to read.
    fn again(&self, key: Key, events: &EventLoop) {
        match (key, self.streams.get(&key), &self.syslog) {
            (Key::Service(id, channel), Some(stream), _) => {
                events.again(stream.reader.as_fd(), Source::Output(id, channel));
            }
            (Key::Syslog, _, Some(syslog)) => events.again(syslog.socket.as_fd(), Source::Syslog),
            _ => {}
        }
    }

    /// Has the event loop tell when a busy outlet may take more, and only then.
    fn attend(&mut self, id: u32, events: &mut EventLoop) {
        let Some(outlet) = self.outlets.get_mut(&id) else { return };
        let mut later = outlet.then() == Then::Later;
        if let Sink::Container(channel, container) = &outlet.sink {
            let writable = outlet.then() == Then::Writable;
            if writable && !outlet.watched {
                let source = Source::Container(*channel);
                outlet.watched = events.watch_writable(container.as_fd(), source).is_ok();
                later |= !outlet.watched;
            } else if !writable && outlet.watched {
                events.unwatch(container.as_fd());
                outlet.watched = false;
            }
        }
        if later && self.retry_at.is_none() {
            self.retry_at = Some(after(Instant::now(), RETRY));
            events.arm(Timer::Output, None, self.retry_at);
        }
    }

    /// Closes the files that nobody writes to any more.
    fn forget_outlets(&mut self) {
        let streams = self.streams.values().map(|stream| stream.outlet);
        let used: Vec<u32> = streams.chain(self.syslog.iter().map(|s| s.outlet)).collect();
        self.outlets.retain(|id, outlet| {
            let file = matches!(outlet.sink, Sink::File(_));
            !(file && outlet.is_free()) || used.contains(id)
        });
    }
}

impl Stream {
    fn turn(&mut self, key: Key, to: &mut Outlet, width: usize, buffers: &mut Buffers) -> Turn {
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

impl Syslog {
    fn turn(&self, to: &mut Outlet, buffers: &mut Buffers) -> Turn {
        buffers.input.resize(syslog::LONGEST.max(buffers.input.len()), 0);
        for _ in 0..TURN {
            if !to.is_free() {
                return Turn::Waits;
            }
            let count = match self.socket.receive(&mut buffers.input) {
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) if self.over => return Turn::Over,
                Err(_) => return Turn::Idle,
            };
            let record = syslog::parse(buffers.input.get(..count).unwrap_or_default());
            buffers.output.clear();
            self.format(&record, to, &mut buffers.output);
            to.give(buffers.output.bytes());
        }
        Turn::More
    }

    fn format(&self, record: &Record, to: &mut Outlet, output: &mut Batch) {
        let frame = match self.style {
            Style::Container(LineFormat::Plain) => Frame::syslog(record, Stamp::None, now()),
            Style::Container(LineFormat::Prefix) => Frame::prefix(record.tag_or_default(), 0),
            Style::Container(LineFormat::Json) => Frame::syslog_json(record, now()),
            Style::File(stamp) => Frame::syslog(record, stamp, now()),
        };
        begin(Key::Syslog, &frame, to, output);
        to.open = None;
        if matches!(frame, Frame::Json(_)) {
            return frame.add(output, Piece::line(record.text));
        }
        let lines = record.text.split(|byte| *byte == b'\n');
        lines.for_each(|line| frame.add(output, Piece::line(line)));
    }
}

/// Ends the long line of somebody else, if one is open; whether a line of `key` that goes on has to
/// begin anew, as that was done to it.
fn begin(key: Key, frame: &Frame, to: &mut Outlet, output: &mut Batch) -> bool {
    if to.open == Some(key) {
        return false;
    }
    if to.open.take().is_some() {
        output.put(b"\n");
    }
    frame.flows()
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
