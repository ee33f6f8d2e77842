//! The file of `--cidfile`: there whole or not at all, before the program starts.

use crate::error::{Error, OsContext, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Written aside and linked into its place, so that no reader finds it empty and none is ever
/// overwritten; removed where no container came of it.
#[must_use]
pub struct CidFile {
    path: Option<PathBuf>,
    aside: PathBuf,
    is_written: bool,
}

impl CidFile {
    pub fn create(path: Option<&Path>) -> Result<CidFile> {
        let none = CidFile { path: None, aside: PathBuf::new(), is_written: false };
        let Some(path) = path else { return Ok(none) };
        if fs::symlink_metadata(path).is_ok() {
            return Err(taken(path));
        }
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}.new", std::process::id()));
        let file = CidFile { path: Some(path.to_path_buf()), aside: aside.into(), ..none };
        // That it can be written is seen before there is a container.
        File::create(&file.aside).on("create", path).map_err(|e| e.doing("--cidfile"))?;
        Ok(file)
    }

    pub fn write(&mut self, id: &impl std::fmt::Display) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let written = File::create(&self.aside).and_then(|mut file| write!(file, "{id}"));
        written.on("write", path)?;
        match fs::hard_link(&self.aside, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(taken(path)),
            // There are file systems without links.
            Err(_) => fs::rename(&self.aside, path).on("write", path)?,
            Ok(()) => {}
        }
        self.is_written = true;
        Ok(())
    }

    /// There is a container: the file stays.
    pub fn keep(mut self) {
        if self.path.take().is_some() {
            let _ = fs::remove_file(&self.aside);
        }
    }
}

fn taken(path: &Path) -> Error {
    Error::conflict(format!("--cidfile: {} exists already", path.display()))
        .hint("remove it, if the container it names is gone")
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Both are ours; where they cannot be removed there is no more to be done.
            let _ = fs::remove_file(&self.aside);
            if self.is_written {
                let _ = fs::remove_file(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cidfile_is_never_overwritten_and_goes_with_a_failure() {
        let dir = std::env::temp_dir().join(format!("coracle-cid-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let path = dir.join("id");
        let files = || fs::read_dir(&dir).unwrap().count();
        let mut file = CidFile::create(Some(&path)).unwrap();
        assert!(!path.exists());
        file.write(&"gone").unwrap();
        drop(file);
        assert_eq!(files(), 0);
        let mut second = CidFile::create(Some(&path)).unwrap();
        let mut file = CidFile::create(Some(&path)).unwrap();
        file.write(&"abc").unwrap();
        file.keep();
        assert!(second.write(&"def").is_err());
        drop(second);
        let third = CidFile::create(Some(&path)).map(drop);
        assert!(third.unwrap_err().to_string().contains("exists already"));
        assert_eq!((fs::read_to_string(&path).unwrap(), files()), ("abc".to_string(), 1));
        fs::remove_dir_all(&dir).unwrap();
    }
}
