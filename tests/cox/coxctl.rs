//! coxctl: what it tells, what it does, and what clients of every kind cannot do to cox.

use crate::harness::{LIMIT, Lines, Tree, finish, look_for, namespace, until};
use coracle::types::Signal;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

const WEB: &str = "trap 'echo TERM >$E; exit 0' TERM; trap 'echo HUP >$E' HUP
    echo start >$E; nap; while :; do wait $!; done";

/// A connection of our own, with a request sent.
fn connect(tree: &Tree, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(tree.socket()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn answer(tree: &Tree, request: &str) -> String {
    let mut text = String::new();
    connect(tree, request).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn status_tells_every_service_in_a_table_or_in_json() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    tree.script("idle/run", "");
    tree.file("idle/down", "");
    tree.script("crash/run", "exit 3");
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    let (code, text, error) = tree.ctl(&["status"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let lines: Vec<&str> = text.lines().collect();
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["NAME", "STATE", "PID", "FOR", "RESTARTS", "HEALTH", "NOTE"]);
    assert!(lines[1].starts_with("crash  "), "{text}");
    assert!(lines[2].starts_with("idle   down") && text.contains("starts only when asked to"));
    assert_eq!(words(lines[3])[..2], ["web", "up"]);
    let (_, text, _) = tree.ctl(&["status", "--json", "web", "idle"]);
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&all[0]["name"], &all[0]["state"]), (&"web".into(), &"up".into()));
    assert!(all[0]["pid"].as_u64().unwrap() > 1 && all[0]["ready"] == true);
    assert_eq!((&all[1]["state"], &all[1]["auto"]), (&"down".into(), &false.into()));
    let (code, _, error) = tree.ctl(&["status", "wbe"]);
    assert_eq!((code, error.as_str()), (1, "coxctl: no service wbe, did you mean web?\n"));
}

#[test]
fn a_crash_loop_is_told_with_its_code_and_the_next_start() {
    let tree = Tree::new();
    tree.script("crash/run", "exit 3");
    let mut cox = tree.supervise(&[]);
    (0..3).for_each(|_| drop(cox.stderr.next()));
    // Now and then it runs, for a moment.
    let note =
        look_for(|| Some(tree.ctl(&["why", "crash"]).1).filter(|text| text.contains("is waiting")));
    assert!(note.contains("exited with code 3; start "), "{note}");
    let (code, _, error) = tree.ctl(&["healthy"]);
    assert_eq!(code, 1, "{error}");
    // Asked to start, it says at once that this did not work.
    let (code, out, error) = tree.ctl(&["start", "crash"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.starts_with("coxctl: crash: exited with code 3; start "), "{error}");
}

#[test]
fn start_stop_restart_and_once_answer_when_it_is_done() {
    let mut tree = Tree::new();
    tree.script("web/run", WEB);
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    let done = |text: &str| (0, text.to_string(), String::new());
    assert_eq!(tree.ctl(&["stop", "web"]), done("web: down\n"));
    tree.expect("TERM");
    let (_, text, _) = tree.ctl(&["why", "web"]);
    assert!(text.contains("coxctl asked to stop it"), "{text}");
    assert_eq!(tree.ctl(&["stop", "web"]), done("web: down\n"));
    assert_eq!(tree.ctl(&["start", "web"]), done("web: up\n"));
    tree.expect("start");
    assert_eq!(tree.ctl(&["start", "web"]), done("web: up\n"));
    assert_eq!(tree.ctl(&["restart", "web"]), done("web: up\n"));
    tree.expect("TERM");
    tree.expect("start");
    tree.ctl(&["stop", "web"]);
    tree.expect("TERM");
    assert_eq!(tree.ctl(&["restart", "web"]), done("web: up\n"));
    tree.expect("start");
    tree.ctl(&["stop", "web"]);
    tree.expect("TERM");
    assert_eq!(tree.ctl(&["once", "web"]), done("web: up\n"));
    tree.expect("start");
    assert_eq!(tree.ctl(&["signal", "TERM", "web"]), done(""));
    tree.expect("TERM");
    assert_eq!(tree.ctl(&["wait", "web", "--down"]), done("web: done\n"));
    assert_eq!(tree.ctl(&["start", "--no-wait", "web"]), done(""));
    tree.expect("start");
}

#[test]
fn a_program_that_cannot_be_executed_is_no_success() {
    let tree = Tree::new();
    tree.script("bad/run", "");
    std::fs::write(tree.services().join("bad/run"), "#!/no/such/interpreter\n").unwrap();
    tree.file("bad/down", "");
    let _cox = tree.supervise(&[]);
    until(|| tree.ctl(&["status", "bad"]).0 == 0);
    let (code, out, error) = tree.ctl(&["start", "bad"]);
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(error.starts_with("coxctl: bad: exited with code 127; start "), "{error}");
}

#[test]
fn pause_cont_and_signal_reach_the_process() {
    let mut tree = Tree::new();
    tree.script("web/run", WEB);
    tree.script("idle/run", "");
    tree.file("idle/down", "");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    assert_eq!(tree.ctl(&["pause", "web"]).0, 0);
    cox.inside("while ! grep -qs '^State:.T' /proc/[0-9]*/status; do :; done");
    assert!(tree.ctl(&["status", "web"]).1.contains("paused"));
    assert_eq!(tree.ctl(&["signal", "HUP", "web"]).0, 0);
    assert_eq!(tree.ctl(&["cont", "web"]).0, 0);
    tree.expect("HUP");
    let (code, _, error) = tree.ctl(&["signal", "HUP", "idle"]);
    assert_eq!((code, error.as_str()), (1, "coxctl: idle is down: nothing to signal\n"));
}

#[test]
fn patterns_name_several_services_but_not_their_loggers() {
    let mut tree = Tree::new();
    for name in ["web1", "web2", "db"] {
        tree.script(&format!("{name}/run"), "echo start >$E; exec sleep 10000");
    }
    tree.script("db/log/run", "exec cat >/dev/null");
    let _cox = tree.supervise(&[]);
    (0..3).for_each(|_| tree.expect("start"));
    let (code, text, _) = tree.ctl(&["stop", "web*"]);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!((code, lines), (0, vec!["web1: down", "web2: down"]));
    let (code, text, _) = tree.ctl(&["stop", "all"]);
    assert!(code == 0 && text.contains("db: down") && !text.contains("log"), "{text}");
    assert!(tree.ctl(&["status", "*/log"]).1.contains("db/log  up"));
    let (code, _, error) = tree.ctl(&["stop", "x*"]);
    assert_eq!((code, error.as_str()), (1, "coxctl: no service x*\n"));
}

#[test]
fn healthy_is_for_a_health_check() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    tree.script("idle/run", "");
    tree.file("idle/down", "");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let fine = (0, String::new(), String::new());
    // Whoever speaks may do so before cox has seen that it lives.
    until(|| tree.ctl(&["healthy"]) == fine);
    assert_eq!(tree.ctl(&["healthy", "web"]), fine);
    let (code, _, error) = tree.ctl(&["healthy", "idle"]);
    let words = "coxctl: idle is down: starts only when asked to\n";
    assert_eq!((code, error.as_str()), (1, words));
    drop(cox);
    let (code, _, error) = tree.ctl(&["healthy"]);
    assert!(code == 111 && error.contains("connection refused"), "{error}");
}

#[test]
fn wait_ends_when_it_is_so_or_never_can_be_or_the_time_is_up() {
    let mut tree = Tree::new();
    let go = tree.dir.join("go");
    let script = format!("echo start >$E; read line <{}; echo >&3; exec sleep 1000", go.display());
    tree.script("slow/run", &script);
    tree.file("slow/notification-fd", "3\n");
    coracle::sys::fifo::make(&go, 0o600).unwrap();
    tree.script("fails/run", "exit 3");
    tree.script("fails/finish", "exit 125");
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    let (code, _, error) = tree.ctl(&["wait", "slow", "--timeout", "0.05"]);
    assert_eq!(code, 99, "{error}");
    assert!(error.starts_with("coxctl: it takes too long:\n"), "{error}");
    let (code, _, error) = tree.ctl(&["wait", "fails", "--ready"]);
    assert_eq!(code, 1);
    assert!(error.contains("its finish gave up on it"), "{error}");
    assert_eq!(tree.ctl(&["wait", "fails", "--down"]).0, 0);
    let mut command = tree.client(&["wait", "slow", "--ready"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::fs::write(&go, "\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "slow: up\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(tree.ctl(&["status", "slow"]).1.contains("ready"));
}

#[test]
fn whoever_waits_for_the_blocked_is_told_when_nothing_will_unblock_it() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.db]\ntype = 'oneshot'\ncommand = 'echo db >$E; read end <$E.go; exit 3'\n\
         [service.app]\ncommand = 'exec sleep 1000'\nrequires = ['db']\n\
         [service.web]\ncommand = 'exec sleep 1000'\nrequires = ['app']\n\
         [service.up]\ncommand = 'exec sleep 1000'\n",
    );
    let go = tree.dir.join("events.go");
    coracle::sys::fifo::make(&go, 0o600).unwrap();
    let cox = tree.run_toml(&[]);
    tree.expect("db");
    // Asked while it can still come; answered once it cannot.
    let mut waits = connect(&tree, "wait\tapp\tweb\n");
    assert_eq!(tree.ctl(&["status"]).0, 0);
    std::fs::write(&go, "\n").unwrap();
    let mut text = String::new();
    waits.read_to_string(&mut text).unwrap();
    let app = "!app: requires db, which is failed\n";
    assert_eq!(text, format!("{app}!web: requires app, which is blocked\n=1\n"));
    // One that leaves will not come to an end any more.
    let mut waits = connect(&tree, "wait\tup\t--done\n");
    tree.toml("");
    assert_eq!(tree.ctl(&["reload"]).0, 0);
    text.clear();
    waits.read_to_string(&mut text).unwrap();
    assert_eq!(text, "!up: is gone\n=1\n");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn events_are_told_as_they_happen() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    tree.script("other/run", "echo start >$E; exec sleep 10000");
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    tree.expect("start");
    let mut plain = Lines::new(connect(&tree, "events\tweb\n"));
    let mut json = Lines::new(connect(&tree, "events\t--json\n"));
    // Requests are taken in the order of their connections.
    tree.ctl(&["stop", "all"]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let line = plain.next();
        seen.push(line.split_once("Z ").unwrap().1.to_string());
    }
    assert_eq!(
        seen,
        ["web up -> stopping: to be stopped", "web stopping -> down: ended by SIGTERM"]
    );
    for _ in 0..4 {
        let line = json.next();
        let event: serde_json::Value = serde_json::from_str(&line[1..]).unwrap();
        assert!(["web", "other"].contains(&event["service"].as_str().unwrap()));
        assert!(event["time"].as_str().unwrap().ends_with('Z'));
    }
}

#[test]
fn reload_tells_what_changed() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    assert_eq!(tree.ctl(&["reload"]).1, "nothing changed\n");
    tree.script("new/run", "echo new >$E; exec sleep 10000");
    std::fs::remove_dir_all(tree.services().join("web")).unwrap();
    let (code, text, _) = tree.ctl(&["reload"]);
    // cox may have noticed by itself already.
    let expected = ["new: new", "web: goes", "nothing changed", "1 gone"];
    assert!(code == 0 && text.lines().all(|line| expected.contains(&line)), "{text}");
    tree.expect("new");
}

