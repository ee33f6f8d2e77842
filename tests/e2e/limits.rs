//! Memory and cpu limits, by whatever cgroup version the machine has.

use crate::common::Test;
use crate::test;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The file of one of the container's control groups, `v1` or `v2` by where the controller is.
pub fn group_file(t: &Test, name: &str, controller: &str, v1: &str, v2: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", t.pid(name))).expect("its cgroups");
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if controllers.split(',').any(|c| c == controller) {
            return PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}/{v1}"));
        }
    }
    let line = text.lines().find_map(|l| l.strip_prefix("0::")).expect("a unified group");
    PathBuf::from(format!("/sys/fs/cgroup{line}/{v2}"))
}

#[test]
fn the_memory_limit_is_in_force() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "-m", "32m", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let file = group_file(&t, "c", "memory", "memory.limit_in_bytes", "memory.max");
    assert_eq!(fs::read_to_string(file).expect("a limit").trim(), (32 << 20).to_string());
    assert_eq!(t.inspect("c")["HostConfig"]["Memory"], 32 << 20);
}

#[test]
fn a_container_over_its_memory_is_killed_and_says_so() {
    let t = test!(busybox);
    // The shell's one long line outgrows the limit.
    let script = "x=x; while :; do x=$x$x; done";
    t.coracle(["run", "-m", "16m", "--name", "c", "busybox", "sh", "-c", script])
        .code(137)
        .any_stderr()
        .ok();
    assert_eq!(t.inspect("c")["State"]["OOMKilled"], true);
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 137);
    let events = ["events", "--since", "1h", "--until", "0s", "--filter", "container=c"];
    let told = t.says([&events[..], &["--format", "{{.Action}}"]].concat());
    assert!(told.ends_with("oom\ndie"), "{told}");
}

#[test]
fn cpu_shares_are_set() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "-c", "512", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let file = group_file(&t, "c", "cpu", "cpu.shares", "cpu.weight");
    let value = fs::read_to_string(&file).expect("a value").trim().to_string();
    // Version 2 has weights from 1 to 10000, converted as runc does.
    let want = if file.ends_with("cpu.shares") { "512" } else { "20" };
    assert_eq!(value, want);
    assert_eq!(t.inspect("c")["HostConfig"]["CpuShares"], 512);
}

#[test]
fn every_process_of_the_container_is_in_its_group() {
    let t = test!(busybox);
    t.script("c", &["-m", "64m"], "sleep 1000 & echo ready; wait");
    t.wait_for_log("c", "ready");
    let procs = group_file(&t, "c", "memory", "cgroup.procs", "cgroup.procs");
    assert_eq!(fs::read_to_string(procs).expect("its processes").lines().count(), 2);
}

#[test]
fn what_the_host_does_not_give_is_told_when_the_container_starts() {
    let t = test!(busybox);
    let Some(point) = mount_of("pids") else {
        return crate::common::skipped("needs cgroup v1 with pids");
    };
    // Not to be changed in a mount namespace of its own, and not asked for: it starts without.
    let script = format!("mount -o remount,bind,ro {point} && exec \"$@\"");
    let program = std::env::var("CORACLE_BIN").unwrap_or(env!("CARGO_BIN_EXE_coracle").into());
    let run = |args: &[&str]| {
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh", &program])
            .arg("--root")
            .arg(t.root())
            .arg("run")
            .args(args)
            .output()
            .expect("run unshare")
    };
    let told = format!("coracle: warning: no right to make cgroups in {point}: ");
    for mode in ["--rm", "-d"] {
        let output = run(&[mode, "busybox", "sh", "-c", "echo from the program >&2"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.starts_with(&told), "{text}");
        assert_eq!(text.matches("warning").count(), 1, "{text}");
    }
    // With a limit that needs it, it does not start.
    let output = run(&["--pids-limit", "10", "busybox", "true"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains(&point), "{text}");
}

/// Where a controller of cgroup v1 is mounted.
fn mount_of(controller: &str) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read the mounts");
    mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let has = fields[2] == "cgroup" && fields[3].split(',').any(|o| o == controller);
        has.then(|| fields[1].to_string())
    })
}

