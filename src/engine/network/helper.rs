//! The program of a container's network (`network::usermode`), watched on the monitor's loop: where
//! it dies another one is executed, after a delay that grows as long as they do not live.
//!
//! ```text
//! Up ──dies──> Down ──at its time──> Coming ──is ready──> Up
//!                ^────does not come up──┘
//! ```
//!
//! Its end, and that there is a network again, are told as events. In between the record says what
//! is wrong, for `ps` and `inspect`.

use super::Engine;
use super::usermode::{read_helper, write_helper};
use crate::container::{Act, Config, Dir, Network, Service, restart};
use crate::engine::kill::First;
use crate::error::{Error, OsContext, Result};
use crate::network::usermode::{self, Starting, Wanted};
use crate::sys::pidfd::{self, Exit};
use crate::types::{Published, UserMode};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// How long it may take to come up, and to answer a question.
const LIMIT: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(1);

enum Phase {
    Up { process: OwnedFd, since: Instant },
    Down { until: Instant },
    Coming { starting: Starting, until: Instant },
}

struct Helper<'e> {
    engine: &'e Engine,
    dir: Dir,
    mode: UserMode,
    container: First,
    phase: Phase,
    /// The last one between two programs.
    delay: Duration,
    poll: Poll,
}

impl Engine {
    /// What looks after the program of a container's network, where it is by one; its first program
    /// was executed already, and may be dead.
    pub(in crate::engine) fn look_after_network(
        &self,
        dir: &Dir,
        config: &Config,
        container: BorrowedFd,
    ) -> Result<Option<Box<dyn Service + '_>>> {
        let Network::UserMode(mode) = config.network else { return Ok(None) };
        let pid = dir.state()?.process.map(|process| process.pid);
        let pid = pid.ok_or_else(|| Error::conflict("the container has ended"))?;
        let fd = container.try_clone_to_owned().on("dup", "a pidfd")?;
        let mut helper = Helper {
            engine: self,
            dir: dir.clone(),
            mode,
            container: First { fd, pid },
            phase: Phase::Down { until: Instant::now() },
            delay: Duration::ZERO,
            poll: Poll::new().on("epoll_create", "")?,
        };
        match read_helper(dir)? {
            Some(process) => {
                helper.watch(&[process.as_fd()])?;
                helper.is_up(process);
            }
            None => helper.lost(&helper.why(None)),
        }
        Ok(Some(Box::new(helper)))
    }
}

impl Helper<'_> {
    fn watch(&self, sources: &[BorrowedFd]) -> Result<()> {
        sources.iter().try_for_each(|source| {
            let (raw, registry) = (source.as_raw_fd(), self.poll.registry());
            let registered = registry.register(&mut SourceFd(&raw), Token(0), Interest::READABLE);
            registered.on("watch", "the program of a network")
        })
    }

    fn is_up(&mut self, process: OwnedFd) {
        self.phase = Phase::Up { process, since: Instant::now() };
        self.record("");
    }

    /// The next one is executed after a while.
    fn lost(&mut self, why: &str) {
        let lived = match &self.phase {
            Phase::Up { since, .. } => since.elapsed(),
            _ => Duration::ZERO,
        };
        self.delay = restart::backoff(self.delay, lived);
        self.phase = Phase::Down { until: Instant::now() + self.delay };
        self.record(why);
    }

    /// Why the program ended, as far as that is known.
    fn why(&self, exit: Option<Exit>) -> String {
        let mode = self.mode;
        match exit {
            None => format!("{mode} ended"),
            Some(Exit::Signal(signal)) => format!("{mode} was killed by signal {signal}"),
            Some(Exit::Code(_)) => format!("{mode}: {}", usermode::last_words(self.dir.run_path())),
        }
    }

    /// Writes down what is wrong, or that nothing is, and tells when there is a network no more, or
    /// again. Where that cannot be, it goes on all the same.
    fn record(&self, why: &str) {
        let error = match why {
            "" => String::new(),
            why => format!("the network is lost: {why}"),
        };
        let before = self.dir.state().map(|state| state.error).unwrap_or_default();
        if before == error {
            return;
        }
        let _ = self.dir.update_state(|state| state.error.clone_from(&error));
        let program = ("program", self.mode.word());
        let tell = |status: &str, more: &[(&str, &str)]| {
            self.engine.tell_of(&self.dir, status, more);
        };
        match (before.is_empty(), why.is_empty()) {
            (true, _) => tell("network_status: lost", &[program, ("reason", why)]),
            (false, true) => tell("network_status: restored", &[program]),
            (false, false) => {}
        }
    }

    fn wanted<'w>(&'w self, ports: &'w [Published]) -> Wanted<'w> {
        let (run, process) = (self.dir.run_path(), self.container.pid);
        Wanted { mode: self.mode, run, process, ports }
    }

    fn begin(&self) -> Result<Starting> {
        let ports = self.dir.state()?.ports;
        let starting = usermode::begin(&self.wanted(&ports), |pid| {
            // Then the number may have been another one's.
            match self.container.has_ended() {
                true => Err(Error::conflict("the container has ended")),
                false => write_helper(&self.dir, pid),
            }
        })?;
        self.watch(&starting.sources()).map(|()| starting)
    }

    /// Goes on. Errors: what keeps the program from coming up.
    fn look(&mut self) -> Result<()> {
        let now = Instant::now();
        match &self.phase {
            Phase::Up { process, .. } => {
                if pidfd::wait_ended(process.as_fd(), Some(Duration::ZERO)).unwrap_or(false) {
                    // Where it is our child, nobody else reaps it.
                    let exit = pidfd::try_wait(process.as_fd()).ok().flatten();
                    self.lost(&self.why(exit));
                }
            }
            Phase::Down { until } if now < *until => {}
            Phase::Down { .. } => {
                self.phase = Phase::Coming { starting: self.begin()?, until: now + LIMIT };
            }
            Phase::Coming { starting, until } => {
                let is_ready = starting.is_ready(Duration::ZERO)?;
                if is_ready.is_none() && now < *until {
                    return Ok(());
                }
                let down = Phase::Down { until: now };
                if let Phase::Coming { starting, .. } = std::mem::replace(&mut self.phase, down) {
                    let (is_ready, ports) = (is_ready == Some(true), self.dir.state()?.ports);
                    let process = starting.finish(&self.wanted(&ports), is_ready, ANSWER)?;
                    self.is_up(process);
                }
            }
        }
        Ok(())
    }
}

impl AsRawFd for Helper<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl Service for Helper<'_> {
    fn deadline(&self, is_ending: bool) -> Option<Instant> {
        match &self.phase {
            Phase::Down { until } | Phase::Coming { until, .. } => Some(*until),
            Phase::Up { .. } => None,
        }
        .filter(|_| !is_ending)
    }

    fn serve(&mut self) -> Vec<Act> {
        // What there is is looked at below.
        let _ = self.poll.poll(&mut Events::with_capacity(4), Some(Duration::ZERO));
        if let Err(error) = self.look() {
            let _ = self.engine.end_usermode(&self.dir);
            self.lost(&error.to_string());
        }
        Vec::new()
    }
}
