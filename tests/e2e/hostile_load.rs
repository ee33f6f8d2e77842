//! Archives of images that want to do harm, with the store on a small disk and 64 MB of address
//! space: refused with the member named, the store as before; or taken, within those bounds.

use crate::common::Test;
use crate::common::command::Run;
use crate::test;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::Path;

/// What the scripts below begin with. An archive goes to stdout, as it is made; `add` adds to it.
const PRELUDE: &str = r#"
import hashlib, gzip, io, json, os, subprocess, sys, tarfile
from tarfile import DIRTYPE, LNKTYPE, SYMTYPE, CHRTYPE
def adder(t):
    def add(name, data=b'', **fields):
        i = tarfile.TarInfo(name)
        i.size = len(data)
        for k, v in fields.items(): setattr(i, k, v)
        t.addfile(i, io.BytesIO(data))
    return add
def tar(*members):
    b = io.BytesIO(); t = tarfile.open(fileobj=b, mode='w'); add = adder(t)
    for name, fields in members: add(name, **fields)
    t.close(); return b.getvalue()
def sha(data): return 'sha256:' + hashlib.sha256(data).hexdigest()
def dumps(value): return value if isinstance(value, bytes) else json.dumps(value).encode()
def config(*layers, **more):
    return dumps({'os': 'linux', 'architecture': 'amd64', 'config': {}, **more,
        'rootfs': {'type': 'layers', 'diff_ids': [sha(l) for l in layers]}})
def manifest(layers, **more):
    return dumps([{'Config': 'c.json', 'RepoTags': ['bad:1'], 'Layers': layers, **more}])
def docker(layer, config, name='l/layer.tar'):
    add(name, layer); add('c.json', config); add('manifest.json', manifest([name]))
def blob(data, name=None):
    add('blobs/sha256/' + (name or sha(data))[7:], data)
    return {'digest': name or sha(data), 'size': len(data)}
def oci(*manifests): add('index.json', dumps({'schemaVersion': 2, 'manifests': list(manifests)}))
MANIFEST = {'mediaType': 'application/vnd.oci.image.manifest.v1+json'}
INDEX = {'mediaType': 'application/vnd.oci.image.index.v1+json'}
def image(layer, config): return dumps({'schemaVersion': 2, 'config': config, 'layers': [layer]})
class Stream:
    def __init__(self, head, byte): self.head, self.byte = head, byte
    def read(self, n):
        head, self.head = self.head, b''
        return head + self.byte * (n - len(head))
def stream(name, size, head=b'', byte=b' '):
    i = tarfile.TarInfo(name); i.size = size; t.addfile(i, Stream(head, byte))
def header(name, size=0):
    i = tarfile.TarInfo(name); i.size = size; return i.tobuf()
good = tar(('f', {'data': b'x'}))
out = os.fdopen(1, 'wb', 1 << 20)
t = tarfile.open(fileobj=out, mode='w|'); add = adder(t)
"#;

/// Feeds what `script` makes to a command that has 64 MB of address space.
fn fed<'t>(t: &'t Test, args: &[&str], script: &str) -> Run<'t> {
    let path = t.path("script.py");
    let script = format!(
        "{PRELUDE}\ntry:\n    exec({:?})\n    t.close(); out.flush()\nexcept BrokenPipeError: os._exit(0)\n",
        script
    );
    fs::write(&path, script).expect("write the script");
    let pipe = format!("python3 {} | {{ ulimit -v 65536; exec \"$@\"; }}", path.display());
    t.coracle(args.iter()).by(&pipe)
}

/// It must be refused with these words, and nothing of it stay.
#[track_caller]
fn refused(t: &Test, args: &[&str], script: &str, words: &[&str]) {
    let mut run = fed(t, args, script).code(1);
    for word in words {
        run = run.stderr_has(word);
    }
    run.ok();
    assert_eq!(t.says(["images", "-q"]), "", "{script}");
    for place in ["layers", "blobs/sha256", "tmp"] {
        assert_eq!(count(&t.root().join("images").join(place)), 0, "{script}: {place}");
    }
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).into_iter().flatten().count()
}

/// Has the state root lie on a disk of its own, until dropped.
struct Disk<'t>(&'t Test);

impl Disk<'_> {
    fn new<'t>(t: &'t Test, options: &str) -> Disk<'t> {
        let root = t.dir("root");
        mount(Some("disk"), &root, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("mount");
        Disk(t)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        nix::mount::umount(&self.0.root()).expect("unmount");
    }
}

