//! cox as supervisord, asked by Debian's supervisorctl.

use crate::harness::{Cox, Lines, Tree, cox_binary, finish, have, look_for, namespace, until};
use coracle::types::Signal;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// A supervisord.conf, and a cox that has it.
struct Supervised {
    tree: Tree,
    cox: Cox,
}

impl Tree {
    /// Writes supervisord.conf with a server on a file and these sections; `$E` in them is the
    /// events FIFO, `$D/` this directory.
    fn supervisord_conf(&self, text: &str) {
        let head = "[supervisord]\nidentifier=test\n\
                    [unix_http_server]\nfile=$D/s.sock\n\
                    [rpcinterface:supervisor]\n\
                    supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
                    [supervisorctl]\nserverurl=unix://$D/s.sock\n";
        let text = format!("{head}{text}").replace("$E", self.dir.join("events").to_str().unwrap());
        let text = text.replace("$D/", &format!("{}/", self.dir.display()));
        fs::write(self.dir.join("supervisord.conf"), text).unwrap();
    }

    /// A shell script of this name in `$D/`, which a program may be.
    fn program(&self, name: &str, text: &str) {
        self.script(&format!("../{name}"), text);
    }

    /// cox with that file, as PID 1, by the name supervisord.
    fn supervisord(&self) -> Cox {
        let conf = self.dir.join("supervisord.conf");
        let mut command = namespace();
        command.arg(cox_binary()).args(["supervisord", "-n", "-c"]).arg(conf);
        Cox::start(&mut command)
    }
}

impl Supervised {
    /// cox with these sections; `None` where Debian's supervisorctl is missing.
    fn new(text: &str) -> Option<Supervised> {
        Supervised::with(Tree::new(), text)
    }

    fn with(tree: Tree, text: &str) -> Option<Supervised> {
        if !have("supervisorctl") {
            return None;
        }
        tree.supervisord_conf(text);
        let cox = tree.supervisord();
        until(|| tree.dir.join("s.sock").exists());
        Some(Supervised { tree, cox })
    }

    /// Debian's supervisorctl.
    fn client(&self, args: &[&str]) -> Command {
        let mut command = Command::new("supervisorctl");
        command.arg("-c").arg(self.tree.dir.join("supervisord.conf")).args(args);
        command
    }

    /// Runs that to its end: its exit code and what it wrote.
    fn ctl(&self, args: &[&str]) -> (i32, String) {
        let (code, out, err) = finish(&mut self.client(args));
        assert_eq!(err, "", "{args:?}: {out}");
        (code, out)
    }

    /// Waits until this is the state of a process.
    #[track_caller]
    fn until(&self, name: &str, state: &str) {
        until(|| self.ctl(&["status", name]).1.split_whitespace().nth(1) == Some(state));
    }
}

const SLEEPS: &str = "[program:web]\ncommand=sleep 10000\n";

