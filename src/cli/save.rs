//! `save`: images into an archive.

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::engine::image::save;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Save images to an archive that other engines load too
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// write to this file, not stdout
    #[argh(option, short = 'o', arg_name = "file")]
    output: Option<String>,
    #[argh(positional)]
    images: Vec<String>,
}

pub struct Save(Args);

impl Command for Save {
    type Args = Args;
    const NAME: &'static str = "save";
    const USAGE: &'static str = "IMAGE [IMAGE...]";

    fn new(args: Args) -> Result<Save> {
        output::check_archive(Save::NAME, args.output.as_deref())?;
        Ok(Save(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let store = engine.images()?;
        output::archive(self.0.output.as_deref(), |out| save(&store, &self.0.images, out))?;
        Ok(0)
    }
}
