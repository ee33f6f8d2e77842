//! A terminal that somebody sits at: a shell in tmux, which shows what a screen would.
//!
//! Waiting is for what the screen shows. It is looked at whenever the terminal was written to: tmux
//! passes all of that to a pipe of ours, before it takes the next command.

use super::{LIMIT, Test, skipped};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// What the shell says when it waits for a command.
pub const PROMPT: &str = "here$ ";

pub struct Tmux {
    socket: PathBuf,
    /// Something was written to the terminal.
    news: Receiver<()>,
    /// How often something was said.
    count: Cell<u32>,
}

impl Tmux {
    /// A shell on a terminal of 24 lines and 80 columns, which knows `docker`. `None` where there
    /// is no tmux, which has been told.
    pub fn start(t: &Test) -> Option<Tmux> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skipped("tmux is not installed");
            return None;
        }
        let (send, news) = channel();
        let tmux = Tmux { socket: t.path("tmux"), news, count: Cell::new(0) };
        let mut server =
            tmux.command(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24"]);
        server.args([&format!("PS1='{PROMPT}' exec bash --norc --noprofile -i")]);
        server.env_clear().envs(t.docker()).env("TERM", "xterm").env("HOME", "/root");
        server.env("LC_ALL", "C.UTF-8").env("TMPDIR", t.path("tmp"));
        server.current_dir("/");
        run(server);
        tmux.tell(&["set-option", "-g", "status", "off"]);
        let fifo = t.path("written");
        let mut mkfifo = Command::new("mkfifo");
        mkfifo.arg(&fifo);
        run(mkfifo);
        tmux.tell(&["pipe-pane", "-O", &format!("exec cat > {}", fifo.display())]);
        std::thread::spawn(move || {
            let mut written = File::open(&fifo).expect("open the FIFO");
            let mut buffer = [0; 4096];
            while let Ok(1..) = written.read(&mut buffer) {
                if send.send(()).is_err() {
                    return;
                }
            }
        });
        tmux.until(PROMPT.trim_end());
        Some(tmux)
    }

    /// Types a line.
    pub fn line(&self, line: &str) {
        self.tell(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    /// Presses keys, by tmux's names for them.
    pub fn keys(&self, keys: &[&str]) {
        self.tell(&[&["send-keys"], keys].concat());
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let (rows, columns) = (rows.to_string(), columns.to_string());
        self.tell(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    fn screen(&self) -> String {
        run(self.command(&["capture-pane", "-p", "-J"]))
    }

    /// Waits until the screen shows `text`.
    #[track_caller]
    pub fn until(&self, text: &str) {
        let _ = self.until_so(&format!("{text:?} on the screen"), |screen| screen.contains(text));
    }

    #[track_caller]
    pub fn until_so(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            // What came before the look is seen by it.
            while self.news.try_recv().is_ok() {}
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            let rest = until.saturating_duration_since(Instant::now());
            if self.news.recv_timeout(rest).is_err() {
                panic!("no {what}:\n{screen}");
            }
        }
    }

    /// Types a command at the shell's prompt, and gives what it says; its `$?` is what it was.
    #[track_caller]
    pub fn says(&self, command: &str) -> String {
        let count = self.count.replace(self.count.get() + 1);
        let end = format!("end {count}=");
        // The quotes keep the line that is typed from being taken for what it says.
        self.line(&format!("x=$?; clear; (exit $x); {command}; echo 'en''d {count}='$?"));
        let screen = self.until_so("end of the command", |screen| screen.contains(&end));
        let (said, _) = screen.rsplit_once(&end).expect("its end");
        said.trim().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(args);
        command
    }

    fn tell(&self, args: &[&str]) {
        run(self.command(args));
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
        let _ = fs::remove_file(Path::new(&self.socket));
    }
}

#[track_caller]
fn run(mut command: Command) -> String {
    let output = command.output().expect("run tmux");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
