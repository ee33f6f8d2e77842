//! Where overlayfs does not work: the state root lies on an overlay itself, as that of an engine
//! in a container does. And with the storage driver `copy` where it was asked for.

use crate::common::image::busybox_root;
use crate::common::{Test, kill};
use crate::test;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// An overlay on the state root; to be dropped before the test's end.
struct OnOverlay(PathBuf);

impl OnOverlay {
    fn new(t: &Test) -> OnOverlay {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| t.dir(name));
        let [lower, upper, work] = [&lower, &upper, &work].map(|path| path.display());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
        let root = t.dir("root");
        mount(Some("test"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .expect("mount an overlay on the state root");
        OnOverlay(root)
    }
}

impl Drop for OnOverlay {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("unmount the state root");
    }
}

fn driver(t: &Test) -> String {
    t.says(["info", "--format", "{{.Driver}}"])
}

/// A new state root is to be made with this driver.
fn made_with(t: &Test, driver: &str) {
    t.coracle(["--storage-driver", driver, "gc"]).ok();
    t.import_busybox();
}

fn diff(t: &Test, name: &str) -> Vec<String> {
    t.says(["diff", name]).lines().map(String::from).collect()
}

/// What a script changes in `base`, whose layers hide files and directories of each other.
const CHANGES: &str = "mkdir -p new/dir; echo 1 >new/dir/file; mkfifo fifo; chmod 600 etc/group
    rm bin/ls; mv bin/cat home/dog; rm -r d; mkdir d; echo 4 >d/four; ln data again
    chown 7 var; cp -a etc/passwd keep; echo x >>etc/passwd; cp -a keep etc/passwd; rm keep";
const CHANGED: &str = "A /again C /bin D /bin/cat D /bin/ls C /d A /d/four D /d/sub C /etc \
    C /etc/group A /fifo C /home A /home/dog A /new A /new/dir A /new/dir/file C /var";

fn make_base(t: &Test) {
    for (name, from, script) in [
        (
            "one",
            "busybox",
            "mkdir -p d/old x; echo 1 >d/one; echo 2 >data; touch gone x/y; ln data link",
        ),
        ("base", "one", "rm -r d x; mkdir -p d/sub x; echo 3 >d/sub/three; rm gone"),
    ] {
        t.coracle(["run", "--name", name, from, "sh", "-ec", script]).ok();
        t.coracle(["commit", name, name]).ok();
        t.coracle(["rm", name]).ok();
    }
}

/// Everything of a life with images and containers.
fn a_life(t: &Test) {
    make_base(t);
    let found = "/d\n/d/sub\n/d/sub/three\n/x\n";
    t.coracle(["run", "--rm", "base", "sh", "-c", "find /d /x /gone 2>&-; true"])
        .stdout(found)
        .ok();

    t.coracle(["run", "--name", "c", "base", "sh", "-ec", CHANGES]).ok();
    assert_eq!(diff(t, "c").join(" "), CHANGED);
    t.coracle(["start", "c"]).ok();
    t.coracle(["wait", "c"]).ok();

    t.coracle(["commit", "c", "next"]).ok();
    let check = "cat d/four new/dir/file; stat -c %a etc/group; ls d; ls bin/ls";
    t.coracle(["run", "--rm", "next", "sh", "-c", check])
        .stdout("4\n1\n600\nfour\n")
        .stderr_has("bin/ls")
        .code(1)
        .ok();

    let tar = t.coracle(["export", "c"]).ok().stdout;
    t.coracle(["import", "-", "flat"]).stdin(tar).ok();
    t.coracle(["run", "--rm", "flat", "sh", "-c", check]).code(1).any_stderr().ok();

    let archive = t.coracle(["save", "next"]).ok().stdout;
    let id = t.inspect("next")["Id"].clone();
    t.coracle(["rm", "c"]).ok();
    for image in ["next", "flat", "base", "one"] {
        t.coracle(["rmi", image]).ok();
    }
    t.coracle(["gc"]).ok();
    t.coracle(["load"]).stdin(archive).ok();
    assert_eq!(t.inspect("next")["Id"], id);
    t.coracle(["run", "--rm", "next", "head", "d/four"]).stdout("4\n").ok();
    t.coracle(["history", "-q", "next"]).ok();
    t.coracle(["tag", "next", "other"]).ok();
    t.coracle(["fsck"]).ok();

    t.script("up", &["-v", "/etc"], "echo ready; exec sleep 1000");
    t.wait_for_log("up", "ready");
    t.coracle(["exec", "up", "ls", "/etc/passwd"]).stdout("/etc/passwd\n").ok();
    t.coracle(["export", "up"]).ok();
    t.coracle(["restart", "-t", "0", "up"]).ok();
    t.wait_for_logs("up", "ready", 2);
    t.coracle(["stop", "-t", "0", "up"]).ok();
    t.coracle(["rm", "-v", "up"]).ok();
    t.coracle(["system", "df"]).ok();
    t.coracle(["system", "prune", "-a", "-f"]).ok();
    assert_eq!(t.says(["images", "-q"]), "");
    assert_eq!(t.containers(), Vec::<String>::new());
}

