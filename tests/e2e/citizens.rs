//! coracle among other programs: in pipes, under a service manager, with a caller that dies.

use crate::common::{LIMIT, Test, image, kill};
use crate::test;
use coracle::sys::notify::{NotifySocket, Sender};
use coracle::sys::poll;
use std::os::fd::AsFd;

/// Waits for what the service manager is told: the text, and who says it.
fn told(manager: &NotifySocket) -> (String, Sender) {
    assert!(poll::readable(manager.as_fd(), Some(LIMIT)).expect("poll"), "nothing is told");
    let mut buffer = [0; 4096];
    let (length, sender) = manager.receive(&mut buffer).expect("receive").expect("a message");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), sender)
}

fn is_silent(manager: &NotifySocket) -> bool {
    manager.receive(&mut [0; 16]).expect("receive").is_none()
}

/// An image with a program that tells its service manager what it is told on its stdin, a message
/// a line, `|` for a newline.
fn with_teller(t: &Test) -> bool {
    let Some(root) = image::with_programs(&[("bin/perl", "/usr/bin/perl")]) else { return false };
    t.coracle(["import", "-", "teller"]).stdin(root.tar()).ok();
    true
}

const TELL: &str = r#"
    socket(S, 1, 2, 0) or die;
    $| = 1;
    print "begun\n";
    while (<STDIN>) {
        chomp;
        tr/|/\n/;
        send(S, $_, 0, pack("Sa*", 1, $ENV{NOTIFY_SOCKET})) or die "$!";
        print "told\n";
    }
"#;

#[test]
fn a_container_that_ends_well_is_committed() {
    let t = test!(busybox);
    // As people did it in 2014.
    let line = "sh -c 'echo test | \"$@\" -commit test:bla -i -rm busybox sh -c \"cat && echo bla && echo new >/new && exit 0\"' sh \"$@\"";
    t.coracle(["run"]).by(line).stdout("test\nbla\n").ok();
    assert_eq!(t.containers().len(), 0);
    t.coracle(["run", "--rm", "test:bla", "cat", "/new"]).stdout("new\n").ok();
    // Without --rm the container stays.
    t.coracle(["run", "--name", "stays", "--commit", "kept", "busybox", "true"]).ok();
    assert_eq!((t.containers().len(), t.status("stays")), (1, "exited".to_string()));
    t.coracle(["rm", "stays"]).ok();

    for (code, command) in [(3, &["sh", "-c", "exit 3"][..]), (127, &["nosuch"])] {
        let line = [&["run", "--rm", "--commit", "test:no", "busybox"], command].concat();
        t.coracle(line).code(code).any_stderr().ok();
        assert_eq!(t.containers().len(), 0);
    }
    t.coracle(["inspect", "test:no"]).code(1).any_stderr().stdout("[]\n").ok();
    for (options, told) in [
        (&["-d", "--commit", "x"][..], "--commit and --detach exclude each other"),
        (&["--restart", "always", "--commit", "x"], "--commit and --restart always exclude"),
        (&["--commit", "A:b:c"], "--commit: "),
    ] {
        let line = [&["run"], options, &["busybox", "true"]].concat();
        t.coracle(line).code(125).stderr_has(told).ok();
    }
    assert_eq!(t.containers().len(), 0);
}

#[test]
fn a_commit_that_fails_keeps_the_container_and_so_does_the_death_of_the_caller() {
    let t = test!(busybox);
    let script = "echo work >/work; touch /.wh.x";
    let line = ["run", "--rm", "--name", "a", "--commit", "made", "busybox", "sh", "-c", script];
    t.coracle(line).code(125).stderr_has(".wh.x").stderr_has("coracle commit").ok();
    assert_eq!(t.status("a"), "exited");
    t.coracle(["cp", "a:/work", "-"]).stdout_has("work").ok();
    t.coracle(["rm", "a"]).ok();

    let script = "echo work >/work; echo ready; cat";
    let line =
        ["run", "-i", "--rm", "--name", "b", "--commit", "made", "busybox", "sh", "-c", script];
    let mut run = t.coracle(line).spawn();
    run.line_with("ready");
    kill(run.pid());
    t.coracle(["wait", "b"]).stdout("0\n").ok();
    t.coracle(["inspect", "made"]).code(1).any_stderr().stdout("[]\n").ok();
    t.coracle(["commit", "b", "made"]).ok();
    t.coracle(["run", "--rm", "made", "cat", "/work"]).stdout("work\n").ok();
}

#[test]
fn a_service_in_the_foreground_says_itself_that_it_is_ready() {
    let t = test!();
    if !with_teller(&t) {
        return;
    }
    let manager = NotifySocket::new().expect("a socket");
    let create = ["create", "-i", "-u", "app", "--read-only", "--name", "c", "teller"];
    t.coracle([&create[..], &["perl", "-e", TELL]].concat()).ok();
    // As a unit does it: Type=notify, ExecStart=coracle start -a -i c
    let start = ["start", "-a", "-i", "c"];
    let mut service = t.coracle(start).env("NOTIFY_SOCKET", &manager.address()).spawn();
    service.line_with("begun");
    service.write("MAINPID=1\nMAINPID=7|READY=1|STATUS=up\n");
    // The manager believes its main process alone, which is the one that it started.
    let (text, sender) = told(&manager);
    assert_eq!((text.as_str(), sender.pid), ("READY=1\nSTATUS=up", Some(service.pid())));
    service.line_with("told");
    service.line_with("told");
    drop(service);
    t.coracle(["rm", "-f", "c"]).ok();
    assert!(is_silent(&manager));
}

