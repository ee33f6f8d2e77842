//! The JSON of `commit --run`, of 2014: a container's configuration, laid over the committed one's.
//!
//! Sources: the documentation of Docker 0.8, `commit`, "Full -run example", and Docker 0.8's
//! `runconfig.Merge`: what is empty or not there leaves what was; ports and volumes are added.

use super::config::{Empty, RunConfig, Unknown};
use crate::error::{Error, Result};
use crate::types::{nearest, parse_ports};
use serde_json::Value;

/// The fields of then that today's configuration has no place for: kept as they are.
const OLD: [&str; 16] = [
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "CpuShares",
    "Dns",
    "Domainname",
    "Image",
    "Memory",
    "MemorySwap",
    "NetworkDisabled",
    "OpenStdin",
    "PortSpecs",
    "Privileged",
    "StdinOnce",
    "Tty",
    "VolumesFrom",
];

pub fn parse(text: &str) -> Result<RunConfig> {
    let mut run: RunConfig = serde_json::from_str(text).map_err(|e| {
        Error::invalid(format!("--run: {e}")).hint(r#"write JSON: --run='{"Cmd": ["ls", "/etc"]}'"#)
    })?;
    if let Some(name) = run.unknown.keys().find(|name| !OLD.contains(&name.as_str())) {
        let error = Error::invalid(format!("--run: unknown field \"{name}\""));
        return Err(match nearest(name, OLD.into_iter().chain(["Cmd", "Env", "Entrypoint"])) {
            Some(meant) => error.hint(format!("did you mean {meant}?")),
            None => error,
        });
    }
    if let Some(ports) = run.unknown.remove("PortSpecs") {
        let ports: Option<Vec<String>> = serde_json::from_value(ports)
            .map_err(|e| Error::invalid(format!("--run: PortSpecs: {e}")))?;
        for port in ports.into_iter().flatten() {
            // Of `[[ip:]public:]private`, what the container has.
            let private = port.rsplit(':').next().unwrap_or_default();
            let ports = parse_ports(private).map_err(|e| e.doing("--run: PortSpecs"))?;
            run.exposed_ports.extend(ports.into_iter().map(|port| (port.to_string(), Empty {})));
        }
    }
    // The image that the container was of; it says nothing of the new one.
    run.unknown.remove("Image");
    run.unknown.retain(|_, value| !is_empty(value));
    Ok(run)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Lays `new` over `run`.
pub fn merge(run: &mut RunConfig, new: RunConfig) {
    let text = |to: &mut String, from: String| {
        if !from.is_empty() {
            *to = from;
        }
    };
    text(&mut run.hostname, new.hostname);
    text(&mut run.user, new.user);
    text(&mut run.working_dir, new.working_dir);
    let words = |words: Option<Vec<String>>| words.filter(|words| !words.is_empty());
    run.cmd = words(new.cmd).or(run.cmd.take());
    run.entrypoint = words(new.entrypoint).or(run.entrypoint.take());
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_string();
    run.env.retain(|old| !new.env.iter().any(|new| key(new) == key(old)));
    run.env.extend(new.env);
    run.exposed_ports.extend(new.exposed_ports);
    run.volumes.extend(new.volumes);
    run.labels.extend(new.labels);
    run.on_build.extend(new.on_build);
    run.stop_signal = new.stop_signal.or(run.stop_signal.take());
    run.stop_timeout = new.stop_timeout.or(run.stop_timeout);
    run.healthcheck = new.healthcheck.or(run.healthcheck.take());
    run.shell = new.shell.or(run.shell.take());
    let unknown: Unknown = new.unknown;
    run.unknown.extend(unknown);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation.
    const FULL: &str = r#"{"Entrypoint": null, "Privileged": false, "User": "", "VolumesFrom": "",
        "Cmd": ["cat", "-e", "/etc/resolv.conf"], "Dns": ["8.8.8.8", "8.8.4.4"], "MemorySwap": 0,
        "AttachStdin": false, "AttachStderr": false, "CpuShares": 0, "OpenStdin": false,
        "Volumes": null, "Hostname": "122612f45831", "PortSpecs": ["22", "80", "8443:443"],
        "Image": "b750fe79269d2ec9a3c593ef05b4332b1d1a02a62b4accb2c21d589ff2f5f2dc", "Tty": false,
        "Env": ["HOME=/", "PATH=/bin"], "StdinOnce": false, "Domainname": "", "WorkingDir": "/",
        "NetworkDisabled": false, "Memory": 0, "AttachStdout": false}"#;

    #[test]
    fn the_full_example_of_the_documentation_is_understood() {
        let mut run = RunConfig {
            entrypoint: Some(vec!["/init".into()]),
            env: vec!["A=1".into(), "PATH=/sbin".into()],
            user: "me".into(),
            ..RunConfig::default()
        };
        merge(&mut run, parse(FULL).unwrap());
        assert_eq!(run.cmd.unwrap(), ["cat", "-e", "/etc/resolv.conf"]);
        assert_eq!(run.entrypoint.unwrap(), ["/init"]);
        assert_eq!(run.env, ["A=1", "HOME=/", "PATH=/bin"]);
        let ports: Vec<_> = run.exposed_ports.keys().collect();
        assert_eq!(ports, ["22/tcp", "443/tcp", "80/tcp"]);
        assert_eq!((run.user.as_str(), run.working_dir.as_str()), ("me", "/"));
        assert_eq!(run.unknown.keys().collect::<Vec<_>>(), ["Dns"]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (bad, told) in [
            ("{", "--run: EOF"),
            (r#"{"Comd": ["a"]}"#, "unknown field \"Comd\""),
            (r#"{"PortSpecs": ["http"]}"#, "is not port"),
        ] {
            let text = parse(bad).unwrap_err().to_string();
            assert!(text.contains(told), "{text}");
        }
    }
}
