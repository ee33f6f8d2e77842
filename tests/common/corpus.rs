//! What readers are tried with: the files of a directory of tests/corpus, and random changes of them.
//!
//! A file called `good-…` must be taken and one called `bad-…` refused; of others, and of changed
//! ones, nobody knows. Each line of `good.lines` and `bad.lines` counts as a file. Whatever is
//! refused is so in one line that a terminal can show: names out of archives end up in it. The changes are the same each time, unless the environment says otherwise:
//!
//! ```text
//! FUZZ_ROUNDS   so many of them, for every corpus (`make fuzz`)
//! FUZZ_SEED     others, by a number
//! ```
//!
//! What a test failed at is left in a file, the name of which is told.

use std::path::PathBuf;

/// What a reader made of some bytes: took them, or why not.
pub type Verdict = Result<(), String>;

/// Has `check` read each file of `corpus`, and so many changed ones, into which `words` are put.
/// The name of the test has the word `corpus`, by which `make fuzz` finds it.
pub fn fuzz(corpus: &str, words: &[&str], rounds: usize, mut check: impl FnMut(&[u8]) -> Verdict) {
    // With one thread tests run in the main one.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    assert!(test == "main" || test.contains("corpus"), "make fuzz does not find {test}");
    let read = files(corpus);
    for (name, bytes) in &read {
        let verdict = judged(corpus, bytes, &mut check);
        match name.split(['-', '.']).next() {
            Some("good") => assert_eq!(verdict, Ok(()), "{corpus}/{name}"),
            Some("bad") => assert!(verdict.is_err(), "{corpus}/{name} is taken"),
            _ => {}
        }
    }
    let files: Vec<Vec<u8>> = read.into_iter().map(|(_, bytes)| bytes).collect();
    let mut random = Random::new();
    for n in 0..number("FUZZ_ROUNDS").unwrap_or(rounds) {
        let mut bytes = files[n % files.len()].clone();
        for _ in 0..=random.below(3) {
            change(&mut random, &mut bytes, words, &files);
        }
        let _ = judged(corpus, &bytes, &mut check);
    }
}

/// The files of a corpus, each with its name, in order.
fn files(corpus: &str) -> Vec<(String, Vec<u8>)> {
    let dir = format!("{}/tests/corpus/{corpus}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if name.ends_with(".lines") {
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            files.extend(
                text.split(|b| *b == b'\n')
                    .map(|line| (format!("{name}: {}", line.escape_ascii()), line.to_vec())),
            );
        } else {
            files.push((name, bytes));
        }
    }
    files
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn judged(corpus: &str, bytes: &[u8], check: &mut impl FnMut(&[u8]) -> Verdict) -> Verdict {
    let kept = Kept { corpus, bytes };
    let verdict = check(bytes);
    if let Err(why) = &verdict {
        let is_plain = !why.is_empty() && !why.contains(char::is_control);
        assert!(is_plain, "not one plain line: {why:?}");
    }
    drop(kept);
    verdict
}

/// Writes down what a test failed at.
struct Kept<'b> {
    corpus: &'b str,
    bytes: &'b [u8],
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path: PathBuf = std::env::temp_dir().join(format!("failed-{}", self.corpus));
            let written = std::fs::write(&path, self.bytes);
            eprintln!("failed at what is in {}: {written:?}", path.display());
        }
    }
}

/// A word, a byte or a piece of a file: in, out, or in another's place. Or the end is cut off.
fn change(random: &mut Random, bytes: &mut Vec<u8>, words: &[&str], files: &[Vec<u8>]) {
    let start = random.below(bytes.len() + 1);
    let end = (start + random.below(8)).min(bytes.len());
    let piece: Vec<u8> = match random.below(20) {
        0..5 => Vec::new(),
        5..10 => vec![random.below(256) as u8],
        10..15 if !words.is_empty() => words[random.below(words.len())].into(),
        15 => return bytes.truncate(start),
        16 => return exchange_block(random, bytes, files),
        _ => {
            let file = &files[random.below(files.len())];
            let from = random.below(file.len() + 1);
            file[from..(from + random.below(40)).min(file.len())].to_vec()
        }
    };
    // Most formats have fields: there a change must not move what follows.
    let end = match random.below(3) {
        0 => start,
        1 => end,
        _ => (start + piece.len()).min(bytes.len()),
    };
    bytes.splice(start..end, piece);
}

/// Blocks, as of a tar, from a file: in another's place, or before it.
fn exchange_block(random: &mut Random, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
    const BLOCK: usize = 512;
    let file = &files[random.below(files.len())];
    let from = random.below(file.len() / BLOCK + 1) * BLOCK;
    let piece = file[from..(from + (1 + random.below(4)) * BLOCK).min(file.len())].to_vec();
    let start = (random.below(bytes.len() / BLOCK + 1) * BLOCK).min(bytes.len());
    let end = (start + random.below(2) * piece.len()).min(bytes.len());
    bytes.splice(start..end, piece);
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = number("FUZZ_SEED").unwrap_or(0) as u64;
        Random(0x9e37_79b9_7f4a_7c15 ^ seed.wrapping_mul(0x2545_f491_4f6c_dd1d).max(1))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }
}
