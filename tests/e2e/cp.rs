//! `cp`: both ways and as a tar, into what runs and what does not, by Docker's rules, and with
//! links that want to lead out.

use crate::common::{Test, eventually};
use crate::test;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// A container that was created, and another that runs.
fn both(t: &Test) -> [&'static str; 2] {
    t.coracle(["create", "--name", "down", "busybox", "true"]).ok();
    t.coracle(["run", "-d", "--name", "up", "busybox", "sleep", "1000"]).ok();
    ["down", "up"]
}

fn cp(t: &Test, from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let words = [from.as_ref().to_str().expect("text"), to.as_ref().to_str().expect("text")];
    t.coracle(["cp", words[0], words[1]]).stdout("").ok();
}

/// What a file of a container holds.
fn content(t: &Test, container: &str, path: &str) -> String {
    let to = t.path("looked-at");
    let _ = fs::remove_file(&to);
    cp(t, format!("{container}:{path}"), &to);
    fs::read_to_string(to).expect("read the copy")
}

#[test]
fn what_is_there_decides_where_things_go() {
    let t = test!(busybox);
    let here = t.dir("here");
    fs::create_dir_all(here.join("dir/sub")).expect("make directories");
    fs::write(here.join("dir/sub/file"), "deep").expect("write");
    fs::write(here.join("file"), "one").expect("write");
    for c in both(&t) {
        let to = |path: &str| format!("{c}:{path}");
        cp(&t, here.join("file"), to("/new"));
        cp(&t, here.join("file"), to("/tmp"));
        cp(&t, here.join("file"), to("tmp/"));
        cp(&t, here.join("dir"), to("/made"));
        cp(&t, here.join("dir"), to("/tmp"));
        cp(&t, here.join("dir/."), to("/tmp"));
        for (path, text) in [
            ("/new", "one"),
            ("/tmp/file", "one"),
            ("/made/sub/file", "deep"),
            ("/tmp/dir/sub/file", "deep"),
            ("/tmp/sub/file", "deep"),
        ] {
            assert_eq!(content(&t, c, path), text, "{c}:{path}");
        }
        fs::write(here.join("file"), "two").expect("write");
        cp(&t, here.join("file"), to("/new"));
        assert_eq!(content(&t, c, "/new"), "two");
        fs::write(here.join("file"), "one").expect("write");

        for (from, to, text) in [
            (here.join("file"), to("/nowhere/"), "the directory"),
            (here.join("file"), to("/nowhere/x"), "could not find"),
            (here.join("file/"), to("/x"), "file/"),
            (here.join("none"), to("/x"), "could not find"),
            (here.join("dir"), to("/new"), "is a file, and cannot become a directory"),
            (here.join("file"), to("/new/"), "is no directory"),
        ] {
            let words = ["cp", from.to_str().expect("text"), &to];
            t.coracle(words).code(1).stdout("").stderr_has(text).ok();
        }
        t.coracle(["cp", &to("/none"), "/tmp"]).code(1).stderr_has("could not find").ok();

        let out = t.dir(&format!("out-{c}"));
        cp(&t, to("/made"), &out);
        cp(&t, to("/made/."), out.join("content"));
        cp(&t, to("/made/sub/file"), out.join("renamed"));
        for path in ["made/sub/file", "content/sub/file", "renamed"] {
            assert_eq!(fs::read_to_string(out.join(path)).expect("read"), "deep", "{path}");
        }
    }
    t.coracle(["cp", "up:/a", "down:/b"]).code(125).stderr_has("between containers").ok();
}

