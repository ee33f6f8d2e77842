//! Small text files that options name.

use crate::error::{Error, OsContext, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes; no profile or list of variables is near that.
const LARGEST: u64 = 1 << 20;

/// The text at `path`, which may be a pipe.
pub fn text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).on("open", path)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).on("read", path)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::invalid(format!("{} has more than {LARGEST} bytes", path.display())));
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid(format!("{}: not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let error = text(Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero has more than 1048576 bytes");
        assert!(text(Path::new("/no/such")).unwrap_err().to_string().starts_with("open /no/such"));
    }
}
