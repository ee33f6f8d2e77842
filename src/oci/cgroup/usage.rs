//! What a cgroup uses, the groups below it included.

use super::Cgroup;
use super::control::number_in;
use std::fs;
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

impl Cgroup {
    pub fn usage(&self) -> Usage {
        // The files of v1 and v2; what each gives is told by the first that is there.
        let text = |controller: &str, v1: &str, v2: &str| match self.v1_dir(controller) {
            Some(dir) => fs::read_to_string(dir.join(v1)).unwrap_or_default(),
            None => {
                let dir = self.unified.as_ref();
                dir.and_then(|dir| fs::read_to_string(dir.join(v2)).ok()).unwrap_or_default()
            }
        };
        let number = |text: String| text.trim().parse().ok();
        let cpu = text("cpuacct", "cpuacct.usage", "cpu.stat");
        let cpu = match number_in(&cpu, "usage_usec") {
            Some(micros) => Duration::from_micros(micros),
            None => Duration::from_nanos(number(cpu).unwrap_or(0)),
        };
        let stat = text("memory", "memory.stat", "memory.stat");
        let idle = ["total_inactive_file", "inactive_file"];
        let idle = idle.iter().find_map(|key| number_in(&stat, key)).unwrap_or(0);
        let memory = number(text("memory", "memory.usage_in_bytes", "memory.current")).unwrap_or(0);
        let limit = number(text("memory", "memory.limit_in_bytes", "memory.max"));
        let mut blocks = text("blkio", "blkio.throttle.io_service_bytes_recursive", "io.stat");
        let sum = |text: &str| {
            (transferred(text, "Read", "rbytes="), transferred(text, "Write", "wbytes="))
        };
        if sum(&blocks) == (0, 0) && self.v1_dir("blkio").is_some() {
            // Newer kernels count there only what is throttled, and the scheduler the rest.
            blocks = text("blkio", "blkio.bfq.io_service_bytes_recursive", "io.stat");
        }
        let (read, written) = sum(&blocks);
        Usage {
            cpu,
            memory: memory.saturating_sub(idle),
            memory_limit: limit.unwrap_or(u64::MAX),
            read,
            written,
            tasks: number(text("pids", "pids.current", "pids.current")).unwrap_or(0),
        }
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
    use std::path::PathBuf;

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
        let gone =
            Cgroup { path: PathBuf::new(), v1: Vec::new(), unified: None, warnings: Vec::new() };
        assert_eq!(gone.usage(), Usage { memory_limit: u64::MAX, ..Usage::default() });
    }
}
