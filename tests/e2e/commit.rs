//! From containers back to images: diff, commit, export, and what holds a container meanwhile.

use crate::common::{Test, kill};
use crate::test;
use coracle::sys::pidfd;
use coracle::types::Pid;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A container that was changed by a script and has ended.
fn changed(t: &Test, name: &str, script: &str) {
    t.coracle(["run", "--name", name, "busybox", "sh", "-ec", script]).ok();
}

fn diff(t: &Test, name: &str) -> Vec<String> {
    t.says(["diff", name]).lines().map(String::from).collect()
}

#[test]
fn diff_tells_adds_changes_deletes_renames_and_modes() {
    let t = test!(busybox);
    changed(
        &t,
        "c",
        "mkdir -p new/dir; echo 1 >new/dir/file; mkfifo fifo
        echo x >>etc/passwd; chmod 600 etc/group; rm bin/ls; mv bin/cat home/dog
        chown 7 var; touch -d @1 tmp",
    );
    let told = [
        "C /bin",
        "D /bin/cat",
        "D /bin/ls",
        "C /etc",
        "C /etc/group",
        "C /etc/passwd",
        "A /fifo",
        "C /home",
        "A /home/dog",
        "A /new",
        "A /new/dir",
        "A /new/dir/file",
        "C /var",
    ];
    assert_eq!(diff(&t, "c"), told);
}

#[test]
fn what_was_there_and_is_again_is_no_change() {
    let t = test!(busybox);
    changed(
        &t,
        "c",
        "cp -a etc/passwd keep; echo x >>etc/passwd; cp -a keep etc/passwd; rm keep
        chmod 700 usr; chmod 755 usr; echo 1 >gone; rm gone",
    );
    assert!(t.records("c").join("upper/etc/passwd").exists(), "nothing was copied up");
    assert_eq!(diff(&t, "c"), Vec::<String>::new());
    changed(&t, "idle", "true");
    assert_eq!(diff(&t, "idle"), Vec::<String>::new());
}

#[test]
fn a_directory_made_anew_is_told_by_what_is_missing_and_what_came() {
    let t = test!(busybox);
    changed(
        &t,
        "base",
        "mkdir -p d/sub; echo 1 >d/one; echo 2 >d/two; echo 3 >d/sub/three; touch -d @1 d/one",
    );
    t.coracle(["commit", "base", "base"]).ok();
    let script = "cp -a d keep; rm -r d; mkdir d; cp -a keep/one d; echo 4 >d/four; rm -r keep";
    t.coracle(["run", "--name", "c", "base", "sh", "-c", script]).ok();
    assert_eq!(diff(&t, "c"), ["C /d", "A /d/four", "D /d/sub", "D /d/two"]);

    t.coracle(["commit", "c", "next"]).ok();
    t.coracle(["run", "--rm", "next", "ls", "-A", "/d"]).stdout("four\none\n").ok();
    // A file in the place of a directory, and the other way.
    t.coracle(["run", "--name", "k", "base", "sh", "-c", "rm -r d/sub d/one; >d/sub; mkdir d/one"])
        .ok();
    assert_eq!(diff(&t, "k"), ["C /d", "C /d/one", "C /d/sub"]);
    t.coracle(["commit", "k", "kinds"]).ok();
    let script = "test -d /d/one && test -f /d/sub && cat /d/two";
    t.coracle(["run", "--rm", "kinds", "sh", "-c", script]).stdout("2\n").ok();
}

#[test]
fn mount_points_of_volumes_are_told_and_those_of_the_engine_are_not() {
    let t = test!();
    // An image that lacks all of what the engine mounts on.
    let mut root = crate::common::image::Root::new();
    root.dir("bin", 0o755);
    root.file("bin/busybox", 0o755, &fs::read("/bin/busybox").expect("read busybox"));
    t.coracle(["import", "-", "bare"]).stdin(root.tar()).ok();
    t.coracle(["run", "--name", "c", "bare", "/bin/busybox", "true"]).ok();
    assert_eq!(diff(&t, "c"), Vec::<String>::new());
    let data = t.dir("data");
    let volume = format!("{}:/srv/data", data.display());
    let script = "echo 1 >/srv/data/file; echo 2 >/etc/own";
    t.coracle(["run", "--name", "v", "-v", &volume, "bare", "/bin/busybox", "sh", "-c", script])
        .ok();
    assert_eq!(diff(&t, "v"), ["C /etc", "A /etc/own", "A /srv", "A /srv/data"]);
    let id = t.says(["commit", "c", "same"]);
    assert_eq!(t.says(["inspect", "same", "--format", "{{.Id}}"]), id);
}

