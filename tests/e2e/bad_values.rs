//! Every option of `run` with values that are none: nonsense, nothing, more than there can be, and
//! what goes with no other. Each is answered by one line that names the option and the value, with
//! 125, and nothing is made.

use crate::common::Test;
use crate::test;
use coracle::types::Home;
use std::collections::BTreeSet;
use std::path::Path;

const HUGE: &str = "99999999999999999999999";
const NONSENSE: &str = "@!/ x";

/// An option, and values of which each is refused.
const BAD: &[(&str, &[&str])] = &[
    ("--add-host", &[NONSENSE, "", HUGE, "db:1.2.3", "db:1.2.3.4.5"]),
    ("--annotation", &["", "=x"]),
    ("--attach", &[NONSENSE, "", HUGE]),
    ("--blkio-weight", &[NONSENSE, "", HUGE, "5", "5000", "-1"]),
    ("--blkio-weight-device", &[NONSENSE, "", HUGE, "/dev/null:5"]),
    ("--cap-add", &[NONSENSE, "", HUGE]),
    ("--cap-drop", &[NONSENSE, "", HUGE]),
    ("--cgroup-parent", &["../x", "a/../../b"]),
    ("--cgroupns", &[NONSENSE, HUGE, "container:x", "none"]),
    ("--cidfile", &["/no/dir/f", "/etc/passwd", ""]),
    ("--commit", &[NONSENSE, "", "A:b:c"]),
    ("--cpu-period", &[NONSENSE, "", HUGE, "1", "1000001"]),
    ("--cpu-quota", &[NONSENSE, "", HUGE, "1"]),
    ("--cpu-rt-period", &[NONSENSE, "", HUGE]),
    ("--cpu-rt-runtime", &[NONSENSE, "", HUGE]),
    ("--cpu-shares", &[NONSENSE, "", HUGE, "1", "262145"]),
    ("--cpus", &[NONSENSE, "", HUGE, "0.0001", "100000"]),
    ("--cpuset-cpus", &[NONSENSE, HUGE, "99999", "3-1"]),
    ("--cpuset-mems", &[NONSENSE, HUGE, "3-1"]),
    ("--detach", &["maybe"]),
    ("--detach-keys", &[NONSENSE, HUGE, "ctrl-é"]),
    ("--device", &[NONSENSE, "", HUGE, "/etc/passwd", "/dev/null:/dev/x:q"]),
    ("--device-cgroup-rule", &[NONSENSE, "", HUGE]),
    ("--device-read-bps", &[NONSENSE, "", HUGE]),
    ("--device-read-iops", &[NONSENSE, "", HUGE]),
    ("--device-write-bps", &[NONSENSE, "", HUGE]),
    ("--device-write-iops", &[NONSENSE, "", HUGE]),
    ("--disable-content-trust", &["maybe", "false"]),
    ("--dns", &[NONSENSE, "", HUGE, "dns.dev.org"]),
    ("--dns-option", &[NONSENSE, ""]),
    ("--dns-search", &[NONSENSE, ""]),
    ("--domainname", &[NONSENSE, "-x"]),
    ("--env", &["", "=x"]),
    ("--env-file", &["/no/such/file", "/etc", ""]),
    ("--expose", &[NONSENSE, "", HUGE, "0", "65536", "90-80", "80/xtp"]),
    ("--group-add", &["nosuch", "", HUGE, "4294967295"]),
    ("--health-interval", &[NONSENSE, "", HUGE, "-1s", "1us"]),
    ("--health-on-failure", &[NONSENSE, "", HUGE]),
    ("--health-retries", &[NONSENSE, "", HUGE, "-1"]),
    ("--health-start-interval", &[NONSENSE, "", HUGE]),
    ("--health-start-period", &[NONSENSE, "", HUGE]),
    ("--health-timeout", &[NONSENSE, "", HUGE]),
    ("--hostname", &[NONSENSE, "", "-x"]),
    ("--no-healthcheck", &["maybe"]),
    ("--init", &["maybe"]),
    ("--interactive", &["maybe"]),
    ("--ip", &[NONSENSE, "", HUGE, "10.0.0.2"]),
    ("--ip6", &[NONSENSE, "", HUGE, "fd00::2"]),
    ("--ipc", &[NONSENSE, HUGE, "container:"]),
    ("--isolation", &[NONSENSE, HUGE, "hyperv"]),
    ("--kernel-memory", &[NONSENSE, "", HUGE]),
    ("--label", &["", "=x"]),
    ("--label-file", &["/no/such/file", "/etc", ""]),
    ("--link", &[NONSENSE, "", HUGE, "nosuch:x"]),
    ("--log-driver", &[NONSENSE, HUGE, "fluentd"]),
    ("--log-opt", &[NONSENSE, "", HUGE, "max-size=lots", "nosuch=1"]),
    ("--lxc-conf", &[NONSENSE, "", HUGE, "lxc.network.type=veth"]),
    ("--mac-address", &[NONSENSE, "", HUGE, "01:00:00:00:00:00"]),
    ("--memory", &[NONSENSE, "", HUGE, "1024", "-1"]),
    ("--memory-reservation", &[NONSENSE, "", HUGE]),
    ("--memory-swap", &[NONSENSE, "", HUGE, "1024"]),
    ("--memory-swappiness", &[NONSENSE, "", HUGE, "101"]),
    ("--mount", &[NONSENSE, "", HUGE, "type=bind,dst=/x", "type=nosuch,dst=/x"]),
    ("--name", &[NONSENSE, "", "-x"]),
    ("--network", &[NONSENSE, "", HUGE, "container:", "container:nosuch"]),
    ("--network-alias", &[NONSENSE, "", HUGE]),
    ("--networking", &["maybe"]),
    ("--oom-kill-disable", &["maybe"]),
    ("--oom-score-adj", &[NONSENSE, "", HUGE, "1001", "-1001"]),
    ("--pid", &[NONSENSE, HUGE, "container:", "none"]),
    ("--pids-limit", &[NONSENSE, "", HUGE, "99999999999"]),
    ("--platform", &[NONSENSE, HUGE, "plan9/mips"]),
    ("--privileged", &["maybe"]),
    ("--publish", &[NONSENSE, "", HUGE, "80:0", "80/xtp", "1.2.3:80:80", "1-3:5-6"]),
    ("--publish-all", &["maybe"]),
    ("--pull", &[NONSENSE, HUGE, "always"]),
    ("--quiet", &["maybe"]),
    ("--read-only", &["maybe"]),
    ("--restart", &[NONSENSE, HUGE, "sometimes", "on-failure:x"]),
    ("--rm", &["maybe"]),
    ("--runtime", &[NONSENSE, HUGE, "runsc"]),
    ("--sdnotify", &[NONSENSE, "", HUGE]),
    ("--security-opt", &[NONSENSE, "", HUGE, "seccomp=/no/such/file"]),
    ("--shm-size", &[NONSENSE, "", HUGE, "0"]),
    ("--sig-proxy", &["maybe"]),
    ("--stop-signal", &[NONSENSE, "", HUGE, "99"]),
    ("--stop-timeout", &[NONSENSE, "", HUGE, "-1"]),
    ("--sysctl", &[NONSENSE, "", HUGE, "vm.swappiness=1"]),
    ("--tmpfs", &[NONSENSE, "", HUGE, "/x:nosuch"]),
    ("--tty", &["maybe"]),
    ("--ulimit", &[NONSENSE, "", HUGE, "nofile=10:5"]),
    ("--user", &[NONSENSE, HUGE, "nosuch", "root:nosuch", "99999999999", "4294967295", "a:b:c"]),
    ("--userns", &[NONSENSE, HUGE, "keep-id"]),
    ("--uts", &[NONSENSE, HUGE, "container:", "none"]),
    ("--volume", &[NONSENSE, "", HUGE, "/tmp:", "/tmp:/", "/tmp:/x:rx", "/etc/passwd/x:/y"]),
    ("--volume-driver", &[NONSENSE, HUGE, "nfs"]),
    ("--volumes-from", &[NONSENSE, "", HUGE, "taken:rx"]),
    ("--workdir", &[NONSENSE, "", HUGE]),
];

