//! A scratch directory with a FIFO for events, and cox running in a namespace of its own.

use coracle::sys::{fifo, poll, signal};
use coracle::types::{Pid, Signal};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// No event takes that long, on however loaded a machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Looks again and again until there is something; fails the test where that takes too long. For
/// what nobody tells: what can be waited for in a read, is.
#[track_caller]
pub fn look_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "looked for it in vain");
        std::thread::yield_now();
    }
}

/// Looks again and again until it is so.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) {
    look_for(|| is_so().then_some(()));
}

/// The children of a process, by their pids here.
pub fn children(pid: Pid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// What cannot be tested here is skipped, or fails where everything must work.
#[track_caller]
pub fn skip(why: &str) {
    assert!(std::env::var_os("MUST_WORK").is_none_or(|v| v != "1"), "{why}");
    eprintln!("skipped: {why}");
}

pub fn cox_binary() -> PathBuf {
    std::env::var_os("COX_BIN").map_or(env!("CARGO_BIN_EXE_cox").into(), PathBuf::from)
}

/// Whether a tool that a test compares with is installed. Without it the test is skipped, or
/// fails where everything must work.
pub fn have(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps daemons where users need not look.
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .any(|dir| dir.join(tool).exists());
    if !found {
        skip(&format!("{tool} is not installed"));
    }
    found
}

/// `unshare`, up to the program: PID 1 of a namespace that dies with its starter.
pub fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "--"]);
    // Nothing in the runtime directory, which is the machine's.
    command.env("COX_SOCKET", "none");
    command
}

