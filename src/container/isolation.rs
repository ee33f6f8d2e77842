//! What a container may do that could touch the host, and what it is given of it: part of how it
//! was created.

use crate::error::{Error, Result};
use crate::types::{Capability, DeviceLine, DeviceMapping, Ulimit, nearest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Isolation {
    /// An init of ours is the first process: it reaps, and passes signals on to the program.
    pub init: bool,
    /// Every capability, device and path of the host.
    pub privileged: bool,
    /// Beside the default ones, and without which of them; `--cap-drop ALL` goes first.
    pub cap_add: Vec<Capability>,
    pub cap_drop: Vec<Capability>,
    /// No program gains privileges by its file (setuid, file capabilities).
    pub no_new_privileges: bool,
    pub seccomp: SeccompChoice,
    /// Nothing of /proc and /sys is hidden or read-only.
    pub unmasked: bool,
    /// `--security-opt` as the user wrote it.
    pub security_options: Vec<String>,
    /// The root file system; mounts and volumes stay as they are.
    pub read_only_root: bool,
    pub devices: Vec<DeviceMapping>,
    pub device_rules: Vec<DeviceLine>,
    pub ulimits: Vec<Ulimit>,
    /// -1000 to 1000: how soon the kernel ends it where memory runs out.
    pub oom_score_adj: i32,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// More groups of the user, each a name or a number.
    pub groups: Vec<String>,
    /// `net.core.somaxconn`
    pub sysctls: BTreeMap<String, String>,
}

/// Which system calls it may make.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum SeccompChoice {
    /// What its capabilities ask for.
    #[default]
    Default,
    Unconfined,
    /// A profile as Docker writes them: JSON.
    Profile(String),
}

/// What a network namespace has of its own is all below `net.`; these are an ipc namespace's.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

impl Isolation {
    /// Reads one `--security-opt`; `read` gives the content of a profile's file.
    pub fn secure(&mut self, text: &str, read: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let unknown = |what: String| Error::invalid(format!("--security-opt {text}: {what}"));
        // As then: `label:disable`.
        let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => self.no_new_privileges = true,
            ("no-new-privileges", "false") => self.no_new_privileges = false,
            ("seccomp", "unconfined") => self.seccomp = SeccompChoice::Unconfined,
            ("seccomp", "" | "builtin" | "default") => self.seccomp = SeccompChoice::Default,
            ("seccomp", file) => self.seccomp = SeccompChoice::Profile(read(file)?),
            ("systempaths", "unconfined") | ("unmask", "ALL") => self.unmasked = true,
            // There is nothing that confines it.
            ("apparmor", "unconfined") | ("label", "disable") => {}
            ("apparmor" | "label", _) => {
                return Err(unknown("AppArmor and SELinux confine no container of ours".into())
                    .hint("capabilities, seccomp and user namespaces do; leave it out"));
            }
            _ => {
                const KNOWN: [&str; 4] =
                    ["no-new-privileges", "seccomp", "systempaths", "apparmor"];
                let error = unknown("it is unknown".into());
                return Err(match nearest(key, KNOWN) {
                    Some(near) if near != key => error.hint(format!("did you mean {near}?")),
                    _ => error.hint("use no-new-privileges, seccomp=FILE, seccomp=unconfined or systempaths=unconfined"),
                });
            }
        }
        self.security_options.push(text.to_string());
        Ok(())
    }

    /// Checks bounds, and what the namespaces that it has of its own allow.
    pub fn check(&self, has_network: bool, has_ipc: bool) -> Result<()> {
        if !(-1000..=1000).contains(&self.oom_score_adj) {
            let score = self.oom_score_adj;
            return Err(
                Error::invalid(format!("--oom-score-adj {score}")).hint("use -1000 to 1000")
            );
        }
        if self.shm_size == Some(0) {
            return Err(Error::invalid("--shm-size 0").hint("give /dev/shm some bytes: 64m"));
        }
        for key in self.sysctls.keys() {
            let word = |word: &str| {
                !word.is_empty()
                    && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:".contains(&b))
            };
            // A name may be written as a path too: net/ipv4/conf/eth0.1/forwarding.
            let is_path = key.contains('/');
            let parts: Vec<&str> = key.split(if is_path { '/' } else { '.' }).collect();
            let is_name = parts.iter().all(|part| *part != ".." && (is_path || word(part)));
            let dotted = key.replace('/', ".");
            let is_net = dotted.starts_with("net.");
            let is_ipc = IPC_SYSCTLS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
            if !is_name || !(is_net || is_ipc) {
                let text = format!("--sysctl {key}: no container has one of its own");
                return Err(Error::invalid(text).hint(
                    "net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm* can be set",
                ));
            }
            if is_net && !has_network {
                let text = format!("--sysctl {key}: the network is not the container's own");
                return Err(Error::invalid(text).hint("set it where that network is"));
            }
            if is_ipc && !has_ipc {
                let text = format!("--sysctl {key}: the ipc namespace is not the container's own");
                return Err(Error::invalid(text).hint("set it where that namespace is"));
            }
        }
        let mut names: Vec<&str> = self.ulimits.iter().map(|limit| limit.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::invalid(format!("--ulimit {} is there twice", twice[0])));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secured(text: &str) -> Result<Isolation> {
        let mut isolation = Isolation::default();
        isolation.secure(text, |file| match file {
            "p.json" => Ok("{}".to_string()),
            _ => Err(Error::not_found(format!("no {file}"))),
        })?;
        Ok(isolation)
    }

    #[test]
    fn security_options_are_read() {
        assert!(secured("no-new-privileges").unwrap().no_new_privileges);
        assert!(!secured("no-new-privileges=false").unwrap().no_new_privileges);
        assert_eq!(secured("seccomp=unconfined").unwrap().seccomp, SeccompChoice::Unconfined);
        assert_eq!(secured("seccomp:p.json").unwrap().seccomp, SeccompChoice::Profile("{}".into()));
        assert!(secured("systempaths=unconfined").unwrap().unmasked);
        assert!(secured("apparmor=unconfined").is_ok() && secured("label:disable").is_ok());
        assert_eq!(secured("seccomp=x").unwrap_err().to_string(), "no x");
        assert!(secured("apparmor=mine").unwrap_err().to_string().contains("AppArmor"));
        assert_eq!(secured("secomp=x").unwrap_err().hints(), ["did you mean seccomp?"]);
    }

    #[test]
    fn what_is_the_hosts_cannot_be_set() {
        let with = |key: &str, has_network| {
            let mut isolation = Isolation::default();
            isolation.sysctls.insert(key.into(), "1".into());
            isolation.check(has_network, true).map_err(|e| e.to_string())
        };
        for key in ["net.core.somaxconn", "kernel.sem", "fs.mqueue.msg_max", "net/ipv4/ip_forward"]
        {
            assert!(with(key, true).is_ok(), "{key}");
        }
        for key in
            ["kernel.pid_max", "vm.swappiness", "net", "net..x", "net/../kernel/core_pattern", ""]
        {
            assert!(with(key, true).unwrap_err().contains("of its own"), "{key}");
        }
        assert!(with("net.core.somaxconn", false).unwrap_err().contains("not the container's own"));
        let twice = vec!["nofile=1".parse().unwrap(), "nofile=2".parse().unwrap()];
        let isolation = Isolation { ulimits: twice, ..Isolation::default() };
        assert!(isolation.check(true, true).is_err());
        assert!(
            Isolation { oom_score_adj: 1001, ..Isolation::default() }.check(true, true).is_err()
        );
        assert!(Isolation { shm_size: Some(0), ..Isolation::default() }.check(true, true).is_err());
    }
}