#[test]
fn layers_of_a_load_may_do_no_more_than_others() {
    let t = test!();
    let outside = t.dir("outside");
    fs::write(outside.join("victim"), "whole").expect("write");
    for (layer, words) in [
        ("tar(('../x', {}))", &["member \"../x\"", "leads out"][..]),
        (
            "tar(('l', {'type': LNKTYPE, 'linkname': '../../outside/victim'}))",
            &["member \"l\"", "leads out"],
        ),
        (
            "tar(('d', {'type': SYMTYPE, 'linkname': '/tmp'}), ('d/x', {}))",
            &["member \"d/x\"", "no directory"],
        ),
        ("tar(('c', {'type': CHRTYPE}))", &["member \"c\"", "whiteout"]),
        (
            "tar(*((f'dev/{n}', {'type': CHRTYPE, 'devmajor': 1}) for n in range(10001)))",
            &["member \"dev/10000\"", "one device too many"],
        ),
        ("good[:700]", &["member \"f\"", "cut off"]),
    ] {
        for (form, member) in [
            ("docker(l, config(l))", "layer l/layer.tar: "),
            ("docker(gzip.compress(l), config(l))", "layer l/layer.tar: "),
            (
                "docker(subprocess.run(['zstd', '-c'], input=l, capture_output=True).stdout, config(l))",
                "layer l/layer.tar: ",
            ),
            ("oci({**MANIFEST, **blob(image(blob(l), blob(config(l))))})", "layer blobs/sha256/"),
            (
                "i = '1' * 64; add(i + '/VERSION', b'1.0'); add(i + '/layer.tar', l); \
                add(i + '/json', dumps({'id': i}))",
                "layer 1111111111111",
            ),
        ] {
            let words = [words, &[member]].concat();
            refused(&t, &["load"], &format!("l = {layer}; {form}"), &words);
        }
    }
    assert_eq!(count(&outside), 1);
    assert_eq!(fs::read_to_string(outside.join("victim")).expect("read"), "whole");
}

#[test]
fn indexes_of_a_load_are_believed_in_nothing() {
    let t = test!();
    let deep = "for n in range(6): last = {**INDEX, **blob(dumps({'schemaVersion': 2, 'manifests': [last]}))}";
    for (script, words) in [
        (
            "docker(good, config(good)); add('manifest.json', manifest(['l/layer.tar'] * 100_000))",
            &["c.json: 100000 layers, and this kernel lays 499 of an image over each other"][..],
        ),
        (
            "docker(good, config(good)); add('manifest.json', manifest(['l/layer.tar'] * 300_000))",
            &["member manifest.json: JSON of more than 200000 values"],
        ),
        ("add('manifest.json', b'[' * 100_000)", &["manifest.json: invalid type"]),
        (
            "docker(good, b'{\"x\":' + b'[' * 100_000 + b']' * 100_000 + b'}')",
            &["c.json: image config: recursion limit exceeded"],
        ),
        (
            "docker(good, config(good)); stream('c.json', 1 << 30, b'{')",
            &["member c.json: no tar", "too long for JSON: 1073741824 bytes"],
        ),
        (
            "docker(good, config(good)); stream('manifest.json', 1 << 30, b'[')",
            &["member manifest.json: no tar", "1073741824 bytes"],
        ),
        (
            "add('manifest.json', manifest([], Config='../../etc/passwd'))",
            &["manifest.json: \"../../etc/passwd\": leads out"],
        ),
        ("add('manifest.json', manifest(['/etc/passwd']))", &["lacks its layer etc/passwd"]),
        ("add('manifest.json', manifest([]))", &["lacks its member c.json"]),
        (
            "docker(good, config(good)); add('l/layer.tar', type=SYMTYPE, linkname='../../etc/passwd')",
            &["member \"l/layer.tar\": its target: leads out"],
        ),
        (
            "docker(good, config(good)); add('l/layer.tar', type=SYMTYPE, linkname='layer.tar')",
            &["lacks its layer l/layer.tar"],
        ),
        ("docker(good, config(good + good))", &["c.json: its layer sha256:", "came as"]),
        ("docker(good, config(good, good))", &["c.json: lists 2 layers, the archive 1"]),
        ("docker(b'text' * 999, config(good))", &["layer l/layer.tar: no tar"]),
        (
            "x = sha(b''); oci({**MANIFEST, **blob(image(blob(good), blob(config(good))), x)})",
            &["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 has not the digest"],
        ),
        (
            "x = sha(b''); oci({**MANIFEST, **blob(image(blob(good), blob(config(good), x)))})",
            &["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 has not the digest"],
        ),
        (
            "x = sha(b''); oci({**MANIFEST, **blob(image(blob(good, x), blob(config(good))))})",
            &["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 has not the digest"],
        ),
        (
            "oci({'mediaType': 'text/plain', **blob(image(blob(good), blob(config(good))))})",
            &["unknown media type text/plain"],
        ),
        (&format!("last = {{**MANIFEST, **blob(b'')}}\n{deep}\noci(last)"), &["nest too deep"]),
        ("for n in range(20001): add(str(n), b'x')", &["more than 20000 members"]),
        (
            "for n in range(15000): add(f'{n}.tar', good[:700])",
            &["more than 100 layers are broken; 100.tar: the archive ends inside member \"f\""],
        ),
        (
            "for n in range(501):
    i = f'{n:064x}'; add(i + '/VERSION', b'1.0'); add(i + '/layer.tar', good)
    add(i + '/json', dumps({'id': i, 'parent': f'{n - 1:064x}' if n else ''}))",
            &["01f4/json: 501 layers, and this kernel lays 499 of an image over each other"],
        ),
        ("for n in range(2000): add(f'{n:04000}', b'x')", &["more than 4 MiB of names of members"]),
        (
            "m = []
for n in range(5):
    add(f'{n}.json', config(good, author=f'{n}' * (4 << 20))); m.append({'Config': f'{n}.json', 'Layers': ['l']})
add('l', good); add('manifest.json', dumps(m))",
            &["more than 16 MiB of image configs"],
        ),
    ] {
        refused(&t, &["load"], script, words);
    }
}

