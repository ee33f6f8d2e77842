//! Files by directory descriptor: the *at calls, openat2(2).
//!
//! Whoever works on a tree that strangers described (layers of images) names everything as
//! (open directory, one component); paths of several components go through `open_beneath` or
//! `open_in_root`, which no symbolic link leads outside. Only `Open::ReadThrough` and
//! `Open::DirectoryThrough` follow a link in the last component.

use super::held::Held;
use super::{check, raw, xattr};
use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a name stands for; the type bits of `Stat::mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileType {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl FileType {
    /// The kernel's number of it, `S_IF*`.
    pub(super) fn bits(self) -> libc::mode_t {
        match self {
            FileType::Regular => libc::S_IFREG,
            FileType::Directory => libc::S_IFDIR,
            FileType::Symlink => libc::S_IFLNK,
            FileType::CharDevice => libc::S_IFCHR,
            FileType::BlockDevice => libc::S_IFBLK,
            FileType::Fifo => libc::S_IFIFO,
            FileType::Socket => libc::S_IFSOCK,
        }
    }
}

/// The part of stat(2) that matters here.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    pub file_type: FileType,
    /// Permission bits, with suid, sgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Bytes on the disk: less than the size where there are holes.
    pub allocated: u64,
    /// (major, minor) of a device.
    pub device: (u32, u32),
    /// Device and number of the inode: equal for hard links of one file.
    pub inode: (u64, u64),
    /// How many names it has.
    pub links: u64,
    pub mtime: Time,
    /// When the inode was changed last, its content or its attributes: nobody can set it.
    pub ctime: Time,
}

/// A time of a file: nanoseconds since 1970, may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub i128);

impl Time {
    /// For the calls that set the time of access and that of modification.
    pub(super) fn both(self) -> io::Result<[libc::timespec; 2]> {
        let seconds = self.0.div_euclid(1_000_000_000);
        let nanoseconds = self.0.rem_euclid(1_000_000_000);
        let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
        // SAFETY: all-zero is a valid timespec (which has padding on some targets).
        let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
        spec.tv_sec = seconds.try_into().map_err(out_of_range)?;
        spec.tv_nsec = nanoseconds.try_into().map_err(out_of_range)?;
        Ok([spec; 2])
    }
}

/// How `open_beneath` and `open_in_root` open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// A directory, for reading its entries and as base of the calls here.
    Directory,
    /// The same, through a symbolic link in the last component too.
    DirectoryThrough,
    /// An existing file, for reading. Waits for nobody on a fifo.
    Read,
    /// The same, through a symbolic link in the last component too.
    ReadThrough,
    /// A new file, for writing, mode 0600; fails where the name exists.
    CreateNew,
}

impl Open {
    fn flags(self) -> libc::c_int {
        let read = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let flags = match self {
            Open::Directory => libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW,
            Open::DirectoryThrough => libc::O_RDONLY | libc::O_DIRECTORY,
            Open::Read => read | libc::O_NOFOLLOW,
            Open::ReadThrough => read,
            Open::CreateNew => libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW,
        };
        flags | libc::O_CLOEXEC
    }

    fn mode(self) -> libc::mode_t {
        if self == Open::CreateNew { 0o600 } else { 0 }
    }
}

/// Opens a directory by a path of our own.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY);
    Ok(options.open(path)?.into())
}

/// Opens a file to append to it, and makes it (0644, less the umask) where it is missing. Waits for
/// nobody where it is a fifo.
pub fn open_for_appending(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o644);
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

#[derive(Debug)]
struct NotAFile;

impl std::fmt::Display for NotAFile {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("not a file")
    }
}

impl std::error::Error for NotAFile {}

/// Opens a file for reading that somebody else may have put there. Waits for nobody: what is neither
/// a file nor a character device (/dev/null) is refused.
pub fn open_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::FileTypeExt;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NotAFile));
    }
    Ok(file)
}

/// What is in such a file, if it is at most `most` bytes; of a larger one, nothing is kept.
pub fn read_small(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// Opens what is at `path` itself: ELOOP where that is a symbolic link. A FIFO is not waited for.
pub fn open_no_link(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    how.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Opens `path`, relative and of any number of components, below `dir`. A symbolic link anywhere
/// in it is ELOOP; leaving `dir` is EXDEV.
pub fn open_beneath(dir: BorrowedFd, path: &[u8], how: Open) -> io::Result<OwnedFd> {
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    with_c_str(path, |path| Ok(raw::openat2(dir, path, how.flags(), how.mode(), resolve)?))
}

/// Opens `path` as a process would whose root directory is `dir`: links inside are followed,
/// absolute ones and `..` stay inside.
pub fn open_in_root(dir: BorrowedFd, path: &[u8], how: Open) -> io::Result<OwnedFd> {
    with_c_str(path, |path| Ok(raw::open_in_root(dir, path, how.flags(), how.mode())?))
}

/// Opens the single component `name` of `dir`.
pub fn open_at(dir: BorrowedFd, name: &[u8], how: Open) -> io::Result<OwnedFd> {
    with_c_str(name, |name| {
        // SAFETY: a live C string; the mode is passed as the variadic argument it is.
        let fd = unsafe {
            libc::openat(dir.as_raw_fd(), name.as_ptr(), how.flags(), how.mode() as libc::c_uint)
        };
        // SAFETY: the kernel gave a new descriptor, which is ours.
        check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

pub fn mkdir_at(dir: BorrowedFd, name: &[u8], mode: u32) -> io::Result<()> {
    // SAFETY: a live C string.
    with_c_str(name, |name| unsafe { done(libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode)) })
}

/// Makes a fifo, socket or device. `device` is (major, minor).
pub fn mknod_at(
    dir: BorrowedFd,
    name: &[u8],
    file_type: FileType,
    device: (u32, u32),
) -> io::Result<()> {
    let mode = file_type.bits() | 0o600;
    let device = libc::makedev(device.0, device.1);
    // SAFETY: a live C string.
    with_c_str(name, |name| unsafe {
        done(libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device))
    })
}

pub fn symlink_at(target: &[u8], dir: BorrowedFd, name: &[u8]) -> io::Result<()> {
    with_c_str(target, |target| {
        // SAFETY: live C strings.
        with_c_str(name, |name| unsafe {
            done(libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()))
        })
    })
}

pub fn link_at(
    old_dir: BorrowedFd,
    old_name: &[u8],
    dir: BorrowedFd,
    name: &[u8],
) -> io::Result<()> {
    with_c_str(old_name, |old| {
        // SAFETY: live C strings.
        with_c_str(name, |new| unsafe {
            let (old_dir, dir) = (old_dir.as_raw_fd(), dir.as_raw_fd());
            done(libc::linkat(old_dir, old.as_ptr(), dir, new.as_ptr(), 0))
        })
    })
}

pub fn rename_at(
    old_dir: BorrowedFd,
    old_name: &[u8],
    dir: BorrowedFd,
    name: &[u8],
) -> io::Result<()> {
    with_c_str(old_name, |old| {
        // SAFETY: live C strings.
        with_c_str(name, |new| unsafe {
            let (old_dir, dir) = (old_dir.as_raw_fd(), dir.as_raw_fd());
            done(libc::renameat(old_dir, old.as_ptr(), dir, new.as_ptr()))
        })
    })
}

/// As `rename_at`, but EEXIST where the new name is taken.
pub fn rename_new_at(
    old_dir: BorrowedFd,
    old_name: &[u8],
    dir: BorrowedFd,
    name: &[u8],
) -> io::Result<()> {
    with_c_str(old_name, |old| {
        // SAFETY: live C strings.
        with_c_str(name, |new| unsafe {
            let (old_dir, dir) = (old_dir.as_raw_fd(), dir.as_raw_fd());
            let flags = libc::RENAME_NOREPLACE;
            let (old, new) = (old.as_ptr(), new.as_ptr());
            check(libc::syscall(libc::SYS_renameat2, old_dir, old, dir, new, flags))?;
            Ok(())
        })
    })
}

/// Removes a name that is no directory.
pub fn unlink_at(dir: BorrowedFd, name: &[u8]) -> io::Result<()> {
    // SAFETY: a live C string.
    with_c_str(name, |name| unsafe { done(libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0)) })
}

/// Removes an empty directory.
pub fn rmdir_at(dir: BorrowedFd, name: &[u8]) -> io::Result<()> {
    // SAFETY: a live C string.
    with_c_str(name, |name| unsafe {
        done(libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR))
    })
}

pub fn chown_at(dir: BorrowedFd, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: a live C string.
    with_c_str(name, |name| unsafe {
        let (fd, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
        done(libc::fchownat(fd, name.as_ptr(), uid, gid, flags))
    })
}

/// The entries of an open directory, from its beginning.
pub fn entries(dir: BorrowedFd) -> io::Result<std::fs::ReadDir> {
    std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))
}

/// Sets the permission bits of `name`, never through a symbolic link: such a one is refused.
pub fn chmod_at(dir: BorrowedFd, name: &[u8], mode: u32) -> io::Result<()> {
    /// fchmodat2(2), of Linux 6.6: under this number on all machines.
    const FCHMODAT2: libc::c_long = 452;
    let changed = with_c_str(name, |name| {
        let (fd, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
        // SAFETY: a live C string.
        check(unsafe { libc::syscall(FCHMODAT2, fd, name.as_ptr(), mode, flags) })
    });
    match changed {
        // What an older kernel says, and a filter that does not know the call.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            Held::at(dir, name)?.chmod(mode)
        }
        changed => changed.map(drop),
    }
}

/// Sets the modification time, and the access time with it.
pub fn utimens_at(dir: BorrowedFd, name: &[u8], mtime: Time) -> io::Result<()> {
    let times = mtime.both()?;
    // SAFETY: a live C string and an array of two.
    with_c_str(name, |name| unsafe {
        let (fd, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
        done(libc::utimensat(fd, name.as_ptr(), times.as_ptr(), flags))
    })
}

pub fn fchown(fd: BorrowedFd, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: takes integers.
    done(unsafe { libc::fchown(fd.as_raw_fd(), uid, gid) })
}

pub fn fchmod(fd: BorrowedFd, mode: u32) -> io::Result<()> {
    // SAFETY: takes integers.
    done(unsafe { libc::fchmod(fd.as_raw_fd(), mode) })
}

pub fn futimens(fd: BorrowedFd, mtime: Time) -> io::Result<()> {
    let times = mtime.both()?;
    // SAFETY: an array of two.
    done(unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) })
}

/// What `name` is, or `None` where it does not exist.
pub fn stat_at(dir: BorrowedFd, name: &[u8]) -> io::Result<Option<Stat>> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    let ret = with_c_str(name, |name| {
        // SAFETY: a live C string; the kernel fills the struct on success.
        check(unsafe {
            let (fd, flags) = (dir.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
            libc::fstatat(fd, name.as_ptr(), stat.as_mut_ptr(), flags)
        })
    });
    match ret {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
        // SAFETY: filled, as the call succeeded.
        Ok(_) => stat_from(unsafe { stat.assume_init_ref() }).map(Some),
    }
}

pub fn fstat(fd: BorrowedFd) -> io::Result<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the struct on success.
    check(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: filled, as the call succeeded.
    stat_from(unsafe { stat.assume_init_ref() })
}

fn stat_from(stat: &libc::stat) -> io::Result<Stat> {
    let file_type = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileType::Regular,
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        libc::S_IFIFO => FileType::Fifo,
        libc::S_IFSOCK => FileType::Socket,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let time = |seconds: i64, nanoseconds: i64| {
        Time(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))
    };
    Ok(Stat {
        file_type,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size.unsigned_abs(),
        allocated: stat.st_blocks.unsigned_abs().saturating_mul(512),
        device: (libc::major(stat.st_rdev), libc::minor(stat.st_rdev)),
        inode: (stat.st_dev, stat.st_ino),
        links: stat.st_nlink,
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    })
}

/// Gives one open directory owner, mode, extended attributes (but overlayfs's own) and time of
/// another. A file system without such attributes does without.
pub fn copy_attributes(from: BorrowedFd, to: BorrowedFd) -> io::Result<()> {
    let stat = fstat(from)?;
    fchown(to, stat.uid, stat.gid)?;
    for (key, value) in xattr::all_at(from, b".")? {
        if !xattr::is_overlays(&key) {
            xattr::supported(xattr::fset(to, &key, &value))?;
        }
    }
    fchmod(to, stat.mode)?;
    futimens(to, stat.mtime)
}

/// What a file system has, and what of it is left for everybody.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub bytes: u64,
    pub free_bytes: u64,
    /// 0 where the file system does not count them.
    pub files: u64,
    pub free_files: u64,
}

/// The room on the file system of `fd`.
pub fn room(fd: BorrowedFd) -> io::Result<Room> {
    // SAFETY: a statvfs is integers only, for which zeros are values.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `stat` is one whole struct to be written.
    done(unsafe { libc::fstatvfs(fd.as_raw_fd(), &raw mut stat) })?;
    Ok(Room {
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        files: stat.f_files,
        free_files: stat.f_favail,
    })
}

/// Whether `fd` lies on a file system that holds no files but what the kernel tells.
pub fn is_kernels(fd: BorrowedFd) -> io::Result<bool> {
    /// proc, sysfs, devpts, mqueue, cgroup and cgroup2 (linux/magic.h).
    const THEIRS: [u32; 6] = [0x9fa0, 0x6265_6572, 0x1cd1, 0x1980_0202, 0x0027_e0eb, 0x6367_7270];
    // SAFETY: a statfs is integers only, for which zeros are values.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `stat` is one whole struct to be written.
    done(unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut stat) })?;
    // All are 32 bits, whatever type a libc gives them.
    Ok(THEIRS.contains(&(stat.f_type as u32)))
}

/// Whether `error` is the refusal to go through a symbolic link.
pub fn is_link_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// What the symbolic link `name` holds.
pub fn read_link_at(dir: BorrowedFd, name: &[u8]) -> io::Result<Vec<u8>> {
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
    let target = std::fs::read_link(path.join(OsStr::from_bytes(name)))?;
    Ok(target.into_os_string().into_vec())
}

/// The next run of data in a file at or behind `offset`, as its start and its end; the rest are
/// holes. `None` where no data follows.
pub fn next_data(file: &File, offset: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |offset: u64, whence| {
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: takes integers.
        let at = unsafe { libc::lseek64(file.as_raw_fd(), offset, whence) };
        if at < 0 { Err(io::Error::last_os_error()) } else { Ok(at.unsigned_abs()) }
    };
    match seek(offset, libc::SEEK_DATA) {
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(e) => Err(e),
        Ok(start) => Ok(Some((start, seek(start, libc::SEEK_HOLE)?))),
    }
}

/// Where `fd` was opened, as the kernel tells it now.
pub fn path_of(fd: BorrowedFd) -> io::Result<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Waits until everything written to the file system of `fd` is on disk.
pub fn syncfs(fd: BorrowedFd) -> io::Result<()> {
    // SAFETY: takes an integer.
    done(unsafe { libc::syncfs(fd.as_raw_fd()) })
}

/// How deep a tree is walked before its directories are moved up.
const DEEP: u32 = 16;

/// Removes `path` and all below it; nothing there is success.
///
/// Takes few descriptors and little stack however deep the tree is: what lies deeper than `DEEP` is
/// moved up to the top before its parent is removed. (`std::fs::remove_dir_all` holds a descriptor
/// a level, and archives nest as deep as they like.)
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(metadata) if !metadata.is_dir() => return std::fs::remove_file(path),
        Ok(_) => {}
    }
    let top = open_directory(path)?;
    let mut moved = 0_u64;
    loop {
        empty(top.as_fd(), top.as_fd(), DEEP, &mut moved)?;
        match std::fs::remove_dir(path) {
            // What was moved up meanwhile.
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => return other,
        }
    }
}

/// Removes what is in `dir`, `levels` deep; what is deeper goes to `top`.
fn empty(top: BorrowedFd, dir: BorrowedFd, levels: u32, moved: &mut u64) -> io::Result<()> {
    for entry in entries(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_bytes();
        if !entry.file_type()?.is_dir() {
            unlink_at(dir, name)?;
            continue;
        }
        loop {
            match rmdir_at(dir, name) {
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                other => break other?,
            }
            if levels > 0 {
                // Again where a large directory was not read whole while it shrank.
                empty(top, open_at(dir, name, Open::Directory)?.as_fd(), levels - 1, moved)?;
                continue;
            }
            *moved += 1;
            let aside = format!(".remove-{moved}");
            match rename_at(dir, name, top, aside.as_bytes()) {
                Err(e) if exists(&e) => {}
                other => break other?,
            }
        }
    }
    Ok(())
}

fn exists(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOTEMPTY | libc::ENOTDIR))
}

pub(super) fn done(ret: libc::c_int) -> io::Result<()> {
    check(ret).map(|_| ())
}

/// Calls with `bytes` as a C string; EINVAL where it holds a NUL. Short ones stay on the stack.
pub(super) fn with_c_str<T>(
    bytes: &[u8],
    call: impl FnOnce(&CStr) -> io::Result<T>,
) -> io::Result<T> {
    let mut buffer = [0_u8; 256];
    if let Some(head) = buffer.get_mut(..bytes.len()).filter(|_| bytes.len() < 256) {
        head.copy_from_slice(bytes);
        return match CStr::from_bytes_with_nul(&buffer[..=bytes.len()]) {
            Ok(text) => call(text),
            Err(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
    }
    match CString::new(bytes) {
        Ok(text) => call(&text),
        Err(_) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// A file that was opened here, for use with `std::io`.
pub fn file(fd: OwnedFd) -> File {
    File::from(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("coracle-fs-{name}-{}", std::process::id()));
        remove_tree(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn links_lead_nowhere_beneath_and_stay_inside_in_root() {
        let dir = scratch("links");
        fs::create_dir_all(dir.join("root/inside")).unwrap();
        fs::write(dir.join("secret"), "outside").unwrap();
        fs::write(dir.join("root/secret"), "inside").unwrap();
        symlink("../secret", dir.join("root/up")).unwrap();
        symlink("/", dir.join("root/top")).unwrap();
        let root = open_directory(&dir.join("root")).unwrap();
        let read = |path: &[u8]| open_in_root(root.as_fd(), path, Open::Read);
        let text = io::read_to_string(file(read(b"top/../../secret").unwrap())).unwrap();
        assert_eq!(text, "inside");
        assert!(is_link_refused(&read(b"up").unwrap_err()));
        let beneath = |path: &[u8]| open_beneath(root.as_fd(), path, Open::Directory);
        assert!(is_link_refused(&beneath(b"top/inside").unwrap_err()));
        assert!(beneath(b"inside/../..").is_err());
        assert!(beneath(b"inside").is_ok());
        remove_tree(&dir).unwrap();
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        let dir = scratch("deep");
        let mut at = open_directory(&dir).unwrap();
        for _ in 0..3000 {
            mkdir_at(at.as_fd(), b"d", 0o755).unwrap();
            drop(file(open_at(at.as_fd(), b"f", Open::CreateNew).unwrap()));
            at = open_at(at.as_fd(), b"d", Open::Directory).unwrap();
        }
        drop(at);
        remove_tree(&dir).unwrap();
        assert!(!dir.exists());
        remove_tree(&dir).unwrap();
    }

    #[test]
    fn a_mode_is_never_set_through_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let dir = scratch("chmod");
        let at = open_directory(&dir).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        symlink("file", dir.join("link")).unwrap();
        let mode = || fs::metadata(dir.join("file")).unwrap().permissions().mode() & 0o7777;
        chmod_at(at.as_fd(), b"file", 0o604).unwrap();
        assert_eq!(mode(), 0o604);
        assert!(chmod_at(at.as_fd(), b"link", 0o666).is_err());
        assert_eq!(mode(), 0o604);
        remove_tree(&dir).unwrap();
    }

    #[test]
    fn times_before_1970_and_below_a_second_are_kept() {
        let dir = scratch("times");
        let at = open_directory(&dir).unwrap();
        symlink("nowhere", dir.join("link")).unwrap();
        for time in [Time(-1), Time(1_234_567_890_123_456_789)] {
            utimens_at(at.as_fd(), b"link", time).unwrap();
            assert_eq!(stat_at(at.as_fd(), b"link").unwrap().unwrap().mtime, time);
        }
        assert!(stat_at(at.as_fd(), b"none").unwrap().is_none());
        remove_tree(&dir).unwrap();
    }
}