#[test]
fn an_engine_lives_on_an_overlay_by_copying() {
    let t = test!();
    let on_overlay = OnOverlay::new(&t);
    t.import_busybox();
    assert_eq!(driver(&t), "copy");
    a_life(&t);
    drop(on_overlay);
}

#[test]
fn both_drivers_give_the_same_life() {
    for driver in ["copy", "overlay"] {
        let t = test!();
        made_with(&t, driver);
        assert_eq!(self::driver(&t), driver);
        a_life(&t);
    }
}

#[test]
fn the_first_choice_counts_and_another_is_refused() {
    let t = test!();
    assert_eq!(driver(&t), "none yet");
    assert!(!t.root().join("version").exists(), "a reader made a state root");
    t.coracle(["--storage-driver", "btrfs", "info"])
        .code(125)
        .stderr_has("--storage-driver: \"btrfs\" is no storage driver")
        .ok();
    t.coracle(["gc"]).env("CORACLE_STORAGE_DRIVER", "vfs").ok();
    assert_eq!(driver(&t), "copy");
    let before = fs::read_dir(t.root()).expect("read the root").count();
    t.coracle(["--storage-driver", "overlay2", "gc"])
        .code(1)
        .stderr_has("was made with the storage driver copy, not overlay")
        .stderr_has("hint: choose another --root")
        .ok();
    assert_eq!(fs::read_dir(t.root()).expect("read the root").count(), before);
    t.coracle(["gc"]).ok();
    assert!(!t.root().join("probe").exists(), "the trial was left");
}

#[test]
fn an_overlay_that_was_asked_for_where_none_works_is_refused() {
    let t = test!();
    let on_overlay = OnOverlay::new(&t);
    let refused = t.coracle(["--storage-driver", "overlay", "gc"]).code(1).any_stderr();
    let told = String::from_utf8(refused.ok().stderr).expect("UTF-8");
    assert!(told.contains("operation not permitted"), "{told}");
    let hints: Vec<_> = told.lines().filter(|line| line.starts_with("hint: ")).collect();
    assert_eq!(hints, ["hint: --storage-driver copy does without overlayfs"]);
    drop(on_overlay);
}

#[test]
fn a_root_that_was_moved_to_where_overlayfs_does_not_work_is_told() {
    let t = test!();
    made_with(&t, "overlay");
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();
    let moved = t.path("moved");
    let status = std::process::Command::new("cp").arg("-a").arg(t.root()).arg(&moved).status();
    assert!(status.expect("run cp").success());
    t.coracle(["rm", "c"]).ok();
    fs::rename(&moved, t.dir("lower")).expect("make it the lower directory");
    let on_overlay = OnOverlay::new(&t);
    assert_eq!(driver(&t), "overlay");
    t.coracle(["run", "busybox", "true"])
        .code(125)
        .stderr_has("mount the container's overlay")
        .stderr_has("hint: ")
        .stderr_has("save the images and load them into another --root")
        .ok();
    // What needs no overlay goes on.
    t.coracle(["save", "-o", &t.path("saved").display().to_string(), "busybox"]).ok();
    assert_eq!(diff(&t, "c"), Vec::<String>::new());
    drop(on_overlay);
}

#[test]
fn a_file_system_that_keeps_too_little_is_refused() {
    let t = test!();
    let root = t.dir("poor");
    mount(Some("test"), &root, Some("ramfs"), MsFlags::empty(), None::<&str>).expect("mount");
    t.coracle(["--root", &root.display().to_string(), "gc"])
        .code(1)
        .stderr_has("its file system does not keep extended attributes")
        .stderr_has("hint: use one that does")
        .ok();
    umount2(&root, MntFlags::MNT_DETACH).expect("unmount");
}

