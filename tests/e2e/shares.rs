//! Namespaces of the host and of other containers, and an init of ours.

use crate::common::{Test, eventually, kill};
use crate::test;
use std::fs;
use std::path::Path;

fn run(t: &Test, name: &str, options: &[&str], command: &[&str]) {
    let line = [&["run", "-d", "--net=none", "--name", name], options, &["busybox"], command];
    t.coracle(line.concat()).ok();
}

fn link(t: &Test, name: &str, kind: &str) -> String {
    let path = format!("/proc/{}/ns/{kind}", t.pid(name));
    fs::read_link(path).expect("a namespace").display().to_string()
}

fn ours(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace").display().to_string()
}

#[test]
fn namespaces_of_the_host_are_shared() {
    let t = test!(busybox);
    for (flag, kind) in
        [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup")]
    {
        let option = format!("{flag}=host");
        run(&t, kind, &[&option], &["sleep", "1000"]);
        assert_eq!(link(&t, kind, kind), ours(kind), "{kind}");
        for other in ["pid", "ipc", "uts", "cgroup"].into_iter().filter(|other| *other != kind) {
            assert_ne!(link(&t, kind, other), ours(other), "{kind} {other}");
        }
    }
    assert_eq!(
        t.says(["exec", "pid", "cat", "/proc/1/comm"]),
        fs::read_to_string("/proc/1/comm").expect("one").trim()
    );
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(t.says(["exec", "uts", "hostname"]), host.trim());
    assert_eq!(t.inspect("uts")["HostConfig"]["UTSMode"], "host");
    assert_eq!(t.inspect("uts")["Config"]["Hostname"], host.trim());
}

#[test]
fn a_container_joins_namespaces_of_another() {
    let t = test!(busybox);
    let script = "echo mine > /dev/shm/file; echo ready; exec sleep 1000";
    run(&t, "a", &["-h", "owner", "--ipc=shareable"], &["sh", "-c", script]);
    t.wait_for_log("a", "ready");
    let options = ["--pid=container:a", "--ipc=container:a", "--uts=container:a"];
    run(&t, "b", &options, &["sleep", "2000"]);
    for kind in ["pid", "ipc", "uts"] {
        assert_eq!(link(&t, "b", kind), link(&t, "a", kind), "{kind}");
    }
    assert_eq!(t.says(["exec", "b", "cat", "/dev/shm/file"]), "mine");
    t.coracle(["exec", "b", "sh", "-c", "echo more >> /dev/shm/file"]).ok();
    assert_eq!(t.says(["exec", "a", "cat", "/dev/shm/file"]), "mine\nmore");
    assert_eq!(t.says(["exec", "b", "hostname"]), "owner");
    let seen = t.says(["exec", "a", "ps", "-o", "args"]);
    assert!(seen.contains("sleep 1000") && seen.contains("sleep 2000"), "{seen}");
    // One that joins the joiner has the same.
    run(&t, "c", &["--ipc=container:b"], &["sleep", "3000"]);
    assert_eq!(t.says(["exec", "c", "cat", "/dev/shm/file"]), "mine\nmore");
    let id = t.inspect("a")["Id"].as_str().expect("an id").to_string();
    assert_eq!(t.inspect("b")["HostConfig"]["PidMode"], format!("container:{id}"));
    assert_eq!(t.inspect("a")["HostConfig"]["IpcMode"], "shareable");
}

#[test]
fn with_the_owner_of_its_processes_a_container_ends() {
    let t = test!(busybox);
    run(&t, "a", &[], &["sleep", "1000"]);
    run(&t, "b", &["--pid=container:a"], &["sleep", "2000"]);
    t.coracle(["kill", "a"]).ok();
    assert_eq!(t.says(["wait", "b"]), "137");
    t.coracle(["start", "b"])
        .code(1)
        .stderr_has("cannot join pid of a non running container: a")
        .stderr_has("hint: start it first: coracle start a")
        .ok();
    t.coracle(["start", "a", "b"]).ok();
    assert_eq!(link(&t, "b", "pid"), link(&t, "a", "pid"));
}

/// The processes whose command line has this word.
fn with_word(word: &str) -> usize {
    let is_one = |pid: &str| {
        let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        text.split(|b| *b == 0).any(|part| part == word.as_bytes())
    };
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| Path::new("/proc").join(name).join("cmdline").exists() && is_one(name))
        .count()
}

#[test]
fn processes_among_the_hosts_end_with_their_container() {
    let t = test!(busybox);
    let script = "sleep 98765 & sleep 98765 & echo ready; exec sleep 1000";
    for way in ["stop", "monitor", "both"] {
        run(&t, way, &["--pid=host"], &["sh", "-c", script]);
        t.wait_for_log(way, "ready");
        eventually("both to be executed", || with_word("98765") == 2);
        let (first, monitor) = (t.pid(way), t.monitor(way));
        match way {
            "stop" => drop(t.coracle(["stop", "-t", "0", way]).ok()),
            "monitor" => {
                kill(monitor);
                t.coracle(["stop", "-t", "0", way]).ok();
            }
            _ => {
                kill(monitor);
                kill(first);
                t.coracle(["rm", "-f", way]).ok();
            }
        }
        assert_eq!(with_word("98765"), 0, "{way}");
    }
}