#[test]
fn a_tree_of_those_who_need_nobody_is_flat() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let _cox = tree.supervise(&[]);
    tree.expect("start");
    until(|| tree.ctl(&["tree"]).1 == "web (up)\n");
}

#[test]
fn dependencies_are_a_tree_and_an_obstacle_has_a_name() {
    let tree = Tree::new();
    tree.toml(
        "[service.migrate]\ntype = 'oneshot'\ncommand = 'true'\n\
         [service.broken]\ntype = 'oneshot'\ncommand = 'exit 3'\n\
         [service.web]\ncommand = 'exec sleep 1000'\nrequires = ['migrate']\n\
         [service.never]\ncommand = 'true'\nrequires = ['broken']\nafter = ['web']\n",
    );
    let mut cox = tree.run_toml(&[]);
    while !tree.socket().exists() {
        // What it says where it goes wrong.
        assert!(cox.stderr.next().starts_with("cox: broken: "));
    }
    let done = |text: &str| (0, text.to_string(), String::new());
    assert_eq!(tree.ctl(&["wait", "migrate", "--done"]), done("migrate: done\n"));
    assert_eq!(tree.ctl(&["wait", "web", "migrate"]).0, 0);
    let (code, _, error) = tree.ctl(&["wait", "broken", "--done"]);
    assert_eq!((code, error.as_str()), (1, "coxctl: broken: exited with code 3\n"));
    // Nor will those ever be ready that require it, whichever way they are asked for.
    for verb in ["wait", "start"] {
        let (code, out, error) = tree.ctl(&["--timeout", "60", verb, "never"]);
        let words = "coxctl: never: requires broken, which is failed\n";
        assert_eq!((code, out.as_str(), error.as_str()), (1, "", words), "{verb}");
    }
    let expected = "never (blocked)\n  after web (up)\n    requires migrate (done)\n  \
                    requires broken (failed)\n";
    assert_eq!(tree.ctl(&["tree"]).1, expected);
    let (_, text, _) = tree.ctl(&["why", "never"]);
    assert!(text.contains("requires broken, which is failed"), "{text}");
    let (code, _, error) = tree.ctl(&["healthy"]);
    let words = "coxctl: broken is failed: exited with code 3\n\
                 coxctl: never is blocked: requires broken, which is failed\n";
    assert_eq!((code, error.as_str()), (1, words));
    // The stop of what is required takes those with it that require it.
    assert_eq!(tree.ctl(&["stop", "migrate"]).0, 0);
    let (_, text, _) = tree.ctl(&["why", "web"]);
    assert!(text.contains("the stop of migrate asked to stop it"), "{text}");
}

