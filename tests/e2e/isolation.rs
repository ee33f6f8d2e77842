//! What a container may do beyond its walls, and what it is given of the host.

use crate::common::Test;
use crate::test;
use std::fs;

fn says(t: &Test, options: &[&str], script: &str) -> String {
    let line = [&["run", "--rm", "--net=none"], options, &["busybox", "sh", "-c", script]].concat();
    t.says(line)
}

/// A set of /proc/self/status: `CapEff`.
fn set(t: &Test, options: &[&str], name: &str) -> u64 {
    let text = says(t, options, &format!("grep ^{name}: /proc/self/status"));
    let word = text.split_whitespace().last().expect("a set").to_string();
    u64::from_str_radix(&word, 16).expect("a hexadecimal number")
}

#[test]
fn capabilities_are_added_and_dropped() {
    let t = test!(busybox);
    let default = 0xa804_25fb;
    assert_eq!(set(&t, &[], "CapEff"), default);
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(set(&t, &["--cap-add", "net_admin"], name), default | 1 << 12);
        assert_eq!(set(&t, &["--cap-drop=CAP_MKNOD"], name), default & !(1 << 27));
        assert_eq!(set(&t, &["--cap-drop=all", "--cap-add=CHOWN"], name), 1);
    }
    let all = set(&t, &["--privileged"], "CapBnd");
    assert_eq!(
        set(&t, &["--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"], "CapEff"),
        all & !(1 << 21)
    );
    t.script("c", &["--net=none", "--cap-drop", "ALL"], "exec sleep 1000");
    let text = t.says(["exec", "c", "grep", "CapEff", "/proc/self/status"]);
    assert!(text.ends_with("0000000000000000"), "{text}");
    assert_eq!(t.inspect("c")["HostConfig"]["CapDrop"], serde_json::json!(["ALL"]));
}

#[test]
fn a_capability_that_we_lack_is_told_of_and_left_out() {
    let t = test!(busybox);
    let ours = fs::read_to_string("/proc/self/status").expect("our status");
    let ours = ours.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("our set");
    let ours = u64::from_str_radix(ours.trim(), 16).expect("a number");
    let line = ["run", "--rm", "--net=none", "--cap-add", "SYS_RESOURCE", "busybox", "true"];
    match ours & 1 << 24 {
        0 => drop(t.coracle(line).stderr_has("--cap-add SYS_RESOURCE").ok()),
        _ => drop(t.coracle(line).ok()),
    }
}

#[test]
fn a_program_gains_no_privileges_where_that_is_asked_for() {
    let t = test!(busybox);
    let grep = "grep NoNewPrivs /proc/self/status";
    assert!(says(&t, &[], grep).ends_with("0"));
    assert!(says(&t, &["--security-opt", "no-new-privileges"], grep).ends_with("1"));
    t.script("c", &["--net=none", "--security-opt=no-new-privileges:true"], "exec sleep 1000");
    assert!(t.says(["exec", "c", "grep", "NoNewPrivs", "/proc/self/status"]).ends_with("1"));
}

#[test]
fn system_calls_follow_the_profile() {
    let t = test!(busybox);
    let mode = "grep ^Seccomp: /proc/self/status";
    assert!(says(&t, &[], mode).ends_with("2"));
    assert!(says(&t, &["--security-opt", "seccomp=unconfined"], mode).ends_with("0"));
    // A profile of one's own that refuses mkdir, with an error number that nothing else gives.
    let profile = t.path("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":98,"args":[]}]}"#;
    fs::write(&profile, text).expect("a profile");
    let option = format!("seccomp={}", profile.display());
    t.coracle(["run", "--rm", "--net=none", "--security-opt", &option, "busybox", "mkdir", "/x"])
        .code(1)
        .stderr_has("Address")
        .ok();
    t.coracle(["run", "--rm", "--security-opt", "seccomp=/dev/zero", "busybox"])
        .code(125)
        .stderr_has("--security-opt seccomp=/dev/zero: /dev/zero has more than 1048576 bytes")
        .ok();
    // It came along with the container: the file is not asked again.
    t.script("c", &["--net=none", "--security-opt", &option], "exec sleep 1000");
    fs::remove_file(&profile).expect("it to be gone");
    // Privileges do not take away what somebody asked for.
    t.coracle(["exec", "--privileged", "c", "mkdir", "/x"]).code(1).stderr_has("Address").ok();
    t.coracle(["exec", "c", "mkdir", "/x"]).code(1).stderr_has("Address").ok();
    t.coracle(["restart", "-t", "0", "c"]).ok();
    t.coracle(["exec", "c", "mkdir", "/x"]).code(1).stderr_has("Address").ok();
}