/// No value is wrong before the container has tried: its program is not found (127), or its check
/// fails.
const ANYTHING_GOES: [&str; 2] = ["--entrypoint", "--health-cmd"];

/// What goes with no other, and what the answer names.
const CONTRADICTIONS: &[(&[&str], &[&str])] = &[
    (&["--name", "taken"], &["the name \"taken\" is in use by container"]),
    (&["-d", "-a", "stdin"], &["--detach", "--attach"]),
    (&["--rm", "--restart", "always"], &["--rm", "--restart always"]),
    (&["--commit", "a", "-d"], &["--commit", "--detach"]),
    (&["--commit", "a", "--restart", "always"], &["--commit", "--restart always"]),
    (&["--no-healthcheck", "--health-retries", "1"], &["--no-healthcheck", "--health-"]),
    (&["--health-on-failure", "kill"], &["--health-on-failure kill", "health check"]),
    (&["--sdnotify", "healthy"], &["--sdnotify healthy", "health check"]),
    (&["-n", "--net", "host"], &["--networking=false", "--network host"]),
    (&["--net", "host", "--net", "none"], &["--network none", "other networks"]),
    (&["--net", "none", "--link", "taken:x"], &["--link", "--network none"]),
    (&["--net", "container:taken", "-h", "x"], &["hostname", "network mode"]),
    (&["--net", "container:taken", "--dns", "8.8.8.8"], &["dns", "network mode"]),
    (&["--net", "container:taken", "-p", "80"], &["port publishing", "network mode"]),
    (&["--net", "container:taken", "--expose", "80"], &["port exposing", "network mode"]),
    (&["--net", "none", "--mac-address", "02:42:00:00:00:01"], &["mac-address", "network mode"]),
    (&["--net", "none", "--ip", "10.0.0.2"], &["--ip 10.0.0.2", "network"]),
    (&["--uts", "host", "-h", "x"], &["hostname", "UTS mode"]),
    (&["-p", "80:80", "-p", "80:81"], &["80:80", "80:81"]),
    (&["-m", "64m", "--memory-swap", "32m"], &["--memory-swap 33554432", "--memory 67108864"]),
    (&["-m", "64m", "--memory-reservation", "1g"], &["--memory-reservation", "--memory"]),
    (&["--memory-swap", "64m"], &["--memory-swap 67108864", "memory limit"]),
    (&["--oom-kill-disable"], &["--oom-kill-disable", "--memory"]),
    (&["--cpus", "1", "--cpu-quota", "5000"], &["--cpus", "--cpu-quota"]),
    (&["--cpu-rt-period", "1000", "--cpu-rt-runtime", "2000"], &["runtime 2000", "period 1000"]),
    (&["-v", "/tmp:/x", "--tmpfs", "/x"], &["two mounts", "/x"]),
    (&["--log-driver", "none", "--log-opt", "max-size=5m"], &["--log-driver none", "--log-opt"]),
    (&["--ipc", "host", "--sysctl", "kernel.sem=1"], &["--sysctl kernel.sem", "ipc"]),
    (&["-w", "/etc/passwd"], &["/etc/passwd", "--workdir"]),
    (&["-v", "/etc:/etc/passwd"], &["/etc", "/etc/passwd"]),
];

