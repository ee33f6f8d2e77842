//! `insert`: an image and one file more.

use crate::common::server::Server;
use crate::common::{Test, image};
use crate::test;
use std::fs;
use std::time::Duration;

/// An image of busybox with links and directories of its own kind.
fn import_base(t: &Test) -> String {
    let mut root = image::busybox_root();
    root.dir("usr/lib", 0o2751);
    root.link("lib", "usr/lib");
    root.link("nowhere", "../opt/new/it");
    t.coracle(["import", "-c", "CMD [\"date\"]", "-m", "base", "-", "base"]).stdin(root.tar()).ok();
    t.says(["images", "-q", "--no-trunc"])
}

fn file() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// What is at a path of an image: mode, owner, kind; times only where they are asked for.
fn stat(t: &Test, image: &str, format: &str, paths: &[&str]) -> String {
    t.says([&["run", "--rm", image, "stat", "-c", format], paths].concat())
}

#[test]
fn a_file_lands_where_the_path_leads_inside_of_the_image() {
    let t = test!();
    let base = import_base(&t);
    let file = file();
    let server = Server::start(&t, &file);
    let (plain, spaced) = (server.url("plain.tar?a=b"), server.url("dir/a%20file"));
    let mut ids = vec![base.clone()];
    for (url, path, place) in [
        (&plain, "/tmp/p", "/tmp/p"),
        (&plain, "made/for/it", "/made/for/it"),
        (&plain, "/lib/x", "/usr/lib/x"),
        (&plain, "../../lib/../x", "/usr/x"),
        (&plain, "nowhere", "/opt/new/it"),
        (&plain, "/", "/plain.tar"),
        (&spaced, "/lib", "/usr/lib/a file"),
        (&spaced, "/new/", "/new/a file"),
        (&server.url("hops/3"), "x", "/x"),
        (&server.url("chunked"), "x", "/x"),
        (&server.url("closed"), "x", "/x"),
    ] {
        let id = t.says(["insert", "base", url, path]);
        assert!(id.starts_with("sha256:"), "{id}");
        assert_eq!(stat(&t, &id, "%a %u %g %F", &[place]), "644 0 0 regular file", "{path}");
        assert!(t.coracle(["run", "--rm", &id, "cat", place]).ok().stdout == file, "{path}");
        t.coracle(["history", "--no-trunc", &id])
            .stdout_has(&format!("insert {url} {path}"))
            .stdout_has("base")
            .ok();
        assert_eq!(t.inspect(&id)["Config"]["Cmd"], t.inspect("base")["Config"]["Cmd"]);
        ids.push(id);
    }
    let made = stat(&t, &ids[2], "%a %u %g %F", &["/made", "/made/for"]);
    assert_eq!(made, ["755 0 0 directory"; 2].join("\n"));
    // The one it was made from is as it was.
    assert_eq!(t.says(["inspect", "base", "--format", "{{.Id}}"]), base);
    t.coracle(["run", "--rm", "base", "ls", "/tmp"]).stdout("").ok();
    t.coracle(["fsck"]).ok();
}

#[test]
fn the_directories_that_are_there_keep_all_their_attributes() {
    let t = test!();
    import_base(&t);
    let server = Server::start(&t, &file());
    let id = t.says(["insert", "base", &server.url("closed"), "/lib/new/x"]);
    let paths = ["/usr", "/usr/lib", "/lib", "/tmp"];
    let format = "%a %u %g %F %Y %N";
    assert_eq!(stat(&t, &id, format, &paths), stat(&t, "base", format, &paths));
    assert!(stat(&t, &id, format, &paths).contains("2751 0 0 directory 1000000000"));
    // Others read the same of the layer: it names the directories on the way.
    let saved = t.path("saved.tar");
    t.coracle(["save", "-o", saved.to_str().expect("a path"), &id]).ok();
    let script = r#"
import json, sys, tarfile
outer = tarfile.open(sys.argv[1])
layer = json.load(outer.extractfile("manifest.json"))[0]["Layers"][-1]
for m in tarfile.open(fileobj=outer.extractfile(layer)): print(m.name, "%o" % m.mode, m.uid, m.isdir())
"#;
    let listed = std::process::Command::new("python3").args(["-c", script]).arg(&saved).output();
    let listed = String::from_utf8(listed.expect("run python3").stdout).expect("text");
    let members = [
        ". 755 0 True",
        "usr 755 0 True",
        "usr/lib 2751 0 True",
        "usr/lib/new 755 0 True",
        "usr/lib/new/x 644 0 False",
    ];
    assert_eq!(listed.lines().collect::<Vec<_>>(), members);
}

#[test]
fn files_are_inserted_on_several_layers_and_where_something_was_deleted() {
    let t = test!();
    import_base(&t);
    let script = "touch home/old; rm -r var; chmod 700 root";
    t.coracle(["run", "--name", "c", "base", "sh", "-c", script]).ok();
    t.coracle(["commit", "c", "next"]).ok();
    t.coracle(["run", "--name", "d", "next", "rm", "-r", "/home"]).ok();
    t.coracle(["commit", "d", "next"]).ok();
    let server = Server::start(&t, &file());
    let mut id = "next".to_string();
    for path in ["/home/new", "/var/x/y", "/root/x", "/root/y", "/lib/z"] {
        id = t.says(["insert", &id, &server.url("closed"), path]);
    }
    let listed = t.says(["run", "--rm", &id, "find", "/home", "/var", "/root", "/usr/lib"]);
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    let files = ["/home/new", "/root/x", "/root/y", "/usr/lib/z", "/var/x/y"];
    let mut all = [&files[..], &["/home", "/root", "/usr/lib", "/var", "/var/x"]].concat();
    all.sort_unstable();
    assert_eq!(listed, all);
    assert_eq!(stat(&t, &id, "%a", &["/root", "/home"]), "700\n755");
    t.coracle(["fsck"]).ok();
}

