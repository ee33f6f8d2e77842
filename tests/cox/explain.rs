//! `--explain-exit`: the last line on stderr.

use crate::harness::{Cox, Tree, cox, cox_binary, namespace};
use coracle::types::Signal;

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn the_end_of_a_command_is_explained() {
    for (script, code, line) in [
        ("exit 3", 3, "cox: exit 3: the command sh exited with code 3"),
        ("kill -9 $$", 137, "cox: exit 137: the command sh ended by SIGKILL"),
    ] {
        let output = cox(&["--explain-exit", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(String::from_utf8(output.stderr).unwrap().trim_end(), line);
    }
    let output = cox(&["--explain-exit", "--", "/no/such"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(last_line(&text), "cox: exit 127: the command /no/such exited with code 127");
}

#[test]
fn a_stop_is_explained_by_who_asked_and_who_had_to_be_killed() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let cox = tree.supervise(&["--explain-exit"]);
    tree.expect("start");
    assert_eq!(cox.stop(), (0, "cox: exit 0: asked to stop by SIGTERM\n".into()));
    tree.script("deaf/run", "trap '' TERM; echo start >$E; while :; do sleep 10000; done");
    tree.file("deaf/timeout-kill", "50");
    let cox = tree.supervise(&["--explain-exit"]);
    tree.expect("start");
    tree.expect("start");
    cox.signal(Signal::INT);
    let (code, text) = cox.wait();
    assert_eq!(code, 0);
    assert_eq!(last_line(&text), "cox: exit 0: asked to stop by SIGINT; killed: deaf");
}

#[test]
fn what_a_command_leaves_and_does_not_go_is_counted() {
    let tree = Tree::new();
    tree.script(
        "main",
        "(trap '' TERM; echo deaf >$E; while :; do sleep 10000; done) & read line <$E",
    );
    let main = tree.service("main");
    let options = ["--explain-exit", "--stop-timeout", "0.2", "--"];
    let cox = Cox::start(namespace().arg(cox_binary()).args(options).arg(&main));
    let (code, text) = cox.wait();
    assert_eq!(code, 0);
    let line = last_line(&text);
    let words = format!("cox: exit 0: the command {main} exited with code 0; killed: ");
    assert!(line.starts_with(&words) && line.contains("orphan"), "{line}");
}
