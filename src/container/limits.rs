//! What a container may use of the host, as its control group holds it to: part of its settings,
//! since `update` changes it.

use crate::error::{Error, Result};
use crate::types::serde_by_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// None of anything is no limit.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together, -1 for any; else twice the memory.
    pub memory_swap: Option<i64>,
    /// Bytes that are left to it when the host runs short.
    pub memory_reservation: Option<u64>,
    /// 0 to 100; of cgroup v1 alone.
    pub memory_swappiness: Option<u64>,
    /// Processes wait where memory runs out; of cgroup v1 alone.
    pub oom_kill_disable: bool,
    /// Relative weight; 1024 is one share.
    pub cpu_shares: Option<u64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds in each period.
    pub cpu_quota: Option<u64>,
    /// `0-2,7`
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    /// Microseconds of a period, and in each, for processes in real time; of cgroup v1 alone.
    pub cpu_rt_period: Option<u64>,
    pub cpu_rt_runtime: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// 10 to 1000.
    pub blkio_weight: Option<u16>,
    pub blkio_weight_device: Vec<DeviceRate>,
    pub device_read_bps: Vec<DeviceRate>,
    pub device_write_bps: Vec<DeviceRate>,
    pub device_read_iops: Vec<DeviceRate>,
    pub device_write_iops: Vec<DeviceRate>,
}

/// The least memory a container can be given (Docker's bound).
pub const MIN_MEMORY: u64 = 6 << 20;
/// As many as the kernel tells apart.
const MAX_PIDS: u64 = 1 << 22;
/// cpu.shares' own bounds.
pub const CPU_SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;
/// Microseconds: the kernel's bounds of a period; a quota has the lower one too.
const CPU_PERIOD: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
const BLKIO_WEIGHT: std::ops::RangeInclusive<u16> = 10..=1000;

impl Limits {
    /// The limit of memory and swap together: twice the memory where nothing else was said, as
    /// Docker has it.
    pub fn swap(&self) -> Option<i64> {
        let twice = |n: u64| i64::try_from(n.saturating_mul(2)).unwrap_or(i64::MAX);
        self.memory_swap.or(self.memory.map(twice))
    }

    /// What a container with these limits gets when it is to have `new` ones: the limit of memory
    /// and swap together stays where only the memory's changes, as with Docker.
    pub fn changed_to(&self, new: Limits) -> Result<Limits> {
        let (Some(_), Some(swap)) = (self.memory, self.swap()) else { return Ok(new) };
        if new.memory == self.memory || new.memory_swap != self.memory_swap {
            return Ok(new);
        }
        let Some(memory) = new.memory else { return Ok(Limits { memory_swap: None, ..new }) };
        if u64::try_from(swap).is_ok_and(|swap| swap < memory) {
            let text = format!("--memory {memory} is more than memory and swap together: {swap}");
            return Err(Error::invalid(text).hint("give --memory-swap too"));
        }
        Ok(Limits { memory_swap: Some(swap), ..new })
    }

    /// Checks bounds, and what excludes each other.
    pub fn check(&self) -> Result<()> {
        let invalid = |text: String, hint: &str| Err(Error::invalid(text).hint(hint));
        if let Some(memory) = self.memory.filter(|n| *n < MIN_MEMORY) {
            let text = format!("--memory: {memory} bytes is too small");
            return invalid(text, "the least is 6m");
        }
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        match (self.memory_swap, self.memory) {
            (None | Some(-1), _) => {}
            (Some(swap), None) => {
                let text = format!("--memory-swap {swap}: there is no memory limit");
                return invalid(text, "give --memory too: the swap limit counts both together");
            }
            (Some(swap), Some(memory)) if swap < signed(memory) => {
                let text = format!("--memory-swap {swap} is less than --memory {memory}");
                return invalid(text, "the swap limit counts memory and swap together");
            }
            _ => {}
        }
        if let (Some(reservation), Some(memory)) = (self.memory_reservation, self.memory)
            && reservation > memory
        {
            let text = format!("--memory-reservation {reservation} is above --memory {memory}");
            return invalid(text, "it is what stays when memory runs short");
        }
        if let Some(swappiness) = self.memory_swappiness.filter(|n| *n > 100) {
            return invalid(format!("--memory-swappiness {swappiness}"), "use 0 to 100");
        }
        if self.oom_kill_disable && self.memory.is_none() {
            let text = "--oom-kill-disable without --memory could take all the host's memory";
            return invalid(text.into(), "give --memory too");
        }
        if let Some(pids) = self.pids.filter(|n| *n > MAX_PIDS) {
            return invalid(
                format!("--pids-limit {pids}"),
                "use 1 to 4194304, or -1 for any number",
            );
        }
        self.check_cpus()?;
        if let Some(weight) = self.blkio_weight.filter(|n| !BLKIO_WEIGHT.contains(n)) {
            return invalid(format!("--blkio-weight {weight}"), "use 10 to 1000");
        }
        let is_weight = |n: u64| u16::try_from(n).is_ok_and(|n| BLKIO_WEIGHT.contains(&n));
        if let Some(one) = self.blkio_weight_device.iter().find(|one| !is_weight(one.rate)) {
            return invalid(format!("--blkio-weight-device {one}"), "use weights of 10 to 1000");
        }
        Ok(())
    }

