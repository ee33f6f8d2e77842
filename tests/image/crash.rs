//! A verb that is killed, or finds the disk full or broken, at each of its steps: the store names
//! whole images only, the next verb sweeps the rest, and a second try works.
//!
//! The verb runs in a child, this very test binary, under strace, which does it harm as it enters
//! a call that changes anything: at the first call of each kind, at the second, and so on until
//! there are no more.

use crate::support::Place;
use coracle::engine::image::{ImportOptions, images, import, load, prune, rmi, save, tag};
use coracle::image::Store;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

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

const HARMS: [Harm; 3] = [Harm::Kill, Harm::Error("ENOSPC"), Harm::Error("EIO")];

/// The child's part. Run as an ordinary test it has nothing to do.
#[test]
fn one_verb_in_a_child() {
    let Some(dir) = std::env::var_os("CORACLE_TEST_CHILD") else { return };
    let dir = Path::new(&dir);
    let store = Store::open(&dir.join("root")).unwrap();
    let open = |name: &str| File::open(dir.join(name)).unwrap();
    std::env::set_current_dir("/").unwrap();
    match std::env::var("CORACLE_TEST_VERB").unwrap().as_str() {
        "import" => {
            let name = Some("new".parse().unwrap());
            let options = ImportOptions { name, ..ImportOptions::default() };
            import(&store, &mut open("new.tar"), &options).unwrap();
        }
        "load" => drop(load(&store, &mut open("saved.tar")).unwrap()),
        "tag" => drop(tag(&store, "old", "moved".parse().unwrap()).unwrap()),
        "rmi" => drop(rmi(&store, "old", Default::default(), &|_| Ok(Vec::new())).unwrap()),
        "prune" => drop(prune(&store, true, &[], &|| Ok(Default::default())).unwrap()),
        verb => panic!("{verb}"),
    }
    std::env::set_current_dir("/").unwrap();
}

/// How the verb ended.
#[derive(PartialEq, Eq, Debug)]
enum End {
    Well,
    /// It was killed, or told what went wrong.
    Badly,
}

/// Runs `verb`, with `harm` at the `step`th call of one kind.
fn run(place: &Place, verb: &str, harm: Option<(Harm, &str, usize)>) -> End {
    let mut command = match harm {
        None => Command::new(std::env::current_exe().unwrap()),
        Some((harm, call, step)) => {
            let what = match harm {
                Harm::Kill => "signal=SIGKILL".to_string(),
                Harm::Error(name) => format!("error={name}"),
            };
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:{what}:when={step}")]);
            strace.arg(std::env::current_exe().unwrap());
            strace
        }
    };
    let status = command
        .args(["--exact", "crash::one_verb_in_a_child", "--test-threads=1"])
        .env("CORACLE_TEST_CHILD", &place.dir)
        .env("CORACLE_TEST_VERB", verb)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if status.success() { End::Well } else { End::Badly }
}

/// Which of the calls of a kind in a whole run are the verb's: the child changes its working
/// directory before and after.
fn steps(place: &Place, verb: &str, call: &str) -> std::ops::Range<usize> {
    let trace = place.path("trace");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", trace.to_str().unwrap(), "-e", &format!("trace={call},chdir")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "crash::one_verb_in_a_child", "--test-threads=1"])
        .env("CORACLE_TEST_CHILD", &place.dir)
        .env("CORACLE_TEST_VERB", verb)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let text = std::fs::read_to_string(trace).unwrap();
    let mut parts = text.split(" chdir(");
    let mut calls = || parts.next().unwrap().matches(&format!(" {call}(")).count();
    let before = calls();
    before + 1..before + 1 + calls()
}

/// Does harm to `verb` at every step. `before` makes the store it starts from, and at the end the
/// image `result` is to be there, or gone.
fn at_every_step(verb: &str, before: fn(&Place), result: &str, there: bool) {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("MUST_WORK").is_none(), "cannot run: needs strace");
        return eprintln!("skipped: needs strace");
    }
    let start = Place::new();
    before(&start);
    let mut done = 0;
    for call in CALLS {
        let range = steps(&Place::copy(&start), verb, call);
        let all = HARMS.into_iter().flat_map(|harm| range.clone().map(move |step| (harm, step)));
        for (harm, step) in all {
            let at = format!("{verb}: {harm:?} at {call} {step}");
            let place = Place::copy(&start);
            let end = run(&place, verb, Some((harm, call, step)));
            for row in images(&place.store, true, &[]).unwrap() {
                let image = place.store.image(&row.id).unwrap_or_else(|e| panic!("{at}: {e}"));
                place.emitted(&image);
            }
            place.store.sweep().unwrap();
            let rest = "ls -A root/images/tmp root/images/trash | grep -v : || true";
            assert_eq!(place.sh(rest).trim(), "", "{at}");
            // A removal may be done already when it is harmed.
            if end == End::Badly && (there || place.store.resolve(result).is_ok()) {
                assert_eq!(run(&place, verb, None), End::Well, "{at}: a second try");
            }
            assert_eq!(place.store.resolve(result).is_ok(), there, "{at}");
            done += 1;
        }
    }
    assert!(done > 30, "{verb} has only {done} steps");
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
        rmi(&place.store, "new", Default::default(), &|_| Ok(Vec::new())).unwrap();
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
