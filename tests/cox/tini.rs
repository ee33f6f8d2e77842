//! `tini`: the words of tini(1) for `cox -- COMMAND`.

use crate::harness::{Cox, Tree, cox, cox_binary, finish, namespace};
use coracle::types::Signal;
use std::fs;
use std::process::Output;

fn tini(args: &[&str]) -> Output {
    cox(&[&["tini"], args].concat())
}

fn code(args: &[&str]) -> Option<i32> {
    tini(args).status.code()
}

fn stderr(args: &[&str]) -> String {
    String::from_utf8(tini(args).stderr).unwrap()
}

/// tini as PID 1 in front of a script with `$E` as the events FIFO.
fn start(tree: &Tree, options: &[&str], script: &str) -> Cox {
    tree.script("main", script);
    let mut command = namespace();
    command.arg(cox_binary()).arg("tini").args(options).arg(tree.services().join("main"));
    Cox::start(&mut command)
}

#[test]
fn it_goes_by_its_name_and_passes_on_arguments_and_exit_code() {
    let tree = Tree::new();
    let link = tree.dir.join("tini");
    std::os::unix::fs::symlink(cox_binary(), &link).unwrap();
    let run = |args: &[&str]| finish(namespace().arg(&link).args(args));
    assert_eq!(run(&["echo", "-s", "--", "a"]).1, "-s -- a\n");
    assert_eq!(run(&["echo", "--", "-s"]).1, "-s\n");
    assert_eq!(run(&["-sg", "--", "echo", "--", "-s"]).1, "-- -s\n");
    assert_eq!(run(&["--", "sh", "-c", "exit 42"]).0, 42);
    assert_eq!(run(&["sh", "-c", "kill -KILL $$"]).0, 137);
    assert_eq!(run(&["no-such-program"]).0, 127);
    assert_eq!(run(&["/"]).0, 126);
    assert!(run(&["-h"]).1.starts_with("usage: tini "));
    assert_eq!(run(&["-l"]), (0, "Apache-2.0\n".into(), String::new()));
}

#[test]
fn expected_exit_codes_become_0() {
    for (expected, script, told) in
        [("3", "exit 3", 0), ("3", "exit 4", 4), ("143", "kill -TERM $$", 0), ("0", "exit 1", 1)]
    {
        let args = ["-e", expected, "-e255", "--", "sh", "-c", script];
        assert_eq!(code(&args), Some(told), "{expected}: {script}");
    }
    assert_eq!(code(&["-e127", "no-such-program"]), Some(0));
}

#[test]
fn wrong_usage_exits_1_with_one_line() {
    for args in
        [&[][..], &["--"], &["-x", "true"], &["-p", "FOO", "true"], &["-e", "256", "true"], &["-e"]]
    {
        let output = tini(args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.starts_with("tini: ") && text.contains("; usage: tini "), "{text}");
        assert_eq!((text.lines().count(), output.stdout.len()), (1, 0), "{text}");
    }
}

/// Two processes that tell of USR1; the first one, told, asks the second one for an answer.
const TWO: &str = "(trap 'echo second got it >$E' USR1; trap 'echo second answers >$E' USR2
     nap; echo ready >$E; while :; do wait; done) &
    second=$!; trap 'echo first got it >$E; kill -USR2 $second' USR1
    echo ready >$E; while :; do wait $second; done";

#[test]
fn a_signal_reaches_the_program_alone() {
    let mut tree = Tree::new();
    let tini = start(&tree, &["--"], TWO);
    tree.expect("ready");
    tree.expect("ready");
    tini.signal(Signal::USR1);
    tree.expect("first got it");
    tree.expect("second answers");
}

#[test]
fn with_g_or_its_variable_a_signal_reaches_the_group() {
    for (option, variable) in [("-g", "NONE"), ("--", "TINI_KILL_PROCESS_GROUP")] {
        let mut tree = Tree::new();
        tree.script("main", TWO);
        let mut command = namespace();
        command.arg(cox_binary()).args(["tini", option]).arg(tree.services().join("main"));
        let tini = Cox::start(command.env(variable, ""));
        tree.expect("ready");
        tree.expect("ready");
        tini.signal(Signal::USR1);
        let mut told = [tree.events.next(), tree.events.next(), tree.events.next()];
        told.sort();
        assert_eq!(told, ["first got it", "second answers", "second got it"]);
    }
}

