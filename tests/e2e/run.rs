//! `coracle run` in the foreground: what goes in, what comes out, how it ends.

use crate::test;
use coracle::types::Signal;
use std::fs;

#[test]
fn the_output_of_the_program_is_the_output_of_run() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "echo", "hi"]).stdout("hi\n").ok();
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"])
        .stdout("out\n")
        .stderr("err\n")
        .ok();
}

#[test]
fn the_exit_code_of_the_program_is_that_of_run() {
    let t = test!(busybox);
    for code in [0, 1, 42, 255] {
        t.coracle(["run", "--rm", "busybox", "sh", "-c", &format!("exit {code}")]).code(code).ok();
    }
}

#[test]
fn a_program_that_dies_of_a_signal_gives_128_and_its_number() {
    let t = test!(busybox);
    // The kernel drops a signal that PID 1 sends to itself, so a child dies and the shell tells.
    let script = "sh -c 'kill -9 $$'; exit $?";
    t.coracle(["run", "--rm", "busybox", "sh", "-c", script]).code(137).any_stderr().ok();
}

#[test]
fn a_program_that_is_not_there_gives_127() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "no-such-program"])
        .code(127)
        .stdout("")
        .stderr_has("no-such-program")
        .ok();
}

#[test]
fn a_program_that_cannot_be_executed_gives_126() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "/etc/passwd"])
        .code(126)
        .stdout("")
        .stderr_has("/etc/passwd")
        .stderr_has("permission denied")
        .ok();
}

#[test]
fn stdin_is_passed_with_i_and_only_then() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "-i", "busybox", "cat"])
        .stdin("one\ntwo\n")
        .stdout("one\ntwo\n")
        .ok();
    t.coracle(["run", "--rm", "busybox", "cat"]).stdin("one\n").stdout("").ok();
}

#[test]
fn a_megabyte_through_cat_comes_back_byte_for_byte() {
    let t = test!(busybox);
    let bytes: Vec<u8> =
        (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    t.coracle(["run", "--rm", "-i", "busybox", "cat"]).stdin(bytes.clone()).stdout(bytes).ok();
}

#[test]
fn environment_working_directory_and_host_name_are_set() {
    let t = test!(busybox);
    let script = "echo $A $B $PATH; pwd; hostname; cat /etc/hostname";
    t.coracle(["run", "--rm", "-e", "A=1", "-e", "B", "-w", "/var/x", "-h", "boat", "busybox"])
        .env("B", "from outside")
        .ok();
    t.coracle([
        "run", "--rm", "-e", "A=1", "-e", "B", "-w", "/var/x", "-h", "boat", "busybox", "sh", "-c",
        script,
    ])
    .env("B", "outside")
    .stdout(
        "1 outside /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
        /var/x\nboat\nboat\n",
    )
    .ok();
}

#[test]
fn a_user_is_found_by_name_or_number_with_its_groups() {
    let t = test!(busybox);
    let id = |user: &str| t.says(["run", "--rm", "-u", user, "busybox", "id"]);
    assert_eq!(id("app"), "uid=1000(app) gid=1000(app) groups=1000(app),1001(extra)");
    assert_eq!(id("1000"), "uid=1000(app) gid=1000(app) groups=1000(app),1001(extra)");
    assert_eq!(id("1000:0"), "uid=1000(app) gid=0(root) groups=0(root)");
    assert_eq!(id("4242:4343"), "uid=4242 gid=4343 groups=4343");
    assert_eq!(t.says(["run", "--rm", "-u", "app", "busybox", "sh", "-c", "echo $HOME"]), "/home");
    t.coracle(["run", "--rm", "-u", "nobody-knows", "busybox", "id"])
        .code(125)
        .stderr_has("nobody-knows")
        .ok();
}

#[test]
fn a_bind_mount_shows_the_hosts_directory_and_ro_protects_it() {
    let t = test!(busybox);
    let dir = t.dir("data");
    fs::write(dir.join("in"), "from the host\n").expect("write a file");
    let spec = format!("{}:/data", dir.display());
    t.coracle([
        "run",
        "--rm",
        "-v",
        &spec,
        "busybox",
        "sh",
        "-c",
        "cat /data/in; echo back >/data/out",
    ])
    .stdout("from the host\n")
    .ok();
    assert_eq!(fs::read_to_string(dir.join("out")).expect("the container wrote it"), "back\n");

    t.coracle(["run", "--rm", "-v", &format!("{spec}:ro"), "busybox", "touch", "/data/no"])
        .code(1)
        .stderr_has("Read-only file system")
        .ok();
    assert!(!dir.join("no").exists());
}

#[test]
fn a_single_file_can_be_bind_mounted() {
    let t = test!(busybox);
    fs::write(t.path("motd"), "ahoy\n").expect("write a file");
    let spec = format!("{}:/etc/deep/motd:ro", t.path("motd").display());
    t.coracle(["run", "--rm", "-v", &spec, "busybox", "cat", "/etc/deep/motd"])
        .stdout("ahoy\n")
        .ok();
}

#[test]
fn entrypoint_replaces_the_images_and_the_command_follows_it() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "--entrypoint", "/bin/echo", "busybox", "a", "b"])
        .stdout("a b\n")
        .ok();
}

