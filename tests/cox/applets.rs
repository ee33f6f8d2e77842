//! supervise, sv, s6-svstat and s6-svwait: ours beside those of runit and s6 in the same state; and
//! what Debian's s6 finds in our trees besides status and control.

use crate::harness::{Cox, Tree, applet, cox_binary, finish, have, namespace, until};
use coracle::sys::fifo;
use std::process::Command;

const SLEEPS: &str = "echo start >$E; exec sleep 10000";

#[test]
fn supervise_is_over_once_it_is_told_to_forget_its_service() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start; exec sleep 10000");
    tree.script("web/log/run", "while read line; do echo logged $line >$E; done; echo end >$E");
    let dir = tree.service("web");
    let cox = Cox::start(namespace().arg(cox_binary()).args(["supervise", &dir]));
    tree.expect("logged start");
    // There can be only one.
    let (code, _, text) = applet(&["supervise", &dir]);
    let taken = format!("supervise: {dir}/supervise: already supervised by another process\n");
    assert_eq!((code, text), (111, taken));
    applet(&["svc", "-t", &dir]);
    tree.expect("logged start");
    assert_eq!(applet(&["svc", "-x", &dir]).0, 0);
    tree.expect("end");
    assert_eq!(cox.wait(), (0, String::new()));
    let (code, _, text) = applet(&["supervise", &tree.service("none")]);
    assert_eq!(code, 111);
    assert!(text.contains("none: no such file or directory"), "{text}");
}

#[test]
fn s6_waits_for_what_happens_in_our_trees() {
    if !have("s6-svc") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", SLEEPS);
    tree.script("web/finish", "test -e hold || exit 0; echo finish >$E; read line <hold; exit 125");
    let dir = tree.service("web");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let run = |words: &str| {
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        finish(command.args(words).arg(&dir)).0
    };
    assert_eq!(run("s6-svwait -u -t 30000"), 0);
    assert_eq!(run("s6-svc -wD -T 30000 -d"), 0);
    assert_eq!(run("s6-svwait -D -t 30000"), 0);
    assert_eq!(run("s6-svc -wu -T 30000 -u"), 0);
    assert_eq!(run("s6-svc -wd -T 30000 -d"), 0);
    assert_eq!(run("s6-svc -wu -T 30000 -u"), 0);
    assert_eq!(run("s6-svwait -d -t 1000"), 99);
    // Ready once it says so.
    tree.script("web/run", "echo start >$E; read line <go; echo >&3; exec sleep 10000");
    tree.file("web/notification-fd", "3\n");
    let go = tree.services().join("web/go");
    fifo::make(&go, 0o600).unwrap();
    assert_eq!(run("s6-svc -wD -T 30000 -d"), 0);
    assert_eq!(run("s6-svc -wu -T 30000 -u"), 0);
    assert_eq!(run("s6-svwait -U -t 1000"), 99);
    std::fs::write(&go, "go\n").unwrap();
    assert_eq!(run("s6-svwait -U -t 30000"), 0);
    // It is given up: whoever waits for it to be up again is told.
    let hold = tree.services().join("web/hold");
    fifo::make(&hold, 0o600).unwrap();
    assert_eq!(run("s6-svc -t"), 0);
    tree.after("finish");
    let mut waits = Command::new("s6-svwait");
    let mut waits = waits.args(["-u", "-t", "30000", &dir]).spawn().unwrap();
    let listeners = tree.services().join("web/event");
    while !std::fs::read_dir(&listeners)
        .unwrap()
        .flatten()
        .any(|file| file.file_name().to_string_lossy().starts_with("ftrig1:"))
    {
        assert_eq!(waits.try_wait().unwrap(), None);
    }
    std::fs::write(&hold, "end\n").unwrap();
    assert_eq!(waits.wait().unwrap().code(), Some(1));
    assert_eq!(run("s6-svstat -u"), 0);
    assert_eq!(cox.stop().0, 0);
    assert_eq!(run("s6-svstat -u"), 1);
}

