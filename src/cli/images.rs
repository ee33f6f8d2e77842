//! `images`: the table of images.

use super::command::Command;
use super::output;
use super::table::table;
use super::template::Template;
use crate::engine::Engine;
use crate::engine::image::{ImageRow, images};
use crate::error::Result;
use crate::types::{ImageRef, Timestamp, human_ago, human_size};
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// List images
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show all images (there are no others yet)
    #[argh(switch, short = 'a', long = "all")]
    _all: bool,
    /// print by a template: json, '{{.ID}}' or 'table {{.Repository}}\t{{.Size}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show ids whole
    #[argh(switch)]
    no_trunc: bool,
    /// show ids only
    #[argh(switch, short = 'q')]
    quiet: bool,
    #[argh(positional)]
    repository: Option<String>,
}

pub struct Images {
    format: Option<Template>,
    no_trunc: bool,
    quiet: bool,
    /// `repository` or `repository:tag`
    wanted: Option<(String, Option<String>)>,
}

impl Command for Images {
    type Args = Args;
    const NAME: &'static str = "images";
    const USAGE: &'static str = "[REPOSITORY[:TAG]]";

    fn new(args: Args) -> Result<Images> {
        let wanted = args.repository.map(|text| match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name.to_string(), Some(tag.to_string())),
            _ => (text, None),
        });
        Ok(Images {
            format: args.format.map(|text| Template::parse(&text)).transpose()?,
            no_trunc: args.no_trunc,
            quiet: args.quiet,
            wanted,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        output::text(&self.render(&images(&engine.images()?)?, Timestamp::now())?)?;
        Ok(0)
    }
}

impl Images {
    fn render(&self, rows: &[ImageRow], now: Timestamp) -> Result<String> {
        let rows: Vec<&ImageRow> = rows.iter().filter(|row| self.is_wanted(row)).collect();
        if let (Some(template), false) = (&self.format, self.quiet) {
            let fields: Vec<Value> = rows.iter().map(|row| self.fields(row, now)).collect();
            return template.render(&fields);
        }
        if self.quiet {
            let mut ids = Vec::new();
            for row in rows {
                let id = self.id(row);
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            return Ok(ids.iter().map(|id| format!("{id}\n")).collect());
        }
        let titles = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        let mut lines = vec![titles.map(String::from).to_vec()];
        lines.extend(rows.iter().map(|row| {
            let (repository, tag) = name(row);
            vec![repository.into(), tag.into(), self.id(row), created(row, now), size(row)]
        }));
        Ok(table(&lines))
    }

    fn is_wanted(&self, row: &ImageRow) -> bool {
        let (repository, tag) = name(row);
        self.wanted.as_ref().is_none_or(|(wanted, wanted_tag)| {
            repository == wanted && wanted_tag.as_ref().is_none_or(|wanted| tag == wanted)
        })
    }

    fn id(&self, row: &ImageRow) -> String {
        if self.no_trunc { row.id.to_string() } else { row.id.short() }
    }

    fn fields(&self, row: &ImageRow, now: Timestamp) -> Value {
        let (repository, tag) = name(row);
        json!({
            "ID": self.id(row),
            "Repository": repository,
            "Tag": tag,
            "CreatedSince": created(row, now),
            "CreatedAt": row.created.unwrap_or_default(),
            "Size": size(row),
        })
    }
}

fn name(row: &ImageRow) -> (&str, &str) {
    let name = row.name.as_ref();
    name.map_or(("<none>", "<none>"), |name| (ImageRef::repository(name), name.tag()))
}

/// `N/A`, as with Docker, for an image that does not say.
fn created(row: &ImageRow, now: Timestamp) -> String {
    row.created.map_or("N/A".to_string(), |created| human_ago(created, now))
}

fn size(row: &ImageRow) -> String {
    row.size.map_or("damaged".to_string(), human_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Digest;

    const NOW: i64 = 1_700_000_000;

    fn rendered(args: &[&str]) -> String {
        let row = |data: &[u8], name: Option<&str>, age, size| ImageRow {
            id: Digest::of(data),
            name: name.map(|name| name.parse().unwrap()),
            created: Some(Timestamp::from_unix(NOW - age)),
            size: Some(size),
        };
        let rows = [
            row(b"a", Some("busybox:1.36"), 180, 4_430_000),
            row(b"a", Some("busybox:latest"), 180, 4_430_000),
            row(b"b", None, 7200, 512),
        ];
        let images = Images::new(Args::from_args(&["images"], args).unwrap()).unwrap();
        images.render(&rows, Timestamp::from_unix(NOW)).unwrap()
    }

    #[test]
    fn each_name_of_an_image_is_a_row() {
        let expected = "\
REPOSITORY   TAG       IMAGE ID       CREATED         SIZE
busybox      1.36      ca978112ca1b   3 minutes ago   4.43MB
busybox      latest    ca978112ca1b   3 minutes ago   4.43MB
<none>       <none>    3e23e8160039   2 hours ago     512B
";
        assert_eq!(rendered(&[]), expected);
    }

    #[test]
    fn ids_and_names_are_chosen() {
        assert_eq!(rendered(&["--quiet"]), "ca978112ca1b\n3e23e8160039\n");
        assert_eq!(rendered(&["--quiet", "busybox"]), "ca978112ca1b\n");
        assert_eq!(rendered(&["--quiet", "busybox:none"]), "");
        let ids = rendered(&["--quiet", "--no-trunc"]);
        assert!(ids.starts_with(
            "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n"
        ));
        assert_eq!(
            rendered(&["--format", "{{.Repository}}:{{.Tag}}", "busybox:latest"]),
            "busybox:latest\n"
        );
    }
}
