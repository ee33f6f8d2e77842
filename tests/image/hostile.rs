//! Archives that want to do harm: refused with the member named, nothing written outside, the
//! store as before.

use crate::support::Place;
use coracle::image::tar::EndMarker;
use coracle::image::unpack::{Limits, unpack};

/// Imports a tar that Python wrote; it must be refused with `words`.
fn refused(place: &Place, script: &str, words: &[&str]) {
    let tar = place.python_tar("hostile.tar", script);
    std::fs::create_dir_all(place.path("outside")).unwrap();
    std::fs::write(place.path("outside/victim"), "whole").unwrap();
    let before = place.listing();
    let text = place.try_import(&tar, "bad").unwrap_err().to_string();
    for word in words {
        assert!(text.contains(word), "{script}: {text}");
    }
    assert_eq!(place.listing(), before, "{script}");
    assert_eq!(place.sh("find outside; cat outside/victim"), "outside\noutside/victim\nwhole");
}

#[test]
fn nothing_leads_out_of_the_tree() {
    let place = Place::new();
    for (script, words) in [
        ("add('../x', b'x')", &["\"../x\"", "leads out"][..]),
        ("add('a/../../x', b'x')", &["leads out"]),
        ("add('/../x', b'x')", &["leads out"]),
        ("add('l', type=LNKTYPE, linkname='../../outside/victim')", &["member \"l\"", "leads out"]),
        ("add('l', type=LNKTYPE, linkname='/etc/passwd')", &["member \"l\"", "not there"]),
        (
            "add('up', type=SYMTYPE, linkname='../../../../../../../outside')
add('l', type=LNKTYPE, linkname='up/victim')",
            &["member \"l\"", "not there"],
        ),
        ("add('.', b'x')", &["root directory"]),
        ("add('./', type=SYMTYPE, linkname='/')", &["root directory"]),
        ("add('a', b'x'); add('a/b', b'y')", &["\"a/b\"", "no directory"]),
        ("add('loop', type=SYMTYPE, linkname='loop'); add('loop/x', b'y')", &["\"loop/x\""]),
        (
            "add('away', type=SYMTYPE, linkname='/nowhere'); add('away/x', b'y')",
            &["\"away/x\"", "no directory"],
        ),
        (
            "add('d', type=DIRTYPE); add('l', type=LNKTYPE, linkname='d')",
            &["\"l\"", "links to a directory"],
        ),
        ("add('a\\0b', b'x', pax_headers={'path': 'a\\0b'})", &["NUL"]),
        ("add('x' * 300, b'x')", &["xxx", "name too long"]),
        ("add('x/' * 3000, b'x')", &["name of"]),
    ] {
        refused(&place, script, words);
    }
}

#[test]
fn links_of_the_archive_are_followed_inside_only() {
    let place = Place::new();
    let outside = place.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let tar = place.python_tar(
        "t.tar",
        &format!(
            "add('abs', type=SYMTYPE, linkname='{0}'); add('{0}/', type=DIRTYPE)
add('abs/file', b'inside')
add('up', type=SYMTYPE, linkname='../../../../..'); add('up/top', b'top')",
            outside.display()
        ),
    );
    let image = place.import(&tar, "x");
    let tree = place.tree(&image);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let inside = tree.join(outside.strip_prefix("/").unwrap()).join("file");
    assert_eq!(std::fs::read_to_string(inside).unwrap(), "inside");
    assert_eq!(std::fs::read_to_string(tree.join("top")).unwrap(), "top");
    assert!(place.emitted(&image)[0] == std::fs::read(&tar).unwrap());
}

#[test]
fn overlayfs_cannot_be_spoken_to_from_an_archive() {
    let place = Place::new();
    for key in ["trusted.overlay.redirect", "user.overlay.opaque", "trusted.coracle.implied"] {
        let script = format!("add('d', type=DIRTYPE, pax_headers={{'SCHILY.xattr.{key}': 'y'}})");
        refused(&place, &script, &["member \"d/\"", key, "reserved"]);
    }
    refused(&place, "add('c', type=CHRTYPE)", &["member \"c\"", "whiteout"]);
    refused(&place, "add('d/.wh..')", &["\"d/.wh..\"", "whiteout of nothing"]);
    refused(&place, "add('.wh.')", &["whiteout of nothing"]);
}

