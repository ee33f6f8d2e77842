//! Which files of which controller say what `Resources` ask, in the words of cgroup v1 and v2.
//!
//! Source: the kernel's Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst; the translation
//! of shares and weights is that of the runtime spec's implementations (runc, crun).

use super::resources::{BlockIo, Cpu, HugepageLimit, Memory, Resources, Throttle, WeightDevice};
use crate::error::{Error, Result};

/// A file of a cgroup's directory and what to write to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub file: String,
    pub value: String,
    /// Where the file is missing: what to tell instead of failing.
    pub or_say: Option<&'static str>,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} to {}", self.file, self.value)
    }
}

fn set(file: impl Into<String>, value: impl ToString) -> Setting {
    Setting { file: file.into(), value: value.to_string(), or_say: None }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The controllers that can be asked for limits, by their names in v1 and v2.
pub(super) const CONTROLLERS: [Controller; 6] = [
    Controller { v1: "memory", v2: "memory", limits: memory },
    Controller { v1: "cpu", v2: "cpu", limits: cpu },
    Controller { v1: "cpuset", v2: "cpuset", limits: cpuset },
    Controller { v1: "pids", v2: "pids", limits: pids },
    Controller { v1: "blkio", v2: "io", limits: block_io },
    Controller { v1: "hugetlb", v2: "hugetlb", limits: hugetlb },
];

pub(super) struct Controller {
    pub v1: &'static str,
    pub v2: &'static str,
    limits: fn(&Resources, Version) -> Result<Vec<Setting>>,
}

impl Controller {
    /// What to write for `resources`, in order; empty where nothing is asked of this controller.
    pub fn settings(&self, resources: &Resources, version: Version) -> Result<Vec<Setting>> {
        (self.limits)(resources, version)
    }
}

/// What no version of ours can do.
pub(super) fn check(resources: &Resources) -> Result<()> {
    let refused = [("network", &resources.network), ("rdma", &resources.rdma)];
    for (name, value) in refused {
        if value.is_some() {
            return Err(Error::invalid(format!("linux.resources.{name} is not supported")));
        }
    }
    for file in resources.unified.keys() {
        if file.contains('/') || !file.contains('.') {
            let problem = format!("linux.resources.unified: \"{file}\" is not a file of cgroup v2");
            return Err(Error::invalid(problem).hint("name one such as \"memory.high\""));
        }
    }
    Ok(())
}

/// Docker's words.
const NO_SWAP: &str = "Your kernel does not support swap limit capabilities or the cgroup is not \
                       mounted. Memory limited without swap.";

fn memory(resources: &Resources, version: Version) -> Result<Vec<Setting>> {
    let Some(memory) = &resources.memory else {
        return Ok(Vec::new());
    };
    if let (Some(limit), Some(swap)) = (memory.limit, memory.swap)
        && (0..limit).contains(&swap)
    {
        let problem = format!("memory and swap ({swap}) are less than memory alone ({limit})");
        return Err(Error::invalid(problem).hint("the swap limit counts memory and swap together"));
    }
    match version {
        Version::V1 => Ok(memory_v1(memory)),
        Version::V2 => memory_v2(memory),
    }
}

fn memory_v1(memory: &Memory) -> Vec<Setting> {
    let mut settings = Vec::new();
    settings.extend(memory.limit.map(|n| set("memory.limit_in_bytes", n)));
    settings.extend(
        memory
            .swap
            .map(|n| Setting { or_say: Some(NO_SWAP), ..set("memory.memsw.limit_in_bytes", n) }),
    );
    settings.extend(memory.reservation.map(|n| set("memory.soft_limit_in_bytes", n)));
    settings.extend(memory.swappiness.map(|n| set("memory.swappiness", n)));
    if memory.disable_oom_killer == Some(true) {
        settings.push(set("memory.oom_control", 1));
    }
    settings
}

fn memory_v2(memory: &Memory) -> Result<Vec<Setting>> {
    let bytes = |n: i64| if n < 0 { "max".to_string() } else { n.to_string() };
    let mut settings = Vec::new();
    settings.extend(memory.limit.map(|n| set("memory.max", bytes(n))));
    if let Some(swap) = memory.swap {
        let alone = match (swap, memory.limit) {
            (..0, _) => -1,
            (_, Some(limit @ 0..)) => swap - limit,
            _ => {
                return Err(Error::invalid("a swap limit needs a memory limit")
                    .hint("limit memory as well"));
            }
        };
        settings.push(Setting { or_say: Some(NO_SWAP), ..set("memory.swap.max", bytes(alone)) });
    }
    // None is no protection.
    settings.extend(memory.reservation.map(|n| set("memory.low", n.max(0))));
    Ok(settings)
}

fn cpu(resources: &Resources, version: Version) -> Result<Vec<Setting>> {
    let Some(cpu) = &resources.cpu else { return Ok(Vec::new()) };
    match version {
        Version::V1 => Ok(cpu_v1(cpu)),
        Version::V2 if cpu.realtime_runtime.or(cpu.realtime_period.map(|_| 1)).is_some() => {
            Err(Error::invalid("cgroup v2 has no limits for processes in real time"))
        }
        Version::V2 => Ok(cpu_v2(cpu)),
    }
}

fn cpu_v1(cpu: &Cpu) -> Vec<Setting> {
    let mut settings = Vec::new();
    settings.extend(cpu.shares.filter(|n| *n > 0).map(|n| set("cpu.shares", n)));
    settings.extend(cpu.period.filter(|n| *n > 0).map(|n| set("cpu.cfs_period_us", n)));
    settings.extend(cpu.quota.filter(|n| *n != 0).map(|n| set("cpu.cfs_quota_us", n)));
    settings.extend(cpu.burst.map(|n| set("cpu.cfs_burst_us", n)));
    settings.extend(cpu.realtime_period.filter(|n| *n > 0).map(|n| set("cpu.rt_period_us", n)));
    settings.extend(cpu.realtime_runtime.filter(|n| *n > 0).map(|n| set("cpu.rt_runtime_us", n)));
    settings.extend(cpu.idle.map(|n| set("cpu.idle", n)));
    settings
}

fn cpu_v2(cpu: &Cpu) -> Vec<Setting> {
    let mut settings = Vec::new();
    settings.extend(cpu.idle.map(|n| set("cpu.idle", n)));
    // The weight of an idle group is fixed.
    if cpu.idle != Some(1) {
        settings.extend(cpu.shares.filter(|n| *n > 0).map(|n| set("cpu.weight", weight(n))));
    }
    let quota = cpu.quota.filter(|n| *n != 0);
    let period = cpu.period.filter(|n| *n > 0);
    if quota.is_some() || period.is_some() {
        let quota = match quota {
            Some(n @ 1..) => n.to_string(),
            _ => "max".to_string(),
        };
        settings.push(set("cpu.max", format!("{quota} {}", period.unwrap_or(100_000))));
    }
    settings.extend(cpu.burst.map(|n| set("cpu.max.burst", n)));
    settings
}

/// Shares of v1 (2 to 262144) on the scale of v2's weights (1 to 10000).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn cpuset(resources: &Resources, _: Version) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    if let Some(cpu) = &resources.cpu {
        let asked = |list: &&String| !list.is_empty();
        settings.extend(cpu.cpus.as_ref().filter(asked).map(|l| set("cpuset.cpus", l)));
        settings.extend(cpu.mems.as_ref().filter(asked).map(|l| set("cpuset.mems", l)));
    }
    Ok(settings)
}

