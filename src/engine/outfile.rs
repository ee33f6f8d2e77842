//! The file that a user names for an archive (`save -o`, `export -o`).
//!
//! A file is replaced whole, and where the path is a link, the one it leads to: a failure leaves
//! what was there. A device or a fifo is written to.

use crate::error::{OsContext, Result};
use crate::sys::unnamed;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// How much is written at a time.
const BUFFER: usize = 64 << 10;

/// Has `write` write what is to be at `path`.
pub fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let write_to = |file: &File| {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        write(&mut out)?;
        out.flush().on("write", path)
    };
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return write_to(&File::options().write(true).open(path).on("open", path)?);
    }
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let aside = Aside::new(path).on("create", path)?;
    write_to(&aside.file)?;
    aside.rename(path).on("create", path)
}

/// A file on its way to a name. Where the file system can, it has none until it is whole, and goes
/// with us when we are killed.
struct Aside {
    file: File,
    path: PathBuf,
    is_named: bool,
}

impl Aside {
    fn new(path: &Path) -> io::Result<Aside> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".coracle-{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        match unnamed::create(dir.unwrap_or(Path::new("."))) {
            Ok(file) => Ok(Aside { file, path: aside, is_named: false }),
            Err(e) if unnamed::is_unsupported(&e) => {
                Ok(Aside { file: File::create_new(&aside)?, path: aside, is_named: true })
            }
            Err(e) => Err(e),
        }
    }

    fn rename(mut self, path: &Path) -> io::Result<()> {
        if !self.is_named {
            unnamed::link(&self.file, &self.path)?;
            self.is_named = true;
        }
        fs::rename(&self.path, path)?;
        self.is_named = false;
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.is_named {
            // The error to tell is the other one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::sys::fifo;
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, symlink};

    fn save(path: &Path, text: &str) -> Result<()> {
        let write = |out: &mut dyn Write| out.write_all(text.as_bytes()).on("write", "it");
        replace(path, write)
    }

    #[test]
    fn an_archive_replaces_files_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("coracle-output-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        save(&dir.join("file"), "one").unwrap();
        symlink("file", dir.join("link")).unwrap();
        save(&dir.join("link"), "two").unwrap();
        assert_eq!([read("file"), read("link")], ["two", "two"]);
        assert!(dir.join("link").is_symlink());

        fifo::make(&dir.join("fifo"), 0o600).unwrap();
        let mut reader = File::options().read(true).write(true).open(dir.join("fifo")).unwrap();
        save(&dir.join("fifo"), "three").unwrap();
        assert!(fs::metadata(dir.join("fifo")).unwrap().file_type().is_fifo());
        let mut text = [0; 5];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"three");

        let error = save(&dir, "four").unwrap_err();
        assert_eq!(error.to_string(), format!("open {}: is a directory", dir.display()));
        let error = save(&dir.join("none/x"), "five").unwrap_err().to_string();
        assert!(error.ends_with("none/x: no such file or directory"), "{error}");
        let failed = replace(&dir.join("file"), |_| Err(Error::invalid("no")));
        assert!(failed.is_err());
        assert_eq!(read("file"), "two");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);
        fs::remove_dir_all(&dir).unwrap();
    }
}
