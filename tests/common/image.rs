//! The image most tests run: busybox and the few files a program expects around it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tar::{Builder, EntryType, Header};

/// A tar of the root file system, made once.
pub fn busybox() -> Vec<u8> {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| busybox_root().tar()).clone()
}

/// The same, to be added to.
pub fn busybox_root() -> Root {
    let mut root = Root::new();
    for dir in ["bin", "dev", "etc", "home", "proc", "root", "sbin", "sys", "usr", "var"] {
        root.dir(dir, 0o755);
    }
    root.dir("tmp", 0o1777);
    root.file("etc/passwd", 0o644, PASSWD);
    root.file("etc/group", 0o644, GROUP);
    root.file("bin/busybox", 0o755, &std::fs::read("/bin/busybox").expect("read busybox"));
    let list = Command::new("/bin/busybox").arg("--list").output().expect("list applets");
    for applet in String::from_utf8_lossy(&list.stdout).lines() {
        if applet != "busybox" {
            root.link(&format!("bin/{applet}"), "busybox");
        }
    }
    root
}

/// The same with programs of the distribution, each at its path in the image, and the libraries
/// that they need. `None` where one is not installed, which has been told.
pub fn with_programs(programs: &[(&str, &str)]) -> Option<Root> {
    let mut root = busybox_root();
    let mut libraries = BTreeSet::new();
    for (path, program) in programs {
        let Ok(bytes) = std::fs::read(program) else {
            super::skipped(&format!("{program} is not installed"));
            return None;
        };
        root.file(path, 0o755, &bytes);
        let listed = Command::new("ldd").arg(program).output().expect("run ldd").stdout;
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`
        let listed = String::from_utf8(listed).expect("paths in ASCII");
        let paths = listed.lines().filter_map(|line| line.split_whitespace().rev().nth(1));
        libraries.extend(paths.filter(|path| path.starts_with('/')).map(String::from));
    }
    for library in libraries {
        root.file(&library[1..], 0o755, &std::fs::read(&library).expect("read a library"));
    }
    Some(root)
}

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n\
    app:x:1000:1000:app:/home:/bin/sh\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\napp:x:1000:\nextra:x:1001:app\n";

/// A root file system in the making.
pub struct Root(Builder<Vec<u8>>);

impl Root {
    pub fn new() -> Root {
        Root(Builder::new(Vec::new()))
    }

    pub fn dir(&mut self, path: &str, mode: u32) {
        self.entry(&format!("{path}/"), EntryType::Directory, mode, b"", "");
    }

    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.entry(path, EntryType::Regular, mode, bytes, "");
    }

    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, EntryType::Symlink, 0o777, b"", to);
    }

    pub fn tar(mut self) -> Vec<u8> {
        self.0.finish().expect("finish the tar");
        self.0.into_inner().expect("a tar in memory")
    }

    fn entry(&mut self, path: &str, kind: EntryType, mode: u32, bytes: &[u8], to: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_mtime(1_000_000_000);
        if kind == EntryType::Symlink {
            self.0.append_link(&mut header, path, Path::new(to)).expect("append to the tar");
        } else {
            self.0.append_data(&mut header, path, bytes).expect("append to the tar");
        }
    }
}