#[test]
fn s6_counts_the_deaths_in_our_trees() {
    if !have("s6-svdt") || !have("s6-permafailon") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; test -e crash && exit 3; exec sleep 10000");
    tree.script("web/finish", "exec s6-permafailon 60 3 1-9,SIGSEGV true");
    tree.file("web/max-death-tally", "4\n");
    let dir = tree.service("web");
    let mut cox = tree.supervise(&[]);
    tree.expect("start");
    for letter in ["-t", "-k", "-k"] {
        applet(&["svc", letter, &dir]);
        tree.expect("start");
    }
    let ends = || {
        let (code, text, _) = finish(Command::new("s6-svdt").arg(&dir));
        assert_eq!(code, 0);
        let ends: Vec<String> =
            text.lines().map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
        ends
    };
    assert_eq!(ends(), ["signal SIGTERM", "signal SIGKILL", "signal SIGKILL"]);
    // Of those it does not mind; the third of the others is the last.
    std::fs::write(tree.services().join("web/crash"), "").unwrap();
    applet(&["svc", "-k", &dir]);
    let line = cox.stderr.after("s6-permafailon: info: PERMANENT FAILURE triggered after 3 events");
    assert!(line.starts_with("involving exit code 3"), "{line}");
    cox.stderr.after("cox: web: stays down");
    assert_eq!(ends(), ["signal SIGKILL", "exitcode 3", "exitcode 3", "exitcode 3"]);
    assert_eq!(cox.stop().0, 0);
}

/// Numbers that differ from time to time become N: pids, seconds, labels.
fn blur(text: &str) -> String {
    let mut blurred = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(number.len());
        let end = if before.ends_with('@') {
            end
        } else {
            number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len())
        };
        let (digits, after) = number.split_at(end);
        let varies = before.ends_with("(pid ")
            || before.ends_with('@')
            || after.starts_with(" seconds")
            || after.starts_with('s');
        blurred.push_str(before);
        blurred.push_str(if varies { "N" } else { digits });
        rest = after;
    }
    blurred + rest
}

/// A tool: ours or Debian's.
fn tool(ours: bool, name: &str) -> Command {
    if !ours {
        return Command::new(name);
    }
    let mut command = Command::new(cox_binary());
    command.arg(name);
    command
}

/// What a tool answers on one service, with its exit code.
fn answer(ours: bool, words: &str, dir: &str) -> String {
    let mut words = words.split(' ');
    let mut command = tool(ours, words.next().unwrap());
    let (code, out, _) = finish(command.args(words).arg(dir));
    format!("{code} {}", blur(&out).replace(dir, "DIR"))
}

/// Tells the same story with both tools under both supervisors, `peer` being the other one; each
/// word of it gets the same answer.
fn same_answers(peer: &str, files: &dyn Fn(&Tree), story: &[&str]) {
    let mut told = Vec::new();
    for (ours, cox) in [(false, false), (true, false), (true, true), (false, true)] {
        let mut tree = Tree::new();
        files(&tree);
        let dir = tree.service("web");
        let supervisor =
            if cox { tree.supervise(&[]) } else { Cox::start(namespace().args([peer, &dir])) };
        tree.after("start");
        if peer == "runsv" {
            // After a run of less than a second runsv waits a second, and its sv takes that for
            // more than one thing.
            until(|| {
                let (_, out, _) = finish(tool(true, "svstat").arg(&dir));
                let young = [" 0 seconds", " 1 seconds"].iter().any(|age| out.contains(age));
                out.contains(": up (pid ") && !young
            });
        }
        let answers: Vec<String> =
            story.iter().map(|words| format!("{words}: {}", answer(ours, words, &dir))).collect();
        told.push(((ours, cox), answers));
        drop(supervisor);
    }
    let (_, expected) = &told[0];
    for (way, answers) in &told[1..] {
        assert_eq!(answers, expected, "ours, and under cox: {way:?}");
    }
}

#[test]
fn sv_answers_as_runits_does() {
    if !have("sv") {
        return;
    }
    // runit's takes one that waits a second for its next start for one that was stopped: so here
    // nothing ends that is to be stopped next.
    let files = |tree: &Tree| {
        tree.script("web/run", &format!("trap '' HUP; {SLEEPS}"));
        tree.script("web/check", "echo unseen; test -x run");
    };
    same_answers(
        "runsv",
        &files,
        &[
            "sv -v up",
            "sv status",
            "sv s",
            "sv check",
            "sv -v pause",
            "sv status",
            "sv -v cont",
            "sv restart",
            "sv status",
            "sv reload",
            "sv stop",
            "sv status",
            "sv check",
            "sv stop",
            "sv try-restart",
            "sv start",
            "sv start",
            "sv -v down",
            "sv -v force-reload",
        ],
    );
}

#[test]
fn sv_gives_up_waiting_as_runits_does() {
    if !have("sv") {
        return;
    }
    let deaf = |tree: &Tree| {
        tree.script("web/run", "trap '' TERM; echo start >$E; exec sleep 10000");
        tree.script("web/log/run", "exec cat");
        tree.script("web/check", "test -e ready");
    };
    let story = ["sv -w 1 start", "sv check", "sv -w 1 stop", "sv -w 1 force-stop"];
    // Nobody waits for seven seconds here.
    let story = story.map(|words| if words == "sv check" { "sv -w 1 check" } else { words });
    same_answers("runsv", &deaf, &story);
}

