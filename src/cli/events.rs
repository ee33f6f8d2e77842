//! `events`: what happens, a line each, as it happens.

use super::command::Command;
use super::output;
use super::template::Template;
use crate::engine::Engine;
use crate::engine::events::{Event, Filter, Kind, Query};
use crate::error::{Context, Result};
use crate::types::{Timestamp, parse_moment};
use argh::{ArgsInfo, FromArgs};
use serde_json::json;
use std::os::fd::AsFd;

/// Tell what happens to containers, images, networks and volumes
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// tell only of: container=, image=, network=, volume=, event=, type=, label=key[=value],
    /// scope=local
    #[argh(option, short = 'f', arg_name = "filter")]
    filter: Vec<String>,
    /// print by a template: json or '{{.Actor.ID}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// begin with what was told since (a time in UTC, or how long ago: 10m)
    #[argh(option, arg_name = "time")]
    since: Option<String>,
    /// end with what is told until (a time, also one to come)
    #[argh(option, arg_name = "time")]
    until: Option<String>,
}

pub struct Events {
    query: Query,
    format: Option<Template>,
    /// The whole of each, as JSON.
    is_json: bool,
}

impl Command for Events {
    type Args = Args;
    const NAME: &'static str = "events";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Events> {
        let now = Timestamp::now();
        let moment = |flag: &'static str, text: Option<String>| {
            text.map(|text| parse_moment(&text, now).doing(|| flag.to_string())).transpose()
        };
        let is_json = args.format.as_deref().is_some_and(|text| {
            let inside = text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
            text == "json" || inside.is_some_and(|text| text.split_whitespace().eq(["json", "."]))
        });
        Ok(Events {
            query: Query {
                since: moment("--since", args.since)?,
                until: moment("--until", args.until)?,
                filters: args.filter.iter().map(|f| Filter::parse(f)).collect::<Result<_>>()?,
            },
            format: Template::wanted(args.format)?,
            is_json,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let mut tell = |event: &Event| {
            let text = self.render(event)?;
            output::rendered(self.format.as_ref(), &text)
        };
        engine.events(&self.query, &mut tell, std::io::stdout().as_fd()).map(|()| 0)
    }
}

impl Events {
    fn render(&self, event: &Event) -> Result<String> {
        match &self.format {
            None => Ok(line(event)),
            Some(_) if self.is_json => Ok(format!("{}\n", event.json())),
            Some(template) => template.render(&[fields(event)]),
        }
    }
}

/// `TIME container die ID (exitCode=0, image=busybox, name=web)`
fn line(event: &Event) -> String {
    let attributes: Vec<String> =
        event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!(" ({})", attributes.join(", ")),
    };
    let Event { kind, action, id, .. } = event;
    let line = format!("{} {} {action} {id}{attributes}", event.time(), kind.word());
    // One line, whatever images and commands say of themselves.
    output::on_a_line(&line) + "\n"
}

/// As a template calls the fields.
fn fields(event: &Event) -> serde_json::Value {
    let is_old = matches!(event.kind, Kind::Container | Kind::Image);
    let from = event.attributes.get("image").filter(|_| event.kind == Kind::Container);
    json!({
        "Type": event.kind.word(),
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": event.attributes},
        "Scope": "local",
        "Time": event.time().unix_seconds(),
        "TimeNano": event.time,
        "Status": if is_old { &event.action } else { "" },
        "ID": if is_old { &event.id } else { "" },
        "From": from.map_or("", String::as_str),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(line: &[&str]) -> Result<Events> {
        Events::new(Args::from_args(&["events"], line).unwrap())
    }

    #[test]
    fn an_event_is_dockers_line_its_json_or_what_a_template_says() {
        let event = Event {
            time: 1_795_321_393_000_000_001,
            kind: Kind::Container,
            action: "die".into(),
            id: "07a2".into(),
            attributes: [("image", "busybox"), ("exitCode", "3"), ("name", "web")]
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .into(),
        };
        let rendered = |line: &[&str]| events(line).unwrap().render(&event).unwrap();
        assert_eq!(
            rendered(&[]),
            "2026-11-22T04:23:13.000000001Z container die 07a2 (exitCode=3, image=busybox, \
             name=web)\n"
        );
        let mut forged = event.clone();
        forged.attributes.insert("x".into(), "1)\n2026-11-22T04:23:14Z\u{1b}[2J".into());
        let line = events(&[]).unwrap().render(&forged).unwrap();
        assert!(line.ends_with("x=1)\\n2026-11-22T04:23:14Z\\u{1b}[2J)\n"), "{line}");
        let template =
            "{{.Time}} {{.Status}} {{.From}} {{.Actor.Attributes.exitCode}} {{.Actor.ID}}";
        assert_eq!(rendered(&["--format", template]), "1795321393 die busybox 3 07a2\n");
        for form in ["json", "{{json .}}"] {
            let text = rendered(&["--format", form]);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json, event.json());
        }
    }

    #[test]
    fn bad_values_name_their_flag() {
        for (line, words) in [
            (&["--since", "x"][..], "--since: invalid time \"x\""),
            (&["--until", "y"], "--until: invalid time \"y\""),
            (&["--filter", "z"], "--filter: \"z\" is not key=value"),
        ] {
            assert_eq!(events(line).map(drop).unwrap_err().to_string(), words);
        }
    }
}
