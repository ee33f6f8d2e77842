//! `volume prune`: the volumes that no container uses go.

use super::Filter;
use crate::cli::command::Command;
use crate::cli::{confirm, prune};
use crate::engine::Engine;
use crate::engine::report::Volume;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Remove volumes that no container uses
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// those with a name too, not only the anonymous ones
    #[argh(switch, short = 'a')]
    all: bool,
    /// only those with label=key[=value], or without, label!=key[=value]
    #[argh(option, arg_name = "filter")]
    filter: Vec<String>,
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
}

pub struct Prune {
    all: bool,
    filters: Vec<Filter>,
    force: bool,
}

impl Command for Prune {
    type Args = Args;
    const NAME: &'static str = "volume prune";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Prune> {
        let keys = ["all", "label", "label!"];
        let filters = args.filter.iter().map(|text| Filter::parse(text, &keys));
        let filters: Vec<Filter> = filters.collect::<Result<_>>()?;
        let all = args.all || filters.contains(&Filter::All(true));
        Ok(Prune { all, filters, force: args.force })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let which = if self.all { "all volumes" } else { "the anonymous volumes" };
        let question = format!("This will remove {which} that no container uses.");
        if !self.force && !confirm::confirm(&question)? {
            return Ok(0);
        }
        let pruned = engine.prune_volumes(&|volume| self.is_meant(volume))?;
        prune::list("Deleted Volumes:", pruned.removed.into_iter())?;
        prune::total(pruned.bytes)?;
        Ok(0)
    }
}

impl Prune {
    fn is_meant(&self, volume: &Volume) -> bool {
        (self.all || volume.is_anonymous()) && Filter::all_match(&self.filters, volume)
    }
}
