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
            output::diagnostic(&format!("WARNING: {warning}"));
        }
        Ok(0)
    }
}

/// With Docker's keys.
fn fields(info: &report::Info) -> Value {
    let can = |lack: &str| !info.warnings.iter().any(|warning| warning == lack);
    json!({
        "ID": info.id,
        "Containers": info.containers,
        "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": storage(info),
        "LoggingDriver": info.log_driver,
        "CgroupDriver": cgroup_driver(info),
        "CgroupVersion": cgroup_version(info),
        "MemoryLimit": can("No memory limit support"),
        "SwapLimit": can("No swap limit support"),
        "CPUShares": can("No cpu shares support"),
        "CPUSet": can("No cpuset support"),
        "PidsLimit": can("No pids limit support"),
        "KernelVersion": info.kernel,
        "OperatingSystem": info.operating_system,
        "OSType": "linux",
        "Architecture": info.architecture,
        "NCPU": info.cpus,
        "MemTotal": info.memory,
        "Name": info.hostname,
        "Labels": info.labels,
        "DockerRootDir": info.root.display().to_string(),
        "ServerVersion": VERSION,
        "IndexServerAddress": "",
        "Debug": info.debug,
        "Swarm": {"LocalNodeState": "inactive", "NodeID": ""},
        "LiveRestoreEnabled": true,
        "SecurityOptions": security(info).map(|(option, _)| option).collect::<Vec<_>>(),
        "Warnings": info.warnings,
    })
}

fn storage(info: &report::Info) -> &'static str {
    info.storage.map_or("none yet", Driver::name)
}

fn cgroup_driver(info: &report::Info) -> &'static str {
    if info.cgroup_version.is_some() { "cgroupfs" } else { "none" }
}

fn cgroup_version(info: &report::Info) -> String {
    info.cgroup_version.map_or("none".into(), |version| version.to_string())
}

/// As JSON has it, and as lines.
fn security(info: &report::Info) -> impl Iterator<Item = (&'static str, &'static str)> {
    let always = [
        ("name=seccomp,profile=builtin", "\n seccomp\n  Profile: builtin"),
        ("name=cgroupns", "\n cgroupns"),
    ];
    let rootless = info.is_rootless.then_some(("name=rootless", "\n rootless"));
    always.into_iter().chain(rootless)
}

/// One line a fact, those that people look for with grep. They begin where the lines of 2014 did;
/// today's Docker has a blank before them.
fn text(info: &report::Info) -> String {
    let mut lines = vec![
        ("Containers", info.containers.to_string()),
        (" Running", info.running.to_string()),
        (" Paused", info.paused.to_string()),
        (" Stopped", info.stopped.to_string()),
        ("Images", info.images.to_string()),
        ("Server Version", VERSION.to_string()),
        ("Storage Driver", storage(info).to_string()),
        ("Logging Driver", info.log_driver.to_string()),
        ("Cgroup Driver", cgroup_driver(info).to_string()),
        ("Cgroup Version", cgroup_version(info)),
        ("Swarm", "inactive".to_string()),
        ("Security Options", security(info).map(|(_, lines)| lines).collect()),
        ("Kernel Version", info.kernel.clone()),
        ("Operating System", info.operating_system.clone()),
        ("OSType", "linux".to_string()),
        ("Architecture", info.architecture.clone()),
        ("CPUs", info.cpus.to_string()),
        ("Total Memory", human_memory(info.memory)),
        ("Name", info.hostname.clone()),
        ("ID", info.id.clone()),
        ("Docker Root Dir", info.root.display().to_string()),
        ("Debug Mode", info.debug.to_string()),
        ("Registry", "none yet".to_string()),
        // Containers run on whatever becomes of us.
        ("Live Restore Enabled", true.to_string()),
    ];
    if !info.labels.is_empty() {
        let labels = info.labels.iter().map(|label| format!("\n {label}"));
        lines.push(("Labels", labels.collect()));
    }
    let line = |(key, value): &(&str, String)| match value.starts_with('\n') {
        true => format!("{key}:{value}\n"),
        false => format!("{key}: {value}\n"),
    };
    lines.iter().map(line).collect()
}