/// All that the engine keeps, but for what layers hold and what was told.
fn kept(t: &Test) -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let entry = entry.expect("read a directory");
            let path = entry.path();
            found.insert(path.display().to_string());
            let is_dir = entry.file_type().expect("a type").is_dir();
            if is_dir && !path.ends_with("images/layers") && !path.ends_with("events") {
                walk(&path, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&t.root(), &mut found);
    walk(&Home::new(&t.root()).expect("a root").run, &mut found);
    found
}

/// What is wrong with the answer, which is to be one line with these words, whatever hints come
/// behind it, and with what it changed, which is nothing.
fn fault(t: &Test, args: &[&str], words: &[&str], before: &BTreeSet<String>) -> Option<String> {
    let line = [&["run"], args, &["busybox", "true"]].concat();
    let mut run = t.coracle(&line).spawn();
    run.stdin = None;
    let code = run.wait();
    let text = String::from_utf8_lossy(&run.rest_of_stderr()).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with("hint: ")).count();
    let after = kept(t);
    let changed: Vec<_> = after.symmetric_difference(before).collect();
    let is_right = code == 125
        && lines == 1
        && words.iter().all(|word| text.contains(word))
        && changed.is_empty()
        && run.rest_of_stdout().is_empty();
    (!is_right).then(|| format!("{args:?}: {code}, changed {changed:?}: {text}"))
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A container to be in the way, and all directories that a first run makes.
fn prepare(t: &Test) -> BTreeSet<String> {
    t.script("taken", &[], "exec sleep 1000");
    t.coracle(["run", "--rm", "-u", "nosuch", "busybox", "true"]).code(125).any_stderr().ok();
    kept(t)
}

