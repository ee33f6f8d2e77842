//! A store of its own for each test, and the tools that make archives.

use coracle::engine::image::{ImportOptions, import};
use coracle::error::Result;
use coracle::image::{Image, Store};
use coracle::sys::{fs, xattr};
use coracle::types::Digest;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory with a store in `root`, removed at the end.
pub struct Place {
    pub dir: PathBuf,
    pub store: Store,
}

impl Place {
    pub fn new() -> Place {
        Place::below(&std::env::temp_dir())
    }

    /// One in memory, where that keeps all attributes (tmpfs since Linux 6.6): for tests that make
    /// very many files.
    pub fn quick() -> Place {
        let memory = Path::new("/dev/shm");
        let probe = memory.join(format!("coracle-probe-{}", std::process::id()));
        let set = |file: File| xattr::fset(file.as_fd(), b"user.x", b"x");
        let keeps_all = File::create(&probe).and_then(set).is_ok();
        let _ = std::fs::remove_file(&probe);
        if keeps_all { Place::below(memory) } else { Place::new() }
    }

    fn below(dir: &Path) -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = dir.join(format!("coracle-image-{}-{n}", std::process::id()));
        fs::remove_tree(&dir).unwrap();
        std::fs::create_dir_all(dir.join("root")).unwrap();
        let store = Store::open(&dir.join("root")).unwrap();
        Place { dir, store }
    }

    /// A copy of another.
    pub fn copy(other: &Place) -> Place {
        let place = Place::below(other.dir.parent().unwrap());
        run(Command::new("cp").args(["-a", "-T"]).args([&other.dir, &place.dir]));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a shell script in the directory; gives what it said.
    pub fn sh(&self, script: &str) -> String {
        run(Command::new("bash").args(["-euc", script]).current_dir(&self.dir))
    }

    /// Has Python write `name` with its tarfile module. `script` adds members to `t`, a TarFile,
    /// by `add(name, **fields)`.
    pub fn python_tar(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        let prelude = "
import io, sys, tarfile
from tarfile import DIRTYPE, LNKTYPE, SYMTYPE, CHRTYPE, BLKTYPE, FIFOTYPE
t = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
def add(name, data=b'', **fields):
    i = tarfile.TarInfo(name)
    i.size = len(data)
    for k, v in fields.items(): setattr(i, k, v)
    t.addfile(i, io.BytesIO(data))
";
        self.python(&format!("{prelude}\n{script}\nt.close()\n"), &[name]);
        path
    }

    /// Runs a Python program in the directory.
    pub fn python(&self, program: &str, args: &[&str]) {
        run(Command::new("python3").arg("-c").arg(program).args(args).current_dir(&self.dir));
    }

    pub fn try_import(&self, tar: &Path, name: &str) -> Result<Digest> {
        let options = ImportOptions {
            name: Some(name.parse().unwrap()),
            source: "-".to_string(),
            ..ImportOptions::default()
        };
        import(&self.store, &mut File::open(tar).unwrap(), &options)
    }

    pub fn import(&self, tar: &Path, name: &str) -> Image {
        let id = self.try_import(tar, name).unwrap();
        self.store.image(&id).unwrap()
    }

    /// The trees of an image's layers.
    pub fn trees(&self, image: &Image) -> Vec<PathBuf> {
        self.store.layer_dirs(image).unwrap()
    }

    /// The only tree of an image of one layer.
    pub fn tree(&self, image: &Image) -> PathBuf {
        let [tree] = self.trees(image).try_into().unwrap();
        tree
    }

    /// The tar of each layer, rebuilt.
    pub fn emitted(&self, image: &Image) -> Vec<Vec<u8>> {
        let emit = |layer| {
            let mut tar = Vec::new();
            self.store.emit(&layer, &mut tar).unwrap();
            tar
        };
        self.store.layers(image).unwrap().into_iter().map(emit).collect()
    }

    /// All that lies in the store, without the lock file.
    pub fn listing(&self) -> String {
        self.sh("cd root/images && find . -mindepth 1 | sort")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_tree(&self.dir);
    }
}

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {stderr}");
    String::from_utf8(stdout).unwrap()
}

/// What `find` tells of a tree: type, mode, owner, times, links, sizes, targets.
pub fn describe(tree: &Path) -> String {
    let format = "%P %y %m %U:%G %T@ %n %s %l\\n";
    let out = run(Command::new("find").arg(tree).args(["-printf", format]));
    // Sizes of directories are the file system's affair.
    let mut lines: Vec<String> = out
        .lines()
        .map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            if words.get(1) == Some(&"d") {
                words.truncate(5);
            }
            words.join(" ")
        })
        .collect();
    lines.sort();
    lines.join("\n")
}
