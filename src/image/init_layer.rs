//! The init layer: what every container needs to be there, as something is mounted on it.
//!
//! It lies below the layers of all images, so that whatever an image has counts, and all containers
//! share it: nothing is made in a container's own directory but where an image leads elsewhere, by a
//! link, or has removed it. (Docker's lies above the image, and each container has its own.) All in it
//! is of 1970, so that an export is the same from every state root.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, FileTimes};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::SystemTime;

/// Places for file systems, and empty files.
pub const DIRS: [&[u8]; 4] = [b"dev", b"etc", b"proc", b"sys"];
pub const FILES: [&[u8]; 3] = [b"etc/hostname", b"etc/hosts", b"etc/resolv.conf"];

/// Makes it in `aside`, or what is missing of it there, and gives it its name. The caller holds a
/// lock.
pub fn make(aside: &Path, path: &Path) -> io::Result<()> {
    let dirs = DIRS.map(|name| aside.join(OsStr::from_bytes(name)));
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    for dir in [aside].into_iter().chain(dirs.iter().map(AsRef::as_ref)) {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    for name in FILES {
        File::create(aside.join(OsStr::from_bytes(name)))?.set_times(times)?;
    }
    for dir in &dirs {
        File::open(dir)?.set_times(times)?;
    }
    fs::rename(aside, path)
}
