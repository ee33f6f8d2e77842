//! `volume ls`: the table of volumes.

use super::{DRIVER, Filter};
use crate::cli::command::Command;
use crate::cli::listing::{Listing, Row, labels};
use crate::engine::Engine;
use crate::engine::report::Volume;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};
use serde_json::json;

/// List volumes
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show only: dangling=true|false, name=part, label=key[=value], driver=local
    #[argh(option, short = 'f', arg_name = "filter")]
    filter: Vec<String>,
    /// print by a template: json, '{{.Name}}' or 'table {{.Name}}\t{{.Mountpoint}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show names only
    #[argh(switch, short = 'q')]
    quiet: bool,
}

pub struct Ls {
    filters: Vec<Filter>,
    listing: Listing,
}

const HEAD: [&str; 2] = ["DRIVER", "VOLUME NAME"];

impl Command for Ls {
    type Args = Args;
    const NAME: &'static str = "volume ls";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Ls> {
        let keys = ["dangling", "driver", "label", "name"];
        let filters = args.filter.iter().map(|text| Filter::parse(text, &keys));
        let listing = Listing::new(args.format, args.quiet, ("Name", HEAD[1]))?;
        Ok(Ls { filters: filters.collect::<Result<_>>()?, listing })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        self.listing.show(&HEAD, self.rows(&engine.volumes()?))?;
        Ok(0)
    }
}

impl Ls {
    fn rows<'a>(&self, volumes: &'a [Volume]) -> Vec<Row<'a>> {
        let shown = volumes.iter().filter(|volume| Filter::all_match(&self.filters, volume));
        shown.map(row).collect()
    }
}

fn row(volume: &Volume) -> Row<'_> {
    let fields = json!({
        "Driver": DRIVER,
        "Labels": labels(&volume.labels),
        "Mountpoint": volume.mountpoint.display().to_string(),
        "Name": volume.name,
        "Scope": "local",
    });
    let cells = vec![DRIVER.to_string(), volume.name.clone()];
    Row { name: volume.name.clone(), cells, fields, labels: &volume.labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::volume::sample;

    #[test]
    fn the_table_is_dockers() {
        let volumes = [sample("data", &[], false), sample("web", &[("a", "1"), ("b", "")], true)];
        let rendered = |args: &[&str]| {
            let args = Args::from_args(&["volume ls"], args).unwrap();
            let ls = Ls::new(args).unwrap();
            ls.listing.render(&HEAD, ls.rows(&volumes)).unwrap()
        };
        assert_eq!(rendered(&[]), "DRIVER    VOLUME NAME\nlocal     data\nlocal     web\n");
        assert_eq!(rendered(&["--quiet", "--filter", "dangling=true"]), "data\n");
        assert_eq!(
            rendered(&["--format", "{{.Name}} {{.Labels}} {{.Mountpoint}}", "--filter", "name=w"]),
            "web a=1,b= /root/volumes/web/data\n"
        );
    }
}