#[test]
fn damaged_numbers_and_maps_are_refused() {
    let place = Place::new();
    for (script, words) in [
        ("add('f', b'x', pax_headers={'size': '99999999999999999999'})", &["\"f\"", "size"][..]),
        ("add('f', b'x', pax_headers={'size': '9223372036854775807'})", &["\"f\"", "larger than"]),
        ("add('f', b'x', pax_headers={'mtime': 'noon'})", &["\"f\"", "time"]),
        ("add('f', b'x', pax_headers={'mtime': '99999999999999999999'})", &["\"f\"", "time"]),
        ("add('f', b'x', pax_headers={'uid': '4294967295'})", &["\"f\"", "user id"]),
        ("add('f', b'x', pax_headers={'gid': '-1'})", &["\"f\"", "gid"]),
        ("add('f', b'x', type=b'~')", &["\"f\"", "unknown type '~'"]),
        ("add('f', b'x', type=b'M')", &["\"f\"", "volume"]),
        (
            "add('f', b'x', pax_headers={'GNU.sparse.major': '1', 'GNU.sparse.minor': '0'})",
            &["\"f\"", "sparse map"],
        ),
        (
            "add('f', b'2\\n0\\n5\\n3\\n5\\n'.ljust(512, b'\\0') + b'0123456789',
pax_headers={'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '99'})",
            &["\"f\"", "sparse map"],
        ),
        (
            "add('f', b'1\\n0\\n1\\n'.ljust(512, b'\\0') + b'0', pax_headers={'GNU.sparse.major': '1',
'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9223372036854775807'})",
            &["\"f\"", "larger than"],
        ),
        ("add('f', b'x', pax_headers={'comment': 'c' * (2 << 20)})", &["extension header of"]),
        ("add('f'); [add('x', b'9 path=a\\n', type=b'x') for i in range(17)]", &["after member \"f\"", "more than 16"]),
        (
            "[add('g', b'40010 c%04d=%s\\n' % (i, b'c' * 39997), type=b'g') for i in range(2)]",
            &["global pax headers"],
        ),
    ] {
        refused(&place, script, words);
    }
}

#[test]
fn floods_are_stopped_at_their_limit() {
    let place = Place::new();
    refused(
        &place,
        "for i in range(10001): add(f'dev/{i}', type=CHRTYPE, devmajor=1, devminor=i % 256)",
        &["\"dev/10000\"", "one device too many"],
    );
    let tar = place.python_tar("t.tar", "for i in range(20): add(str(i))");
    let dir = place.path("limited");
    std::fs::create_dir(&dir).unwrap();
    let limits = Limits { members: 19, ..Limits::default() };
    let mut input = std::fs::File::open(tar).unwrap();
    let text = unpack(&mut input, &dir, limits, EndMarker::Required).unwrap_err().to_string();
    assert_eq!(text, "member \"19\": is one too many after 19");
}

#[test]
fn an_archive_cut_at_any_place_is_refused() {
    let place = Place::new();
    let tar = place.python_tar(
        "whole.tar",
        "add('d', type=DIRTYPE); add('d/' + 'n' * 150, b'x' * 700); add('last', b'y')",
    );
    let whole = std::fs::read(&tar).unwrap();
    let end = whole.iter().rposition(|b| *b != 0).unwrap() / 512 * 512 + 512;
    let before = place.listing();
    for cut in (0..end).step_by(256).chain([1, end]) {
        let path = place.path("cut.tar");
        std::fs::write(&path, &whole[..cut]).unwrap();
        let text = place.try_import(&path, "cut").unwrap_err().to_string();
        assert!(text.contains("cut off") || text.contains("is empty"), "{cut}: {text}");
    }
    place.sh("gzip -k whole.tar; head -c -20 whole.tar.gz > cut.gz; echo nonsense > text");
    let told = |name: &str| place.try_import(&place.path(name), "x").unwrap_err().to_string();
    assert!(told("cut.gz").contains("cannot read the archive"), "{}", told("cut.gz"));
    assert!(told("text").contains("cut off"), "{}", told("text"));
    place.sh("seq 1000 > text");
    assert!(told("text").contains("no tar header"), "{}", told("text"));
    assert_eq!(place.listing(), before);
}
