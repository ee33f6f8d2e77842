//! Service directories: starting, restarting, finishing, coming and going.

use crate::harness::{Cox, Tree, applet, cox_binary, have, look_for, namespace, pid_of, until};
use coracle::types::Signal;
use std::fs;

#[test]
fn a_service_killed_is_back_with_a_new_pid() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start $$ >$E; exec sleep 10000");
    let cox = tree.supervise(&[]);
    let first = tree.after("start");
    cox.inside(&format!("kill -9 {first}"));
    let second = tree.after("start");
    assert_ne!(first, second);
    // The status is written after the start, and before cox looks at anything else.
    cox.inside("kill -0 1");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn all_services_run_and_hidden_and_incomplete_ones_do_not() {
    let mut tree = Tree::new();
    for n in 0..50 {
        tree.script(&format!("s{n}/run"), &format!("echo start {n} >$E; exec sleep 10000"));
    }
    tree.script(".hidden/run", "echo hidden >$E");
    tree.file("incomplete/run", "#!/bin/sh\n");
    let cox = tree.supervise(&[]);
    let mut seen: Vec<u32> = (0..50).map(|_| tree.after("start").parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    // Nothing but what they said.
    assert_eq!(cox.stop(), (0, String::new()));
    tree.script("end", "echo end >$E");
    assert!(std::process::Command::new(tree.services().join("end")).status().unwrap().success());
    tree.expect("end");
}

#[test]
fn more_services_run_than_others_can_count() {
    // svscan of daemontools gives up at 1000, s6-svscan at 500 unless told otherwise.
    const MANY: usize = 1200;
    let mut tree = Tree::new();
    for n in 0..MANY {
        tree.script(&format!("s{n}/run"), &format!("echo start {n} >$E; exec sleep 10000"));
    }
    let cox = tree.supervise(&[]);
    let mut seen: Vec<usize> = (0..MANY).map(|_| tree.after("start").parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..MANY).collect::<Vec<_>>());
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_crash_loop_waits_longer_each_time() {
    let tree = Tree::new();
    tree.script("web/run", "cut -d ' ' -f 1 /proc/uptime >>starts; exit 3");
    let mut cox = tree.supervise(&[]);
    let mut waits = Vec::new();
    for start in 2..=5 {
        let line = cox.stderr.next();
        let prefix = format!("cox: web: exited with code 3; start {start} in ");
        let rest = line.strip_prefix(&prefix).unwrap_or_else(|| panic!("{line}"));
        waits.push(rest.strip_suffix(" ms").unwrap().parse::<u32>().unwrap());
    }
    // Doubled each time, less at most a quarter. What is said is what is left of it by then.
    let most = [100, 200, 400, 800];
    assert!(waits.iter().zip(most).all(|(wait, most)| *wait <= most), "{waits:?}");
    let starts = || fs::read_to_string(tree.service("web") + "/starts").unwrap();
    until(|| starts().lines().count() >= 5);
    let starts = starts();
    let starts: Vec<f64> = starts.lines().map(|start| start.parse().unwrap()).collect();
    for (pair, most) in starts.windows(2).zip(most) {
        // In hundredths of a second, as the kernel tells it.
        assert!(pair[1] - pair[0] + 0.01 >= f64::from(most) * 0.75 / 1000.0, "{starts:?}");
    }
    // Between its short runs, this is what is seen.
    let seen = || applet(&["svstat", &tree.service("web")]).1;
    until(|| seen().ends_with(" seconds, normally up, want up\n"));
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_service_that_cannot_be_executed_is_named_and_the_others_run() {
    let mut tree = Tree::new();
    tree.script("good/run", "echo good >$E; exec sleep 10000");
    tree.script("bad/run", "");
    fs::write(tree.services().join("bad/run"), "#!/no/such/interpreter\n").unwrap();
    let mut cox = tree.supervise(&[]);
    tree.expect("good");
    assert_eq!(
        cox.stderr.next(),
        "cox: bad: cannot execute \"./run\": no such file or directory; \
         the interpreter in its first line is missing"
    );
    assert!(cox.stderr.next().starts_with("cox: bad: exited with code 127; start 2 in "));
}

#[test]
fn finish_is_told_how_run_ended() {
    let mut tree = Tree::new();
    tree.script("code/run", "exit 3");
    tree.script("code/finish", "echo code $# $1 $2 >$E; exec sleep 10000");
    tree.script("signal/run", "kill -9 $$");
    tree.script("signal/finish", "echo signal $# $1 $2 >$E; exec sleep 10000");
    tree.script("six/run", "echo pid $$ >$E; kill -15 $$");
    tree.script("six/finish", "echo six $# $1 $2 $3 $4 >$E; exec sleep 10000");
    tree.file("six/notification-fd", "3\n");
    let _cox = tree.supervise(&[]);
    let mut lines: Vec<String> = (0..4).map(|_| tree.events.next()).collect();
    lines.sort_unstable();
    let pid = lines[1].strip_prefix("pid ").unwrap();
    assert_eq!(lines[0], "code 2 3 0");
    assert_eq!(lines[2], "signal 2 -1 9");
    assert_eq!(lines[3], format!("six 4 256 15 six {pid}"));
}

#[test]
fn a_finish_that_hangs_is_killed_after_its_limit() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo run >$E; exit 0");
    tree.script("web/finish", "echo finish >$E; exec sleep 10000");
    tree.file("web/timeout-finish", "50");
    let _cox = tree.supervise(&[]);
    for event in ["run", "finish", "run", "finish"] {
        tree.expect(event);
    }
}

#[test]
fn what_run_leaves_in_its_group_dies_with_it() {
    let mut tree = Tree::new();
    tree.script("web/run", "sleep 10000 & echo child $! >$E; kill -9 $$");
    let cox = tree.supervise(&[]);
    let first = tree.after("child");
    tree.after("child");
    // Killed before the second start, though perhaps not reaped yet.
    cox.inside(&format!("while kill -0 {first} 2>/dev/null; do :; done"));
}

#[test]
fn a_service_with_down_waits_until_it_is_asked_for() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    tree.file("web/down", "");
    tree.script("other/run", "echo other >$E; exec sleep 10000");
    let _cox = tree.supervise(&[]);
    tree.expect("other");
    let seen = || applet(&["svstat", &tree.service("web")]).1;
    let text = look_for(|| Some(seen()).filter(|text| text.contains(": down ")));
    assert!(text.ends_with(" seconds\n"), "{text}");
    assert_eq!(applet(&["svc", "-u", &tree.service("web")]).0, 0);
    tree.expect("start");
    assert_eq!(applet(&["svc", "-d", &tree.service("web")]).0, 0);
}

