//! `history`: the steps an image was made in.

use super::command::Command;
use super::output;
use super::table::{ellipsis, table};
use super::template::Template;
use crate::engine::Engine;
use crate::engine::image::{HistoryRow, history};
use crate::error::Result;
use crate::types::{Timestamp, human_ago, human_size};
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// Width of the column CREATED BY, unless all is to be shown.
const COMMAND_WIDTH: usize = 45;

/// Show the history of an image
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json, '{{.ID}}' or 'table {{.ID}}\t{{.Size}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// show times and sizes in words (default true)
    #[argh(option, short = 'H', arg_name = "bool", default = "true")]
    human: bool,
    /// show ids and commands whole
    #[argh(switch)]
    no_trunc: bool,
    /// show ids only
    #[argh(switch, short = 'q')]
    quiet: bool,
    #[argh(positional)]
    image: String,
}

pub struct History {
    format: Option<Template>,
    human: bool,
    no_trunc: bool,
    quiet: bool,
    image: String,
}

impl Command for History {
    type Args = Args;
    const NAME: &'static str = "history";
    const USAGE: &'static str = "IMAGE";

    fn new(args: Args) -> Result<History> {
        Ok(History {
            format: Template::wanted(args.format)?.map(|it| it.titled([("ID", "IMAGE")])),
            human: args.human,
            no_trunc: args.no_trunc,
            quiet: args.quiet,
            image: args.image,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let rows = history(&engine.images()?, &self.image)?;
        output::rendered(self.format.as_ref(), &self.render(&rows, Timestamp::now())?)?;
        Ok(0)
    }
}

impl History {
    fn render(&self, rows: &[HistoryRow], now: Timestamp) -> Result<String> {
        if self.quiet {
            return Ok(rows.iter().map(|row| format!("{}\n", self.id(row))).collect());
        }
        if let Some(template) = &self.format {
            let fields: Vec<Value> = rows.iter().map(|row| self.fields(row, now)).collect();
            return template.render(&fields);
        }
        let titles = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"];
        let mut lines = vec![titles.map(String::from).to_vec()];
        lines.extend(rows.iter().map(|row| {
            let created = self.created(row, now);
            let comment = one_line(&row.comment);
            vec![self.id(row), created, self.created_by(row), self.size(row), comment]
        }));
        Ok(table(&lines))
    }

    fn fields(&self, row: &HistoryRow, now: Timestamp) -> Value {
        json!({
            "ID": self.id(row),
            "CreatedAt": created_at(row),
            "CreatedSince": self.created(row, now),
            "CreatedBy": self.created_by(row),
            "Size": self.size(row),
            "Comment": row.comment,
        })
    }

    fn id(&self, row: &HistoryRow) -> String {
        if self.no_trunc { row.id.whole() } else { row.id.short() }
    }

    fn created(&self, row: &HistoryRow, now: Timestamp) -> String {
        match row.created {
            Some(created) if self.human && !created.is_never() => human_ago(created, now),
            _ => created_at(row),
        }
    }

    fn created_by(&self, row: &HistoryRow) -> String {
        let line = one_line(&row.created_by);
        if self.no_trunc { line } else { ellipsis(&line, COMMAND_WIDTH) }
    }

    fn size(&self, row: &HistoryRow) -> String {
        if self.human { human_size(row.size) } else { row.size.to_string() }
    }
}

/// Whatever the builder wrote.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// `N/A`, as with Docker, for a step that does not say.
fn created_at(row: &HistoryRow) -> String {
    let told = row.created.filter(|created| !created.is_never());
    let seconds = told.map(|created| Timestamp::from_unix(created.unix_seconds()).to_string());
    seconds.map_or("N/A".to_string(), |text| text.replace(".000000000", ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::image::StepId;
    use crate::types::Digest;

    const NOW: i64 = 1_700_000_000;

    fn rendered(args: &[&str]) -> String {
        let row = |id, age: i64, by: &str, comment: &str, size| HistoryRow {
            id,
            created: (age >= 0).then(|| Timestamp::from_unix(NOW - age)),
            created_by: by.to_string(),
            comment: comment.to_string(),
            size,
        };
        let v1 = StepId::V1("c0ffee".repeat(11)[..64].parse().unwrap());
        let run = "/bin/sh -c echo a rather long line,\tand its\nsecond line";
        let rows = [
            row(StepId::Image(Digest::of(b"a")), 1, run, "", 58),
            row(v1, 180, "/bin/sh -c #(nop) ENV A=b", "", 0),
            row(StepId::Missing, -1, "", "Imported\nfrom -", 1_984_000),
        ];
        let args = [args, &["--", "x"]].concat();
        let history = History::new(Args::from_args(&["history"], &args).unwrap()).unwrap();
        history.render(&rows, Timestamp::from_unix(NOW)).unwrap()
    }

    #[test]
    fn the_table_is_dockers() {
        let expected = "\
IMAGE          CREATED         CREATED BY                                      SIZE      COMMENT
ca978112ca1b   1 second ago    /bin/sh -c echo a rather long line, and its …   58B       
c0ffeec0ffee   3 minutes ago   /bin/sh -c #(nop) ENV A=b                       0B        
<missing>      N/A                                                             1.98MB    Imported from -
";
        assert_eq!(rendered(&[]), expected);
        let whole = rendered(&["--no-trunc"]);
        assert!(whole.contains("and its second line   58B"), "{whole}");
        assert!(whole.contains("\nsha256:ca978112ca1bbdcafac231b39a23dc4da786"), "{whole}");
    }

    #[test]
    fn ids_numbers_and_fields_are_chosen() {
        assert_eq!(rendered(&["--quiet"]), "ca978112ca1b\nc0ffeec0ffee\n<missing>\n");
        let exact = rendered(&["--human", "false"]);
        assert!(exact.contains("   2023-11-14T22:13:19Z   "), "{exact}");
        assert!(exact.contains("   1984000   "), "{exact}");
        let fields = rendered(&["--format", "{{.ID}} {{.Size}} {{.Comment}}"]);
        assert!(fields.ends_with("<missing> 1.98MB Imported\nfrom -\n"), "{fields}");
        assert!(rendered(&["--format", "json"]).starts_with("{\"Comment\":\"\",\"CreatedAt\""));
    }
}