#[test]
fn sv_says_of_what_is_not_supervised_what_runits_says() {
    if !have("sv") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", SLEEPS);
    tree.script("web/log/run", "exec cat");
    let (web, none) = (tree.service("web"), tree.service("none"));
    let both = |words: &[&str]| {
        let answers = [true, false].map(|ours| finish(tool(ours, "sv").args(words)));
        let [(code, out, _), theirs] = &answers;
        assert_eq!((code, out), (&theirs.0, &theirs.1), "{words:?}");
        (*code, out.clone())
    };
    let missing = "unable to open supervise/ok: file does not exist";
    let line = format!("warning: {web}: {missing}\n");
    for word in ["status", "up", "stop", "exit", "check"] {
        assert_eq!(both(&[word, &web]), (1, line.clone()));
    }
    assert_eq!(both(&["status", &web, &none, &web]).0, 3);
    assert_eq!(both(&["up", &none]).0, 1);
    assert_eq!(both(&["status"]).0, 100);
    assert_eq!(both(&["nonsense", &web]).0, 100);
    assert_eq!(both(&["-w"]).0, 100);
    let cox = tree.supervise(&[]);
    tree.expect("start");
    assert_eq!(both(&["-v", "up", &web, &none]).0, 1);
    // Dead, and its directory still there.
    assert_eq!(cox.stop().0, 0);
    for (word, code) in [("status", 1), ("up", 1), ("exit", 0), ("shutdown", 0)] {
        assert_eq!(both(&[word, &web]).0, code);
    }
}

