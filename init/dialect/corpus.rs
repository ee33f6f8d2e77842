//! The fuzzers' start: the files of a directory of tests/corpus, and random changes of them.

/// Calls `check` with each file and with so many changed ones, the same each time.
pub fn mutations(corpus: &str, count: usize, mut check: impl FnMut(&[u8])) {
    let dir = format!("{}/tests/corpus/{corpus}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    files.iter().for_each(|file| check(file));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for n in 0..count {
        let mut bytes = files[n % files.len()].clone();
        for _ in 0..=random.below(3) {
            random.change(&mut bytes, &files);
        }
        check(&bytes);
    }
}

/// xorshift64 (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    /// A word, a byte or a piece of a file: in, out, or in another's place.
    fn change(&mut self, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
        const WORDS: [&str; 24] = [
            "\n", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "'''", "\\",
            "#", "${", "}", "$", "-1", "1e9", "\r\n", "true", "\u{e9}",
        ];
        let start = self.below(bytes.len() + 1);
        let end = (start + self.below(8)).min(bytes.len());
        let piece: Vec<u8> = match self.below(4) {
            0 => Vec::new(),
            1 => vec![self.below(256) as u8],
            2 => WORDS[self.below(WORDS.len())].into(),
            _ => {
                let file = &files[self.below(files.len())];
                let from = self.below(file.len() + 1);
                file[from..(from + self.below(40)).min(file.len())].to_vec()
            }
        };
        let end = if self.below(2) == 0 { start } else { end };
        bytes.splice(start..end, piece);
    }
}
