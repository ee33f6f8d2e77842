//! The program of an `exec` as we see it: its pipes or its terminal, and its end.

use super::ExecOptions;
use crate::container::Terminal;
use crate::engine::session::{Forward, Outbox, Output, Peer};
use crate::error::{OsContext, Result};
use crate::oci::create::Stdio;
use crate::sys::{fd, pidfd, tty};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The default of /proc/sys/fs/pipe-max-size.
const LARGEST_PIPE: usize = 1 << 20;

/// The two ends of the program's standard descriptors.
pub(super) enum Ends {
    Terminal(Terminal),
    Files { inside: [OwnedFd; 3], outside: Pipes },
}

/// Our ends.
#[derive(Default)]
pub(super) struct Pipes {
    input: Option<OwnedFd>,
    outputs: Vec<(Output, OwnedFd)>,
}

impl Ends {
    /// The program may open /dev/stdin and its like again, as `uid`.
    pub fn open(options: &ExecOptions, uid: u32) -> Result<Ends> {
        if let Some(terminal) = options.tty.filter(|_| !options.detach) {
            return Ok(Ends::Terminal(terminal));
        }
        let null = || -> Result<OwnedFd> {
            let null = File::options().read(true).write(true).open("/dev/null");
            Ok(null.on("open", "/dev/null")?.into())
        };
        let pipe = || -> Result<(OwnedFd, OwnedFd)> {
            let (reader, writer) = fd::pipe().on("pipe", "")?;
            std::os::unix::fs::fchown(&reader, Some(uid), None).on("chown", "a pipe")?;
            Ok((reader, writer))
        };
        let mut outside = Pipes::default();
        let stdin = match options.stdin {
            true => {
                let (reader, writer) = pipe()?;
                fd::set_nonblocking(writer.as_fd(), true).on("prepare", "a pipe")?;
                outside.input = Some(writer);
                reader
            }
            false => null()?,
        };
        let mut output = |output| -> Result<OwnedFd> {
            if options.detach {
                return null();
            }
            let (reader, writer) = pipe()?;
            fd::set_nonblocking(reader.as_fd(), true).on("prepare", "a pipe")?;
            outside.outputs.push((output, reader));
            Ok(writer)
        };
        let inside = [stdin, output(Output::Stdout)?, output(Output::Stderr)?];
        Ok(Ends::Files { inside, outside })
    }

    pub fn terminal(&self) -> Option<Terminal> {
        match self {
            Ends::Terminal(terminal) => Some(*terminal),
            Ends::Files { .. } => None,
        }
    }

    pub fn inside(&self) -> Stdio<'_> {
        match self {
            Ends::Terminal(_) => Stdio::Terminal,
            Ends::Files { inside: [a, b, c], .. } => {
                Stdio::Files([a.as_fd(), b.as_fd(), c.as_fd()])
            }
        }
    }
}

pub(super) struct Program {
    /// Our child, which ends with the program's exit code.
    between: OwnedFd,
    program: Option<OwnedFd>,
    pipes: Pipes,
    /// Input that the program has not taken yet, and whether none comes after it.
    waiting: Vec<u8>,
    closing: bool,
}

impl Program {
    /// Closes what is the program's of the two ends.
    pub fn new(
        between: OwnedFd,
        program: Option<OwnedFd>,
        ends: Ends,
        terminal: Option<OwnedFd>,
    ) -> Result<Program> {
        let pipes = match (ends, terminal) {
            (Ends::Files { outside, .. }, _) => outside,
            (Ends::Terminal(_), None) => Pipes::default(),
            (Ends::Terminal(_), Some(master)) => {
                fd::set_nonblocking(master.as_fd(), true).on("prepare", "the terminal")?;
                let input = Some(master.try_clone().on("dup", "the terminal")?);
                Pipes { input, outputs: vec![(Output::Stdout, master)] }
            }
        };
        Ok(Program { between, program, pipes, waiting: Vec::new(), closing: false })
    }

    /// Waits for its end: the exit code.
    pub fn reap(&self) -> Result<i32> {
        Ok(pidfd::wait(self.between.as_fd()).on("wait for", "the program")?.code())
    }

    /// Reads once from one output; `false` where nothing is there now, `None` where nothing more
    /// will be.
    fn read(output: Output, from: BorrowedFd, out: &mut Outbox) -> Option<bool> {
        let mut data = [0; 65536];
        loop {
            match fd::read(from, &mut data) {
                Ok(n) if n > 0 => {
                    out.push(output, &data[..n]);
                    return Some(true);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Some(false),
                // EIO: nobody has the terminal open any more.
                _ => return None,
            }
        }
    }
}

impl Peer for Program {
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        let outputs = self.pipes.outputs.iter().map(|(_, fd)| fd.as_fd());
        outputs.chain([self.between.as_fd()]).collect()
    }
    fn receive(&mut self, out: &mut Outbox) -> Result<Option<i32>> {
        // Looked at first: what it wrote before its end is read below. What others of its family
        // still hold open is not waited for, nor more read than a pipe can have held.
        let exit = pidfd::try_wait(self.between.as_fd()).on("wait for", "the program")?;
        let reads = if exit.is_some() { LARGEST_PIPE / 4096 } else { 1 };
        self.pipes.outputs.retain(|(output, fd)| {
            let mut is_open = true;
            for _ in 0..reads {
                match Program::read(*output, fd.as_fd(), out) {
                    Some(true) => {}
                    Some(false) => break,
                    None => {
                        is_open = false;
                        break;
                    }
                }
            }
            is_open
        });
        Ok(exit.map(pidfd::Exit::code))
    }
    fn input(&mut self, data: &[u8]) -> Result<()> {
        self.waiting.extend(data);
        self.flush()
    }
    fn input_ended(&mut self) -> Result<()> {
        self.closing = true;
        self.flush()
    }
    fn blocked(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.input.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }
    fn flush(&mut self) -> Result<()> {
        let Some(input) = &self.pipes.input else { return Ok(()) };
        let mut done = 0;
        let mut is_open = true;
        while done < self.waiting.len() && is_open {
            match fd::write(input.as_fd(), &self.waiting[done..]) {
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody reads any more.
                Err(_) => is_open = false,
            }
        }
        self.waiting.drain(..done);
        if !is_open || (self.closing && self.waiting.is_empty()) {
            self.pipes.input = None;
            self.waiting.clear();
        }
        Ok(())
    }
    fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        match &self.pipes.input {
            Some(master) => {
                tty::set_size(master.as_fd(), rows, columns).on("resize", "the terminal")
            }
            None => Ok(()),
        }
    }
    fn forward(&self) -> Result<Forward> {
        let program = self.program.as_ref().map(OwnedFd::try_clone).transpose();
        let program = program.on("dup", "a pidfd")?;
        Ok(Box::new(move |signal| {
            if let Some(program) = &program {
                // A process that is gone needs none.
                let _ = pidfd::send_signal(program.as_fd(), signal);
            }
        }))
    }
}
