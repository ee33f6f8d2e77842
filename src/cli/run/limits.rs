//! What the flags say of limits: those of `run` and `create`, of which `update` has most.

use super::Args;
use crate::cli::command::{number, value};
use crate::engine::options::{Cpus, DeviceRate, Limits};
use crate::error::{Context, Result};
use crate::types::parse_size;

/// The flags as they were written.
#[derive(Default, PartialEq)]
pub struct Texts<'a> {
    pub memory: Option<&'a str>,
    pub memory_swap: Option<&'a str>,
    pub memory_reservation: Option<&'a str>,
    pub memory_swappiness: Option<&'a str>,
    pub kernel_memory: Option<&'a str>,
    pub oom_kill_disable: bool,
    pub cpu_shares: Option<&'a str>,
    pub cpus: Option<&'a str>,
    pub cpu_period: Option<&'a str>,
    pub cpu_quota: Option<&'a str>,
    pub cpu_rt_period: Option<&'a str>,
    pub cpu_rt_runtime: Option<&'a str>,
    pub cpuset_cpus: Option<&'a str>,
    pub cpuset_mems: Option<&'a str>,
    pub pids_limit: Option<&'a str>,
    pub blkio_weight: Option<&'a str>,
    pub blkio_weight_device: &'a [String],
    pub device_read_bps: &'a [String],
    pub device_write_bps: &'a [String],
    pub device_read_iops: &'a [String],
    pub device_write_iops: &'a [String],
}

impl<'a> Texts<'a> {
    pub fn of(args: &'a Args) -> Texts<'a> {
        Texts {
            memory: args.memory.as_deref(),
            memory_swap: args.memory_swap.as_deref(),
            memory_reservation: args.memory_reservation.as_deref(),
            memory_swappiness: args.memory_swappiness.as_deref(),
            kernel_memory: args.kernel_memory.as_deref(),
            oom_kill_disable: args.oom_kill_disable,
            cpu_shares: args.cpu_shares.as_deref(),
            cpus: args.cpus.as_deref(),
            cpu_period: args.cpu_period.as_deref(),
            cpu_quota: args.cpu_quota.as_deref(),
            cpu_rt_period: args.cpu_rt_period.as_deref(),
            cpu_rt_runtime: args.cpu_rt_runtime.as_deref(),
            cpuset_cpus: args.cpuset_cpus.as_deref(),
            cpuset_mems: args.cpuset_mems.as_deref(),
            pids_limit: args.pids_limit.as_deref(),
            blkio_weight: args.blkio_weight.as_deref(),
            blkio_weight_device: &args.blkio_weight_device,
            device_read_bps: &args.device_read_bps,
            device_write_bps: &args.device_write_bps,
            device_read_iops: &args.device_read_iops,
            device_write_iops: &args.device_write_iops,
        }
    }

    /// What is taken and means nothing.
    pub fn ignored(&self) -> Option<&'static str> {
        let text = "--kernel-memory is ignored: kernels have no such limit any more";
        self.kernel_memory.map(|_| text)
    }

    /// These limits with what the flags say of them. 0, and where the kernel says so -1, is no
    /// limit; an empty list of processors says nothing.
    pub fn change(&self, old: Limits) -> Result<Limits> {
        let mut new = old;
        size("--memory", self.memory, &mut new.memory)?;
        match self.memory_swap {
            Some("-1") => new.memory_swap = Some(-1),
            text => {
                let mut bytes = new.memory_swap.and_then(|n| u64::try_from(n).ok());
                size("--memory-swap", text, &mut bytes)?;
                if text.is_some() {
                    new.memory_swap = bytes.and_then(|bytes| i64::try_from(bytes).ok());
                }
            }
        }
        size("--memory-reservation", self.memory_reservation, &mut new.memory_reservation)?;
        match self.memory_swappiness {
            Some("-1") => new.memory_swappiness = None,
            Some(text) => new.memory_swappiness = Some(number("--memory-swappiness", text)?),
            None => {}
        }
        // The kernel has no such limit any more.
        size("--kernel-memory", self.kernel_memory, &mut None)?;
        new.oom_kill_disable |= self.oom_kill_disable;
        // Of the two ways to say it the last one counts.
        if self.cpus.is_some() && self.cpu_period.or(self.cpu_quota).is_none() {
            (new.cpu_period, new.cpu_quota) = (None, None);
        }
        if self.cpus.is_none() && self.cpu_period.or(self.cpu_quota).is_some() {
            new.nano_cpus = None;
        }
        if let Some(text) = self.cpus {
            new.nano_cpus = Some(value::<Cpus>("--cpus", text)?.0).filter(|n| *n > 0);
        }
        amount("--cpu-shares", self.cpu_shares, &mut new.cpu_shares)?;
        amount("--cpu-period", self.cpu_period, &mut new.cpu_period)?;
        amount("--cpu-quota", self.cpu_quota, &mut new.cpu_quota)?;
        amount("--cpu-rt-period", self.cpu_rt_period, &mut new.cpu_rt_period)?;
        amount("--cpu-rt-runtime", self.cpu_rt_runtime, &mut new.cpu_rt_runtime)?;
        amount("--pids-limit", self.pids_limit, &mut new.pids)?;
        for (text, list) in
            [(self.cpuset_cpus, &mut new.cpuset_cpus), (self.cpuset_mems, &mut new.cpuset_mems)]
        {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                *list = Some(text.to_string());
            }
        }
        if let Some(text) = self.blkio_weight {
            new.blkio_weight = Some(number("--blkio-weight", text)?).filter(|n| *n > 0);
        }
        rates("--blkio-weight-device", self.blkio_weight_device, &mut new.blkio_weight_device)?;
        rates("--device-read-bps", self.device_read_bps, &mut new.device_read_bps)?;
        rates("--device-write-bps", self.device_write_bps, &mut new.device_write_bps)?;
        rates("--device-read-iops", self.device_read_iops, &mut new.device_read_iops)?;
        rates("--device-write-iops", self.device_write_iops, &mut new.device_write_iops)?;
        Ok(new)
    }
}

fn size(flag: &'static str, text: Option<&str>, limit: &mut Option<u64>) -> Result<()> {
    if let Some(text) = text {
        *limit = Some(parse_size(text).doing(|| flag.into())?).filter(|bytes| *bytes > 0);
    }
    Ok(())
}

fn amount(flag: &str, text: Option<&str>, limit: &mut Option<u64>) -> Result<()> {
    if let Some(text) = text {
        let n: i64 = number(flag, text)?;
        *limit = u64::try_from(n).ok().filter(|n| *n > 0);
    }
    Ok(())
}

fn rates(flag: &str, texts: &[String], limits: &mut Vec<DeviceRate>) -> Result<()> {
    if !texts.is_empty() {
        *limits = texts.iter().map(|text| value(flag, text)).collect::<Result<_>>()?;
    }
    Ok(())
}
