//! svc, svstat and svok: ours, and those of Debian's daemontools and runit, on our trees.

use crate::harness::{Tree, applet, cox_binary, finish, have, look_for, pid_of, until};
use std::process::Command;

/// A service that tells each signal it can catch.
const TELLS: &str = "for s in HUP ALRM INT QUIT USR1 USR2 TERM CONT; do
    trap \"echo $s >$E\" $s; done
    trap 'echo TERM >$E; exit' TERM
    sleep 10000 & echo start >$E; while :; do wait $!; done";

fn daemontools(name: &str) -> Option<Command> {
    have("svc").then(|| Command::new(name))
}

fn ours(name: &str) -> Command {
    let mut command = Command::new(cox_binary());
    command.arg(name);
    command
}

/// The same story with whichever svc, svstat and svok.
fn story(tool: &dyn Fn(&str) -> Command) {
    let mut tree = Tree::new();
    tree.script("web/run", TELLS);
    let dir = tree.service("web");
    let run = |name: &str, args: &[&str]| finish(tool(name).args(args).arg(&dir));
    let (code, text, _) = run("svstat", &[]);
    assert!(code == 0 && !text.contains("pid"), "{text}");
    assert_eq!(run("svok", &[]).0, 100);
    let cox = tree.supervise(&[]);
    tree.expect("start");
    assert_eq!(run("svok", &[]).0, 0);
    let text = look_for(|| Some(run("svstat", &[]).1).filter(|text| !text.contains(": down")));
    let up = format!("{dir}: up (pid ");
    assert!(text.starts_with(&up) && text.ends_with(" seconds\n"), "{text}");
    for (option, event) in [("-h", "HUP"), ("-a", "ALRM"), ("-i", "INT"), ("-c", "CONT")] {
        assert_eq!(run("svc", &[option]).0, 0);
        tree.expect(event);
    }
    // -t restarts.
    run("svc", &["-t"]);
    tree.expect("TERM");
    tree.expect("start");
    // Paused, as the status tells.
    run("svc", &["-p"]);
    cox.inside("while ! grep -qs '^State:.T' /proc/[0-9]*/status; do :; done");
    assert!(run("svstat", &[]).1.ends_with(" seconds, paused\n"));
    run("svc", &["-c"]);
    tree.expect("CONT");
    // Down is TERM and CONT, and stays so.
    run("svc", &["-d"]);
    tree.after("TERM");
    let text = look_for(|| Some(run("svstat", &[]).1).filter(|text| text.contains(": down")));
    assert!(text.ends_with(" seconds, normally up\n"), "{text}");
    // Once: not again after its end.
    run("svc", &["-o"]);
    tree.after("start");
    run("svc", &["-k"]);
    until(|| run("svstat", &[]).1.contains(": down"));
    run("svc", &["-u"]);
    tree.expect("start");
    assert_eq!(cox.stop().0, 0);
    assert_eq!(run("svok", &[]).0, 100);
}

#[test]
fn our_tools_drive_a_service() {
    story(&ours);
}

#[test]
fn debians_daemontools_drive_a_service() {
    if daemontools("svc").is_some() {
        story(&|name| Command::new(name));
    }
}

#[test]
fn runits_sv_drives_a_service_and_its_logger() {
    if !have("sv") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", TELLS);
    tree.script("web/log/run", "exec cat >/dev/null");
    let dir = tree.service("web");
    let sv = |word: &str| finish(Command::new("sv").args([word, &dir]));
    let cox = tree.supervise(&[]);
    tree.expect("start");
    pid_of(&tree.services().join("web"));
    let (code, text, _) = sv("status");
    let run = format!("run: {dir}: (pid ");
    assert!(code == 0 && text.starts_with(&run) && text.contains("; run: log: (pid "), "{text}");
    for (word, event) in
        [("hup", "HUP"), ("alarm", "ALRM"), ("interrupt", "INT"), ("quit", "QUIT"), ("1", "USR1")]
    {
        assert_eq!(sv(word).0, 0);
        tree.expect(event);
    }
    let (code, text, _) = sv("restart");
    assert!(code == 0 && text.starts_with(&format!("ok: {run}")), "{text}");
    tree.after("start");
    let (code, text, _) = sv("stop");
    assert!(code == 0 && text.starts_with(&format!("ok: down: {dir}: ")), "{text}");
    let (code, text, _) = sv("start");
    assert!(code == 0 && text.starts_with(&format!("ok: {run}")), "{text}");
    assert_eq!(cox.stop().0, 0);
    assert_ne!(sv("status").0, 0);
}

