//! Services and a command together; services that are ready later than they are started.

use crate::harness::{Cox, Tree, applet, cox_binary, namespace};
use coracle::types::Signal;
use std::process::Command;

/// cox on the tree's services with the script `main` as its command, `$E` the events FIFO.
fn command(tree: &Tree, script: &str) -> Command {
    tree.script("../main", script);
    let mut command = namespace();
    command.arg(cox_binary()).arg(tree.services()).arg("--").arg(tree.dir.join("main"));
    command
}

#[test]
fn the_command_runs_with_the_services_and_its_end_is_the_end_of_all() {
    let mut tree = Tree::new();
    tree.script("web/run", "trap 'echo stopped >$E; exit' TERM; nap; echo start >$E; wait");
    let script = "read line <$E.2; echo $GREETING $line; exit 42";
    let mut command = command(&tree, script);
    let fifo = tree.dir.join("events.2");
    coracle::sys::fifo::make(&fifo, 0o600).unwrap();
    let mut start = coracle::sys::fifo::open_both_ends(&fifo).unwrap();
    command.env("GREETING", "hello").stdout(std::process::Stdio::piped());
    let mut unshare = command.spawn().unwrap();
    tree.expect("start");
    std::io::Write::write_all(&mut start, b"world\n").unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut unshare.stdout.take().unwrap(), &mut said).unwrap();
    assert_eq!(unshare.wait().unwrap().code(), Some(42));
    assert_eq!(said, "hello world\n");
    tree.expect("stopped");
}

#[test]
fn the_command_waits_until_the_services_are_ready() {
    for (name, file, ready) in
        [("check", "check", "exec test -e $E.ready"), ("s6", "data/check", "exec test -e $E.ready")]
    {
        let mut tree = Tree::new();
        tree.script(&format!("{name}/run"), "exec sleep 10000");
        let asked = format!("echo asked >$E; {ready}");
        tree.script(&format!("{name}/{file}"), &asked);
        let cox = Cox::start(&mut command(&tree, "echo main >$E; exec sleep 10000"));
        for _ in 0..3 {
            tree.expect("asked");
        }
        std::fs::write(tree.dir.join("events.ready"), "").unwrap();
        tree.after("main");
        drop(cox);
    }
}

#[test]
fn a_service_says_by_itself_that_it_is_ready() {
    let mut tree = Tree::new();
    tree.file("web/notification-fd", "7\n");
    tree.script("web/run", "echo start >$E; read line <$E.2; echo >&7; exec 7>&-; exec sleep 1000");
    let fifo = tree.dir.join("events.2");
    coracle::sys::fifo::make(&fifo, 0o600).unwrap();
    let mut go = coracle::sys::fifo::open_both_ends(&fifo).unwrap();
    let cox = Cox::start(&mut command(&tree, "echo main >$E; exec sleep 10000"));
    tree.expect("start");
    std::io::Write::write_all(&mut go, b"\n").unwrap();
    tree.expect("main");
    // The next run has a pipe of its own.
    let (code, ..) = applet(&["svc", "-t", &tree.service("web")]);
    assert_eq!(code, 0);
    tree.expect("start");
    std::io::Write::write_all(&mut go, b"\n").unwrap();
    cox.signal(Signal::TERM);
    assert_eq!(cox.wait().0, 143);
}

#[test]
fn told_to_stop_the_command_goes_first_and_gives_its_code() {
    let mut tree = Tree::new();
    let service = "trap 'echo web stops >$E; exit' TERM; nap; echo web >$E; wait";
    tree.script("web/run", service);
    let script = "trap 'echo main stops >$E; exit 7' TERM
        trap 'echo main usr1 >$E' USR1; nap; echo main >$E; while :; do wait; done";
    let cox = Cox::start(&mut command(&tree, script));
    let mut started = [tree.events.next(), tree.events.next()];
    started.sort();
    assert_eq!(started, ["main", "web"]);
    cox.signal(Signal::USR1);
    tree.expect("main usr1");
    let (code, text) = cox.stop();
    assert_eq!((code, text.as_str()), (7, ""));
    tree.expect("main stops");
    tree.expect("web stops");
}

#[test]
fn with_no_source_given_all_of_the_usual_places_count() {
    let mut tree = Tree::new();
    for place in ["etc-services", "etc-service"] {
        tree.script(&format!("{place}/{place}/run"), &format!("echo {place} >$E; exec sleep 1000"));
    }
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/services /etc/service &&
         mount --bind {0}/etc-services /etc/services && mount --bind {0}/etc-service /etc/service &&
         ln -s /etc/service /etc/again && exec {1}",
        tree.services().display(),
        cox_binary().display(),
    );
    let cox = Cox::start(namespace().args(["sh", "-c", &script]));
    let mut started = [tree.events.next(), tree.events.next()];
    started.sort();
    assert_eq!(started, ["etc-service", "etc-services"]);
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn the_list_of_ports_at_etc_services_is_no_source() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/service && mount --bind {} /etc/service &&
         echo 'tcpmux 1/tcp' >/etc/services && {cox} check && exec {cox}",
        tree.services().display(),
        cox = cox_binary().display(),
    );
    let cox = Cox::start(namespace().args(["sh", "-c", &script]));
    tree.expect("start");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn one_place_under_two_names_counts_once() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo start >$E; exec sleep 10000");
    let link = tree.dir.join("link");
    std::os::unix::fs::symlink(tree.services(), &link).unwrap();
    let mut command = namespace();
    command.arg(cox_binary()).arg(tree.services()).arg(&link).args(["--", "sleep", "10000"]);
    let cox = Cox::start(&mut command);
    tree.expect("start");
    let (code, text) = cox.stop();
    assert_eq!((code, text.as_str()), (143, ""));
}