#[test]
fn owners_modes_times_links_and_holes_are_kept() {
    let t = test!(busybox);
    let here = t.dir("here/tree");
    let file = here.join("file");
    fs::write(&file, "text").expect("write");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o4750)).expect("chmod");
    std::os::unix::fs::chown(&file, Some(1234), Some(4321)).expect("chown");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o4750)).expect("chmod");
    fs::hard_link(&file, here.join("again")).expect("link");
    symlink("/etc/passwd", here.join("link")).expect("link");
    let sparse = fs::File::create(here.join("sparse")).expect("create");
    sparse.set_len(1 << 30).expect("set the length");
    for c in both(&t) {
        cp(&t, &here, format!("{c}:/"));
        let kept = t.path(&format!("kept-{c}"));
        t.coracle(["cp", "-a", &format!("{c}:/tree"), kept.to_str().expect("text")]).ok();
        let plain = t.path(&format!("plain-{c}"));
        cp(&t, format!("{c}:/tree"), &plain);
        let meta = |dir: &Path, name: &str| fs::symlink_metadata(dir.join(name)).expect(name);
        let old = meta(&here, "file");
        let new = meta(&kept, "file");
        assert_eq!((new.uid(), new.gid(), new.mode()), (1234, 4321, old.mode()));
        assert_eq!((new.mtime(), new.mtime_nsec()), (old.mtime(), old.mtime_nsec()));
        assert_eq!(new.ino(), meta(&kept, "again").ino());
        // Not ours to give: the right of another owner.
        let ours = meta(&plain, "file");
        assert_eq!((ours.uid(), ours.gid(), ours.mode() & 0o7777), (0, 0, 0o750));
        assert_eq!(fs::read_link(kept.join("link")).expect("a link"), Path::new("/etc/passwd"));
        let sparse = meta(&kept, "sparse");
        assert_eq!(sparse.len(), 1 << 30);
        assert!(sparse.blocks() * 512 < 1 << 20, "the hole was filled");
        // What the link leads to is of the container.
        let followed = t.path(&format!("followed-{c}"));
        let link = format!("{c}:/tree/link");
        cp(&t, here.join("file"), format!("{c}:/etc/passwd"));
        t.coracle(["cp", "-L", &link, followed.to_str().expect("text")]).ok();
        assert_eq!(fs::read_to_string(&followed).expect("read"), "text");
    }
}

#[test]
fn a_tar_goes_in_and_comes_out() {
    let t = test!(busybox);
    let here = t.dir("here/d/sub");
    fs::write(here.join("file"), "text").expect("write");
    for c in both(&t) {
        let tar = Command::new("tar")
            .args(["-C", t.path("here").to_str().expect("text"), "-cz", "d"])
            .output()
            .expect("run tar");
        t.coracle(["cp", "-", &format!("{c}:/tmp")]).stdin(tar.stdout).ok();
        assert_eq!(content(&t, c, "/tmp/d/sub/file"), "text");
        let out = t.coracle(["cp", &format!("{c}:/tmp/d"), "-"]).ok();
        let mut list = Command::new("tar")
            .arg("-t")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run tar");
        let mut stdin = list.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, &out.stdout).expect("write to tar");
        drop(stdin);
        let listed = list.wait_with_output().expect("run tar");
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "d/\nd/sub/\nd/sub/file\n");
        t.coracle(["cp", "-", &format!("{c}:/none")]).code(1).stderr_has("could not find").ok();
        t.coracle(["cp", "-", &format!("{c}:/bin/busybox")])
            .code(1)
            .stderr_has("no directory")
            .ok();
    }
}

#[test]
fn volumes_and_binds_are_seen_and_written() {
    let t = test!(busybox);
    let bind = t.dir("bind");
    let from = t.path("from");
    fs::write(&from, "text").expect("write");
    let mount = format!("{}:/bind", bind.display());
    let options = ["-v", "vol:/deep/vol", "-v", &mount, "-v", "/tmp:/ro:ro"];
    let create = [&["create", "--name", "down"], &options[..], &["busybox", "true"]];
    t.coracle(create.concat()).ok();
    let run = [&["run", "-d", "--name", "up"], &options[..], &["--tmpfs", "/mem"]];
    t.coracle([run.concat(), vec!["busybox", "sleep", "1000"]].concat()).ok();
    for c in ["down", "up"] {
        cp(&t, &from, format!("{c}:/bind/{c}"));
        cp(&t, &from, format!("{c}:/deep/vol/{c}"));
        assert_eq!(fs::read_to_string(bind.join(c)).expect("read"), "text");
        assert_eq!(t.says(["exec", "up", "cat", &format!("/deep/vol/{c}")]), "text");
        let words = ["cp", from.to_str().expect("text"), &format!("{c}:/ro/x")];
        t.coracle(words).code(1).stderr_has("read-only").ok();
    }
    cp(&t, &from, "up:/mem/x");
    assert_eq!(t.says(["exec", "up", "cat", "/mem/x"]), "text");
    // Nothing of it is left mounted, and the container starts.
    t.coracle(["start", "-a", "down"]).ok();
}

