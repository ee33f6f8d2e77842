//! cox.toml: what is said about it before anything starts.

use crate::harness::{Cox, Tree, applet, cox, cox_binary, namespace, until};
use std::fs;

#[test]
fn check_names_all_faults_with_their_lines_and_cures() {
    let tree = Tree::new();
    let file = tree.dir.join("cox.toml");
    let text = "[service.web]\ncommand = 'exec x'\nrequires = ['dbb']\n\
                [service.db]\nargv = ['/nowhere/db']\nafter = ['cache']\n\
                [service.cache]\nargv = ['sh']\nrequires = ['db']\n\
                [service.bad]\nargv = ['sh']\nrestrat = 1\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = applet(&["check", file]);
    let expected = format!(
        "{file}:12: service bad: unknown key \"restrat\"; did you mean \"restart\"?\n\
         {file}:4: service db: /nowhere/db: no such file or directory\n\
         {file}:1: service web: requires \"dbb\", which does not exist; did you mean \"db\"?\n\
         {file}:4: service db: waits for itself: db, cache, db; remove one of these dependencies\n"
    );
    assert_eq!((code, out, err), (1, expected, String::new()));
}

#[test]
fn check_looks_into_service_directories_too() {
    let tree = Tree::new();
    tree.script("good/run", "exec sleep 1");
    tree.script("crlf/run", "exec sleep 1");
    tree.file("plain/run", "#!/bin/sh\n");
    tree.file("none/down", "");
    tree.script("limit/run", "exec sleep 1");
    tree.file("limit/timeout-kill", "soon\n");
    let crlf = tree.services().join("crlf/run");
    fs::write(&crlf, "#!/bin/sh\r\nexec sleep 1\r\n").unwrap();
    let dir = tree.services().display().to_string();
    let (code, out, err) = applet(&["check", &dir]);
    let expected = format!(
        "{dir}/crlf/run:1: the interpreter /bin/sh\r is missing; remove the carriage returns\n\
         {dir}/limit/timeout-kill:1: \"soon\" is not a number of milliseconds\n\
         {dir}/none/run: no such file or directory\n\
         {dir}/plain/run: not executable; chmod +x {dir}/plain/run\n"
    );
    assert_eq!((code, out.replace("\\r", "\r"), err), (1, expected, String::new()));
    let (code, out, _) = applet(&["check", &tree.service("good")]);
    assert_eq!((code, out.as_str()), (0, ""));
    let (code, out, _) = applet(&["check", "/nowhere"]);
    assert_eq!((code, out.as_str()), (1, "/nowhere: no such file or directory\n"));
    assert_eq!(applet(&["check", "--what"]).0, 100);
}

#[test]
fn a_directory_that_is_missing_may_come_before_the_service_needs_it() {
    let mut tree = Tree::new();
    let web =
        "[service.web]\ndirectory = 'made/here'\ncommand = 'echo $PWD >$E; exec sleep 10000'\n";
    tree.toml(web);
    let (file, made) = (tree.dir.join("cox.toml"), tree.dir.join("made/here"));
    let (file, made) = (file.to_str().unwrap(), made.to_str().unwrap());
    let (code, out, _) = applet(&["check", file]);
    let line = format!(
        "{file}:1: service web: warning: {made} is not a directory; make it before the service starts\n"
    );
    assert_eq!((code, out), (0, line));
    // Without it the service is tried again and again.
    let mut cox = tree.run_toml(&[]);
    let said = format!("cox: web: cannot change directory to {made}: no such file or directory");
    cox.stderr.after(&said);
    cox.stderr.after(&said);
    fs::create_dir_all(made).unwrap();
    tree.expect(made);
    assert_eq!(cox.stop().0, 0);
    // One that comes first may make it.
    fs::remove_dir_all(made).unwrap();
    tree.script("../init/make", &format!("mkdir -p {made}"));
    tree.toml(&format!("init = 'init'\n{web}"));
    assert_eq!(applet(&["check", file]).0, 0);
    let cox = tree.run_toml(&[]);
    tree.expect(made);
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn with_nothing_that_can_start_it_ends_with_111_and_says_so() {
    let mut tree = Tree::new();
    let service = |keys: &str| format!("[service.web]\nargv = ['sleep', '1000']\n{keys}\n");
    let file = tree.dir.join("cox.toml");
    let path = file.to_str().unwrap().to_string();
    for (text, faults) in [
        (Vec::new(), 0),
        (vec![0xff], 1),
        (service("restrat = 1").into_bytes(), 1),
        (service("requires = ['db']").into_bytes(), 1),
        (service("requires = ['db']\n[service.db]\nargv = ''").into_bytes(), 2),
    ] {
        fs::write(&file, text).unwrap();
        let output = cox(&[&path]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(111), "{said}");
        assert_eq!(said.lines().count(), faults + 1, "{said}");
        assert!(said.lines().last().unwrap().starts_with("cox: nothing to start; "), "{said}");
        // A command is something, and so is a directory where services may appear.
        assert_eq!(cox(&[&path, "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    }
    tree.script("late/run", "echo late >$E; exec sleep 1000");
    fs::write(&file, "scan = 'services'\n").unwrap();
    let cox = tree.run_toml(&[]);
    tree.expect("late");
    assert_eq!(cox.stop().0, 0);
    // Once it runs, a file without services is only that.
    let web = "[service.web]\ncommand = 'echo web >$E; exec sleep 1000'\n";
    tree.toml(web);
    let cox = tree.run_toml(&[]);
    tree.expect("web");
    tree.toml("");
    assert_eq!(tree.ctl(&["reload"]).0, 0);
    until(|| tree.ctl(&["status"]).1.lines().count() < 2);
    tree.toml(web);
    assert_eq!(tree.ctl(&["reload"]).0, 0);
    tree.expect("web");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn the_sample_passes_the_check_and_the_schema_is_json() {
    let tree = Tree::new();
    let (code, sample, _) = applet(&["sample"]);
    assert_eq!(code, 0);
    let file = tree.dir.join("cox.toml");
    fs::write(&file, sample).unwrap();
    let (code, out, _) = applet(&["check", file.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (0, ""));
    let (code, schema, _) = applet(&["schema"]);
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let keys = &schema["definitions"]["service"]["properties"];
    assert_eq!(keys["restart"]["default"], "always");
    assert_eq!(keys["health"]["properties"]["retries"]["default"], 3);
}

#[test]
fn the_file_says_where_coxctl_reaches_cox_unless_somebody_else_does() {
    let mut tree = Tree::new();
    tree.toml("control = 'here'\n[service.web]\ncommand = 'echo up >$E; exec sleep 10000'\n");
    for (variable, place) in [(None, "here"), (Some("there"), "there")] {
        let mut command = namespace();
        command.env_remove("COX_SOCKET");
        command.envs(variable.map(|name| ("COX_SOCKET", tree.dir.join(name))));
        let cox = Cox::start(command.arg(cox_binary()).arg(tree.dir.join("cox.toml")));
        tree.expect("up");
        let place = tree.dir.join(place);
        let (code, ..) = applet(&["coxctl", "--socket", place.to_str().unwrap(), "healthy"]);
        assert_eq!(code, 0);
        assert_eq!(cox.stop(), (0, String::new()));
    }
}
