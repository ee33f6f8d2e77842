//! A verb killed with -9 at each of its steps: the store names whole images only, the next verb
//! sweeps the rest, and a second try works.
//!
//! The verb runs in a child, this very test binary, under strace, which kills it as it enters its
//! Nth call of those that change anything.

use crate::support::Place;
use coracle::engine::image::{ImportOptions, images, import, load, rmi, save, tag};
use coracle::image::Store;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

const CALLS: &str = "rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,syncfs,\
                     flock,fcntl,utimensat,fchown,setxattr,lsetxattr,fsetxattr";

/// The child's part. Run as an ordinary test it has nothing to do.
#[test]
fn one_verb_in_a_child() {
    let Some(dir) = std::env::var_os("CORACLE_TEST_CHILD") else { return };
    let dir = Path::new(&dir);
    let store = Store::open(&dir.join("root")).unwrap();
    let open = |name: &str| File::open(dir.join(name)).unwrap();
    match std::env::var("CORACLE_TEST_VERB").unwrap().as_str() {
        "import" => {
            let name = Some("new".parse().unwrap());
            let options = ImportOptions { name, ..ImportOptions::default() };
            import(&store, &mut open("new.tar"), &options).unwrap();
        }
        "load" => drop(load(&store, &mut open("saved.tar")).unwrap()),
        "tag" => drop(tag(&store, "old", "moved".parse().unwrap()).unwrap()),
        "rmi" => drop(rmi(&store, "old", false, &|_| Ok(Vec::new())).unwrap()),
        verb => panic!("{verb}"),
    }
}

/// Runs `verb` until its call number `step`. Whether it was killed there.
fn killed(place: &Place, verb: &str, step: usize) -> bool {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")])
        .args(["-e", &format!("inject={CALLS}:signal=SIGKILL:when={step}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "crash::one_verb_in_a_child", "--test-threads=1"])
        .env("CORACLE_TEST_CHILD", &place.dir)
        .env("CORACLE_TEST_VERB", verb)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(
        status.success() || status.signal() == Some(9) || status.code() == Some(137),
        "{status}"
    );
    !status.success()
}

/// Kills `verb` at every step. Every time `before` makes the store it starts from, and at the end
/// the image `result` is to be there, or gone.
fn at_every_step(verb: &str, before: fn(&Place), result: &str, there: bool) {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("MUST_WORK").is_none(), "cannot run: needs strace");
        return eprintln!("skipped: needs strace");
    }
    let mut step = 1;
    loop {
        let place = Place::new();
        before(&place);
        let was_killed = killed(&place, verb, step);
        for row in images(&place.store, true, &[]).unwrap() {
            let image = place.store.image(&row.id).unwrap();
            place.emitted(&image);
        }
        place.store.sweep().unwrap();
        assert_eq!(
            place.sh("ls -A root/images/tmp root/images/trash | grep -v : || true").trim(),
            ""
        );
        if !was_killed {
            assert_eq!(place.store.resolve(result).is_ok(), there);
            break;
        }
        // A removal may be done already when it is killed.
        if there || place.store.resolve(result).is_ok() {
            assert!(!killed(&place, verb, usize::from(u16::MAX)), "{verb}: step {step}");
        }
        assert_eq!(place.store.resolve(result).is_ok(), there, "{verb}: step {step}");
        step += 1;
    }
    assert!(step > 3, "{verb} has only {step} steps");
}

fn old(place: &Place) {
    place.import(&place.python_tar("old.tar", "add('d', type=DIRTYPE); add('d/f', b'x')"), "old");
}

#[test]
fn import_may_be_killed_at_any_step() {
    let before = |place: &Place| {
        old(place);
        place.python_tar("new.tar", "add('d/f', b'first'); add('d/f', b'y'); add('d/.wh.x')");
    };
    at_every_step("import", before, "new", true);
}

#[test]
fn load_may_be_killed_at_any_step() {
    let before = |place: &Place| {
        old(place);
        place.import(&place.python_tar("new.tar", "add('d/f', b'y')"), "new");
        let mut saved = File::create(place.path("saved.tar")).unwrap();
        save(&place.store, &["old".into(), "new".into()], &mut saved).unwrap();
        rmi(&place.store, "new", false, &|_| Ok(Vec::new())).unwrap();
    };
    at_every_step("load", before, "new", true);
}

#[test]
fn tag_and_rmi_may_be_killed_at_any_step() {
    at_every_step("rmi", old, "old", false);
    let tagged = |place: &Place| {
        old(place);
        place.import(&place.python_tar("new.tar", "add('d/f', b'y')"), "moved");
    };
    at_every_step("tag", tagged, "moved", true);
}