#[test]
fn the_socket_inside_is_there_for_who_waits_and_follows_its_monitor() {
    let t = test!();
    if !with_teller(&t) {
        return;
    }
    let script = r#"
        up() { perl -e 'socket(S,1,2,0);send(S,"STATUS=on",0,pack("Sa*",1,$ENV{NOTIFY_SOCKET}))'; }
        trap 'up; echo sent' USR1
        echo "at $NOTIFY_SOCKET"; while :; do sleep 1 & wait $!; done"#;
    let manager = NotifySocket::new().expect("a socket");
    let line = ["run", "--name", "c", "teller", "sh", "-c", script];
    let mut service = t.coracle(line).env("NOTIFY_SOCKET", &manager.address()).spawn();
    service.line_with("at /dev/notify/socket");
    kill(t.monitor("c"));
    t.coracle(["run", "--rm", "teller", "true"]).ok();
    t.wait_for_logs("c", "at ", 1);
    t.coracle(["kill", "-s", "USR1", "c"]).ok();
    assert_eq!(told(&manager).0, "STATUS=on");
    service.line_with("sent");
    t.coracle(["rm", "-f", "c"]).ok();
    service.wait();

    // Nobody who did not ask for it has a socket, or is told anything.
    let env = |options: &[&str], set: bool| {
        let line = [&["run", "--rm"], options, &["teller", "env"]].concat();
        let address = if set { manager.address() } else { String::new() };
        let run = t.coracle(line).env("NOTIFY_SOCKET", &address).ok();
        run.stdout_text().contains("NOTIFY_SOCKET")
    };
    assert!(env(&[], true));
    assert!(env(&["--sdnotify=container"], true));
    for mode in ["ignore", "conmon"] {
        assert!(!env(&["--sdnotify", mode], true), "{mode}");
    }
    assert!(!env(&[], false));
    assert_eq!(told(&manager).0, "READY=1");
    t.coracle(["run", "-d", "--name", "d", "teller", "sleep", "1000"])
        .env("NOTIFY_SOCKET", &manager.address())
        .ok();
    assert!(is_silent(&manager));
}

#[test]
fn a_service_in_the_background_is_waited_for_where_that_was_asked_for() {
    let t = test!();
    if !with_teller(&t) {
        return;
    }
    let manager = NotifySocket::new().expect("a socket");
    let address = manager.address();
    let up = "perl -e 'socket(S,1,2,0);send(S,$ARGV[0],0,pack(\"Sa*\",1,$ENV{NOTIFY_SOCKET}))'";
    let script = format!("{up} STATUS=soon; {up} READY=1; exec sleep 1000");
    let line = ["run", "-d", "--name", "a", "--sdnotify=container", "teller", "sh", "-c", &script];
    t.coracle(line).env("NOTIFY_SOCKET", &address).ok();
    assert_eq!(told(&manager).0, "STATUS=soon");
    assert_eq!(told(&manager).0, format!("MAINPID={}\nREADY=1", t.monitor("a")));

    let check = ["--health-cmd", "test -e /ok", "--health-interval", "10ms"];
    let script = "echo begun; while ! test -e /go; do :; done; touch /ok; exec sleep 1000";
    let line = [
        &["create", "--name", "b", "--sdnotify=healthy"],
        &check[..],
        &["teller", "sh", "-c", script],
    ];
    t.coracle(line.concat()).ok();
    let mut start = t.coracle(["start", "b"]).env("NOTIFY_SOCKET", &address).spawn();
    t.wait_for_logs("b", "begun", 1);
    assert!(is_silent(&manager));
    t.coracle(["exec", "b", "touch", "/go"]).ok();
    assert_eq!(told(&manager).0, format!("MAINPID={}\nREADY=1", t.monitor("b")));
    assert_eq!(start.wait(), 0);

    let line = ["run", "-d", "--name", "c", "--sdnotify=conmon", "teller", "sleep", "1000"];
    t.coracle(line).env("NOTIFY_SOCKET", &address).ok();
    assert_eq!(told(&manager).0, format!("MAINPID={}\nREADY=1", t.monitor("c")));

    t.coracle(["run", "-d", "--name", "d", "--sdnotify=container", "teller", "true"])
        .env("NOTIFY_SOCKET", &address)
        .code(125)
        .stderr_has("container d ended before it was ready")
        .ok();
    assert!(is_silent(&manager));
}

#[test]
fn nobody_attaches_to_what_is_down_and_nobody_detaches_from_exec() {
    let t = test!(busybox);
    t.coracle(["create", "--name", "c", "busybox", "sleep", "1000"]).ok();
    t.coracle(["attach", "c"])
        .code(1)
        .stderr("coracle: container c is not running\nhint: start it: coracle start c\n")
        .ok();
    t.coracle(["start", "c"]).ok();
    t.coracle(["exec", "--detach-keys", "ctrl-x", "c", "true"])
        .code(125)
        .stderr_has("--detach-keys")
        .stderr_has("a program of exec ends with its client")
        .ok();
}
