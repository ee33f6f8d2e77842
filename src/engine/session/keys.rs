//! Finds the detach sequence in what is typed, over the borders of reads.

pub(super) struct DetachKeys {
    keys: Option<[u8; 2]>,
    /// The first key was typed last, and is held back.
    pending: bool,
}

impl DetachKeys {
    pub fn new(keys: Option<[u8; 2]>) -> DetachKeys {
        DetachKeys { keys, pending: false }
    }

    /// What to pass on, and whether the sequence is complete.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let Some([first, second]) = self.keys else {
            return (typed.to_vec(), false);
        };
        let mut pass = Vec::with_capacity(typed.len() + 1);
        for &key in typed {
            if self.pending && key == second {
                return (pass, true);
            }
            if self.pending {
                pass.push(first);
            }
            self.pending = key == first;
            if !self.pending {
                pass.push(key);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_keys_are_found_and_nothing_else_is_lost() {
        let mut keys = DetachKeys::new(Some([16, 17]));
        assert_eq!(keys.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.filter(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11z"), (Vec::new(), true));
        assert_eq!(DetachKeys::new(None).filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
