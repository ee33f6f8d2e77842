//! `fsck` finds what was changed behind the engine's back, and mends what can be mended.

use crate::common::Test;
use crate::test;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const SOUND: &str = "1 image, 1 layer and 0 containers checked: 0 damaged, 0 mended\n";

/// The only layer's directory.
fn layer(t: &Test) -> PathBuf {
    let mut layers = fs::read_dir(t.root().join("images/layers")).expect("read the layers");
    layers.next().expect("a layer").expect("a layer").path()
}

#[test]
fn whatever_is_changed_but_contents_is_found_and_mended() {
    let t = test!(busybox);
    let saved = t.coracle(["save", "busybox"]).ok().stdout;
    t.coracle(["fsck"]).stdout(SOUND).ok();
    let dir = layer(&t);
    let tree = dir.join("fs");
    type Change<'a> = (&'a str, &'a dyn Fn());
    let changes: [Change; 7] = [
        ("etc/passwd: its mode is 666, was 644", &|| {
            let mode = PermissionsExt::from_mode(0o666);
            fs::set_permissions(tree.join("etc/passwd"), mode).expect("chmod");
        }),
        ("etc/group: its owner is 7:0, was 0:0", &|| {
            std::os::unix::fs::chown(tree.join("etc/group"), Some(7), None).expect("chown");
        }),
        ("tmp/new: does not belong there", &|| {
            fs::write(tree.join("tmp/new"), "x").expect("write");
        }),
        ("bin/sh: is missing", &|| fs::remove_file(tree.join("bin/sh")).expect("remove")),
        ("bin/ls: its extended attributes or its target were changed", &|| {
            let sh = "rm $0 && ln -s elsewhere $0 && touch -hd @1000000000 $0 $(dirname $0)";
            let mut shell = std::process::Command::new("sh");
            let done = shell.args(["-c", sh]).arg(tree.join("bin/ls")).status();
            assert!(done.expect("sh").success());
        }),
        ("layer.json: is not what the layer says", &|| {
            let path = dir.join("layer.json");
            let text = fs::read_to_string(&path).expect("read");
            fs::write(path, text.replace("\"size\":", "\"size\":1")).expect("write");
        }),
        ("layer.json: ", &|| fs::write(dir.join("layer.json"), "{").expect("write")),
    ];
    for (told, change) in changes {
        change();
        t.coracle(["fsck"]).code(1).stdout_has(told).stdout_has(": 1 damaged, 0 mended").ok();
        let mended = "1 damaged, 1 mended";
        t.coracle(["fsck", "--repair"]).stdout_has(told).stdout_has(mended).ok();
        t.coracle(["fsck"]).stdout(SOUND).ok();
    }
    t.coracle(["run", "--rm", "busybox", "ls", "/bin/ls"]).stdout("/bin/ls\n").ok();
    assert!(t.coracle(["save", "busybox"]).ok().stdout == saved, "saved as it was");
}

#[test]
fn lost_contents_are_set_aside_and_come_back_by_load() {
    let t = test!(busybox);
    let saved = t.coracle(["save", "busybox"]).ok().stdout;
    let passwd = layer(&t).join("fs/etc/passwd");
    let text = fs::read_to_string(&passwd).expect("read");
    fs::write(&passwd, text.replace("root", "toor")).expect("write");
    let told = "its files were changed: the tar they make has another digest";
    t.coracle(["fsck"]).code(1).stdout_has(told).ok();
    let run = t.coracle(["fsck", "--repair"]).code(1).stdout_has("load busybox:latest again").ok();
    let text = run.stdout_text();
    let aside = text.split_once("lies in ").and_then(|(_, rest)| rest.split_once(';'));
    let aside = PathBuf::from(aside.expect("a path").0);
    assert!(aside.join("fs/etc/passwd").exists());
    t.coracle(["run", "--rm", "busybox", "true"]).code(125).stderr_has("is not in the store").ok();
    t.coracle(["load"]).stdin(saved).ok();
    t.coracle(["fsck"]).stdout(SOUND).ok();
    t.coracle(["run", "--rm", "busybox", "head", "-c4", "/etc/passwd"]).stdout("root").ok();
    t.coracle(["gc"]).ok();
    assert!(aside.exists(), "only its user removes it");
}

