//! What running containers use: the readers of `stats`.
//!
//! How busy a container is takes two looks. The first is the last that anybody had:
//!
//! ```text
//! <run>/looks     ID STARTED TAKEN CPU .    a line each; nanoseconds, the first two since 1970
//! ```
//!
//! Where there was none in this run of the container, it is its start. So nobody waits, and what is
//! told is true: the share of a CPU since the last look, or since the start. Lines are written in
//! place under the file's own lock; one that is torn counts as none.

use super::{Engine, report, spec};
use crate::container::{Dir, Network};
use crate::error::{Error, Result};
use crate::network::LinkCounters;
use crate::oci::cgroup::Usage;
use crate::sys::lock::{self, Mode};
use crate::types::{ContainerId, Timestamp};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a container uses.
#[derive(Clone, Debug)]
pub struct Sample {
    pub id: ContainerId,
    pub name: String,
    /// Of one CPU, since the last look: 200 is two whole ones.
    pub cpu_percent: f64,
    /// Zeros when it does not run.
    pub usage: Usage,
    pub links: Vec<LinkCounters>,
}

/// When somebody looked at each container, and what CPU time it had had.
#[derive(Default, Debug)]
pub struct Looks(BTreeMap<ContainerId, Look>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    /// Of which run.
    started: Timestamp,
    taken: Timestamp,
    cpu: Duration,
}

impl Look {
    /// How much of one CPU it had since an earlier look.
    fn percent_since(&self, earlier: Look) -> f64 {
        let used = self.cpu.saturating_sub(earlier.cpu);
        let passed = earlier.taken.until(self.taken);
        if passed.is_zero() { 0.0 } else { 100.0 * used.as_secs_f64() / passed.as_secs_f64() }
    }
}

impl Looks {
    fn parse(text: &str) -> Looks {
        let look = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, started, taken, cpu, "."] = words[..] else { return None };
            let cpu = Duration::from_nanos(cpu.parse().ok()?);
            let [started, taken] = [started, taken].map(|n| n.parse().ok().map(Timestamp));
            Some((id.parse().ok()?, Look { started: started?, taken: taken?, cpu }))
        };
        Looks(text.lines().filter_map(look).collect())
    }

    fn text(&self) -> String {
        let line = |(id, look): (&ContainerId, &Look)| {
            format!("{id} {} {} {} .\n", look.started.0, look.taken.0, look.cpu.as_nanos())
        };
        self.0.iter().map(line).collect()
    }

    /// The CPU share since the last look, which this one becomes.
    fn percent(&mut self, id: &ContainerId, now: Look) -> f64 {
        let start = Look { taken: now.started, cpu: Duration::ZERO, ..now };
        let last = self.0.insert(id.clone(), now);
        // A clock that was set back makes no look of later.
        let is_of_this_run =
            |last: &Look| last.started == now.started && last.taken.0 < now.taken.0;
        now.percent_since(last.filter(is_of_this_run).unwrap_or(start))
    }
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

    /// The looks that were had so far, by anybody.
    pub fn looks(&self) -> Looks {
        let read = || {
            let _guard = lock::lock(&self.looks_path(), 0, Mode::Shared)?;
            fs::read_to_string(self.looks_path())
        };
        Looks::parse(&read().unwrap_or_default())
    }

    /// Keeps them for whoever looks next. Where that cannot be, they count from the start.
    pub fn keep_looks(&self, looks: &mut Looks) {
        looks.0.retain(|id, _| Dir::new(&self.home, id).exists());
        if let Ok(_guard) = lock::lock(&self.looks_path(), 0, Mode::Exclusive) {
            let _ = fs::write(self.looks_path(), looks.text());
        }
    }

    fn looks_path(&self) -> PathBuf {
        self.home.run.join("looks")
    }

    /// Looks at a container; the look becomes the last one. None uses more than `host_memory`.
    pub fn sample(
        &self,
        container: &report::Container,
        looks: &mut Looks,
        host_memory: u64,
    ) -> Result<Sample> {
        let (id, state) = (&container.config.id, &container.state);
        let mut sample = Sample {
            id: id.clone(),
            name: container.settings.name.to_string(),
            cpu_percent: 0.0,
            usage: Usage::default(),
            links: Vec::new(),
        };
        let process = state.process.as_ref().filter(|_| container.is_running());
        let Some(process) = process else { return Ok(sample) };
        let dir = Dir::new(&self.home, id);
        let usage = self.cgroups()?.usage(&spec::cgroup_path(&dir))?;
        if usage.is_none() && self.troubles.borrow().is_empty() {
            if process.open().is_none() {
                // It has just ended.
                return Ok(sample);
            }
            let text = "only NET I/O is counted: the rest needs a delegated cgroup v2";
            self.troubles.borrow_mut().push(Error::conflict(text));
        }
        sample.usage = usage.unwrap_or(Usage { memory_limit: u64::MAX, ..Usage::default() });
        sample.usage.memory_limit = sample.usage.memory_limit.min(host_memory);
        let taken = Timestamp::now();
        let now = Look { started: state.started, taken, cpu: sample.usage.cpu };
        sample.cpu_percent = looks.percent(id, now);
        if container.config.network != Network::Host {
            // It may end at any moment, and its number be another one's.
            let links = LinkCounters::read(process.pid).unwrap_or_default();
            sample.links = process.open().map(|_| links).unwrap_or_default();
        }
        Ok(sample)
    }
}

/// Bytes.
pub fn host_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_since_the_last_look_or_the_start() {
        let id: ContainerId = "5".repeat(64).parse().unwrap();
        let look = |started, taken, cpu| Look {
            started: Timestamp::from_unix(started),
            taken: Timestamp::from_unix(taken),
            cpu: Duration::from_secs(cpu),
        };
        let mut looks = Looks::default();
        assert_eq!(looks.percent(&id, look(100, 110, 5)), 50.0);
        // Whoever comes next finds it.
        let mut looks = Looks::parse(&looks.text());
        assert_eq!(looks.percent(&id, look(100, 114, 13)), 200.0);
        // Another run begins anew, and so does a clock that was set back.
        assert_eq!(looks.percent(&id, look(120, 122, 1)), 50.0);
        assert_eq!(looks.percent(&id, look(120, 121, 1)), 100.0);
        let text = looks.text();
        for end in 0..text.len() - 1 {
            assert!(Looks::parse(&text[..end]).0.is_empty());
        }
    }
}
