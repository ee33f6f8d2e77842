//! `--mount`, `--tmpfs`, propagation, and where mounts come to lie: links, files, hostile images.

use crate::common::Test;
use crate::common::image::{Root, busybox_root};
use crate::test;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn import(t: &Test, root: Root, name: &str, changes: &[&str]) {
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let words: Vec<&str> = ["import"].into_iter().chain(changes).chain(["-", name]).collect();
    t.coracle(words).stdin(root.tar()).ok();
}

/// `run --rm OPTIONS busybox sh -c SCRIPT`, and what it says.
fn run(t: &Test, options: &[&str], script: &str) -> String {
    let run = [&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat();
    t.coracle(run).any_stderr().ok().stdout_text()
}

/// Mounts a tmpfs in the test's own namespace, which is the container's host.
fn mount_tmpfs(at: &Path) {
    fs::create_dir_all(at).expect("make a directory");
    let none: Option<&str> = None;
    mount(Some("host"), at, Some("tmpfs"), MsFlags::empty(), none).expect("mount a tmpfs");
}

fn unmount(at: &Path) {
    umount2(at, MntFlags::empty()).expect("unmount");
}

#[test]
fn a_mount_of_each_type_is_as_it_was_asked_for() {
    let t = test!(busybox);
    let data = t.dir("data,1");
    fs::write(data.join("file"), "text\n").expect("write a file");
    let bind = format!("type=bind,\"src={}\",dst=/bind,readonly", data.display());
    let script = "cat /bind/file; touch /bind/new || echo refused; echo one > /volume/file; \
        stat -c %a /tmpfs; grep -o '^tmpfs /tmpfs tmpfs rw,nosuid,nodev,noexec' /proc/mounts; \
        df -k /tmpfs | tail -1 | tr -s ' ' | cut -d ' ' -f 2";
    t.coracle(["run", "--name", "c", "--mount", &bind, "--mount"].into_iter().chain([
        "type=volume,source=web,target=/volume,volume-label=tier=front",
        "--mount",
        "type=tmpfs,target=/tmpfs,tmpfs-size=2m,tmpfs-mode=0711",
        "--mount",
        "dst=/anonymous",
        "--tmpfs",
        "/scratch:size=1m,exec",
        "busybox",
        "sh",
        "-c",
        script,
    ]))
    .any_stderr()
    .stdout("text\nrefused\n711\ntmpfs /tmpfs tmpfs rw,nosuid,nodev,noexec\n2048\n")
    .ok();
    assert_eq!(t.inspect("web")["Labels"], json!({"tier": "front"}));
    let inspect = t.inspect("c");
    let mounts = inspect["Mounts"].as_array().expect("a list");
    let of = |target: &str| {
        mounts.iter().find(|mount| mount["Destination"] == target).expect("listed").clone()
    };
    assert_eq!(mounts.len(), 4, "{mounts:?}");
    assert_eq!(
        of("/bind"),
        json!({"Type": "bind", "Source": data, "Destination": "/bind", "Mode": "", "RW": false,
            "Propagation": "rprivate"})
    );
    assert_eq!(
        of("/tmpfs"),
        json!({"Type": "tmpfs", "Source": "", "Destination": "/tmpfs", "Mode": "", "RW": true,
            "Propagation": ""})
    );
    assert_eq!(
        (&of("/volume")["Name"], &of("/volume")["Driver"]),
        (&json!("web"), &json!("local"))
    );
    let host = &inspect["HostConfig"];
    assert_eq!(host["Tmpfs"], json!({"/scratch": "size=1m,exec"}));
    assert_eq!(host["Binds"], json!(null));
    assert!(
        host["Mounts"]
            .as_array()
            .expect("a list")
            .contains(&json!({"Type": "tmpfs", "Target": "/tmpfs",
            "TmpfsOptions": {"SizeBytes": 2 << 20, "Mode": 0o711}}))
    );
    t.coracle(["rm", "-v", "c"]).ok();
    assert_eq!(t.says(["volume", "ls", "-q"]), "web");

    // Unlike -v: what is not there is an error.
    let missing = format!("type=bind,src={},dst=/x", t.path("none").display());
    t.coracle(["run", "--mount", &missing, "busybox", "true"])
        .code(125)
        .stderr_has("/none does not exist")
        .ok();
    assert!(!t.path("none").exists() && t.containers().is_empty());
}

#[test]
fn a_part_of_a_volume_is_mounted_and_no_link_in_it_leads_out() {
    let t = test!(busybox);
    run(
        &t,
        &["-v", "web:/v"],
        "mkdir -p /v/a/b; echo part > /v/a/b/file; ln -s / /v/out; \
        ln -s ../../.. /v/a/up; echo own > /v/own",
    );
    let part = |path: &str| format!("src=web,dst=/x,volume-subpath={path}");
    assert_eq!(run(&t, &["--mount", &part("a/b")], "cat /x/file"), "part\n");
    // The whole volume is the root of what its links name.
    assert_eq!(run(&t, &["--mount", &part("out")], "cat /x/own"), "own\n");
    assert_eq!(run(&t, &["--mount", &part("a/up")], "cat /x/own"), "own\n");
    assert_eq!(run(&t, &["--mount", &part("own")], "cat /x"), "own\n");
    t.coracle(["run", "--rm", "--mount", &part("none"), "busybox", "true"])
        .code(125)
        .stderr_has("the volume web has no none")
        .ok();
}

#[test]
fn a_tmpfs_begins_empty_and_is_gone_with_the_run() {
    let t = test!(busybox);
    let script =
        "ls /etc/new /scratch 2>/dev/null; stat -c %a /scratch /etc /root; echo x > /scratch/x";
    let tmpfs = ["--tmpfs", "/scratch:mode=1700", "--tmpfs", "/etc", "--tmpfs", "/root:ro"];
    let create = [&["create", "--name", "c"], &tmpfs[..], &["busybox", "sh", "-c", script]];
    t.coracle(create.concat()).ok();
    for _ in 0..2 {
        t.coracle(["start", "-a", "c"]).stdout("/scratch:\n1700\n755\n755\n").ok();
    }
    let read_only = ["--tmpfs", "/x:ro"];
    assert_eq!(run(&t, &read_only, "touch /x/y 2>/dev/null || echo refused"), "refused\n");
    // It is a container's own.
    assert_eq!(run(&t, &["--volumes-from", "c"], "ls -d /scratch || echo none"), "none\n");
    t.coracle(["run", "--tmpfs", "/x", "-v", "/x", "busybox", "true"])
        .code(125)
        .stderr_has("two mounts are to be on /x")
        .ok();
}

#[test]
fn what_the_host_mounts_appears_in_a_slave_and_not_in_a_private_mount() {
    let t = test!(busybox);
    let source = t.dir("source");
    let bind = |mode: &str| format!("{}:/v{mode}", source.display());
    t.script("slave", &["-v", &bind(":rslave,ro")], "echo up; sleep 1000");
    t.script("private", &["-v", &bind("")], "echo up; sleep 1000");
    let mount = format!("type=bind,src={},dst=/v,bind-propagation=shared", source.display());
    t.script("shared", &["--mount", &mount], "echo up; sleep 1000");
    t.script("taken", &["--volumes-from", "slave"], "echo up; sleep 1000");
    mount_tmpfs(&source.join("late"));
    fs::write(source.join("late/file"), "late\n").expect("write a file");
    for (name, text) in
        [("slave", "late\n"), ("shared", "late\n"), ("taken", "late\n"), ("private", "none\n")]
    {
        let cat = ["exec", name, "sh", "-c", "cat /v/late/file 2>/dev/null || echo none"];
        t.coracle(cat).stdout(text).ok();
    }
    unmount(&source.join("late"));
    t.coracle(["exec", "slave", "ls", "/v/late"]).stdout("").ok();
    assert_eq!(t.inspect("slave")["Mounts"][0]["Propagation"], "rslave");
    assert_eq!(t.inspect("slave")["Mounts"][0]["Mode"], "ro,rslave");
    assert_eq!(t.inspect("taken")["Mounts"][0]["Propagation"], "rslave");
    assert_eq!(t.inspect("shared")["Mounts"][0]["Propagation"], "shared");
}

#[test]
fn what_a_container_mounts_appears_on_the_host_through_a_shared_mount_alone() {
    let t = test!(busybox);
    let source = t.dir("source");
    mount_tmpfs(&source.join("below"));
    let before = t.mounts();
    let script = "mkdir -p /v/made /v/below/made; mount -t tmpfs made /v/made && \
        mount -t tmpfs made /v/below/made && echo mounted";
    let there = |path: &str| {
        let at = source.join(path);
        t.mounts().lines().any(|line| line.contains(&format!(" {} ", at.display())))
    };
    for (mode, top, below) in [
        ("", false, false),
        (":rslave", false, false),
        (":shared", true, false),
        (":rshared", true, true),
    ] {
        let bind = format!("{}:/v{mode}", source.display());
        // What the engine itself mounts below it stays in the container.
        let options = ["--privileged", "-v", &bind, "--tmpfs", "/v/own", "-v", "/v/below/own"];
        assert_eq!(run(&t, &options, script), "mounted\n", "{mode}");
        assert_eq!((there("made"), there("below/made")), (top, below), "{mode}");
        assert!(!there("own") && !there("below/own"), "{mode}");
        for (path, is_there) in [("made", top), ("below/made", below)] {
            if is_there {
                unmount(&source.join(path));
            }
        }
        assert_eq!(t.mounts(), before, "{mode}");
    }
    unmount(&source.join("below"));
    // Who shares with nobody cannot share with a container.
    let none: Option<&str> = None;
    let alone = t.path("alone");
    mount_tmpfs(&alone);
    mount(none, &alone, none, MsFlags::MS_PRIVATE, none).expect("make it private");
    for mode in ["shared", "rslave"] {
        let bind = format!("{}:/v:{mode}", alone.display());
        t.coracle(["run", "--rm", "-v", &bind, "busybox", "true"])
            .code(125)
            .stderr_has("/alone, which is not shared")
            .stderr_has("mount --make-shared ")
            .ok();
    }
    unmount(&alone);
}

#[test]
fn what_is_mounted_below_a_bind_comes_along_as_asked() {
    let t = test!(busybox);
    let source = t.dir("source");
    mount_tmpfs(&source.join("below"));
    fs::write(source.join("below/file"), "below\n").expect("write a file");
    let mount = |more: &str| format!("type=bind,src={},dst=/v{more}", source.display());
    let script = "cat /v/below/file 2>/dev/null || echo none; touch /v/below/new 2>/dev/null && echo written; true";
    for (more, text) in [
        ("", "below\nwritten\n"),
        (",ro", "below\n"),
        (",ro,bind-recursive=writable", "below\nwritten\n"),
        (",ro,bind-recursive=disabled", "none\n"),
        (",bind-nonrecursive", "none\nwritten\n"),
    ] {
        assert_eq!(run(&t, &["--mount", &mount(more)], script), text, "{more}");
    }
    unmount(&source.join("below"));
}

#[test]
fn a_link_to_nothing_is_made_inside_of_the_container() {
    let t = test!();
    let outside = t.dir("outside");
    let mut root = busybox_root();
    let made = outside.join("made");
    root.link("dangl", made.to_str().expect("a plain path"));
    root.link("up", "../../../../../../../../none/deep");
    root.link("round", "round");
    import(&t, root, "busybox", &["VOLUME /dangl"]);
    let script = format!("echo x > /dangl/x; cat {}/x; readlink /dangl", made.display());
    let text = format!("x\n{}\n", made.display());
    assert_eq!(run(&t, &[], &script), text);
    assert_eq!(run(&t, &["--tmpfs", "/up/x"], "ls /none/deep"), "x\n");
    let file = t.path("file");
    fs::write(&file, "file\n").expect("write a file");
    let bind = format!("{}:/up", file.display());
    assert_eq!(run(&t, &["-v", &bind], "cat /none/deep"), "file\n");
    t.coracle(["run", "--rm", "-v", "/round", "busybox", "true"]).code(125).any_stderr().ok();
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 0, "something came out");

    // A volume that another container may write to leads nowhere else either.
    let volume = t.dir("volume");
    symlink(outside.join("by-volume"), volume.join("link")).expect("make a link");
    let bind = format!("{}:/v", volume.display());
    run(&t, &["-v", &bind, "-v", "/v/link/sub"], "true");
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 0, "something came out");
}

#[test]
fn a_directory_on_a_file_is_refused_with_both_names() {
    let t = test!(busybox);
    let dir = t.dir("dir");
    let file = t.path("file");
    fs::write(&file, "").expect("write a file");
    for (source, target, text) in [
        (
            &dir,
            "/etc/passwd",
            format!("cannot mount the directory {} on /etc/passwd: not a directory", dir.display()),
        ),
        (
            &file,
            "/etc",
            format!("cannot mount the file {} on /etc: is a directory", file.display()),
        ),
    ] {
        let bind = format!("{}:{target}", source.display());
        t.coracle(["run", "--rm", "-v", &bind, "busybox", "true"])
            .code(125)
            .stderr_has(&text)
            .stderr_has("directories on directories, files on files")
            .ok();
    }
    t.coracle(["run", "--rm", "--tmpfs", "/etc/passwd", "busybox", "true"])
        .code(125)
        .stderr_has("cannot mount the tmpfs on /etc/passwd: not a directory")
        .ok();
}