fn pids(resources: &Resources, _: Version) -> Result<Vec<Setting>> {
    let limit = resources.pids.as_ref().map(|pids| match pids.limit {
        n @ 1.. => set("pids.max", n),
        _ => set("pids.max", "max"),
    });
    Ok(limit.into_iter().collect())
}

fn block_io(resources: &Resources, version: Version) -> Result<Vec<Setting>> {
    let Some(io) = &resources.block_io else {
        return Ok(Vec::new());
    };
    let mut settings = Vec::new();
    // 10 to 1000 onto 1 to 10000.
    let scaled = |weight: u16| 1 + (u32::from(weight).saturating_sub(10)) * 9999 / 990;
    let whole = io.weight.filter(|n| *n > 0).map(|weight| {
        let setting = match version {
            Version::V1 => set("blkio.weight", weight),
            Version::V2 => set("io.weight", scaled(weight)),
        };
        (weight, setting)
    });
    let devices = io.weight_device.iter().map(|WeightDevice { major, minor, weight }| {
        let setting = match version {
            Version::V1 => set("blkio.weight_device", format!("{major}:{minor} {weight}")),
            Version::V2 => set("io.weight", format!("{major}:{minor} {}", scaled(*weight))),
        };
        (*weight, setting)
    });
    for (weight, setting) in whole.into_iter().chain(devices) {
        if !(10..=1000).contains(&weight) {
            let problem = format!("the block I/O weight {weight} is not one of 10 to 1000");
            return Err(Error::invalid(problem));
        }
        let say = "the block I/O weight is not set: this kernel has no I/O scheduler that heeds it";
        settings.push(Setting { or_say: Some(say), ..setting });
    }
    for (limits, v1, v2) in throttles(io) {
        settings.extend(limits.iter().map(|t| match version {
            Version::V1 => set(v1, format!("{}:{} {}", t.major, t.minor, t.rate)),
            Version::V2 => set("io.max", format!("{}:{} {v2}={}", t.major, t.minor, t.rate)),
        }));
    }
    Ok(settings)
}

