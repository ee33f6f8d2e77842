//! `system df`: what takes room on the disk.

use super::command::Command;
use super::output;
use super::table::table;
use super::template::Template;
use crate::engine::Engine;
use crate::engine::usage::{DiskUsage, Usage};
use crate::error::Result;
use crate::types::human_size;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// Show what takes room on the disk
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.Type}} {{.Size}}'
    #[argh(option, arg_name = "string")]
    format: Option<String>,
}

pub struct Df {
    format: Option<Template>,
}

impl Command for Df {
    type Args = Args;
    const NAME: &'static str = "system df";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Df> {
        Ok(Df { format: Template::wanted(args.format)? })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let rows = rows(&engine.disk_usage()?);
        output::text(&match self.format {
            Some(template) => {
                let fields: Vec<Value> = rows.iter().map(fields).collect();
                template.render(&fields)?
            }
            None => {
                let titles = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"];
                let mut lines = vec![titles.map(String::from).to_vec()];
                lines.extend(rows.into_iter().map(Vec::from));
                table(&lines)
            }
        })?;
        Ok(0)
    }
}

fn rows(usage: &DiskUsage) -> Vec<[String; 5]> {
    let trash = Usage { bytes: usage.trash, reclaimable: usage.trash, ..Usage::default() };
    let kinds = [
        ("Images", usage.images),
        ("Containers", usage.containers),
        ("Local Volumes", usage.volumes),
        ("Trash", trash),
    ];
    let row = |(kind, usage): (&str, Usage)| {
        let percent = usage.reclaimable.saturating_mul(100).checked_div(usage.bytes).unwrap_or(0);
        [
            kind.to_string(),
            usage.total.to_string(),
            usage.active.to_string(),
            human_size(usage.bytes),
            format!("{} ({percent}%)", human_size(usage.reclaimable)),
        ]
    };
    kinds.into_iter().map(row).collect()
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

    #[test]
    fn each_kind_is_a_row() {
        let images = Usage { total: 3, active: 1, bytes: 4_000_000, reclaimable: 1_000_000 };
        let rows = rows(&DiskUsage { images, trash: 12, ..DiskUsage::default() });
        assert_eq!(rows[0], ["Images", "3", "1", "4MB", "1MB (25%)"]);
        assert_eq!(rows[2], ["Local Volumes", "0", "0", "0B", "0B (0%)"]);
        assert_eq!(rows[3], ["Trash", "0", "0", "12B", "12B (100%)"]);
    }
}
