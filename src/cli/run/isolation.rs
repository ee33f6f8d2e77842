//! What the flags say of a container's isolation.

use super::Args;
use crate::cli::command::{number, value};
use crate::cli::infile;
use crate::engine::options::{Isolation, Namespaces, Share};
use crate::error::{Context, Error, Result};
use crate::types::parse_size;
use std::path::Path;
use std::str::FromStr;

/// Profiles are found from the caller's directory.
pub fn isolation(args: &Args, cwd: &Path) -> Result<Isolation> {
    let mut isolation = Isolation {
        privileged: args.privileged,
        cap_add: values("--cap-add", &args.cap_add)?,
        cap_drop: values("--cap-drop", &args.cap_drop)?,
        read_only_root: args.read_only,
        devices: values("--device", &args.device)?,
        device_rules: values("--device-cgroup-rule", &args.device_cgroup_rule)?,
        ulimits: values("--ulimit", &args.ulimit)?,
        groups: args.group_add.clone(),
        init: args.init,
        ..Isolation::default()
    };
    if let Some(text) = &args.oom_score_adj {
        isolation.oom_score_adj = number("--oom-score-adj", text)?;
    }
    if let Some(text) = &args.shm_size {
        isolation.shm_size = Some(parse_size(text).doing(|| "--shm-size".into())?);
    }
    for text in &args.sysctl {
        let (key, value) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("--sysctl: \"{text}\" is not name=value"))
                .hint("write net.core.somaxconn=1024")
        })?;
        isolation.sysctls.insert(key.to_string(), value.to_string());
    }
    for text in &args.security_opt {
        isolation.secure(text, |file| {
            let path = cwd.join(file);
            infile::text(&path).doing(|| format!("--security-opt {text}"))
        })?;
    }
    Ok(isolation)
}

/// What `--pid` and its like say.
pub fn namespaces(args: &Args) -> Result<Namespaces<String>> {
    let share = |flag: &'static str, text: &Option<String>| match text {
        Some(text) => value(flag, text),
        None => Ok(Share::Own),
    };
    let namespaces = Namespaces {
        pid: share("--pid", &args.pid)?,
        ipc: share("--ipc", &args.ipc)?,
        uts: share("--uts", &args.uts)?,
        cgroup: share("--cgroupns", &args.cgroupns)?,
    };
    for (flag, share) in [("--pid", &namespaces.pid), ("--uts", &namespaces.uts)] {
        if let Share::None | Share::Shareable = share {
            return Err(Error::invalid(format!("{flag}: \"{share}\" is no namespace"))
                .hint("use private, host or container:NAME"));
        }
    }
    if let share @ (Share::None | Share::Shareable | Share::Container(_)) = &namespaces.cgroup {
        return Err(Error::invalid(format!("--cgroupns: \"{share}\" is no namespace"))
            .hint("use private or host"));
    }
    match args.userns.as_deref() {
        None | Some("" | "host") => Ok(namespaces),
        Some(text) => Err(Error::invalid(format!("--userns: \"{text}\" is not there"))
            .hint("a container's users are those of whoever runs coracle: run it without root")),
    }
}

fn values<T: FromStr<Err = Error>>(flag: &str, texts: &[String]) -> Result<Vec<T>> {
    texts.iter().map(|text| value(flag, text)).collect()
}
