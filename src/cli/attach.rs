//! `attach`, and the foreground of `run` and `start -a`: the caller's standard descriptors are the
//! program's, until it ends or ctrl-p ctrl-q leaves it.

use super::command::{Command, value};
use super::output;
use super::run::{CidFile, Request};
use crate::container::Frame;
use crate::engine::options::Streams;
use crate::engine::options::Terminal;
use crate::engine::session::{self, End, Keys, Standard};
use crate::engine::{Engine, Started};
use crate::error::{Context, Error, Result};
use crate::types::{ContainerId, Signal};
use argh::{ArgsInfo, FromArgs};
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Attach to a running container
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// keys that leave the container running (default ctrl-p,ctrl-q)
    #[argh(option, arg_name = "keys", default = "String::new()")]
    detach_keys: String,
    /// leave stdin alone
    #[argh(switch)]
    no_stdin: bool,
    /// pass signals on to the program (default true)
    #[argh(option, arg_name = "bool", default = "true")]
    sig_proxy: bool,
    #[argh(positional)]
    container: String,
}

pub struct Attach(Args, Keys);

impl Command for Attach {
    type Args = Args;
    const NAME: &'static str = "attach";
    const USAGE: &'static str = "CONTAINER";

    fn new(args: Args) -> Result<Attach> {
        let keys = value("--detach-keys", &args.detach_keys)?;
        Ok(Attach(args, keys))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let Args { no_stdin, sig_proxy, container: name, .. } = self.0;
        let config = engine.container(&name)?.config;
        let stdin = config.open_stdin && !no_stdin;
        let tty = config.tty.is_some();
        let session = Session { stdin, tty, sig_proxy, detach_keys: self.1 };
        session.hold(engine, || engine.attach(&name, stdin)).map(exit_code)
    }
}

/// How the caller is bound to the program.
pub struct Session {
    pub stdin: bool,
    pub tty: bool,
    pub sig_proxy: bool,
    pub detach_keys: Keys,
}

impl Session {
    /// Starts or reaches a container, and stays with it to the end of the session.
    pub fn hold(self, engine: &Engine, start: impl FnOnce() -> Result<Started>) -> Result<End> {
        check_terminal(self.tty, self.stdin)?;
        let signals = session::catch()?;
        let started = start()?;
        // Now, and not when the program has ended.
        super::warn(engine);
        let options = session::Options {
            stdin: self.stdin,
            tty: self.tty,
            // In a terminal, what the user types is signal enough.
            sig_proxy: self.sig_proxy && !self.tty,
            detach_keys: Some(self.detach_keys),
        };
        with_standard(|standard| engine.follow(started, standard, options, &signals))
    }
}

/// Our own standard descriptors, for as long as `act` takes.
pub fn with_standard<T>(act: impl FnOnce(Standard) -> T) -> T {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    act(Standard { input: input.as_fd(), output: output.as_fd(), error: error.as_fd() })
}

/// A terminal for the program, as large as ours; 80 by 24 where we have none.
pub fn new_terminal() -> Terminal {
    let ours = with_standard(|standard| session::terminal_size(standard.input));
    ours.unwrap_or(Terminal { rows: 24, columns: 80 })
}

/// A terminal for the program needs one of ours to type at.
pub fn check_terminal(tty: bool, stdin: bool) -> Result<()> {
    match tty && stdin && !std::io::stdin().is_terminal() {
        true => Err(Error::invalid("stdin is not a terminal, and the program is to have one")
            .hint("leave out -t, or -i")),
        false => Ok(()),
    }
}

/// The end of a session as our exit code.
pub fn exit_code(end: End) -> u8 {
    let code = match end {
        End::Exited(code) => code,
        End::Detached => 0,
        End::Signalled(signal) => 128 + signal.number(),
    };
    u8::try_from(code & 0xff).unwrap_or_default()
}

/// The foreground, or background, of `run`.
pub fn run(engine: &Engine, request: Request, mut cidfile: CidFile) -> Result<u8> {
    let streams = request.options.attached;
    let is_silent = !streams.stdout && !streams.stderr;
    let mut made = None;
    let start = |attach| {
        let mut tell = |id: &ContainerId| {
            made = Some(id.clone());
            cidfile.write(id)
        };
        let started = engine.run(&request.options, attach, &mut tell)?;
        cidfile.keep();
        if is_silent {
            output::line(&started.id)
                .hint(|| format!("its container is there all the same: {}", started.id.short()))?;
        }
        Ok(started)
    };
    if is_silent && !streams.stdin {
        let started = start(None)?;
        super::warn(engine);
        return engine.detach(started).map(|()| 0);
    }
    let tty = request.options.tty.is_some();
    let Request { sig_proxy, detach_keys, harvest, .. } = request.clone();
    let session = Session { stdin: streams.stdin, tty, sig_proxy, detach_keys };
    let Streams { stdin, stdout, stderr } = streams;
    let end = session.hold(engine, || start(Some(Frame::Attach { stdin, stdout, stderr })));
    let is_unread = matches!(end, Ok(End::Signalled(Signal::PIPE)));
    if let (true, true, None, Some(id)) = (is_unread, sig_proxy, &harvest, &made) {
        engine.break_pipe(id)?;
    }
    match (harvest, made) {
        (Some(harvest), Some(id)) => match end {
            Ok(end) => harvest.gather(engine, &id, end),
            Err(error) => {
                // Whatever else went wrong, there may be something to be committed.
                if matches!(error.exit_code(), 126 | 127) {
                    // The error to tell is that one.
                    let _ = harvest.remove(engine, &id);
                }
                Err(error)
            }
        },
        _ => end.map(exit_code),
    }
}