#[test]
fn what_a_load_repeats_is_taken_once() {
    let t = test!();
    // A tenth of this, if each were kept, would have used the files up.
    let disk = Disk::new(&t, "size=64m,nr_inodes=2000");
    let script = "c = config(good)
for n in range(5000): add('l/layer.tar', good); add('c.json', c)
add('m/layer.tar', type=SYMTYPE, linkname='../l/layer.tar')
add('manifest.json', manifest(['m/layer.tar']))";
    fed(&t, &["load"], script).stdout("Loaded image: bad:1\n").ok();
    // One large config under ten thousand names, and one manifest.
    let script = "add('c.json', config(good, author='x' * (6 << 20))); add('l', good)
add('manifest.json', dumps([{'Config': 'c.json', 'RepoTags': [f'n:{n}'], 'Layers': ['l']} for n in range(10000)]))";
    fed(&t, &["load"], script).stdout_has("Loaded image: n:9999\n").ok();
    let script =
        "m = {**MANIFEST, **blob(image(blob(good), blob(config(good, author='y' * (6 << 20)))))}
i = {**INDEX, **blob(dumps({'schemaVersion': 2, 'manifests': [m]}))}
oci(*({**i, 'annotations': {'io.containerd.image.name': f'o:{n}'}} for n in range(10000)))";
    fed(&t, &["load"], script).stdout_has("Loaded image: o:9999\n").ok();
    assert_eq!(count(&t.root().join("images/layers")), 1);
    assert_eq!(count(&t.root().join("images/blobs/sha256")), 3);
    drop(disk);
}

#[test]
fn a_config_is_read_once_however_much_leads_to_it() {
    let t = test!();
    // Sixty thousand million bytes, if each were read.
    let by_links = "add('c.json', config(good, author='x' * (6 << 20))); add('l', good)
for n in range(10000): add(f'{n}.json', type=SYMTYPE, linkname='c.json')
add('manifest.json', dumps([{'Config': f'{n}.json', 'RepoTags': [f'a:{n}'], 'Layers': ['l']} for n in range(10000)]))";
    fed(&t, &["load"], by_links).stdout_has("Loaded image: a:9999\n").ok();
    let by_manifests = "l = blob(good); c = blob(config(good, author='y' * (6 << 20)))
m = ((blob(dumps({'schemaVersion': 2, 'config': c, 'layers': [l], 'annotations': {'n': str(n)}})), n) for n in range(10000))
oci(*[{**MANIFEST, **b, 'annotations': {'io.containerd.image.name': f'b:{n}'}} for b, n in m])";
    fed(&t, &["load"], by_manifests).stdout_has("Loaded image: b:9999\n").ok();
    assert_eq!(count(&t.root().join("images/layers")), 1);
    assert_eq!(count(&t.root().join("images/blobs/sha256")), 2);
}

