//! `commit`: a container becomes an image.

use super::command::Command;
use super::import::source_date;
use super::output;
use crate::engine::{CommitOptions, Engine};
use crate::error::Result;
use crate::image::config::RunConfig;
use crate::image::{change, run_json};
use argh::{ArgsInfo, FromArgs};

/// Make an image from what a container changed
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// who made it: "John Hannibal Smith <hannibal@a-team.com>"
    #[argh(option, short = 'a', arg_name = "string", default = "String::new()")]
    author: String,
    /// apply a Dockerfile instruction to the image's configuration
    #[argh(option, short = 'c', arg_name = "list")]
    change: Vec<String>,
    /// a comment for the image's history
    #[argh(option, short = 'm', arg_name = "string", default = "String::new()")]
    message: String,
    /// have the container stand still meanwhile (default true)
    #[argh(option, short = 'p', arg_name = "bool", default = "true")]
    pause: bool,
    /// configuration in JSON: '{"Cmd": ["ls"], "PortSpecs": ["22"]}'
    #[argh(option, arg_name = "string")]
    run: Option<String>,
    #[argh(positional)]
    container: String,
    #[argh(positional)]
    name: Option<String>,
}

pub struct Commit {
    container: String,
    options: CommitOptions,
}

impl Command for Commit {
    type Args = Args;
    const NAME: &'static str = "commit";
    const USAGE: &'static str = "CONTAINER [REPOSITORY[:TAG]]";

    fn new(args: Args) -> Result<Commit> {
        for instruction in &args.change {
            change::apply(&mut RunConfig::default(), instruction)?;
        }
        let run = args.run.filter(|text| !text.is_empty());
        Ok(Commit {
            container: args.container,
            options: CommitOptions {
                name: args.name.map(|text| text.parse()).transpose()?,
                message: args.message,
                author: args.author,
                changes: args.change,
                run: run.map(|text| run_json::parse(&text)).transpose()?.unwrap_or_default(),
                pause: args.pause,
                created: source_date(std::env::var("SOURCE_DATE_EPOCH").ok())?,
            },
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::line(engine.commit(&self.container, self.options)?)?;
        Ok(0)
    }
}
