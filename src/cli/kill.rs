//! `kill`: a signal for the first process of a container.

use super::command::{Command, each, value};
use crate::engine::Engine;
use crate::error::Result;
use crate::types::Signal;
use argh::{ArgsInfo, FromArgs};

/// Send a signal to one or more running containers
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// the signal, by name or number (default KILL)
    #[argh(option, short = 's', arg_name = "signal")]
    signal: Option<String>,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Kill {
    signal: Signal,
    containers: Vec<String>,
}

impl Command for Kill {
    type Args = Args;
    const NAME: &'static str = "kill";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Kill> {
        let signal = args.signal.map(|text| value("--signal", &text)).transpose()?;
        Ok(Kill { signal: signal.unwrap_or(Signal::KILL), containers: args.containers })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.containers, |name| engine.kill(name, self.signal))
    }
}