#[test]
fn links_of_a_container_never_lead_out_of_it() {
    let t = test!(busybox);
    let secret = t.path("secret");
    fs::write(&secret, "host").expect("write");
    let victim = t.dir("victim");
    let evil = t.path("evil");
    fs::write(&evil, "evil").expect("write");
    let base = t.path("").display().to_string();
    let script = format!(
        "mkdir -p /a/b; ln -s {base}/secret /a/file; ln -s {base}/victim /a/dir; \
         ln -s ../../../../../../../..{base}/victim /a/up; ln -s loop /a/loop; \
         ln -s /proc/1/root{base}/victim /a/proc; echo ready; exec sleep 1000"
    );
    t.script("c", &[], &script);
    t.wait_for_log("c", "ready");
    let refused = |from: &str, to: &str| {
        t.coracle(["cp", from, to]).code(1).stdout("").any_stderr().ok();
    };
    let evil = evil.to_str().expect("text");
    refused(evil, "c:/a/dir/evil");
    refused(evil, "c:/a/up/evil");
    refused(evil, "c:/a/proc/evil");
    refused(evil, "c:/a/loop");
    t.coracle(["cp", "-L", "c:/a/file", "/tmp/never"]).code(1).any_stderr().ok();
    // The link itself may be had.
    let out = t.dir("out");
    cp(&t, "c:/a", &out);
    assert!(fs::symlink_metadata(out.join("a/file")).expect("a link").is_symlink());

    // A tar with the same intent.
    let tree = t.dir("tar");
    symlink(&victim, tree.join("x")).expect("link");
    let tar = |args: &[&str]| {
        let mut tar = Command::new("tar");
        tar.current_dir(&tree).args(args);
        let output = tar.output().expect("run tar");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    tar(&["-cf", "both.tar", "x"]);
    fs::remove_file(tree.join("x")).expect("remove");
    fs::create_dir(tree.join("x")).expect("make a directory");
    fs::write(tree.join("x/evil"), "evil").expect("write");
    tar(&["-rf", "both.tar", "x/evil"]);
    tar(&["-cf", "up.tar", "-P", "--transform", "s,x/evil,../../../evil,", "x/evil"]);
    let both = fs::read(tree.join("both.tar")).expect("read");
    t.coracle(["cp", "-", "c:/a/b"]).stdin(both).code(1).any_stderr().ok();
    let up = fs::read(tree.join("up.tar")).expect("read");
    t.coracle(["cp", "-", "c:/a/b"]).stdin(up).code(1).stderr_has("leads out").ok();
    assert_eq!(fs::read_dir(&victim).expect("read").count(), 0);
    assert_eq!(fs::read_to_string(&secret).expect("read"), "host");
}

/// What whoever is on the host can see of a file of it.
fn seen(path: &Path) -> (String, u32, u32, u32) {
    let meta = fs::metadata(path).expect("look at the file");
    (fs::read_to_string(path).expect("read"), meta.mode(), meta.uid(), meta.gid())
}

/// Does `work` while another thread puts links in the place of the fifos that come into a directory,
/// and removes what was put there for good.
fn while_links_come(dir: &Path, to: &Path, work: impl FnOnce()) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let link = dir.with_extension("link");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let Ok(names) = fs::read_dir(dir) else { continue };
                for entry in names.flatten() {
                    if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                        let _ = symlink(to, &link);
                        let _ = fs::rename(&link, entry.path());
                    } else if !entry.file_name().to_string_lossy().starts_with(".coracle-cp") {
                        let _ = fs::remove_file(entry.path());
                    }
                }
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_container_that_changes_its_links_meanwhile_gets_nothing_of_the_host() {
    let t = test!(busybox);
    let victim = t.dir("victim");
    let tree = t.dir("tree");
    for n in 0..50 {
        fs::create_dir_all(tree.join(format!("d{n}"))).expect("make a directory");
        fs::write(tree.join(format!("d{n}/f")), "x").expect("write");
    }
    let script = format!(
        "mkdir /in; ln -s {} /link; echo ready; \
         while :; do for n in /in/*; do mv $n /gone 2>/dev/null && ln -s /link $n; rm -rf /gone; \
         done; rm -rf /in/d*; done",
        victim.display()
    );
    t.script("c", &[], &script);
    t.wait_for_log("c", "ready");
    let from = format!("{}/.", tree.display());
    for _ in 0..20 {
        let run = t.coracle(["cp", &from, "c:/in"]).spawn();
        assert!(run.ends_within(crate::common::LIMIT));
    }
    assert_eq!(fs::read_dir(&victim).expect("read").count(), 0);
    // Where nobody is in the way the same copy succeeds.
    cp(&t, &from, "c:/tmp");
    assert_eq!(t.says(["exec", "c", "sh", "-c", "cat /tmp/d*/f | wc -c"]), "50");
}