#[test]
fn each_option_is_named_with_the_value_it_cannot_have() {
    let t = test!(busybox);
    let before = prepare(&t);
    let all = BAD.iter().flat_map(|(flag, values)| values.iter().map(move |value| (flag, value)));
    none(
        all.filter_map(|(flag, value)| {
            // Of a key with its value, one is enough.
            let shown = value.split(['=', ':']).max_by_key(|part| part.len());
            let shown = if value.starts_with('/') { Some(*value) } else { shown };
            fault(&t, &[&format!("{flag}={value}")], &[flag, shown.unwrap_or_default()], &before)
        })
        .collect(),
    );
    assert_eq!(t.containers().len(), 1);
}

#[test]
fn options_that_exclude_each_other_are_both_named() {
    let t = test!(busybox);
    let before = prepare(&t);
    none(
        CONTRADICTIONS.iter().filter_map(|(args, words)| fault(&t, args, words, &before)).collect(),
    );
}

#[test]
fn the_image_is_named_where_it_can_be_none() {
    let t = test!(busybox);
    let before = prepare(&t);
    let long = "x".repeat(300);
    for image in ["", "a b", "busybox:@", &long] {
        let output = t.coracle(["run", image, "true"]).code(125).stdout("").any_stderr().ok();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.starts_with("coracle: the image: invalid reference format"), "{text}");
        assert!(text.contains(image), "{text}");
    }
    assert_eq!(kept(&t), before);
}

#[test]
fn what_docker_has_and_this_engine_has_not_is_refused_by_its_name() {
    let t = test!(busybox);
    let before = prepare(&t);
    let flags = ["--gpus=all", "--storage-opt=size=1g", "--link-local-ip=169.254.1.1"];
    none(
        flags
            .iter()
            .filter_map(|flag| fault(&t, &[flag], &["there is no ", &flag[..6], "hint: "], &before))
            .collect(),
    );
}

#[test]
fn what_here_is_always_so_may_be_asked_for() {
    let t = test!(busybox);
    let platform = t.says(["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]);
    std::fs::write(t.path("labels"), "# of the application\n\nteam=web\nplain\n").expect("write");
    let file = t.path("labels").display().to_string();
    let asked = [
        "--pull=never",
        "--pull",
        "missing",
        "-q",
        "--quiet",
        "--platform",
        &platform,
        "--volume-driver=local",
        "--runtime=runc",
        "--isolation",
        "default",
        "--disable-content-trust",
        "--disable-content-trust=true",
        "--annotation",
        "a.b=c",
        "--label-file",
        &file,
        "--label",
        "team=api",
        "--name=asked",
    ];
    t.coracle([&["run"], &asked[..], &["busybox", "true"]].concat()).ok();
    let found = t.inspect("asked");
    assert_eq!(found["Config"]["Labels"], serde_json::json!({"plain": "", "team": "api"}));
    assert_eq!(found["HostConfig"]["Annotations"], serde_json::json!({"a.b": "c"}));
}

/// No option that `run` has is missing above.
#[test]
fn every_option_of_run_is_tried() {
    let t = test!();
    let help = t.says(["run", "--help"]);
    let tried: BTreeSet<&str> = BAD.iter().map(|(flag, _)| *flag).chain(ANYTHING_GOES).collect();
    let flags = help.lines().filter_map(|line| {
        let rest = line.trim_start();
        let rest = rest.split_once(", --").map_or(rest, |(_, long)| long);
        let name = rest.trim_start_matches("--").split_whitespace().next()?;
        let is_flag =
            line.starts_with("  ") && line.contains("--") && !line.starts_with("          ");
        is_flag.then(|| format!("--{name}"))
    });
    let missing: Vec<_> = flags.filter(|flag| !tried.contains(flag.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
