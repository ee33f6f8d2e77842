//! The loop of the process that stands beside each container: it moves output into the log and
//! to attached clients, stdin the other way, stops the container when asked to, and learns how
//! it ended. Single-threaded; sleeps while nothing happens.
//!
//! It believes the pidfd, not the pipes: when the container's first process has ended, the
//! kernel has ended all others of its pid namespace, so what the pipes still hold is all there
//! is. Killed, it loses nothing that was logged; `engine::supervise` says who takes over.

use super::Dir;
use super::conn::{Attached, Conn};
use super::frame::{Again, Frame};
use super::log::{self, Stream};
use crate::error::{Error, OsContext, Result};
use crate::oci::cgroup::Cgroup;
use crate::sys::pidfd::{self, Exit};
use crate::sys::{fd, poll, process};
use crate::types::Signal;
use mio::event::Event;
use mio::net::UnixListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const LISTENER: Token = Token(0);
const PROCESS: Token = Token(1);
const STDIN: Token = Token(2);
const STDOUT: Token = Token(3);
const STDERR: Token = Token(4);
/// Tokens of services count up from here.
const SERVICE: usize = 5;
/// Tokens of clients count up from here.
const CLIENTS: usize = 16;

/// How much of stdin waits for the container before its sender has to wait too.
const MAX_STDIN: usize = 1 << 18;
/// How much is read at once: what stays in the processor's caches on its way through.
const PIECE: usize = 1 << 14;
/// How much a pipe may hold whose program says more than we can take.
const ROOM: i32 = 1 << 18;
/// How much of one stream is moved before the others get a turn.
const TURN: usize = 1 << 20;

/// The container's ends of its descriptors, seen from outside.
#[derive(Debug, Default)]
pub struct Pipes {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    /// With a terminal, its master is stdin and stdout.
    pub terminal: bool,
    /// The end of a client's stdin is the end of the container's (Docker's `StdinOnce`).
    pub stdin_once: bool,
}

/// What else the monitor does for its container while it runs: something that watches descriptors
/// of its own, all behind one.
pub trait Service: AsRawFd {
    /// When it wants to be called though nothing can be read; `is_ending` says that the container
    /// was told to end.
    fn deadline(&self, is_ending: bool) -> Option<Instant>;
    /// Does what there is to do, without waiting; what is to follow from it.
    fn serve(&mut self) -> Vec<Act>;
    /// A client wants it to do at once what it does from time to time, and hears what came of it.
    fn ask(&mut self, _client: usize) {}
}

/// Its name server, its health checks, who hears that it is ready, and who looks after the program
/// of its network.
pub type Services<'a> = [Option<Box<dyn Service + 'a>>; 4];
const NAMES: usize = 0;
const HEALTH: usize = 1;

/// What a service wants done.
pub enum Act {
    /// To tell every client that keeps up.
    Tell(Frame),
    /// To tell a client that has asked.
    Answer(usize, Frame),
    /// To end the container, unless that is under way: by this signal, and SIGKILL after `seconds`.
    End { signal: Signal, seconds: u32, asked: Option<Asked> },
}

/// Gives the service for the container as its records are now, if it is to have one.
pub type Provide<'a> = &'a dyn Fn() -> Result<Option<Box<dyn Service>>>;

/// What a client may ask of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Stop,
    Restart,
}

impl Asked {
    fn of(restart: bool) -> Asked {
        if restart { Asked::Restart } else { Asked::Stop }
    }
}

pub struct Monitor<'a> {
    dir: Dir,
    poll: Poll,
    listener: UnixListener,
    clients: BTreeMap<usize, Conn>,
    next_client: usize,
    log: log::Appender,
    /// The log outlives the container.
    keeps_log: bool,
    /// Its end was not lost to a full disk.
    pub is_log_complete: bool,
    buffer: Vec<u8>,
    pipes: Pipes,
    /// The container's, while it runs.
    pub cgroup: Option<Cgroup>,
    /// The kernel does not end all of it with its first process: it shares a pid namespace.
    pub outlives_first: bool,
    /// For the container, as long as it runs.
    pub services: Services<'a>,
    stdin_waiting: Vec<u8>,
    stdin_closing: bool,
    stop_deadline: Option<Instant>,
    /// Who wait for a service that follows the networks of now.
    awaited: Vec<usize>,
    /// What was asked of the container last, if anything.
    pub asked: Option<Asked>,
}

