//! The services' output: what the log router needs of the supervisor.

use super::Supervisor;
use crate::event_loop::{Source, Timer, Wake};
use crate::log::{Channel, LogPipe};
use crate::message::{say, say_error};
use crate::service::LogTo;
use crate::spawn::{Output, Streams};
use coracle::error::Result;
use coracle::sys::fd::STDOUT;
use std::path::Path;

const DEV_LOG: &str = "/dev/log";

impl Supervisor {
    /// Something of the router's has happened.
    pub(super) fn take_output(&mut self, wake: Wake) {
        let (router, events) = (&mut self.router, &mut self.event_loop);
        match wake {
            Wake::Io(Source::Output(id, channel)) => router.readable(id, channel, events),
            Wake::Io(Source::Syslog) => router.syslog_readable(events),
            Wake::Io(Source::Container(channel)) => router.writable(channel, events),
            Wake::Due(Timer::Output) => router.retry_due(events),
            _ => {}
        }
    }

    /// Makes ready what service `id` will write to.
    pub(super) fn prepare_output(&mut self, id: u32) -> Result<()> {
        let Some(slot) = self.slots.get(&id) else { return Ok(()) };
        let service = &slot.service;
        let to = [(Channel::Out, &service.out), (Channel::Err, &service.err)];
        self.router.prepare(id, &service.name, to, &mut self.event_loop)?;
        if let Some(member) = &service.member {
            let outputs = [(Channel::Out, &member.out), (Channel::Err, &member.err)];
            for (channel, _) in outputs.into_iter().filter(|(_, output)| output.auto) {
                self.router.keep_recent(id, channel);
            }
        }
        Ok(())
    }

    /// The descriptors 0 to 2 of service `id`.
    pub(super) fn streams(&self, id: u32) -> Streams<'_> {
        let Some(slot) = self.slots.get(&id) else { return Streams::default() };
        let logger = slot.logger.and_then(|logger| self.slots.get(&logger));
        let log = logger.and_then(|logger| logger.pipe.as_ref()).and_then(LogPipe::writer);
        let stdout = match &slot.service.out {
            LogTo::Null => Output::Null,
            _ => self.router.writer(id, Channel::Out).or(log).map_or(Output::Own, Output::Fd),
        };
        let stderr = match (&slot.service.err, stdout) {
            (LogTo::Null, _) => Output::Null,
            (LogTo::Stdout, Output::Own) => Output::Fd(STDOUT),
            (LogTo::Stdout, stdout) => stdout,
            _ => self.router.writer(id, Channel::Err).map_or(Output::Own, Output::Fd),
        };
        let stdin = slot.pipe.as_ref().map(LogPipe::reader);
        Streams { stdin, stdout, stderr, notification: None }
    }

    /// Takes what syslog(3) sends, unless somebody else does.
    pub(super) fn open_dev_log(&mut self) {
        let Some(to) = &self.options.dev_log else { return };
        match self.router.open_dev_log(Path::new(DEV_LOG), to, &self.event_loop) {
            Ok(true) => {}
            Ok(false) => say(&format!("{DEV_LOG} is there already and stays as it is")),
            Err(error) => say_error(&error),
        }
    }
}
