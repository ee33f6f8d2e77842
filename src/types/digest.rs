//! Content digests, in the OCI image spec's form `sha256:<64 hex digits>` (descriptor.md).

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// A SHA-256. Identifies blobs, layers (diff-ids) and images (the digest of their config).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The digest of `data`.
    pub fn of(data: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(data).into())
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits without the algorithm: file names, and image ids as people see them.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        text
    }

    /// The first twelve hex digits.
    pub fn short(&self) -> String {
        self.hex()[..12].to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Takes `sha256:<hex>` and bare `<hex>`.
    fn from_str(text: &str) -> Result<Digest, Error> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let bad = || Error::invalid(format!("\"{text}\" is not a digest (sha256:<64 hex digits>)"));
        if hex.len() != 64 {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return Err(bad()),
                };
                *byte = (*byte << 4) | value;
            }
        }
        Ok(Digest(bytes))
    }
}

super::serde_by_text!(Digest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_digest_are_one() {
        let d = Digest::of(b"");
        assert_eq!(d.short(), "e3b0c44298fc");
        assert_eq!(d.to_string().parse::<Digest>().unwrap(), d);
        assert_eq!(d.hex().parse::<Digest>().unwrap(), d);
        assert!("sha256:E3".parse::<Digest>().is_err());
    }
}
