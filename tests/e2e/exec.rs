//! `coracle exec`: another program in a running container.

use crate::common::Test;
use crate::test;

fn sleeper(t: &Test) {
    t.coracle(["run", "-d", "--name", "c", "-e", "A=1", "-w", "/var", "busybox", "sleep", "1000"])
        .ok();
}

#[test]
fn output_and_exit_code_come_through() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "c", "sh", "-c", "echo out; echo err >&2; exit 5"])
        .stdout("out\n")
        .stderr("err\n")
        .code(5)
        .ok();
}

#[test]
fn stdin_is_passed_with_i() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "-i", "c", "cat"]).stdin("through\n").stdout("through\n").ok();
    t.coracle(["exec", "c", "cat"]).stdin("not\n").stdout("").ok();
}

#[test]
fn it_joins_the_containers_namespaces_and_limits() {
    let t = test!(busybox);
    sleeper(&t);
    let script = "for n in cgroup ipc mnt net pid uts; do \
        [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n differs; done; \
        for key in CapEff CapBnd Seccomp: NoNewPrivs; do \
        [ \"$(grep $key /proc/1/status)\" = \"$(grep $key /proc/self/status)\" ] || echo $key differs; done; \
        [ \"$(cat /proc/1/cgroup)\" = \"$(cat /proc/self/cgroup)\" ] || echo cgroup differs";
    t.coracle(["exec", "c", "sh", "-c", script]).stdout("").ok();
}

#[test]
fn it_has_the_containers_environment_and_directory() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "-e", "B=2", "c", "sh", "-c", "echo $A $B $PWD"]).stdout("1 2 /var\n").ok();
    t.coracle(["exec", "-u", "app", "-w", "/tmp", "c", "sh", "-c", "id -un; pwd"])
        .stdout("app\n/tmp\n")
        .ok();
}

#[test]
fn a_detached_exec_runs_on() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "c", "mkfifo", "/tmp/done"]).ok();
    t.coracle(["exec", "-d", "c", "sh", "-c", "echo yes >/tmp/done"]).stdout("").ok();
    t.coracle(["exec", "c", "cat", "/tmp/done"]).stdout("yes\n").ok();
}

#[test]
fn programs_that_cannot_run_give_126_and_127() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "c", "no-such-program"]).code(127).stderr_has("no-such-program").ok();
    t.coracle(["exec", "c", "/etc/passwd"]).code(126).stderr_has("/etc/passwd").ok();
}

#[test]
fn a_stopped_container_takes_no_exec() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "c", "busybox", "true"]).ok();
    t.coracle(["exec", "c", "true"]).code(1).stderr_has("not running").ok();
}

#[test]
fn it_ends_with_its_container() {
    let t = test!(busybox);
    sleeper(&t);
    let mut exec = t.coracle(["exec", "c", "sh", "-c", "echo ready; sleep 1000"]).spawn();
    exec.line_with("ready");
    t.coracle(["kill", "c"]).ok();
    assert_eq!(exec.wait(), 137);
}

#[test]
fn it_leaves_no_process_when_its_caller_is_killed() {
    let t = test!(busybox);
    sleeper(&t);
    let mut exec = t.coracle(["exec", "-i", "c", "cat"]).spawn();
    exec.write("x\n");
    exec.line_with("x");
    drop(exec); // kills it; its end of the pipe closes, and cat ends
    t.coracle(["exec", "c", "sh", "-c", "while pidof cat >/dev/null; do :; done"]).ok();
}
