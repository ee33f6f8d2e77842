//! The last of what was written, kept in memory for whoever asks. Pure.

/// So much is kept at least, once there was as much; at most twice that.
const LEAST: usize = 16 * 1024;

#[derive(Debug, Default)]
pub struct Recent {
    bytes: Vec<u8>,
    /// How much there was in all.
    total: u64,
}

impl Recent {
    pub fn push(&mut self, data: &[u8]) {
        self.total = self.total.saturating_add(data.len() as u64);
        let data = data.get(data.len().saturating_sub(LEAST)..).unwrap_or_default();
        let long = self.bytes.len().saturating_add(data.len());
        if long > LEAST.saturating_mul(2) {
            self.bytes.drain(..long.saturating_sub(LEAST).min(self.bytes.len()));
        }
        self.bytes.extend_from_slice(data);
    }

    pub fn clear(&mut self) {
        *self = Recent::default();
    }

    /// What there was in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What is left of what came behind the first `from` bytes.
    pub fn since(&self, from: u64) -> &[u8] {
        let wanted = usize::try_from(self.total.saturating_sub(from)).unwrap_or(usize::MAX);
        self.bytes.get(self.bytes.len().saturating_sub(wanted)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_it_is_there() {
        let mut recent = Recent::default();
        assert_eq!((recent.since(0), recent.total()), (&b""[..], 0));
        recent.push(b"hello ");
        recent.push(b"world");
        assert_eq!(recent.since(0), b"hello world");
        assert_eq!(recent.since(6), b"world");
        assert_eq!((recent.since(11), recent.since(99)), (&b""[..], &b""[..]));
        for n in 0..10_000_u32 {
            recent.push(format!("{n:010}").as_bytes());
            assert!(recent.bytes.len() <= 2 * LEAST);
        }
        assert_eq!(recent.total(), 100_011);
        assert_eq!(recent.since(100_001), b"0000009999");
        assert!(recent.since(0).len() >= LEAST);
        recent.push(&[b'x'; 100_000]);
        assert!(recent.since(0).iter().rev().take(LEAST).all(|byte| *byte == b'x'));
        recent.clear();
        assert_eq!(recent.since(0), b"");
    }
}
