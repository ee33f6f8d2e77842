//! Somebody at a terminal: a shell in tmux, and what is typed there.

use crate::common::eventually;
use crate::common::tmux::{PROMPT, Tmux};
use crate::test;
use coracle::types::{Pid, Signal};
use std::fs;

/// Where the shell in a container waits.
const INSIDE: &str = "/ # ";

/// The modes of the terminal, as the shell's commands find them.
fn modes(tmux: &Tmux) -> String {
    tmux.says("stty -g")
}

/// The shell's prompt is back.
#[track_caller]
fn back(tmux: &Tmux) {
    at(tmux, PROMPT);
}

/// The last line ends in this prompt.
#[track_caller]
fn at(tmux: &Tmux, prompt: &str) {
    tmux.until_so(&format!("prompt {prompt:?}"), |screen| {
        screen.trim_end().ends_with(prompt.trim_end())
    });
}

/// A job that says so when the terminal is its own, and goes on until a signal ends it.
fn job(name: &str, before: &str) -> String {
    // The quotes in the middle keep the line that is typed from being taken for what it says.
    format!(
        "clear; sh -c '{before}; echo {name} at wo''rk; sleep 1000 & while :; do wait $!; done'"
    )
}

#[test]
fn a_shell_in_a_container_is_worked_in_left_and_come_back_to() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    let before = modes(&tmux);
    tmux.line("docker run -it --name s busybox sh");
    at(&tmux, INSIDE);
    tmux.line("stty size; tty");
    tmux.until("24 80\n/dev/pts/0");

    // The window changes, and the program is told.
    tmux.line(&job("one", "trap \"echo now \\$(stty size)\" WINCH"));
    tmux.until("one at work");
    tmux.resize(30, 100);
    tmux.until("now 30 100");
    tmux.keys(&["C-c"]);
    at(&tmux, INSIDE);

    // Job control, and the keys that are signals.
    tmux.line(&job("two", "trap \"n=x\\$n; echo on \\$n\" CONT"));
    tmux.until("two at work");
    tmux.keys(&["C-z"]);
    tmux.until("Stopped");
    tmux.line("bg; jobs");
    tmux.until("Running");
    tmux.until("on x");
    tmux.line("fg");
    tmux.until("on xx");
    tmux.keys(&["C-c"]);
    at(&tmux, INSIDE);
    tmux.line("echo co''de=$?");
    tmux.until("code=130");
    tmux.line("clear; read -s x; echo got $x");
    tmux.line("a word");
    tmux.until("got a word");

    // Away, with the terminal as it was, and back.
    tmux.keys(&["C-p", "C-q"]);
    back(&tmux);
    assert_eq!(modes(&tmux), before);
    assert_eq!(t.status("s"), "running");
    tmux.line("clear; docker attach s");
    tmux.keys(&["Enter"]);
    at(&tmux, INSIDE);
    tmux.line("stty size; echo $x; exit 4");
    tmux.until("30 100\na word");
    back(&tmux);
    assert_eq!(tmux.says("echo $?"), "4");
    assert_eq!(modes(&tmux), before);
    assert_eq!(t.inspect("s")["State"]["ExitCode"], 4);
}

#[test]
fn keys_that_are_signals_reach_the_program_of_run_and_of_attach() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    let script = "trap 'echo caught quit' QUIT; trap 'exit 5' INT; trap 'echo caught stop' TSTP
        echo up; while :; do read line && echo got $line; done";
    fs::write(t.path("script"), script).expect("write a script");
    let mount = format!("{}:/script", t.path("script").display());
    tmux.line(&format!("docker run -it --name s -v {mount} busybox sh /script"));
    tmux.until("\nup\n");
    for (key, said) in [("C-\\", "caught quit"), ("C-z", "caught stop")] {
        tmux.keys(&[key]);
        tmux.until(said);
    }
    tmux.keys(&["C-p", "C-q"]);
    back(&tmux);
    tmux.line("clear; docker attach s");
    tmux.line("word");
    tmux.until("got word");
    tmux.keys(&["C-\\"]);
    tmux.until("caught quit");
    tmux.keys(&["C-c"]);
    back(&tmux);
    assert_eq!(tmux.says("echo $?"), "5");
}

#[test]
fn a_window_that_changed_while_nobody_was_attached_has_its_size_afterwards() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    tmux.line("docker run -it --name s busybox sh");
    at(&tmux, INSIDE);
    tmux.keys(&["C-p", "C-q"]);
    back(&tmux);
    tmux.resize(20, 70);
    tmux.line("clear; docker attach s");
    tmux.line("stty size");
    tmux.until("20 70");
    tmux.keys(&["C-d"]);
    back(&tmux);
}

#[test]
fn an_editor_fills_the_screen_and_writes_its_file() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    let before = modes(&tmux);
    let dir = t.dir("notes");
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    for (how, file) in [
        (format!("docker run --rm -it -v {}:/notes busybox", dir.display()), "one"),
        (format!("docker run --rm -it -v {}:/notes --init busybox", dir.display()), "two"),
        ("docker exec -it c".to_string(), "three"),
    ] {
        let path =
            if file == "three" { "/tmp/three".to_string() } else { format!("/notes/{file}") };
        tmux.line(&format!("clear; {how} vi {path}"));
        // Lines behind the end of the file.
        tmux.until("\n~\n~\n");
        tmux.keys(&["i"]);
        tmux.until(&format!("I {path}"));
        tmux.line("written by hand");
        tmux.line("with Ü and 漢");
        tmux.keys(&["Up", "Up", "Home"]);
        tmux.keys(&["Escape"]);
        tmux.until(&format!("- {path}"));
        tmux.line("dd:x");
        back(&tmux);
        assert_eq!(tmux.says("echo $?"), "0");
        assert_eq!(modes(&tmux), before);
        let text = match file {
            "three" => t.says(["exec", "c", "cat", "/tmp/three"]),
            _ => fs::read_to_string(dir.join(file)).expect("the file").trim_end().to_string(),
        };
        assert_eq!(text, "with Ü and 漢", "{how}");
    }
}

