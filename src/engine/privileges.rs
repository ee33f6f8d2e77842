//! What a container's programs may do: capabilities and system calls, from its isolation and from
//! what we may ourselves.

use crate::container::{Isolation, SeccompChoice};
use crate::error::{Context, OsContext, Result};
use crate::oci::CapSet;
use crate::oci::seccomp::{self, Seccomp};
use crate::sys::process;
use crate::types::{CAPABILITIES, Capability};
use std::fs;

/// CAP_SYS_RESOURCE
const SYS_RESOURCE: u64 = 1 << 24;
const KERNEL: &str = "/proc/sys/kernel/osrelease";
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

pub struct Privileges {
    pub capabilities: CapSet,
    /// None: every system call.
    pub seccomp: Option<Seccomp>,
    /// The capabilities that we have ourselves.
    ours: u64,
}

pub fn privileges(isolation: &Isolation) -> Result<Privileges> {
    let ours = process::permitted_capabilities().on("capget", "")?;
    let capabilities = CapSet(asked(isolation) & ours);
    let seccomp = match &isolation.seccomp {
        SeccompChoice::Default if isolation.privileged => None,
        SeccompChoice::Default => Some(seccomp::default_profile(capabilities.0)),
        SeccompChoice::Unconfined => None,
        SeccompChoice::Profile(text) => {
            let kernel = fs::read_to_string(KERNEL).on("read", KERNEL)?;
            let profile = seccomp::read_profile(text, capabilities.0, kernel.trim());
            Some(profile.doing(|| "--security-opt seccomp".into())?)
        }
    };
    Ok(Privileges { capabilities, seccomp, ours })
}

impl Privileges {
    /// What was asked for and we may not give: a container runs without it.
    pub fn withheld(&self, isolation: &Isolation) -> Result<Vec<String>> {
        let missing = isolation.cap_add.iter().filter_map(|added| match added {
            Capability::One(bit) if self.ours & (1 << bit) == 0 => {
                Some(CAPABILITIES[usize::from(*bit)])
            }
            _ => None,
        });
        let mut told: Vec<String> = missing
            .map(|name| {
                format!("--cap-add {name}: coracle itself is without it, so is the container")
            })
            .collect();
        if self.ours & SYS_RESOURCE != 0 {
            return Ok(told);
        }
        for limit in &isolation.ulimits {
            let most = process::limit(limit.resource(), None).on("getrlimit", &limit.name)?.hard;
            if limit.hard > most {
                told.push(format!(
                    "--ulimit {limit}: without CAP_SYS_RESOURCE the hard limit stays at {most}"
                ));
            }
        }
        if isolation.oom_score_adj != 0 {
            let text = fs::read_to_string(OOM_SCORE).on("read", OOM_SCORE)?;
            let now = text.trim().parse().unwrap_or_default();
            if isolation.oom_score_adj < now {
                told.push(format!(
                    "--oom-score-adj {}: without CAP_SYS_RESOURCE it stays at {now}",
                    isolation.oom_score_adj
                ));
            }
        }
        Ok(told)
    }
}

/// The capabilities asked for, a bit each: an addition beats a drop of the same one.
fn asked(isolation: &Isolation) -> u64 {
    let bits = |list: &[Capability]| {
        list.iter().fold(0, |set, one| match one {
            Capability::All => set,
            Capability::One(bit) => set | 1 << bit,
        })
    };
    let is_all = |list: &[Capability]| list.contains(&Capability::All);
    let base = match (isolation.privileged || is_all(&isolation.cap_add), &isolation.cap_drop) {
        (true, _) => CapSet::ALL.0,
        (false, drop) if is_all(drop) => 0,
        (false, _) => CapSet::DEFAULT.0,
    };
    (base & !bits(&isolation.cap_drop)) | bits(&isolation.cap_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_added_to_the_default_and_dropped_from_it() {
        let set = |add: &[&str], drop: &[&str]| {
            let parse = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
            let isolation =
                Isolation { cap_add: parse(add), cap_drop: parse(drop), ..Isolation::default() };
            asked(&isolation)
        };
        let default = CapSet::DEFAULT.0;
        assert_eq!(set(&[], &[]), default);
        assert_eq!(set(&["NET_ADMIN"], &[]), default | 1 << 12);
        assert_eq!(set(&[], &["MKNOD"]), default & !(1 << 27));
        assert_eq!(set(&[], &["ALL"]), 0);
        assert_eq!(set(&["CHOWN"], &["ALL"]), 1);
        assert_eq!(set(&["ALL"], &[]), CapSet::ALL.0);
        assert_eq!(set(&["ALL"], &["MKNOD"]), CapSet::ALL.0 & !(1 << 27));
        let isolation = Isolation { privileged: true, ..Isolation::default() };
        assert_eq!(asked(&isolation), CapSet::ALL.0);
    }
}
