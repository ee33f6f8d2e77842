//! `coracle exec`: another program in a running container.

use crate::common::Test;
use crate::test;
use coracle::types::Signal;

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

#[test]
fn a_stopped_caller_does_not_hold_up_the_containers_end() {
    let t = test!(busybox);
    sleeper(&t);
    let mut exec = t.coracle(["exec", "c", "sh", "-c", "echo ready; sleep 1000"]).spawn();
    exec.line_with("ready");
    exec.signal(Signal::STOP);
    t.coracle(["stop", "-t", "0", "c"]).ok();
    assert_eq!(t.status("c"), "exited");
    t.coracle(["rm", "c"]).ok();
    exec.signal(Signal::CONT);
    assert_eq!(exec.wait(), 137);
}

#[test]
fn no_file_of_the_callers_reaches_the_program() {
    let t = test!(busybox);
    sleeper(&t);
    let file = t.path("file");
    std::fs::write(&file, "read only\n").expect("write a file");
    let redirect = format!("exec \"$@\" <{0} 3<{0}", file.display());
    let script = "cat; for n in 0 1 2; do readlink /proc/$$/fd/$n | cut -d: -f1; done; ls /proc/self/fd | wc -l";
    // 0, 1, 2, and the directory that ls reads.
    t.coracle(["exec", "-i", "c", "sh", "-c", script])
        .by(&redirect)
        .stdout("read only\npipe\npipe\npipe\n4\n")
        .ok();
    // They are the program's own, whoever it is.
    t.coracle([
        "exec",
        "-u",
        "app",
        "c",
        "sh",
        "-c",
        "echo out >/dev/stdout; echo err >/dev/stderr",
    ])
    .stdout("out\n")
    .stderr("err\n")
    .ok();
}

#[test]
fn a_terminal_is_refused_where_the_caller_has_none() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "-it", "c", "true"]).code(1).stderr_has("not a terminal").ok();
}

#[test]
fn neither_direction_waits_for_the_other() {
    let t = test!(busybox);
    sleeper(&t);
    let script = "head -c 3000000 /dev/zero; echo done >&2";
    let unread = vec![b'x'; 1 << 21];
    let verbs = [vec!["exec", "-i", "c"], vec!["run", "--rm", "-i", "busybox"]];
    for verb in verbs {
        let out = t
            .coracle(verb.into_iter().chain(["sh", "-c", script]))
            .stdin(unread.clone())
            .stderr("done\n")
            .ok();
        assert_eq!(out.stdout.len(), 3_000_000);
    }
}

#[test]
fn what_a_background_process_keeps_open_is_not_waited_for() {
    let t = test!(busybox);
    sleeper(&t);
    t.coracle(["exec", "c", "sh", "-c", "echo first; sleep 1000 & exit 3"])
        .stdout("first\n")
        .code(3)
        .ok();
}

#[test]
fn signals_are_forwarded_and_nothing_outlives_a_caller_that_is_killed() {
    let t = test!(busybox);
    sleeper(&t);
    let script =
        "trap 'echo caught; exit 6' TERM; echo ready; while :; do sleep 1000 & wait $!; done";
    let mut exec = t.coracle(["exec", "c", "sh", "-c", script]).spawn();
    exec.line_with("ready");
    exec.signal(Signal::TERM);
    exec.line_with("caught");
    assert_eq!(exec.wait(), 6);

    let mut exec = t.coracle(["exec", "c", "sh", "-c", "echo $$; exec sleep 2000"]).spawn();
    let pid = exec.line_with("");
    drop(exec); // kills it
    t.coracle(["exec", "c", "sh", "-c", &format!("while test -e /proc/{pid}; do :; done")]).ok();
}

#[test]
fn the_oom_score_of_the_caller_stays_with_it() {
    let t = test!(busybox);
    sleeper(&t);
    let script = "echo 500 >/proc/self/oom_score_adj && exec \"$@\"";
    let look = ["cat", "/proc/self/oom_score_adj"];
    t.coracle(["exec", "c"].into_iter().chain(look)).by(script).stdout("0\n").ok();
    t.coracle(["run", "--rm", "busybox"].into_iter().chain(look)).by(script).stdout("0\n").ok();
}

#[test]
fn the_keys_of_the_caller_stay_with_it() {
    let t = test!(busybox);
    // A session keyring with a key that only those see who possess it (keyctl(2): join a session,
    // add_key, setperm).
    let program = "import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.syscall(250, 1, b'ours')
key = libc.syscall(248, b'user', b'coracle-secret', b'hush', 4, -3)
libc.syscall(250, 5, key, 0x3f000000)
os.execvp(sys.argv[1], sys.argv[1:])";
    let holds = |output: &[u8]| String::from_utf8_lossy(output).contains("coracle-secret");
    let mut ours = std::process::Command::new("python3");
    let ours = ours.args(["-c", program, "cat", "/proc/keys"]).output().expect("run python3");
    assert!(holds(&ours.stdout), "the caller itself does not see its key");

    // Privileged, or /proc/keys is masked.
    t.coracle(["run", "-d", "--privileged", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let verbs = [vec!["run", "--rm", "--privileged", "busybox"], vec!["exec", "c"]];
    for verb in verbs {
        let look = t.coracle(verb.into_iter().chain(["cat", "/proc/keys"]));
        let seen = look.by(&format!("exec python3 -c \"{program}\" \"$@\"")).ok().stdout;
        assert!(!seen.is_empty() && !holds(&seen), "{}", String::from_utf8_lossy(&seen));
    }
}