#[test]
fn the_file_at_the_end_of_the_images_link_is_the_engines_too() {
    let t = test!();
    for (image, to) in [("within", "/run/lib/resolv.conf"), ("nowhere", "/run/none/resolv.conf")] {
        let mut root = crate::common::image::busybox_root();
        for dir in ["run", "run/lib"] {
            root.dir(dir, 0o755);
        }
        root.link("etc/resolv.conf", to);
        t.coracle(["import", "-", image]).stdin(root.tar()).ok();
        t.coracle(["run", "--name", image, image, "cat", "/etc/resolv.conf"]).stdout_has("").ok();
        assert_eq!(diff(&t, image), Vec::<String>::new(), "{image}");
        t.coracle(["commit", image, image]).ok();
        t.coracle(["run", "--rm", image, "find", "/run"]).stdout_has("/run/lib\n").ok();
    }
    assert_eq!(
        t.says(["run", "--rm", "within", "readlink", "/etc/resolv.conf"]),
        "/run/lib/resolv.conf"
    );
    t.coracle(["run", "--name", "own", "within", "sh", "-c", "echo 1 >/run/lib/own"]).ok();
    assert_eq!(diff(&t, "own"), ["C /run", "C /run/lib", "A /run/lib/own"]);
}

/// All of a tree that an image is to keep, a line for each entry.
fn tree(root: &Path) -> Vec<String> {
    let script = r#"
import os, sys, hashlib
root, inodes, lines = sys.argv[1].encode(), {}, []
def tell(path):
    full = os.path.join(root, path)
    s = os.lstat(full)
    what = [oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns]
    kind = s.st_mode & 0o170000
    if kind == 0o120000: what.append(os.readlink(full))
    if kind in (0o020000, 0o060000): what.append(s.st_rdev)
    if kind == 0o100000:
        what += [s.st_size, s.st_blocks * 512 < s.st_size, hashlib.sha256(open(full, 'rb').read()).hexdigest()]
    if kind != 0o040000 and s.st_nlink > 1:
        what.append('first ' + repr(inodes.setdefault(s.st_ino, path)))
    what += [(x, os.getxattr(full, x, follow_symlinks=False)) for x in
        sorted(os.listxattr(full, follow_symlinks=False)) if not x.startswith('trusted.overlay.')]
    lines.append((path, repr((path, what))))
for dir, dirs, files in os.walk(root):
    rel = os.path.relpath(dir, root)
    tell(rel)
    if rel == b'.': dirs[:] = [d for d in dirs if d not in (b'proc', b'sys', b'dev')]
    dirs.sort()
    for f in sorted(files + [d for d in dirs if os.path.islink(os.path.join(dir, d))]):
        tell(os.path.normpath(os.path.join(rel, f)))
for path, line in sorted(lines): print(line)
"#;
    let out = std::process::Command::new("python3").args(["-c", script]).arg(root).output();
    let out = out.expect("run python");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(String::from).collect()
}

/// The tree of a running container, as a directory of this process's.
fn root_of(t: &Test, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root", t.pid(name)))
}

/// Makes something of every kind in a running container's tree.
fn fill(t: &Test, name: &str) {
    t.coracle(["exec", name, "sh", "-ec", "mkdir -p /all/deep/er; chmod 1777 /all/deep"]).ok();
    let script = r#"
import os, socket, sys
os.chroot(sys.argv[1]); os.chdir('/all')
def put(path, data=b'x'):
    with open(path, 'wb') as f: f.write(data)
put('plain', b'some text\n'); os.chown('plain', 12345, 3000000); os.chmod('plain', 0o4755)
put('empty', b''); put(b'n\xc3\xa4me \xff\n', b'odd')
put('deep/' + 'l' * 200, b'long'); os.symlink('t' * 300, 'longlink'); os.symlink('plain', 'link')
os.lchown('link', 5, 6)
put('b-linked', b'linked'); os.link('b-linked', 'a-linked'); os.link('b-linked', 'deep/er/linked')
with open('sparse', 'wb') as f:
    f.seek(1 << 20); f.write(b'middle'); f.truncate(8 << 20)
with open('hole', 'wb') as f: f.truncate(1 << 20)
os.mkfifo('fifo', 0o640); os.mknod('null', 0o20666, os.makedev(1, 3)); os.mknod('disk', 0o60600, os.makedev(7, 300))
socket.socket(socket.AF_UNIX).bind('socket')
os.setxattr('plain', 'user.a', b'1\n2=\0'); os.setxattr('deep', 'trusted.b', b'dir')
os.setxattr('plain', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))
for path, ns in [('plain', 1), ('link', -1500000000), ('empty', 1700000000123456789), ('deep', 5)]:
    os.utime(path, ns=(ns, ns), follow_symlinks=False)