#[test]
fn a_copy_keeps_links_holes_attributes_and_forbids_nothing() {
    let t = test!();
    made_with(&t, "copy");
    let script = "dd if=/dev/zero of=sparse bs=1 count=1 seek=50M 2>&-; truncate -s 60M sparse
        echo 1 >a; ln a b; ln -s nowhere c; mknod null c 1 3; chmod 666 null; chmod 4755 a
        touch -h -d @1000 c; chown -h 5:6 c; touch -d @2000 a";
    t.coracle(["run", "--name", "m", "busybox", "sh", "-ec", script]).ok();
    t.coracle(["commit", "m", "made"]).ok();
    t.coracle(["create", "--name", "c", "made", "true"]).ok();
    let upper = t.records("c").join("upper");
    let meta = |name: &str| fs::symlink_metadata(upper.join(name)).expect("look at a file");
    assert_eq!(meta("a").ino(), meta("b").ino());
    assert_eq!((meta("a").mode() & 0o7777, meta("a").mtime()), (0o4755, 2000));
    assert_eq!((meta("c").uid(), meta("c").gid(), meta("c").mtime()), (5, 6, 1000));
    assert!(meta("sparse").len() == 60 << 20 && meta("sparse").blocks() * 512 < 1 << 20);
    assert_eq!(diff(&t, "c"), Vec::<String>::new());
    t.coracle(["commit", "c", "same"]).ok();
    let layers = t.inspect("same")["RootFS"]["Layers"].as_array().expect("layers").clone();
    let empty = fs::read_dir(t.root().join("images/layers"))
        .expect("read the layers")
        .map(|entry| entry.expect("a layer").path())
        .find(|path| {
            let top = layers.last().and_then(|id| id.as_str()).expect("a layer");
            path.ends_with(top.trim_start_matches("sha256:"))
        });
    let empty = empty.expect("the layer of the commit").join("fs");
    assert_eq!(fs::read_dir(empty).expect("read the layer").count(), 0);

    // Holes take no room: it is larger than the disk.
    let script = "dd if=/dev/zero of=huge bs=1 count=1 seek=400M 2>&-";
    t.coracle(["run", "--name", "h", "busybox", "sh", "-ec", script]).ok();
    t.coracle(["commit", "h", "huge"]).ok();
    t.coracle(["run", "--rm", "huge", "stat", "-c", "%s", "huge"]).stdout("419430401\n").ok();

    // What was written is told as with an overlay, and what is on the disk.
    t.coracle(["run", "--name", "w", "made", "sh", "-c", "head -c 3000 /dev/zero >f"]).ok();
    assert_eq!(t.says(["inspect", "-s", "-f", "{{.SizeRw}}", "c"]), "0");
    assert_eq!(t.says(["inspect", "-s", "-f", "{{.SizeRw}}", "w"]), "3000");

    // Its own state root may be where devices and programs are forbidden.
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let base = t.path("");
    mount(None::<&str>, &base, None::<&str>, flags, None::<&str>).expect("remount");
    let ran = t.coracle(["run", "--rm", "made", "sh", "-c", "echo x >/null"]).ok();
    mount(None::<&str>, &base, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, None::<&str>)
        .expect("remount");
    assert!(ran.stdout.is_empty());
}

/// The weak point of a comparison by times and sizes.
#[test]
fn a_file_of_the_same_size_and_time_is_seen_to_be_another() {
    let t = test!();
    made_with(&t, "copy");
    t.coracle(["run", "--name", "m", "busybox", "sh", "-ec", "echo one >f; touch -d @5 f"]).ok();
    t.coracle(["commit", "m", "made"]).ok();
    let script = "echo two >f; touch -d @5 f; cp -a bin/busybox keep; cat keep >bin/busybox
        touch -r keep bin/busybox; rm keep";
    t.coracle(["run", "--name", "c", "made", "sh", "-c", script]).any_stderr().ok();
    assert_eq!(diff(&t, "c"), ["C /f"]);
}

#[test]
fn a_full_disk_while_copying_is_told_and_nothing_remains() {
    let t = test!();
    made_with(&t, "copy");
    let full = t.fill_disk();
    t.coracle(["create", "busybox", "true"]).code(125).any_stderr().ok();
    drop(full);
    let mut root = busybox_root();
    root.file("large", 0o644, &vec![b'x'; 150 << 20]);
    t.coracle(["import", "-", "large"]).stdin(root.tar()).ok();
    t.coracle(["create", "large", "true"]).code(125).stderr_has("copy the image's files").ok();
    assert_eq!(t.containers(), Vec::<String>::new());
    assert_eq!(fs::read_dir(t.root().join("containers")).expect("read").count(), 0);
}

#[test]
fn a_kill_while_copying_leaves_nothing() {
    let t = test!();
    made_with(&t, "copy");
    let mut root = busybox_root();
    for n in 0..300 {
        root.file(&format!("file{n}"), 0o644, &[b'x'; 10_000]);
    }
    t.coracle(["import", "-", "many"]).stdin(root.tar()).ok();
    for n in [0, 1, 100, 299] {
        let creating = t.coracle(["create", "many", "true"]).spawn();
        let containers = t.root().join("containers");
        // The copy has come so far, or is done.
        while !fs::read_dir(&containers).expect("read").flatten().any(|entry| {
            let path = entry.path();
            path.join(format!("upper/file{n}")).exists() || path.join("copied").exists()
        }) {
            std::thread::yield_now();
        }
        kill(creating.pid());
        let done = t.containers();
        t.coracle(["gc"]).ok();
        let left = fs::read_dir(&containers).expect("read").count();
        assert_eq!(left, done.len());
        for id in done {
            t.coracle(["rm", &id]).ok();
        }
    }
}
