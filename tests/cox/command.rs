//! `cox -- COMMAND`: the tiny init.

use crate::harness::{Cox, Tree, cox, cox_binary, finish, namespace};
use coracle::types::Signal;
use std::io::Write;
use std::process::{Command, Stdio};

fn shell(script: &str) -> i32 {
    cox(&["--", "sh", "-c", script]).status.code().unwrap()
}

/// cox in front of a script with `$E` as the events FIFO.
fn start(tree: &Tree, options: &[&str], script: &str) -> Cox {
    tree.script("main", script);
    let mut command = namespace();
    command.arg(cox_binary()).args(options).arg("--").arg(tree.services().join("main"));
    Cox::start(&mut command)
}

#[test]
fn every_exit_code_is_passed_on() {
    for code in 0..=255 {
        assert_eq!(shell(&format!("exit {code}")), code);
    }
}

#[test]
fn death_by_a_signal_is_128_and_its_number() {
    let harmless = [17, 18, 19, 20, 21, 22, 23, 28];
    for number in (1..=31).chain(34..=64).filter(|n| !harmless.contains(n)) {
        assert_eq!(shell(&format!("ulimit -c 0; kill -{number} $$")), 128 + number);
    }
}

#[test]
fn what_cannot_be_executed_is_126_or_127_and_one_line() {
    let tree = Tree::new();
    tree.file("plain", "text");
    tree.file("binary", "no first line");
    tree.file("bad", "#!/no/such/interpreter\n");
    let path = |name: &str| tree.service(name);
    for name in ["binary", "bad"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(tree.services().join(name), mode).unwrap();
    }
    for (program, code, words) in [
        (String::new(), 127, "no such file or directory"),
        ("no-such-program".to_string(), 127, "no such file or directory"),
        (path("missing"), 127, "no such file or directory"),
        (path("bad"), 127, "the interpreter in its first line is missing"),
        (path("plain"), 126, "permission denied"),
        (path("binary"), 126, "a script must begin with #! and an interpreter"),
        ("/".to_string(), 126, "permission denied"),
    ] {
        let output = cox(&["--", &program]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{program}: {text}");
        assert!(text.starts_with(&format!("cox: cannot execute \"{program}\": ")), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn all_signals_reach_the_command() {
    let mut tree = Tree::new();
    // Of those that a program can catch, all but CHLD.
    let numbers: Vec<i32> = (1..=64).filter(|n| ![9, 17, 19, 32, 33].contains(n)).collect();
    let traps: String = numbers.iter().map(|n| format!("trap 'echo got {n} >$E' {n}\n")).collect();
    let script = format!("{traps}sleep 10000 & echo ready >$E\nwhile :; do wait $!; done");
    let cox = start(&tree, &[], &script);
    tree.expect("ready");
    for number in numbers {
        cox.signal(Signal::from_number(number).unwrap());
        tree.expect(&format!("got {number}"));
    }
}

#[test]
fn the_command_finds_stdin_environment_and_signals_as_cox_did() {
    let mut command = namespace();
    command.arg(cox_binary()).args(["--", "sh", "-c"]);
    command.arg("cat; echo $COLOUR; grep -E 'SigBlk|SigIgn' /proc/self/status; ulimit -n");
    command.env("COLOUR", "blue").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let (_, limit, _) = finish(Command::new("sh").args(["-c", "ulimit -n"]));
    let (_, signals, _) = finish(Command::new("grep").args(["SigIgn", "/proc/self/status"]));
    let expected = format!("hello\nblue\nSigBlk:\t0000000000000000\n{signals}{limit}");
    assert_eq!(text, expected);
}

#[test]
fn what_was_ignored_stays_ignored() {
    let ignore = ["env", "--ignore-signal=HUP,CHLD"];
    let ask = ["grep", "SigIgn", "/proc/self/status"];
    let bare = finish(Command::new(ignore[0]).args(&ignore[1..]).args(ask));
    // Children too: cox itself needs to hear of their end, and does.
    assert!(bare.1.ends_with("10001\n"), "{bare:?}");
    let cox = finish(namespace().args(ignore).arg(cox_binary()).arg("--").args(ask));
    assert_eq!(cox, bare);
}

#[test]
fn the_command_is_in_the_foreground_of_its_terminal() {
    let cox = cox_binary();
    let inner = format!(
        "unshare --pid --fork --mount-proc --kill-child -- {} -- \
         sh -c 'test -t 0 && set -- $(cut -d\" \" -f5,8 /proc/self/stat) && test $1 = $2 && exit 9'",
        cox.display()
    );
    let log = std::env::temp_dir().join(format!("cox-tty-{}", std::process::id()));
    let mut command = Command::new("script");
    let (code, text, _) = finish(command.args(["-q", "-e", "-c", &inner]).arg(&log));
    let _ = std::fs::remove_file(&log);
    assert_eq!(code, 9, "{text}");
}

#[test]
fn orphans_are_adopted_and_reaped() {
    // It ends only once no zombie is left among the children of PID 1.
    let script = "i=0; while [ $i -lt 500 ]; do (true & true &) ; i=$((i+1)); done
        while ps --ppid 1 -o stat= | grep -q Z; do :; done; exit 7";
    assert_eq!(shell(script), 7);
}

#[test]
fn elsewhere_than_pid_1_it_is_a_subreaper() {
    let mut tree = Tree::new();
    tree.script(
        "orphan",
        "until [ \"$(cut -d' ' -f4 /proc/$$/stat)\" = $1 ]; do :; done; echo adopted >$E
        exec sleep 10000",
    );
    tree.script("main", "(${0%main}orphan $PPID &); read line <${0%services/main}hold");
    let hold = tree.dir.join("hold");
    coracle::sys::fifo::make(&hold, 0o600).unwrap();
    let mut command = namespace();
    let main = tree.services().join("main");
    let script = format!("{} -- {}; exit $?", cox_binary().display(), main.display());
    let outer = Cox::start(command.args(["sh", "-c", &script]));
    tree.expect("adopted");
    // The orphan would live on: cox ends it before it exits, and nobody else is left.
    std::fs::write(&hold, "go\n").unwrap();
    assert_eq!(outer.wait(), (0, String::new()));
}

#[test]
fn what_the_command_leaves_behind_gets_term_and_time() {
    let mut tree = Tree::new();
    let script = "(trap 'echo bye >$E; exit' TERM; nap; echo ready >$E; wait) &
        read line <${0%services/main}hold; exit 3";
    coracle::sys::fifo::make(&tree.dir.join("hold"), 0o600).unwrap();
    let cox = start(&tree, &["--stop-timeout", "600"], script);
    tree.expect("ready");
    std::fs::write(tree.dir.join("hold"), "go\n").unwrap();
    tree.expect("bye");
    assert_eq!(cox.wait(), (3, String::new()));
}

#[test]
fn what_does_not_hear_is_killed_after_the_limit() {
    let script = "(trap '' TERM HUP; sleep 10000; sleep 10000) & exit 4";
    let output = cox(&["--stop-timeout", "0.1", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn a_command_that_does_not_hear_is_killed_where_a_limit_was_given() {
    let mut tree = Tree::new();
    let script = "trap '' TERM; echo ready >$E; sleep 10000; sleep 10000";
    let cox = start(&tree, &["--stop-timeout", "0.1"], script);
    tree.expect("ready");
    assert_eq!(cox.stop(), (137, String::new()));
}

#[test]
fn wrong_usage_exits_100_with_one_line() {
    for args in [
        &["--frobnicate"][..],
        &["--"],
        &["--stop-timeout", "soon", "x"],
        &["--stop-timeout"],
        &["svc"],
        &["svc", "-z", "x"],
        &["svok"],
        &["svok", "a", "b"],
        &["svstat"],
        &["svscan", "--", "true"],
    ] {
        let output = cox(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(100), "{args:?}: {text}");
        assert!(text.contains("; usage: ") && text.lines().count() == 1, "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_and_version_of_every_name() {
    for name in ["cox", "svscan", "svc", "svstat", "svok", "tini"] {
        let args = |option| if name == "cox" { vec![option] } else { vec![name, option] };
        let help = cox(&args("--help"));
        assert!(help.status.success() && help.stderr.is_empty());
        assert!(String::from_utf8(help.stdout).unwrap().starts_with(&format!("usage: {name} ")));
        let version = String::from_utf8(cox(&args("--version")).stdout).unwrap();
        assert_eq!(version, format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn nothing_to_run_is_said_with_the_cure() {
    assert!(!std::path::Path::new("/service").exists(), "the host has services of its own");
    let script = format!("mount -t tmpfs none /etc && exec {}", cox_binary().display());
    let (code, _, text) = finish(namespace().args(["sh", "-c", &script]));
    assert_eq!(code, 111, "{text}");
    assert!(text.starts_with(
        "cox: no services: none of /etc/cox.toml, /etc/services, /service, /etc/service"
    ));
    let output = cox(&["/no/such/directory"]);
    assert_eq!(output.status.code(), Some(111));
    assert_eq!(output.stderr, b"cox: read /no/such/directory: no such file or directory\n");
}