#[test]
fn a_container_that_changes_what_is_made_meanwhile_changes_nothing_of_the_host() {
    let t = test!(busybox);
    let secret = t.path("secret");
    fs::write(&secret, "secret").expect("write");
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("chmod");
    let before = seen(&secret);
    let tree = t.dir("tree");
    let script = "n=0; while [ $n -lt 1000 ]; do mkfifo -m 666 $n; n=$((n+1)); done; \
                  chown 12:34 *; tar -cf ../fifos.tar *";
    let made = Command::new("sh").args(["-ec", script]).current_dir(&tree).status();
    assert!(made.expect("run sh").success());
    let tar = format!("exec \"$@\" <{}", t.path("fifos.tar").display());
    t.script("c", &[], "mkdir /drop; echo ready; exec sleep 1000");
    t.wait_for_log("c", "ready");
    let drop = format!("/proc/{}/root/drop", t.pid("c"));
    while_links_come(Path::new(&drop), &secret, || {
        for _ in 0..30 {
            t.coracle(["cp", "-", "c:/drop"]).by(&tar).spawn().wait();
        }
    });
    assert_eq!(seen(&secret), before);
    // The same out, where the directory is another user's.
    cp(&t, &tree, "c:/");
    let out = t.dir("out");
    let to = out.to_str().expect("text");
    while_links_come(&out, &secret, || {
        for _ in 0..30 {
            t.coracle(["cp", "c:/tree/.", to]).spawn().wait();
        }
    });
    assert_eq!(seen(&secret), before);
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let t = test!(busybox);
    let here = t.dir("here");
    let make = |args: &[&str]| {
        let made = Command::new(args[0]).args(&args[1..]).current_dir(&here).status();
        assert!(made.expect("run it").success());
    };
    make(&["mknod", "null", "c", "1", "3"]);
    make(&["mkfifo", "fifo"]);
    symlink("null", here.join("link")).expect("link");
    let _socket = std::os::unix::net::UnixListener::bind(here.join("socket")).expect("a socket");
    let at = |name: &str| here.join(name).to_str().expect("text").to_string();
    for c in both(&t) {
        let file = format!("{c}:/etc/passwd");
        for (name, kind) in
            [("null", "a device"), ("fifo", "a fifo"), ("socket", "a socket"), ("link", "a device")]
        {
            let text = format!("must be a directory or a regular file: got {kind}");
            let old = fs::metadata(at(name)).expect("it is there");
            t.coracle(["cp", &file, &at(name)]).code(1).stderr_has(&text).ok();
            let new = fs::metadata(at(name)).expect("it is there");
            assert_eq!((new.ino(), new.mode()), (old.ino(), old.mode()), "{name}");
        }
        fs::write(at("text"), "text").expect("write");
        t.coracle(["cp", &at("fifo"), &format!("{c}:/tmp/fifo")]).ok();
        t.coracle(["cp", &at("text"), &format!("{c}:/tmp/fifo")])
            .code(1)
            .stderr_has(&format!("{c}:/tmp/fifo must be a directory or a regular file: got a fifo"))
            .ok();
    }
    let words = ["cp", &at("text"), "up:/dev/null"];
    t.coracle(words).code(1).stderr_has("up:/dev/null must be").ok();
    t.coracle(["exec", "up", "sh", "-c", "echo x >/dev/null; test -c /dev/null"]).ok();
}

