//! The program of a health check: started, looked at and killed without ever waiting for it.
//! What it writes to either output comes by one pipe, and its beginning is kept.

use super::{Request, Started};
use crate::container::{Config, Dir, OUTPUT};
use crate::engine::privileges::{Privileges, privileges};
use crate::engine::user::Account;
use crate::engine::{Engine, spec};
use crate::error::{OsContext, Result};
use crate::oci::create::{self, Stdio};
use crate::oci::spec::Process;
use crate::sys::pidfd::{self, Exit};
use crate::sys::{fd, process, signal};
use crate::types::Signal;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is read of its output at a time, before others get their turn.
const TURN: usize = 1 << 18;

pub(in crate::engine) struct Check {
    started: Started,
    program: String,
    reader: OwnedFd,
    output: Vec<u8>,
    is_cut: bool,
}

impl Check {
    /// Starts a command as the container's own program was started.
    pub fn start(
        engine: &Engine,
        dir: &Dir,
        container: BorrowedFd,
        account: &Account,
        command: Vec<String>,
    ) -> Result<Check> {
        let config = Config { tty: None, ..Config::clone(&*dir.config()?) };
        let Privileges { capabilities, seccomp, .. } = privileges(&config.isolation)?;
        let links = engine.link_variables(dir)?;
        let program = command.first().cloned().unwrap_or_default();
        let process = Process {
            args: command,
            env: spec::environment(&config, &account.home, &links),
            cwd: config.working_dir.clone(),
            ..spec::process(account.user.clone(), None, capabilities, &config.isolation)
        };
        let (reader, writer) = fd::pipe().on("pipe", "")?;
        // The program may open /dev/stdout again, as whoever it is.
        std::os::unix::fs::fchown(&reader, Some(process.user.uid), None).on("chown", "a pipe")?;
        fd::set_nonblocking(reader.as_fd(), true).on("prepare", "a pipe")?;
        let null = File::open("/dev/null").on("open", "/dev/null")?;
        let request = Request {
            engine,
            dir,
            container,
            config: &config,
            process: &process,
            seccomp: seccomp.as_ref(),
            stdio: Stdio::Files([null.as_fd(), writer.as_fd(), writer.as_fd()]),
            makes_dir: false,
            is_left: false,
        };
        // Nobody inside may look into what is half in (CVE-2019-5736). The child keeps that; others
        // who are us may look into us.
        process::set_undumpable().on("prctl", "")?;
        let started = request.start();
        process::set_dumpable().on("prctl", "")?;
        let started = started?;
        for fd in [&started.report, &started.from_between] {
            fd::set_nonblocking(fd.as_fd(), true).on("prepare", "a pipe")?;
        }
        Ok(Check { started, program, reader, output: Vec::new(), is_cut: false })
    }

    /// Readable when there is something to look at.
    pub fn sources(&self) -> [BorrowedFd<'_>; 2] {
        [self.reader.as_fd(), self.started.child.pidfd.as_fd()]
    }

    /// Takes what it has written, and its exit code, once it has ended. What others of its family
    /// still hold open is not waited for.
    ///
    /// Errors: it could not be executed.
    pub fn look(&mut self) -> Result<Option<i32>> {
        let exit = pidfd::try_wait(self.started.child.pidfd.as_fd()).on("wait for", "the check")?;
        self.read();
        let Some(exit) = exit else { return Ok(None) };
        create::outcome(self.started.report.as_fd(), &self.started.steps, &self.program)?;
        Ok(Some(exit.code()))
    }

    fn read(&mut self) {
        let (mut buffer, mut sum) = ([0; OUTPUT], 0);
        while sum < TURN {
            match fd::read(self.reader.as_fd(), &mut buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) if n > 0 => {
                    let room = OUTPUT - self.output.len();
                    self.output.extend(&buffer[..n.min(room)]);
                    self.is_cut |= n > room;
                    sum += n;
                }
                _ => return,
            }
        }
    }

    /// What it wrote first.
    pub fn output(&self) -> String {
        let more = if self.is_cut { "..." } else { "" };
        format!("{}{more}", String::from_utf8_lossy(&self.output))
    }

    /// Kills it, and what it has started, as far as that is in its process group.
    pub fn kill(&mut self) {
        let Ok(Some(program)) = fd::receive_fd(self.started.from_between.as_fd()) else {
            // It has not come so far as to be one of its own.
            let _ = pidfd::send_signal(self.started.child.pidfd.as_fd(), Signal::KILL);
            return;
        };
        // Whoever is gone needs no signal.
        if let Some(group) = pidfd::number(program.as_fd()) {
            let _ = signal::kill_group(group, Signal::KILL);
        }
        let _ = pidfd::send_signal(program.as_fd(), Signal::KILL);
    }

    /// Ends it, and reaps the one between: for good.
    pub fn end(&mut self) {
        self.kill();
        let between = self.started.child.pidfd.as_fd();
        let _ = pidfd::send_signal(between, Signal::KILL);
        let _: io::Result<Exit> = pidfd::wait(between);
    }
}
