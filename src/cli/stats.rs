//! `stats`: what running containers use, in Docker's columns, told once or anew every second.

use super::command::Command;
use super::output;
use super::table::table;
use super::template::Template;
use crate::engine::Engine;
use crate::engine::stats::{Looks, Sample, host_memory};
use crate::error::Result;
use crate::types::{human_memory, human_size};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Home; clear from there to the end (console_codes(4)).
const REDRAW: &[u8] = b"\x1b[H\x1b[J";

/// Show what containers use
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// show all containers, not only those that run
    #[argh(switch, short = 'a')]
    all: bool,
    /// print by a template: json, '{{.Name}}' or 'table {{.ID}}\t{{.CPUPerc}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
    /// tell it once, and end
    #[argh(switch)]
    no_stream: bool,
    /// show ids whole
    #[argh(switch)]
    no_trunc: bool,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Stats {
    all: bool,
    format: Option<Template>,
    no_stream: bool,
    no_trunc: bool,
    containers: Vec<String>,
}

impl Command for Stats {
    type Args = Args;
    const NAME: &'static str = "stats";
    const USAGE: &'static str = "[CONTAINER...]";

    fn new(args: Args) -> Result<Stats> {
        let titles = || COLUMNS.map(|(title, field)| (field, title));
        Ok(Stats {
            all: args.all,
            format: Template::wanted(args.format)?.map(|it| it.titled(titles())),
            no_stream: args.no_stream,
            no_trunc: args.no_trunc,
            containers: args.containers,
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let redraws = !self.no_stream && io::stdout().is_terminal();
        let mut looks = engine.looks();
        loop {
            let now = self.look(engine, &mut looks)?;
            engine.keep_looks(&mut looks);
            let text = self.render(&now)?;
            if redraws {
                output::bytes(REDRAW)?;
            }
            output::rendered(self.format.as_ref(), &text)?;
            if self.no_stream {
                return Ok(0);
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

impl Stats {
    fn look(&self, engine: &Engine, looks: &mut Looks) -> Result<Vec<Sample>> {
        let containers = match self.containers.is_empty() {
            false => {
                self.containers.iter().map(|name| engine.container(name)).collect::<Result<_>>()?
            }
            true => {
                let mut all = engine.containers()?;
                all.retain(|container| self.all || container.is_running());
                all
            }
        };
        let host = host_memory();
        containers.iter().map(|container| engine.sample(container, looks, host)).collect()
    }

    fn render(&self, now: &[Sample]) -> Result<String> {
        let rows: Vec<Row> = now.iter().map(|sample| Row::new(sample, self.no_trunc)).collect();
        if let Some(template) = &self.format {
            let typed = |at: usize| self.containers.get(at).map(String::as_str);
            let rows = rows.iter().enumerate().map(|(at, row)| row.fields(typed(at)));
            return template.render(&rows.collect::<Vec<_>>());
        }
        let mut lines = vec![COLUMNS.map(|(title, _)| title.to_string()).to_vec()];
        lines.extend(rows.into_iter().map(|row| row.0.to_vec()));
        Ok(table(&lines))
    }
}

/// The titles of the table, and the names for templates.
const COLUMNS: [(&str, &str); 8] = [
    ("CONTAINER ID", "ID"),
    ("NAME", "Name"),
    ("CPU %", "CPUPerc"),
    ("MEM USAGE / LIMIT", "MemUsage"),
    ("MEM %", "MemPerc"),
    ("NET I/O", "NetIO"),
    ("BLOCK I/O", "BlockIO"),
    ("PIDS", "PIDs"),
];

/// The cells of a line.
struct Row([String; 8]);

impl Row {
    fn new(sample: &Sample, no_trunc: bool) -> Row {
        let Sample { id, name, cpu_percent, usage, links } = sample;
        let received = links.iter().map(|link| link.received.bytes).sum();
        let sent = links.iter().map(|link| link.sent.bytes).sum();
        let limit = usage.memory_limit;
        let memory_percent =
            if limit == 0 { 0.0 } else { 100.0 * usage.memory as f64 / limit as f64 };
        Row([
            if no_trunc { id.as_str() } else { id.short() }.to_string(),
            name.clone(),
            format!("{cpu_percent:.2}%"),
            format!("{} / {}", human_memory(usage.memory), human_memory(limit)),
            format!("{memory_percent:.2}%"),
            format!("{} / {}", human_size(received), human_size(sent)),
            format!("{} / {}", human_size(usage.read), human_size(usage.written)),
            usage.tasks.to_string(),
        ])
    }

    /// `typed` is what it was asked for by, if by name.
    fn fields(&self, typed: Option<&str>) -> Value {
        let fields = COLUMNS.iter().zip(&self.0).map(|((_, name), cell)| (*name, cell.as_str()));
        let fields = fields.chain([("Container", typed.unwrap_or(&self.0[0]))]);
        fields.map(|(name, cell)| (name.to_string(), Value::from(cell))).collect()
    }
}
