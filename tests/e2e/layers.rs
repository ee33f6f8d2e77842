//! Images of very many layers.

use crate::common::{Test, image};
use crate::test;
use coracle::types::Digest;
use serde_json::json;

/// An archive of docker save with busybox at the bottom and `count` layers above it: each adds a
/// file, changes another, and removes that of the layer before.
fn archive(count: usize) -> Vec<u8> {
    let mut layers = vec![image::busybox()];
    for n in 1..=count {
        let mut root = image::Root::new();
        root.file(&format!("only-{n}"), 0o644, n.to_string().as_bytes());
        root.file("last", 0o644, n.to_string().as_bytes());
        if n > 1 {
            root.file(&format!(".wh.only-{}", n - 1), 0o644, b"");
        }
        layers.push(root.tar());
    }
    let diff_ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": ["many:1"], "Layers": paths}]);
    let mut archive = image::Root::new();
    for (path, layer) in paths.iter().zip(&layers) {
        archive.file(path, 0o644, layer);
    }
    archive.file("config.json", 0o644, config.to_string().as_bytes());
    archive.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    archive.tar()
}

fn layers(t: &Test) -> usize {
    std::fs::read_dir(t.root().join("images/layers")).expect("read the layers").count()
}

#[test]
fn three_hundred_layers_make_one_root() {
    let t = test!();
    t.coracle(["load"]).stdin(archive(300)).stdout("Loaded image: many:1\n").ok();
    assert_eq!(layers(&t), 301);
    let script = "cat /last; echo; ls -d /only-*; rm /last; touch /only-1; ls /only-1";
    let told = "300\n/only-300\n/only-1\n";
    t.coracle(["run", "--rm", "many:1", "sh", "-c", script]).stdout(told).ok();
    let saved = t.coracle(["save", "many:1"]).ok().stdout;
    t.coracle(["rmi", "many:1"]).stdout_has("Untagged: many:1\n").ok();
    assert_eq!(layers(&t), 0);
    t.coracle(["load"]).stdin(saved).ok();
    t.coracle(["run", "--rm", "many:1", "cat", "/last"]).stdout("300").ok();
}

#[test]
fn more_layers_than_an_overlay_takes_are_refused_when_they_come_in() {
    let t = test!();
    t.coracle(["load"])
        .stdin(archive(500))
        .code(1)
        .stderr_has("501 layers, and an overlay of this kernel takes 500")
        .ok();
    assert_eq!(layers(&t), 0);
}
