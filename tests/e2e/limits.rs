//! Memory and cpu limits, by whatever cgroup version the machine has.

use crate::common::Test;
use crate::test;
use std::fs;
use std::path::PathBuf;

/// The file of one of the container's control groups, `v1` or `v2` by where the controller is.
fn group_file(t: &Test, name: &str, controller: &str, v1: &str, v2: &str) -> PathBuf {
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
    t.coracle([
        "run",
        "-d",
        "-m",
        "64m",
        "--name",
        "c",
        "busybox",
        "sh",
        "-c",
        "sleep 1000 & echo ready; wait",
    ])
    .ok();
    t.wait_for_log("c", "ready");
    let procs = group_file(&t, "c", "memory", "cgroup.procs", "cgroup.procs");
    assert_eq!(fs::read_to_string(procs).expect("its processes").lines().count(), 2);
}
