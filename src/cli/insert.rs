//! `insert`: an image with one more file.

use super::command::Command;
use super::import::source_date;
use super::output;
use crate::engine::image::Url;
use crate::engine::{Engine, InsertOptions};
use crate::error::{Error, Result};
use argh::{ArgsInfo, FromArgs};

/// Make an image of another and a file from a URL
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    #[argh(positional)]
    image: String,
    #[argh(positional)]
    url: String,
    #[argh(positional)]
    path: String,
}

pub struct Insert {
    image: String,
    options: InsertOptions,
}

impl Command for Insert {
    type Args = Args;
    const NAME: &'static str = "insert";
    const USAGE: &'static str = "IMAGE URL PATH";

    fn new(args: Args) -> Result<Insert> {
        if args.path.is_empty() {
            return Err(Error::invalid("an empty path").hint("PATH / takes the URL's last part"));
        }
        let url = args.url.parse::<Url>().map_err(|e| {
            e.hint("a file of this host: coracle run -v DIR:/in IMAGE cp /in/FILE PATH; commit")
        })?;
        Ok(Insert {
            image: args.image,
            options: InsertOptions {
                url,
                path: args.path,
                created: source_date(std::env::var("SOURCE_DATE_EPOCH").ok())?,
            },
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::line(engine.insert(&self.image, &self.options)?)?;
        Ok(0)
    }
}