#[test]
fn status_start_stop_and_restart_answer_as_supervisors() {
    let text = "[program:web]\ncommand=sleep 10000\n\
                [program:idle]\ncommand=sleep 10000\nautostart=false\n\
                [program:two]\ncommand=sleep 10000\nnumprocs=2\nprocess_name=p_%(process_num)02d\n";
    let Some(s) = Supervised::new(text) else { return };
    for name in ["web", "two:p_00", "two:p_01"] {
        s.until(name, "RUNNING");
    }
    let (code, out) = s.ctl(&["status"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(code, 3, "{out}");
    assert_eq!(lines[0], "idle                             STOPPED   Not started");
    assert!(lines[1].starts_with("two:p_00                         RUNNING   pid "), "{out}");
    assert!(lines[3].contains("web ") && lines[3].contains(", uptime 0:00:0"), "{out}");
    let said = |code: i32, out: &str| (code, out.to_string());
    assert_eq!(s.ctl(&["start", "idle"]), said(0, "idle: started\n"));
    assert_eq!(s.ctl(&["start", "idle"]), said(0, "idle: ERROR (already started)\n"));
    assert_eq!(s.ctl(&["stop", "idle"]), said(0, "idle: stopped\n"));
    assert_eq!(s.ctl(&["stop", "idle"]), said(0, "idle: ERROR (not running)\n"));
    assert_eq!(s.ctl(&["restart", "web"]), said(0, "web: stopped\nweb: started\n"));
    assert_eq!(s.ctl(&["start", "nobody"]), said(1, "nobody: ERROR (no such process)\n"));
    assert_eq!(s.ctl(&["stop", "nobody:*"]), said(1, "nobody: ERROR (no such group)\n"));
    // In the order in which they have stopped, or started.
    let sorted = |args: &[&str]| {
        let (_, out) = s.ctl(args);
        let mut lines: Vec<String> = out.lines().map(String::from).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&["stop", "two:*"]), ["two:p_00: stopped", "two:p_01: stopped"]);
    let all = ["idle: started", "two:p_00: started", "two:p_01: started"];
    assert_eq!(sorted(&["start", "all"]), all);
    let (_, out) = s.ctl(&["stop", "all"]);
    assert_eq!(out.lines().count(), 4, "{out}");
    assert_eq!(s.ctl(&["pid", "web"]).1, "0\n");
    assert_eq!(s.ctl(&["pid"]).1, "1\n");
    assert_eq!(s.ctl(&["version"]).1, "4.2.5\n");
    let (_, out) = s.ctl(&["avail"]);
    assert!(out.contains("idle                             in use    manual    999:999"), "{out}");
}

#[test]
fn one_that_does_not_start_is_tried_again_and_then_fatal() {
    let text = "[program:bad]\ncommand=sh -c 'exit 3'\nstartretries=1\n\
                [program:none]\ncommand=/no/such/program\nstartretries=0\n\
                [program:quick]\ncommand=true\nstartsecs=0\n\
                [program:odd]\ncommand=sh -c 'exit 4'\nstartsecs=0\nautorestart=false\n";
    let Some(s) = Supervised::new(text) else { return };
    s.until("bad", "FATAL");
    s.until("none", "FATAL");
    s.until("quick", "EXITED");
    s.until("odd", "EXITED");
    let (_, out) = s.ctl(&["status"]);
    let bad = "bad                              FATAL     Exited too quickly (process log may have details)";
    let none = "none                             FATAL     can't find command '/no/such/program'";
    assert!(out.contains(bad) && out.contains(none), "{out}");
    let said = |code: i32, out: &str| (code, out.to_string());
    assert_eq!(s.ctl(&["start", "none"]), said(1, "none: ERROR (no such file)\n"));
    assert_eq!(s.ctl(&["start", "bad"]), said(7, "bad: ERROR (spawn error)\n"));
    assert_eq!(s.ctl(&["stop", "bad"]), said(0, "bad: stopped\n"));
}

#[test]
fn a_fatal_may_end_the_container() {
    let tree = Tree::new();
    tree.supervisord_conf(
        "[program:bad]\ncommand=sh -c 'exit 3'\nstartretries=0\nexit_on_fatal=true\n\
         [program:web]\ncommand=sleep 10000\n",
    );
    let (code, said) = tree.supervisord().wait();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("bad: stays down: it ended too often before it had started"), "{said}");
}

#[test]
fn a_program_knows_who_it_is() {
    let mut tree = Tree::new();
    let shows = "echo $SUPERVISOR_ENABLED $SUPERVISOR_GROUP_NAME:$SUPERVISOR_PROCESS_NAME $A >$E\n\
                 echo $SUPERVISOR_SERVER_URL >$E; exec sleep 10000";
    tree.program("show", shows);
    tree.supervisord_conf(
        "[program:x]\ncommand=$D/show\nenvironment=A=\"1,2\"\n[group:g]\nprograms=x\n",
    );
    let _cox = tree.supervisord();
    tree.expect("1 g:x 1,2");
    let url = format!("unix://{}/s.sock", tree.dir.display());
    tree.expect(&url);
}

