//! `-t`: a terminal for the program, and attach.

use crate::common::Test;
use crate::common::command::Running;
use crate::test;
use coracle::types::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::time::Duration;

const COOKED: LocalFlags = LocalFlags::ICANON.union(LocalFlags::ECHO);

/// A shell on a terminal, at its prompt.
fn shell(t: &Test, options: &[&str]) -> Running {
    let mut run =
        t.coracle([&["run", "-it"], options, &["busybox", "sh"]].concat()).on_terminal(24, 80);
    run.until("# ");
    run
}

/// A terminal attached to the shell `c`, which answers.
fn attach(t: &Test) -> Running {
    let mut attach = t.coracle(["attach", "c"]).on_terminal(24, 80);
    attach.write("echo $((6*7))\n");
    attach.until("42");
    attach
}

#[test]
fn with_t_the_program_has_a_terminal_of_the_callers_size() {
    let t = test!(busybox);
    let script = "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all";
    let mut run =
        t.coracle(["run", "--rm", "-it", "busybox", "sh", "-c", script]).on_terminal(33, 101);
    run.until("/dev/");
    run.until("33 101");
    run.until("all");
    assert_eq!(run.wait(), 0);
}

#[test]
fn the_callers_terminal_is_raw_meanwhile_and_as_before_afterwards() {
    let t = test!(busybox);
    let mut run = shell(&t, &["--rm"]);
    assert!(!flags(&run).intersects(COOKED));
    run.write("exit 6\n");
    assert_eq!(run.wait(), 6);
    assert!(flags(&run).contains(COOKED));
}

fn flags(run: &Running) -> LocalFlags {
    tcgetattr(run.stdin.as_ref().expect("the master")).expect("a terminal").local_flags
}

#[test]
fn ctrl_c_reaches_the_program() {
    let t = test!(busybox);
    let script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 1; done";
    let mut run =
        t.coracle(["run", "--rm", "-it", "busybox", "sh", "-c", script]).on_terminal(24, 80);
    run.until("ready");
    run.write([3]);
    run.until("caught");
    assert_eq!(run.wait(), 5);
}

#[test]
fn a_terminal_is_refused_where_the_caller_has_none() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "-it", "busybox", "true"]).code(125).stderr_has("terminal").ok();
}

#[test]
fn ctrl_p_ctrl_q_detaches_and_the_container_runs_on() {
    let t = test!(busybox);
    let mut run = shell(&t, &["--name", "c"]);
    run.write([16, 17]);
    assert_eq!(run.wait(), 0);
    assert_eq!(t.status("c"), "running");

    let mut attach = attach(&t);
    attach.write("exit 3\n");
    assert_eq!(attach.wait(), 3);
    assert_eq!(t.status("c"), "exited");
}

#[test]
fn two_can_attach_and_both_see_the_output() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "-i", "--name", "c", "busybox", "cat"]).ok();
    let mut one = t.coracle(["attach", "c"]).spawn();
    let mut two = t.coracle(["attach", "c"]).spawn();
    // Only an echo proves that an attach has arrived.
    one.write("from one\n");
    one.line_with("from one");
    two.write("from two\n");
    two.line_with("from two");
    one.line_with("from two");
    t.coracle(["kill", "c"]).ok();
    assert_eq!(one.wait(), 137);
    assert_eq!(two.wait(), 137);
}

#[test]
fn exec_with_a_terminal_has_one() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let mut exec = t.coracle(["exec", "-it", "c", "sh"]).on_terminal(40, 120);
    exec.until("# ");
    exec.write("stty size\n");
    exec.until("40 120");
    exec.write("exit 2\n");
    assert_eq!(exec.wait(), 2);
}

#[test]
fn a_terminal_that_hangs_up_ends_the_client_and_not_the_container() {
    let t = test!(busybox);
    drop(shell(&t, &["--name", "c"]));
    assert_eq!(t.status("c"), "running");
    let attach = attach(&t);
    assert!(!attach.ends_within(Duration::from_millis(10)));
}

