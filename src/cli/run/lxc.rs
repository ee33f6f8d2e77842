//! `-lxc-conf` of 2014: lines for the configuration of LXC, of which Docker 0.8 made containers.
//! Those that say what a flag of ours says are taken as that flag; the others are refused, with the
//! flag that people use today.
//!
//! Source of the keys: lxc.conf(5) of LXC 1.0, and Docker 0.8's reference of `run`.

use super::Args;
use crate::error::{Context, Error, Result};

/// Puts a line's value where the flag's would be.
type Take = fn(&mut Args, String);

/// What stands behind `lxc.`, and the flag that is the same.
const KEYS: &[(&str, Take)] = &[
    ("utsname", |args, value| args.hostname = Some(value)),
    ("cap.drop", |args, value| args.cap_drop.extend(value.split(' ').map(str::to_string))),
    ("cgroup.memory.limit_in_bytes", |args, value| args.memory = Some(unlimited(value))),
    ("cgroup.memory.memsw.limit_in_bytes", |args, value| args.memory_swap = Some(value)),
    ("cgroup.memory.soft_limit_in_bytes", |args, value| {
        args.memory_reservation = Some(unlimited(value));
    }),
    ("cgroup.memory.swappiness", |args, value| args.memory_swappiness = Some(value)),
    ("cgroup.memory.oom_control", |args, value| args.oom_kill_disable = value == "1"),
    ("cgroup.cpu.shares", |args, value| args.cpu_shares = Some(value)),
    ("cgroup.cpu.cfs_period_us", |args, value| args.cpu_period = Some(value)),
    ("cgroup.cpu.cfs_quota_us", |args, value| args.cpu_quota = Some(value)),
    ("cgroup.cpu.rt_period_us", |args, value| args.cpu_rt_period = Some(value)),
    ("cgroup.cpu.rt_runtime_us", |args, value| args.cpu_rt_runtime = Some(value)),
    ("cgroup.cpuset.cpus", |args, value| args.cpuset_cpus = Some(value)),
    ("cgroup.cpuset.mems", |args, value| args.cpuset_mems = Some(value)),
    ("cgroup.blkio.weight", |args, value| args.blkio_weight = Some(value)),
    ("cgroup.pids.max", |args, value| {
        args.pids_limit = Some(if value == "max" { "-1".to_string() } else { value });
    }),
    ("cgroup.devices.allow", |args, value| args.device_cgroup_rule.push(value)),
];

/// The beginnings of keys that are refused, and what says the same today, before the value.
const TODAY: &[(&str, &str)] = &[
    ("aa_profile", "--security-opt apparmor="),
    ("cap.keep", "--cap-drop ALL --cap-add "),
    ("cgroup.blkio.throttle.read_bps_device", "--device-read-bps /dev/sda:1m, not "),
    ("cgroup.blkio.throttle.read_iops_device", "--device-read-iops /dev/sda:1000, not "),
    ("cgroup.blkio.throttle.write_bps_device", "--device-write-bps /dev/sda:1m, not "),
    ("cgroup.blkio.throttle.write_iops_device", "--device-write-iops /dev/sda:1000, not "),
    ("cgroup.blkio.weight_device", "--blkio-weight-device /dev/sda:500, not "),
    ("cgroup.devices.deny", "--device for each device it may have, not "),
    ("cgroup2", "--memory, --cpus and their like, not "),
    ("environment", "--env "),
    ("group", "--label "),
    ("haltsignal", "--stop-signal "),
    ("id_map", "a rootless engine, not "),
    ("init", "the command behind the image, not "),
    ("mount.auto", "--security-opt systempaths=unconfined or --privileged, not "),
    ("mount", "--mount type=bind,source=...,target=... (or -v), not "),
    ("network.hwaddr", "--mac-address "),
    ("network.ipv4", "--ip "),
    ("network", "--network NAME, not "),
    ("prlimit", "--ulimit "),
    ("rootfs", "the name of an image, not "),
    ("se_context", "--security-opt label=type:"),
    ("seccomp", "--security-opt seccomp="),
    ("start.auto", "--restart always, not "),
    ("sysctl", "--sysctl "),
    ("tty", "-t, not "),
];

/// LXC's word for it is -1.
fn unlimited(value: String) -> String {
    if value == "-1" { "0".to_string() } else { value }
}

/// Takes the lines for flags. What they say counts more than the flags, as it did.
pub fn apply(args: &mut Args) -> Result<()> {
    for line in std::mem::take(&mut args.lxc_conf) {
        let (key, value) = line.split_once('=').ok_or_else(|| {
            Error::invalid(format!("--lxc-conf: \"{line}\" is not key=value"))
                .hint("write lxc.utsname=web")
        })?;
        let (key, value) = (key.trim(), value.trim());
        let word = key.strip_prefix("lxc.").unwrap_or(key);
        // All that is not allowed is denied already.
        if word == "cgroup.devices.deny" && ["a", "a *:* rwm"].contains(&value) {
            continue;
        }
        match KEYS.iter().find(|(of, _)| *of == word) {
            Some((_, take)) => {
                take(args, value.to_string());
                super::Texts::of(args)
                    .change(Default::default())
                    .doing(|| format!("--lxc-conf {line}"))?;
            }
            None => {
                let today = TODAY.iter().find(|(start, _)| word.starts_with(start));
                let hint = match today {
                    Some((_, today)) => format!("today that is {today}{value}"),
                    None => "see 'coracle run --help' for what there is".to_string(),
                };
                let text = format!("--lxc-conf: there is no LXC here, and nothing like {key}");
                return Err(Error::invalid(text).hint(hint));
            }
        }
    }
    Ok(())
}
