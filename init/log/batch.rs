//! The bytes that are written at once. Blocks of a constant length are copied in place: lines may
//! be two bytes long, and a call of memcpy for each would take longer than all the rest.

#[derive(Debug, Default)]
pub struct Batch {
    /// Longer than what is in use.
    bytes: Vec<u8>,
    length: usize,
}

impl Batch {
    pub fn clear(&mut self) {
        self.length = 0;
    }

    pub fn len(&self) -> usize {
        self.length
    }

    /// What it takes in memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub fn put(&mut self, data: &[u8]) {
        let end = self.length.saturating_add(data.len());
        if self.bytes.len() < end {
            self.bytes.resize(end.saturating_mul(2), 0);
        }
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(data);
        }
        self.length = end;
    }

    /// The first `count` bytes of `block`.
    #[inline(always)]
    pub fn put_first<const N: usize>(&mut self, block: &[u8; N], count: usize) {
        let place = self.bytes.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut::<N>());
        match place {
            Some(place) => {
                *place = *block;
                self.length = self.length.saturating_add(count.min(N));
            }
            None => self.put(block.get(..count).unwrap_or(block)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_one_after_the_other() {
        let mut batch = Batch::default();
        let mut wanted = Vec::new();
        for n in 0..3000_usize {
            batch.put_first(b"0123456789abcdef", n % 17);
            wanted.extend(&b"0123456789abcdef"[..n % 17]);
            batch.put(&vec![b'x'; n % 7]);
            wanted.extend(vec![b'x'; n % 7]);
            assert_eq!(batch.len(), wanted.len());
        }
        assert!(batch.bytes() == wanted);
        batch.clear();
        batch.put(b"end");
        assert_eq!(batch.bytes(), b"end");
    }
}
