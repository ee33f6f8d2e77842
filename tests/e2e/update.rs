//! `update` and `rename`: what changes of a container that is there, at once and whole or not at
//! all.

use crate::common::{Test, kill};
use crate::limits::group_file;
use crate::test;
use coracle::types::Signal;
use serde_json::Value;
use std::fs;
use std::time::Duration;

const SLEEP: [&str; 3] = ["busybox", "sleep", "1000"];

#[track_caller]
fn run(t: &Test, options: &[&str]) {
    let run = [&["run", "-d", "--net=none", "--name", "c"], options, &SLEEP].concat();
    t.coracle(run).any_stderr().ok();
}

#[track_caller]
fn read(t: &Test, controller: &str, v1: &str, v2: &str) -> String {
    let file = group_file(t, "c", controller, v1, v2);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.trim().to_string()
}

fn memory(t: &Test) -> String {
    read(t, "memory", "memory.limit_in_bytes", "memory.max")
}

fn pids(t: &Test) -> String {
    read(t, "pids", "pids.max", "pids.max")
}

fn told(t: &Test, key: &str) -> Value {
    t.inspect("c")["HostConfig"][key].clone()
}

#[test]
fn limits_change_while_a_container_runs_and_hold_after_its_restart() {
    let t = test!(busybox);
    run(&t, &["-m", "64m", "--pids-limit", "50"]);
    let line = "update -m 128m --pids-limit 60 --cpus 0.5 -c 512 --cpuset-cpus 0 c";
    t.coracle(line.split(' ')).stdout("c\n").any_stderr().ok();
    for start in ["running", "started again"] {
        assert_eq!((memory(&t), pids(&t)), ((128 << 20).to_string(), "60".into()), "{start}");
        let quota = read(&t, "cpu", "cpu.cfs_quota_us", "cpu.max");
        assert!(quota.starts_with("50000"), "{start}: {quota}");
        assert_eq!(read(&t, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0", "{start}");
        assert_eq!((told(&t, "Memory"), told(&t, "PidsLimit")), ((128 << 20).into(), 60.into()));
        assert_eq!(told(&t, "NanoCpus"), 500_000_000);
        // All its processes are there, those that come too.
        let procs = group_file(&t, "c", "cpuset", "cgroup.procs", "cgroup.procs");
        assert_eq!(fs::read_to_string(&procs).expect("its processes").lines().count(), 1);
        t.coracle(["restart", "-t", "0", "c"]).any_stderr().ok();
    }
    // Lower again, and none at all.
    t.coracle(["update", "-m", "32m", "c"]).any_stderr().ok();
    assert_eq!(memory(&t), (32 << 20).to_string());
    t.coracle("update -m 0 --pids-limit -1 --cpus 0 -c 0 c".split(' ')).any_stderr().ok();
    assert!(memory(&t).len() > 15 || memory(&t) == "max", "{}", memory(&t));
    assert_eq!(pids(&t), "max");
    assert!(["-1", "max 100000"].contains(&&*read(&t, "cpu", "cpu.cfs_quota_us", "cpu.max")));
    assert_eq!((told(&t, "Memory"), told(&t, "NanoCpus")), (0.into(), 0.into()));
}

#[test]
fn a_container_that_is_down_has_its_new_limits_from_its_next_start_on() {
    let t = test!(busybox);
    t.coracle([&["create", "--net=none", "--name", "c"], &SLEEP[..]].concat()).ok();
    t.coracle(["container", "update", "--pids-limit=30", "--restart", "on-failure:3", "c"]).ok();
    assert_eq!(told(&t, "PidsLimit"), 30);
    assert_eq!(told(&t, "RestartPolicy")["MaximumRetryCount"], 3);
    t.coracle(["start", "c"]).ok();
    assert_eq!(pids(&t), "30");
}

#[test]
fn a_restart_policy_that_is_changed_counts_at_the_next_end() {
    let t = test!(busybox);
    t.script("c", &["--net=none"], "echo up; sleep 1000");
    t.wait_for_log("c", "up");
    t.coracle(["update", "--restart", "always", "c"]).stdout("c\n").ok();
    kill(t.pid("c"));
    t.wait_for_logs("c", "up", 2);
    t.wait_for_status("c", "running");
    t.coracle(["update", "--restart", "no", "c"]).ok();
    kill(t.pid("c"));
    t.coracle(["wait", "c"]).stdout("137\n").ok();
    t.wait_for_status("c", "exited");

    t.coracle([&["run", "-d", "--rm", "--net=none", "--name", "r"], &SLEEP[..]].concat()).ok();
    t.coracle(["update", "--restart", "always", "r"]).code(1).stderr_has("--rm").ok();
}

#[test]
fn what_is_refused_changes_nothing() {
    let t = test!(busybox);
    run(&t, &["-m", "64m", "--pids-limit", "50"]);
    let before = fs::read(t.records("c").join("settings.json")).expect("its settings");
    for (flags, code, text) in [
        ("--pids-limit 20 -m 1k", 1, "1024 bytes is too small"),
        ("--pids-limit 20 --memory-swap 1m", 1, "is less than --memory"),
        ("--pids-limit 20 --cpuset-cpus 4000", 1, "no processor 4000"),
        ("--pids-limit 20 --cpuset-mems 4000", 1, "cpuset.mems"),
        ("--pids-limit 20 --cpus 5000", 1, "--cpus 5000 is not there"),
        ("--pids-limit many", 125, "--pids-limit: \"many\""),
        ("--restart sometimes", 125, "--restart"),
        ("", 125, "nothing to change"),
    ] {
        let line = ["update"].into_iter().chain(flags.split_whitespace()).chain(["c"]);
        t.coracle(line.collect::<Vec<_>>()).code(code).stderr_has(text).ok();
        assert_eq!((memory(&t), pids(&t)), ((64 << 20).to_string(), "50".into()), "{flags}");
        let now = fs::read(t.records("c").join("settings.json")).expect("its settings");
        assert!(now == before, "{flags}");
    }
    t.coracle(["update", "-m", "1g", "nobody"]).code(1).stderr_has("nobody").ok();
}

#[test]
fn whoever_updates_and_is_killed_leaves_the_record_and_the_kernel_the_same() {
    let t = test!(busybox);
    run(&t, &["--pids-limit", "50"]);
    for (step, limit) in (60..80).enumerate() {
        let mut one = t.coracle(["update", "--pids-limit", &limit.to_string(), "c"]).spawn();
        one.ends_within(Duration::from_millis(step as u64 / 2));
        one.signal(Signal::KILL);
        one.wait();
        // The next command that changes something puts right what is to be put right.
        t.coracle(["rm", "-f", "nobody"]).any_stderr().ok();
        assert_eq!(told(&t, "PidsLimit").to_string(), pids(&t));
    }
}

#[test]
fn a_container_is_called_by_its_new_name_alone() {
    let t = test!(busybox);
    t.coracle(["network", "create", "lan"]).ok();
    let on = |name: &str, more: &[&str]| {
        let run = [&["run", "-d", "--net", "lan", "--name", name], more, &SLEEP];
        t.coracle(run.concat()).ok();
    };
    on("db", &["--network-alias", "store"]);
    on("web", &["--link", "db:base"]);
    t.coracle(["rename", "db", "/redis"]).stdout("").ok();
    assert_eq!(t.inspect("redis")["Name"], "/redis");
    t.coracle(["inspect", "db"]).code(1).any_stderr().ok();
    let finds = |name: &str| t.coracle(["exec", "web", "nslookup", name]).any_stderr();
    finds("redis").ok();
    finds("store").ok();
    finds("db").code(1).ok();
    let hosts = t.says(["exec", "web", "cat", "/etc/hosts"]);
    let line = hosts.lines().find(|line| line.contains("\tbase ")).expect("the link's line");
    assert!(line.ends_with(" redis"), "{hosts}");
    assert_eq!(t.says(["ps", "-q", "--filter", "name=web/base"]).len(), 12);
    // The old name is free, and those in use are not to be had.
    on("db", &[]);
    t.coracle(["rename", "redis", "db"]).code(1).stderr_has("\"db\" is in use").ok();
    t.coracle(["rename", "redis", "redis"]).code(1).stderr_has("already").ok();
    t.coracle(["rename", "redis", "a/b"]).code(125).stderr_has("a/b").ok();
    t.coracle(["rename", "nobody", "x"]).code(1).stderr_has("nobody").ok();
    // Its network is still that of others, and it starts as who it is.
    t.coracle([&["run", "-d", "--net=container:redis", "--name", "g"], &SLEEP[..]].concat()).ok();
    t.coracle(["rename", "redis", "cache"]).ok();
    t.coracle(["restart", "-t", "0", "cache"]).ok();
    finds("cache").ok();
    finds("redis").code(1).ok();
    t.coracle(["rm", "-f", "g", "web", "cache", "db"]).ok();
    t.coracle(["network", "rm", "lan"]).ok();
}

#[test]
fn whoever_renames_and_is_killed_leaves_one_name() {
    let t = test!(busybox);
    run(&t, &[]);
    let id = t.inspect("c")["Id"].clone();
    let mut name = "c".to_string();
    for step in 0..20 {
        let new = format!("n{step}");
        let mut one = t.coracle(["rename", &name, &new]).spawn();
        one.ends_within(Duration::from_millis(step / 3));
        one.signal(Signal::KILL);
        one.wait();
        t.coracle(["rm", "-f", "nobody"]).any_stderr().ok();
        name = t.says(["ps", "--format", "{{.Names}}"]);
        let names = fs::read_dir(t.root().join("names")).expect("the names");
        let names: Vec<_> = names.map(|name| name.expect("a name").file_name()).collect();
        assert_eq!(names, [name.as_str()]);
        assert_eq!(t.inspect(&name)["Id"], id);
    }
    t.coracle(["rename", &name, "last"]).ok();
}
