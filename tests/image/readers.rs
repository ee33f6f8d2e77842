//! The archives of tests/corpus/tar, and random changes of them, unpacked: each is refused in one
//! line, or comes out again byte for byte; nothing lands outside of its directory. Good ones are what
//! GNU tar and Python take them for.

use crate::corpus::{Verdict, fuzz};
use crate::support::Place;
use coracle::error::Result;
use coracle::image::recipe::{self, Emit};
use coracle::image::tar::{self, Archive, EndMarker, Kind, set_checksum};
use coracle::image::unpack::{Limits, unpack};
use coracle::sys::fs::remove_tree;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

const WORDS: [&str; 16] = [
    "\0",
    "ustar\0",
    "ustar  \0",
    "1",
    "2",
    "5",
    "S",
    "L",
    "x",
    "g",
    "path=",
    "size=",
    "../",
    ".wh.",
    "GNU.sparse.",
    "SCHILY.xattr.user.",
];

fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.as_chunks_mut().0 {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            set_checksum(block);
        }
    }
    bytes
}

/// Unpacks the archive in a directory of its own.
fn unpacked(place: &Place, bytes: &[u8]) -> Verdict {
    let dir = place.path("layer");
    std::fs::create_dir(&dir).unwrap();
    let limits = Limits { members: 1000, devices: 100, bytes: 16 << 20 };
    let outcome = unpack(&mut &bytes[..], &dir, limits, EndMarker::Required);
    if let Ok(layer) = &outcome {
        let mut again = Vec::new();
        if let Err(Emit::Layer(e)) = recipe::emit(&dir, &layer.diff_id, &mut again) {
            panic!("{e}");
        }
        assert_eq!(again.len() as u64, layer.tar_size);
        assert!(layer.blob != layer.diff_id || again == bytes, "another tar came out");
    }
    remove_tree(&dir).unwrap();
    let left: Vec<_> =
        std::fs::read_dir(&place.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.len() == 1 && left[0].as_bytes() == b"root", "{left:?}");
    outcome.map(drop).map_err(|e| e.to_string())
}

/// Reads an archive to its end; of every second member the data too. What was tapped and what was
/// read must be the archive.
fn read(bytes: &[u8]) -> Result<()> {
    let mut input = bytes;
    let mut archive = Archive::new(&mut input, EndMarker::Optional);
    let mut seen = Vec::new();
    let mut wants_data = false;
    loop {
        let mut raw = Vec::new();
        let next = archive.next(&mut |bytes| {
            raw.extend_from_slice(bytes);
            Ok(())
        });
        seen.append(&mut raw);
        let Some(member) = next? else { break };
        assert!(!member.display_name().contains(char::is_control));
        wants_data = !wants_data;
        loop {
            let data = if wants_data { archive.data()? } else { &[] };
            if data.is_empty() {
                break;
            }
            seen.extend_from_slice(data);
            let n = data.len();
            archive.consume(n);
        }
    }
    assert!(seen == bytes, "bytes of the archive are lost");
    Ok(())
}

#[test]
fn archives_of_the_corpus_come_out_as_they_went_in_or_not_at_all() {
    let place = Place::quick();
    let (mut taken, mut refused) = (0, 0);
    fuzz("tar", &WORDS, 1_500, |bytes| {
        let _ = read(bytes);
        let mended = mended(bytes);
        let _ = read(&mended);
        match unpacked(&place, &mended) {
            Ok(()) => taken += 1,
            Err(_) => refused += 1,
        }
        unpacked(&place, bytes)
    });
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

/// A member a line: type, mode, owner, size, name, target.
fn ours(bytes: &[u8]) -> String {
    let mut input = bytes;
    let mut archive = Archive::new(&mut input, EndMarker::Optional);
    let mut text = String::new();
    while let Some(member) = archive.next(&mut tar::ignore).unwrap() {
        let kind = match member.kind {
            Kind::Regular => 'f',
            Kind::HardLink => 'h',
            Kind::Symlink => 'l',
            Kind::CharDevice => 'c',
            Kind::BlockDevice => 'b',
            Kind::Directory => 'd',
            Kind::Fifo => 'p',
            Kind::Label => continue,
        };
        let name = String::from_utf8_lossy(&member.name).into_owned();
        let is_link = matches!(member.kind, Kind::HardLink | Kind::Symlink);
        let link = if is_link {
            String::from_utf8_lossy(&member.link).into_owned()
        } else {
            String::new()
        };
        let size = if member.kind == Kind::Regular { member.size } else { 0 };
        let (mode, uid, gid) = (member.mode, member.uid, member.gid);
        let seconds = member.mtime.0.div_euclid(1_000_000_000);
        let name = name.trim_end_matches('/');
        writeln!(text, "{kind} {mode:o} {uid}:{gid} {size} {seconds} {name} {link}").unwrap();
    }
    text
}

const PYTHON: &str = "
import math, sys, tarfile
for path in sys.argv[1:]:
    print('=', path)
    for m in tarfile.open(path):
        if m.type == b'V': continue
        kind = {b'1': 'h', b'2': 'l', b'3': 'c', b'4': 'b', b'5': 'd', b'6': 'p'}.get(m.type, 'f')
        link = m.linkname if kind in 'hl' else ''
        size = m.size if kind == 'f' else 0
        print(kind, '%o' % m.mode, '%d:%d' % (m.uid, m.gid), size, math.floor(m.mtime), m.name.rstrip('/'), link)
";

#[test]
fn good_archives_of_the_corpus_are_what_python_and_gnu_tar_take_them_for() {
    let place = Place::new();
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/tar");
    let script = format!("LC_ALL=C.UTF-8 python3 - {corpus}/good-* <<'PYTHON'\n{PYTHON}\nPYTHON");
    let theirs = place.sh(&script);
    let mut seen = 0;
    for part in theirs.split("= ").filter(|part| part.starts_with('/')) {
        let (path, listing) = part.split_once('\n').unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(ours(&bytes), listing, "{path}");
        // GNU tar's listing: kind and permissions, owner, size, date, time, name.
        let listed =
            place.sh(&format!("tar -tv --numeric-owner --quoting-style=literal -f {path}"));
        let listed: Vec<Vec<&str>> =
            listed.lines().map(|line| line.split_whitespace().collect()).collect();
        let listed = listed.iter().filter(|words| !words[0].starts_with('V'));
        for (line, words) in ours(&bytes).lines().zip(listed) {
            let own: Vec<&str> = line.split(' ').collect();
            // It calls a contiguous file C.
            let theirs = words[0][..1].replace('C', "-");
            let kind = if own[0] == "f" { "-" } else { own[0] };
            assert_eq!(
                (kind, own[2].replace(':', "/").as_str()),
                (theirs.as_str(), words[1]),
                "{path}: {line}"
            );
            assert_eq!(words[5].trim_end_matches('/'), own[5], "{path}: {line}");
            assert!(kind != "-" || own[3] == words[2], "{path}: {line}: {words:?}");
        }
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}