#[test]
fn the_same_file_at_the_same_time_is_the_same_image() {
    let t = test!();
    import_base(&t);
    let server = Server::start(&t, &file());
    let insert = || {
        let insert = t.coracle(["insert", "base", &server.url("closed"), "/new/x"]);
        insert.env("SOURCE_DATE_EPOCH", "1234567890").ok().stdout_text()
    };
    let id = insert();
    assert_eq!(id, insert());
    assert_eq!(stat(&t, id.trim(), "%Y", &["/new", "/new/x"]), "1234567890\n1234567890");
    assert_eq!(t.inspect(id.trim())["Created"], "2009-02-13T23:31:30.000000000Z");
}

#[test]
fn what_cannot_be_inserted_is_told_and_nothing_is_made() {
    let t = test!();
    import_base(&t);
    let file = file();
    let server = Server::start(&t, &file);
    let plain = server.url("plain.tar?a=b");
    let sent = format!("the server sent 5000 of {} bytes", file.len());
    for (image, url, path, words) in [
        ("base", plain.as_str(), "/etc/passwd", "/etc/passwd is there already"),
        ("base", &plain, "/etc/passwd/x", "/etc/passwd is no directory"),
        ("base", &server.url("etc"), "/", "/etc is there already"),
        ("base", &server.url(""), "/tmp", "a URL that does not end in a file's name"),
        ("base", &server.url("%2e%2e"), "/tmp", "a URL that does not end in a file's name"),
        ("base", &plain, "/tmp/.wh.x", "a layer cannot hold /tmp/.wh.x"),
        ("base", &plain, "/.wh.x/y", "a layer cannot hold /.wh.x"),
        ("none", &plain, "/x", "no such image: none"),
        ("base", &server.url("short"), "/x", &sent),
        ("base", &server.url("broken-chunks"), "/x", "the server broke off after 5000 bytes"),
        ("base", &server.url("missing"), "/x", "the server answers 404 Not Found"),
        ("base", &server.url("to-file"), "/x", "no http URL"),
        ("base", &server.url("to-https"), "/x", "https is not built in yet"),
        // It would fill the disk.
        ("base", &server.url("endless"), "/x", "would leave less than"),
    ] {
        t.coracle(["insert", image, url, path]).code(1).stderr_has(words).ok();
    }
    let long = "n".repeat(256);
    t.coracle(["insert", "base", &plain, &long]).code(1).stderr_has("filename too long").ok();
    let long = format!("/new/{long}");
    t.coracle(["insert", "base", &plain, &long]).code(1).stderr_has("filename too long").ok();
    for (url, words) in [
        ("https://example.com/x", "https is not built in yet"),
        ("file:///etc/passwd", "no http URL"),
        ("/etc/passwd", "no URL"),
    ] {
        t.coracle(["insert", "base", url, "/x"])
            .code(125)
            .stderr_has(words)
            .stderr_has("coracle run -v DIR:/in IMAGE cp /in/FILE PATH")
            .ok();
    }
    t.coracle(["insert", "base", &plain, ""]).code(125).stderr_has("an empty path").ok();
    assert_eq!(t.says(["images", "-a", "-q"]).lines().count(), 1);
    assert_eq!(fs::read_dir(t.root().join("images/layers")).expect("read").count(), 1);
    assert_eq!(fs::read_dir(t.root().join("images/tmp")).expect("read").count(), 0);
}

#[test]
fn a_file_larger_than_the_memory_it_may_take_is_inserted() {
    let t = test!();
    import_base(&t);
    let server = Server::start(&t, &vec![b'x'; 66 << 20]);
    let insert = t.coracle(["insert", "base", &server.url("closed"), "/big"]);
    let id = insert.by("ulimit -v 65536; exec \"$@\"").ok().stdout_text();
    assert_eq!(stat(&t, id.trim(), "%s", &["/big"]), (66 << 20).to_string());
}

#[test]
fn an_insertion_that_was_killed_leaves_nothing() {
    let t = test!();
    import_base(&t);
    let server = Server::start(&t, &vec![b'x'; 4 << 20]);
    let mut made = 0;
    for micros in (0..20).map(|n| n * 3000) {
        let insert = t.coracle(["insert", "base", &server.url("closed"), "/x"]);
        let running = insert.env("SOURCE_DATE_EPOCH", "1").spawn();
        running.ends_within(Duration::from_micros(micros));
        drop(running); // killed
        t.coracle(["fsck"]).ok();
        let images = t.says(["images", "-a", "-q"]).lines().count();
        assert!(images >= made, "an image went");
        made = images;
    }
    t.coracle(["insert", "base", &server.url("closed"), "/x"]).ok();
    assert_eq!(fs::read_dir(t.root().join("images/tmp")).expect("read").count(), 0);
}
