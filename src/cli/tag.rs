//! `tag`: another name for an image.

use super::command::Command;
use crate::engine::Engine;
use crate::engine::image::tag;
use crate::error::Result;
use crate::types::ImageRef;
use argh::{ArgsInfo, FromArgs};

/// Give an image another name
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// take the name from another image (always so; for scripts of 2013)
    #[argh(switch, short = 'f', long = "force", hidden_help)]
    _force: bool,
    #[argh(positional)]
    image: String,
    #[argh(positional)]
    name: String,
}

pub struct Tag {
    image: String,
    name: ImageRef,
}

impl Command for Tag {
    type Args = Args;
    const NAME: &'static str = "tag";
    const USAGE: &'static str = "IMAGE NAME[:TAG]";

    fn new(args: Args) -> Result<Tag> {
        Ok(Tag { image: args.image, name: args.name.parse()? })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        engine.begin()?;
        let name = self.name.to_string();
        let id = tag(&engine.images()?, &self.image, self.name)?;
        engine.tell_of_image("tag", &id, &name);
        Ok(0)
    }
}
