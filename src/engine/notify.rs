//! Telling the service manager that started us how a container is (sd_notify(3)), as Podman's
//! `--sdnotify` has it.
//!
//! Messages go to NOTIFY_SOCKET of whoever starts the container, by that very process: a manager
//! believes those of its own service alone, and the monitor lives elsewhere. In the foreground we
//! stay its main process. In the background we wait until the container is ready, where somebody
//! asked for that by name, and leave our place to the monitor.

use super::Engine;
use crate::container::{Client, Dir, Frame, notify};
use crate::error::{Error, OsContext, Result};
use crate::types::{SdNotify, says_ready};
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What is passed on from a container that we start.
pub(super) struct Relay {
    to: OsString,
    pub mode: SdNotify,
}

impl Relay {
    /// `asked` is what the container was created with; `attached`, that we stay in the foreground.
    pub fn wanted(asked: Option<SdNotify>, attached: bool) -> Option<Relay> {
        let to = std::env::var_os(notify::VARIABLE).filter(|to| !to.is_empty())?;
        let mode = asked.or(attached.then_some(SdNotify::Container))?;
        (mode != SdNotify::Ignore).then_some(Relay { to, mode })
    }

    /// A manager that does not listen needs no word.
    pub fn tell(&self, text: &str) {
        let address = match self.to.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&self.to),
        };
        let socket = UnixDatagram::unbound();
        let _ = socket.and_then(|socket| socket.send_to_addr(text.as_bytes(), &address?));
    }

    /// In the foreground: the program runs.
    pub fn begin(&self) {
        if self.mode == SdNotify::Conmon {
            self.tell("READY=1");
        }
    }
}

impl Engine {
    /// In the background: comes back when the container is ready.
    pub(super) fn await_ready(&self, dir: &Dir, mut client: Client, relay: &Relay) -> Result<()> {
        let first = dir.state()?.process.map(|process| process.pid.raw()).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap_or_default();
        let monitor = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        let main = monitor.map(|pid| format!("MAINPID={}\n", pid.trim())).unwrap_or_default();
        let mut is_ready = relay.mode == SdNotify::Conmon;
        let mut text = "READY=1".to_string();
        while !is_ready {
            match client.receive().on("hear from", "the monitor")? {
                Some(Frame::Notify(told)) => (is_ready, text) = (says_ready(&told), told),
                Some(Frame::Exited { .. }) | None => {
                    let name = dir.settings().map(|settings| settings.name.to_string());
                    let name = name.unwrap_or_else(|_| dir.id.short().to_string());
                    let text = format!("container {name} ended before it was ready");
                    return Err(Error::conflict(text));
                }
                Some(_) => continue,
            }
            if !is_ready {
                relay.tell(&text);
            }
        }
        relay.tell(&format!("{main}{text}"));
        Ok(())
    }
}