#[test]
fn a_new_directory_is_noticed_and_a_removed_one_stopped() {
    let mut tree = Tree::new();
    let _cox = tree.supervise(&[]);
    // In steps, as people make them: the directory, the file, its mode.
    let dir = tree.services().join("web");
    fs::create_dir(&dir).unwrap();
    let text = format!(
        "#!/bin/sh\nE={}/events\ntrap 'echo stopped >$E; exit' TERM\necho start >$E\n\
         sleep 10000 & wait\n",
        tree.dir.display()
    );
    fs::write(dir.join("run"), text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.join("run"), mode).unwrap();
    tree.expect("start");
    let aside = tree.dir.join("aside");
    fs::rename(&dir, &aside).unwrap();
    tree.expect("stopped");
    fs::rename(&aside, &dir).unwrap();
    tree.expect("start");
    // Another directory under the same name is another service.
    fs::rename(&dir, &aside).unwrap();
    tree.script("web/run", "echo second >$E; exec sleep 10000");
    let mut seen = [tree.events.next(), tree.events.next()];
    seen.sort_unstable();
    assert_eq!(seen, ["second", "stopped"]);
}

#[test]
fn a_link_to_a_directory_is_a_service() {
    let mut tree = Tree::new();
    tree.script(
        "web/run",
        "trap 'echo stopped >$E; exit' TERM; echo start >$E; sleep 10000 & wait",
    );
    let real = tree.dir.join("real");
    fs::rename(tree.services().join("web"), &real).unwrap();
    let _cox = tree.supervise(&[]);
    std::os::unix::fs::symlink(&real, tree.services().join("web")).unwrap();
    tree.expect("start");
    fs::remove_file(tree.services().join("web")).unwrap();
    tree.expect("stopped");
}

#[test]
fn a_changed_run_counts_from_the_next_start() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo one >$E; exec sleep 10000");
    let _cox = tree.supervise(&[]);
    tree.expect("one");
    tree.script("web/run", "echo two >$E; exec sleep 10000");
    applet(&["svc", "-t", &tree.service("web")]);
    tree.expect("two");
}

