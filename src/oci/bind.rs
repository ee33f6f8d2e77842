//! What is mounted: the words of a mount's options, and the sources of bind mounts.
//!
//! A bind's source is opened and cloned before the container's process is: what was looked at is
//! what will be mounted. The clone is detached; the container attaches it.
//!
//! With whom it exchanges mounts (mount_namespaces(7), in the words of mount(8)):
//!
//! ```text
//! private   nobody: the default
//! slave     what is mounted below the source on the host appears in the container
//! shared    and what is mounted below it in the container appears on the host
//! ```
//!
//! `rslave` and `rprivate` are the same, as what is mounted below the source comes along in the same
//! way; only `rshared` gives back what is mounted below *those* mounts too. A shared mount begins as
//! a slave, and joins its peers when all else has been mounted: nothing that the engine mounts below
//! it appears on the host.

use super::plan::text;
use super::spec::Mount;
use crate::error::{Error, OsContext, Result};
use crate::sys::fs::{self, FileType};
use crate::sys::mount::{self, Peers, attr};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The source of a bind mount.
pub struct Bind {
    pub tree: OwnedFd,
    pub is_dir: bool,
    /// In messages: `the directory /srv`.
    pub name: String,
    /// Places below the mount (the first is itself) and the peers they are to join.
    pub shared: Vec<(String, OwnedFd)>,
}

impl Bind {
    /// That of each mount; `None` for those of another kind.
    pub fn all(mounts: &[Mount]) -> Result<Vec<Option<Bind>>> {
        let open = |mount: &Mount| {
            let options = Options::parse(&mount.options);
            options.bind.map(|recursive| Bind::open(mount, recursive, &options)).transpose()
        };
        mounts.iter().map(open).collect()
    }

    /// A device node of the host's.
    pub fn device(path: &str) -> Result<Bind> {
        let (kind, source, destination) = (String::new(), path.to_string(), path.to_string());
        let mount = Mount { kind, source, destination, options: Vec::new() };
        Bind::open(&mount, false, &Options::default())
    }

    fn open(mount: &Mount, recursive: bool, options: &Options) -> Result<Bind> {
        let place =
            mount::open_place(&text("mounts", &mount.source)?).on("mount", &mount.source)?;
        let path = fs::path_of(place.as_fd()).on("mount", &mount.source)?;
        let kind = fs::fstat(place.as_fd()).on("mount", &path)?.file_type;
        let is_dir = kind == FileType::Directory;
        let clone = || mount::clone_place(place.as_fd(), recursive).on("mount", &path);
        let propagation = options.propagation.unwrap_or(Propagation::Private);
        let mut shared = Vec::new();
        if propagation == Propagation::Private {
            let tree = clone()?;
            mount::set_peers(tree.as_fd(), Peers::None).on("mount", &path)?;
            options.set_attributes(tree.as_fd(), recursive).on("mount", &path)?;
            return Ok(Bind { tree, is_dir, name: named(kind, &path), shared });
        }
        let table = MountTable::read()?;
        table.check(place.as_fd(), &path, propagation)?;
        let tree = clone()?;
        mount::set_peers(tree.as_fd(), Peers::Masters).on("mount", &path)?;
        options.set_attributes(tree.as_fd(), recursive).on("mount", &path)?;
        if let Propagation::Shared { deep } = propagation {
            let peer = clone()?;
            if deep && recursive {
                for below in table.shared_below(&path) {
                    // What went meanwhile needs no peer.
                    if let Ok(fd) = mount::open_place_in(peer.as_fd(), &text("mounts", &below)?) {
                        shared.push((below, fd));
                    }
                }
            }
            shared.insert(0, (String::new(), peer));
        }
        Ok(Bind { tree, is_dir, name: named(kind, &path), shared })
    }
}

