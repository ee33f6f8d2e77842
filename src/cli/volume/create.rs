//! `volume create`.

use super::DRIVER;
use crate::cli::command::{Command, labels};
use crate::cli::output;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::volume;
use argh::{ArgsInfo, FromArgs};
use std::collections::BTreeMap;

/// Create a volume
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// who keeps it: local
    #[argh(option, short = 'd', arg_name = "string")]
    driver: Option<String>,
    /// set a label (key=value)
    #[argh(option, arg_name = "list")]
    label: Vec<String>,
    /// its name, as the argument says it too
    #[argh(option, arg_name = "string")]
    name: Option<String>,
    #[argh(positional)]
    volume: Option<String>,
}

pub struct Create {
    name: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Command for Create {
    type Args = Args;
    const NAME: &'static str = "volume create";
    const USAGE: &'static str = "[VOLUME]";

    fn new(args: Args) -> Result<Create> {
        if let Some(driver) = args.driver.filter(|driver| driver != DRIVER) {
            return Err(Error::invalid(format!(
                "--driver: there is no volume driver \"{driver}\""
            ))
            .hint("use local"));
        }
        if args.name.is_some() && args.volume.is_some() {
            return Err(Error::invalid("--name and the argument both name the volume"));
        }
        let labels = labels("--label", &args.label)?;
        let name = args.name.or(args.volume);
        name.as_deref().map(volume::check_name).transpose()?;
        Ok(Create { name, labels })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::line(engine.create_volume(self.name.as_deref(), self.labels)?)?;
        Ok(0)
    }
}
