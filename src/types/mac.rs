//! MAC addresses as people write them: `02:42:ac:11:00:02`, `02-42-ac-11-00-02` or
//! `0242.ac11.0002` (IEEE 802; the forms that Go's net.ParseMAC reads).

use super::serde_by_text;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The address of one station: not of a group, and not zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacAddress(pub [u8; 6]);

/// `02:42:ac:11:00:02`
impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = Error;
    fn from_str(text: &str) -> Result<MacAddress> {
        let bytes = [(':', 2), ('-', 2), ('.', 4)].into_iter().find_map(|(separator, width)| {
            let is_group =
                |group: &str| group.len() == width && group.bytes().all(|b| b.is_ascii_hexdigit());
            let digits =
                text.split(separator).all(is_group).then(|| text.replace(separator, ""))?;
            let number = u64::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 12)?;
            let [_, _, bytes @ ..] = number.to_be_bytes();
            Some(bytes)
        });
        let Some(bytes) = bytes else {
            return Err(Error::invalid(format!("\"{text}\" is no MAC address"))
                .hint("write six bytes, as in 02:42:ac:11:00:02"));
        };
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(Error::invalid(format!("\"{text}\" is not the address of one station"))
                .hint("the first byte must be even, and not all may be zero"));
        }
        Ok(MacAddress(bytes))
    }
}
serde_by_text!(MacAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read_and_one_is_written() {
        for text in ["02:42:ac:11:00:0f", "02-42-AC-11-00-0F", "0242.ac11.000f"] {
            assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), "02:42:ac:11:00:0f");
        }
        for text in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:0g",
            "2:42:ac:11:00:0f",
            "02:42-ac:11:00:0f",
            "0242ac11000f",
            "02:42:ac:11:00:0f:01",
            "+2:42:ac:11:00:0f",
        ] {
            let error = text.parse::<MacAddress>().unwrap_err().to_string();
            assert_eq!(error, format!("\"{text}\" is no MAC address"));
        }
        for text in ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
