//! Names and passwords in requests (RFC 7617). Pure.

/// The name and the password of `Basic ...`.
pub fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, text) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(decoded(text.trim())?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_string(), password.to_string()))
}

/// Whether what was given is what is wanted, compared without regard to where they differ.
pub fn fits(wanted: &(String, String), given: Option<&(String, String)>) -> bool {
    let Some((name, password)) = given else { return false };
    let right = match wanted.1.strip_prefix("{SHA}") {
        Some(digest) => same(&hex(&sha1(password.as_bytes())), digest),
        None => same(password, &wanted.1),
    };
    same(name, &wanted.0) & right
}

fn same(a: &str, b: &str) -> bool {
    let differs = a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differs == 0
}

/// What base64 (RFC 4648) stands for.
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match letter {
            b'A'..=b'Z' => letter.wrapping_sub(b'A'),
            b'a'..=b'z' => letter.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => letter.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count = count.wrapping_add(6);
        if count >= 8 {
            count = count.wrapping_sub(8);
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-1 (FIPS 180-4), which supervisor's configuration may hold passwords by. Nothing else here
/// rests on it.
fn sha1(data: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    let mut message = data.to_vec();
    message.push(0x80);
    while message.len() & 63 != 56 {
        message.push(0);
    }
    message.extend((data.len() as u64).wrapping_mul(8).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
            .collect();
        for at in 16_usize..80 {
            let of = |back: usize| words.get(at.wrapping_sub(back)).copied().unwrap_or(0);
            let word = (of(3) ^ of(8) ^ of(14) ^ of(16)).rotate_left(1);
            words.push(word);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mix, constant) = match at {
                0..20 => (b & c | !b & d, 0x5a827999),
                20..40 => (b ^ c ^ d, 0x6ed9eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1bbcdc_u32),
                _ => (b ^ c ^ d, 0xca62c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(mix).wrapping_add(e);
            let next = next.wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (to, byte) in digest.iter_mut().zip(state.into_iter().flat_map(u32::to_be_bytes)) {
        *to = byte;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        for (text, digest) in [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            ),
        ] {
            assert_eq!(hex(&sha1(text.as_bytes())), digest);
        }
    }

    #[test]
    fn a_login_fits_by_its_password_or_the_digest_of_it() {
        let login = |name: &str, password: &str| (name.to_string(), password.to_string());
        let given = basic("Basic dXNlcjpwYTpzcw==").unwrap();
        assert_eq!(given, login("user", "pa:ss"));
        assert!(fits(&login("user", "pa:ss"), Some(&given)));
        let digest = format!("{{SHA}}{}", hex(&sha1(b"pa:ss")));
        assert!(fits(&login("user", &digest), Some(&given)));
        assert!(!fits(&login("user", "pa:sS"), Some(&given)));
        assert!(!fits(&login("usr", "pa:ss"), Some(&given)));
        assert!(!fits(&login("user", "pa:ss"), None));
        for bad in ["", "Basic", "Digest dXNlcjpwYTpzcw==", "Basic !!", "Basic dXNlcg=="] {
            assert_eq!(basic(bad), None, "{bad}");
        }
    }
}
