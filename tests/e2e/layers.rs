//! Images of very many layers.

use crate::common::{Test, image};
use crate::test;
use coracle::types::Digest;
use serde_json::json;
use std::os::fd::AsFd;

/// An archive of docker save with busybox at the bottom and `count` layers above it: each adds a
/// file, changes another, removes that of the layer before, and has something in one directory.
fn archive(count: usize) -> Vec<u8> {
    let mut layers = vec![image::busybox()];
    for n in 1..=count {
        let mut root = image::Root::new();
        root.file(&format!("only-{n}"), 0o644, n.to_string().as_bytes());
        root.file("last", 0o644, n.to_string().as_bytes());
        root.dir("d", 0o755);
        root.dir("d/e", 0o755);
        root.file(&format!("d/e/{n}"), 0o644, b"");
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

/// Whoever merges the layers has one directory of each open, never those of two levels at once.
fn readers_are_content(driver: &str) {
    const LIMIT: &str = "ulimit -n 400; exec \"$@\"";
    let t = test!();
    t.coracle(["--storage-driver", driver, "gc"]).ok();
    t.coracle(["load"]).stdin(archive(300)).ok();
    let script = "rm /d/e/7; touch -d @1 /d/e/new";
    t.coracle(["run", "--name", "c", "many:1", "sh", "-c", script]).by(LIMIT).ok();
    let told = "C /d\nC /d/e\nD /d/e/7\nA /d/e/new\n";
    t.coracle(["diff", "c"]).by(LIMIT).stdout(told).ok();
    t.coracle(["commit", "c", "many:2"]).by(LIMIT).ok();
    let tar = t.coracle(["export", "c"]).by(LIMIT).ok().stdout;
    let mut tar = tar::Archive::new(&tar[..]);
    let names = tar.entries().expect("read the tar").filter(|entry| {
        let path = entry.as_ref().expect("a member").path().expect("a path").into_owned();
        path.starts_with("d/e/")
    });
    // The directory too; one file went and another came.
    assert_eq!(names.count(), 301);
    let ls = "ls /d/e | wc -l";
    t.coracle(["run", "--rm", "many:2", "sh", "-c", ls]).by(LIMIT).stdout("300\n").ok();
}

#[test]
fn hundreds_of_layers_are_read_with_few_more_descriptors() {
    readers_are_content("overlay");
}

#[test]
fn hundreds_of_layers_are_copied_with_few_more_descriptors() {
    readers_are_content("copy");
}

#[test]
fn more_layers_than_an_overlay_takes_are_refused_when_they_come_in() {
    let t = test!();
    t.coracle(["load"])
        .stdin(archive(499))
        .code(1)
        .stderr_has("500 layers, and this kernel lays 499 of an image over each other")
        .ok();
    assert_eq!(layers(&t), 0);
    t.coracle(["load"]).stdin(archive(498)).ok();
    t.coracle(["run", "--rm", "many:1", "ls", "/d/e/497"]).stdout("/d/e/497\n").ok();
}

/// Bytes taken of the disk that the store is on.
fn taken(t: &Test) -> u64 {
    t.coracle(["gc"]).ok();
    let root = std::fs::File::open(t.root()).expect("open the root");
    let room = coracle::sys::fs::room(root.as_fd()).expect("look at the disk");
    room.bytes - room.free_bytes
}

#[test]
fn a_layer_that_several_images_share_is_on_disk_once() {
    let t = test!();
    let saved = |name: &str| t.path(name).to_str().expect("a plain path").to_string();
    // A layer that cannot be made small, another on it, and two images of both.
    let mut root = image::busybox_root();
    let noise: Vec<u8> = (0..20_u32 << 18)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes())
        .collect();
    root.file("large", 0o644, &noise);
    let root = root.tar();
    t.coracle(["import", "-", "base:1"]).stdin(root.clone()).ok();
    t.coracle(["run", "--name", "c", "base:1", "sh", "-c", "echo 1 >/small"]).ok();
    t.coracle(["commit", "c", "child:1"]).ok();
    t.coracle(["rm", "c"]).ok();
    t.coracle(["save", "-o", &saved("both.tar"), "base:1", "child:1"]).ok();
    let once = taken(&t);
    let little = 256 << 10;
    #[track_caller]
    fn no_more(t: &Test, than: u64, layers: usize) {
        assert_eq!(self::layers(t), layers);
        let now = taken(t);
        assert!(now <= than, "{now} bytes are taken, not {than}");
    }

    // The same again; by another name; with another config; on top of what is there.
    t.coracle(["load", "-i", &saved("both.tar")]).stdout_has("base:1").ok();
    t.coracle(["tag", "child:1", "other:1"]).ok();
    t.coracle(["import", "-c", "CMD [\"x\"]", "-", "base:2"]).stdin(root).ok();
    no_more(&t, once + little, 2);
    t.coracle(["run", "--name", "c", "child:1", "sh", "-c", "echo 2 >/more"]).ok();
    t.coracle(["commit", "c", "child:2"]).ok();
    t.coracle(["rm", "c"]).ok();
    no_more(&t, once + 2 * little, 3);

    // Of the same archive, its forms of 2014, of Docker and of OCI; the layers compressed too.
    let script = "
import gzip, hashlib, io, json, sys, tarfile
source, to, form = sys.argv[1:]
s, t = tarfile.open(source), tarfile.open(to, 'w')
def add(name, data):
    i = tarfile.TarInfo(name); i.size = len(data); t.addfile(i, io.BytesIO(data))
def blob(data):
    h = hashlib.sha256(data).hexdigest(); add('blobs/sha256/' + h, data)
    return {'digest': 'sha256:' + h, 'size': len(data)}
read = lambda name: s.extractfile(name).read()
saved = json.loads(read('manifest.json'))
if form == '2014':
    for m in s:
        name = m.name.split('/')[-1]
        if name in ('repositories', 'VERSION', 'json', 'layer.tar'): add(m.name, read(m.name))
elif form == 'docker':
    add('manifest.json', read('manifest.json'))
    for name in {n for image in saved for n in [image['Config'], *image['Layers']]}: add(name, read(name))
else:
    manifests = []
    for image in saved:
        layers = [blob(gzip.compress(read(name), 1)) for name in image['Layers']]
        m = blob(json.dumps({'schemaVersion': 2, 'config': blob(read(image['Config'])), 'layers': layers}).encode())
        manifests.append({**m, 'mediaType': 'application/vnd.oci.image.manifest.v1+json'})
    add('index.json', json.dumps({'schemaVersion': 2, 'manifests': manifests}).encode())
t.close()";
    for form in ["2014", "docker", "oci"] {
        let (from, to) = (saved("both.tar"), saved(form));
        let made = std::process::Command::new("python3")
            .args(["-c", script, &from, &to, form])
            .status()
            .expect("run python3");
        assert!(made.success(), "{form}");
        let before = taken(&t) - std::fs::metadata(&to).expect("the archive").len();
        t.coracle(["load", "-i", &to]).stdout_has("Loaded image").ok();
        std::fs::remove_file(&to).expect("remove");
        no_more(&t, before + little, 3);
    }
    let more = ["run", "--rm", "child:2", "cat", "/small", "/more"];
    t.coracle(more).stdout("1\n2\n").ok();
}
