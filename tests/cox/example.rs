//! The examples of the documentation, run as they stand.

use crate::harness::{cox_binary, finish, have};
use std::process::Command;

#[test]
fn the_example_of_cox_toml_does_what_its_readme_says() {
    if !have("busybox") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cox-toml/run.sh");
    let (code, out, err) = finish(Command::new(script).env("COX_BIN", cox_binary()));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for said in [
        "web: up\n",
        "worker is failed for ",
        "stays down: it ended too often",
        "    migrate             | migrated\n",
        "    cox: exit 0: asked to stop by SIGTERM\n",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
}

#[test]
fn the_example_of_supervisord_conf_does_what_its_readme_says() {
    if !have("supervisorctl") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/supervisord/run.sh");
    let (code, out, err) = finish(Command::new(script).env("COX_BIN", cox_binary()));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for said in [
        "broken                           FATAL ",
        "\nworker 1 is at work\n",
        "worker:worker0: started\n",
        "store                            STOPPED ",
        "    store is open\n",
        "    cox: broken: stays down: it ended too often before it had started\n",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
}
