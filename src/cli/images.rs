//! `images`: the table of images, or the tree of what was made from what.

use super::command::Command;
use super::table::table;
use super::template::Template;
use super::{image_tree, output};
use crate::engine::Engine;
use crate::engine::image::{self, ImageFilter, ImageRow};
use crate::error::{Error, Result};
use crate::types::{Glob, ImageRef, Timestamp, human_ago, human_size};
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// List images
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show all images, also those without a name that others were made from
    #[argh(switch, short = 'a')]
    all: bool,
    /// show digests (known of images that were pulled)
    #[argh(switch)]
    digests: bool,
    /// show those that match: before=, dangling=, label=, reference=, since=, until=
    #[argh(option, short = 'f', arg_name = "list")]
    filter: Vec<String>,
    /// print by a template: json, '{{.ID}}' or 'table {{.Repository}}\t{{.Size}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show ids whole
    #[argh(switch)]
    no_trunc: bool,
    /// show ids only
    #[argh(switch, short = 'q')]
    quiet: bool,
    /// draw which image was made from which
    #[argh(switch, short = 't')]
    tree: bool,
    /// the same for Graphviz: images --viz | dot -Tpng -o images.png
    #[argh(switch, short = 'v')]
    viz: bool,
    #[argh(positional)]
    repository: Option<String>,
}

pub struct Images {
    all: bool,
    digests: bool,
    filters: Vec<ImageFilter>,
    format: Option<Template>,
    no_trunc: bool,
    quiet: bool,
    graph: Option<Graph>,
    /// What was given, and as a pattern.
    wanted: Option<(String, Glob)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Graph {
    Tree,
    Viz,
}

impl Command for Images {
    type Args = Args;
    const NAME: &'static str = "images";
    const USAGE: &'static str = "[REPOSITORY[:TAG]]";

    fn new(args: Args) -> Result<Images> {
        let graph = match (args.tree, args.viz) {
            (true, true) => return Err(Error::invalid("either --tree or --viz")),
            (true, false) => Some(Graph::Tree),
            (false, true) => Some(Graph::Viz),
            (false, false) => None,
        };
        if graph.is_some() && (args.format.is_some() || args.quiet || !args.filter.is_empty()) {
            return Err(Error::invalid("--tree and --viz draw all: no --format, -q or --filter"));
        }
        let pattern = |text: String| text.parse().map(|pattern| (text, pattern));
        let now = Timestamp::now();
        let filters = args.filter.iter().map(|text| ImageFilter::parse(text, now));
        Ok(Images {
            all: args.all,
            digests: args.digests,
            filters: filters.collect::<Result<_>>()?,
            format: Template::wanted(args.format)?.map(|it| it.titled([("ID", "IMAGE ID")])),
            no_trunc: args.no_trunc,
            quiet: args.quiet,
            graph,
            wanted: args.repository.map(pattern).transpose()?,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let store = engine.images()?;
        let text = match self.graph {
            None => {
                self.render(&image::images(&store, self.all, &self.filters)?, Timestamp::now())?
            }
            Some(graph) => {
                let mut tree = image::image_tree(&store)?;
                if let Some((name, _)) = &self.wanted {
                    tree = tree.from(&store.resolve(name)?);
                }
                match graph {
                    Graph::Tree => image_tree::text(&tree, self.no_trunc),
                    Graph::Viz => image_tree::graphviz(&tree, self.no_trunc),
                }
            }
        };
        output::rendered(self.format.as_ref(), &text)?;
        for odd in store.refs()?.odd() {
            output::diagnostic(&format!("warning: {odd}: {}", odd.hints().join("; ")));
        }
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
        let titles = ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"];
        let mut lines = vec![titles.map(String::from).to_vec()];
        lines.extend(rows.iter().map(|row| {
            let [repository, tag, digest] = [name(row).0, name(row).1, NO_DIGEST].map(String::from);
            vec![repository, tag, digest, self.id(row), created(row, now), size(row)]
        }));
        if !self.digests {
            lines.iter_mut().for_each(|line| drop(line.remove(2)));
        }
        Ok(table(&lines))
    }

    fn is_wanted(&self, row: &ImageRow) -> bool {
        self.wanted.as_ref().is_none_or(|(_, pattern)| {
            row.name.as_ref().is_some_and(|name| image::matches(pattern, name))
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
            "Digest": NO_DIGEST,
            "CreatedSince": created(row, now),
            "CreatedAt": row.created.unwrap_or_default().whole_seconds().in_go(),
            "Size": size(row),
        })
    }
}

/// Digests are those of registries, and no image comes from one yet.
const NO_DIGEST: &str = "<none>";

pub fn name(row: &ImageRow) -> (&str, &str) {
    let name = row.name.as_ref();
    name.map_or(("<none>", "<none>"), |name| (ImageRef::repository(name), name.tag()))
}

/// `N/A`, as with Docker, for an image that does not say.
pub fn created(row: &ImageRow, now: Timestamp) -> String {
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
        assert_eq!(rendered(&["--quiet", "busy*"]), "ca978112ca1b\n");
        let ids = rendered(&["--quiet", "--no-trunc"]);
        assert!(ids.starts_with(
            "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n"
        ));
        assert_eq!(
            rendered(&["--format", "{{.Repository}}:{{.Tag}}", "busybox:latest"]),
            "busybox:latest\n"
        );
        let table = rendered(&["--digests", "busybox:latest"]);
        assert!(table.starts_with("REPOSITORY   TAG       DIGEST    IMAGE ID "), "{table}");
        assert!(table.contains("\nbusybox      latest    <none>    ca978112ca1b "), "{table}");
    }

    #[test]
    fn a_graph_is_drawn_of_all() {
        for args in [&["--tree", "--viz"][..], &["--tree", "--quiet"], &["--viz", "--format", "x"]]
        {
            assert!(Images::new(Args::from_args(&["images"], args).unwrap()).is_err(), "{args:?}");
        }
    }
}
