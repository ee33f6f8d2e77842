//! `load`: images from an archive.

use super::command::Command;
use super::import::input;
use super::output;
use crate::engine::Engine;
use crate::engine::image::load;
use crate::error::{Context, Result};
use argh::{ArgsInfo, FromArgs};

/// Load images from an archive: of docker save (of any year), or in OCI layout
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// read this file, not stdin
    #[argh(option, short = 'i', arg_name = "file")]
    input: Option<String>,
    /// show no progress (never done)
    #[argh(switch, short = 'q', long = "quiet")]
    _quiet: bool,
}

pub struct Load(Args);

impl Command for Load {
    type Args = Args;
    const NAME: &'static str = "load";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Load> {
        Ok(Load(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let file = self.0.input.as_deref().unwrap_or("-");
        let mut archive = input("load", file)?;
        engine.begin()?;
        let loaded = load(&engine.images()?, &mut *archive);
        for image in loaded.doing(|| format!("load {file}"))? {
            let name = image.names.first().map_or(image.id.to_string(), ToString::to_string);
            engine.tell_of_image("load", &image.id, &name);
            if image.names.is_empty() {
                output::line(format!("Loaded image ID: {}", image.id))?;
            }
            for name in image.names {
                output::line(format!("Loaded image: {name}"))?;
            }
        }
        Ok(0)
    }
}