#[test]
fn a_layer_under_a_running_container_is_left_alone() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "on", "busybox", "sleep", "1000"]).ok();
    let file = layer(&t).join("fs/etc/group");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("chmod");
    t.coracle(["fsck", "--repair"])
        .code(1)
        .stdout_has("hint: stop container ")
        .stdout_has("1 image, 1 layer and 1 container checked: 1 damaged, 0 mended")
        .ok();
    t.coracle(["exec", "on", "cat", "/etc/group"]).stdout_has("extra").ok();
    t.coracle(["stop", "-t", "0", "on"]).ok();
    t.coracle(["fsck", "--repair"]).stdout_has("1 damaged, 1 mended").ok();
    t.coracle(["start", "on"]).ok();
    t.coracle(["exec", "on", "stat", "-c", "%a", "/etc/group"]).stdout("644\n").ok();
}

#[test]
fn torn_configs_and_records_are_named() {
    let t = test!(busybox);
    let saved = t.coracle(["save", "busybox"]).ok().stdout;
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();
    let settings = t.records("c").join("settings.json");
    let good = fs::read(&settings).expect("read");
    fs::write(&settings, "{").expect("tear");
    let blobs = fs::read_dir(t.root().join("images/blobs/sha256")).expect("read the blobs");
    for blob in blobs {
        fs::write(blob.expect("a blob").path(), "{}").expect("tear");
    }
    fs::write(t.root().join("names/nobody"), "0".repeat(64)).expect("write a name");
    t.coracle(["fsck"])
        .code(1)
        .stdout_has("image busybox:latest: ")
        .stdout_has("hint: load it again, or remove it with rmi")
        .stdout_has("settings.json")
        .stdout_has("names/nobody: names a container that is not there")
        .stdout_has("3 damaged, 0 mended")
        .ok();
    fs::write(&settings, good).expect("mend");
    t.coracle(["load"]).stdin(saved).ok();
    t.coracle(["fsck", "--repair"]).stdout_has("1 damaged, 1 mended").ok();
    t.coracle(["fsck"]).stdout_has("1 image, 1 layer and 1 container checked: 0 damaged").ok();
}

#[test]
fn a_name_of_an_image_that_is_none_is_told_and_dropped_and_the_image_stays() {
    let t = test!(busybox);
    let path = t.root().join("images/refs.json");
    let text = fs::read_to_string(&path).expect("read refs.json");
    let odd = text.replace("busybox:latest", "busy..box:latest");
    fs::write(&path, &odd).expect("write refs.json");
    let told = "is called \"busy..box:latest\", which is no name";
    let cure = "drop the name with fsck --repair; the image stays, by its id";
    let id = t.coracle(["images", "-q"]).stderr_has(told).stderr_has(cure).ok().stdout_text();
    let id = id.trim();
    t.coracle(["run", "--rm", id, "echo", "runs"]).stdout("runs\n").ok();
    for args in [&["tag", id, "new"][..], &["rmi", id], &["image", "prune", "-f"], &["load"]] {
        let refused = t.coracle(args).stdin(*b"no archive").code(1);
        refused.stderr_has(told).stderr_has(cure).ok();
        assert_eq!(fs::read_to_string(&path).expect("read refs.json"), odd, "{args:?}");
    }
    t.coracle(["fsck"]).code(1).stdout_has(told).stdout_has(": 1 damaged, 0 mended").ok();
    t.coracle(["fsck", "--repair"]).stdout_has(told).stdout_has(": 1 damaged, 1 mended").ok();
    t.coracle(["fsck"]).stdout(SOUND).ok();
    t.coracle(["tag", id, "new"]).ok();
    t.coracle(["run", "--rm", "new", "echo", "runs"]).stdout("runs\n").ok();
}
