//! `network rm`.

use crate::cli::command::{Command, each};
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Remove one or more networks on which no container runs
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// those that are not there are fine
    #[argh(switch, short = 'f')]
    force: bool,
    #[argh(positional)]
    networks: Vec<String>,
}

pub struct Rm(Args);

impl Command for Rm {
    type Args = Args;
    const NAME: &'static str = "network rm";
    const USAGE: &'static str = "NETWORK [NETWORK...]";

    fn new(args: Args) -> Result<Rm> {
        Ok(Rm(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        each(&self.0.networks, |name| engine.remove_network(name, self.0.force))
    }
}
