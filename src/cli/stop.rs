//! `stop` and `restart`.

use super::command::{Command, each, number, value};
use crate::engine::Engine;
use crate::error::Result;
use crate::types::Signal;
use argh::{ArgsInfo, FromArgs};

/// Stop one or more running containers
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// the signal that asks it to stop (else as the container was created)
    #[argh(option, short = 's', arg_name = "signal")]
    signal: Option<String>,
    /// seconds from the stop signal to SIGKILL (else as the container was created; -1 to wait
    /// for ever)
    #[argh(option, short = 't', arg_name = "int")]
    timeout: Option<String>,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Stop(Names);
pub struct Restart(Names);

struct Names {
    containers: Vec<String>,
    signal: Option<Signal>,
    timeout: Option<u32>,
}

impl Names {
    fn new(args: Args) -> Result<Names> {
        let timeout = args.timeout.map(|text| match text.as_str() {
            // The most there is, 136 years.
            "-1" => Ok(u32::MAX),
            text => number("--timeout", text),
        });
        let timeout = timeout.transpose()?;
        let signal = args.signal.map(|text| value("--signal", &text)).transpose()?;
        Ok(Names { containers: args.containers, signal, timeout })
    }
}

impl Command for Stop {
    type Args = Args;
    const NAME: &'static str = "stop";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Stop> {
        Names::new(args).map(Stop)
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.containers, |name| engine.stop(name, self.0.signal, self.0.timeout))
    }
}

impl Command for Restart {
    type Args = Args;
    const NAME: &'static str = "restart";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ABOUT: Option<&'static str> = Some("Stop and start one or more containers");

    fn new(args: Args) -> Result<Restart> {
        Names::new(args).map(Restart)
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.containers, |name| engine.restart(name, self.0.signal, self.0.timeout))
    }
}