    fn check_cpus(&self) -> Result<()> {
        let invalid = |text: String, hint: &str| Err(Error::invalid(text).hint(hint));
        if let Some(shares) = self.cpu_shares.filter(|n| !CPU_SHARES.contains(n)) {
            let text = format!("--cpu-shares {shares}");
            return invalid(text, "use 2 to 262144; 1024 is one share");
        }
        if self.nano_cpus.is_some() && (self.cpu_period.is_some() || self.cpu_quota.is_some()) {
            let text = "--cpus excludes --cpu-period and --cpu-quota";
            return invalid(text.into(), "--cpus 1.5 is --cpu-period 100000 --cpu-quota 150000");
        }
        if let Some(period) = self.cpu_period.filter(|n| !CPU_PERIOD.contains(n)) {
            return invalid(format!("--cpu-period {period}"), "use 1000 to 1000000 microseconds");
        }
        if let Some(quota) = self.cpu_quota.filter(|n| n < CPU_PERIOD.start()) {
            return invalid(format!("--cpu-quota {quota}"), "use 1000 microseconds or more");
        }
        if let (Some(runtime), Some(period)) = (self.cpu_rt_runtime, self.cpu_rt_period)
            && runtime > period
        {
            let text = format!("--cpu-rt-runtime {runtime} is more than --cpu-rt-period {period}");
            return invalid(text, "it is a part of each period");
        }
        let lists = [("--cpuset-cpus", &self.cpuset_cpus), ("--cpuset-mems", &self.cpuset_mems)];
        for (flag, list) in lists {
            if let Some(text) = list.as_ref().filter(|text| highest(text).is_none()) {
                let text = format!("{flag}: \"{text}\" is not a list of numbers");
                return invalid(text, "write it as 0-2,7");
            }
        }
        Ok(())
    }

    /// Checks it against the host's processors, a list as in `/sys/devices/system/cpu/online`,
    /// which is read where it matters.
    pub fn fit(&self, online: impl FnOnce() -> Result<String>) -> Result<()> {
        if self.nano_cpus.is_none() && self.cpuset_cpus.is_none() {
            return Ok(());
        }
        let last = highest(online()?.trim()).unwrap_or_default();
        let count = last + 1;
        let all = count as u64 * 1_000_000_000;
        if let Some(asked) = self.nano_cpus.filter(|n| !(10_000_000..=all).contains(n)) {
            return Err(Error::invalid(format!("--cpus {} is not there", Cpus(asked)))
                .hint(format!("use 0.01 to {count}: the host's processors")));
        }
        let asked = self.cpuset_cpus.as_deref().and_then(highest);
        if let Some(missing) = asked.filter(|asked| *asked > last) {
            return Err(Error::invalid(format!(
                "--cpuset-cpus: the host has no processor {missing}"
            ))
            .hint(format!("its last one is {last}")));
        }
        Ok(())
    }
}

/// The highest number in `0-2,7`; None where it is no such list.
fn highest(list: &str) -> Option<usize> {
    let number = |word: &str| word.parse::<usize>().ok().filter(|_| !word.starts_with('+'));
    let ends = list.split(',').map(|part| match part.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(last)
        }
        None => number(part),
    });
    ends.collect::<Option<Vec<usize>>>()?.into_iter().max()
}

/// Billionths of a processor, as `--cpus` writes them: `1.5`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpus(pub u64);

impl FromStr for Cpus {
    type Err = Error;
    fn from_str(text: &str) -> Result<Cpus> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
        let billionths = || {
            let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            let part: u64 = format!("{part:0<9}").parse().ok()?;
            whole.checked_mul(1_000_000_000)?.checked_add(part)
        };
        let has_digits = !whole.is_empty() || !part.is_empty();
        let fits = has_digits && part.len() <= 9 && is_number(whole) && is_number(part);
        match fits.then(billionths).flatten() {
            Some(n) => Ok(Cpus(n)),
            None => Err(Error::invalid(format!("\"{text}\" is no number of processors"))
                .hint("write it as 1.5, with at most nine digits behind the point")),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// `/dev/sda:1048576`: a device of the host, and bytes or operations a second, or its weight.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRate {
    pub path: String,
    pub rate: u64,
}

impl FromStr for DeviceRate {
    type Err = Error;
    fn from_str(text: &str) -> Result<DeviceRate> {
        let bad = || {
            Error::invalid(format!("invalid rate \"{text}\""))
                .hint("write /dev/sda:1048576 or /dev/sda:1m")
        };
        let (path, rate) = text.rsplit_once(':').ok_or_else(bad)?;
        if !path.starts_with('/') {
            return Err(bad());
        }
        let rate = crate::types::parse_size(rate).map_err(|_| bad())?;
        Ok(DeviceRate { path: path.to_string(), rate })
    }
}

impl fmt::Display for DeviceRate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.rate)
    }
}

