//! Running the command under test, and what is expected of it.

use super::{LIMIT, Test};
use coracle::sys::pidfd;
use coracle::types::{Pid, Signal};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

/// The command under test.
pub fn program() -> OsString {
    std::env::var_os("CORACLE_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_coracle").into())
}

enum Expected {
    Anything,
    Is(Vec<u8>),
    Has(Vec<String>),
}

/// One invocation and its expected result: exit code 0, nothing on stderr, unless stated.
#[must_use = "nothing runs before .ok() or .spawn()"]
pub struct Run<'t> {
    test: &'t Test,
    args: Vec<OsString>,
    stdin: Vec<u8>,
    env: Vec<(String, String)>,
    /// A shell script around the command, which is its `"$@"`.
    script: Option<String>,
    code: i32,
    stdout: Expected,
    stderr: Expected,
}

pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl<'t> Run<'t> {
    pub(super) fn new<I: IntoIterator<Item: AsRef<OsStr>>>(test: &'t Test, args: I) -> Run<'t> {
        let mut all = vec![OsString::from("--root"), test.root().into()];
        all.extend(args.into_iter().map(|a| a.as_ref().to_os_string()));
        Run {
            test,
            args: all,
            stdin: Vec::new(),
            env: Vec::new(),
            script: None,
            code: 0,
            stdout: Expected::Anything,
            stderr: Expected::Is(Vec::new()),
        }
    }

    /// What the command reads from stdin; without it, nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// All of stdout.
    pub fn stdout(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdout = Expected::Is(text.into());
        self
    }

    /// A part of stdout; may be said several times.
    pub fn stdout_has(mut self, text: &str) -> Self {
        self.stdout.also(text);
        self
    }

    /// All of stderr.
    pub fn stderr(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stderr = Expected::Is(text.into());
        self
    }

    /// A part of stderr; may be said several times.
    pub fn stderr_has(mut self, text: &str) -> Self {
        self.stderr.also(text);
        self
    }

    pub fn any_stderr(mut self) -> Self {
        self.stderr = Expected::Anything;
        self
    }

    /// Has a shell start it, by `exec "$@"` somewhere in the script.
    pub fn by(mut self, script: &str) -> Self {
        self.script = Some(script.into());
        self
    }

    /// Runs to the end and compares.
    #[track_caller]
    pub fn ok(self) -> Output {
        let mut running = self.start(Io::Pipes);
        let input = running.stdin.take();
        let bytes = self.stdin.clone();
        // A command that fails early does not read its input; that is no failure of the test.
        let writer = std::thread::spawn(move || input.map(|mut to| to.write_all(&bytes)));
        let code = running.wait();
        let _ = writer.join();
        let output = Output { stdout: running.rest_of_stdout(), stderr: running.rest_of_stderr() };

        let mut wrong = Vec::new();
        if code != self.code {
            wrong.push(format!("exit code {code}, not {}", self.code));
        }
        wrong.extend(self.stdout.differs("stdout", &output.stdout));
        wrong.extend(self.stderr.differs("stderr", &output.stderr));
        if !wrong.is_empty() {
            panic!(
                "{}\n  {}\n--- stdout\n{}--- stderr\n{}---",
                self.line(),
                wrong.join("\n  "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
        }
        output
    }

    /// Starts it and returns; what was expected is not compared.
    #[track_caller]
    pub fn spawn(self) -> Running {
        self.start(Io::Pipes)
    }

    /// Starts it on a terminal of that size; the terminal's output is its stdout.
    #[track_caller]
    pub fn on_terminal(self, rows: u16, columns: u16) -> Running {
        self.start(Io::Terminal { rows, columns })
    }

    fn line(&self) -> String {
        let words = self.args.iter().skip(2).map(|a| a.to_string_lossy());
        let words: Vec<String> = words
            .map(|a| if a.contains(' ') { format!("{a:?}") } else { a.into_owned() })
            .collect();
        format!("coracle {}", words.join(" "))
    }

    #[track_caller]
    fn start(&self, io: Io) -> Running {
        let mut words = Vec::new();
        if let Io::Terminal { .. } = io {
            // Makes its stdin the controlling terminal of a new session.
            words.extend(["setsid", "--ctty"].map(OsString::from));
        }
        if let Some(script) = &self.script {
            words.extend(["sh", "-c", script, "sh"].map(OsString::from));
        }
        words.push(program());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.args).env_clear();
        // The storage driver is chosen once.
        let chosen = self.test.root().join("storage").exists();
        let driver = (!chosen).then_some("CORACLE_STORAGE_DRIVER");
        for name in ["PATH", "RUST_BACKTRACE"].into_iter().chain(driver) {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.env("TMPDIR", self.test.path("tmp")).env("TERM", "xterm").current_dir("/");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        match io {
            Io::Pipes => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().expect("start coracle");
                let stdin = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
                let stdout = child.stdout.take().map(OwnedFd::from);
                let stderr = child.stderr.take().map(OwnedFd::from);
                Running::new(self.line(), child, stdin, stdout, stderr)
            }
            Io::Terminal { rows, columns } => {
                let size =
                    nix::pty::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                let pty = nix::pty::openpty(&size, None).expect("open a terminal");
                let same = |fd: &OwnedFd| fd.try_clone().expect("duplicate a descriptor");
                command.stdin(same(&pty.slave)).stdout(same(&pty.slave)).stderr(pty.slave);
                // The clone is close-on-exec; the master that openpty made is not.
                let master = same(&pty.master);
                drop(pty.master);
                let child = command.spawn().expect("start coracle");
                let input = File::from(same(&master));
                Running::new(self.line(), child, Some(input), Some(master), None)
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Io {
    Pipes,
    Terminal { rows: u16, columns: u16 },
}

impl Expected {
    fn also(&mut self, text: &str) {
        match self {
            Expected::Has(parts) => parts.push(text.into()),
            _ => *self = Expected::Has(vec![text.into()]),
        }
    }

    fn differs(&self, name: &str, got: &[u8]) -> Option<String> {
        match self {
            Expected::Anything => None,
            Expected::Is(want) if want == got => None,
            Expected::Is(want) => {
                Some(format!("{name} is not {:?}", String::from_utf8_lossy(want)))
            }
            Expected::Has(parts) => {
                let text = String::from_utf8_lossy(got);
                let missing = parts.iter().find(|part| !text.contains(part.as_str()))?;
                Some(format!("{name} lacks {missing:?}"))
            }
        }
    }
}

/// A command under way. Dropped, it is killed.
pub struct Running {
    what: String,
    child: Child,
    /// Dropped or taken, it is an end of file for the command.
    pub stdin: Option<File>,
    stdout: Stream,
    stderr: Stream,
    ended: bool,
}

impl Running {
    fn new(
        what: String,
        child: Child,
        stdin: Option<File>,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> Running {
        let (stdout, stderr) = (Stream::new(stdout), Stream::new(stderr));
        Running { what, child, stdin, stdout, stderr, ended: false }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).expect("a child has a pid")
    }

    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes.as_ref()).expect("write to the command");
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let fd = pidfd::open(self.pid()).expect("open the command's process");
        pidfd::send_signal(fd.as_fd(), signal).expect("signal the command");
    }

    /// Waits for a whole line of stdout that holds `text`.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        let what = self.what.clone();
        self.stdout
            .take_until(|bytes| {
                let mut start = 0;
                for end in bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i) {
                    let line = String::from_utf8_lossy(&bytes[start..end]).into_owned();
                    start = end + 1;
                    if line.contains(text) {
                        return Some((start, line));
                    }
                }
                None
            })
            .unwrap_or_else(|got| panic!("{what}: no line with {text:?} in:\n{got}"))
    }

    /// Waits for `text` on stdout, as a prompt is waited for.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        let what = self.what.clone();
        self.stdout
            .take_until(|bytes| {
                let at = bytes.windows(text.len()).position(|w| w == text.as_bytes())?;
                Some((at + text.len(), ()))
            })
            .unwrap_or_else(|got| panic!("{what}: no {text:?} in:\n{got}"));
    }

    /// Waits for a whole line of stderr that holds `text`.
    #[track_caller]
    pub fn hears(&mut self, text: &str) -> String {
        let what = self.what.clone();
        self.stderr
            .take_until(|bytes| {
                let end = bytes.iter().rposition(|b| *b == b'\n')?;
                let told = String::from_utf8_lossy(&bytes[..end]).into_owned();
                let line = told.lines().find(|line| line.contains(text))?;
                Some((end + 1, line.to_string()))
            })
            .unwrap_or_else(|got| panic!("{what}: no {text:?} on stderr in:\n{got}"))
    }

    /// The exit code, once it has ended; 128 + n for a signal.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        assert!(self.ends_within(LIMIT), "{}: still runs after {LIMIT:?}", self.what);
        let status = self.child.wait().expect("wait for the command");
        self.ended = true;
        use std::os::unix::process::ExitStatusExt;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    /// Whether it ends before `limit` has passed.
    pub fn ends_within(&self, limit: std::time::Duration) -> bool {
        let fd = pidfd::open(self.pid()).expect("open the command's process");
        pidfd::wait_ended(fd.as_fd(), Some(limit)).expect("wait for the command")
    }

    /// What is left to read of stdout, to its end.
    #[track_caller]
    pub fn rest_of_stdout(&mut self) -> Vec<u8> {
        self.stdout.rest().unwrap_or_else(|| panic!("{}: somebody keeps stdout open", self.what))
    }

    #[track_caller]
    pub fn rest_of_stderr(&mut self) -> Vec<u8> {
        self.stderr.rest().unwrap_or_else(|| panic!("{}: somebody keeps stderr open", self.what))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// An output as it comes, read by a thread so that waiting for it can have a limit.
struct Stream {
    chunks: Receiver<Vec<u8>>,
    unread: Vec<u8>,
}

impl Stream {
    fn new(from: Option<OwnedFd>) -> Stream {
        let (send, chunks) = channel();
        if let Some(from) = from {
            let mut from = File::from(from);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                // A terminal whose other side is closed gives EIO, the same as an end here.
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    if send.send(buffer[..n].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        Stream { chunks, unread: Vec::new() }
    }

    /// Reads on until `found` gives the number of bytes to take and a value. The error is what
    /// was read instead, when the stream has ended or the limit has passed.
    fn take_until<T>(
        &mut self,
        mut found: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Result<T, String> {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some((length, value)) = found(&self.unread) {
                self.unread.drain(..length);
                return Ok(value);
            }
            match self.chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.unread.extend(chunk),
                Err(_) => return Err(String::from_utf8_lossy(&self.unread).into_owned()),
            }
        }
    }

    /// All up to the end of file; `None` where it does not come.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let until = Instant::now() + LIMIT;
        loop {
            match self.chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.unread.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(std::mem::take(&mut self.unread));
                }
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }
}
