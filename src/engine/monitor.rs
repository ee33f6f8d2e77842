//! Making the process that stands beside a container, and hearing from it whether the container
//! came up.

use super::Engine;
use super::patience::Patience;
use crate::container::{Client, Dir, Frame, Live, Status};
use crate::error::{Cause, Error, OsContext, Result};
use crate::oci::create;
use crate::sys::child::Plan;
use crate::sys::step::{Exec, FdSource, Step, Variables};
use crate::sys::{fd, mount, signal};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::str::FromStr;

/// Descriptors under which a monitor finds what it inherits.
pub const CLIENT_FD: i32 = 3;
pub const LIVE_FD: i32 = 4;

/// What a new monitor does first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Start the container, as the user asked.
    Start,
    /// Start it again, by its policy.
    Restart,
    /// Take over a container that runs: its monitor died.
    Adopt,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Mode::Start => "start",
            Mode::Restart => "restart",
            Mode::Adopt => "adopt",
        }
    }
}

impl FromStr for Mode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Mode> {
        [Mode::Start, Mode::Restart, Mode::Adopt]
            .into_iter()
            .find(|mode| mode.word() == text)
            .ok_or_else(|| Error::invalid(format!("\"{text}\" is no mode of a monitor")))
    }
}

impl Engine {
    /// The arguments of a monitor: `monitor ROOT ID MODE PROGRAM`.
    pub(super) fn monitor_args(&self, dir: &Dir, mode: Mode) -> Result<Vec<CString>> {
        let words: [&OsStr; 6] = [
            OsStr::new("coracle"),
            OsStr::new("monitor"),
            self.home.root.as_os_str(),
            OsStr::new(dir.id.as_str()),
            OsStr::new(mode.word()),
            self.program.as_os_str(),
        ];
        let c_string = |word: &OsStr| CString::new(word.as_encoded_bytes());
        let args: std::result::Result<_, _> = words.into_iter().map(c_string).collect();
        args.map_err(|_| Error::invalid("a path with a NUL byte"))
    }

    /// Executes a monitor for the container; `live` goes over to it.
    ///
    /// `client` is its first client, which hears `Started` or `Failed`.
    pub(super) fn spawn_monitor(
        &self,
        dir: &Dir,
        live: Live,
        mode: Mode,
        client: Option<OwnedFd>,
    ) -> Result<()> {
        let sealed = mount::sealed(&self.program).on("mount", &self.program)?;
        let null =
            File::options().read(true).write(true).open("/dev/null").on("open", "/dev/null")?;
        let mut plan = Plan::new();
        plan.push(Step::NewSession);
        plan.push(Step::Umask(0o022));
        // It lives through every signal but SIGKILL; its container gets a mask of its own.
        plan.push(Step::DefaultSignals { set: signal::ALL, mask: signal::ALL });
        plan.push(Step::Chdir(c"/".to_owned()));
        plan.push(Step::Program(sealed.as_fd()));
        let mut fds: Vec<_> = (0..3).map(|n| (FdSource::Fd(null.as_fd()), n)).collect();
        fds.extend(client.as_ref().map(|client| (FdSource::Fd(client.as_fd()), CLIENT_FD)));
        fds.push((FdSource::Fd(live.guard.as_fd()), LIVE_FD));
        plan.push(Step::Descriptors(fds));
        plan.push(Step::Report);
        plan.push(Step::Exec(Exec::new(
            Vec::new(),
            self.monitor_args(dir, mode)?,
            Variables::new(Vec::new()),
        )));
        let (_child, report) = create::clone(&plan, 0)?;
        create::outcome(report.as_fd(), &create::describe(&plan), "coracle monitor")
    }

    /// Executes a monitor, and waits until the container runs; its warnings join our troubles.
    /// `first` is what the client says
    /// before anything happens: an `Attach`, so that no output is missed.
    pub(super) fn start_monitor(
        &self,
        dir: &Dir,
        live: Live,
        first: Option<Frame>,
    ) -> Result<Client> {
        let (ours, theirs) = fd::socket_pair().on("socketpair", "")?;
        let mut client = Client::new(ours).on("greet", "the monitor")?;
        if let Some(first) = first {
            client.send(&first).on("speak to", "the monitor")?;
        }
        self.spawn_monitor(dir, live, Mode::Start, Some(theirs))?;
        loop {
            match client.receive().on("hear from", "the monitor")? {
                Some(Frame::Started) => return Ok(client),
                Some(Frame::Warning(text)) => {
                    self.troubles
                        .borrow_mut()
                        .push(Error::from(Cause::Reported { code: 125, text }));
                }
                Some(Frame::Failed { code, text, hint }) => {
                    return Err(failure(code, text, hint));
                }
                Some(_) => {}
                None => {
                    // How far it came is for the sweep to find out, once it has gone altogether.
                    let mut patience = Patience::new(dir);
                    self.begin()?;
                    while dir.state().is_ok_and(|state| state.status == Status::Starting) {
                        patience.wait()?;
                        self.begin()?;
                    }
                    return Err(Error::conflict("the monitor died while starting"));
                }
            }
        }
    }
}

/// An error of the monitor's, with its words and its exit code.
pub(super) fn failure(code: u8, text: String, hint: String) -> Error {
    let error = Error::from(Cause::Reported { code, text });
    if hint.is_empty() { error } else { error.hint(hint) }
}
