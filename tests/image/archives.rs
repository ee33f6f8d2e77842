//! Archives of whole images: what others write comes in, what we write others read, and what
//! goes round comes out as it was.

use crate::support::{Place, describe};
use coracle::engine::image::{Loaded, load, save};
use coracle::error::Result;
use std::fs::File;
use std::path::Path;

fn try_load(place: &Place, name: &str) -> Result<Vec<Loaded>> {
    load(&place.store, &mut File::open(place.path(name)).unwrap())
}

fn save_to(place: &Place, names: &[&str], file: &str) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    save(&place.store, &names, &mut File::create(place.path(file)).unwrap()).unwrap();
}

/// Makes a docker-archive of two images that share layers: `one` (base, mid, top) and `two`
/// (base, top). `members` is the list of (name, data): config and layers of `one`, config of
/// `two`, manifest.json.
const TWO_IMAGES: &str = "
import hashlib, io, json, sys, tarfile
def layer(*members):
    b = io.BytesIO()
    t = tarfile.open(fileobj=b, mode='w', format=tarfile.GNU_FORMAT)
    for name, data, fields in members:
        i = tarfile.TarInfo(name); i.size = len(data)
        for k, v in fields.items(): setattr(i, k, v)
        t.addfile(i, io.BytesIO(data))
    t.close()
    return b.getvalue()
D = dict(type=tarfile.DIRTYPE, mode=0o750, uid=7, mtime=1000)
base = layer(('etc', b'', D), ('etc/a', b'base', {}), ('bin', b'', dict(D, mode=0o755)))
mid = layer(('etc/b', b'mid', {}), ('bin/.wh.sh', b'', {}))
top = layer(('etc/.wh.a', b'', {}))
sha = lambda b: hashlib.sha256(b).hexdigest()
members, manifest = [], []
for n, layers in [('one', [base, mid, top]), ('two', [base, top])]:
    diff_ids = ['sha256:' + sha(l) for l in layers]
    config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'x-kept': [1.50],
        'config': {'Cmd': [n]}, 'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}, indent=3)
    config = config.encode()
    members += [(sha(config) + '.json', config)] + [(sha(l) + '/layer.tar', l) for l in layers]
    manifest.append({'Config': sha(config) + '.json', 'RepoTags': [n + ':1', n + ':2'],
        'Layers': [sha(l) + '/layer.tar' for l in layers]})
members = list(dict(members).items()) + [('manifest.json', json.dumps(manifest).encode())]
t = tarfile.open(sys.argv[1], 'w')
for n, data in eval(sys.argv[2]):
    i = tarfile.TarInfo(n); i.size = len(data); t.addfile(i, io.BytesIO(data))
t.close()
";

/// Writes that archive, its members chosen by `order`, a Python expression.
fn docker_archive(place: &Place, name: &str, order: &str) {
    place.python(TWO_IMAGES, &[name, order]);
}

#[test]
fn a_docker_archive_comes_in_whatever_the_order_of_its_members() {
    let place = Place::new();
    let mut first = None;
    for order in ["members", "members[::-1]", "sorted(members)"] {
        docker_archive(&place, "d.tar", order);
        let loaded = try_load(&place, "d.tar").unwrap();
        assert_eq!(loaded.len(), 2);
        let names: Vec<_> = loaded[0].names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["one:1", "one:2"]);
        let listing = place.listing();
        assert_eq!(first.get_or_insert_with(|| listing.clone()), &listing, "{order}");
    }
    let one = place.store.image(&place.store.resolve("one:2").unwrap()).unwrap();
    let two = place.store.image(&place.store.resolve("two:1").unwrap()).unwrap();
    assert_eq!(one.config.config.cmd, Some(vec!["one".to_string()]));
    let (one, two) = (place.trees(&one), place.trees(&two));
    assert_eq!(one[0], two[0]);
    // The top layer names etc only by what is in it; on either base it is that base's etc.
    assert_ne!(one[2], two[1]);
    for tree in [&one[1], &one[2], &two[1]] {
        let etc = describe(&tree.join("etc"));
        assert!(etc.starts_with(" d 750 7:0 1000.0"), "{etc}");
    }
    assert!(describe(&one[1].join("bin")).contains("\nsh c "));
}

