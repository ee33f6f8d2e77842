//! `network disconnect`.

use crate::cli::command::Command;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Take a container off a network, at once where it runs
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// also where its link cannot be taken away
    #[argh(switch, short = 'f')]
    force: bool,
    #[argh(positional)]
    names: Vec<String>,
}

pub struct Disconnect(Args);

impl Command for Disconnect {
    type Args = Args;
    const NAME: &'static str = "network disconnect";
    const USAGE: &'static str = "NETWORK CONTAINER";

    fn new(args: Args) -> Result<Disconnect> {
        Ok(Disconnect(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let [network, container] = self.0.names.try_into().unwrap_or_default();
        engine.disconnect(&network, &container, self.0.force).map(|()| 0)
    }
}
