//! `--format`: Go's text/template, as people write it for Docker and Podman.
//!
//! ```text
//! json                 each thing as JSON on a line
//! {{.Name}}            a field; {{.State.Pid}} a field of a field; {{.}} the whole
//! {{json .Config}}     a field as JSON
//! table {{.ID}}\t{{.Names}}     a table with titles
//! \t \n                a tab, a newline
//! {{range $p, $conf := .NetworkSettings.Ports}} {{$p}} -> {{(index $conf 0).HostPort}} {{end}}
//! ```
//!
//! A template is read whole before anything is looked up, so a mistake in it costs nothing. Then it
//! runs on the JSON of each thing; what Go's types would tell and JSON does not is in `run`. It
//! ends, whatever it says: depth, steps and text have bounds.

mod functions;
mod print;
mod run;
mod syntax;
mod token;

#[cfg(test)]
mod tests;

pub use print::quote;

use super::table::table;
use crate::error::Result;
use run::{Thing, run};
use serde_json::Value;
use std::collections::BTreeMap;
use syntax::Node;

#[derive(Debug)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
    /// The names of all the fields in it.
    fields: Vec<String>,
    is_table: bool,
    /// Those of a table that are not made of the name of the field.
    titles: Value,
}

impl Template {
    /// What `--format` asks for; without it, and as "" or "table", it is the command's own form.
    pub fn wanted(format: Option<String>) -> Result<Option<Template>> {
        let text = format.filter(|text| !text.is_empty() && text != "table");
        text.map(|text| Template::parse(&text)).transpose()
    }

    pub fn parse(text: &str) -> Result<Template> {
        let text = if text == "json" { "{{json .}}" } else { text };
        let (is_table, text) = match text.strip_prefix("table") {
            Some(rest) if rest.starts_with([' ', '\t']) => (true, rest.trim_start()),
            _ => (false, text),
        };
        let (nodes, fields) = syntax::parse(text)?;
        let titles = Value::Object(Default::default());
        Ok(Template { text: text.to_string(), nodes, fields, is_table, titles })
    }

    /// With what Docker calls these fields in this table.
    pub fn titled<'a>(mut self, all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Template {
        self.titles = all.into_iter().map(|(field, title)| (field, Value::from(title))).collect();
        self
    }

    /// Whether it names the field.
    pub fn names(&self, field: &str) -> bool {
        self.fields.iter().any(|name| name == field)
    }

    /// The lines for `things`, each an object; in a table the titles stand first.
    pub fn render(&self, things: &[Value]) -> Result<String> {
        self.render_all(things, &|_| None)
    }

    /// The same, where `labels` tells what `.Label "key"` finds in each.
    pub fn render_all<'a>(
        &self,
        things: &'a [Value],
        labels: &dyn Fn(usize) -> Option<&'a BTreeMap<String, String>>,
    ) -> Result<String> {
        let mut lines = Vec::new();
        if self.is_table {
            let none = BTreeMap::new();
            let titles = Thing { value: &self.titles, labels: Some(&none), is_titles: true };
            lines.push(run(&self.text, &self.nodes, &titles)?);
        }
        for (at, value) in things.iter().enumerate() {
            let thing = Thing { value, labels: labels(at), is_titles: false };
            lines.push(run(&self.text, &self.nodes, &thing)?);
        }
        if !self.is_table {
            return Ok(lines.iter().map(|line| format!("{line}\n")).collect());
        }
        let cells = |line: &String| line.split('\t').map(str::to_string).collect();
        Ok(table(&lines.iter().map(cells).collect::<Vec<_>>()))
    }
}

/// Docker's title for a field: `RunningFor` is the column CREATED.
fn title_of(field: &str) -> String {
    match field {
        "RunningFor" | "CreatedSince" => return "CREATED".to_string(),
        "CreatedAt" => return "CREATED AT".to_string(),
        _ => {}
    }
    let mut title = String::new();
    let mut last_is_lower = false;
    for c in field.chars() {
        if c.is_uppercase() && last_is_lower {
            title.push(' ');
        }
        last_is_lower = c.is_lowercase();
        title.extend(c.to_uppercase());
    }
    title
}
