//! `import`: a tar becomes an image.

use super::command::{Command, number};
use super::output;
use crate::engine::Engine;
use crate::engine::image::{ImportOptions, Url, fetch, import, url};
use crate::error::{Error, OsContext, Result};
use crate::image::change;
use crate::image::config::RunConfig;
use crate::types::Timestamp;
use argh::{ArgsInfo, FromArgs};
use std::io::{IsTerminal, Read};

/// Make an image from a tar of a root file system
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// apply a Dockerfile instruction to the image's configuration
    #[argh(option, short = 'c', arg_name = "list")]
    change: Vec<String>,
    /// a comment for the image's history
    #[argh(option, short = 'm', arg_name = "string")]
    message: Option<String>,
    #[argh(positional)]
    file: String,
    #[argh(positional)]
    name: Option<String>,
}

pub struct Import {
    file: String,
    url: Option<Url>,
    options: ImportOptions,
}

impl Command for Import {
    type Args = Args;
    const NAME: &'static str = "import";
    const USAGE: &'static str = "FILE|URL|- [NAME[:TAG]]";

    fn new(args: Args) -> Result<Import> {
        let mut config = RunConfig::default();
        for instruction in &args.change {
            change::apply(&mut config, instruction)?;
        }
        Ok(Import {
            options: ImportOptions {
                name: args.name.map(|text| text.parse()).transpose()?,
                config,
                message: args.message,
                created: source_date(std::env::var("SOURCE_DATE_EPOCH").ok())?,
                source: args.file.clone(),
            },
            url: url(&args.file)?,
            file: args.file,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let mut archive = match &self.url {
            Some(url) => fetch(url)?,
            None => input("import -", &self.file)?,
        };
        engine.begin()?;
        let id = import(&engine.images()?, &mut *archive, &self.options)?;
        let name = self.options.name.as_ref().map_or(id.to_string(), ToString::to_string);
        engine.tell_of_image("import", &id, &name);
        output::line(id)?;
        Ok(0)
    }
}

/// The time that builders are to use in place of the present one, so that the same input gives the
/// same image (reproducible-builds.org/specs/source-date-epoch).
pub fn source_date(seconds: Option<String>) -> Result<Option<Timestamp>> {
    let seconds = seconds.filter(|text| !text.is_empty());
    let seconds = seconds.map(|text| number::<u32>("SOURCE_DATE_EPOCH", &text)).transpose()?;
    Ok(seconds.map(|seconds| Timestamp::from_unix(seconds.into())))
}

/// The named file, or stdin for `-`, which nobody types an archive into.
pub fn input(command: &str, file: &str) -> Result<Box<dyn Read>> {
    let stdin = std::io::stdin();
    Ok(match file {
        "-" if stdin.is_terminal() => {
            let error = Error::invalid("stdin is a terminal, not an archive");
            return Err(error.hint(format!("name a file, or use {command} <FILE")));
        }
        "-" => Box::new(stdin.lock()),
        file => Box::new(std::fs::File::open(file).on("open", file)?),
    })
}
