//! What becomes of the members of a layer, and that its tar comes out again as it was.

use crate::support::{Place, describe};
use coracle::sys::fs::{self, FileType, Open};
use coracle::sys::xattr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

#[test]
fn a_tree_of_every_kind_of_file_is_kept_and_its_tar_comes_out_bit_for_bit() {
    let place = Place::new();
    place.sh("mkdir src; cd src
        mkdir -p a/b/c sticky; chmod 1777 sticky
        echo hello > a/file; chown 12:34 a/file; chmod 4755 a/file
        ln a/file a/b/hard; ln -s ../file a/b/soft; ln -s /nowhere dangling
        mkfifo pipe; mknod null c 1 3; mknod loop b 7 0; chmod 666 null
        : > empty; chmod 000 empty
        truncate -s 1M sparse; echo middle | dd of=sparse bs=1 seek=500000 conv=notrunc status=none
        touch -d '2001-02-03 04:05:06.123456789Z' a/file a/b empty
        touch -h -d '1969-12-31 23:59:58.5Z' dangling
        touch -d '2010-01-01 00:00:00.5Z' a/b/c sticky a .");
    let source = fs::open_directory(&place.path("src/a")).unwrap();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let xattrs: [(&[u8], &[u8]); 2] =
        [(b"user.note", b"two\nlines\0"), (b"security.capability", capability)];
    for (key, value) in xattrs {
        xattr::set_at(source.as_fd(), b"file", key, value).unwrap();
    }
    let name = "n".repeat(200);
    place.sh(&format!(
        "mkdir -p src/{name}; echo deep > src/{name}/{name}; ln src/{name}/{name} src/l"
    ));
    let before = describe(&place.path("src"));
    let posix = "--xattrs --xattrs-include='*' --format=posix";
    for (options, exact) in [(posix, true), ("--format=gnu", false)] {
        for version in ["", "1.0", "0.1", "0.0"] {
            let sparse = match version {
                "" => String::new(),
                _ => format!("--sparse --sparse-version={version}"),
            };
            let tar = place.path("t.tar");
            place.sh(&format!("tar -C src {options} {sparse} -cf t.tar ."));
            let image = place.import(&tar, "all");
            let tree = place.tree(&image);
            if exact {
                assert_eq!(describe(&tree), before, "{options} {sparse}");
                let dir = fs::open_directory(&tree.join("a")).unwrap();
                for (key, value) in xattrs {
                    let got = xattr::get_at(dir.as_fd(), b"file", key).unwrap();
                    assert_eq!(got.as_deref(), Some(value));
                }
            }
            assert!(place.emitted(&image)[0] == std::fs::read(&tar).unwrap(), "{options} {sparse}");
            let sparse_file = std::fs::metadata(tree.join("sparse")).unwrap();
            assert!(sparse.is_empty() || sparse_file.blocks() < 64, "holes are kept");
        }
    }
}

#[test]
fn archives_of_other_writers_come_out_bit_for_bit() {
    let place = Place::new();
    place.sh("mkdir -p src/d; echo x > src/d/x; ln -s x src/d/y; seq 100000 > src/big");
    let long = "p/".repeat(40);
    place.sh(&format!("mkdir -p src/{long}; echo y > src/{long}/y"));
    place.sh(
        "for f in v7 oldgnu ustar; do tar -C src --exclude=big --format=$f -cf $f.tar d big; done
        tar -C src --format=ustar -cf prefix.tar .
        tar -C src -b 1 -cf blocks.tar .
        tar -C src -cf label.tar -V label .
        tar -C src -cf multi.tar d; tar -C src -rf multi.tar big; tar -C src -uf multi.tar d
        cp blocks.tar garbage.tar; echo trailing garbage >> garbage.tar
        tar -C src -cf abs.tar -P --transform=s,^,/, d
        gzip -k blocks.tar; cat blocks.tar.gz > twice.gz",
    );
    place.python_tar(
        "python.tar",
        "t.pax_headers = {'comment': 'global', 'mtime': '1000000000.25'}
add('./'); add('d/', type=DIRTYPE, mode=0o700)
add('d/f', b'data', mtime=5, uid=3000000000, gid=77)
add('d/\\u00e4' * 60, b'x')",
    );
    for name in
        ["v7", "oldgnu", "ustar", "prefix", "blocks", "label", "multi", "garbage", "abs", "python"]
    {
        let tar = place.path(&format!("{name}.tar"));
        let image = place.import(&tar, name);
        assert!(place.emitted(&image)[0] == std::fs::read(&tar).unwrap(), "{name}");
    }
    let image = place.import(&place.path("blocks.tar.gz"), "gz");
    assert!(place.emitted(&image)[0] == std::fs::read(place.path("blocks.tar")).unwrap());
    let tree = place.tree(&place.import(&place.path("python.tar"), "python"));
    let file = std::fs::metadata(tree.join("d/f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mtime()), (3_000_000_000, 77, 5));
}

#[test]
fn later_members_replace_earlier_ones_and_the_tar_still_comes_out() {
    let place = Place::new();
    let tar = place.python_tar(
        "t.tar",
        "add('f', b'first')
add('f', b'second!')
add('g', b'linked'); add('h', type=LNKTYPE, linkname='g'); add('g', b'alone')
add('h', type=LNKTYPE, linkname='./h')
add('d', type=DIRTYPE); add('d/x', b'in d'); add('d/y/z', b'deep'); add('d', b'now a file')
add('e', b'a file'); add('e', type=DIRTYPE, mode=0o711); add('e/x', b'in e')
add('l', type=SYMTYPE, linkname='e'); add('l/through', b'by link'); add('l', b'no link')
add('s', type=SYMTYPE, linkname='/etc/passwd'); add('s', b'mine')
add('m', type=DIRTYPE); add('m/a', b'1'); add('m', type=DIRTYPE, mode=0o700); add('m/b', b'2')
add('empty'); add('empty', type=DIRTYPE)",
    );
    let image = place.import(&tar, "x");
    let tree = place.tree(&image);
    let read = |name: &str| std::fs::read_to_string(tree.join(name)).unwrap();
    assert_eq!(
        (read("f").as_str(), read("g").as_str(), read("h").as_str()),
        ("second!", "alone", "linked")
    );
    assert_eq!((read("d").as_str(), read("e/x").as_str()), ("now a file", "in e"));
    assert_eq!(
        (read("e/through").as_str(), read("l").as_str(), read("s").as_str()),
        ("by link", "no link", "mine")
    );
    assert_eq!((read("m/a").as_str(), read("m/b").as_str()), ("1", "2"));
    assert_eq!(std::fs::metadata(tree.join("m")).unwrap().mode() & 0o777, 0o700);
    assert!(tree.join("empty").is_dir());
    assert!(place.emitted(&image)[0] == std::fs::read(&tar).unwrap());
}

#[test]
fn whiteouts_take_the_form_of_overlayfs() {
    let place = Place::new();
    let tar = place.python_tar(
        "t.tar",
        "for d in ['a', 'opaque', 'again', 'here']: add(d, type=DIRTYPE)
add('a/.wh.gone')
add('opaque/.wh..wh..opq'); add('opaque/kept', b'k')
add('.wh.again2'); add('again2', type=DIRTYPE); add('again2/x', b'x')
add('.wh.file'); add('file', b'new')
add('here/x', b'x'); add('.wh.here')
add('.wh.parent'); add('parent/child', b'c')
add('.wh..wh.plnk', type=DIRTYPE); add('.wh..wh.aufs', b'aufs')
add('a/.wh.linked', type=LNKTYPE, linkname='.wh..wh.aufs')",
    );
    let image = place.import(&tar, "x");
    let tree = place.tree(&image);
    let root = fs::open_directory(&tree).unwrap();
    let whiteout = |dir: &[u8], name: &[u8]| {
        let dir = fs::open_beneath(root.as_fd(), dir, Open::Directory).unwrap();
        let stat = fs::stat_at(dir.as_fd(), name).unwrap();
        stat.is_some_and(|s| s.file_type == FileType::CharDevice && s.device == (0, 0))
    };
    let opaque = |name: &[u8]| {
        let value = xattr::get_at(root.as_fd(), name, b"trusted.overlay.opaque").unwrap();
        value.as_deref() == Some(b"y")
    };
    assert!(whiteout(b"a", b"gone") && whiteout(b"a", b"linked"));
    assert!(opaque(b"opaque") && opaque(b"again2") && opaque(b"here") && opaque(b"parent"));
    assert!(!opaque(b"a") && !opaque(b"again"));
    assert!(tree.join("again2/x").exists() && tree.join("parent/child").exists());
    assert_eq!(std::fs::read_to_string(tree.join("file")).unwrap(), "new");
    let entries = std::fs::read_dir(&tree).unwrap().count();
    assert_eq!(entries, 7, "nothing of aufs's bookkeeping is left");
    assert!(place.emitted(&image)[0] == std::fs::read(&tar).unwrap());
}

#[test]
fn device_nodes_and_fifos_are_themselves() {
    let place = Place::new();
    let tar = place.python_tar(
        "t.tar",
        "add('null', type=CHRTYPE, devmajor=1, devminor=3, mode=0o666)
add('loop', type=BLKTYPE, devmajor=7, devminor=300)
add('pipe', type=FIFOTYPE, mode=0o620, uid=5)",
    );
    let tree = place.tree(&place.import(&tar, "x"));
    let stat = |name: &str| std::fs::symlink_metadata(tree.join(name)).unwrap();
    assert!(stat("null").file_type().is_char_device() && stat("null").mode() & 0o777 == 0o666);
    assert!(stat("loop").file_type().is_block_device());
    assert!(stat("pipe").file_type().is_fifo() && stat("pipe").uid() == 5);
    let numbers = place.sh(&format!("stat -c %t,%T {}/loop", tree.display()));
    assert_eq!(numbers.trim(), "7,12c");
}