os.link('/bin/busybox', '/all/busybox')
"#;
    let out = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(root_of(t, name))
        .output()
        .expect("run python");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_container_of_the_committed_image_has_the_same_tree() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    t.coracle([
        "exec",
        "c",
        "sh",
        "-c",
        "rm -r /home; mkdir /home; >/home/new; rm /bin/ls; chmod 700 /",
    ])
    .ok();
    fill(&t, "c");
    t.coracle(["commit", "c", "again"]).ok();
    t.coracle(["run", "-d", "--name", "d", "again", "sleep", "1000"]).ok();
    let (mut before, after) = (tree(&root_of(&t, "c")), tree(&root_of(&t, "d")));
    let is_socket = |line: &String| line.contains("'0o1407") || line.contains("b'all/socket'");
    assert_eq!(before.iter().filter(|line| is_socket(line)).count(), 1, "the socket is not there");
    before.retain(|line| !is_socket(line));
    let (before, after) = (of_image(before), of_image(after));
    assert!(before.iter().any(|line| line.contains("a-linked")), "nothing was compared");
    assert_eq!(before, after);
}

/// Without what lies on mounts, which is each container's own, and without /etc itself, in which
/// the engine makes the files to mount on.
fn of_image(lines: Vec<String>) -> Vec<String> {
    let mounted = ["(b'dev", "(b'proc", "(b'sys", "(b'etc'", "(b'etc/host", "(b'etc/resolv"];
    let kept = |line: &String| !mounted.iter().any(|mount| line.starts_with(mount));
    lines.into_iter().filter(kept).collect()
}

#[test]
fn an_exported_container_is_imported_with_the_same_tree() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "-v", "/vol", "busybox", "sleep", "1000"]).ok();
    fill(&t, "c");
    t.coracle([
        "exec",
        "c",
        "sh",
        "-c",
        "rm /all/socket; echo 1 >/vol/file; rm /bin/ls; echo 2 >/dev/shm/f",
    ])
    .ok();
    let running = t.coracle(["export", "c"]).ok().stdout;
    let names = t.path("names");
    fs::write(&names, &running).expect("write");
    let out = std::process::Command::new("tar").arg("tf").arg(&names).output().expect("run tar");
    let list = String::from_utf8_lossy(&out.stdout).into_owned();
    for (name, there) in [("vol/", true), ("vol/file", false), ("bin/ls", false), ("proc/", true)] {
        assert_eq!(list.lines().any(|line| line == name), there, "{name} in {list}");
    }
    assert!(!list.contains("proc/1/") && !list.contains("dev/shm/"), "{list}");

    let before = of_image(tree(&root_of(&t, "c")));
    t.coracle(["stop", "-t", "0", "c"]).ok();
    let file = t.path("out.tar");
    t.coracle(["container", "export", "-o", file.to_str().expect("a plain path"), "c"]).ok();
    assert!(fs::read(&file).expect("read") == running, "running and stopped differ");
    t.coracle(["import", file.to_str().expect("a plain path"), "flat"]).ok();
    t.coracle(["run", "-d", "--name", "d", "flat", "sleep", "1000"]).ok();
    let after = of_image(tree(&root_of(&t, "d")));
    let less = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !line.starts_with("(b'vol")).collect()
    };
    assert_eq!(less(before), less(after));
}

