//! `version`.

use super::command::Command;
use super::output;
use super::template::Template;
use crate::engine::Engine;
use crate::error::Result;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The API of Docker's whose JSON `inspect` tells, and below which Docker has none any more:
/// scripts compare it. There is no server that speaks it.
const API: &str = "1.50";
const API_MIN: &str = "1.24";

/// What the binary was made of, where scripts/dist found a repository.
const COMMIT: &str = match option_env!("CORACLE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
const BUILT: &str = match option_env!("CORACLE_BUILT") {
    Some(time) => time,
    None => "unknown",
};

/// Show the version
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.Client.Version}}'
    #[argh(option, short = 'f', arg_name = "string")]
    format: Option<String>,
}

pub struct Version {
    format: Option<Template>,
}

impl Command for Version {
    type Args = Args;
    const NAME: &'static str = "version";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Version> {
        Ok(Version { format: Template::wanted(args.format)? })
    }

    fn run(self, _engine: &Engine) -> Result<u8> {
        let text = match &self.format {
            Some(template) => template.render(&[fields()])?,
            None => text(),
        };
        output::rendered(self.format.as_ref(), &text)?;
        Ok(0)
    }
}

/// `linux/amd64`, with Docker's names of architectures.
pub fn platform() -> (&'static str, &'static str) {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    (std::env::consts::OS, architecture)
}

/// There is one program; it is its own client and engine.
fn fields() -> Value {
    let (os, arch) = platform();
    let part = json!({
        "Version": VERSION,
        "ApiVersion": API,
        "MinAPIVersion": API_MIN,
        "GitCommit": COMMIT,
        "BuildTime": BUILT,
        "Os": os,
        "Arch": arch,
    });
    json!({"Client": part, "Server": part})
}

fn text() -> String {
    let (os, arch) = platform();
    let part = |indent, api: &str| {
        let lines = [
            ("Version", VERSION),
            ("API version", api),
            ("Git commit", COMMIT),
            ("Built", BUILT),
            ("OS/Arch", &format!("{os}/{arch}")),
        ];
        let line = |(key, value)| format!("{indent}{:<19}{value}\n", format!("{key}:"));
        lines.map(line).concat()
    };
    let server = part("  ", &format!("{API} (minimum version {API_MIN})"));
    format!("Client:\n{}\nServer: coracle (no daemon)\n Engine:\n{server}", part(" ", API))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_engine_are_one_version() {
        let line = Template::parse("{{.Client.Version}} {{.Server.Version}}").unwrap();
        assert_eq!(line.render(&[fields()]).unwrap(), format!("{VERSION} {VERSION}\n"));
        assert_eq!(text().matches(VERSION).count(), 2);
    }
}