#[test]
fn a_profile_that_is_none_stops_nothing_but_its_container() {
    let t = test!(busybox);
    let profile = t.path("profile.json");
    fs::write(&profile, "{\"defaultAction\": 5}").expect("a file");
    let option = format!("seccomp={}", profile.display());
    t.coracle(["run", "--net=none", "--security-opt", &option, "busybox", "true"])
        .code(125)
        .stderr_has("not a seccomp profile")
        .ok();
    assert!(t.containers().is_empty());
}

#[test]
fn a_read_only_root_has_its_mounts() {
    let t = test!(busybox);
    let options = ["--read-only", "-v", "/data", "--tmpfs", "/scratch"];
    let script = "touch /x 2>&1; touch /data/x /scratch/x /dev/shm/x && echo written";
    let text = says(&t, &options, script);
    assert_eq!(text, "touch: /x: Read-only file system\nwritten");
}

#[test]
fn what_the_kernel_shows_is_hidden_unless_asked_for() {
    let t = test!(busybox);
    let script = "grep -c -e ' /proc/keys ' -e ' /proc/sys ' /proc/mounts";
    assert_eq!(says(&t, &[], script), "2");
    let options = ["--security-opt", "systempaths=unconfined"];
    assert_eq!(says(&t, &options, &format!("{script} || true")), "0");
}

#[test]
fn a_device_is_given_with_its_access() {
    let t = test!(busybox);
    // A second null: what is done to it hurts nobody.
    let node = t.path("node");
    let made = std::process::Command::new("mknod").arg(&node).args(["c", "1", "3"]).status();
    assert!(made.expect("mknod").success());
    let given = format!("{}:/dev/net/own", node.display());
    let script = "echo x > /dev/net/own && ls -l /dev/net/own | cut -c1";
    assert_eq!(says(&t, &["--device", &given], script), "c");
    // /dev/fuse or such: 10, 229 is refused to containers unless it was given.
    let open =
        "mknod /dev/f c 10 229; (: < /dev/f) 2>&1 | grep -o -e 'Operation not' -e 'No such' ; true";
    assert_eq!(says(&t, &["--cap-add", "MKNOD"], open), "Operation not");
    let rules = ["--device-cgroup-rule", "c 10:* rwm"];
    assert_ne!(says(&t, &rules, open), "Operation not");
    t.coracle(["run", "--net=none", "--device", "/dev/none", "busybox", "true"])
        .code(125)
        .stderr_has("--device /dev/none:/dev/none:rwm")
        .ok();
    let file = t.path("file");
    fs::write(&file, "").expect("a file");
    let wrong = format!("{}:/dev/x", file.display());
    t.coracle(["run", "--net=none", "--device", &wrong, "busybox", "true"])
        .code(125)
        .stderr_has("is not a device")
        .ok();
    t.coracle(["run", "--net=none", "--device", "/dev/zero:/dev/null", "busybox", "true"])
        .code(125)
        .stderr_has("every container has a /dev/null of its own")
        .ok();
    assert!(t.containers().is_empty());
}