#[test]
fn the_config_of_a_commit_is_the_images_with_the_containers_and_the_changes() {
    let t = test!();
    t.coracle(["import", "-c", "CMD [\"sh\"]", "-c", "ENV A=1", "-c", "LABEL l=1", "-", "base"])
        .stdin(crate::common::image::busybox())
        .ok();
    let run = ["run", "--name", "c", "-e", "B=2", "-w", "/srv", "-u", "1000", "-v", "/data"];
    t.coracle([&run[..], &["--expose", "80", "base", "true"]].concat()).ok();
    let id = t.says([
        "commit",
        "-m",
        "a message",
        "-a",
        "me",
        "-c",
        "CMD [\"ls\"]",
        "-c",
        "ENV C=3",
        "c",
        "team/app:v1",
    ]);
    let image = t.inspect("team/app:v1");
    assert_eq!(image["Id"], id);
    let config = &image["Config"];
    assert_eq!(config["Cmd"], serde_json::json!(["ls"]));
    assert_eq!(config["Env"], serde_json::json!(["A=1", "B=2", "C=3"]));
    assert_eq!((&config["WorkingDir"], &config["User"]), (&"/srv".into(), &"1000".into()));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
    assert_eq!(config["Volumes"], serde_json::json!({"/data": {}}));
    assert_eq!(config["Labels"], serde_json::json!({"l": "1"}));
    assert_eq!((&image["Author"], &image["Comment"]), (&"me".into(), &"a message".into()));
    let layers = |name: &str| t.inspect(name)["RootFS"]["Layers"].clone();
    assert_eq!(layers("team/app:v1").as_array().expect("layers").len(), 2);

    // As the documentation of 2014 has it.
    t.coracle([
        "commit",
        "-run={\"Cmd\": [\"echo\", \"hi\"], \"PortSpecs\": [\"22\"]}",
        "c",
        "old",
    ])
    .ok();
    t.coracle(["run", "--rm", "old"]).stdout("hi\n").ok();
    let ports = t.inspect("old")["Config"]["ExposedPorts"].clone();
    assert_eq!(ports, serde_json::json!({"22/tcp": {}, "80/tcp": {}}));
    assert_eq!(layers("old"), layers("team/app:v1"), "an unchanged container made another layer");
}

#[test]
fn a_container_without_changes_gives_an_empty_layer() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "a", "busybox", "true"]).ok();
    t.coracle(["run", "--name", "b", "busybox", "true"]).ok();
    t.coracle(["commit", "a", "one"]).ok();
    t.coracle(["commit", "b", "two"]).ok();
    let layers = |name: &str| t.inspect(name)["RootFS"]["Layers"].clone();
    // The digest of a tar of nothing, as Docker has it.
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(layers("one")[1], empty);
    assert_eq!(layers("one"), layers("two"));
}

#[test]
fn bad_words_change_nothing() {
    let t = test!(busybox);
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();
    for (args, code, told) in [
        (&["commit", "c", "Bad"][..], 125, "invalid reference format"),
        (&["commit", "-c", "FROM x", "c"], 125, "unknown instruction"),
        (&["commit", "--run", "{\"Comd\": 1}", "c"], 125, "unknown field \"Comd\""),
        (&["commit", "none"], 1, "no such container: none"),
        (&["diff", "none"], 1, "no such container: none"),
        (&["export", "none"], 1, "no such container: none"),
    ] {
        t.coracle(args.iter()).code(code).stderr_has(told).ok();
    }
    assert_eq!(t.says(["images", "-q"]).lines().count(), 1);
    // A name that means something else in a layer.
    changed(&t, "wh", ">/.wh.x");
    t.coracle(["commit", "wh"]).code(1).stderr_has("a layer cannot hold /.wh.x").ok();
    assert_eq!(t.says(["images", "-q"]).lines().count(), 1);
    let mut export = t.coracle(["export", "c"]).on_terminal(24, 80);
    export.until("stdout is a terminal");
    assert_eq!(export.wait(), 125);
}

/// A container that counts, and whether it goes on.
pub fn count(t: &Test, name: &str) {
    t.script(name, &[], "i=0; while :; do i=$((i+1)); echo $i; usleep 1000; done");
    t.wait_for_log(name, "5");
}

pub fn goes_on(t: &Test, name: &str) {
    let log = t.records(name).join("log");
    let size = fs::metadata(&log).expect("a log").len();
    t.wait_for_size(&log, size + 1);
}

/// A file large enough for a commit to be under way for a while.
fn make_large(t: &Test, name: &str) {
    let script = "for i in 1 2 3 4; do mkdir /d$i; for j in $(seq 300); do >/d$i/$j; done; done
        dd if=/dev/zero of=/large bs=1M count=48 2>/dev/null";
    t.coracle(["exec", name, "sh", "-c", script]).ok();
}

