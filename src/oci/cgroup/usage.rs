//! What a cgroup uses, the groups below it included.

use super::Cgroups;
use super::control::number_in;
use super::placement::relative;
use crate::error::Result;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Zeros where a controller is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Since the cgroup was made.
    pub cpu: Duration,
    /// Bytes, without those of files that were not used of late: the kernel takes these back at
    /// will.
    pub memory: u64,
    /// Bytes; more than there are where nothing is set.
    pub memory_limit: u64,
    /// Bytes of block devices.
    pub read: u64,
    pub written: u64,
    /// Processes and threads.
    pub tasks: u64,
}

impl Cgroups {
    /// What the cgroup `path` uses; `None` where there is no such cgroup.
    ///
    /// It is not looked for, as by `open`: whoever asks for many would wait for that longer than for
    /// the numbers.
    pub fn usage(&self, path: &str) -> Result<Option<Usage>> {
        let mut files = Files { cgroups: self, path: relative(path)?, unified: None, any: false };
        let number = |text: String| text.trim().parse().ok();
        let cpu = files.read("cpuacct", "cpuacct.usage", "cpu.stat");
        let cpu = match number_in(&cpu, "usage_usec") {
            Some(micros) => Duration::from_micros(micros),
            None => Duration::from_nanos(number(cpu).unwrap_or(0)),
        };
        let stat = files.read("memory", "memory.stat", "memory.stat");
        let idle = ["total_inactive_file", "inactive_file"];
        let idle = idle.iter().find_map(|key| number_in(&stat, key)).unwrap_or(0);
        let memory = files.read("memory", "memory.usage_in_bytes", "memory.current");
        let limit = number(files.read("memory", "memory.limit_in_bytes", "memory.max"));
        let mut blocks =
            files.read("blkio", "blkio.throttle.io_service_bytes_recursive", "io.stat");
        let sum = |text: &str| {
            (transferred(text, "Read", "rbytes="), transferred(text, "Write", "wbytes="))
        };
        if sum(&blocks) == (0, 0) && self.has_v1("blkio") {
            // Newer kernels count there only what is throttled, and the scheduler the rest.
            blocks = files.read("blkio", "blkio.bfq.io_service_bytes_recursive", "io.stat");
        }
        let (read, written) = sum(&blocks);
        let tasks = number(files.read("pids", "pids.current", "pids.current"));
        Ok(files.any.then(|| Usage {
            cpu,
            memory: number(memory).unwrap_or(0).saturating_sub(idle),
            memory_limit: limit.unwrap_or(u64::MAX),
            read,
            written,
            tasks: tasks.unwrap_or(0),
        }))
    }
}

/// The files of a cgroup, some of which may be there.
struct Files<'a> {
    cgroups: &'a Cgroups,
    path: PathBuf,
    /// Its directory in v2, once that was looked for.
    unified: Option<Option<PathBuf>>,
    /// One of them was.
    any: bool,
}

impl Files<'_> {
    /// What is in the file of v1 or in that of v2; nothing where it is not there.
    fn read(&mut self, controller: &str, v1: &str, v2: &str) -> String {
        let file = match self.cgroups.v1.iter().find(|hierarchy| hierarchy.has(controller)) {
            Some(hierarchy) => hierarchy.mount.join(&self.path).join(v1),
            None => {
                let find = || self.cgroups.open_path(&self.path).unified;
                match self.unified.get_or_insert_with(find) {
                    Some(dir) => dir.join(v2),
                    None => return String::new(),
                }
            }
        };
        let text = fs::read_to_string(file);
        self.any |= text.is_ok();
        text.unwrap_or_default()
    }
}

/// The sum over all devices: v1 has lines `8:0 Read 4096`, v2 `8:0 rbytes=4096 wbytes=...`.
fn transferred(text: &str, v1: &str, v2: &str) -> u64 {
    let of_line = |line: &str| -> Option<u64> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, word, number] if word == v1 => number.parse().ok(),
            _ => words.iter().find_map(|word| word.strip_prefix(v2)?.parse().ok()),
        }
    };
    text.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_summed_up_in_both_forms() {
        let v1 =
            "8:0 Read 4096\n8:0 Write 1\n8:0 Sync 9\n8:16 Read 4\n8:0 Total 4097\nTotal 4101\n";
        let v2 = "8:0 rbytes=4096 wbytes=1 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=0\n";
        for text in [v1, v2] {
            assert_eq!(transferred(text, "Read", "rbytes="), 4100);
            assert_eq!(transferred(text, "Write", "wbytes="), 1);
        }
        assert_eq!(transferred("", "Read", "rbytes="), 0);
    }

    #[test]
    fn what_is_not_there_uses_nothing() {
        let none = Cgroups { v1: Vec::new(), unified: None };
        assert_eq!(none.usage("coracle/x").unwrap(), None);
        let path = format!("coracle-test-usage-{}/c", std::process::id());
        assert_eq!(Cgroups::detect().unwrap().usage(&path).unwrap(), None);
    }
}