fn throttles(io: &BlockIo) -> [(&[Throttle], &'static str, &'static str); 4] {
    [
        (&io.throttle_read_bps_device, "blkio.throttle.read_bps_device", "rbps"),
        (&io.throttle_write_bps_device, "blkio.throttle.write_bps_device", "wbps"),
        (&io.throttle_read_iops_device, "blkio.throttle.read_iops_device", "riops"),
        (&io.throttle_write_iops_device, "blkio.throttle.write_iops_device", "wiops"),
    ]
}

fn hugetlb(resources: &Resources, version: Version) -> Result<Vec<Setting>> {
    let file = |limit: &HugepageLimit| match version {
        Version::V1 => format!("hugetlb.{}.limit_in_bytes", limit.page_size),
        Version::V2 => format!("hugetlb.{}.max", limit.page_size),
    };
    let sane = |limit: &HugepageLimit| limit.page_size.bytes().all(|b| b.is_ascii_alphanumeric());
    if let Some(bad) = resources.hugepage_limits.iter().find(|limit| !sane(limit)) {
        return Err(Error::invalid(format!("\"{}\" is not a page size", bad.page_size))
            .hint("write it as 2MB or 1GB"));
    }
    Ok(resources.hugepage_limits.iter().map(|l| set(file(l), l.limit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &str) -> [Vec<(String, String)>; 2] {
        let resources: Resources = serde_json::from_str(text).unwrap();
        [Version::V1, Version::V2].map(|version| {
            let all = CONTROLLERS.iter().flat_map(|c| c.settings(&resources, version).unwrap());
            all.map(|s| (s.file, s.value)).collect()
        })
    }

    fn list(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn limits_are_written_in_the_words_of_each_version() {
        let [v1, v2] = both(
            r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":1048576},
                "cpu":{"shares":512,"quota":50000,"cpus":"0-1"},"pids":{"limit":100}}"#,
        );
        let expected = [
            ("memory.limit_in_bytes", "67108864"),
            ("memory.memsw.limit_in_bytes", "134217728"),
            ("memory.soft_limit_in_bytes", "1048576"),
            ("cpu.shares", "512"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpuset.cpus", "0-1"),
            ("pids.max", "100"),
        ];
        assert_eq!(v1, list(&expected));
        let expected = [
            ("memory.max", "67108864"),
            ("memory.swap.max", "67108864"),
            ("memory.low", "1048576"),
            ("cpu.weight", "20"),
            ("cpu.max", "50000 100000"),
            ("cpuset.cpus", "0-1"),
            ("pids.max", "100"),
        ];
        assert_eq!(v2, list(&expected));
    }

    #[test]
    fn no_limit_has_its_own_word() {
        let [v1, v2] = both(
            r#"{"memory":{"limit":-1,"swap":-1},"cpu":{"shares":0,"quota":-1},
                "pids":{"limit":-1}}"#,
        );
        let expected = [
            ("memory.limit_in_bytes", "-1"),
            ("memory.memsw.limit_in_bytes", "-1"),
            ("cpu.cfs_quota_us", "-1"),
            ("pids.max", "max"),
        ];
        assert_eq!(v1, list(&expected));
        let expected = [
            ("memory.max", "max"),
            ("memory.swap.max", "max"),
            ("cpu.max", "max 100000"),
            ("pids.max", "max"),
        ];
        assert_eq!(v2, list(&expected));
    }

    #[test]
    fn block_io_is_throttled_by_device() {
        let [v1, v2] = both(
            r#"{"blockIO":{"weight":10,
                "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1024}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":5}]}}"#,
        );
        let expected = [
            ("blkio.weight", "10"),
            ("blkio.throttle.read_bps_device", "8:0 1024"),
            ("blkio.throttle.write_iops_device", "8:16 5"),
        ];
        assert_eq!(v1, list(&expected));
        let expected =
            [("io.weight", "1"), ("io.max", "8:0 rbps=1024"), ("io.max", "8:16 wiops=5")];
        assert_eq!(v2, list(&expected));
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |text: &str| {
            let resources: Resources = serde_json::from_str(text).unwrap();
            memory(&resources, Version::V2).unwrap_err().to_string()
        };
        assert_eq!(
            refused(r#"{"memory":{"limit":100,"swap":50}}"#),
            "memory and swap (50) are less than memory alone (100)"
        );
        assert_eq!(refused(r#"{"memory":{"swap":50}}"#), "a swap limit needs a memory limit");
    }

    #[test]
    fn weights_span_the_scale() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
    }
}