#[test]
fn what_is_saved_is_what_was_loaded_bit_for_bit() {
    let place = Place::new();
    docker_archive(&place, "d.tar", "members");
    try_load(&place, "d.tar").unwrap();
    save_to(&place, &["one", "two:1"], "saved.tar");
    place.sh("mkdir in out; tar -C in -xf d.tar; tar -C out -xf saved.tar
        cd in; for f in *.json */layer.tar; do
            [ $f = manifest.json ] || cmp $f ../out/blobs/sha256/$(sha256sum < $f | cut -d' ' -f1)
        done
        cd ../out/blobs/sha256; for f in *; do echo \"$f  $f\"; done | sha256sum -c --quiet");
    let again = Place::new();
    let loaded = try_load_from(&again, &place.path("saved.tar")).unwrap();
    assert_eq!(loaded.iter().map(|l| l.names.len()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(again.listing(), place.listing());
    save_to(&again, &["one", "two:1"], "saved.tar");
    place.sh(&format!("cmp saved.tar {}", again.path("saved.tar").display()));
}

fn try_load_from(place: &Place, path: &Path) -> Result<Vec<Loaded>> {
    load(&place.store, &mut File::open(path).unwrap())
}

#[test]
fn skopeo_reads_what_is_saved_and_what_it_writes_is_loaded() {
    let place = Place::new();
    if std::process::Command::new("skopeo").arg("--version").output().is_err() {
        assert!(std::env::var_os("MUST_WORK").is_none(), "cannot run: needs skopeo");
        return eprintln!("skipped: needs skopeo");
    }
    docker_archive(&place, "d.tar", "members");
    try_load(&place, "d.tar").unwrap();
    save_to(&place, &["one:1"], "saved.tar");
    let image = place.store.image(&place.store.resolve("one:1").unwrap()).unwrap();
    place.sh("skopeo() { command skopeo --insecure-policy --tmpdir . \"$@\" >/dev/null; }
        skopeo copy docker-archive:saved.tar oci-archive:oci.tar:one:1
        skopeo copy oci-archive:saved.tar docker-archive:docker.tar:again:9
        gzip -k oci.tar");
    for (archive, name) in
        [("oci.tar", "one:1"), ("docker.tar", "again:9"), ("oci.tar.gz", "one:1")]
    {
        let other = Place::new();
        let loaded = try_load_from(&other, &place.path(archive)).unwrap();
        assert_eq!(loaded[0].names, [name.parse().unwrap()], "{archive}");
        let got = other.store.image(&loaded[0].id).unwrap();
        assert!(other.emitted(&got) == place.emitted(&image), "{archive}");
        for (a, b) in other.trees(&got).iter().zip(place.trees(&image)) {
            assert_eq!(describe(a), describe(&b));
        }
    }
}

#[test]
fn broken_archives_are_refused_and_the_store_is_as_before() {
    let place = Place::new();
    docker_archive(&place, "good.tar", "members");
    let before = place.listing();
    for (order, told) in [
        ("members[:-1]", "neither manifest.json, index.json nor repositories"),
        ("members[1:]", "lacks its member"),
        ("members[:2] + members[3:]", "lacks its layer"),
        ("members[:1] + [(members[1][0], members[2][1])] + members[2:]", "came as"),
        ("members[:1] + [(members[1][0], b'text')] + members[2:]", "no tar"),
        ("[(members[0][0], b'{}')] + members[1:]", "image config"),
        (
            "[(members[0][0], members[0][1].replace(b'amd64', b's390x'))] + members[1:]",
            "is for linux/s390x, and this machine is linux/amd64",
        ),
        ("members[:-1] + [('manifest.json', b'[{')]", "manifest.json"),
        (
            "members[:-1] + [('manifest.json', members[-1][1].replace(b'one:1', b'ONE'))]",
            "invalid reference format",
        ),
        (
            "[('index.json', b'{\"schemaVersion\": 2, \"manifests\": [{\"digest\": \"sha256:x\"}]}')]",
            "index.json",
        ),
        ("members[:1] + [(members[1][0], members[1][1][:1700])] + members[2:]", "cut off"),
        ("members[:1] + [(members[1][0], b'\\x28\\xb5\\x2f\\xfd' * 999)] + members[2:]", "zstd"),
        ("members[:1] + [(members[1][0], b'\\x04\\x22\\x4d\\x18' * 999)] + members[2:]", "lz4"),
        ("members[:-1] + [('manifest.json', b'[]')]", "holds no image"),
    ] {
        docker_archive(&place, "bad.tar", order);
        let text = try_load(&place, "bad.tar").unwrap_err().to_string();
        assert!(text.contains(told), "{order}: {text}");
        assert_eq!(place.listing(), before, "{order}");
    }
    let good = std::fs::read(place.path("good.tar")).unwrap();
    std::fs::write(place.path("bad.tar"), &good[..good.len() / 2]).unwrap();
    let text = try_load(&place, "bad.tar").unwrap_err().to_string();
    assert!(text.contains("cut off") || text.contains("neither"), "{text}");
    assert_eq!(place.listing(), before);
}

#[test]
fn a_blob_that_belies_its_name_is_refused() {
    let place = Place::new();
    docker_archive(&place, "d.tar", "members");
    try_load(&place, "d.tar").unwrap();
    save_to(&place, &["one:1"], "saved.tar");
    place.sh("mkdir x; tar -C x -xf saved.tar; rm x/manifest.json; tar -C x -cf oci.tar .");
    let other = Place::new();
    let loaded = try_load_from(&other, &place.path("oci.tar")).unwrap();
    assert_eq!(loaded[0].names, ["one:1".parse().unwrap()]);
    place.sh("cd x/blobs/sha256; f=$(grep -l x-kept *); sed -i s/x-kept/x-lost/ $f
        tar -C ../.. -cf ../../../oci.tar .");
    let text = try_load_from(&other, &place.path("oci.tar")).unwrap_err().to_string();
    assert!(text.contains("has not the digest of its name"), "{text}");
}

#[test]
fn an_oci_layout_is_of_the_known_versions_and_media_types() {
    let place = Place::new();
    docker_archive(&place, "d.tar", "members");
    try_load(&place, "d.tar").unwrap();
    save_to(&place, &["one:1"], "saved.tar");
    let before = place.listing();
    for (change, told) in [
        ("layout['imageLayoutVersion'] = '2.0.0'", "oci-layout: version \"2.0.0\", not 1"),
        ("index['schemaVersion'] = 1", "index.json: schema version 1, not 2"),
        ("index['manifests'][0]['mediaType'] = 'text/html'", "unknown media type text/html"),
        ("index['manifests'] = []", "holds no image"),
        ("manifest['schemaVersion'] = 3", "schema version 3, not 2"),
        ("manifest['config']['mediaType'] = 'application/vnd.cncf.helm.config.v1+json'", "helm"),
        ("manifest['config']['size'] += 1", "bytes, not"),
        ("manifest['layers'][0]['mediaType'] += '+encrypted'", "layer.v1.tar+encrypted"),
        ("manifest['layers'][0]['digest'] = '../../etc'", "is not a digest"),
    ] {
        let program = format!(
            "import hashlib, io, json, tarfile
old = tarfile.open('saved.tar')
read = lambda name: old.extractfile(name).read()
layout, index = json.loads(read('oci-layout')), json.loads(read('index.json'))
path = 'blobs/sha256/' + index['manifests'][0]['digest'][7:]
manifest = json.loads(read(path))
{change}
blob = json.dumps(manifest).encode()
for first in index['manifests'][:1]:
    first['digest'], first['size'] = 'sha256:' + hashlib.sha256(blob).hexdigest(), len(blob)
parts = {{m.name: read(m.name) for m in old if m.isreg() and m.name.startswith('blobs/')}}
parts['blobs/sha256/' + hashlib.sha256(blob).hexdigest()] = blob
parts['oci-layout'] = json.dumps(layout).encode()
parts['index.json'] = json.dumps(index).encode()
with tarfile.open('bad.tar', 'w') as new:
    for name, data in parts.items():
        member = tarfile.TarInfo(name)
        member.size = len(data)
        new.addfile(member, io.BytesIO(data))"
        );
        place.python(&program, &[]);
        let text = try_load(&place, "bad.tar").unwrap_err().to_string();
        assert!(text.contains(told), "{change}: {text}");
        assert_eq!(place.listing(), before, "{change}");
    }
}
