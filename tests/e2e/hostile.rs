//! Archives that want to do harm, with the store on a disk of 256 MB and little memory: refused
//! with the member named, the store as before.

use crate::common::Test;
use crate::test;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Has Python write the file `name`. `script` adds members to `t`, a TarFile, by `add`.
fn python_tar(t: &Test, name: &str, script: &str) -> String {
    let prelude = "
import io, sys, tarfile
from tarfile import DIRTYPE, LNKTYPE, SYMTYPE, CHRTYPE
t = tarfile.open(sys.argv[1], 'w:gz' if sys.argv[1].endswith('gz') else 'w')
def add(name, data=b'', **fields):
    i = tarfile.TarInfo(name)
    i.size = len(data)
    for k, v in fields.items(): setattr(i, k, v)
    t.addfile(i, io.BytesIO(data))
";
    let path = t.path(name).to_str().expect("a plain path").to_string();
    let program = format!("{prelude}\n{script}\nt.close()\n");
    let made = Command::new("python3").args(["-c", &program, &path]).status();
    assert!(made.expect("run python3").success(), "{script}");
    path
}

/// Imports it with 64 MB of address space; it must be refused with these words.
#[track_caller]
fn refused(t: &Test, tar: &str, words: &[&str]) {
    let mut import = t.coracle(["import", tar, "bad"]).by("ulimit -v 65536; exec \"$@\"").code(1);
    for word in words {
        import = import.stderr_has(word);
    }
    import.ok();
    assert_eq!(t.says(["images", "-q"]), "");
    for place in ["layers", "blobs/sha256", "tmp"] {
        let left = fs::read_dir(t.root().join("images").join(place)).into_iter().flatten().count();
        assert_eq!(left, 0, "{place} is not empty");
    }
}

#[test]
fn a_bomb_is_stopped_before_the_disk_is_full() {
    let t = test!();
    let script = "add('small', b'x'); i = tarfile.TarInfo('bomb'); i.size = 1 << 30
class Ones:
    def read(self, n): return b'\\1' * n
t.addfile(i, Ones())";
    let tar = python_tar(&t, "bomb.tar.gz", script);
    refused(&t, &tar, &["member \"bomb\"", "of room on the store's disk"]);
}

#[test]
fn zeros_take_no_room() {
    let t = test!();
    let script = "i = tarfile.TarInfo('zeros'); i.size = 1 << 30
class Zeros:
    def read(self, n): return bytes(n)
t.addfile(i, Zeros())";
    let tar = python_tar(&t, "zeros.tar.gz", script);
    t.coracle(["import", &tar, "zeros"]).by("ulimit -v 65536; exec \"$@\"").ok();
    let layers = t.root().join("images/layers");
    let layer = fs::read_dir(&layers).expect("read").next().expect("a layer").expect("a layer");
    let meta = fs::metadata(layer.path().join("fs/zeros")).expect("the file");
    assert_eq!(meta.len(), 1 << 30);
    assert!(meta.blocks() * 512 < 1 << 26, "it takes {} blocks", meta.blocks());
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere_else() {
    let t = test!();
    let outside = t.dir("outside");
    let script = format!(
        "add('d', type=DIRTYPE, mode=0o755); add('d/before', b'x')
add('d', type=SYMTYPE, linkname='{0}'); add('d/after', b'x')",
        outside.display()
    );
    let tar = python_tar(&t, "race.tar", &script);
    refused(&t, &tar, &["member \"d/after\"", "no directory"]);
    assert_eq!(fs::read_dir(outside).expect("read").count(), 0);
}

#[test]
fn links_cannot_make_a_tree_deeper_than_paths_are_long() {
    let t = test!();
    let script = "deep = 'a/' * 1500
add(deep + 'x'); add('l', type=SYMTYPE, linkname=deep); add('l/' + deep + 'y')";
    refused(&t, &python_tar(&t, "deep.tar", script), &["member \"l/a/a"]);
}