#[test]
fn the_log_pipe_survives_both_its_ends_without_losing_a_byte() {
    let mut tree = Tree::new();
    // The writer is killed after three lines; the logger kills itself when it has written "die",
    // with the rest unread in the pipe.
    tree.script(
        "web/run",
        "n=$(cat ../../count 2>/dev/null || echo 0); echo $((n+1)) >../../count
        echo begin $n; echo die; echo end $n; echo wrote >$E; kill -9 $$",
    );
    tree.script(
        "web/log/run",
        "while read -r line; do echo \"$line\" >>../../../log
        case $line in die) kill -9 $$;; end*) echo \"$line\" >$E;; esac; done",
    );
    let mut cox = tree.supervise(&[]);
    let mut ends = 0;
    while ends < 4 {
        if tree.events.next().starts_with("end") {
            ends += 1;
        }
    }
    let log = fs::read_to_string(tree.dir.join("log")).unwrap();
    let expected: String = (0..4).map(|n| format!("begin {n}\ndie\nend {n}\n")).collect();
    assert!(log.starts_with(&expected), "{log}");
    cox.stderr.after("cox: web: ended by SIGKILL");
    cox.stop();
}

#[test]
fn another_supervisor_is_told_that_there_is_one() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let _first = tree.supervise(&[]);
    tree.expect("start");
    let mut second = tree.supervise(&["--socket", "none"]);
    let line = second.stderr.next();
    assert!(line.ends_with("web/supervise: already supervised by another process"), "{line}");
}

#[test]
fn a_read_only_tree_has_its_state_elsewhere() {
    let mut tree = Tree::new();
    let cox = cox_binary();
    let cox = cox.display();
    let tell = format!(
        "until {cox} svstat . | grep -q ': up '; do :; done
        {cox} svstat . | sed 's/[0-9][0-9]*/N/g' >$E"
    );
    tree.script(
        "web/run",
        &format!("echo start >$E; read x <../../hold; {tell}; exec sleep 10000"),
    );
    coracle::sys::fifo::make(&tree.dir.join("hold"), 0o600).unwrap();
    let services = tree.services();
    let services = services.display();
    let script = format!(
        "mount -t tmpfs none /run && mount --bind {services} {services} &&
        mount -o remount,bind,ro {services} && exec {cox} {services}"
    );
    let outer = Cox::start(namespace().args(["sh", "-c", &script]));
    tree.expect("start");
    fs::write(tree.dir.join("hold"), "go\n").unwrap();
    tree.expect(".: up (pid N) N seconds");
    let state = outer.inside(&format!("cd /run/cox{services}/web/supervise; echo *"));
    assert_eq!(state, "control lock ok status\n");
    assert_eq!(outer.stop(), (0, String::new()));
}

#[test]
fn where_nothing_is_writable_services_run_nevertheless() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start $$ >$E; exec sleep 10000");
    tree.script("web/log/run", "echo log >$E; exec cat");
    let (services, cox) = (tree.services(), cox_binary());
    let script = format!(
        "for dir in /run /dev/shm; do mount -t tmpfs -o ro none $dir; done &&
        mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec {1} {0}",
        services.display(),
        cox.display()
    );
    let mut outer =
        Cox::start(namespace().args(["sh", "-c", &script]).env_remove("XDG_RUNTIME_DIR"));
    for name in ["web", "web/log"] {
        let line = outer.stderr.next();
        let start = format!("cox: {}: no place for", services.join(name).display());
        assert!(line.starts_with(&start), "{line}");
    }
    let (first, second) = (tree.events.next(), tree.events.next());
    let start = if first == "log" { second } else { first };
    outer.inside(&format!("kill -9 {}", start.strip_prefix("start ").unwrap()));
    tree.after("start");
    outer.stop();
}

#[test]
fn it_needs_no_root() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo uid $(id -u) >$E; exec sleep 10000");
    std::os::unix::fs::chown(tree.services().join("web"), Some(65534), Some(65534)).unwrap();
    let mut command = namespace();
    command.args(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    let cox = Cox::start(command.arg(cox_binary()).arg(tree.services()));
    tree.expect("uid 65534");
    let pid = pid_of(&tree.services().join("web"));
    cox.inside(&format!("kill -9 {pid}"));
    tree.expect("uid 65534");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn hup_makes_it_look_again() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let cox = tree.supervise(&[]);
    tree.expect("start");
    for signal in [Signal::HUP, Signal::ALRM, Signal::USR1, Signal::WINCH] {
        cox.signal(signal);
    }
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_service_that_its_finish_gives_up_on_stays_down() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo run >$E; exit 3");
    tree.script("web/finish", "echo finish >$E; exit 125");
    let mut cox = tree.supervise(&[]);
    tree.expect("run");
    tree.expect("finish");
    cox.stderr.after("cox: web: stays down: its finish gave up on it");
    // It is said before it is written down.
    until(|| applet(&["svstat", &tree.service("web")]).1.contains(": down "));
    // Until it is asked for.
    applet(&["svc", "-u", &tree.service("web")]);
    tree.expect("run");
    tree.expect("finish");
    assert_eq!(cox.stop().0, 0);
}