#[test]
fn the_images_configuration_is_what_runs_when_nothing_is_said() {
    let t = test!();
    t.coracle([
        "import",
        "--change",
        "ENTRYPOINT [\"/bin/sh\", \"-c\"]",
        "--change",
        "CMD [\"echo $GREETING from $PWD; id -u\"]",
        "--change",
        "ENV GREETING=hello",
        "--change",
        "WORKDIR /var",
        "--change",
        "USER 1000",
        "-",
        "greeter",
    ])
    .stdin(crate::common::image::busybox())
    .ok();
    t.coracle(["run", "--rm", "greeter"]).stdout("hello from /var\n1000\n").ok();
    t.coracle(["run", "--rm", "greeter", "echo other"]).stdout("other\n").ok();
}

#[test]
fn the_cidfile_holds_the_id_and_is_never_overwritten() {
    let t = test!(busybox);
    let file = t.path("cid");
    let file = file.to_str().expect("a plain path");
    t.coracle(["run", "--cidfile", file, "busybox", "true"]).ok();
    assert_eq!(t.containers(), [fs::read_to_string(file).expect("a cidfile")]);
    t.coracle(["run", "--cidfile", file, "busybox", "true"]).code(125).stderr_has(file).ok();
    assert_eq!(t.containers().len(), 1);
}

#[test]
fn the_cidfile_is_whole_before_the_program_starts() {
    let t = test!(busybox);
    let dir = t.dir("cid");
    let file = dir.join("id");
    let file = file.to_str().expect("a plain path");
    let mount = format!("{}:/cid", dir.display());
    let id = t.says(["run", "--cidfile", file, "-v", &mount, "busybox", "cat", "/cid/id"]);
    assert_eq!(t.containers(), std::slice::from_ref(&id));
    assert_eq!(fs::read_to_string(file).expect("a cidfile"), id);
    fs::remove_file(file).expect("remove it");
    t.coracle(["run", "--cidfile", file, "nosuch", "true"]).code(125).any_stderr().ok();
    assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 0);
}

#[test]
fn with_stdin_alone_attached_the_id_is_printed() {
    let t = test!(busybox);
    let line = ["run", "-a", "stdin", "-i", "--name", "c", "busybox", "cat"];
    let run = t.coracle(line).stdin("hello\n").ok();
    assert_eq!(run.stdout_text().trim(), t.inspect("c")["Id"].as_str().expect("an id"));
    t.coracle(["wait", "c"]).ok();
    assert_eq!(t.says(["logs", "c"]), "hello");
}

#[test]
fn signals_are_forwarded_to_the_program() {
    let t = test!(busybox);
    let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 1 & wait $!; done";
    let mut run = t.coracle(["run", "--rm", "busybox", "sh", "-c", script]).spawn();
    run.line_with("ready");
    run.signal(Signal::TERM);
    run.line_with("caught");
    assert_eq!(run.wait(), 3);
}

#[test]
fn rm_leaves_no_container_and_without_it_one_stays() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    assert!(t.containers().is_empty());
    t.coracle(["run", "busybox", "true"]).ok();
    assert_eq!(t.containers().len(), 1);
}

#[test]
fn a_detached_run_prints_the_id_and_goes() {
    let t = test!(busybox);
    let id = t.says(["run", "-d", "busybox", "sleep", "1000"]);
    assert_eq!(id.len(), 64);
    assert_eq!(t.containers(), std::slice::from_ref(&id));
    assert_eq!(t.status(&id), "running");
}

#[test]
fn what_a_container_writes_stays_its_own() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "sh", "-c", "rm /etc/passwd; echo x >/new"]).ok();
    t.coracle(["run", "--rm", "busybox", "sh", "-c", "test -e /etc/passwd && ! test -e /new"]).ok();
}

#[test]
fn the_hosts_mounts_are_the_same_before_during_and_after() {
    let t = test!(busybox);
    let before = t.mounts();
    let id = t.says(["run", "-d", "busybox", "sleep", "1000"]);
    assert_eq!(t.mounts(), before);
    t.coracle(["exec", &id, "true"]).ok();
    assert_eq!(t.mounts(), before);
    t.coracle(["rm", "-f", &id]).ok();
    assert_eq!(t.mounts(), before);
}

#[test]
fn the_callers_umask_does_not_reach_the_container() {
    let t = test!(busybox);
    t.coracle(["run", "--rm", "busybox", "sh", "-c", "umask"]).stdout("0022\n").ok();
}