#[test]
fn the_group_has_time_to_end_after_the_program_has() {
    let mut tree = Tree::new();
    let script = "(trap 'while [ -e /proc/$$ ]; do :; done; echo bye >$E; exit' TERM
         nap; echo ready >$E; wait) & wait";
    let tini = start(&tree, &["-g"], script);
    tree.expect("ready");
    tini.signal(Signal::TERM);
    tree.expect("bye");
    assert_eq!(tini.wait(), (143, String::new()));
}

#[test]
fn the_death_of_the_parent_is_a_signal() {
    let mut tree = Tree::new();
    tree.script(
        "main",
        "trap 'echo orphaned >$E' USR1; nap; echo ready >$E; while :; do wait; done",
    );
    let hold = tree.dir.join("hold");
    coracle::sys::fifo::make(&hold, 0o600).unwrap();
    let script = format!(
        "(exec 2>/dev/null; {} tini -p SIGUSR1 {} & read line <{}) & exec sleep 10000",
        cox_binary().display(),
        tree.services().join("main").display(),
        hold.display()
    );
    let _outer = Cox::start(namespace().args(["sh", "-c", &script]));
    tree.expect("ready");
    fs::write(&hold, "go\n").unwrap();
    tree.expect("orphaned");
}

/// Where tini is not PID 1, and an orphan becomes the child of `adopter`: tini's exit code and
/// stderr, and "lives" if the orphan outlives it.
fn adoption(option: &str, variable: &str, adopter: &str) -> (i32, String) {
    let mut tree = Tree::new();
    tree.script(
        "orphan",
        "until [ $(cut -d' ' -f4 /proc/$$/stat) = $1 ]; do :; done
        echo $$ >${0%services/orphan}pid; echo adopted >$E; exec sleep 10000",
    );
    tree.script(
        "main",
        &format!("(${{0%main}}orphan {adopter} &); read line <${{0%services/main}}hold; exit 3"),
    );
    let hold = tree.dir.join("hold");
    coracle::sys::fifo::make(&hold, 0o600).unwrap();
    let script = format!(
        "{} tini {option} {}; code=$?; kill -0 $(cat {}) 2>/dev/null && echo lives >&2
         exit $code",
        cox_binary().display(),
        tree.services().join("main").display(),
        tree.dir.join("pid").display()
    );
    let outer = Cox::start(namespace().args(["sh", "-c", &script]).env(variable, ""));
    tree.expect("adopted");
    fs::write(&hold, "go\n").unwrap();
    outer.wait()
}

#[test]
fn elsewhere_than_pid_1_it_adopts_where_it_is_told_to() {
    for (option, variable) in [("-s", "NONE"), ("--", "TINI_SUBREAPER")] {
        assert_eq!(adoption(option, variable, "$PPID"), (3, String::new()));
    }
    let warning = "tini: orphans will not be seen here: run it as PID 1, or with -s";
    assert_eq!(adoption("--", "NONE", "1"), (3, format!("{warning}\nlives\n")));
}

/// Leaves one orphan, and ends once that was reaped.
const ORPHAN: &str = "orphan=$(sh -c \
     'until [ $(cut -d\" \" -f4 /proc/$$/stat) = 1 ]; do :; done' >/dev/null & echo $!)
     while [ -e /proc/$orphan ]; do :; done";

#[test]
fn it_says_as_much_as_it_is_asked_to() {
    assert_eq!(stderr(&["sh", "-c", ORPHAN]), "");
    let said = stderr(&["-w", "sh", "-c", ORPHAN]);
    assert!(said.starts_with("cox: reaped the orphan "), "{said}");
    assert!(said.ends_with(", which exited with code 0\n"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let said = stderr(&["-v", "sh", "-c", "exit 3"]);
    assert_eq!(said, "cox: started sh as process 2\ncox: process 2 exited with code 3\n");
    let said = stderr(&["-vv", "sh", "-c", "trap 'exit 0' HUP; kill -HUP 1; while :; do :; done"]);
    assert!(said.contains("\ncox: passing on SIGHUP\n"), "{said}");
}

#[test]
fn the_level_in_the_environment_counts() {
    let run = |level| {
        let mut command = namespace();
        command.arg(cox_binary()).args(["tini", "-w", "sh", "-c", ORPHAN]);
        finish(command.env("TINI_VERBOSITY", level))
    };
    assert_eq!(run("0"), (0, String::new(), String::new()));
    assert!(run("2").2.starts_with("cox: started sh as process 2\n"));
    let (code, _, said) = run("loud");
    assert_eq!(code, 1);
    assert!(said.starts_with("tini: TINI_VERBOSITY is \"loud\", not a number such as 1"), "{said}");
}