#[test]
fn devices_of_a_container_stay_in_it() {
    let t = test!(busybox);
    let script = "mkdir /d; mknod -m 666 /d/mem c 1 1; ln /d/mem /d/again; \
                  mknod -m 666 /d/disk b 254 0; mkfifo -m 640 /d/fifo; echo text >/d/file";
    t.script("up", &[], &format!("{script}; echo ready; exec sleep 1000"));
    t.wait_for_log("up", "ready");
    t.coracle(["run", "--name", "down", "busybox", "sh", "-c", script]).ok();
    for c in ["up", "down"] {
        let plain = t.path(&format!("plain-{c}"));
        t.coracle(["cp", &format!("{c}:/d"), plain.to_str().expect("text")])
            .stderr_has("warning: 3 devices were not copied, the first")
            .stderr_has("plain-")
            .ok();
        let mut names: Vec<_> = fs::read_dir(&plain)
            .expect("read")
            .map(|entry| entry.expect("read").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        assert_eq!(names, ["fifo", "file"]);
        assert_eq!(fs::metadata(plain.join("fifo")).expect("there").mode() & 0o7777, 0o640);
        let one = t.path("one");
        t.coracle(["cp", &format!("{c}:/d/mem"), one.to_str().expect("text")])
            .code(1)
            .stderr_has(&format!("{c}:/d/mem is a device"))
            .ok();
        assert!(!one.exists());
        let kept = t.path(&format!("kept-{c}"));
        t.coracle(["cp", "-a", &format!("{c}:/d"), kept.to_str().expect("text")]).ok();
        let disk = fs::metadata(kept.join("disk")).expect("there");
        assert_eq!((disk.mode(), disk.rdev()), (0o060_666, 254 << 8));
        // Back in they go as they are.
        t.coracle(["cp", kept.to_str().expect("text"), &format!("{c}:/back")]).ok();
        t.coracle(["cp", "-a", &format!("{c}:/back/mem"), one.to_str().expect("text")]).ok();
        assert_eq!(fs::metadata(&one).expect("there").rdev(), 0x101);
        fs::remove_file(&one).expect("remove");
    }
}

#[test]
fn killed_it_leaves_the_file_that_was_there() {
    let t = test!(busybox);
    let large = t.path("large");
    let old = "old".repeat(1000);
    fs::write(&large, vec![b'n'; 20 << 20]).expect("write");
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    let first = t.path("first");
    fs::write(&first, &old).expect("write");
    cp(&t, &first, "c:/f");
    for delay in 0..8 {
        let words = ["cp", large.to_str().expect("text"), "c:/f"];
        let run = t.coracle(words).spawn();
        run.ends_within(std::time::Duration::from_millis(delay));
        run.signal(coracle::types::Signal::KILL);
        drop(run);
        let size = t.says(["exec", "c", "stat", "-c", "%s", "/f"]);
        assert!(size == "3000" || size == (20 << 20).to_string(), "{size}");
    }
}

#[test]
fn what_a_killed_copy_left_goes_with_the_next() {
    let t = test!(busybox);
    let tree = t.dir("tree");
    for n in 0..200 {
        symlink("somewhere", tree.join(n.to_string())).expect("link");
    }
    t.script("c", &[], "mkdir /d; echo ready; exec sleep 1000");
    t.wait_for_log("c", "ready");
    let from = format!("{}/.", tree.display());
    cp(&t, &from, "c:/d");
    for delay in 0..40 {
        let run = t.coracle(["cp", &from, "c:/d"]).spawn();
        run.ends_within(std::time::Duration::from_millis(delay / 2));
        run.signal(coracle::types::Signal::KILL);
        drop(run);
    }
    // As many as a kill may leave, and names that were made to stand in the way.
    let plant = "for n in 1 2 3; do : >/d/.coracle-cp-000000000000000$n; done; \
                 mkdir /d/.coracle-cp-0000000000000004; : >/d/.coracle-cp-mine";
    t.coracle(["exec", "c", "sh", "-c", plant]).ok();
    cp(&t, &from, "c:/d");
    let kept = t.says(["exec", "c", "sh", "-c", "ls -dA /d/.c*"]);
    assert_eq!(kept, "/d/.coracle-cp-0000000000000004\n/d/.coracle-cp-mine");
    assert_eq!(t.says(["exec", "c", "sh", "-c", "ls /d | wc -l"]), "200");
}

#[test]
fn the_whole_root_of_one_that_runs_is_copied_without_what_the_kernel_tells() {
    let t = test!(busybox);
    let bind = t.dir("bind");
    fs::write(bind.join("bound"), "bound").expect("write");
    let mount = format!("{}:/mnt/bind", bind.display());
    let options = ["-v", "vol:/deep/vol", "-v", &mount, "--tmpfs", "/mem"];
    t.script("c", &options, "echo v >/deep/vol/f; echo m >/mem/f; echo ready; exec sleep 1000");
    t.wait_for_log("c", "ready");
    let out = t.path("out");
    cp(&t, "c:/", &out);
    for path in ["mnt/bind/bound", "deep/vol/f", "mem/f", "etc/passwd", "bin/busybox"] {
        assert!(out.join(path).exists(), "{path}");
    }
    let tar = t.coracle(["cp", "c:/", "-"]).ok().stdout;
    let unpacked = t.dir("unpacked");
    t.coracle(["exec", "c", "true"]).ok();
    let mut child = Command::new("tar")
        .args(["-C", unpacked.to_str().expect("text"), "-x"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("run tar");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), &tar).expect("write");
    assert!(child.wait().expect("run tar").success());
    for dir in [&out, &unpacked] {
        for path in ["proc", "sys", "dev"] {
            let names = fs::read_dir(dir.join(path)).expect("a directory");
            assert_eq!(names.count(), 0, "{path}");
        }
        assert_eq!(fs::read_to_string(dir.join("deep/vol/f")).expect("read"), "v\n");
    }
    // Named, they are read, and whole though their size is told as nothing, or as a page.
    let cpuinfo = content(&t, "c", "/proc/cpuinfo");
    assert!(cpuinfo.contains("processor"), "{cpuinfo}");
    let sys = "/sys/kernel/mm/transparent_hugepage/enabled";
    let sys = if Path::new(sys).exists() { sys } else { "/sys/kernel/uevent_seqnum" };
    let told = t.says(["exec", "c", "cat", sys]);
    assert_eq!(content(&t, "c", sys).trim_end(), told);
    let tar = t.coracle(["cp", &format!("c:{sys}"), "-"]).ok().stdout;
    let text = String::from_utf8_lossy(&tar);
    assert!(text.contains(&format!("{told}\n\0")), "{text}");
}

#[test]
fn between_two_runs_a_container_is_copied_to_and_stays_down() {
    let t = test!(busybox);
    let file = t.path("file");
    fs::write(&file, "from the host").expect("write");
    let text = file.to_str().expect("text");
    t.script("c", &["--restart", "always"], "test -e /stay && exec sleep 1000; exit 3");
    let count = || t.inspect("c")["RestartCount"].as_u64().expect("a number");
    t.wait_for_status("c", "restarting");
    // While one reads from it, it is not started again.
    let stalled = "exec 3<&0; \"$@\" </dev/null | \
                   { head -c 1000 >/dev/null; echo begun; read x <&3; cat >/dev/null; }";
    let mut export = t.coracle(["export", "c"]).by(stalled).spawn();
    export.until("begun");
    let held = count();
    let mut waits = t.coracle(["stop", "c"]).spawn();
    assert!(waits.hears("is held by export").contains("waiting for its end"));
    assert_eq!(count(), held);
    export.write("\n");
    assert_eq!(export.wait(), 0);
    assert_eq!(waits.wait(), 0);
    t.coracle(["start", "c"]).ok();
    t.wait_for_status("c", "restarting");
    cp(&t, &file, "c:/h");
    assert_eq!(content(&t, "c", "/h"), "from the host");
    t.coracle(["cp", text, "c:/stay"]).ok();
    t.wait_for_status("c", "running");
    assert_eq!(content(&t, "c", "/stay"), "from the host");
}

#[test]
fn who_waits_for_a_copy_hears_of_it_and_none_waits_for_ever_to_remove() {
    let t = test!(busybox);
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();
    let mut copy = t.coracle(["cp", "-", "c:/tmp"]).spawn();
    let held = format!("is held by cp (process {})", copy.pid());
    // It has the container once it has put the first file there.
    let mut header = tar::Header::new_gnu();
    header.set_path("first").expect("a path");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    copy.write(header.as_bytes());
    let first = t.records("c").join("upper/tmp/first");
    eventually("cp puts the first file", || first.exists());
    let mut start = t.coracle(["start", "c"]).spawn();
    assert!(start.hears(&held).contains("waiting for its end"));
    t.coracle(["rm", "-f", "c"]).code(1).stderr_has(&held).stderr_has("or end it: kill").ok();
    copy.signal(coracle::types::Signal::KILL);
    assert_eq!(copy.wait(), 137);
    assert_eq!(start.wait(), 0);
    t.coracle(["rm", "-f", "c"]).ok();
}

#[test]
fn a_root_that_is_marked_read_only_is_not_written_to_also_while_down() {
    let t = test!(busybox);
    let file = t.path("file");
    fs::write(&file, "text").expect("write");
    let file = file.to_str().expect("text");
    let options = ["--read-only", "-v", "vol:/new/vol"];
    t.coracle([&["create", "--name", "down"], &options[..], &["busybox", "true"]].concat()).ok();
    t.script("up", &options, "exec sleep 1000");
    for c in ["down", "up"] {
        t.coracle(["cp", file, &format!("{c}:/f")])
            .code(1)
            .stderr_has("read-only file system")
            .stderr_has("hint: the container's root is marked read-only: copy to a volume of it")
            .ok();
        cp(&t, file, format!("{c}:/new/vol/{c}"));
        assert_eq!(content(&t, c, &format!("/new/vol/{c}")), "text");
    }
}

#[test]
fn a_directory_is_not_copied_into_itself() {
    let t = test!(busybox);
    let data = t.dir("data");
    fs::write(data.join("file"), "text").expect("write");
    let mount = format!("{}:/data", data.display());
    t.script("c", &["-v", &mount], "exec sleep 1000");
    let inside = data.join("x");
    for from in ["c:/data", "c:/"] {
        let words = ["cp", from, inside.to_str().expect("text")];
        t.coracle(words).code(1).stderr_has("cannot copy a directory into itself").ok();
        assert!(!inside.join("x").exists() && !inside.join("data/x/data").exists());
        fs::remove_dir_all(&inside).expect("remove");
    }
    let words = ["cp", "c:/data/.", data.to_str().expect("text")];
    t.coracle(words).code(1).stderr_has("cannot copy a directory into itself").ok();
}

#[test]
fn with_a_what_goes_in_belongs_to_the_containers_user() {
    let t = test!(busybox);
    let file = t.path("file");
    fs::write(&file, "text").expect("write");
    std::os::unix::fs::chown(&file, Some(77), Some(88)).expect("chown");
    let mut tar = Command::new("tar");
    tar.args(["-C", t.path("").to_str().expect("text"), "-c", "file"]);
    let tar = tar.output().expect("run tar").stdout;
    let owner = |c: &str, path: &str| t.says(["exec", c, "stat", "-c", "%u:%g", path]);
    t.script("user", &["-u", "1000:2000"], "exec sleep 1000");
    t.script("root", &[], "exec sleep 1000");
    for (c, given) in [("user", "1000:2000"), ("root", "77:88")] {
        let file = file.to_str().expect("text");
        t.coracle(["cp", "-a", file, &format!("{c}:/tmp/a")]).ok();
        t.coracle(["cp", file, &format!("{c}:/tmp/plain")]).ok();
        t.coracle(["cp", "-a", "-", &format!("{c}:/tmp")]).stdin(&tar[..]).ok();
        assert_eq!([owner(c, "/tmp/a"), owner(c, "/tmp/file")], [given, given]);
        assert_eq!(owner(c, "/tmp/plain"), "77:88");
    }
}

#[test]
fn attributes_of_files_come_along() {
    let t = test!(busybox);
    let tree = t.dir("tree");
    let python = |script: &str, file: &Path| {
        let script = format!("import os, sys; f = sys.argv[1]; {script}");
        let output = Command::new("python3").args(["-c", &script]).arg(file).output();
        let output = output.expect("run python3");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {told}");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    fs::write(tree.join("file"), "text").expect("write");
    // CAP_NET_RAW, as setcap(8) writes it, and one of the user's.
    let set =
        "os.setxattr(f, 'security.capability', bytes.fromhex('01000002' + '00200000' + '00' * 12))
os.setxattr(f, 'user.note', b'hello')";
    python(set, &tree.join("file"));
    let get = "print(os.getxattr(f, 'security.capability').hex(), os.getxattr(f, 'user.note'))";
    let before = python(get, &tree.join("file"));
    for c in both(&t) {
        cp(&t, &tree, format!("{c}:/tree"));
        let out = t.path(&format!("out-{c}"));
        t.coracle(["cp", "-a", &format!("{c}:/tree"), out.to_str().expect("text")]).ok();
        assert_eq!(python(get, &out.join("file")), before, "{c}");
        // Else no privileges come out, as no owners do.
        let mine = t.path(&format!("mine-{c}"));
        cp(&t, format!("{c}:/tree"), &mine);
        assert_eq!(python("print(os.listxattr(f))", &mine.join("file")), "['user.note']", "{c}");
    }
    // The program inside has what the attribute gives.
    let line = ["exec", "-u", "app", "up", "/tree/grep", "CapEff", "/proc/self/status"];
    let busybox = tree.join("grep");
    fs::copy("/bin/busybox", &busybox).expect("copy");
    python(set, &busybox);
    cp(&t, &busybox, "up:/tree/grep");
    assert!(t.says(line).ends_with("0000000000002000"));
}

#[test]
fn a_terminal_is_told_what_was_copied_but_with_q() {
    let t = test!(busybox);
    fs::write(t.path("file"), "text").expect("write");
    let file = t.path("file").display().to_string();
    let c = both(&t)[0];
    let to = format!("{c}:/file");
    let mut loud = t.coracle(["cp", &file, &to]).on_terminal(24, 200);
    loud.until(&format!("Successfully copied 4B to {to}"));
    assert_eq!(loud.wait(), 0);
    for quiet in ["-q", "--quiet"] {
        let mut cp = t.coracle(["cp", quiet, &file, &to]).on_terminal(24, 200);
        assert_eq!(cp.wait(), 0);
        assert_eq!(cp.rest_of_stdout(), b"");
    }
}