#[test]
fn resource_limits_are_those_of_the_program_and_of_exec() {
    let t = test!(busybox);
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"];
    assert_eq!(says(&t, &options, "ulimit -Sn; ulimit -Hn; ulimit -c"), "100\n200\n0");
    t.script("c", &["--net=none", "--ulimit", "nofile=100:200"], "exec sleep 1000");
    assert_eq!(t.says(["exec", "c", "sh", "-c", "ulimit -n"]), "100");
    let limits = &t.inspect("c")["HostConfig"]["Ulimits"];
    assert_eq!(limits, &serde_json::json!([{"Name": "nofile", "Hard": 200, "Soft": 100}]));
    // More than we may give: the container runs with what there is, and the user is told.
    let bounded = "ulimit -n 1000; exec setpriv --bounding-set=-sys_resource \"$@\"";
    let line = ["run", "--rm", "--net=none", "--ulimit", "nofile=2000:3000", "busybox", "sh", "-c"];
    let told = "--ulimit nofile=2000:3000: without CAP_SYS_RESOURCE the hard limit stays at 1000";
    t.coracle([&line[..], &["ulimit -Sn; ulimit -Hn"]].concat())
        .by(bounded)
        .stdout("1000\n1000\n")
        .stderr_has(told)
        .ok();
}

#[test]
fn memory_is_shared_as_far_as_asked_for() {
    let t = test!(busybox);
    let size = "df -k /dev/shm | tail -1 | awk '{print $2}'";
    assert_eq!(says(&t, &[], size), "65536");
    assert_eq!(says(&t, &["--shm-size", "1m"], size), "1024");
}

#[test]
fn the_kernel_is_told_whom_to_end_first() {
    let t = test!(busybox);
    assert_eq!(says(&t, &[], "cat /proc/self/oom_score_adj"), "0");
    assert_eq!(says(&t, &["--oom-score-adj", "300"], "cat /proc/self/oom_score_adj"), "300");
}

#[test]
fn groups_are_added_to_those_of_the_user() {
    let t = test!(busybox);
    let text = says(&t, &["--group-add", "777", "-u", "5:6"], "id");
    assert!(text.contains("uid=5 gid=6") && text.contains("777"), "{text}");
    t.coracle(["run", "--net=none", "--group-add", "nobodys", "busybox", "true"])
        .code(125)
        .stderr_has("--group-add: unable to find group nobodys")
        .ok();
}

#[test]
fn kernel_parameters_are_the_containers_own() {
    let t = test!(busybox);
    let read = |file: &str| fs::read_to_string(file).expect("a parameter");
    let files = ["/proc/sys/kernel/msgmax", "/proc/sys/net/ipv4/ip_unprivileged_port_start"];
    let before = files.map(read);
    let options = ["--sysctl", "kernel.msgmax=5000", "--sysctl", "net.ipv4.ip_default_ttl=77"];
    let script = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_default_ttl \
                  /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(says(&t, &options, script), "5000\n77\n0");
    assert_eq!(files.map(read), before);
    t.coracle(["run", "--net=none", "--sysctl", "net.none=1", "busybox", "true"])
        .code(125)
        .stderr_has("/proc/sys/net/none")
        .ok();
    t.coracle(["run", "--net=host", "--sysctl", "net.core.somaxconn=1", "busybox", "true"])
        .code(125)
        .stderr_has("the network is not the container's own")
        .ok();
    assert!(t.containers().is_empty());
}

#[test]
fn a_user_that_is_not_root_listens_on_low_ports() {
    let t = test!(busybox);
    let script = "ip link set lo up 2>/dev/null; echo hello | timeout 5 nc -l -p 80 & \
                  until nc 127.0.0.1 80 < /dev/null; do :; done; wait";
    let line = ["run", "--rm", "--net=none", "-u", "1000", "busybox", "sh", "-c", script];
    assert_eq!(t.coracle(line).any_stderr().ok().stdout_text(), "hello\n");
}
