//! What went over the links of a container, as the kernel counts it: /proc/PID/net/dev, the table
//! of the network namespace that a process is in (proc_pid_net(5), net/core/net-procfs.c). Reading
//! it needs no switch of namespaces.

use crate::error::{OsContext, Result};
use crate::types::Pid;
use std::fs;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    pub link: String,
    pub received: Traffic,
    pub sent: Traffic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub bytes: u64,
    pub packets: u64,
    pub errors: u64,
    /// Received ones that were missed for want of room are among them.
    pub dropped: u64,
}

impl LinkCounters {
    /// Those of every link but the loopback, as `pid` sees them.
    pub fn read(pid: Pid) -> Result<Vec<LinkCounters>> {
        let path = format!("/proc/{pid}/net/dev");
        Ok(parse(&fs::read_to_string(&path).on("read", &path)?))
    }
}

/// Two lines of titles, then `name:` and sixteen numbers: bytes, packets, errors, dropped and four
/// others received, and the same eight sent.
fn parse(table: &str) -> Vec<LinkCounters> {
    let link = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let traffic = |from: usize| {
            let &[bytes, packets, errors, dropped] = numbers.get(from..from + 4)? else {
                return None;
            };
            Some(Traffic { bytes, packets, errors, dropped })
        };
        let link = name.trim_start().to_string();
        Some(LinkCounters { link, received: traffic(0)?, sent: traffic(8)? })
    };
    table.lines().filter_map(link).filter(|one| one.link != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     168       2    0    0    0     0          0         0      168       2    0    0    0     0       0          0
  eth0:18446744073709551615 12 3 4 5 6 7 8 910 11 12 13 14 15 16 17
 torn: 1 2 3
";
        let eth0 = LinkCounters {
            link: "eth0".into(),
            received: Traffic { bytes: u64::MAX, packets: 12, errors: 3, dropped: 4 },
            sent: Traffic { bytes: 910, packets: 11, errors: 12, dropped: 13 },
        };
        assert_eq!(parse(table), [eth0]);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(LinkCounters::read(Pid::from_raw(i32::MAX).unwrap()).is_err());
    }
}