#[test]
fn a_frozen_container_is_thawed_whoever_is_killed() {
    let t = test!(busybox);
    count(&t, "c");
    make_large(&t, "c");
    let pid = t.pid("c");
    for delay in (0..30).step_by(2) {
        let commit = t.coracle(["commit", "c"]).spawn();
        commit.ends_within(Duration::from_millis(delay));
        kill_if_there(commit.pid());
        drop(commit);
        goes_on(&t, "c");
    }
    // The monitor as well: the next one thaws.
    for delay in [5, 10, 20] {
        let name = &format!("c{delay}");
        count(&t, name);
        make_large(&t, name);
        let monitor = t.monitor(name);
        let commit = t.coracle(["commit", name]).spawn();
        commit.ends_within(Duration::from_millis(delay));
        kill_if_there(commit.pid());
        drop(commit);
        kill(monitor);
        t.coracle(["run", "--rm", "busybox", "true"]).any_stderr().ok();
        goes_on(&t, name);
        t.coracle(["rm", "-f", name]).any_stderr().ok();
    }
    assert_eq!(t.pid("c"), pid);
    // Nothing half-made is to be seen, and another try works.
    for id in t.says(["images", "-q", "--no-trunc"]).lines() {
        t.coracle(["run", "--rm", id, "true"]).any_stderr().ok();
    }
    t.coracle(["commit", "c", "whole"]).ok();
    let script = "ls /d4 | wc -l; stat -c %s /large";
    t.coracle(["run", "--rm", "whole", "sh", "-c", script]).stdout("300\n50331648\n").ok();
    assert_eq!(fs::read_dir(t.root().join("images/tmp")).expect("read").count(), 0);
}

fn kill_if_there(pid: Pid) {
    if let Ok(fd) = pidfd::open(pid) {
        let _ = pidfd::send_signal(fd.as_fd(), coracle::types::Signal::KILL);
    }
}

#[test]
fn two_commits_at_once_hold_the_container_until_both_are_done() {
    let t = test!(busybox);
    count(&t, "c");
    make_large(&t, "c");
    let one = t.coracle(["commit", "c", "one"]).spawn();
    let two = t.coracle(["commit", "c", "two"]).spawn();
    for mut commit in [one, two] {
        assert_eq!(commit.wait(), 0);
    }
    goes_on(&t, "c");
    let layers = |name: &str| t.inspect(name)["RootFS"]["Layers"].clone();
    assert_eq!(layers("one"), layers("two"));
    t.coracle(["commit", "--pause=false", "c", "three"]).ok();
    assert_eq!(layers("three"), layers("two"));
}

#[test]
fn images_are_whole_though_their_container_is_stopped_and_started_all_the_time() {
    let t = test!(busybox);
    // One number in two files: the second is never more than one behind the first.
    let script = "mkdir -p /d; n=$(cat /d/last 2>/dev/null || echo 0); echo begun; while :; do
        n=$((n+1)); for f in first last; do echo $n >/d/new; mv /d/new /d/$f; done; done";
    t.script("c", &["--net=none"], script);
    let number = |n: &str| n.parse::<u64>().unwrap_or_else(|_| panic!("no number: {n:?}"));
    let first = t.records("c").join("upper/d/last");
    t.wait_for_size(&first, 2);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for verb in [&["restart", "-t", "0", "c"][..], &["stop", "-t", "0", "c"]] {
                    // Whoever waits long is told for whom.
                    t.coracle(verb).any_stderr().ok();
                }
                t.coracle(["start", "c"]).any_stderr().ok();
            }
        });
        let commit = |name: &str| loop {
            let mut commit = t.coracle(["commit", "c", name]).spawn();
            if commit.wait() == 0 {
                return;
            }
            let said = String::from_utf8(commit.rest_of_stderr()).expect("text");
            assert!(said.contains("meanwhile") && said.contains("hint: try again"), "{said}");
        };
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            commit(name);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let mut before = 0;
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let look = ["run", "--rm", "--net=none", name, "cat", "/d/first", "/d/last"];
        let said = t.says(look);
        let (first, last) = said.split_once('\n').expect("two numbers");
        let (first, last) = (number(first), number(last));
        assert!(first == last || first == last + 1, "{name}: {first} {last}");
        assert!(last >= before, "{name} has {last}, and the one before it {before}");
        before = last;
    }
    t.coracle(["fsck"]).stdout_has("").ok();
}
