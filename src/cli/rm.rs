//! `rm`.

use super::command::{Command, each};
use super::output;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Remove one or more containers
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// kill those that run
    #[argh(switch, short = 'f')]
    force: bool,
    /// remove a link (PARENT/ALIAS), not a container
    #[argh(switch, short = 'l')]
    link: bool,
    /// remove their anonymous volumes too, unless others use them
    #[argh(switch, short = 'v')]
    volumes: bool,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Rm(Args);

impl Command for Rm {
    type Args = Args;
    const NAME: &'static str = "rm";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Rm> {
        Ok(Rm(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let Args { force, link, volumes, mut containers } = self.0;
        if force && !link {
            // What others left is put right also where there is nothing to remove.
            engine.begin()?;
            // As Docker since 20.10: what is not there is as it should be.
            containers.retain(|name| match engine.find(name) {
                Err(error) if error.is_not_found() => {
                    output::diagnostic(&format!("coracle: {error}"));
                    false
                }
                _ => true,
            });
        }
        each(&containers, |name| match link {
            true => engine.unlink(name),
            false => engine.remove(name, force, volumes),
        })
    }
}
