//! Bad input: one clear line, a hint where there is a cure, exit 125, nothing left behind.

use crate::common::Test;
use crate::test;

/// Runs `coracle run ARGS`, which must be refused in one line that holds `word`, before anything
/// was made.
#[track_caller]
fn refused(t: &Test, args: &[&str], word: &str) {
    let output = t.coracle(["run"].iter().chain(args)).code(125).stdout("").stderr_has(word).ok();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<_> = text.lines().filter(|l| !l.starts_with("hint:")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(t.containers().is_empty(), "{args:?} left a container");
}

#[test]
fn an_unknown_flag_is_named_with_the_nearest_one() {
    let t = test!(busybox);
    refused(&t, &["--nmae", "x", "busybox", "true"], "--nmae");
    refused(&t, &["--nmae", "x", "busybox", "true"], "--name");
}

#[test]
fn a_long_flag_behind_one_dash_is_never_a_short_one_with_its_value() {
    let t = test!(busybox);
    refused(&t, &["-lxd-conf=lxc.utsname=foo", "busybox", "true"], "-lxd-conf");
    refused(&t, &["-memroy-swap=1g", "busybox", "true"], "-memroy-swap");
    let says = ["run", "--rm", "-host", "h1", "-lapp=web", "busybox", "hostname"];
    t.coracle(says).stdout("h1\n").ok();
}

#[test]
fn an_unknown_command_is_named_with_the_nearest_one() {
    let t = test!();
    t.coracle(["strat", "x"]).code(125).stderr_has("strat").stderr_has("start").ok();
}

#[test]
fn a_missing_image_is_named() {
    let t = test!();
    refused(&t, &["nowhere/none:1", "true"], "Unable to find image 'nowhere/none:1' locally");
    refused(&t, &["nowhere/none:1", "true"], "hint: get it with load or import");
    refused(&t, &[], "image");
}

#[test]
fn values_outside_of_their_grammar_are_named() {
    let t = test!(busybox);
    for (args, word) in [
        (&["--name", "a b"][..], "a b"),
        (&["--name", "-x"], "-x"),
        (&["-m", "4k"], "memory"),
        (&["-m", "lots"], "lots"),
        (&["-c", "many"], "many"),
        (&["-v", "relative/dir:/x"], "relative"),
        (&["-v", "/tmp:"], "/tmp:"),
        (&["-v", "/:relative"], "relative"),
        (&["-v", "/tmp:/x:rx"], "rx"),
        (&["-w", "relative"], "relative"),
        (&["-h", "a/b"], "a/b"),
        (&["--restart", "sometimes"], "sometimes"),
        (&["--restart", "on-failure:x"], "on-failure:x"),
        (&["--net", "wire"], "wire"),
        (&["--expose", "0"], "\"0\""),
        (&["--expose", "99999"], "99999"),
        (&["--expose", "80/xtp"], "80/xtp"),
        (&["--expose", "abc"], "abc"),
        (&["--expose", "90-80"], "90-80"),
        (&["-u", "a:b:c"], "a:b:c"),
    ] {
        let args: Vec<_> = args.iter().copied().chain(["busybox", "true"]).collect();
        refused(&t, &args, word);
    }
    refused(&t, &["UPPER/case", "true"], "UPPER/case");
}

#[test]
fn a_root_that_cannot_be_written_is_named() {
    let t = test!(busybox);
    let bad = "/proc/coracle-root";
    t.coracle(["--root", bad, "run", "busybox", "true"]).code(125).stderr_has(bad).ok();
}

#[test]
fn a_state_root_of_a_later_release_is_left_alone() {
    let t = test!(busybox);
    let version = t.root().join("version");
    let now = std::fs::read(&version).expect("read the version");
    std::fs::write(&version, "99\n").expect("write the version");
    let refs = std::fs::read(t.root().join("images/refs.json")).expect("read");
    for args in [&["images"][..], &["ps", "-a"], &["rmi", "busybox"], &["run", "busybox", "true"]] {
        t.coracle(args)
            .code(125)
            .stderr_has("has format 99; this release knows up to 2")
            .stderr_has("hint: use the newer release that wrote it")
            .ok();
    }
    assert_eq!(std::fs::read(t.root().join("images/refs.json")).expect("read"), refs);
    std::fs::write(&version, now).expect("write the version");
    assert_eq!(t.says(["images", "--format", "{{.Repository}}"]), "busybox");
}

#[test]
fn a_user_without_privileges_is_told_what_is_needed() {
    let t = test!(busybox);
    let program = std::env::var("CORACLE_BIN").unwrap_or(env!("CARGO_BIN_EXE_coracle").into());
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", &program, "--root"])
        .arg(t.root())
        .args(["run", "busybox", "true"])
        .output()
        .expect("run setpriv");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("root"), "{text}");
}

#[test]
fn a_host_without_cgroups_is_told_how_to_get_them() {
    let t = test!(busybox);
    // In a mount namespace of its own the engine finds every cgroup covered.
    let script = "mount -t tmpfs cover /sys/fs/cgroup && exec \"$@\"";
    let program = std::env::var("CORACLE_BIN").unwrap_or(env!("CARGO_BIN_EXE_coracle").into());
    for rm in [&["--rm"][..], &[]] {
        let output = std::process::Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", &program])
            .arg("--root")
            .arg(t.root())
            .arg("run")
            .args(rm)
            .args(["-v", "/anonymous", "busybox", "true"])
            .output()
            .expect("run unshare");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{text}");
        assert_eq!(
            text,
            "coracle: no cgroup file system is mounted\n\
             hint: mount -t cgroup2 cgroup2 /sys/fs/cgroup\n"
        );
        assert!(t.containers().is_empty());
        assert_eq!(std::fs::read_dir(t.root().join("volumes")).expect("read").count(), 0);
    }
}

#[test]
fn what_the_engine_cannot_start_leaves_no_container() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "c", "-u", "ghost", "busybox", "true"])
        .code(125)
        .stderr_has("ghost")
        .ok();
    assert!(t.containers().is_empty());
    // A program that cannot be executed is another matter: its container says why.
    t.coracle(["run", "--name", "c", "busybox", "nope"]).code(127).any_stderr().ok();
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 127);
}

#[test]
fn verbs_say_which_container_they_do_not_find() {
    let t = test!(busybox);
    for verb in
        ["start", "stop", "restart", "kill", "rm", "wait", "logs", "top", "attach", "inspect"]
    {
        t.coracle([verb, "ghost"]).code(1).any_stderr().stderr_has("ghost").ok();
    }
    t.coracle(["exec", "ghost", "true"]).code(1).stderr_has("ghost").ok();
}
