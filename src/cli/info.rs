//! `info`: the engine and its host.

use super::command::Command;
use super::output;
use super::template::Template;
use super::version::VERSION;
use crate::engine::{Driver, Engine, report};
use crate::error::Result;
use crate::types::human_memory;
use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};

/// Show what the engine and its host are
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// print by a template: json or '{{.Containers}}'
    #[argh(option, short = 'f', arg_name = "string")]
    format: Option<String>,
}

pub struct Info {
    format: Option<Template>,
}

impl Command for Info {
    type Args = Args;
    const NAME: &'static str = "info";
    const USAGE: &'static str = "";

    fn new(args: Args) -> Result<Info> {
        Ok(Info { format: Template::wanted(args.format)? })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let info = engine.info()?;
        let text = match &self.format {
            Some(template) => template.render(&[fields(&info)])?,
            None => text(&info),
        };
        output::rendered(self.format.as_ref(), &text)?;
        for warning in &info.warnings {
            output::diagnostic(&format!("warning: {warning}"));
        }
        Ok(0)
    }
}

/// With Docker's keys.
fn fields(info: &report::Info) -> Value {
    json!({
        "Containers": info.containers,
        "ContainersRunning": info.running,
        "ContainersPaused": 0,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": storage(info),
        "LoggingDriver": "json-file",
        "CgroupVersion": cgroup_version(info),
        "KernelVersion": info.kernel,
        "OperatingSystem": info.operating_system,
        "OSType": "linux",
        "Architecture": info.architecture,
        "NCPU": info.cpus,
        "MemTotal": info.memory,
        "Name": info.hostname,
        "DockerRootDir": info.root.display().to_string(),
        "ServerVersion": VERSION,
        "Warnings": info.warnings,
    })
}

fn storage(info: &report::Info) -> &'static str {
    info.storage.map_or("none yet", Driver::name)
}

fn cgroup_version(info: &report::Info) -> String {
    info.cgroup_version.map_or("none".into(), |version| version.to_string())
}

fn text(info: &report::Info) -> String {
    let lines = [
        ("Containers", info.containers.to_string()),
        (" Running", info.running.to_string()),
        (" Stopped", info.stopped.to_string()),
        ("Images", info.images.to_string()),
        ("Version", VERSION.to_string()),
        ("Storage Driver", storage(info).to_string()),
        ("Logging Driver", "json-file".to_string()),
        ("Cgroup Version", cgroup_version(info)),
        ("Kernel Version", info.kernel.clone()),
        ("Operating System", info.operating_system.clone()),
        ("OSType", "linux".to_string()),
        ("Architecture", info.architecture.clone()),
        ("CPUs", info.cpus.to_string()),
        ("Total Memory", human_memory(info.memory)),
        ("Name", info.hostname.clone()),
        ("Root Dir", info.root.display().to_string()),
    ];
    lines.iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}
