//! Every command line of the old documentation's command and run references, and of what a real
//! 0.8.1 was asked, as it stands there. What is said to one shell after the other is played from
//! tests/documentation; what is typed into a container stands here. Images that do not exist any
//! more are busybox under their names.

use crate::common::{Test, image};
use crate::test;
use coracle::types::Signal;

/// An image called ubuntu, with a /bin/bash and a user of 2014.
fn ubuntu(t: &Test) {
    let mut root = image::busybox_root();
    root.file("bin/bash", 0o755, b"#!/bin/sh\nexec /bin/sh \"$@\"\n");
    root.file("usr/bin/top", 0o755, b"#!/bin/sh\nexec /bin/top \"$@\"\n");
    root.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\n",
    );
    root.file("etc/group", 0o644, b"root:x:0:\ndaemon:x:1:\n");
    root.dir("mnt", 0o755);
    let change = ["--change", "CMD [\"/bin/bash\"]"];
    t.coracle([&["import"], &change[..], &["-", "ubuntu"]].concat()).stdin(root.tar()).ok();
    for name in ["ubuntu:12.04", "ubuntu:12.10", "busybox"] {
        t.coracle(["tag", "ubuntu", name]).ok();
    }
}

/// One shell's session.
macro_rules! played {
    ($($name:ident: $file:literal),+ $(,)?) => {$(
        #[test]
        fn $name() {
            let t = test!();
            ubuntu(&t);
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documentation/", $file);
            t.play(&std::fs::read_to_string(path).expect("read the session"));
        }
    )+};
}

played! {
    the_first_steps_and_hello_world_work_as_written: "basics.txt",
    the_reference_of_commands_works_as_written: "commands.txt",
    the_examples_of_run_and_the_five_containers_work_as_written: "run.txt",
    the_reference_of_run_works_as_written: "reference.txt",
    what_a_real_daemon_of_then_was_asked_is_answered: "recorded.txt",
}

#[test]
fn an_interactive_shell_is_left_by_its_keys_and_found_again() {
    let t = test!();
    ubuntu(&t);
    // 3.1.3
    let line = ["run", "-i", "-t", "-name", "shell", "ubuntu", "/bin/bash"];
    let mut shell = t.coracle(line).on_terminal(24, 80);
    shell.until("# ");
    shell.write("\x10\x11");
    assert_eq!(shell.wait(), 0);
    assert_eq!(t.status("shell"), "running");
    let mut again = t.coracle(["attach", "shell"]).on_terminal(24, 80);
    again.write("echo $((6*7))\n");
    again.line_with("42");
    again.write("exit 3\n");
    assert_eq!(again.wait(), 3);
    // 5.1.29
    let mut bash = t.coracle(["run", "-t", "-i", "--rm", "ubuntu", "bash"]).on_terminal(24, 80);
    bash.until("# ");
    bash.write("mount -t tmpfs none /mnt\n");
    bash.line_with("denied");
    bash.write("exit 0\n");
    assert_eq!(bash.wait(), 0);
    let line = ["run", "-t", "-i", "--rm", "--privileged", "ubuntu", "bash"];
    let mut bash = t.coracle(line).on_terminal(24, 80);
    bash.until("# ");
    bash.write("mount -t tmpfs none /mnt && df -h\n");
    bash.line_with("/mnt");
    bash.write("exit 0\n");
    assert_eq!(bash.wait(), 0);
}

#[test]
fn top_is_looked_at_by_attach_and_stopped() {
    let t = test!();
    ubuntu(&t);
    // 5.1.5
    let id = t.says(["run", "-d", "ubuntu", "/usr/bin/top", "-b", "-d", "1"]);
    let mut attached = t.coracle(["attach", &id]).spawn();
    for _ in 0..2 {
        attached.line_with("PID");
        attached.line_with("top -b");
    }
    t.coracle(["stop", "-t", "0", &id]).ok();
    // By whichever of the two signals, one right behind the other.
    assert!([137, 143].contains(&attached.wait()));
}

#[test]
fn a_daemon_is_looked_at_without_passing_signals_on() {
    let t = test!();
    ubuntu(&t);
    // 4.2.2
    let script = "while true; do echo hello world; sleep 1; done";
    let id = t.says(["run", "-d", "ubuntu", "/bin/sh", "-c", script]);
    let mut attached = t.coracle(["attach", "-sig-proxy=false", &id]).spawn();
    attached.line_with("hello world");
    attached.signal(Signal::INT);
    assert_eq!(attached.wait(), 130);
    assert_eq!(t.status(&id), "running");
}
