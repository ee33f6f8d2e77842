//! The fuzzers' start: the files of a directory of tests/corpus, and random changes of them.

use crate::policy::Jitter;

/// Calls `check` with each file and with so many changed ones, the same each time.
pub fn mutations(corpus: &str, count: usize, mut check: impl FnMut(&[u8])) {
    let dir = format!("{}/tests/corpus/{corpus}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    files.iter().for_each(|file| check(file));
    let mut random = Jitter::new(0x9e37_79b9);
    for n in 0..count {
        let mut bytes = files[n % files.len()].clone();
        for _ in 0..=random.below(3) {
            change(&mut random, &mut bytes, &files);
        }
        check(&bytes);
    }
}

/// A word, a byte or a piece of a file: in, out, or in another's place.
fn change(random: &mut Jitter, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
    const WORDS: [&str; 24] = [
        "\n", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "'''", "\\", "#",
        "${", "}", "$", "-1", "1e9", "\r\n", "true", "\u{e9}",
    ];
    let start = random.below(bytes.len() + 1);
    let end = (start + random.below(8)).min(bytes.len());
    let piece: Vec<u8> = match random.below(4) {
        0 => Vec::new(),
        1 => vec![random.below(256) as u8],
        2 => WORDS[random.below(WORDS.len())].into(),
        _ => {
            let file = &files[random.below(files.len())];
            let from = random.below(file.len() + 1);
            file[from..(from + random.below(40)).min(file.len())].to_vec()
        }
    };
    let end = if random.below(2) == 0 { start } else { end };
    bytes.splice(start..end, piece);
}