#[test]
fn every_limit_is_written_where_the_kernel_reads_it() {
    let t = test!(busybox);
    t.coracle([
        "run",
        "-d",
        "--net=none",
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        "--memory-reservation",
        "32m",
        "--cpus",
        "0.5",
        "--cpuset-cpus",
        "0",
        "--cpuset-mems",
        "0",
        "--pids-limit",
        "20",
        "--name",
        "c",
        "busybox",
        "sleep",
        "1000",
    ])
    .any_stderr()
    .ok();
    let read = |controller: &str, v1: &str, v2: &str| {
        let file = group_file(&t, "c", controller, v1, v2);
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    };
    assert_eq!(read("cpuset", "cpuset.cpus", "cpuset.cpus").trim(), "0");
    assert_eq!(read("cpuset", "cpuset.mems", "cpuset.mems").trim(), "0");
    assert_eq!(read("pids", "pids.max", "pids.max").trim(), "20");
    let quota = read("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(quota.starts_with("50000"), "{quota}");
    let reserved = read("memory", "memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(reserved.trim(), (32 << 20).to_string());
    // Both together in version 1, swap alone in version 2.
    let swap = read("memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    assert!([(64 << 20).to_string(), "0".to_string()].contains(&swap.trim().to_string()), "{swap}");
    let told = &t.inspect("c")["HostConfig"];
    assert_eq!((&told["NanoCpus"], &told["MemorySwap"]), (&500_000_000.into(), &(64 << 20).into()));
}

#[test]
fn memory_and_swap_together_are_twice_the_memory_and_stay_so() {
    let t = test!(busybox);
    let swap = || {
        let file = group_file(&t, "c", "memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
        // Version 1 has both together.
        let alone = file.ends_with("memory.swap.max");
        let text = fs::read_to_string(&file).expect("a kernel that accounts for swap");
        let number: u64 = text.trim().parse().expect("a number");
        let told = t.inspect("c")["HostConfig"].clone();
        let memory = told["Memory"].as_u64().expect("its memory");
        assert_eq!(told["MemorySwap"].as_u64(), Some(number + if alone { memory } else { 0 }));
        told["MemorySwap"].as_u64().expect("a number") >> 20
    };
    t.coracle("run -d --net=none -m 64m --name c busybox sleep 1000".split(' ')).ok();
    assert_eq!(swap(), 128);
    for memory in ["100m", "32m"] {
        t.coracle(["update", "-m", memory, "c"]).stdout("c\n").ok();
        assert_eq!(swap(), 128, "{memory}");
    }
    let more = t.coracle(["update", "-m", "200m", "c"]).code(1);
    more.stderr_has("memory and swap together").stderr_has("--memory-swap").ok();
    assert_eq!(swap(), 128);
    t.coracle("update -m 200m --memory-swap 300m c".split(' ')).stdout("c\n").ok();
    assert_eq!(swap(), 300);
    t.coracle(["update", "-m", "0", "c"]).stdout("c\n").ok();
    t.coracle(["update", "-m", "16m", "c"]).stdout("c\n").ok();
    assert_eq!(swap(), 32);
}

/// A whole block device of the host, and its number.
fn block_device() -> Option<(String, String)> {
    let mut all: Vec<PathBuf> =
        fs::read_dir("/sys/block").ok()?.flatten().map(|entry| entry.path()).collect();
    all.sort();
    all.iter().find_map(|dir| {
        let device = format!("/dev/{}", dir.file_name()?.to_str()?);
        let number = fs::read_to_string(dir.join("dev")).ok()?;
        std::path::Path::new(&device).exists().then(|| (device, number.trim().to_string()))
    })
}

#[test]
fn rates_of_devices_and_periods_are_written_where_the_kernel_reads_them() {
    let t = test!(busybox);
    let Some((device, number)) = block_device() else {
        return crate::common::skipped("needs a block device");
    };
    let flags = format!(
        "--cpu-period 50000 --cpu-quota 25000 --device-read-bps {device}:1m --device-write-bps \
         {device}:2m --device-read-iops {device}:100 --device-write-iops {device}:200"
    );
    let line = format!("run -d --net=none {flags} --name c busybox sleep 1000");
    t.coracle(line.split(' ')).ok();
    let read = |controller: &str, v1: &str, v2: &str| {
        let file = group_file(&t, "c", controller, v1, v2);
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        (text.trim().to_string(), file.ends_with(v2))
    };
    let (quota, is_v2) = read("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota, if is_v2 { "25000 50000" } else { "25000" });
    if !is_v2 {
        assert_eq!(read("cpu", "cpu.cfs_period_us", "-").0, "50000");
    }
    for (v1, v2, rate) in [
        ("read_bps", "rbps", 1 << 20),
        ("write_bps", "wbps", 2 << 20),
        ("read_iops", "riops", 100),
        ("write_iops", "wiops", 200),
    ] {
        let (text, is_v2) = read("blkio", &format!("blkio.throttle.{v1}_device"), "io.max");
        let is_there = match is_v2 {
            true => text.split(' ').any(|word| word == format!("{v2}={rate}")),
            false => text == format!("{number} {rate}"),
        };
        assert!(is_there && text.starts_with(&number), "{v1}: {text}");
    }
}

#[test]
fn limits_of_version_1_alone_are_written_where_it_is() {
    let t = test!(busybox);
    if mount_of("memory").is_none() {
        return crate::common::skipped("needs cgroup v1 with memory");
    }
    let line = "run -d --net=none -m 64m --memory-swappiness 10 --oom-kill-disable --name c \
                busybox sleep 1000";
    t.coracle(line.split_whitespace()).ok();
    let read = |file: &str| {
        let file = group_file(&t, "c", "memory", file, "-");
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    };
    assert_eq!(read("memory.swappiness").trim(), "10");
    assert!(read("memory.oom_control").starts_with("oom_kill_disable 1\n"));
}

#[test]
fn a_limit_that_the_host_cannot_have_changes_nothing() {
    let t = test!(busybox);
    for (flags, text) in [
        (["--cpus", "5000"], "--cpus 5000 is not there"),
        (["--cpuset-cpus", "4000"], "the host has no processor 4000"),
        (["--device-read-bps", "/dev/null:1m"], "/dev/null is not a block device"),
        (["--device-read-bps", "/dev/none:1m"], "/dev/none"),
    ] {
        let line = [&["run", "--net=none"], &flags[..], &["busybox", "true"]].concat();
        t.coracle(line).code(125).stderr_has(text).ok();
    }
    assert!(t.containers().is_empty());
}

#[test]
fn the_lines_for_lxc_set_what_they_mean() {
    let t = test!(busybox);
    // As the documentation of 0.8 has it, in both spellings.
    t.coracle([
        "run",
        "-d",
        "--net=none",
        "-name",
        "c",
        "-lxc-conf=lxc.utsname=docker",
        "-lxc-conf",
        "lxc.cgroup.cpuset.cpus = 0",
        "busybox",
        "sleep",
        "1000",
    ])
    .any_stderr()
    .ok();
    let file = group_file(&t, "c", "cpuset", "cpuset.cpus", "cpuset.cpus");
    assert_eq!(fs::read_to_string(file).expect("a set").trim(), "0");
    assert_eq!(t.says(["exec", "c", "hostname"]), "docker");
    assert!(t.inspect("c")["Config"]["Labels"].as_object().expect("labels").is_empty());
    let refused = ["run", "-lxc-conf=lxc.network.type=veth", "busybox", "true"];
    t.coracle(refused).code(125).stderr_has("lxc.network.type").stderr_has("--network").ok();
    assert_eq!(t.containers().len(), 1);
}

#[test]
fn a_container_can_have_its_group_in_another() {
    let t = test!(busybox);
    let parent = format!("coracle-test-parent-{}", std::process::id());
    let flag = format!("--cgroup-parent=/{parent}");
    t.coracle(["run", "-d", "--net=none", &flag, "--name", "c", "busybox", "sleep", "1000"]).ok();
    let file = group_file(&t, "c", "memory", "memory.limit_in_bytes", "memory.max");
    assert!(file.to_str().expect("a plain path").contains(&format!("/{parent}/")));
    assert_eq!(t.inspect("c")["HostConfig"]["CgroupParent"], format!("/{parent}").as_str());
    let group = file.parent().expect("its group").to_path_buf();
    t.coracle(["rm", "-f", "c"]).ok();
    assert!(!group.exists());
    // That one is the user's.
    for dir in fs::read_dir("/sys/fs/cgroup").expect("the hierarchies").flatten() {
        let _ = fs::remove_dir(dir.path().join(&parent));
    }
    let _ = fs::remove_dir(PathBuf::from("/sys/fs/cgroup").join(&parent));
}