#[test]
fn without_shared_memory_there_is_none() {
    let t = test!(busybox);
    run(&t, "a", &["--ipc=none"], &["sleep", "1000"]);
    assert_eq!(
        t.says(["exec", "a", "sh", "-c", "grep -c -e /dev/shm -e mqueue /proc/mounts || true"]),
        "0"
    );
    // Nor is any joined that was not made for that.
    run(&t, "b", &[], &["sleep", "1000"]);
    assert_eq!(t.inspect("b")["HostConfig"]["IpcMode"], "private");
    for name in ["a", "b"] {
        let told = format!("can't join IPC of container {name}: non-shareable IPC");
        let option = format!("--ipc=container:{name}");
        t.coracle(["run", "--net=none", &option, "busybox", "true"])
            .code(125)
            .stderr_has(&told)
            .stderr_has("hint: create that one with --ipc shareable")
            .ok();
    }
    t.coracle(["run", "--net=none", "--pid=shareable", "busybox", "true"])
        .code(125)
        .stderr_has("--pid: \"shareable\" is no namespace")
        .ok();
    t.coracle(["run", "--net=none", "--pid=container:nobody", "busybox", "true"])
        .code(125)
        .stderr_has("--pid: no such container: nobody")
        .ok();
    assert_eq!(t.containers().len(), 2);
}

#[test]
fn an_init_reaps_and_passes_signals_on() {
    let t = test!(busybox);
    // Orphans that end at once: without an init the shell would never know of them.
    let script = "trap 'echo got; exit 7' TERM; for i in 1 2 3 4 5; do (sleep 0 & ) ; done; \
                  echo ready; while :; do sleep 1000 & wait $!; done";
    run(&t, "a", &["--init"], &["sh", "-c", script]);
    t.wait_for_log("a", "ready");
    assert_eq!(t.says(["exec", "a", "cat", "/proc/1/comm"]), "init");
    // Nothing of the host's words.
    assert_eq!(t.says(["exec", "a", "sh", "-c", "tr -d '\\0' < /proc/1/cmdline"]), "");
    eventually("all to be reaped", || {
        let states = t.says(["exec", "a", "sh", "-c", "grep -h ^State /proc/[0-9]*/status"]);
        !states.contains("zombie")
    });
    t.coracle(["stop", "a"]).ok();
    assert_eq!(t.says(["logs", "a"]), "ready\ngot");
    assert_eq!(t.inspect("a")["State"]["ExitCode"], 7);
    assert_eq!(t.inspect("a")["HostConfig"]["Init"], true);
    // Who may not even be looked at cannot be overwritten.
    let line = ["run", "--rm", "--net=none", "--init", "busybox", "readlink", "/proc/1/exe"];
    t.coracle(line).code(1).any_stderr().ok();
}

#[test]
fn exit_codes_and_terminals_pass_an_init() {
    let t = test!(busybox);
    let run = ["run", "--rm", "--net=none", "--init", "busybox", "sh", "-c"];
    t.coracle([&run[..], &["exit 3"]].concat()).code(3).ok();
    t.coracle([&run[..], &["kill -9 $$"]].concat()).code(137).ok();
    t.coracle(["run", "--rm", "--net=none", "--init", "busybox", "nothing"])
        .code(127)
        .stderr_has("nothing")
        .ok();
    let line = ["run", "--rm", "-it", "--net=none", "--init", "busybox", "sh"];
    let mut shell = t.coracle(line).on_terminal(24, 80);
    shell.until("# ");
    // Job control: ctrl-c ends the program in front and not the shell.
    shell.write("sh -c 'echo run$((1))ning; exec sleep 1000'\r");
    shell.until("run1ning");
    shell.write("\x03");
    shell.until("# ");
    shell.write("exit 5\r");
    assert_eq!(shell.wait(), 5);
}

#[test]
fn what_is_said_of_sharing_and_is_so_anyway_is_taken() {
    let t = test!(busybox);
    // The users are those of whoever runs us; nobody else can be asked for.
    let options = ["--userns=host", "--ipc=shareable"];
    run(&t, "a", &options, &["sh", "-c", "echo mine > /dev/shm/file; echo ready; exec sleep 1000"]);
    t.wait_for_log("a", "ready");
    assert_eq!(link(&t, "a", "user"), ours("user"));
    assert_ne!(link(&t, "a", "ipc"), ours("ipc"));
    assert_eq!(t.inspect("a")["HostConfig"]["UsernsMode"], "");
    let line =
        ["run", "--rm", "--net=none", "--ipc=container:a", "busybox", "cat", "/dev/shm/file"];
    t.coracle(line).stdout("mine\n").ok();
    t.coracle(["run", "--net=none", "--userns=keep-id", "busybox", "true"])
        .code(125)
        .stderr_has("--userns: \"keep-id\" is not there")
        .ok();
}
