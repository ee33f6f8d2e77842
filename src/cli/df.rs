//! `system df`: what takes room on the disk.

use super::command::Command;
use super::images::{created, name};
use super::output;
use super::ps;
use super::table::table;
use super::template::Template;
use crate::engine::Engine;
use crate::engine::usage::{DiskUsage, Total};
use crate::error::{Error, Result};
use crate::types::{Timestamp, human_size};
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// Show what takes room on the disk
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.Type}} {{.Size}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show each image, container and volume
    #[argh(switch, short = 'v')]
    verbose: bool,
}

pub struct Df {
    format: Option<Template>,
    verbose: bool,
}

impl Command for Df {
    type Args = Args;
    const NAME: &'static str = "system df";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Df> {
        if args.verbose && args.format.is_some() {
            return Err(Error::invalid("either --verbose or --format"));
        }
        Ok(Df { format: Template::wanted(args.format)?, verbose: args.verbose })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let usage = engine.disk_usage()?;
        let rows = rows(&usage);
        let text = match &self.format {
            _ if self.verbose => details(&usage, Timestamp::now()),
            Some(template) => {
                let fields: Vec<Value> = rows.iter().map(fields).collect();
                template.render(&fields)?
            }
            None => {
                let titles = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"];
                with_titles(titles, rows)
            }
        };
        output::rendered(self.format.as_ref(), &text)?;
        Ok(0)
    }
}

fn with_titles<const N: usize>(
    titles: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut lines = vec![titles.map(String::from).to_vec()];
    lines.extend(rows.into_iter().map(Vec::from));
    table(&lines)
}

fn rows(usage: &DiskUsage) -> Vec<[String; 5]> {
    let kinds = [
        ("Images", usage.image_total()),
        ("Containers", usage.container_total()),
        ("Local Volumes", usage.volume_total()),
        ("Trash", usage.trash_total()),
    ];
    let row = |(kind, total): (&str, Total)| {
        let percent = total.reclaimable.saturating_mul(100).checked_div(total.bytes).unwrap_or(0);
        [
            kind.to_string(),
            total.count.to_string(),
            total.active.to_string(),
            human_size(total.bytes),
            format!("{} ({percent}%)", human_size(total.reclaimable)),
        ]
    };
    kinds.into_iter().map(row).collect()
}

/// A table of each kind, as Docker has them.
fn details(usage: &DiskUsage, now: Timestamp) -> String {
    let images = usage.images.iter().map(|image| {
        let (repository, tag) = name(&image.row);
        let size = image.row.size.unwrap_or_default();
        [
            repository.to_string(),
            tag.to_string(),
            image.row.id.short(),
            created(&image.row, now),
            human_size(size),
            human_size(size.saturating_sub(image.unique)),
            human_size(image.unique),
            image.containers.to_string(),
        ]
    });
    let containers = usage.containers.iter().map(|(container, size)| {
        let row = ps::Row::new(container, false, None, now);
        [
            row.id,
            row.image,
            row.command,
            container.volumes().count().to_string(),
            human_size(size.taken),
            row.running_for,
            row.status,
            row.name,
        ]
    });
    let volumes = usage
        .volumes
        .iter()
        .map(|usage| [usage.volume.name.clone(), usage.links.to_string(), human_size(usage.bytes)]);
    let image_titles = [
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ];
    let container_titles =
        ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"];
    format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Trash: {}\n",
        with_titles(image_titles, images),
        with_titles(container_titles, containers),
        with_titles(["VOLUME NAME", "LINKS", "SIZE"], volumes),
        human_size(usage.trash),
    )
}

fn fields([kind, total, active, size, reclaimable]: &[String; 5]) -> Value {
    json!({
        "Type": kind,
        "TotalCount": total,
        "Active": active,
        "Size": size,
        "Reclaimable": reclaimable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::volume::sample as volume;
    use crate::engine::image::ImageRow;
    use crate::engine::report::sample;
    use crate::engine::usage::{ContainerSize, ImageUsage, Layers, VolumeUsage};
    use crate::types::Digest;

    #[test]
    fn each_kind_is_a_row() {
        let layers = Layers { bytes: 4_000_000, unused: 1_000_000 };
        let rows = rows(&DiskUsage { layers, trash: 12, ..DiskUsage::default() });
        assert_eq!(rows[0], ["Images", "0", "0", "4MB", "1MB (25%)"]);
        assert_eq!(rows[2], ["Local Volumes", "0", "0", "0B", "0B (0%)"]);
        assert_eq!(rows[3], ["Trash", "0", "0", "12B", "12B (100%)"]);
    }

    #[test]
    fn details_are_dockers_tables() {
        let image = ImageRow {
            id: Digest::of(b"a"),
            name: Some("web:1".parse().unwrap()),
            created: None,
            size: Some(5_000),
        };
        let usage = DiskUsage {
            images: vec![ImageUsage { row: image, unique: 1_000, containers: 2 }],
            containers: vec![(
                sample("box", "6"),
                ContainerSize { taken: 7, ..Default::default() },
            )],
            volumes: vec![VolumeUsage { volume: volume("data", &[], true), bytes: 3, links: 1 }],
            ..DiskUsage::default()
        };
        let expected = "\
Images space usage:

REPOSITORY   TAG       IMAGE ID       CREATED   SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS
web          1         ca978112ca1b   N/A       5kB       4kB           1kB           2

Containers space usage:

CONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE      CREATED          STATUS    NAMES
666666666666   busybox   \"sh\"      0               7B        10 seconds ago   Created   box

Local Volumes space usage:

VOLUME NAME   LINKS     SIZE
data          1         3B

Trash: 0B
";
        assert_eq!(details(&usage, Timestamp::from_unix(1_400_000_010)), expected);
    }
}
