//! `image prune`, `container prune`, `system prune` and `gc`: what nobody needs goes.

use super::command::Command;
use super::confirm::confirm;
use super::output;
use super::rmi;
use crate::engine::Engine;
use crate::engine::image::Removed;
use crate::engine::prune::Filter;
use crate::error::Result;
use crate::types::{Timestamp, human_size};
use argh::{ArgsInfo, FromArgs};

/// Remove images that nobody needs
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct ImageArgs {
    /// those with a name too, if no container uses them
    #[argh(switch, short = 'a')]
    all: bool,
    /// only what matches: until=TIME, label=KEY[=VALUE], label!=KEY
    #[argh(option, arg_name = "filter")]
    filter: Vec<String>,
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
}

pub struct ImagePrune {
    all: bool,
    filters: Vec<Filter>,
    force: bool,
}

impl Command for ImagePrune {
    type Args = ImageArgs;
    const NAME: &'static str = "image prune";
    const USAGE: &'static str = "";

    fn new(args: ImageArgs) -> Result<ImagePrune> {
        let filters = filters(&args.filter)?;
        Ok(ImagePrune { all: args.all, filters, force: args.force })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let warning = match self.all {
            true => "This will remove all images that no container uses.",
            false => "This will remove all images without a name.",
        };
        if self.force || confirm(warning)? {
            let bytes = images(engine, self.all, &self.filters)?;
            total(bytes)?;
        }
        Ok(0)
    }
}

/// Remove the containers that do not run
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct ContainerArgs {
    /// only what matches: until=TIME, label=KEY[=VALUE], label!=KEY
    #[argh(option, arg_name = "filter")]
    filter: Vec<String>,
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
}

pub struct ContainerPrune {
    filters: Vec<Filter>,
    force: bool,
}

impl Command for ContainerPrune {
    type Args = ContainerArgs;
    const NAME: &'static str = "container prune";
    const USAGE: &'static str = "";

    fn new(args: ContainerArgs) -> Result<ContainerPrune> {
        Ok(ContainerPrune { filters: filters(&args.filter)?, force: args.force })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        if self.force || confirm("This will remove all containers that do not run.")? {
            let bytes = containers(engine, &self.filters)?;
            total(bytes)?;
        }
        Ok(0)
    }
}

/// Remove stopped containers, and images that nobody needs
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct SystemArgs {
    /// all images that no container uses, not only those without a name
    #[argh(switch, short = 'a')]
    all: bool,
    /// only what matches: until=TIME, label=KEY[=VALUE], label!=KEY
    #[argh(option, arg_name = "filter")]
    filter: Vec<String>,
    /// do not ask
    #[argh(switch, short = 'f')]
    force: bool,
    /// anonymous volumes that no container uses too
    #[argh(switch)]
    volumes: bool,
}

pub struct SystemPrune {
    all: bool,
    filters: Vec<Filter>,
    force: bool,
    volumes: bool,
}

impl Command for SystemPrune {
    type Args = SystemArgs;
    const NAME: &'static str = "system prune";
    const USAGE: &'static str = "";

    fn new(args: SystemArgs) -> Result<SystemPrune> {
        let filters = filters(&args.filter)?;
        Ok(SystemPrune { all: args.all, filters, force: args.force, volumes: args.volumes })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let which = if self.all { "that no container uses" } else { "without a name" };
        let volumes = if self.volumes { "  - anonymous volumes that none uses\n" } else { "" };
        let warning = format!(
            "This will remove:\n  - all stopped containers\n{volumes}  - all images {which}\n\
             \x20 - what was discarded and not yet removed\n"
        );
        if self.force || confirm(&warning)? {
            let discarded = engine.gc()?;
            let containers = containers(engine, &self.filters)?;
            let volumes = if self.volumes { anonymous_volumes(engine, &self.filters)? } else { 0 };
            let images = images(engine, self.all, &self.filters)?;
            let all = [discarded, containers, volumes, images];
            total(all.into_iter().fold(0, u64::saturating_add))?;
        }
        Ok(0)
    }
}

/// Remove for good what was discarded, and what crashes left
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct GcArgs {}

pub struct Gc;

impl Command for Gc {
    type Args = GcArgs;
    const NAME: &'static str = "gc";
    const USAGE: &'static str = "";

    fn new(_: GcArgs) -> Result<Gc> {
        Ok(Gc)
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let bytes = engine.gc()?;
        total(bytes)?;
        Ok(0)
    }
}

fn filters(texts: &[String]) -> Result<Vec<Filter>> {
    let now = Timestamp::now();
    texts.iter().map(|text| Filter::parse(text, now)).collect()
}

fn containers(engine: &Engine, filters: &[Filter]) -> Result<u64> {
    let pruned = engine.prune_containers(filters)?;
    list("Deleted Containers:", pruned.removed.iter().map(ToString::to_string))?;
    Ok(pruned.bytes)
}

fn anonymous_volumes(engine: &Engine, filters: &[Filter]) -> Result<u64> {
    let pruned = engine.prune_volumes(&|volume| {
        volume.is_anonymous() && Filter::all_match(filters, volume.created, &volume.labels)
    })?;
    list("Deleted Volumes:", pruned.removed.into_iter())?;
    Ok(pruned.bytes)
}

fn images(engine: &Engine, all: bool, filters: &[Filter]) -> Result<u64> {
    let pruned = engine.prune_images(all, filters)?;
    for removed in &pruned.removed {
        if let Removed::Image(id) = removed {
            engine.tell_of_image("delete", id, &id.to_string());
        }
    }
    list("Deleted Images:", pruned.removed.iter().map(rmi::text))?;
    Ok(pruned.bytes)
}

pub fn list(title: &str, lines: impl Iterator<Item = String>) -> Result<()> {
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    if lines.is_empty() {
        return Ok(());
    }
    output::text(&format!("{title}\n{lines}\n"))
}

pub fn total(bytes: u64) -> Result<()> {
    output::line(format!("Total reclaimed space: {}", human_size(bytes)))
}
