//! `volume ls`: the table of volumes.

use super::{DRIVER, Filter};
use crate::cli::command::Command;
use crate::cli::output;
use crate::cli::table::table;
use crate::cli::template::Template;
use crate::engine::Engine;
use crate::engine::report::Volume;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

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
    format: Option<Template>,
    quiet: bool,
}

impl Command for Ls {
    type Args = Args;
    const NAME: &'static str = "volume ls";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Ls> {
        let keys = ["dangling", "driver", "label", "name"];
        let filters = args.filter.iter().map(|text| Filter::parse(text, &keys));
        Ok(Ls {
            filters: filters.collect::<Result<_>>()?,
            format: Template::wanted(args.format)?,
            quiet: args.quiet,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::rendered(self.format.as_ref(), &self.render(&engine.volumes()?)?)?;
        Ok(0)
    }
}

impl Ls {
    fn render(&self, volumes: &[Volume]) -> Result<String> {
        let shown = volumes.iter().filter(|volume| Filter::all_match(&self.filters, volume));
        if self.quiet {
            return Ok(shown.map(|volume| format!("{}\n", volume.name)).collect());
        }
        if let Some(template) = &self.format {
            let shown: Vec<&Volume> = shown.collect();
            let fields: Vec<Value> = shown.iter().map(|volume| fields(volume)).collect();
            return template.render_all(&fields, &|at| Some(&shown[at].labels));
        }
        let mut lines = vec![["DRIVER", "VOLUME NAME"].map(String::from).to_vec()];
        lines.extend(shown.map(|volume| vec![DRIVER.to_string(), volume.name.clone()]));
        Ok(table(&lines))
    }
}

fn fields(volume: &Volume) -> Value {
    let labels = volume.labels.iter().map(|(key, value)| format!("{key}={value}"));
    json!({
        "Driver": DRIVER,
        "Labels": labels.collect::<Vec<_>>().join(","),
        "Mountpoint": volume.mountpoint.display().to_string(),
        "Name": volume.name,
        "Scope": "local",
    })
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
            Ls::new(args).unwrap().render(&volumes).unwrap()
        };
        assert_eq!(rendered(&[]), "DRIVER    VOLUME NAME\nlocal     data\nlocal     web\n");
        assert_eq!(rendered(&["--quiet", "--filter", "dangling=true"]), "data\n");
        assert_eq!(
            rendered(&["--format", "{{.Name}} {{.Labels}} {{.Mountpoint}}", "--filter", "name=w"]),
            "web a=1,b= /root/volumes/web/data\n"
        );
    }
}