/// cox on the tree's services, and its calls of these kinds in the file `trace`.
fn traced(tree: &Tree, calls: &str) -> Cox {
    let mut command = namespace();
    command.args(["strace", "-e", &format!("trace={calls}"), "-o"]).arg(tree.dir.join("trace"));
    Cox::start(command.arg(cox_binary()).arg(tree.services()))
}

#[test]
fn right_after_a_start_it_sleeps_nowhere_but_where_it_hears_commands() {
    if !have("strace") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", "trap 'echo down >$E; exit' TERM; nap; echo up >$E; wait");
    // All calls that may wait, as far as this processor has them.
    let cox = traced(
        &tree,
        "?nanosleep,?clock_nanosleep,?pause,?poll,?ppoll,?select,?pselect6,?futex,?wait4,?waitid,\
         ?rt_sigsuspend,?rt_sigtimedwait,?epoll_wait,?epoll_pwait,?epoll_pwait2",
    );
    for _ in 0..3 {
        tree.expect("up");
        until(|| applet(&["svok", &tree.service("web")]).0 == 0);
        assert_eq!(applet(&["svc", "-d", &tree.service("web")]).0, 0);
        tree.expect("down");
        assert_eq!(applet(&["svc", "-u", &tree.service("web")]).0, 0);
    }
    tree.expect("up");
    drop(cox);
    let trace = fs::read_to_string(tree.dir.join("trace")).unwrap();
    let hears = |call: &&str| call.starts_with("epoll_");
    assert!(trace.lines().filter(hears).count() >= 6, "{trace}");
    for call in trace.lines().filter(|call| call.contains('(') && !hears(call)) {
        let waits_not = ["WNOHANG", ", 0)", "tv_sec=0, tv_nsec=0"];
        assert!(waits_not.iter().any(|word| call.contains(word)), "{call}");
    }
}

#[test]
fn the_next_run_does_not_wait_until_the_end_of_the_last_is_written_down() {
    if !have("strace") {
        return;
    }
    let mut tree = Tree::new();
    tree.script("web/run", "echo up >$E; exec sleep 1000");
    let cox = traced(&tree, "?clone,clone3,?open,openat");
    for _ in 0..2 {
        tree.expect("up");
        until(|| applet(&["svok", &tree.service("web")]).0 == 0);
        assert_eq!(applet(&["svc", "-k", &tree.service("web")]).0, 0);
    }
    // Now what belongs to the second run is done.
    tree.expect("up");
    drop(cox);
    let trace = fs::read_to_string(tree.dir.join("trace")).unwrap();
    let place = |nth, words: [&str; 2]| {
        let is_it = |call: &&str| words.iter().all(|word| call.contains(word));
        let found = trace.lines().enumerate().filter(|(_, call)| is_it(call)).nth(nth);
        found.unwrap_or_else(|| panic!("{words:?}: {trace}")).0
    };
    assert!(place(1, ["clone", "("]) < place(0, ["death_tally", "O_APPEND"]), "{trace}");
}

#[test]
fn a_service_is_told_to_stop_by_the_signal_of_its_choice() {
    let mut tree = Tree::new();
    let script = "trap 'echo interrupted >$E; exit 0' INT; trap '' TERM; echo ready >$E; \
        while :; do sleep 1000 & wait $!; done";
    tree.script("web/run", script);
    tree.file("web/down-signal", "SIGINT\n");
    let cox = tree.supervise(&[]);
    tree.expect("ready");
    applet(&["svc", "-d", &tree.service("web")]);
    tree.expect("interrupted");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn a_service_gets_the_variables_of_its_directory_as_they_are_at_each_start() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo run $GREETING ${HOME-gone} >$E; exec sleep 10000");
    tree.file("web/env/GREETING", "hello  \n");
    tree.file("web/env/HOME", "");
    let cox = tree.supervise(&[]);
    assert_eq!(tree.after("run"), "hello gone");
    tree.file("web/env/GREETING", "again");
    applet(&["svc", "-t", &tree.service("web")]);
    assert_eq!(tree.after("run"), "again gone");
    assert_eq!(cox.stop().0, 0);
}
