//! How `network ls` and `volume ls` show what there is: a table, names alone (`-q`), or by a
//! template.

use super::output;
use super::table::table;
use super::template::Template;
use crate::error::Result;
use serde_json::Value;
use std::collections::BTreeMap;

/// What was asked of a list.
pub struct Listing {
    format: Option<Template>,
    quiet: bool,
}

/// One of those that are shown.
pub struct Row<'a> {
    /// All that is shown of it with `-q`.
    pub name: String,
    pub cells: Vec<String>,
    /// For templates.
    pub fields: Value,
    pub labels: &'a BTreeMap<String, String>,
}

impl Listing {
    /// `name` is the field by which things are told apart, and its title.
    pub fn new(format: Option<String>, quiet: bool, name: (&str, &str)) -> Result<Listing> {
        let format = Template::wanted(format)?.map(|it| it.titled([name]));
        Ok(Listing { format, quiet })
    }

    pub fn show(&self, head: &[&str], rows: Vec<Row>) -> Result<()> {
        output::rendered(self.format.as_ref(), &self.render(head, rows)?)
    }

    pub fn render(&self, head: &[&str], rows: Vec<Row>) -> Result<String> {
        if self.quiet {
            return Ok(rows.iter().map(|row| format!("{}\n", row.name)).collect());
        }
        if let Some(template) = &self.format {
            let fields: Vec<Value> = rows.iter().map(|row| row.fields.clone()).collect();
            return template.render_all(&fields, &|at| Some(rows[at].labels));
        }
        let head = head.iter().map(|title| title.to_string()).collect();
        let lines: Vec<_> =
            std::iter::once(head).chain(rows.into_iter().map(|r| r.cells)).collect();
        Ok(table(&lines))
    }
}

/// Docker's `Labels` of a list.
pub fn labels(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
