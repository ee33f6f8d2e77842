//! A verb that is killed, or finds the disk full or broken, at each of its steps: the store names
//! whole images only, the next verb sweeps the rest, and a second try works.
//!
//! The verb runs in a child, this very test binary, under strace, which does it harm as it enters
//! a call that changes anything: at the first call of each kind, at the second, and so on until
//! there are no more. Each has a copy of the store to itself, so two run at a time.

use crate::support::Place;
use coracle::engine::image::{ImportOptions, Users, images, import, load, prune, rmi, save, tag};
use coracle::error::Result;
use coracle::image::Store;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// strace counts each of them by itself.
const CALLS: [&str; 22] = [
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fsync",
    "syncfs",
    "flock",
    "fcntl",
    "utimensat",
    "fchown",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "symlinkat",
];

#[derive(Clone, Copy, Debug)]
enum Harm {
    Kill,
    /// The call fails.
    Error(&'static str),
}

impl Harm {
    /// The options of strace that do it at the `step`th call of one kind.
    fn at(self, call: &str, step: usize) -> [String; 4] {
        let what = match self {
            Harm::Kill => "signal=SIGKILL".to_string(),
            Harm::Error(name) => format!("error={name}"),
        };
        let inject = format!("inject={call}:{what}:when={step}");
        ["-e".to_string(), format!("trace={call}"), "-e".to_string(), inject]
    }
}

const HARMS: [Harm; 3] = [Harm::Kill, Harm::Error("ENOSPC"), Harm::Error("EIO")];

/// The child's part. Run as an ordinary test it has nothing to do.
#[test]
fn one_verb_in_a_child() {
    let Some(dir) = std::env::var_os("CORACLE_TEST_CHILD") else { return };
    let store = Store::open(&Path::new(&dir).join("root")).unwrap();
    std::env::set_current_dir("/").unwrap();
    run(&store, Path::new(&dir), &std::env::var("CORACLE_TEST_VERB").unwrap()).unwrap();
    std::env::set_current_dir("/").unwrap();
}

fn run(store: &Store, dir: &Path, verb: &str) -> Result<()> {
    let open = |name: &str| File::open(dir.join(name)).unwrap();
    match verb {
        "import" => {
            let name = Some("new".parse().unwrap());
            let options = ImportOptions { name, ..ImportOptions::default() };
            import(store, &mut open("new.tar"), &options).map(drop)
        }
        "load" => load(store, &mut open("saved.tar")).map(drop),
        "tag" => tag(store, "old", "moved".parse().unwrap()).map(drop),
        "rmi" => rmi(store, "old", Default::default(), &|| Ok(Users::new())).map(drop),
        "prune" => prune(store, true, &[], &|| Ok(Default::default())).map(drop),
        verb => panic!("{verb}"),
    }
}

/// A process that is being made has all our descriptors for a moment, and so our locks: none is
/// made while a store is worked with.
static FORKS: RwLock<()> = RwLock::new(());

/// Runs `verb` in a child under strace; whether it ended well.
fn traced(place: &Place, verb: &str, trace: &Path, options: &[String]) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "--seccomp-bpf", "-qq", "-o"]).arg(trace).args(options);
    strace
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "crash::one_verb_in_a_child", "--test-threads=1"])
        .env("CORACLE_TEST_CHILD", &place.dir)
        .env("CORACLE_TEST_VERB", verb)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let spawned = {
        let _alone = FORKS.write().unwrap();
        strace.spawn()
    };
    spawned.unwrap().wait().unwrap().success()
}

/// The calls of a whole run that are the verb's, each by its kind and its number among those of
/// its kind: the child changes its working directory before and after.
fn steps(place: &Place, verb: &str) -> Vec<(&'static str, usize)> {
    let trace = place.path("trace");
    let calls = CALLS.join(",");
    assert!(traced(place, verb, &trace, &["-e".into(), format!("trace={calls},chdir")]));
    let text = std::fs::read_to_string(trace).unwrap();
    let [before, during, _] = text.split(" chdir(").collect::<Vec<_>>().try_into().unwrap();
    let mut steps = Vec::new();
    for call in CALLS {
        let count = |text: &str| text.matches(&format!(" {call}(")).count();
        let first = count(before) + 1;
        steps.extend((first..first + count(during)).map(|step| (call, step)));
    }
    steps
}

/// Does harm to `verb` at every step. `before` makes the store it starts from, and at the end the
/// image `result` is to be there, or gone.
fn at_every_step(verb: &str, before: fn(&Place), result: &str, there: bool) {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("MUST_WORK").is_none(), "cannot run: needs strace");
        return eprintln!("skipped: needs strace");
    }
    let start = Place::quick();
    before(&start);
    let steps = steps(&Place::copy(&start), verb);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((call, step)) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
            for harm in HARMS {
                let at = format!("{verb}: {harm:?} at {call} {step}");
                let place = {
                    let _alone = FORKS.write().unwrap();
                    Place::copy(&start)
                };
                at_one_step(&place, verb, harm.at(call, *step), result, there, &at);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    assert!(steps.len() > 10, "{verb} has only {} steps", steps.len());
}

fn at_one_step(place: &Place, verb: &str, harm: [String; 4], result: &str, there: bool, at: &str) {
    let ended_well = traced(place, verb, Path::new("/dev/null"), &harm);
    let _no_fork = FORKS.read().unwrap();
    for row in images(&place.store, true, &[]).unwrap() {
        let image = place.store.image(&row.id).unwrap_or_else(|e| panic!("{at}: {e}"));
        place.emitted(&image);
    }
    place.store.sweep().unwrap();
    for dir in ["tmp", "trash"] {
        let rest = std::fs::read_dir(place.path("root/images").join(dir)).unwrap().count();
        assert_eq!(rest, 0, "{at}: in {dir}");
    }
    // A removal may be done already when it is harmed.
    if !ended_well && (there || place.store.resolve(result).is_ok()) {
        run(&place.store, &place.dir, verb).unwrap_or_else(|e| panic!("{at}: a second try: {e}"));
    }
    assert_eq!(place.store.resolve(result).is_ok(), there, "{at}");
}

fn old(place: &Place) {
    place.import(&place.python_tar("old.tar", "add('d', type=DIRTYPE); add('d/f', b'x')"), "old");
}

#[test]
fn import_may_be_harmed_at_any_step() {
    let before = |place: &Place| {
        old(place);
        place.python_tar("new.tar", "add('d/f', b'first'); add('d/f', b'y'); add('d/.wh.x')");
    };
    at_every_step("import", before, "new", true);
}

#[test]
fn load_may_be_harmed_at_any_step() {
    let before = |place: &Place| {
        old(place);
        place.import(&place.python_tar("new.tar", "add('d/f', b'y')"), "new");
        let mut saved = File::create(place.path("saved.tar")).unwrap();
        save(&place.store, &["old".into(), "new".into()], &mut saved).unwrap();
        rmi(&place.store, "new", Default::default(), &|| Ok(Users::new())).unwrap();
    };
    at_every_step("load", before, "new", true);
}

#[test]
fn tag_rmi_and_prune_may_be_harmed_at_any_step() {
    at_every_step("rmi", old, "old", false);
    at_every_step("prune", old, "old", false);
    let tagged = |place: &Place| {
        old(place);
        place.import(&place.python_tar("new.tar", "add('d/f', b'y')"), "moved");
    };
    at_every_step("tag", tagged, "moved", true);
}
