//! From a container's limits and devices to `linux.resources` of its spec.

use super::devices::Grant;
use crate::container::{DeviceRate, Isolation, Limits};
use crate::error::{Error, OsContext, Result};
use crate::oci::cgroup::{
    self, BlockIo, Cpu, DeviceRule, Memory, Pids, Resources, Throttle, WeightDevice,
};
use crate::sys::namespace;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The period that `--cpus` counts in, in microseconds.
const PERIOD: u64 = 100_000;
/// What a cgroup has from birth.
const SHARES: u64 = 1024;

/// All of them: Docker's device rules and those asked for, and the limits.
pub fn resources(isolation: &Isolation, limits: &Limits, devices: &[Grant]) -> Result<Resources> {
    let all = |allow| DeviceRule {
        allow,
        kind: None,
        major: None,
        minor: None,
        access: Some("rwm".into()),
    };
    let mut resources = limited(limits)?;
    if isolation.privileged {
        resources.devices = vec![all(true)];
        return Ok(resources);
    }
    resources.devices = vec![all(false)];
    resources.devices.extend(cgroup::default_devices());
    resources.devices.extend(devices.iter().map(Grant::rule));
    resources.devices.extend(isolation.device_rules.iter().map(|line| DeviceRule {
        allow: true,
        kind: Some(line.kind.to_string()),
        major: line.major.map(i64::from),
        minor: line.minor.map(i64::from),
        access: Some(line.access.clone()),
    }));
    Ok(resources)
}

/// The limits alone.
pub fn limited(limits: &Limits) -> Result<Resources> {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let memory = Memory {
        limit: limits.memory.map(signed),
        swap: limits.swap(),
        reservation: limits.memory_reservation.map(signed),
        swappiness: limits.memory_swappiness,
        disable_oom_killer: limits.oom_kill_disable.then_some(true),
    };
    let quota = limits.nano_cpus.map(|n| n.saturating_mul(PERIOD) / 1_000_000_000);
    let cpu = Cpu {
        shares: limits.cpu_shares,
        period: limits.cpu_period.or(quota.map(|_| PERIOD)),
        quota: limits.cpu_quota.or(quota).map(signed),
        cpus: limits.cpuset_cpus.clone(),
        mems: limits.cpuset_mems.clone(),
        realtime_period: limits.cpu_rt_period,
        realtime_runtime: limits.cpu_rt_runtime.map(signed),
        ..Cpu::default()
    };
    let throttles = |rates: &[DeviceRate]| rates.iter().map(throttle).collect::<Result<Vec<_>>>();
    let block_io = BlockIo {
        weight: limits.blkio_weight,
        weight_device: limits.blkio_weight_device.iter().map(weight).collect::<Result<_>>()?,
        throttle_read_bps_device: throttles(&limits.device_read_bps)?,
        throttle_write_bps_device: throttles(&limits.device_write_bps)?,
        throttle_read_iops_device: throttles(&limits.device_read_iops)?,
        throttle_write_iops_device: throttles(&limits.device_write_iops)?,
    };
    Ok(Resources {
        memory: Some(memory).filter(|it| *it != Memory::default()),
        cpu: Some(cpu).filter(|it| *it != Cpu::default()),
        pids: limits.pids.map(|limit| Pids { limit: signed(limit) }),
        block_io: Some(block_io).filter(|it| *it != BlockIo::default()),
        ..Resources::default()
    })
}

