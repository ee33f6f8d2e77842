//! Profiles as people write them for `--security-opt seccomp=FILE`: Docker's form, which is the
//! runtime spec's and conditions on each rule. Source: moby, `profiles/seccomp/seccomp.go`.

use super::{Action, Arch, Rule, Seccomp};
use crate::error::{Error, Result};
use crate::types::Capability;
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: Action,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    syscalls: Vec<FileRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileRule {
    /// The oldest form: one rule a call.
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<super::Arg>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// The profile in `text` for a container with these capabilities (a bit each) in its bounding set,
/// on a kernel of this release (`6.1.0-18-amd64`).
pub fn read_profile(text: &str, caps: u64, kernel: &str) -> Result<Seccomp> {
    let file: File = serde_json::from_str(text)
        .map_err(|e| Error::invalid(format!("not a seccomp profile: {e}")))?;
    let mut architectures = file.architectures;
    let native = file.arch_map.into_iter().find(|map| map.architecture == Arch::X86_64);
    if let Some(map) = native {
        architectures.push(map.architecture);
        architectures.extend(map.sub_architectures.unwrap_or_default());
    }
    let mut syscalls = Vec::new();
    for rule in file.syscalls {
        let includes = rule.includes.unwrap_or_default();
        let excludes = rule.excludes.unwrap_or_default();
        if !includes.holds(caps, kernel, true)? || excludes.holds(caps, kernel, false)? {
            continue;
        }
        let names = rule.names.into_iter().chain((!rule.name.is_empty()).then_some(rule.name));
        syscalls.push(Rule {
            names: names.map(Cow::Owned).collect(),
            action: rule.action,
            errno_ret: rule.errno_ret,
            args: rule.args.unwrap_or_default(),
        });
    }
    Ok(Seccomp {
        default_action: file.default_action,
        default_errno_ret: file.default_errno_ret,
        architectures,
        flags: Vec::new(),
        listener_path: None,
        listener_metadata: None,
        syscalls,
    })
}

impl Condition {
    /// Whether all of it holds, or (not `all`) any.
    fn holds(&self, caps: u64, kernel: &str, all: bool) -> Result<bool> {
        let mut answers = Vec::new();
        if !self.arches.is_empty() {
            answers.push(self.arches.iter().any(|arch| arch == "amd64"));
        }
        for name in &self.caps {
            // One that we do not know is one that nobody has.
            let cap = name.parse::<Capability>().ok();
            answers.push(matches!(cap, Some(Capability::One(bit)) if caps & (1 << bit) != 0));
        }
        if let Some(least) = &self.min_kernel {
            let wrong = || Error::invalid(format!("not a seccomp profile: minKernel \"{least}\""));
            let least = release(least).ok_or_else(wrong)?;
            answers.push(release(kernel).is_some_and(|now| now >= least));
        }
        Ok(match all {
            true => answers.iter().all(|answer| *answer),
            false => answers.iter().any(|answer| *answer),
        })
    }
}

/// `6.1` of `6.1.0-18-amd64`.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"name": "chmod", "action": "SCMP_ACT_ERRNO", "args": null},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", 
             "includes": {"minKernel": "4.8"}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1,
             "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}], "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arm_sync"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
             "excludes": {"arches": ["s390"], "caps": ["CAP_SYS_ADMIN"]}}]}"#;

    fn names(caps: u64, kernel: &str) -> Vec<String> {
        let profile = read_profile(PROFILE, caps, kernel).unwrap();
        let names = profile.syscalls.iter().flat_map(|rule| rule.names.iter());
        names.map(ToString::to_string).collect()
    }

    #[test]
    fn rules_hold_by_capability_machine_and_kernel() {
        assert_eq!(
            names(0, "6.1.0-18-amd64"),
            ["read", "write", "chmod", "ptrace", "clone", "clone3"]
        );
        assert_eq!(names(1 << 21, "4.4.0"), ["read", "write", "chmod", "mount"]);
        let profile = read_profile(PROFILE, 0, "6.1").unwrap();
        assert_eq!(profile.architectures, [Arch::X86_64, Arch::X86]);
        assert_eq!(profile.default_errno_ret, Some(1));
        assert!(super::super::compile(&profile).is_ok());
    }

    #[test]
    fn what_is_no_profile_says_where() {
        let error = |text: &str| read_profile(text, 0, "6.1").unwrap_err().to_string();
        assert!(error("{").starts_with("not a seccomp profile: EOF"));
        assert!(error("{}").contains("missing field `defaultAction`"));
        let least = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}]}"#;
        assert_eq!(error(least), "not a seccomp profile: minKernel \"new\"");
    }
}
