//! What running containers use: the readers of `stats`.

use super::{Engine, report, spec};
use crate::container::{Dir, Network};
use crate::error::Result;
use crate::network::LinkCounters;
use crate::oci::cgroup::Usage;
use crate::types::ContainerId;
use std::fs;
use std::time::Instant;

/// A look at one container.
#[derive(Clone, Debug)]
pub struct Sample {
    pub id: ContainerId,
    pub name: String,
    taken: Instant,
    /// Zeros when it does not run.
    pub usage: Usage,
    pub links: Vec<LinkCounters>,
}

impl Engine {
    /// What went over each link of a running container; nothing where it has the host's network.
    pub fn counters(&self, name: &str) -> Result<Vec<LinkCounters>> {
        let dir = self.find(name)?;
        if let Network::Host = dir.config()?.network {
            return Ok(Vec::new());
        }
        let process = self.process(&dir, name)?;
        let counters = LinkCounters::read(process.pid)?;
        // Else its number may be another one's by now.
        if process.has_ended() { Ok(Vec::new()) } else { Ok(counters) }
    }

    pub fn sample(&self, container: &report::Container) -> Result<Sample> {
        let id = &container.config.id;
        let mut sample = Sample {
            id: id.clone(),
            name: container.settings.name.to_string(),
            taken: Instant::now(),
            usage: Usage::default(),
            links: Vec::new(),
        };
        if container.is_running() {
            let dir = Dir::new(&self.home, id);
            sample.usage = self.cgroups()?.open(&spec::cgroup_path(&dir))?.usage();
            sample.usage.memory_limit = sample.usage.memory_limit.min(host_memory());
            // It may end at any moment.
            sample.links = self.counters(id.as_str()).unwrap_or_default();
        }
        Ok(sample)
    }
}

impl Sample {
    /// How much of one CPU it had between an earlier look and this one: 200 is two whole ones.
    pub fn cpu_percent(&self, earlier: &Sample) -> f64 {
        let used = self.usage.cpu.saturating_sub(earlier.usage.cpu);
        let passed = self.taken.duration_since(earlier.taken);
        if passed.is_zero() { 0.0 } else { 100.0 * used.as_secs_f64() / passed.as_secs_f64() }
    }
}

/// Bytes.
pub(super) fn host_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}
