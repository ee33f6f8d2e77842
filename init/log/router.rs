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
use super::lines::Piece;
use super::outlet::{Outlet, Outlets, Sink, Target, Then};
use super::recent::Recent;
use super::stream::{Buffers, PIPE, SMALL, Stream, Style, TURN, Turn, begin, now};
use super::syslog::{self, Record};
use crate::event_loop::{EventLoop, Source, Timer};
use crate::message::say;
use crate::policy::after;
use crate::service::{LineFormat, LogTo, Stamp};
use crate::sorted::Map;
use crate::spare;
use coracle::error::{OsContext, Result};
use coracle::sys::fd::{self, STDERR, STDOUT};
use std::io::{self, ErrorKind, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Until a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Whoever has lines to write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    Service(u32, Channel),
    Syslog,
}

#[derive(Debug, Default)]
pub struct Router {
    streams: Map<Key, Stream>,
    outlets: Outlets,
    syslog: Option<Syslog>,
    /// When the outlets that failed are tried again.
    retry_at: Option<Instant>,
    buffers: Buffers,
    /// To which the names are aligned: the longest so far.
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
                LogTo::Crossed(format) => {
                    let style = Style::Container(*format);
                    let outlet = self.outlet(Target::Container(channel.other()), None)?;
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

    /// From now on, keeps the last of what service `id` writes there, if that is routed.
    pub fn keep_recent(&mut self, id: u32, channel: Channel) {
        if let Some(stream) = self.streams.get_mut(&Key::Service(id, channel)) {
            stream.recent.get_or_insert_default();
        }
    }

    /// The last of what service `id` wrote there, if that is kept.
    pub fn recent(&self, id: u32, channel: Channel) -> Option<&Recent> {
        self.streams.get(&Key::Service(id, channel))?.recent.as_deref()
    }

    pub fn clear_recent(&mut self, id: u32, channel: Channel) {
        let stream = self.streams.get_mut(&Key::Service(id, channel));
        if let Some(recent) = stream.and_then(|stream| stream.recent.as_mut()) {
            recent.clear();
        }
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
        self.outlets.join(outlet);
        self.syslog = Some(Syslog { socket, style, outlet, over: false });
        Ok(true)
    }

    /// The outlet there, opened if it is not yet.
    fn outlet(&mut self, target: Target, to: Option<&LogTo>) -> Result<u32> {
        if let Some((id, outlet)) = self.outlets.find(&target) {
            if let (Sink::File(file), Some(LogTo::File(settings))) = (&mut outlet.sink, to) {
                file.set(settings);
            }
            return Ok(id);
        }
        let sink = match (&target, to) {
            (Target::File(_), Some(LogTo::File(settings))) => {
                Sink::File(Box::new(FileLog::new(settings.as_ref().clone())))
            }
            (Target::Container(Channel::Err), _) => {
                let fd = STDERR.try_clone_to_owned().on("copy", "stderr")?;
                Sink::Container(Channel::Err, Container::new(fd, Channel::Err.name()))
            }
            _ => {
                let fd = STDOUT.try_clone_to_owned().on("copy", "stdout")?;
                Sink::Container(Channel::Out, Container::new(fd, Channel::Out.name()))
            }
        };
        Ok(self.outlets.add(sink))
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
        if style == Style::Container(LineFormat::Prefix) {
            self.width = self.width.max(name.chars().count());
        }
        if let Some(stream) = self.streams.get_mut(&key) {
            let old = std::mem::replace(&mut stream.outlet, outlet);
            stream.style = style;
            if stream.writer.is_none() {
                let writer = fd::reopen_nonblocking(stream.reader.as_fd());
                let writer = PipeWriter::from(writer.on("open", "a log pipe")?);
                fd::set_nonblocking(writer.as_fd(), false).on("set up", "a log pipe")?;
                stream.writer = Some(writer);
            }
            if old != outlet {
                self.outlets.join(outlet);
                self.outlets.leave(old, key);
                self.pump(key, events);
            }
        } else {
            let (reader, writer) = io::pipe().on("make", "a log pipe")?;
            spare::of_services(writer.as_fd()).on("make", "a log pipe")?;
            fd::set_nonblocking(reader.as_fd(), true).on("set up", "a log pipe")?;
            if let Key::Service(id, channel) = key {
                events
                    .watch(reader.as_fd(), Source::Output(id, channel))
                    .on("watch", "a log pipe")?;
            }
            let stream = Stream::new((reader, writer), (name, channel), style, outlet);
            self.streams.insert(key, stream);
            self.outlets.join(outlet);
        }
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
        let ids = self.outlets.ids(|outlet| outlet.is(&target));
        ids.into_iter().for_each(|id| self.retry(id, events));
    }

    pub fn retry_due(&mut self, events: &mut EventLoop) {
        self.retry_at = None;
        let ids = self.outlets.ids(|outlet| outlet.then() == Then::Later);
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
        self.streams.is_empty() && self.syslog.is_none() && self.outlets.all().all(Outlet::is_free)
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
        let pending = self.outlets.all().map(Outlet::pending);
        lost = pending.fold(lost, usize::saturating_add);
        if lost > 0 {
            say(&format!("{lost} bytes of the services' output could not be written"));
        }
        self.streams.clear();
        self.syslog = None;
    }

    /// Somebody has renamed the log files.
    pub fn reopen(&mut self) {
        for outlet in self.outlets.all_mut() {
            if let Sink::File(file) = &mut outlet.sink {
                file.reopen();
            }
        }
    }

    fn close(&mut self, key: Key, events: &mut EventLoop) {
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.writer = None;
            self.pump(key, events);
        }
    }

    /// Gives an outlet what it did not take, and then everybody in its queue a turn.
    fn retry(&mut self, id: u32, events: &mut EventLoop) {
        let Some(outlet) = self.outlets.get_mut(id) else { return };
        if !outlet.is_free() {
            outlet.flush();
            self.attend(id, events);
        }
        let waiting = self.outlets.get_mut(id).map_or(0, |outlet| outlet.queue.len());
        for _ in 0..waiting {
            let Some(outlet) = self.outlets.get_mut(id).filter(|outlet| outlet.is_free()) else {
                break;
            };
            if let Some(key) = outlet.queue.pop_front() {
                self.pump(key, events);
            }
        }
        self.outlets.tidy(id);
    }

    /// One turn of a stream.
    fn pump(&mut self, key: Key, events: &mut EventLoop) {
        let mut buffers = std::mem::take(&mut self.buffers);
        let (turn, outlet) = match (key, self.streams.get_mut(&key), &self.syslog) {
            (Key::Syslog, _, Some(syslog)) => {
                let id = syslog.outlet;
                let outlet = self.outlets.get_mut(id);
                (outlet.map_or(Turn::Over, |to| syslog.turn(to, &mut buffers)), id)
            }
            (Key::Service(..), Some(stream), _) => {
                let id = stream.outlet;
                let outlet = self.outlets.get_mut(id);
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
                if let Some(outlet) = self.outlets.get_mut(outlet)
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
                self.outlets.leave(outlet, key);
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
        let Some(outlet) = self.outlets.get_mut(id) else { return };
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

#[cfg(test)]
mod tests;
