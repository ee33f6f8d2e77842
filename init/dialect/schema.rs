//! The tables of `keys` as a JSON Schema (for editors) and as a commented cox.toml.

use super::keys::{ON_SIGNAL, SECTIONS, SERVICE, TOP};
use super::typed::{Field, Type};
use std::fmt::Write;

/// What `cox schema` prints: draft 7 of json-schema.org.
pub fn schema() -> String {
    let mut text = String::from(
        "{\n\"$schema\": \"http://json-schema.org/draft-07/schema#\",\n\"title\": \"cox.toml\",\n\
         \"type\": \"object\",\n\"additionalProperties\": false,\n\"properties\": {\n",
    );
    for key in TOP {
        property(&mut text, &key.field);
        text.push_str(",\n");
    }
    for (name, help) in SECTIONS {
        let _ = write!(text, "{}: {{\"description\": {}, ", quoted(name), quoted(help));
        match name {
            "signals" => describe(&mut text, &ON_SIGNAL),
            "service" => text.push_str(
                "\"type\": \"object\", \"additionalProperties\": {\"$ref\": \"#/definitions/service\"}",
            ),
            _ => text.push_str("\"$ref\": \"#/definitions/service\""),
        }
        text.push_str(if name == "service" { "}\n" } else { "},\n" });
    }
    text.push_str("},\n\"definitions\": {\"service\": {");
    table(&mut text, SERVICE.iter().map(|key| &key.field));
    text.push_str("}}\n}\n");
    text
}

fn property(text: &mut String, field: &Field) {
    let Field { name, of, default, help, .. } = field;
    let _ = write!(text, "{}: {{\"description\": {}, ", quoted(name), quoted(help));
    if !default.is_empty() {
        // A default is one of TOML's values that JSON writes so too.
        let _ = write!(text, "\"default\": {default}, ");
    }
    describe(text, of);
    text.push('}');
}

fn table<'a>(text: &mut String, fields: impl Iterator<Item = &'a Field>) {
    text.push_str("\"type\": \"object\", \"additionalProperties\": false, \"properties\": {\n");
    for (n, field) in fields.enumerate() {
        text.push_str(if n == 0 { "" } else { ",\n" });
        property(text, field);
    }
    text.push('}');
}

/// The members that say what a type is.
fn describe(text: &mut String, of: &Type) {
    match of {
        Type::Text | Type::Path | Type::Shell | Type::Mode | Type::Variable | Type::Capability => {
            text.push_str("\"type\": \"string\"");
        }
        // Any number or truth value may be a text too: it may hold variables.
        Type::Number(..) | Type::Size | Type::Signal | Type::Address | Type::Limit => {
            text.push_str("\"type\": [\"integer\", \"string\"]");
        }
        Type::Flag => text.push_str("\"type\": [\"boolean\", \"string\"]"),
        Type::Duration | Type::Timeout => text.push_str("\"type\": [\"number\", \"string\"]"),
        Type::Setting => text.push_str("\"type\": [\"string\", \"number\", \"boolean\"]"),
        Type::Word(words) => {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            let words = words.join(", ");
            // A variable may stand for one of them.
            let _ = write!(
                text,
                "\"anyOf\": [{{\"enum\": [{words}]}}, {{\"type\": \"string\", \"pattern\": \"[$]\"}}]"
            );
        }
        Type::List(of) => {
            text.push_str("\"type\": \"array\", \"items\": {");
            describe(text, of);
            text.push('}');
        }
        Type::Some(of) => any(text, &[**of, Type::List(of)]),
        Type::Map(_, of) => {
            text.push_str("\"type\": \"object\", \"additionalProperties\": {");
            describe(text, of);
            text.push('}');
        }
        Type::Table(fields) => table(text, fields.iter()),
        Type::Either(types) => any(text, types),
    }
}

fn any(text: &mut String, types: &[Type]) {
    text.push_str("\"anyOf\": [");
    for (n, of) in types.iter().enumerate() {
        text.push_str(if n == 0 { "{" } else { ", {" });
        describe(text, of);
        text.push('}');
    }
    text.push(']');
}

/// As JSON writes a text. No word of ours holds a control character.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What `cox sample` prints. With its `#` removed, each line that has none after it counts.
pub fn sample() -> String {
    let mut text = String::from(
        "# cox.toml: what cox runs. `cox check` says what is wrong with it.\n\
         # A text may hold variables of cox's environment: ${NAME}, ${NAME:-default},\n\
         # ${NAME:?message}; but for commands, where the shell does that.\n\
         # Durations: a number of seconds, or 500ms, 8s, 2m, 1h30m.\n",
    );
    for key in TOP {
        setting(&mut text, &key.field);
    }
    text.push_str("\n# Signals to cox.\n#[signals]\n#HUP = \"reload\"\n#ALRM = \"rescan\"\n#USR1 = \"main\"\n");
    text.push_str(
        "\n# For all services, each key but command and argv.\n#[defaults]\n#log = \"prefix\"\n",
    );
    text.push_str("\n# A service. Its keys, each with an example:\n#[service.web]\n");
    for key in SERVICE.iter().filter(|key| key.field.name != "argv") {
        setting(&mut text, &key.field);
    }
    text.push_str("\n#[service.db]\n");
    for key in SERVICE.iter().filter(|key| key.field.name == "argv") {
        setting(&mut text, &key.field);
    }
    text.push_str("\n#[service.migrate]\n#type = \"oneshot\"\n#command = \"/srv/migrate\"\n");
    text
}

fn setting(text: &mut String, field: &Field) {
    let Field { name, of, default, example, help } = field;
    let _ = write!(text, "\n# {help}\n");
    fields(text, of);
    if !default.is_empty() {
        let _ = writeln!(text, "# default: {default}");
    }
    let _ = writeln!(text, "#{name} = {example}");
}

/// A line for each key of a table within.
fn fields(text: &mut String, of: &Type) {
    match of {
        Type::Table(table) => {
            for Field { name, default, help, .. } in *table {
                let default = if default.is_empty() { "".into() } else { format!(" ({default})") };
                let _ = writeln!(text, "#   {name}{default}: {help}");
            }
        }
        Type::Word(words) => {
            let _ = writeln!(text, "#   \"{}\"", words.join("\", \""));
        }
        Type::Either(types) => types.iter().for_each(|of| fields(text, of)),
        _ => {}
    }
}
