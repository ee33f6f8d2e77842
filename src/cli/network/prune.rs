//! `network prune`: the networks that no container is to be on go.

use super::Filter;
use crate::cli::command::Command;
use crate::cli::{confirm, prune};
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Remove networks that no container is on, whether it runs or not
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// only those made until=time, with label=key[=value], or without, label!=key[=value]
    #[argh(option, arg_name = "filter")]
    filter: Vec<String>,
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
}

pub struct Prune {
    filters: Vec<Filter>,
    force: bool,
}

impl Command for Prune {
    type Args = Args;
    const NAME: &'static str = "network prune";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Prune> {
        let keys = ["label", "label!", "until"];
        let filters = args.filter.iter().map(|text| Filter::parse(text, &keys));
        Ok(Prune { filters: filters.collect::<Result<_>>()?, force: args.force })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let question = "This will remove all networks that no container is on.";
        if !self.force && !confirm::confirm(question)? {
            return Ok(0);
        }
        let pruned = engine.prune_networks(&|network| Filter::all_match(&self.filters, network))?;
        prune::list("Deleted Networks:", pruned.into_iter())?;
        Ok(0)
    }
}