#[test]
fn one_layer_may_be_all_that_an_image_can_have() {
    let t = test!(busybox);
    let layer = "tar(('d', {'type': DIRTYPE, 'mode': 0o755}), ('d/f', {'data': b'x'}))";
    let saved = t.path("busybox.tar");
    t.coracle(["save", "-o", saved.to_str().expect("a plain path"), "busybox"]).ok();
    let script = format!(
        "l = {layer}; s = tarfile.open('{}'); m = json.load(s.extractfile('manifest.json'))[0]
b = s.extractfile(m['Layers'][0]).read(); add('b', b); add('l', l)
add('c.json', config(b, *[l] * 498)); add('manifest.json', manifest(['b'] + ['l'] * 498))",
        saved.display()
    );
    fed(&t, &["load"], &script).stdout("Loaded image: bad:1\n").ok();
    assert_eq!(count(&t.root().join("images/layers")), 2);
    t.coracle(["run", "--rm", "bad:1", "cat", "/d/f"]).stdout("x").ok();
}

#[test]
fn no_archive_takes_the_last_room_of_the_disk() {
    let t = test!();
    let disk = Disk::new(&t, "size=64m,nr_inodes=100000");
    let room = ["of room on the store's disk", "make room there"];
    let noise = "noise = b''.join(hashlib.sha512(b'%d' % n).digest() for n in range(2000))";
    for (args, script, words) in [
        // JSON that nothing names.
        (
            &["load"][..],
            "for n in range(100): stream(f'{n}.json', 8 << 20, b'{')".to_string(),
            &["member \"7.json\""][..],
        ),
        // Layers that are good each by itself.
        (
            &["load"],
            "for n in range(100): add(f'{n}.tar', tar(('f', {'data': b'%d' % n * (1 << 20)})))".into(),
            &["member \"f\"", ".tar\""],
        ),
        // Bombs within bombs.
        (
            &["load"],
            "docker(gzip.compress(tar(('f', {'data': b'x' * (1 << 28)}))), config(good))".into(),
            &["member \"l/layer.tar\"", "member \"f\""],
        ),
        // What unpacks to nothing but has to be kept: headers, and what follows the end.
        (
            &["import", "-"],
            format!(
                "{noise}
out.write(header('f'))
for n in range(2000):
    out.write(header('x', len(noise)).replace(b'0' + bytes(1) * 7, b'0' + bytes(7), 1)); out.write(noise)"
            ),
            &["member \"x\""],
        ),
        (
            &["import", "-"],
            format!(
                "{noise}
out.write(header('last') + bytes(1024))
for n in range(2000): out.write(noise)"
            ),
            &["after member \"last\""],
        ),
    ] {
        refused(&t, args, &script, &[words, &room].concat());
    }
    drop(disk);
}

#[test]
fn ten_million_tiny_files_leave_files_to_others() {
    let t = test!();
    let disk = Disk::new(&t, "size=1g,nr_inodes=20000");
    let flood = "
def flood(write):
    first = bytearray(header('d/00000000', 0))
    total = sum(first) - sum(first[148:156]) - sum(first[2:10]) 
    for n in range(10_000_000):
        name = b'%08d' % n
        first[2:10] = name
        first[148:156] = b'%06o\\0 ' % (total + sum(name) + 256)
        write(bytes(first))
";
    let words = ["member \"d/000195", "would leave less than 400 files of room", "make room there"];
    refused(&t, &["import", "-"], &format!("{flood}\nflood(out.write)"), &words);
    let script = format!("{flood}\nout.write(header('l', 10_000_000 * 512)); flood(out.write)");
    let words = [&words[..], &["member \"l\": "]].concat();
    refused(&t, &["load"], &script, &words);
    // Directories that one name implies.
    let script = "for n in range(1000): add(f'{n}/' + 'd/' * 40 + 'x')";
    let words = ["would leave less than 400 files", "member \"4"];
    refused(&t, &["import", "-"], script, &words);
    // With room there is no such limit.
    let script = "for n in range(19000): add(f'{n}')";
    fed(&t, &["import", "-", "many"], script).stdout_has("sha256:").ok();
    drop(disk);
}