fn named(kind: FileType, path: &Path) -> String {
    let kind = match kind {
        FileType::Directory => "directory",
        FileType::Regular => "file",
        FileType::Socket => "socket",
        FileType::Fifo => "fifo",
        _ => "device",
    };
    format!("the {kind} {}", path.display())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Propagation {
    Private,
    Slave,
    Shared {
        /// `rshared`
        deep: bool,
    },
}

/// The mounts of this namespace (proc(5), /proc/PID/mountinfo).
struct MountTable(Vec<TableEntry>);

struct TableEntry {
    id: String,
    point: PathBuf,
    is_shared: bool,
    is_slave: bool,
}

impl MountTable {
    fn read() -> Result<MountTable> {
        let path = "/proc/self/mountinfo";
        let text = std::fs::read_to_string(path).on("read", path)?;
        Ok(MountTable(text.lines().filter_map(TableEntry::parse).collect()))
    }

    /// Refuses what the mount at a place cannot do.
    fn check(&self, place: BorrowedFd, path: &Path, propagation: Propagation) -> Result<()> {
        let info = format!("/proc/self/fdinfo/{}", place.as_raw_fd());
        let info = std::fs::read_to_string(&info).on("read", &info)?;
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
        let Some(entry) = self.0.iter().find(|entry| Some(entry.id.as_str()) == id) else {
            return Err(Error::not_found(format!("{} is on no mount of ours", path.display())));
        };
        let (may, wanted) = match propagation {
            Propagation::Private => (true, ""),
            Propagation::Slave => (entry.is_shared || entry.is_slave, "shared or a slave"),
            Propagation::Shared { .. } => (entry.is_shared, "shared"),
        };
        if may {
            return Ok(());
        }
        let (path, point) = (path.display(), entry.point.display());
        let text = format!("{path} is on the mount {point}, which is not {wanted}");
        Err(Error::conflict(text).hint(format!("mount --make-shared {point}")))
    }

    /// The shared mounts below a path, relative to it.
    fn shared_below(&self, path: &Path) -> Vec<String> {
        let below = |entry: &&TableEntry| entry.is_shared && entry.point != path;
        let relative =
            |entry: &TableEntry| entry.point.strip_prefix(path).ok()?.to_str().map(String::from);
        self.0.iter().filter(below).filter_map(relative).collect()
    }
}

impl TableEntry {
    /// `36 35 98:0 /root /mount\040point rw,noatime master:1 shared:2 - ext3 /dev/root rw`
    fn parse(line: &str) -> Option<TableEntry> {
        let mut words = line.split(' ');
        let id = words.next()?.to_string();
        let point = unescape(words.nth(3)?);
        let fields: Vec<&str> = words.skip(1).take_while(|word| *word != "-").collect();
        let has = |key: &str| fields.iter().any(|field| field.starts_with(key));
        Some(TableEntry { id, point, is_shared: has("shared:"), is_slave: has("master:") })
    }
}

/// `\040` for a blank, and so on.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// A mount's options, sorted: attributes of the mount, and data for the file system.
#[derive(Default)]
pub struct Options {
    pub attr: u64,
    /// Attributes for what is mounted below a bind too (`rro`).
    deep_attr: u64,
    /// A bind mount, and whether recursive.
    bind: Option<bool>,
    propagation: Option<Propagation>,
    pub data: Vec<String>,
}

impl Options {
    /// mount(8)'s words. Of opposites the last counts.
    pub fn parse(words: &[String]) -> Options {
        let mut options = Options::default();
        for word in words.iter().flat_map(|w| w.split(',')) {
            match word {
                "bind" => options.bind = Some(false),
                "rbind" => options.bind = Some(true),
                "rro" => options.deep_attr |= attr::READ_ONLY,
                "private" | "rprivate" => options.propagation = Some(Propagation::Private),
                "slave" | "rslave" => options.propagation = Some(Propagation::Slave),
                "shared" => options.propagation = Some(Propagation::Shared { deep: false }),
                "rshared" => options.propagation = Some(Propagation::Shared { deep: true }),
                "relatime" | "defaults" | "" | "unbindable" | "runbindable" => {}
                word => match ATTRIBUTES.iter().find(|(on, off, _)| word == *on || word == *off) {
                    Some((on, _, bit)) if word == *on => options.attr |= bit,
                    Some((_, _, bit)) => options.attr &= !bit,
                    None => options.data.push(word.to_string()),
                },
            }
        }
        options
    }

    fn set_attributes(&self, tree: BorrowedFd, recursive: bool) -> std::io::Result<()> {
        if self.deep_attr != 0 {
            mount::set_attributes(tree, self.deep_attr, recursive)?;
        }
        match self.attr {
            0 => Ok(()),
            set => mount::set_attributes(tree, set, false),
        }
    }
}

/// The data of a file system, as keys and values.
pub fn data(words: &[String]) -> Result<Vec<(CString, Option<CString>)>> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) => Ok((text("mounts", key)?, Some(text("mounts", value)?))),
        None => Ok((text("mounts", word)?, None)),
    };
    words.iter().map(pair).collect()
}

/// Words that set an attribute of a mount, their opposites, and the attribute.
const ATTRIBUTES: [(&str, &str, u64); 6] = [
    ("ro", "rw", attr::READ_ONLY),
    ("nosuid", "suid", attr::NO_SUID),
    ("nodev", "dev", attr::NO_DEV),
    ("noexec", "exec", attr::NO_EXEC),
    ("noatime", "atime", attr::NO_ATIME),
    ("strictatime", "nostrictatime", attr::STRICT_ATIME),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_tells_where_and_who_shares_it() {
        let line = r"36 35 98:0 / /mnt\040a\134b rw,noatime master:1 shared:22 - ext3 /dev/root rw";
        let entry = TableEntry::parse(line).unwrap();
        assert_eq!(entry.point, Path::new(r"/mnt a\b"));
        assert!(entry.id == "36" && entry.is_shared && entry.is_slave);
        let plain = TableEntry::parse("1 2 0:1 / /x rw - tmpfs shared:1 rw").unwrap();
        assert!(!plain.is_shared && !plain.is_slave);
    }

    #[test]
    fn of_opposite_words_the_last_counts() {
        let words = ["noexec", "nosuid", "ro", "exec", "rw", "size=1m", "rslave"];
        let options = Options::parse(&words.map(String::from));
        assert_eq!(options.attr, attr::NO_SUID);
        assert_eq!(options.data, ["size=1m"]);
        assert_eq!(options.propagation, Some(Propagation::Slave));
    }
}