serde_by_text!(DeviceRate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_in_billionths() {
        for (text, billionths, shown) in [
            ("1.5", 1_500_000_000, "1.5"),
            ("2", 2_000_000_000, "2"),
            (".25", 250_000_000, "0.25"),
            ("0.000000001", 1, "0.000000001"),
        ] {
            let cpus: Cpus = text.parse().unwrap();
            assert_eq!((cpus.0, cpus.to_string()), (billionths, shown.to_string()));
        }
        for text in ["", ".", "-1", "1e3", "1.0000000001", "two", "99999999999999999999", "+1"] {
            assert!(text.parse::<Cpus>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn other_memory_leaves_the_limit_with_swap_as_it_was() {
        let limits = |memory, memory_swap| Limits { memory, memory_swap, ..Limits::default() };
        let none = limits(None, None);
        let before = limits(Some(100), None);
        assert_eq!((none.swap(), before.swap()), (None, Some(200)));
        assert_eq!(none.changed_to(before.clone()).unwrap(), before);
        for (new, expected) in [
            (limits(Some(150), None), limits(Some(150), Some(200))),
            (limits(Some(50), None), limits(Some(50), Some(200))),
            (limits(Some(300), Some(400)), limits(Some(300), Some(400))),
            (limits(Some(300), Some(-1)), limits(Some(300), Some(-1))),
            (none.clone(), none.clone()),
        ] {
            assert_eq!(before.changed_to(new).unwrap(), expected);
        }
        let error = before.changed_to(limits(Some(201), None)).unwrap_err();
        assert_eq!(error.to_string(), "--memory 201 is more than memory and swap together: 200");
        assert_eq!(limits(Some(50), Some(200)).changed_to(limits(None, Some(200))).unwrap(), none);
        let any = limits(Some(100), Some(-1));
        assert_eq!(any.changed_to(limits(Some(300), Some(-1))).unwrap().swap(), Some(-1));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().map_err(|e| e.to_string()).unwrap_err()
        };
        assert!(Limits::default().check().is_ok());
        assert!(refused(|l| l.memory = Some(4096)).contains("4096"));
        assert!(refused(|l| l.cpu_shares = Some(1)).contains("--cpu-shares 1"));
        assert!(refused(|l| l.pids = Some(1 << 23)).contains("--pids-limit 8388608"));
        assert!(refused(|l| l.memory_swap = Some(1 << 30)).contains("no memory limit"));
        assert!(refused(|l| (l.memory, l.memory_swap) = (Some(1 << 30), Some(5))).contains("less"));
        assert!(
            refused(|l| (l.memory, l.memory_reservation) = (Some(1 << 30), Some(1 << 31)))
                .contains("above")
        );
        assert!(refused(|l| l.memory_swappiness = Some(101)).contains("101"));
        assert!(refused(|l| l.oom_kill_disable = true).contains("without --memory"));
        assert!(
            refused(|l| (l.nano_cpus, l.cpu_quota) = (Some(1 << 30), Some(5000)))
                .contains("excludes")
        );
        assert!(refused(|l| l.cpu_period = Some(999)).contains("999"));
        assert!(refused(|l| l.cpu_quota = Some(999)).contains("999"));
        assert!(refused(|l| l.blkio_weight = Some(9)).contains('9'));
        for list in ["", "1-0", "a", "0,", "-1", "0-", "+1"] {
            let limits = Limits { cpuset_mems: Some(list.into()), ..Limits::default() };
            assert!(limits.check().unwrap_err().to_string().contains("is not a list"), "{list}");
        }
        let fits = |limits: Limits| limits.fit(|| Ok("0-1\n".into())).map_err(|e| e.to_string());
        let cpuset = |list: &str| Limits { cpuset_cpus: Some(list.into()), ..Limits::default() };
        assert!(cpuset("0,1").check().is_ok() && fits(cpuset("0,1")).is_ok());
        assert!(fits(cpuset("0-2")).unwrap_err().contains("no processor 2"));
        let cpus = |nano_cpus| Limits { nano_cpus: Some(nano_cpus), ..Limits::default() };
        assert!(fits(cpus(2_000_000_000)).is_ok());
        assert_eq!(fits(cpus(2_100_000_000)).unwrap_err(), "--cpus 2.1 is not there");
    }
}