#[test]
fn an_end_is_judged_by_its_exit_code() {
    let tree = Tree::new();
    tree.program("run", "echo $1 >$E; read line; exit $line");
    let text = "[program:x]\ncommand=$D/run x\nexitcodes=2\nstartsecs=0\n";
    let Some(mut s) = Supervised::with(tree, text) else { return };
    s.tree.expect("x");
    let send = |s: &Supervised, line: &str| {
        let mut fg = s.client(&["fg", "x"]);
        let mut fg = fg.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        fg.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        fg.wait().unwrap();
    };
    send(&s, "1\n");
    s.tree.expect("x");
    send(&s, "2\n");
    s.until("x", "EXITED");
    assert_eq!(s.ctl(&["status", "x"]).0, 3);
}

#[test]
fn signals_reach_the_process_and_a_stop_by_priority_ends_all() {
    let tree = Tree::new();
    let run = "trap 'echo $1 HUP >$E' HUP; trap 'echo $1 TERM >$E; exit' TERM\n\
               nap; echo $1 start >$E; while :; do wait $!; done";
    tree.program("run", run);
    let text =
        "[program:a]\ncommand=$D/run a\npriority=1\n[program:b]\ncommand=$D/run b\npriority=2\n";
    let Some(mut s) = Supervised::with(tree, text) else { return };
    s.tree.expect_all(["a start", "b start"]);
    assert_eq!(s.ctl(&["signal", "HUP", "a"]), (0, "a: signalled\n".to_string()));
    s.tree.expect("a HUP");
    assert_eq!(s.ctl(&["signal", "NO", "a"]), (1, "a: ERROR (bad signal name)\n".to_string()));
    assert_eq!(s.ctl(&["shutdown"]).1, "Shut down\n");
    s.tree.expect("b TERM");
    s.tree.expect("a TERM");
    assert_eq!(s.cox.wait().0, 0);
}

#[test]
fn reread_update_add_and_remove_follow_the_file() {
    let Some(s) = Supervised::new(SLEEPS) else { return };
    s.until("web", "RUNNING");
    assert_eq!(s.ctl(&["reread"]).1, "No config updates to processes\n");
    s.tree.supervisord_conf("[program:new]\ncommand=sleep 10000\n");
    assert_eq!(s.ctl(&["reread"]).1, "new: available\nweb: disappeared\n");
    assert_eq!(s.ctl(&["add", "new"]).1, "new: added process group\n");
    assert_eq!(s.ctl(&["add", "new"]).1, "ERROR: process group already active\n");
    assert_eq!(s.ctl(&["remove", "web"]).1, "ERROR: process/group still running: web\n");
    s.until("new", "RUNNING");
    assert_eq!(s.ctl(&["update"]).1, "web: stopped\nweb: removed process group\n");
    s.tree.supervisord_conf("[program:new]\ncommand=sleep 20000\n");
    assert_eq!(s.ctl(&["update"]).1, "new: stopped\nnew: updated process group\n");
    s.until("new", "RUNNING");
    assert_eq!(s.ctl(&["status"]).1.lines().count(), 1);
    s.tree.supervisord_conf("[program:new]\ncommand=sleep 20000\nstartsecs=soon\n");
    let (_, out) = s.ctl(&["reread"]);
    assert!(out.starts_with("ERROR: CANT_REREAD: ") && out.contains("startsecs"), "{out}");
    s.until("new", "RUNNING");
}