impl<'a> Monitor<'a> {
    /// Opens the log and begins to listen; clients may connect before there is a container.
    pub fn new(dir: &Dir, keeping: log::Keeping, keeps_log: bool) -> Result<Monitor<'a>> {
        let poll = Poll::new().on("epoll_create", "")?;
        let path = dir.socket();
        let (_dir, short) = fd::short_path(&path).on("open", &path)?;
        let mut listener = UnixListener::bind(&short).on("listen on", &path)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).on("watch", &path)?;
        Ok(Monitor {
            dir: dir.clone(),
            poll,
            listener,
            clients: BTreeMap::new(),
            next_client: CLIENTS,
            log: log::Appender::open(&dir.log(), keeping)?,
            keeps_log,
            is_log_complete: true,
            buffer: Vec::new(),
            pipes: Pipes::default(),
            cgroup: None,
            outlives_first: false,
            services: Services::default(),
            stdin_waiting: Vec::new(),
            stdin_closing: false,
            stop_deadline: None,
            awaited: Vec::new(),
            asked: None,
        })
    }

    /// Takes a client that is connected already.
    pub fn welcome(&mut self, client: OwnedFd) -> Result<()> {
        let stream = UnixStream::from(client);
        stream.set_nonblocking(true).on("prepare", "the first client")?;
        self.add_client(mio::net::UnixStream::from_std(stream));
        Ok(())
    }

    /// The frame that tells of the end.
    pub fn exited(&self, code: i32, again: Again) -> Frame {
        Frame::Exited { code, again, log: self.log.position() }
    }

    /// Tells every client. What is told should be written down before: who connects too late to
    /// hear it then finds it there.
    pub fn tell(&mut self, frame: &Frame) {
        self.accept();
        self.clients.values_mut().for_each(|client| client.send(frame));
        self.drop_closed(None);
    }

    /// Says good-bye to every client, and waits until each has heard it all or has gone; at most
    /// for `limit`, where somebody waits for us.
    pub fn farewell(mut self, frame: &Frame, limit: Option<Duration>) {
        let until = limit.map(|limit| Instant::now() + limit);
        self.accept();
        self.clients.values_mut().for_each(|client| client.send(frame));
        loop {
            self.clients.retain(|_, client| client.is_waiting());
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if self.clients.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let fds: Vec<(BorrowedFd, poll::Interest)> =
                self.clients.values().map(|c| (c.stream.as_fd(), poll::Interest::Write)).collect();
            if poll::ready(&fds, left).is_err() {
                return;
            }
            self.clients.values_mut().for_each(Conn::flush);
        }
    }

    /// Watches a container until it ends. `None` where its exit cannot be known: it was adopted,
    /// and this kernel does not tell.
    pub fn watch(
        &mut self,
        process: BorrowedFd,
        pipes: Pipes,
        provide: Provide,
    ) -> Result<Option<Exit>> {
        self.pipes = pipes;
        self.register(process, PROCESS, Interest::READABLE)?;
        for (token, stream) in [(STDOUT, &self.pipes.stdout), (STDERR, &self.pipes.stderr)] {
            if let Some(stream) = stream {
                self.register(stream.as_fd(), token, Interest::READABLE)?;
            }
        }
        if let Some(stdin) = &self.pipes.stdin {
            self.register(stdin.as_fd(), STDIN, Interest::WRITABLE)?;
        }
        (0..self.services.len()).try_for_each(|at| self.watch_service(at))?;
        let mut events = Events::with_capacity(64);
        // Whoever asked for output before there was any gets it from its first byte.
        self.serve_waiting_clients(process)?;
        let mut again = self.read_streams();
        // A start takes far more of it than what follows.
        process::forget_code();
        loop {
            self.serve_waiting_clients(process)?;
            self.follow_networks(provide);
            if !again {
                self.log.flush();
            }
            let timeout = match (again, self.next_deadline()) {
                (true, _) => Some(Duration::ZERO),
                (false, Some(at)) => Some(at.saturating_duration_since(Instant::now())),
                (false, None) => None,
            };
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.on("wait for", "events")?,
            }
            if self.stop_deadline.is_some_and(|at| Instant::now() >= at) {
                self.stop_deadline = None;
                signal(process, Signal::KILL)?;
                self.resume()?;
            }
            let mut ended = false;
            let mut due: Vec<usize> = self.due_services().collect();
            again |= self.log.retry_at().is_some_and(|at| Instant::now() >= at);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    PROCESS => ended = true,
                    STDIN => self.write_stdin(),
                    STDOUT | STDERR => again = true,
                    Token(at) if at < CLIENTS => due.push(at - SERVICE),
                    Token(client) => self.client_ready(client, event),
                }
            }
            if ended {
                // Its sockets would keep the container's network.
                self.services = Services::default();
                if let Some(cgroup) = self.cgroup.as_ref().filter(|_| self.outlives_first) {
                    // What cannot be ended now stands in the way of the cgroup's removal, and is
                    // told there.
                    let _ = cgroup.kill();
                }
                while self.move_output() {}
                self.is_log_complete = self.log.finish(self.patience());
                return exit_of(process);
            }
            for at in due {
                let service = self.services.get_mut(at).and_then(Option::as_mut);
                for act in service.map(|service| service.serve()).unwrap_or_default() {
                    self.act(process, act)?;
                }
            }
            if again {
                again = self.read_streams();
            }
        }
    }

    fn act(&mut self, process: BorrowedFd, act: Act) -> Result<()> {
        match act {
            Act::Tell(frame) => {
                let clients = self.clients.values_mut().filter(|client| !client.is_behind());
                clients.for_each(|client| client.send(&frame));
            }
            Act::Answer(client, frame) => self.answer(client, &frame),
            Act::End { signal, seconds, asked } if !self.is_ending() => {
                self.asked = asked;
                self.stop(process, signal, Some(seconds))?;
            }
            Act::End { .. } => {}
        }
        Ok(())
    }

    fn is_ending(&self) -> bool {
        self.asked.is_some() || self.stop_deadline.is_some()
    }

    fn watch_service(&self, at: usize) -> Result<()> {
        let Some(Some(service)) = self.services.get(at) else { return Ok(()) };
        let (raw, registry) = (service.as_raw_fd(), self.poll.registry());
        let registered =
            registry.register(&mut SourceFd(&raw), Token(SERVICE + at), Interest::READABLE);
        registered.on("watch", "a service")
    }

    /// Has the service follow the container's networks, where clients asked for that.
    fn follow_networks(&mut self, provide: Provide) {
        let awaited = std::mem::take(&mut self.awaited);
        if awaited.is_empty() {
            return;
        }
        // The place of the old one may be that of the new one.
        self.services[NAMES] = None;
        let followed = provide().and_then(|service| {
            self.services[NAMES] = service;
            self.watch_service(NAMES)
        });
        let error = followed.err().map(|error| error.to_string()).unwrap_or_default();
        for token in awaited {
            self.answer(token, &Frame::Followed(error.clone()));
        }
    }

    fn answer(&mut self, token: usize, frame: &Frame) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.send(frame);
        }
    }

    /// When each service wants to be called.
    fn deadlines(&self) -> impl Iterator<Item = (usize, Instant)> {
        let is_ending = self.is_ending();
        let services = self.services.iter().enumerate();
        services.filter_map(move |(at, service)| Some((at, service.as_ref()?.deadline(is_ending)?)))
    }

    fn due_services(&self) -> impl Iterator<Item = usize> {
        // A deadline may be the moment in which it is asked for.
        self.deadlines().filter(|(_, deadline)| Instant::now() >= *deadline).map(|(at, _)| at)
    }

    /// Waits for `delay`, or until a client asks for something; but as long as one holds the
    /// container, whose files it may read or write. Who asks for a restart is told that the last
    /// run has ended, with `code`.
    pub fn pause(&mut self, delay: Duration, code: i32) -> Result<()> {
        let until = Instant::now() + delay;
        let mut events = Events::with_capacity(16);
        while self.asked.is_none() || self.is_held() {
            let left = until.saturating_duration_since(Instant::now());
            let left = Some(left).filter(|left| !left.is_zero());
            if left.is_none() && !self.is_held() {
                break;
            }
            match self.poll.poll(&mut events, left) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.on("wait for", "events")?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(client) if client >= CLIENTS => self.client_ready(client, event),
                    _ => {}
                }
            }
            let tokens: Vec<usize> = self.clients.keys().copied().collect();
            for token in tokens {
                while let Some(frame) = self.clients.get_mut(&token).and_then(Conn::next) {
                    self.handle_paused(token, frame, code)?;
                }
            }
            self.drop_closed(None);
        }
        Ok(())
    }

    fn handle_paused(&mut self, token: usize, frame: Frame, code: i32) -> Result<()> {
        match frame {
            Frame::Attach { stdin, stdout, stderr } => {
                self.attach(token, Attached { stdin, stdout, stderr })?;
            }
            Frame::Stop { restart, .. } => {
                self.asked = Some(Asked::of(restart));
                if restart {
                    let ended = self.exited(code, Again::Asked);
                    self.answer(token, &ended);
                }
            }
            Frame::Hold | Frame::Release => self.hold(token, frame == Frame::Hold),
            // The next run begins with them.
            Frame::Networks => self.answer(token, &Frame::Followed(String::new())),
            Frame::Check => self.answer(token, &Frame::Checked(None)),
            // There is nobody to be fed.
            _ => {}
        }
        Ok(())
    }

    /// A client begins to hold the container, or is done with it.
    fn hold(&mut self, token: usize, holds: bool) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.holds = holds;
        }
        if !holds {
            self.thaw_unless_held();
        }
        self.answer(token, if holds { &Frame::Held } else { &Frame::Released });
    }

    fn is_held(&self) -> bool {
        self.clients.values().any(|client| client.holds && !client.closed)
    }

    /// Thaws what a client froze that is done, or dead, unless the user wants it to stand still.
    fn thaw_unless_held(&self) {
        let is_held = || self.is_held() || self.dir.state().is_ok_and(|state| state.paused);
        if let Some(cgroup) = self.cgroup.as_ref().filter(|_| !is_held()) {
            // A cgroup that is gone has nobody to be thawed.
            let _ = cgroup.thaw();
        }
    }

    /// Has a paused container go on, to take the signal that it was sent.
    fn resume(&self) -> Result<()> {
        if self.dir.state()?.paused {
            self.dir.update_state(|state| state.paused = false)?;
            self.thaw_unless_held();
        }
        Ok(())
    }

    /// Begins to stop the container: its signal, and SIGKILL at the deadline.
    pub fn stop(&mut self, process: BorrowedFd, sig: Signal, seconds: Option<u32>) -> Result<()> {
        signal(process, sig)?;
        self.resume()?;
        let limit = seconds.map(|s| Duration::from_secs(u64::from(s)));
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        // The earlier of two orders wins.
        self.stop_deadline = match (self.stop_deadline, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(())
    }

    fn register(&self, fd: BorrowedFd, token: Token, interest: Interest) -> Result<()> {
        let raw = fd.as_raw_fd();
        self.poll.registry().register(&mut SourceFd(&raw), token, interest).on("watch", "")
    }

    fn accept(&mut self) {
        // Until it would block, as an edge-triggered listener wants.
        while let Ok((stream, _)) = self.listener.accept() {
            self.add_client(stream);
        }
    }

    fn add_client(&mut self, mut stream: mio::net::UnixStream) {
        let token = self.next_client;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(token), interest).is_ok() {
            self.next_client += 1;
            let mut conn = Conn::new(stream);
            conn.fill();
            self.clients.insert(token, conn);
        }
    }

    fn client_ready(&mut self, token: usize, event: &Event) {
        if let Some(client) = self.clients.get_mut(&token) {
            if event.is_writable() {
                client.flush();
            }
            if event.is_readable() {
                client.fill();
            }
        }
    }

    /// Handles the frames that have come, as far as stdin can take them.
    fn serve_waiting_clients(&mut self, process: BorrowedFd) -> Result<()> {
        let tokens: Vec<usize> = self.clients.keys().copied().collect();
        for token in tokens {
            let behind = self.clients.get(&token).filter(|c| c.has_caught_up());
            if let Some(client) = behind.filter(|_| !self.log.is_stuck()) {
                self.attach(token, client.attached)?;
            }
            while let Some(client) = self.clients.get_mut(&token) {
                // Whoever feeds the container waits for it; nobody else does.
                if client.attached.stdin && self.stdin_waiting.len() >= MAX_STDIN {
                    break;
                }
                match client.next() {
                    Some(frame) => self.handle(token, frame, process)?,
                    None if client.more => client.fill(),
                    None => break,
                }
            }
        }
        self.drop_closed(Some(process));
        Ok(())
    }

    fn attach(&mut self, token: usize, attached: Attached) -> Result<()> {
        // All that came before is in the log now: the client's part begins at its end.
        self.log.flush();
        let log = self.log.position();
        let is_stuck = self.log.is_stuck();
        match self.clients.get_mut(&token) {
            // Or will be, when there is room for it.
            Some(client) if is_stuck => client.attach_later(attached),
            Some(client) => client.attach(attached, log),
            None => {}
        }
        Ok(())
    }

    fn handle(&mut self, token: usize, frame: Frame, process: BorrowedFd) -> Result<()> {
        match frame {
            Frame::Attach { stdin, stdout, stderr } => {
                self.attach(token, Attached { stdin, stdout, stderr })?;
            }
            Frame::Stdin(data) => {
                self.stdin_waiting.extend(data);
                self.write_stdin();
            }
            Frame::StdinClose => self.stdin_left(),
            Frame::Resize { rows, columns } => {
                if let Some(master) = self.pipes.stdin.as_ref().filter(|_| self.pipes.terminal) {
                    // A terminal that cannot be resized keeps its size.
                    let _ = crate::sys::tty::set_size(master.as_fd(), rows, columns);
                }
            }
            Frame::Stop { signal, seconds, restart } => {
                self.asked = Some(Asked::of(restart));
                let signal = Signal::from_number(i32::from(signal)).unwrap_or(Signal::TERM);
                self.stop(process, signal, seconds)?;
            }
            Frame::Hold | Frame::Release => self.hold(token, frame == Frame::Hold),
            Frame::Networks => self.awaited.push(token),
            Frame::Check => match &mut self.services[HEALTH] {
                Some(health) => health.ask(token),
                None => self.answer(token, &Frame::Checked(None)),
            },
            // What a client has no business to say.
            _ => {}
        }
        Ok(())
    }

    fn drop_closed(&mut self, process: Option<BorrowedFd>) {
        let (mut stdin_gone, mut holder_gone) = (false, false);
        self.clients.retain(|_, client| {
            stdin_gone |= client.is_over() && client.attached.stdin;
            holder_gone |= client.is_over() && client.holds;
            !client.is_over()
        });
        if holder_gone {
            self.thaw_unless_held();
        }
        if stdin_gone && process.is_some() {
            self.stdin_left();
        }
    }

    /// A client that fed the container feeds it no more. Where the first to stop is to be the last,
    /// a program reading its stdin to the end must see the end.
    fn stdin_left(&mut self) {
        if self.pipes.stdin_once && !self.pipes.terminal {
            self.stdin_closing = true;
            self.write_stdin();
        }
    }

    fn write_stdin(&mut self) {
        let Some(stdin) = &self.pipes.stdin else {
            self.stdin_waiting.clear();
            return;
        };
        let mut done = 0;
        while done < self.stdin_waiting.len() {
            match fd::write(stdin.as_fd(), &self.stdin_waiting[done..]) {
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody reads any more.
                Err(_) => done = self.stdin_waiting.len(),
            }
        }
        self.stdin_waiting.drain(..done);
        if self.stdin_closing && self.stdin_waiting.is_empty() {
            self.pipes.stdin = None;
        }
    }

    /// Moves output into the log and to the clients, if the log takes it; says whether there is
    /// more.
    fn read_streams(&mut self) -> bool {
        if self.log.is_stuck() {
            self.log.flush();
        }
        !self.log.is_stuck() && self.move_output()
    }

    fn move_output(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(PIECE, 0);
        let (mut more, mut busy) = (false, false);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut moved = 0;
            loop {
                let pipe = match stream {
                    Stream::Stdout => &mut self.pipes.stdout,
                    Stream::Stderr => &mut self.pipes.stderr,
                };
                let Some(source) = pipe else { break };
                match fd::read(source.as_fd(), &mut buffer) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    // EIO: the last user of the terminal has closed it, for now.
                    Err(e) if e.raw_os_error() == Some(5) => break,
                    Ok(n) if n > 0 => {
                        moved += n;
                        busy |= moved >= log::BUSY;
                        more |= moved >= TURN;
                        if moved >= TURN {
                            // With room for more, neither waits for the other as often. Refused,
                            // or a terminal, it is no harm.
                            let _ = fd::grow_pipe(source.as_fd(), ROOM);
                        }
                        self.take_output(stream, &buffer[..n]);
                        if moved >= TURN {
                            break;
                        }
                    }
                    // No writer is left, or none that can be read.
                    Ok(_) | Err(_) => break,
                }
            }
        }
        // One that has had little to do keeps no buffer.
        self.buffer = if busy { buffer } else { Vec::new() };
        more
    }

    fn take_output(&mut self, stream: Stream, bytes: &[u8]) {
        self.log.push(stream, bytes);
        if !self.clients.is_empty() {
            let frame = match stream {
                Stream::Stdout => Frame::Stdout(bytes.to_vec()),
                Stream::Stderr => Frame::Stderr(bytes.to_vec()),
            };
            self.clients.values_mut().for_each(|client| client.output(stream, &frame));
        }
    }

    /// How long the end of the container waits for room in its log.
    fn patience(&self) -> Duration {
        match (self.keeps_log, self.asked) {
            // It goes with the container.
            (false, _) => Duration::ZERO,
            // Somebody waits.
            (true, Some(_)) => Duration::from_secs(1),
            (true, None) => Duration::from_secs(10),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let service = self.deadlines().map(|(_, deadline)| deadline).min();
        [self.stop_deadline, self.log.retry_at(), service].into_iter().flatten().min()
    }
}

/// A process that is gone needs no signal.
fn signal(process: BorrowedFd, signal: Signal) -> Result<()> {
    match pidfd::send_signal(process, signal) {
        Err(e) if e.raw_os_error() == Some(3) => Ok(()),
        other => other.on("signal", "the container"),
    }
}

fn exit_of(process: BorrowedFd) -> Result<Option<Exit>> {
    match pidfd::try_wait(process) {
        Ok(Some(exit)) => Ok(Some(exit)),
        // Not our child: adopted. Its exit is told once its parent has reaped it.
        Ok(None) | Err(_) => {
            let reaped = poll::hung_up(process, Duration::from_secs(5));
            reaped.map_err(|e| Error::os("wait for", "the container", e))?;
            Ok(pidfd::reaped_exit(process))
        }
    }
}
