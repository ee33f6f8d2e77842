//! `--format`: the part of Go's text/template that people type most.
//!
//! ```text
//! json                 each thing as JSON on a line
//! {{.Name}}            a field; {{.State.Pid}} a field of a field; {{.}} the whole
//! {{json .Config}}     a field as JSON
//! table {{.ID}}\t{{.Names}}     a table with titles
//! \t \n                a tab, a newline
//! ```
//!
//! A template is parsed before anything is looked up, so a mistake in it costs nothing.

use super::table::table;
use super::{json, output};
use crate::error::{Error, Result};
use crate::types::nearest;
use serde_json::Value;

#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
    is_table: bool,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Field { path: Vec<String>, as_json: bool },
}

impl Template {
    /// What `--format` asks for; without it, and as "" or "table", it is the command's own form.
    pub fn wanted(format: Option<String>) -> Result<Option<Template>> {
        let text = format.filter(|text| !text.is_empty() && text != "table");
        text.map(|text| Template::parse(&text)).transpose()
    }

    pub fn parse(text: &str) -> Result<Template> {
        if text == "json" {
            let whole = Part::Field { path: Vec::new(), as_json: true };
            return Ok(Template { parts: vec![whole], is_table: false });
        }
        let (is_table, text) = match text.strip_prefix("table") {
            Some(rest) if rest.starts_with([' ', '\t']) => (true, rest.trim_start()),
            _ => (false, text),
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let (before, action) = rest.split_at(open);
            push_text(&mut parts, before);
            let Some(close) = action.find("}}") else {
                return Err(Error::invalid(format!("--format: \"{action}\" has no closing }}}}")));
            };
            parts.push(field(&action[2..close])?);
            rest = &action[close + 2..];
        }
        push_text(&mut parts, rest);
        Ok(Template { parts, is_table })
    }

    /// Whether it names the field.
    pub fn names(&self, field: &str) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Field { path, .. } => path.first().is_some_and(|name| name == field),
            Part::Text(_) => false,
        })
    }

    /// The lines for `things`, each an object; in a table the titles stand first.
    pub fn render(&self, things: &[Value]) -> Result<String> {
        let mut lines = Vec::new();
        for thing in things {
            lines.push(self.line(thing)?);
        }
        if !self.is_table {
            return Ok(lines.iter().map(|line| format!("{line}\n")).collect());
        }
        lines.insert(0, self.titles());
        let cells = |line: &String| line.split('\t').map(str::to_string).collect();
        Ok(table(&lines.iter().map(cells).collect::<Vec<_>>()))
    }

    fn line(&self, thing: &Value) -> Result<String> {
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field { path, as_json } => {
                    let value = look_up(thing, path)?;
                    let text = if *as_json { json::compact(value) } else { words(value) };
                    line.push_str(&output::shown(&text));
                }
            }
        }
        Ok(line)
    }

    fn titles(&self) -> String {
        let title = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field { path, .. } => path.last().map(|name| title_of(name)).unwrap_or_default(),
        };
        self.parts.iter().map(title).collect()
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.replace("\\t", "\t").replace("\\n", "\n")));
    }
}

/// What stands between `{{` and `}}`.
fn field(action: &str) -> Result<Part> {
    let words: Vec<&str> = action.trim_matches('-').split_whitespace().collect();
    let (path, as_json) = match words[..] {
        [path] => (path, false),
        ["json", path] => (path, true),
        _ => ("", false),
    };
    let names = path.strip_prefix('.').map(|rest| match rest {
        "" => Vec::new(),
        rest => rest.split('.').map(str::to_string).collect(),
    });
    let fits =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    match names {
        Some(path) if path.iter().all(fits) => Ok(Part::Field { path, as_json }),
        _ => Err(Error::invalid(format!("--format: cannot use {{{{{action}}}}}"))
            .hint("use {{.Field}}, {{.Field.Field}}, {{json .Field}} or json")),
    }
}

