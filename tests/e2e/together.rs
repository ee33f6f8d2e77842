//! Several who change the store at once.

use crate::common::Test;
use crate::common::command::Running;
use crate::common::image::Root;
use crate::test;
use coracle::types::Digest;
use serde_json::json;
use std::fs;

const ROUNDS: usize = 15;

/// An archive of an image `name` of one layer that all have and one of its own.
fn archive(name: &str) -> Vec<u8> {
    let mut common = Root::new();
    for n in 0..50 {
        common.file(&format!("common/{n}"), 0o644, &vec![n as u8; 5000]);
    }
    let mut own = Root::new();
    own.file("own", 0o644, name.as_bytes());
    let layers = [common.tar(), own.tar()];
    let diff_ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let manifest =
        json!([{"Config": "c.json", "RepoTags": [format!("{name}:1")], "Layers": ["0", "1"]}]);
    let mut archive = Root::new();
    archive.file("0", 0o644, &layers[0]);
    archive.file("1", 0o644, &layers[1]);
    archive.file("c.json", 0o644, config.to_string().as_bytes());
    archive.file("manifest.json", 0o644, manifest.to_string().as_bytes());
    archive.tar()
}

fn rest(t: &Test) -> usize {
    let count = |dir: &str| fs::read_dir(t.root().join("images").join(dir)).expect("read").count();
    count("tmp") + count("trash")
}

fn end_well(running: Vec<Running>, round: usize) {
    for mut one in running {
        let code = one.wait();
        let told = String::from_utf8_lossy(&one.rest_of_stderr()).into_owned();
        assert!(code == 0 && told.is_empty(), "round {round}: {code}: {told}");
    }
}

#[test]
fn writers_removers_and_a_gc_at_once_lose_nothing_and_leave_nothing() {
    let t = test!();
    let (a, b) = (t.path("a.tar"), t.path("b.tar"));
    fs::write(&a, archive("a")).expect("write");
    fs::write(&b, archive("b")).expect("write");
    let load =
        |path: &std::path::Path| vec!["load".into(), "-i".into(), path.display().to_string()];
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    for round in 0..ROUNDS {
        // Both images come, and the layer they share is there once or twice at a time.
        let all = [load(&a), words(&["gc"]), load(&b), words(&["image", "prune", "-f"])];
        let running: Vec<_> = all.into_iter().map(|words| t.coracle(words).spawn()).collect();
        end_well(running, round);
        t.coracle(["fsck"])
            .stdout_has("2 images, 3 layers and 0 containers checked: 0 damaged")
            .ok();

        // One goes, while the other comes again, and somebody looks at both.
        let fsck = || words(&["fsck"]);
        let all = [fsck(), words(&["rmi", "a:1"]), fsck(), load(&b), fsck(), words(&["gc"])];
        let running: Vec<_> = all.into_iter().map(|words| t.coracle(words).spawn()).collect();
        end_well(running, round);
        t.coracle(["fsck"])
            .stdout_has("1 image, 2 layers and 0 containers checked: 0 damaged")
            .ok();
    }
    t.coracle(["gc"]).ok();
    assert_eq!(rest(&t), 0);
}