/// What takes a cgroup from some limits to others; no limit is said where there was one.
pub fn changed(old: &Limits, new: &Limits) -> Result<Resources> {
    let (before, after) = (limited(old)?, limited(new)?);
    let had = before.memory.unwrap_or_default();
    let has = after.memory.unwrap_or_default();
    let lifted = |had: Option<i64>, has: Option<i64>| has.or(had.map(|_| -1));
    let memory = Memory {
        limit: lifted(had.limit, has.limit),
        swap: lifted(had.swap, has.swap),
        reservation: lifted(had.reservation, has.reservation),
        ..Memory::default()
    };
    let had = before.cpu.unwrap_or_default();
    let has = after.cpu.unwrap_or_default();
    let cpu = Cpu {
        shares: has.shares.or(had.shares.map(|_| SHARES)),
        quota: lifted(had.quota, has.quota),
        period: has.period.or(had.period.map(|_| PERIOD)),
        realtime_period: has.realtime_period.filter(|_| has.realtime_period != had.realtime_period),
        realtime_runtime: has
            .realtime_runtime
            .filter(|_| has.realtime_runtime != had.realtime_runtime),
        cpus: has.cpus.filter(|list| had.cpus.as_ref() != Some(list)),
        mems: has.mems.filter(|list| had.mems.as_ref() != Some(list)),
        ..Cpu::default()
    };
    let weight = new.blkio_weight.filter(|_| new.blkio_weight != old.blkio_weight);
    Ok(Resources {
        memory: Some(memory).filter(|it| *it != Memory::default()),
        cpu: Some(cpu).filter(|it| *it != Cpu::default()),
        pids: after.pids.or(before.pids.map(|_| Pids { limit: -1 })),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    })
}

fn throttle(rate: &DeviceRate) -> Result<Throttle> {
    let (major, minor) = block_device(&rate.path)?;
    Ok(Throttle { major, minor, rate: rate.rate })
}

fn weight(of: &DeviceRate) -> Result<WeightDevice> {
    let (major, minor) = block_device(&of.path)?;
    // In its bounds: `Limits::check`.
    Ok(WeightDevice { major, minor, weight: u16::try_from(of.rate).unwrap_or(u16::MAX) })
}

fn block_device(path: &str) -> Result<(u32, u32)> {
    let meta = std::fs::metadata(path).on("look at", path)?;
    match meta.file_type().is_block_device() {
        true => Ok(namespace::device_numbers(meta.rdev())),
        false => Err(Error::invalid(format!("{path} is not a block device"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_resources() {
        assert_eq!(limited(&Limits::default()).unwrap(), Resources::default());
        let limits = Limits {
            memory: Some(64 << 20),
            nano_cpus: Some(1_500_000_000),
            cpuset_cpus: Some("0".into()),
            pids: Some(7),
            ..Limits::default()
        };
        let resources = limited(&limits).unwrap();
        let memory = resources.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(128 << 20)));
        let cpu = resources.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
        assert_eq!(cpu.cpus.as_deref(), Some("0"));
        assert_eq!(resources.pids, Some(Pids { limit: 7 }));
        assert_eq!(resources.block_io, None);
        let any = Limits { memory_swap: Some(-1), ..limits };
        assert_eq!(limited(&any).unwrap().memory.unwrap().swap, Some(-1));
    }

    #[test]
    fn a_limit_that_is_taken_away_is_said_to_be_none() {
        let old = Limits {
            memory: Some(64 << 20),
            nano_cpus: Some(500_000_000),
            cpu_shares: Some(512),
            pids: Some(7),
            ..Limits::default()
        };
        let same = changed(&Limits::default(), &Limits::default()).unwrap();
        assert_eq!(same, Resources::default());
        let none = changed(&old, &Limits::default()).unwrap();
        let memory = none.memory.unwrap();
        assert_eq!((memory.limit, memory.swap, memory.reservation), (Some(-1), Some(-1), None));
        let cpu = none.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period, cpu.shares), (Some(-1), Some(PERIOD), Some(SHARES)));
        assert_eq!(none.pids, Some(Pids { limit: -1 }));
        let more = changed(&old, &Limits { memory: Some(1 << 30), ..old.clone() }).unwrap();
        assert_eq!(more.memory.unwrap().swap, Some(2 << 30));
    }

    #[test]
    fn what_is_allowed_comes_after_what_is_not() {
        let isolation =
            Isolation { device_rules: vec!["c 189:* rw".parse().unwrap()], ..Isolation::default() };
        let rules = resources(&isolation, &Limits::default(), &[]).unwrap().devices;
        assert!(!rules[0].allow && rules[0].kind.is_none());
        let last = rules.last().unwrap();
        assert_eq!((last.allow, last.major, last.minor), (true, Some(189), None));
        assert_eq!(last.access.as_deref(), Some("rw"));
    }
}