#[test]
fn the_tools_answer_to_their_own_names() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let bin = |name: &str| tree.dir.join(name);
    for name in ["svc", "svstat", "svok", "svscan"] {
        std::os::unix::fs::symlink(cox_binary(), bin(name)).unwrap();
    }
    let web = tree.services().join("web");
    assert_eq!(finish(Command::new(bin("svok")).arg(&web)).0, 100);
    let mut command = crate::harness::namespace();
    let cox = crate::harness::Cox::start(command.arg(bin("svscan")).arg(tree.services()));
    let (svok, svstat) = (bin("svok"), bin("svstat"));
    tree.expect("start");
    assert_eq!(finish(Command::new(svok).arg(&web)).0, 0);
    // The service may speak before cox has written down that it runs.
    until(|| finish(Command::new(&svstat).arg(&web)).1.contains(": up (pid "));
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn what_is_not_supervised_is_named() {
    let tree = Tree::new();
    tree.file("web/x", "");
    let (code, _, text) = applet(&["svc", "-u", &tree.service("web"), &tree.service("none")]);
    assert_eq!(code, 111);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("svc: {}: not supervised", tree.service("web")));
    let none = tree.service("none");
    assert_eq!(lines[1], format!("svc: open {none}: no such file or directory"));
    let web = tree.service("web");
    let (code, text, _) = applet(&["svstat", &web]);
    assert_eq!((code, text), (0, format!("{web}: supervise not running\n")));
    let (code, text, _) = applet(&["svstat", &none]);
    assert_eq!((code, text), (0, format!("{none}: unable to open: no such file or directory\n")));
}

#[test]
fn exit_stops_a_service_that_comes_back_only_because_its_directory_is_there() {
    let mut tree = Tree::new();
    tree.script(
        "web/run",
        "trap 'echo stopped >$E; exit' TERM; echo start >$E; sleep 10000 & wait",
    );
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    applet(&["svc", "-dx", &tree.service("web")]);
    tree.after("stopped");
    tree.expect("start");
}

#[test]
fn s6_svc_drives_a_service() {
    if !have("s6-svc") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", TELLS);
    let dir = tree.service("web");
    let svc = |options: &str| finish(Command::new("s6-svc").args([options, &dir])).0;
    let down = tree.services().join("web/down");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    for (option, event) in [("-h", "HUP"), ("-a", "ALRM"), ("-q", "QUIT"), ("-1", "USR1")] {
        assert_eq!(svc(option), 0);
        tree.expect(event);
    }
    // -r: by its own signal, and up again at once.
    assert_eq!(svc("-r"), 0);
    tree.after("TERM");
    tree.after("start");
    // -D and -U are remembered for the next supervisor.
    assert_eq!(svc("-D"), 0);
    tree.after("TERM");
    until(|| down.exists());
    assert_eq!(svc("-U"), 0);
    tree.after("start");
    assert!(!down.exists());
    // -O: it is not started again.
    assert_eq!(svc("-O"), 0);
    assert_eq!(svc("-k"), 0);
    until(|| applet(&["svstat", &dir]).1.contains(": down"));
    assert_eq!(cox.stop().0, 0);
    // Nobody supervises it any more.
    assert_eq!(svc("-u"), 100);
}