#[test]
fn wrong_usage_is_100_and_nobody_there_is_111() {
    let tree = Tree::new();
    for (args, words) in [
        (&["statsu"][..], "coxctl: unknown command \"statsu\", did you mean status?; usage: "),
        (&[], "coxctl: no command; usage: "),
        (&["status", "--timeout", "3"], "coxctl: --timeout is for what waits; usage: "),
        (&["stop", "--timeout", "soon", "web"], "coxctl: \"soon\" is not a number of seconds"),
    ] {
        let (code, _, error) = tree.ctl(args);
        assert_eq!(code, 100);
        assert!(error.starts_with(words), "{error}");
    }
    let (code, _, error) = tree.ctl(&["status"]);
    assert_eq!(code, 111);
    assert!(error.contains("no such file or directory"), "{error}");
}

#[test]
fn the_socket_is_private_replaced_when_stale_and_removed_at_the_end() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let mode = std::fs::metadata(tree.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Killed, it leaves its socket.
    cox.signal(Signal::KILL);
    cox.wait();
    assert!(tree.socket().exists());
    let cox = tree.supervise(&[]);
    tree.expect("start");
    assert_eq!(tree.ctl(&["status"]).0, 0);
    // Another one leaves it to the first.
    let second = Tree::new();
    let mut command = namespace();
    command.arg(crate::harness::cox_binary()).arg(second.services());
    let mut other = crate::harness::Cox::start(command.env("COX_SOCKET", tree.socket()));
    let path = tree.socket();
    assert_eq!(
        other.stderr.next(),
        format!(
            "cox: another cox listens on {}: coxctl reaches that; give --socket",
            path.display()
        )
    );
    assert_eq!(other.stop().0, 0);
    assert!(tree.ctl(&["status"]).1.contains("web"));
    assert_eq!(cox.stop(), (0, String::new()));
    assert!(!tree.socket().exists());
}

