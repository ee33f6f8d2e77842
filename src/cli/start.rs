//! `start`.

use super::attach::{Session, exit_code};
use super::command::{Command, each, value};
use crate::engine::Engine;
use crate::engine::session::Keys;
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};

/// Start one or more stopped containers
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// attach stdout and stderr, forward signals, and give the program's exit code
    #[argh(switch, short = 'a')]
    attach: bool,
    /// keys that leave it running (default ctrl-p,ctrl-q)
    #[argh(option, arg_name = "keys", default = "String::new()")]
    detach_keys: String,
    /// attach stdin
    #[argh(switch, short = 'i')]
    interactive: bool,
    /// pass signals on to the program (default true)
    #[argh(option, arg_name = "bool", default = "true")]
    sig_proxy: bool,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Start(Args, Keys);

impl Command for Start {
    type Args = Args;
    const NAME: &'static str = "start";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Start> {
        if (args.attach || args.interactive) && args.containers.len() > 1 {
            return Err(Error::invalid("only one container at a time can be started and attached"));
        }
        let keys = value("--detach-keys", &args.detach_keys)?;
        Ok(Start(args, keys))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let Args { attach, interactive, sig_proxy, containers, .. } = self.0;
        match &containers[..] {
            [name] if attach || interactive => {
                let tty = engine.container(name)?.config.tty.is_some();
                let session = Session { stdin: interactive, tty, sig_proxy, detach_keys: self.1 };
                let start = || engine.start_attached(name, interactive);
                session.hold(engine, start).map(exit_code)
            }
            names => each(names, |name| engine.start(name)),
        }
    }
}