/// Runs cox to its end with these arguments, as PID 1.
pub fn cox(args: &[&str]) -> Output {
    let mut command = namespace();
    command.arg(cox_binary()).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs one of cox's applets here, to its end: its exit code and what it wrote.
pub fn applet(args: &[&str]) -> (i32, String, String) {
    finish(Command::new(cox_binary()).args(args))
}

pub fn finish(command: &mut Command) -> (i32, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A scratch directory: `services/` to be scanned, and the FIFO `events`.
pub struct Tree {
    pub dir: PathBuf,
    pub events: Lines<File>,
}

impl Tree {
    pub fn new() -> Tree {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // In a pid namespace, others may have the same pid as we.
        let dir = loop {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            let dir = std::env::temp_dir().join(format!("cox-test-{}-{n}", std::process::id()));
            match fs::create_dir(&dir) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                other => break other.map(|()| dir).unwrap(),
            }
        };
        fs::create_dir(dir.join("services")).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.join("events");
        fifo::make(&path, 0o600).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let events = Lines::new(fifo::open_both_ends(&path).unwrap());
        Tree { dir, events }
    }

    pub fn services(&self) -> PathBuf {
        self.dir.join("services")
    }

    /// The directory of a service, as text.
    pub fn service(&self, name: &str) -> String {
        self.services().join(name).to_str().unwrap().to_string()
    }

    /// Writes an executable shell script; `$E` in it is the FIFO, and `nap` starts a child that
    /// sleeps and hears signals. Complete at once, so that nobody sees half of it.
    pub fn script(&self, path: &str, text: &str) {
        let path = self.services().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = self.dir.join("new");
        // Before its exec, the child of a shell with traps loses signals.
        let nap = "nap() { sleep 10000 & until grep -q sleep /proc/$!/comm; do :; done; }";
        let head = format!("#!/bin/sh\nE={}/events\n{nap}\n", self.dir.display());
        fs::write(&new, format!("{head}{text}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub fn file(&self, path: &str, text: &str) {
        let path = self.services().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// cox on `services/`, as PID 1, with these options.
    pub fn supervise(&self, options: &[&str]) -> Cox {
        let mut command = namespace();
        command.arg(cox_binary()).args(options).arg(self.services());
        Cox::start(command.env("COX_SOCKET", self.socket()))
    }

    /// Writes cox.toml; `$E` in it is the events FIFO, `$D/` this directory.
    pub fn toml(&self, text: &str) {
        let text = text.replace("$E", self.dir.join("events").to_str().unwrap());
        let text = text.replace("$D/", &format!("{}/", self.dir.display()));
        fs::write(self.dir.join("cox.toml"), text).unwrap();
    }

    /// cox on cox.toml, as PID 1, with these options.
    pub fn run_toml(&self, options: &[&str]) -> Cox {
        let mut command = namespace();
        command.arg(cox_binary()).args(options).arg(self.dir.join("cox.toml"));
        Cox::start(command.env("COX_SOCKET", self.socket()))
    }

    /// cox on cox.toml, as PID 1, after a shell script that prepares its namespaces; `$D/` in
    /// that is this directory. It ends in `&& exec`, or in a program that executes cox.
    pub fn prepared_toml(&self, script: &str) -> Command {
        let script = script.replace("$D/", &format!("{}/", self.dir.display()));
        let (cox, dir) = (cox_binary(), self.dir.display());
        let mut command = namespace();
        let script = format!("{script} {} {dir}/cox.toml", cox.display());
        command.args(["sh", "-c", &script]).env("COX_SOCKET", self.socket());
        command
    }

    /// Where coxctl reaches the cox of `supervise`.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// coxctl, which is to ask the cox of `supervise`.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cox_binary());
        command.arg("coxctl").args(args).env("COX_SOCKET", self.socket());
        command
    }

    /// Runs that to its end: its exit code and what it wrote.
    pub fn ctl(&self, args: &[&str]) -> (i32, String, String) {
        finish(&mut self.client(args))
    }

    /// The names of all services that there are, and of the loggers among them.
    pub fn names(&self) -> Vec<String> {
        let (code, text, error) = self.ctl(&["status", "--json"]);
        assert_eq!(code, 0, "{error}");
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let name = |one: &serde_json::Value| one["name"].as_str().unwrap().to_string();
        all.as_array().unwrap().iter().map(name).collect()
    }

    /// A FIFO `$E.NAME` by which a service is told to go on, line by line.
    pub fn go(&self, name: &str) -> File {
        let path = self.dir.join(format!("events.{name}"));
        fifo::make(&path, 0o666).unwrap();
        fifo::open_both_ends(&path).unwrap()
    }

    /// The next event, which must be this one.
    #[track_caller]
    pub fn expect(&mut self, event: &str) {
        assert_eq!(self.events.next(), event);
    }

    /// The next events, in whatever order.
    #[track_caller]
    pub fn expect_all<const N: usize>(&mut self, mut events: [&str; N]) {
        let mut got: Vec<String> = events.iter().map(|_| self.events.next()).collect();
        got.sort();
        events.sort();
        assert_eq!(got, events);
    }

    /// Skips events up to one that begins so, and gives the rest of it.
    pub fn after(&mut self, start: &str) -> String {
        self.events.after(start)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Lines that arrive over time.
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: Read + AsFd> Lines<R> {
    pub fn new(source: R) -> Lines<R> {
        Lines { source, buffer: Vec::new() }
    }

    /// The next line; fails the test where none comes.
    #[track_caller]
    pub fn next(&mut self) -> String {
        match self.next_or_end() {
            Some(line) => line,
            None => panic!("no more events, but {:?}", String::from_utf8_lossy(&self.buffer)),
        }
    }

    /// The next line, or the end.
    #[track_caller]
    pub fn next_or_end(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Waits for more; whether there was any before the end.
    #[track_caller]
    fn fill(&mut self) -> bool {
        let came = poll::readable(self.source.as_fd(), Some(LIMIT)).unwrap();
        assert!(came, "no event came, but {:?}", String::from_utf8_lossy(&self.buffer));
        let mut bytes = [0; 4096];
        let count = self.source.read(&mut bytes).unwrap();
        self.buffer.extend(&bytes[..count]);
        count > 0
    }

    /// All that still comes, up to the end.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        while self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    #[track_caller]
    pub fn after(&mut self, start: &str) -> String {
        look_for(|| self.next().strip_prefix(start).map(|rest| rest.trim().to_string()))
    }
}

/// A cox that runs. It dies with this value.
pub struct Cox {
    unshare: Child,
    pub stderr: Lines<ChildStderr>,
}

impl Cox {
    /// Its stderr, for somebody else to read.
    pub fn take_stderr(&mut self) -> Lines<ChildStderr> {
        let other = self.stderr.source.as_fd().try_clone_to_owned().unwrap();
        std::mem::replace(&mut self.stderr, Lines::new(ChildStderr::from(other)))
    }
}

impl Cox {
    /// `command` must become `unshare` with cox as its child.
    pub fn start(command: &mut Command) -> Cox {
        let command = command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut unshare = command.spawn().unwrap();
        let stderr = Lines::new(unshare.stderr.take().unwrap());
        Cox { unshare, stderr }
    }

    /// Its pid here, outside. Only once it is known to run.
    pub fn pid(&self) -> Pid {
        self.try_pid().unwrap()
    }

    pub fn try_pid(&self) -> Option<Pid> {
        let id = self.unshare.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.trim().parse().ok().and_then(Pid::from_raw)
    }

    pub fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal).unwrap();
    }

    /// A shell command in its namespaces, which may loop until something is so.
    pub fn inside(&self, script: &str) -> String {
        let (pid, limit) = (self.pid().to_string(), LIMIT.as_secs().to_string());
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--pid", "--mount", "--"]);
        command.args(["timeout", &limit, "sh", "-c", script]);
        let (code, out, err) = finish(&mut command);
        assert_eq!(code, 0, "{script}: {err}");
        out
    }

    /// Waits for its end; its exit code and what it still said.
    pub fn wait(mut self) -> (i32, String) {
        let text = self.stderr.rest();
        (self.unshare.wait().unwrap().code().unwrap_or(-1), text)
    }

    /// Tells it to stop, and waits; its exit code and what it still said.
    pub fn stop(self) -> (i32, String) {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Cox {
    fn drop(&mut self) {
        // PID 1 ends only after all of its namespace has, and unshare after it.
        let _ = match self.try_pid() {
            Some(pid) => signal::kill(pid, Signal::KILL),
            None => self.unshare.kill(),
        };
        let _ = self.unshare.wait();
    }
}

/// The pid of a service that runs, as svstat tells it: a moment after its start.
#[track_caller]
pub fn pid_of(dir: &Path) -> String {
    look_for(|| {
        let (_, text, _) = applet(&["svstat", dir.to_str().unwrap()]);
        let (_, rest) = text.split_once(": up (pid ")?;
        Some(rest.split_once(')')?.0.to_string())
    })
}