#[test]
fn logs_are_shown_followed_and_cleared() {
    let tree = Tree::new();
    tree.program(
        "run",
        "echo one; echo two >&2; echo start >$E; while read l; do echo \"$l\"; done",
    );
    let text = "[program:x]\ncommand=$D/run\nstdout_logfile=$D/x.log\nstderr_logfile=$D/x.err\n";
    let Some(mut s) = Supervised::with(tree, text) else { return };
    s.tree.expect("start");
    until(|| {
        s.ctl(&["tail", "x"]).1 == "one\n\n" && s.ctl(&["tail", "x", "stderr"]).1 == "two\n\n"
    });
    assert_eq!(s.ctl(&["tail", "-2", "x"]).1, "e\n\n");
    let mut follow = s.client(&["tail", "-f", "x"]);
    let mut follow = follow.env("PYTHONUNBUFFERED", "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Lines::new(follow.stdout.take().unwrap());
    assert_eq!(lines.next(), "==> Press Ctrl-C to exit <==");
    assert_eq!(lines.next(), "one");
    s.until("x", "RUNNING");
    let mut fg = s.client(&["fg", "x"]);
    let mut fg = fg.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    fg.stdin.take().unwrap().write_all(b"three\n").unwrap();
    fg.wait().unwrap();
    assert_eq!(lines.next(), "three");
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert_eq!(s.ctl(&["clear", "x"]).1, "x: cleared\n");
    assert_eq!(s.ctl(&["tail", "x"]).1, "\n");
}

#[test]
fn a_port_asks_for_name_and_password() {
    let text = "[inet_http_server]\nport=127.0.0.1:19001\nusername=me\npassword={SHA}906072001efddf3e11e6d2b5782f4777fe038739\n\
                [program:web]\ncommand=sleep 10000\n";
    let tree = Tree::new();
    if !have("supervisorctl") {
        return;
    }
    tree.supervisord_conf(text);
    let _cox = tree.supervisord();
    let ctl = |args: &[&str]| {
        let mut command = Command::new("supervisorctl");
        command.args(["-s", "http://127.0.0.1:19001"]).args(args).arg("status").current_dir("/");
        finish(&mut command)
    };
    let (_, out, _) = look_for(|| Some(ctl(&[])).filter(|(_, out, _)| !out.contains("refused")));
    assert!(out.starts_with("Server requires authentication\n"), "{out}");
    assert!(ctl(&["-u", "me", "-p", "wrong"]).1.contains("requires authentication"));
    let (_, out, _) = ctl(&["-u", "me", "-p", "geheim"]);
    assert!(out.starts_with("web  "), "{out}");
}

#[test]
fn reload_and_hup_begin_anew() {
    let tree = Tree::new();
    tree.program("run", "echo start >$E; exec sleep 10000");
    let Some(mut s) = Supervised::with(tree, "[program:x]\ncommand=$D/run\n") else { return };
    s.tree.expect("start");
    assert_eq!(s.ctl(&["reload"]).1, "Restarted supervisord\n");
    s.tree.expect("start");
    s.cox.signal(Signal::HUP);
    s.tree.expect("start");
    assert_eq!(s.cox.stop().0, 0);
}

#[test]
fn what_goes_to_the_container_is_kept_for_tail_and_so_is_what_supervisord_says() {
    let tree = Tree::new();
    tree.program(
        "run",
        "echo one; echo two >&2; echo start >$E; while read l; do echo \"$l\"; done",
    );
    let Some(mut s) = Supervised::with(tree, "[program:x]\ncommand=$D/run\n") else { return };
    s.tree.expect("start");
    until(|| {
        s.ctl(&["tail", "x"]).1 == "one\n\n" && s.ctl(&["tail", "x", "stderr"]).1 == "two\n\n"
    });
    s.until("x", "RUNNING");
    let follow = |args: &[&str]| {
        let mut command = s.client(args);
        let mut child =
            command.env("PYTHONUNBUFFERED", "1").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = Lines::new(child.stdout.take().unwrap());
        assert_eq!(lines.next(), "==> Press Ctrl-C to exit <==");
        (child, lines)
    };
    let (mut tail, mut lines) = follow(&["tail", "-f", "x"]);
    assert_eq!(lines.next(), "one");
    let (mut main, mut said) = follow(&["maintail", "-f"]);
    assert!(said.next().ends_with(" INFO supervisord started with pid 1"));
    assert!(said.next().contains(" INFO spawned: 'x' with pid "));
    assert!(said.next().contains(" INFO success: x entered RUNNING state, process has stayed up"));
    let mut fg = s.client(&["fg", "x"]);
    let mut fg = fg.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    fg.stdin.take().unwrap().write_all(b"three\n").unwrap();
    fg.wait().unwrap();
    assert_eq!(lines.next(), "three");
    s.ctl(&["stop", "x"]);
    assert!(said.next().ends_with(" WARN stopped: x (terminated by SIGTERM)"));
    for child in [&mut tail, &mut main] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(s.ctl(&["maintail"]).1.contains("INFO spawned: 'x'"));
    assert_eq!(s.ctl(&["clear", "x"]).1, "x: cleared\n");
    assert_eq!(s.ctl(&["tail", "x"]).1, "\n");
}

#[test]
fn a_listener_of_supervisors_own_examples_hears_what_happens() {
    let example = "/usr/lib/python3/dist-packages/supervisor/scripts/sample_eventlistener.py";
    let text = format!(
        "[program:x]\ncommand=sleep 10000\nautostart=false\n\
         [eventlistener:l]\ncommand=/usr/bin/python3 -u {example}\n\
         events=PROCESS_STATE,SUPERVISOR_STATE_CHANGE,TICK_5\nstderr_logfile=$D/heard\n"
    );
    let Some(s) = Supervised::new(&text) else { return };
    let heard = || fs::read_to_string(s.tree.dir.join("heard")).unwrap_or_default();
    let hears = |what: &str| until(|| heard().contains(what));
    hears(
        "server:test serial:0 pool:l poolserial:0 eventname:SUPERVISOR_STATE_CHANGE_RUNNING len:0\n",
    );
    s.until("l", "RUNNING");
    s.ctl(&["start", "x"]);
    hears(
        "eventname:PROCESS_STATE_STARTING len:52\nprocessname:x groupname:x from_state:STOPPED tries:0",
    );
    hears("processname:x groupname:x from_state:STARTING pid:");
    s.ctl(&["signal", "KILL", "x"]);
    hears("processname:x groupname:x from_state:RUNNING expected:0 pid:");
    hears("processname:x groupname:x from_state:EXITED tries:0");
    hears("eventname:TICK_5 len:15\nwhen:");
}

#[test]
fn an_event_that_was_not_dealt_with_is_sent_again() {
    let tree = Tree::new();
    // It fails at the first event it ever sees, and dies at the second.
    tree.program(
        "listen",
        "echo READY; while read -r head; do\n\
         n=${head##*len:}; body=$(dd bs=1 count=$n 2>/dev/null)\n\
         echo \"$(cat $0.count) $body\" >$E; count=$(cat $0.count); echo $((count + 1)) >$0.count\n\
         case $count in 0) printf 'RESULT 4\\nFAIL' ;; 1) exit 1 ;; *) printf 'RESULT 2\\nOK' ;; esac\n\
         echo READY; done",
    );
    fs::write(tree.dir.join("listen.count"), "0\n").unwrap();
    let text = "[eventlistener:l]\ncommand=$D/listen\nevents=REMOTE_COMMUNICATION\nstartsecs=0\n";
    let Some(mut s) = Supervised::with(tree, text) else { return };
    let send = "import sys, xmlrpc.client as x; from supervisor.xmlrpc import SupervisorTransport as T\n\
                p = x.ServerProxy('http://x', T(None, None, 'unix://' + sys.argv[1]))\n\
                print(p.supervisor.sendRemoteCommEvent('kind', 'data'), p.system.multicall([\n\
                {'methodName': 'supervisor.getPID', 'params': []}, {'methodName': 'no.such'}]))";
    let socket = s.tree.dir.join("s.sock");
    let (code, out, err) = finish(Command::new("/usr/bin/python3").args(["-c", send]).arg(&socket));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "True [1, {'faultCode': 1, 'faultString': 'UNKNOWN_METHOD'}]\n");
    for n in 0..3 {
        s.tree.expect(&format!("{n} type:kind"));
        s.tree.expect("data");
    }
}

#[test]
fn a_socket_in_use_is_left_to_whoever_has_it() {
    let Some(s) = Supervised::new(SLEEPS) else { return };
    s.until("web", "RUNNING");
    let mut second = s.tree.supervisord();
    let said = second.stderr.next();
    assert!(said.contains("s.sock: somebody listens there; "), "{said}");
    drop(second);
    assert_eq!(s.ctl(&["pid"]).1, "1\n");
}