/// A program that does what it is told, and asks the terminal nothing that it would have to answer.
const READER: &str = "sh -c 'echo up; while read line; do eval \"$line\"; done'";

/// The processes whose command line is this command of ours.
fn clients(words: &[&str]) -> Vec<Pid> {
    let is_one = |pid: &Pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let of_ours: Vec<&str> = text.split('\0').skip(1).collect();
        of_ours.starts_with(words)
    };
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    pids.filter_map(Pid::from_raw).filter(is_one).collect()
}

#[track_caller]
fn client(words: &[&str]) -> Pid {
    let found = clients(words);
    assert_eq!(found.len(), 1, "{words:?}");
    found[0]
}

fn signal(pid: Pid, signal: Signal) {
    coracle::sys::signal::kill(pid, signal).expect("send a signal");
}

#[test]
fn a_client_killed_leaves_a_terminal_one_can_work_at_and_the_container() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    let before = modes(&tmux);
    tmux.line(&format!("docker run -it --name s busybox {READER}"));
    tmux.until("\nup");
    signal(client(&["run", "-it"]), Signal::KILL);
    tmux.until("Killed");
    back(&tmux);
    // The shell tidies up behind one that died, as it does for any program.
    assert_eq!(modes(&tmux), before);
    assert_eq!(t.status("s"), "running");
    tmux.line("clear; docker attach s");
    tmux.line("echo $((6*7))");
    tmux.until("\n42\n");
    // Asked to end, it tidies up itself.
    signal(client(&["attach", "s"]), Signal::TERM);
    back(&tmux);
    assert_eq!(modes(&tmux), before);
    assert_eq!(t.status("s"), "running");
}

#[test]
fn a_client_that_was_stopped_goes_on_where_it_was() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    let before = modes(&tmux);
    // In a terminal of its own, ctrl-z is the program's; somebody else stops the client.
    tmux.line(&format!("docker run -it --name s busybox {READER}"));
    tmux.until("\nup");
    signal(client(&["run", "-it"]), Signal::STOP);
    tmux.until("Stopped");
    back(&tmux);
    tmux.resize(30, 90);
    tmux.line("clear; fg");
    tmux.until("docker run");
    let client = client(&["run", "-it"]);
    eventually("the terminal to be raw again", || {
        let flag = format!("stty -a < /proc/{client}/fd/0");
        let output = std::process::Command::new("sh").args(["-c", &flag]).output();
        String::from_utf8_lossy(&output.expect("run stty").stdout).contains("-icanon")
    });
    tmux.line("clear; stty size; echo $((6*7))");
    tmux.until("30 90\n42\n");
    tmux.keys(&["C-p", "C-q"]);
    back(&tmux);
    assert_eq!(modes(&tmux), before);
}

#[test]
fn a_client_is_a_job_of_its_shell_like_any_other() {
    let t = test!(busybox);
    let Some(tmux) = Tmux::start(&t) else { return };
    // It is told when the client goes on.
    let script = "trap 'echo bye; exit 5' INT; trap 'n=x$n; echo on $n' CONT; echo up; while :; do sleep 1000 & wait $!; done";
    fs::write(t.path("script"), script).expect("write a script");
    let mount = format!("{}:/script", t.path("script").display());
    tmux.line(&format!("clear; docker run --rm --name s -v {mount} busybox sh /script"));
    tmux.until_so("line of the program", |screen| screen.lines().any(|line| line == "up"));
    tmux.keys(&["C-z"]);
    tmux.until("Stopped");
    assert_eq!(t.status("s"), "running");
    tmux.line("bg; jobs");
    tmux.until("Running");
    tmux.until("on x");
    tmux.line("fg");
    let client = client(&["run", "--rm"]);
    eventually("the client to be in front", || {
        let stat = fs::read_to_string(format!("/proc/{client}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        // Its process group, and that of the terminal's foreground.
        fields.len() > 5 && fields[2] == fields[5]
    });
    tmux.keys(&["C-c"]);
    tmux.until("bye");
    back(&tmux);
    assert_eq!(tmux.says("echo $?"), "5");

    // In the background from the start; `wait` has its code.
    tmux.line("clear; docker run --rm busybox sh -c 'echo out; exit 7' & wait $!; echo co''de=$?");
    tmux.until("\nout\n");
    tmux.until("code=7");

    // One that wants the terminal in the background waits until it is its turn.
    tmux.line("clear; docker run -it --name t busybox sh &");
    let state = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    eventually("the client to wait", || {
        clients(&["run", "-it"]).iter().any(|pid| state(pid).contains(") T "))
    });
    tmux.line("clear; fg");
    tmux.keys(&["Enter"]);
    at(&tmux, INSIDE);
    tmux.line("echo $((6*7)); exit 3");
    tmux.until("\n42\n");
    back(&tmux);
    assert_eq!(tmux.says("echo $?"), "3");
    eventually("both to be down", || t.says(["ps", "-q"]).is_empty());
}