fn look_up<'a>(thing: &'a Value, path: &[String]) -> Result<&'a Value> {
    let mut value = thing;
    for (depth, name) in path.iter().enumerate() {
        value = match value {
            Value::Object(map) if map.contains_key(name) => &map[name],
            other => {
                let error = Error::invalid(format!(
                    "--format: there is no field .{} here",
                    path[..=depth].join(".")
                ));
                let names = other.as_object().into_iter().flat_map(|map| map.keys());
                let meant = nearest(name, names.map(String::as_str));
                return Err(match meant {
                    Some(meant) => error.hint(format!("did you mean {meant}?")),
                    None => error,
                });
            }
        };
    }
    Ok(value)
}

/// A value as Go prints it.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(words).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", words(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        plain => plain.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(template: &str) -> Result<String> {
        let thing = json!({
            "ID": "6eccc8e5ac10",
            "Names": "web",
            "State": {"Pid": 7, "Running": true, "Error": ""},
            "Args": ["a", "b c"],
            "Labels": {"x": "1", "a": "2"},
            "Nothing": null,
        });
        Template::parse(template)?.render(&[thing])
    }

    #[test]
    fn fields_come_out_as_from_go() {
        for (template, text) in [
            ("{{.ID}}", "6eccc8e5ac10\n"),
            ("{{ .State.Pid }}/{{.State.Running}}", "7/true\n"),
            (r"{{.ID}}\t{{.Names}}\n", "6eccc8e5ac10\tweb\n\n"),
            ("{{.Args}} {{.Labels}} {{.Nothing}}", "[a b c] map[a:2 x:1] <no value>\n"),
            ("{{json .Args}}", "[\"a\",\"b c\"]\n"),
            ("{{json .State.Pid}}", "7\n"),
            ("plain", "plain\n"),
            ("", "\n"),
        ] {
            assert_eq!(rendered(template).unwrap(), text, "{template}");
        }
        assert_eq!(rendered("json").unwrap(), rendered("{{json .}}").unwrap());
    }

    #[test]
    fn nothing_and_table_alone_ask_for_the_form_without_a_template() {
        for text in [None, Some(""), Some("table")] {
            assert!(Template::wanted(text.map(String::from)).unwrap().is_none());
        }
        assert!(Template::wanted(Some("json".to_string())).unwrap().is_some());
    }

    #[test]
    fn a_table_has_titles() {
        let text = rendered(r"table {{.Names}}\t{{.ID}}").unwrap();
        assert_eq!(text, "NAMES     ID\nweb       6eccc8e5ac10\n");
        assert_eq!(title_of("RunningFor"), "CREATED");
        assert_eq!(title_of("LocalVolumes"), "LOCAL VOLUMES");
    }

    #[test]
    fn mistakes_are_named() {
        for (template, text) in [
            ("{{.Name}}", "--format: there is no field .Name here"),
            ("{{.State.Pod}}", "--format: there is no field .State.Pod here"),
            ("{{.ID.x}}", "--format: there is no field .ID.x here"),
            ("{{.ID", "--format: \"{{.ID\" has no closing }}"),
            ("{{range .Args}}", "--format: cannot use {{range .Args}}"),
            ("{{ID}}", "--format: cannot use {{ID}}"),
            ("{{}}", "--format: cannot use {{}}"),
        ] {
            assert_eq!(rendered(template).unwrap_err().to_string(), text);
        }
        assert_eq!(rendered("{{.Name}}").unwrap_err().hints(), ["did you mean Names?"]);
    }

    #[test]
    fn templates_of_the_corpus_are_parsed_or_told() {
        let words = ["{{", "}}", ".", "json", "table ", "\\t", " ", "-"];
        crate::types::corpus::fuzz("template", &words, 10_000, |text| {
            let template = Template::parse(&String::from_utf8_lossy(text));
            let template = template.map_err(|e| e.to_string())?;
            let _ = template.render(&[serde_json::json!({"ID": "x", "Config": {"A": [1, null]}})]);
            Ok(())
        });
    }
}