#[test]
fn a_client_that_is_asked_to_end_leaves_the_terminal_as_it_was() {
    let t = test!(busybox);
    let mut run = shell(&t, &["--name", "c"]);
    run.signal(Signal::TERM);
    assert_eq!(run.wait(), 143);
    assert!(flags(&run).contains(COOKED));
    assert_eq!(t.status("c"), "running");
}

#[test]
fn signals_pass_a_client_whose_output_is_blocked() {
    let t = test!(busybox);
    let fifo = t.path("fifo");
    // It is open, so writing does not fail; nobody reads.
    let script = format!("mkfifo {0}; exec 3<>{0}; exec \"$@\" >{0}", fifo.display());
    let program = "trap 'exit 7' TERM; yes & wait";
    t.coracle(["create", "--name", "c", "busybox", "sh", "-c", program]).ok();
    let run = t.coracle(["start", "-a", "c"]).by(&script).spawn();
    // More than the pipe and the sockets hold.
    t.wait_for_status("c", "running");
    t.wait_for_size(&t.records("c").join("log"), 4 << 20);
    run.signal(Signal::TERM);
    t.wait_for_status("c", "exited");
    assert_eq!(t.inspect("c")["State"]["ExitCode"], 7);
}

#[test]
fn stdin_stays_open_where_nobody_was_attached_at_the_start() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "-i", "--name", "c", "busybox", "cat"]).ok();
    assert_eq!(t.inspect("c")["Config"]["StdinOnce"], false);
    for word in ["one", "two"] {
        let mut attach = t.coracle(["attach", "c"]).spawn();
        attach.write(format!("{word}\n"));
        attach.line_with(word);
        // It goes, its stdin closed.
        drop(attach);
    }
    assert_eq!(t.status("c"), "running");
}

#[test]
fn keys_pass_a_terminal_that_is_busy() {
    let t = test!(busybox);
    let mut run = shell(&t, &["--name", "c"]);
    run.write("yes 0123456789\n");
    run.until("0123456789");
    run.write([16, 17]);
    assert_eq!(run.wait(), 0);
    assert_eq!(t.status("c"), "running");
}

#[test]
fn other_keys_detach_where_they_are_asked_for() {
    let t = test!(busybox);
    let mut run = shell(&t, &["--name", "c", "--detach-keys", "ctrl-e,x"]);
    run.write([16, 17]);
    run.write("echo on\n");
    run.until("on");
    run.write([5, b'x']);
    assert_eq!(run.wait(), 0);
    assert_eq!(t.status("c"), "running");
    let mut attach = t.coracle(["attach", "--detach-keys=a,b", "c"]).on_terminal(24, 80);
    attach.write("ab");
    assert_eq!(attach.wait(), 0);
    t.coracle(["attach", "--detach-keys=ctrl-", "c"]).code(125).stderr_has("--detach-keys").ok();
}

#[test]
fn without_stdin_what_is_typed_stays_outside() {
    let t = test!(busybox);
    t.script("c", &["-i"], "echo ready; read x; echo got $x; sleep 1000");
    t.wait_for_log("c", "ready");
    let mut deaf = t.coracle(["attach", "-no-stdin", "-sig-proxy=false", "c"]).spawn();
    deaf.write("lost\n");
    let mut events = t.coracle(["events", "--since", "1h", "--filter", "event=attach"]).spawn();
    events.line_with("attach");
    let mut heard = t.coracle(["attach", "c"]).spawn();
    heard.write("heard\n");
    assert!(deaf.line_with("got").contains("got heard"));
    events.signal(Signal::KILL);
    events.wait();
    // The signal ends the client, not the program.
    deaf.signal(Signal::INT);
    assert_eq!(deaf.wait(), 130);
    assert_eq!(t.status("c"), "running");
    t.coracle(["rm", "-f", "c"]).ok();
}