#[test]
fn one_command_alone_has_no_socket_unless_asked_for() {
    let tree = Tree::new();
    tree.script("main", "test ! -e $1");
    let main = tree.service("main");
    let socket = tree.socket();
    let mut command = namespace();
    command.env("COX_SOCKET", &socket).arg(crate::harness::cox_binary());
    assert_eq!(finish(command.args(["--", &main]).arg(&socket)).0, 0);
    let mut command = namespace();
    command.arg(crate::harness::cox_binary()).arg("--socket").arg(&socket);
    assert_eq!(finish(command.args(["--", &main]).arg(&socket)).0, 1);
}

#[test]
fn whatever_bytes_arrive_the_answer_is_an_error() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    for request in ["\n", "frobnicate\n", "status\tnone\n", "\0\u{1}\n", "signal\tx\ty\n", "\t\t\n"]
    {
        let text = answer(&tree, request);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with('!'), "{request:?}: {text}");
        assert!(["=100", "=1"].contains(&lines[1]), "{request:?}: {text}");
    }
    // What follows the request is nobody's; without a newline the end of the line is enough.
    assert!(answer(&tree, "healthy\tweb\nmore\n").ends_with("=0\n"));
    let mut stream = connect(&tree, "healthy\tweb");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "=0\n");
    let mut stream = UnixStream::connect(tree.socket()).unwrap();
    // It may hang up in the middle.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(bytes.is_empty() || bytes.starts_with(b"!the request is too long\n"), "{bytes:?}");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn silent_slow_and_dead_clients_hold_up_nobody() {
    let mut tree = Tree::new();
    tree.script("web/run", "trap : TERM; echo start >$E; while :; do sleep 1000 & wait; done");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let silent: Vec<UnixStream> =
        (0..20).map(|_| UnixStream::connect(tree.socket()).unwrap()).collect();
    let streams: Vec<UnixStream> = (0..20).map(|_| connect(&tree, "events\n")).collect();
    // Killed in the middle of a stream, and of waiting.
    for args in [&["events"][..], &["wait", "web", "--down"]] {
        let mut child = tree.client(args).stdout(Stdio::null()).spawn().unwrap();
        tree.ctl(&["status"]);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    drop(streams);
    for _ in 0..3 {
        assert_eq!(tree.ctl(&["restart", "--no-wait", "web"]).0, 0);
    }
    assert_eq!(tree.ctl(&["status"]).0, 0);
    drop(silent);
    drop(cox);
}

#[test]
fn two_hundred_clients_at_once_are_all_answered() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    let mut streams: Vec<UnixStream> = (0..200).map(|_| connect(&tree, "status\tweb\n")).collect();
    for stream in &mut streams {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("=0\n"), "{text}");
    }
    let children: Vec<_> = (0..200)
        .map(|_| tree.client(&["healthy"]).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    // Nothing of them is left: only what cox had before.
    let pid = cox.pid();
    until(|| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() <= 16);
    assert_eq!(cox.stop(), (0, String::new()));
}