#[test]
fn a_link_to_sv_is_an_init_script() {
    if !have("sv") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", SLEEPS);
    let link = |dir: &str, name: &str, target: &std::path::Path| {
        std::fs::create_dir_all(tree.dir.join(dir)).unwrap();
        let link = tree.dir.join(dir).join(name);
        std::os::unix::fs::symlink(target, &link).unwrap();
        link
    };
    let ours = link("bin", "sv", &cox_binary());
    let scripts = [link("ours", "web", &ours), link("theirs", "web", "/usr/bin/sv".as_ref())];
    let services = tree.services();
    let both = |word: &str| {
        let run = |script| finish(Command::new(script).arg(word).env("SVDIR", &services));
        let [ours, theirs] = scripts.each_ref().map(run);
        assert_eq!((ours.0, blur(&ours.1)), (theirs.0, blur(&theirs.1)), "{word}");
        ours.0
    };
    assert_eq!(both("status"), 4);
    let cox = tree.supervise(&[]);
    tree.expect("start");
    assert_eq!(both("start"), 0);
    assert_eq!(both("status"), 0);
    assert_eq!(both("stop"), 0);
    assert_eq!(both("status"), 3);
    assert_eq!(both("s"), 2);
    assert_eq!(both("start"), 0);
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn sv_finds_services_by_their_names_and_exit_begins_anew_what_is_still_there() {
    let mut tree = Tree::new();
    tree.script("web/run", SLEEPS);
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let sv =
        |word: &str| finish(tool(true, "sv").args([word, "web"]).env("SVDIR", tree.services()));
    let (code, text, _) = sv("start");
    assert_eq!((code, blur(&text)), (0, "ok: run: web: (pid N) Ns\n".into()));
    // Seen before it begins anew, or after that.
    let (code, text, _) = sv("shutdown");
    let seen = ["ok: web: runsv not running\n", "ok: run: web: (pid N) Ns\n"];
    assert!(code == 0 && seen.contains(&blur(&text).as_str()), "{text}");
    tree.expect("start");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn s6_svstat_answers_as_s6s_does() {
    if !have("s6-supervise") {
        return;
    }
    let files = |tree: &Tree| {
        tree.script(
            "web/run",
            "echo start >$E; test -e crash && exit 3; echo >&3; exec sleep 10000",
        );
        tree.file("web/notification-fd", "3");
    };
    let fields = "s6-svstat -o up,wantedup,normallyup,ready,paused,exitcode,signal,signum";
    let mut told = Vec::new();
    for (cox, ours) in [(false, false), (false, true), (true, true)] {
        let mut tree = Tree::new();
        files(&tree);
        let dir = tree.service("web");
        let supervisor = match cox {
            true => tree.supervise(&[]),
            false => Cox::start(namespace().args(["s6-supervise", &dir])),
        };
        tree.expect("start");
        let mut answers = Vec::new();
        let mut look = |after: &str| {
            for words in ["s6-svstat", "s6-svstat -n", fields, "s6-svstat -u -wNr -es"] {
                answers.push(format!("{after}: {words}: {}", answer(ours, words, &dir)));
            }
        };
        let done = |words: &str| assert_eq!(answer(false, words, &dir), "0 ", "{words}");
        done("s6-svwait -U -t 30000");
        look("up");
        done("s6-svc -p");
        until(|| answer(ours, "s6-svstat", &dir).contains("paused"));
        look("paused");
        done("s6-svc -wD -T 30000 -d");
        look("down");
        std::fs::write(tree.services().join("web/down"), "").unwrap();
        done("s6-svc -wU -T 30000 -u");
        look("normally down");
        std::fs::write(tree.services().join("web/crash"), "").unwrap();
        done("s6-svc -wD -T 30000 -k -O");
        look("killed");
        done("s6-svc -o");
        // Its finish has ended too.
        until(|| {
            let text = answer(ours, "s6-svstat", &dir);
            text.contains("exitcode 3") && text.contains("ready")
        });
        look("crashed");
        if !cox {
            // The same bytes, the same labels and pid.
            let exact = ["-o", "pid,updownsince,readysince", &dir];
            let [ours, theirs] =
                [true, false].map(|ours| finish(tool(ours, "s6-svstat").args(exact)));
            assert_eq!(ours.1, theirs.1);
        }
        told.push(answers);
        drop(supervisor);
        assert_eq!(answer(ours, "s6-svstat", &dir), "1 ");
    }
    assert_eq!(told[1], told[0]);
    assert_eq!(told[2], told[0]);
    for (words, code) in [("-x", 100), ("-o pid,none", 100), ("", 100)] {
        for ours in [true, false] {
            let words = words.split(' ').filter(|word| !word.is_empty());
            let mut command = tool(ours, "s6-svstat");
            assert_eq!(finish(command.args(words)).0, code);
        }
    }
}

#[test]
fn s6_svwait_wakes_when_it_has_come_to_pass() {
    let mut tree = Tree::new();
    tree.script("web/run", SLEEPS);
    tree.script(
        "web/finish",
        "test -e giveup && exit 125; test -e hold || exit 0; read line <hold",
    );
    tree.script("db/run", SLEEPS);
    let (web, db) = (tree.service("web"), tree.service("db"));
    assert_eq!(applet(&["s6-svwait", &web]).0, 111);
    let cox = tree.supervise(&[]);
    tree.expect("start");
    tree.expect("start");
    let wait = |words: &[&str]| {
        let mut command = tool(true, "s6-svwait");
        let mut child = command.args(["-t", "60000"]).args(words).spawn().unwrap();
        // Asleep, and watching.
        let id = child.id();
        let about =
            |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        let watches = || (3..9).any(|fd| about(&format!("fdinfo/{fd}")).contains("inotify wd"));
        while !(about("stat").contains(") S ") && watches()) {
            assert_eq!(child.try_wait().unwrap(), None);
        }
        child
    };
    let code = |child: &mut std::process::Child| child.wait().unwrap().code().unwrap();
    let svc = |option: &str| assert_eq!(applet(&["svc", option, &web]).0, 0);

    assert_eq!(applet(&["s6-svwait", "-a", "-t", "60000", &web, &db]).0, 0);
    assert_eq!(applet(&["s6-svwait", "-d", "-t", "1", &web]).0, 99);
    let mut waits = wait(&["-r", &web]);
    svc("-t");
    assert_eq!(code(&mut waits), 0);
    let hold = tree.services().join("web/hold");
    fifo::make(&hold, 0o600).unwrap();
    let (mut both, mut any, mut done) =
        (wait(&["-d", &web, &db]), wait(&["-do", &web, &db]), wait(&["-D", &web]));
    svc("-d");
    assert_eq!(code(&mut any), 0);
    assert_eq!(done.try_wait().unwrap(), None);
    std::fs::write(&hold, "end\n").unwrap();
    assert_eq!(code(&mut done), 0);
    assert_eq!(both.try_wait().unwrap(), None);
    applet(&["svc", "-d", &db]);
    assert_eq!(code(&mut both), 0);
    let mut up = wait(&["-u", &web]);
    svc("-u");
    assert_eq!(code(&mut up), 0);
    // What will never be.
    std::fs::write(tree.services().join("web/giveup"), "").unwrap();
    let mut again = wait(&["-r", &web]);
    svc("-t");
    assert_eq!(code(&mut again), 1);
    let mut up = wait(&["-u", &db]);
    assert_eq!(cox.stop().0, 0);
    assert_eq!(code(&mut up), 1);
}
