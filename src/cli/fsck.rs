//! `fsck`: is everything on the disk as it was?

use super::command::Command;
use super::output;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};

/// Check images and containers on the disk, and mend what can be mended
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// mend what can be mended
    #[argh(switch)]
    repair: bool,
}

pub struct Fsck(Args);

impl Command for Fsck {
    type Args = Args;
    const NAME: &'static str = "fsck";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Fsck> {
        Ok(Fsck(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let checked = engine.fsck(self.0.repair)?;
        for finding in &checked.findings {
            let mended = if finding.is_mended { ": mended" } else { "" };
            output::line(format!("{}{mended}", finding.what))?;
            for hint in finding.what.hints() {
                output::line(format!("hint: {hint}"))?;
            }
        }
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mended = checked.findings.iter().filter(|finding| finding.is_mended).count();
        output::line(format!(
            "{}, {} and {} checked: {} damaged, {mended} mended",
            count(checked.images, "image"),
            count(checked.layers, "layer"),
            count(checked.containers, "container"),
            checked.findings.len(),
        ))?;
        Ok(u8::from(!checked.is_sound()))
    }
}
