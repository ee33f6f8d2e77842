//! The pipe between a service and its logger. cox holds both ends, so it survives a restart of
//! either, with the bytes that are in it.

use crate::spare;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};

#[derive(Debug)]
pub struct LogPipe {
    reader: PipeReader,
    /// `None` once nobody is to write any more: the logger reads to the end and ends by itself.
    writer: Option<PipeWriter>,
}

impl LogPipe {
    pub fn new() -> io::Result<LogPipe> {
        let (reader, writer) = io::pipe()?;
        spare::of_services(writer.as_fd())?;
        Ok(LogPipe { reader, writer: Some(writer) })
    }

    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    pub fn writer(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().map(AsFd::as_fd)
    }

    pub fn close_writer(&mut self) {
        self.writer = None;
    }
}
