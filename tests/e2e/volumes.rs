//! Volumes: made, shared, filled from the image, removed; with kills and a full disk in between.

use crate::common::Test;
use crate::common::image::{Root, busybox_root};
use crate::test;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// What is in the directory of the volumes, hidden entries too.
fn volumes(t: &Test) -> Vec<String> {
    let entries = fs::read_dir(t.root().join("volumes")).expect("read the volumes");
    let names = entries.map(|e| e.expect("read the volumes").file_name());
    let mut names: Vec<String> = names.map(|n| n.into_string().expect("a plain name")).collect();
    names.sort();
    names
}

/// What containers see of a volume.
fn data(t: &Test, name: &str) -> PathBuf {
    t.root().join("volumes").join(name).join("data")
}

/// The volume or path that a container has mounted there.
fn source(t: &Test, container: &str, target: &str) -> String {
    let volumes = t.inspect(container)["Volumes"].clone();
    volumes[target].as_str().unwrap_or_else(|| panic!("nothing on {target}: {volumes}")).into()
}

fn import(t: &Test, root: Root, name: &str, changes: &[&str]) {
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let words: Vec<&str> = ["import"].into_iter().chain(changes).chain(["-", name]).collect();
    t.coracle(words).stdin(root.tar()).ok();
}

/// busybox under the names and with the shell of the old documentation.
fn import_ubuntu(t: &Test) {
    let mut root = busybox_root();
    root.file("bin/bash", 0o755, b"#!/bin/sh\nexec sh \"$@\"\n");
    import(t, root, "ubuntu", &[]);
    t.coracle(["tag", "ubuntu", "busybox"]).ok();
}

/// Types a line into a shell on a terminal, and leaves it.
#[track_caller]
fn type_into(t: &Test, command: &str, line: &str) {
    let mut shell = t.coracle(command.split(' ')).on_terminal(24, 80);
    shell.write(format!("{line}; exit\n"));
    assert_eq!(shell.wait(), 0, "{command}");
}

#[test]
fn the_old_chapter_on_sharing_directories_holds_word_by_word() {
    let t = test!();
    import_ubuntu(&t);
    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
    t.coracle(words("run -v /var/volume1 -v /var/volume2 busybox true")).ok();
    assert_eq!(volumes(&t).len(), 2);
    let first = t.containers().remove(0);
    t.coracle(["rm", "-v", &first]).ok();
    assert_eq!(volumes(&t).len(), 0);

    t.coracle(words("run -v /var/volume1 -v /var/volume2 -name DATA busybox true")).ok();
    let kept = source(&t, "DATA", "/var/volume1");
    // Irrespective of whether the container is running; it is not.
    type_into(
        &t,
        "run -t -i -rm -volumes-from DATA -name client1 ubuntu bash",
        "echo one > /var/volume1/file",
    );
    // Via the middleman, which runs this time.
    t.coracle(words("run -d -volumes-from DATA -name client1 ubuntu sleep 1000")).ok();
    type_into(
        &t,
        "run -t -i -rm -volumes-from client1 -name client2 ubuntu bash",
        "cat /var/volume1/file > /var/volume2/copy",
    );
    // The volumes are not deleted until no container references them.
    t.coracle(["rm", "-v", "DATA"]).ok();
    let copy = ["exec", "client1", "cat", "/var/volume2/copy"];
    t.coracle(copy).stdout("one\n").ok();
    assert_eq!(fs::read_to_string(PathBuf::from(kept).join("file")).expect("read"), "one\n");
    t.coracle(["rm", "-f", "-v", "client1"]).ok();
    assert_eq!(volumes(&t).len(), 0);
}

#[test]
fn a_host_directory_is_mounted_as_documented() {
    let t = test!();
    import_ubuntu(&t);
    let logs = t.dir("var/logs");
    fs::write(logs.join("syslog"), "line\n").expect("write a file");
    let bind = format!("{}:/var/host_logs:ro", logs.display());
    let script = "cat /var/host_logs/syslog; touch /var/host_logs/new || echo refused";
    let run = ["run", "-rm", "-v", &bind, "ubuntu", "bash", "-c", script];
    t.coracle(run).stdout("line\nrefused\n").stderr_has("Read-only").ok();

    // Made for you where it is not there.
    let missing = t.path("doesnt/exist");
    let bind = format!("{}:/foo", missing.display());
    t.coracle(["run", "-rm", "-v", &bind, "-w", "/foo", "ubuntu", "pwd"]).stdout("/foo\n").ok();
    assert!(missing.is_dir());

    let here = t.dir("here");
    let here = here.to_str().expect("a plain path");
    let bind = format!("{here}:{here}");
    let run = ["run", "-rm", "-v", &bind, "-w", here, "ubuntu", "pwd"];
    t.coracle(run).stdout(format!("{here}\n")).ok();
    // A file too, and one from the working directory.
    fs::write(t.path("here/tool"), "tool\n").expect("write a file");
    t.coracle([
        "run",
        "-rm",
        "-v",
        "./tool:/usr/bin/docker:ro",
        "ubuntu",
        "cat",
        "/usr/bin/docker",
    ])
    .by(&format!("cd {here} && exec \"$@\""))
    .stdout("tool\n")
    .ok();
    // And as 2014 says it: what is mounted where, and whether it may be written.
    t.coracle(
        ["create", "-name", "c", "-v", &format!("{here}:/x:ro"), "-v", "/y", "ubuntu"]
            .into_iter()
            .chain(["true"]),
    )
    .ok();
    let inspect = t.inspect("c");
    assert_eq!(inspect["Volumes"]["/x"], here);
    assert_eq!(inspect["VolumesRW"]["/x"], false);
    assert_eq!(inspect["VolumesRW"]["/y"], true);
    assert_eq!(inspect["Config"]["Volumes"]["/y"], serde_json::json!({}));
    assert_eq!(inspect["HostConfig"]["Binds"], serde_json::json!([format!("{here}:/x:ro")]));
    let name = inspect["Mounts"][1]["Name"].as_str().expect("a name");
    assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    t.coracle(["rm", "-v", "c"]).ok();
}

#[test]
fn volumes_are_saved_and_restored_through_another_container() {
    let t = test!(busybox);
    t.coracle(
        ["run", "-v", "/dbdata", "--name", "dbdata", "busybox", "sh", "-c"]
            .into_iter()
            .chain(["echo precious > /dbdata/db"]),
    )
    .ok();
    let backup = format!("{}:/backup", t.dir("backup").display());
    t.coracle(
        ["run", "--rm", "--volumes-from", "dbdata", "-v", &backup, "busybox"].into_iter().chain([
            "tar",
            "cvf",
            "/backup/backup.tar",
            "/dbdata",
        ]),
    )
    .any_stderr()
    .ok();
    t.coracle(["run", "-v", "/dbdata", "--name", "dbdata2", "busybox", "true"]).ok();
    t.coracle(
        ["run", "--rm", "--volumes-from", "dbdata2", "-v", &backup, "busybox"].into_iter().chain([
            "tar",
            "xvf",
            "/backup/backup.tar",
        ]),
    )
    .ok();
    let read = ["run", "--rm", "--volumes-from", "dbdata2", "busybox", "cat", "/dbdata/db"];
    t.coracle(read).stdout("precious\n").ok();
    t.coracle(["rm", "-v", "dbdata", "dbdata2"]).ok();
    assert_eq!(volumes(&t).len(), 0);
}

#[test]
fn volumes_from_several_containers_come_together() {
    let t = test!(busybox);
    let make = |name: &str, options: &[&str]| {
        let word = format!("echo {name} | tee /a/who /b/who 2>/dev/null; true");
        let run = [&["run", "--name", name], options, &["busybox", "sh", "-c", &word]];
        t.coracle(run.concat()).any_stderr().ok();
    };
    make("one", &["-v", "/a"]);
    make("two", &["-v", "/a", "-v", "/b"]);
    let run = |options: &[&str], script: &str| {
        let run = [&["run", "--rm"], options, &["busybox", "sh", "-c", script]];
        t.coracle(run.concat()).any_stderr().ok().stdout_text()
    };
    let who = "cat /a/who /b/who; echo x > /a/new && echo written; true";
    // At one place the later counts; a list is read like several options.
    assert_eq!(run(&["--volumes-from", "one,two"], who), "two\ntwo\nwritten\n");
    assert_eq!(run(&["--volumes-from", "two", "--volumes-from", "one:ro"], who), "one\ntwo\n");
    // What is read-only there stays so; `rw` says nothing else.
    make("reader", &["--volumes-from", "one:ro"]);
    assert_eq!(run(&["--volumes-from", "reader:rw"], "cat /a/who; echo x > /a/new; true"), "one\n");
    // An own -v with a source wins; one without gives way.
    t.coracle(["volume", "create", "mine"]).ok();
    let own = ["--volumes-from", "two", "-v", "mine:/a", "-v", "/b"];
    assert_eq!(run(&own, "ls /a; cat /b/who"), "two\n");

    let inspect = t.inspect("reader");
    assert_eq!(inspect["HostConfig"]["VolumesFrom"], serde_json::json!(["one:ro"]));
    assert_eq!(inspect["Mounts"][0]["RW"], false);
    for (from, text) in [
        ("nobody", "--volumes-from: no such container: nobody"),
        ("one:rx", "mode \"rx\" is neither ro nor rw"),
    ] {
        let run = ["run", "--volumes-from", from, "busybox", "true"];
        t.coracle(run).code(125).stderr_has(text).ok();
    }
    t.coracle(["rm", "-v", "one"]).ok();
    assert_eq!(run(&["--volumes-from", "reader"], "cat /a/who"), "one\n");
    t.coracle(["rm", "-v", "two", "reader"]).ok();
    assert_eq!(volumes(&t), ["mine"]);
}

/// An image with a directory that a volume is to be filled from.
fn import_content(t: &Test) {
    let mut root = busybox_root();
    root.dir("srv", 0o755);
    root.dir("srv/app", 0o750);
    root.file("srv/app/tool", 0o4755, b"tool");
    root.dir("srv/app/deep", 0o2770);
    root.file("srv/app/deep/file", 0o600, b"text");
    root.link("srv/app/link", "/etc/passwd");
    root.link("srv/alias", "/srv/app");
    root.link("srv/up", "../../../../../srv/app");
    import(t, root, "base", &[]);
}

/// An image with a volume of the user's, where files have owners, attributes and several names.
fn import_owned(t: &Test) {
    // The tar of busybox ends with two empty blocks: what follows must replace them.
    let mut bytes = busybox_root().tar();
    bytes.truncate(bytes.len() - 1024);
    let mut tar = tar::Builder::new(bytes);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1770);
    header.set_uid(1000);
    header.set_gid(1001);
    header.set_mtime(1_000_000_000);
    header.set_size(0);
    tar.append_data(&mut header, "data/", &b""[..]).expect("append");
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o640);
    header.set_uid(65534);
    header.set_size(4);
    tar.append_pax_extensions([("SCHILY.xattr.trusted.colour", &b"blue"[..])]).expect("append");
    tar.append_data(&mut header, "data/file", &b"text"[..]).expect("append");
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    tar.append_link(&mut header, "data/same", "data/file").expect("append");
    header.set_entry_type(tar::EntryType::Fifo);
    tar.append_data(&mut header, "data/fifo", &b""[..]).expect("append");
    let bytes = tar.into_inner().expect("finish");
    let import = ["import", "--change", "VOLUME [\"/data\"]", "--change", "USER app", "-", "owned"];
    t.coracle(import).stdin(bytes).ok();
}

#[test]
fn a_new_volume_gets_what_the_image_has_there() {
    let t = test!();
    import_content(&t);
    import_owned(&t);
    let list = "cd /srv/app && stat -c '%n %a' . tool deep deep/file && readlink link";
    let expected = ". 750\ntool 4755\ndeep 2770\ndeep/file 600\n/etc/passwd\n";
    t.coracle(["run", "--rm", "-v", "app:/srv/app", "base", "sh", "-c", list])
        .stdout(expected)
        .ok();
    assert_eq!(fs::read(data(&t, "app").join("deep/file")).expect("read"), b"text");
    let mode = fs::metadata(data(&t, "app")).expect("stat").permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);

    // Once: what was removed stays removed, and what another image has there stays out.
    t.coracle(["run", "--rm", "-v", "app:/srv/app", "base", "rm", "/srv/app/tool"]).ok();
    let ls = ["run", "--rm", "-u", "0", "-v", "app:/data", "owned", "ls", "/data"];
    t.coracle(ls).stdout("deep\nlink\n").ok();
    t.coracle(["run", "--rm", "-v", "none:/srv/app:nocopy", "base", "ls", "/srv/app"])
        .stdout("")
        .ok();
    // Through links, which lead nowhere but inside.
    for target in ["/srv/alias", "/srv/up"] {
        let at = format!("{target}/deep/file");
        t.coracle(["run", "--rm", "-v", target, "base", "cat", &at]).stdout("text").ok();
    }
    let secret = t.dir("secret");
    fs::write(secret.join("host"), "secret").expect("write a file");
    let mut root = busybox_root();
    root.link("leak", secret.to_str().expect("a plain path"));
    import(&t, root, "leaky", &[]);
    t.coracle(["create", "--name", "l", "-v", "leak:/leak", "leaky", "true"]).ok();
    assert_eq!(fs::read_dir(data(&t, "leak")).expect("read").count(), 0);
    t.coracle(["run", "-v", "/etc/passwd", "base", "true"])
        .code(125)
        .stderr_has("cannot mount a volume on /etc/passwd: the image has a file there")
        .ok();
    t.coracle(["rm", "-v", "l"]).ok();
    assert_eq!(volumes(&t), ["app", "leak", "none"]);
}

#[test]
fn owners_links_and_attributes_come_along_and_the_user_may_write() {
    let t = test!();
    import_owned(&t);
    // The image's user owns the directory, and so its volume.
    let script = "id -u; stat -c '%n %u %g %a %h %Y' /data/file /data/same; stat -c '%u %g %a' /data; \
        test -p /data/fifo && echo mine > /data/mine";
    let expected = "1000\n/data/file 65534 1001 640 2 1000000000\n\
        /data/same 65534 1001 640 2 1000000000\n1000 1001 1770\n";
    t.coracle(["run", "--name", "c", "owned", "sh", "-c", script]).stdout(expected).ok();
    let dir = PathBuf::from(source(&t, "c", "/data"));
    assert_eq!(fs::metadata(dir.join("mine")).expect("stat").uid(), 1000);
    let (file, same) = (fs::metadata(dir.join("file")), fs::metadata(dir.join("same")));
    assert_eq!(file.expect("stat").ino(), same.expect("stat").ino());
    let at = coracle::sys::fs::open_directory(&dir).expect("open the volume");
    let colour = coracle::sys::xattr::get_at(at.as_fd(), b"file", b"trusted.colour");
    assert_eq!(colour.expect("look").as_deref(), Some(&b"blue"[..]));
    t.coracle(["rm", "-v", "c"]).ok();
    assert_eq!(volumes(&t).len(), 0);
}

#[test]
fn what_is_in_use_stays_and_the_rest_goes_when_asked() {
    let t = test!(busybox);
    let run = ["run", "--name", "c", "-v", "named:/n", "-v", "/a", "busybox", "true"];
    t.coracle(run).ok();
    t.coracle(["volume", "rm", "named"])
        .code(1)
        .stderr_has("volume named is used by container ")
        .ok();
    t.coracle(["volume", "rm", "-f", "named"]).code(1).stderr_has("is used by container").ok();
    // Without -v all stay; with it those that somebody named.
    t.coracle(["rm", "c"]).ok();
    assert_eq!(volumes(&t).len(), 2);
    t.coracle(["volume", "prune", "-f"]).stdout_has("Deleted Volumes:").ok();
    assert_eq!(volumes(&t), ["named"]);
    t.coracle(run).ok();
    t.coracle(["rm", "-v", "c"]).ok();
    t.coracle(["run", "--rm", "-v", "/a", "-v", "named:/n", "busybox", "true"]).ok();
    assert_eq!(volumes(&t), ["named"]);
    // By its digits an anonymous volume is a named one.
    t.coracle(["create", "--name", "c", "-v", "/a", "busybox", "true"]).ok();
    let name = t.inspect("c")["Mounts"][0]["Name"].as_str().expect("a name").to_string();
    t.coracle(["rm", "c"]).ok();
    t.coracle(["run", "--rm", "-v", &format!("{name}:/x"), "busybox", "true"]).ok();
    t.coracle(["volume", "rm", &name, "named"]).stdout(format!("{name}\nnamed\n")).ok();
    t.coracle(["volume", "rm", "named"]).code(1).stderr_has("no such volume: named").ok();
    t.coracle(["volume", "rm", "-f", "named"]).stdout("named\n").ok();
}

#[test]
fn volumes_are_made_listed_inspected_and_pruned() {
    let t = test!(busybox);
    t.coracle(["volume", "create", "web", "--label", "tier=front"]).stdout("web\n").ok();
    t.coracle(["volume", "create", "web"]).stdout("web\n").ok();
    let anonymous = t.says(["volume", "create"]);
    assert_eq!(anonymous.len(), 64);
    t.coracle(["create", "--name", "c", "-v", "used:/u", "busybox", "true"]).ok();
    let list = t.says(["volume", "ls"]);
    assert!(list.starts_with("DRIVER    VOLUME NAME\nlocal     "), "{list}");
    assert_eq!(t.says(["volume", "ls", "-q", "-f", "dangling=false"]), "used");
    assert_eq!(t.says(["volume", "ls", "-q", "--filter", "label=tier=front"]), "web");
    assert_eq!(t.says(["volume", "ls", "--filter", "name=se", "--format", "{{.Name}}"]), "used");
    let mountpoint = t.says(["volume", "inspect", "-f", "{{.Mountpoint}}", "web"]);
    assert_eq!(mountpoint, data(&t, "web").to_str().expect("a plain path"));
    assert_eq!(t.inspect("web")["Labels"]["tier"], "front");
    t.coracle(["volume", "inspect", "none"]).code(1).stderr_has("no such volume: none").ok();
    for (name, text) in [("x", "invalid volume name \"x\""), ("a/b", "invalid volume name")] {
        t.coracle(["volume", "create", name]).code(125).stderr_has(text).ok();
    }
    t.coracle(["volume", "create", "-d", "nfs", "x1"]).code(125).stderr_has("\"nfs\"").ok();

    fs::write(data(&t, "web").join("file"), vec![0; 1000]).expect("write a file");
    t.coracle(["volume", "prune"]).stdin("n\n").stdout_has("[y/N]").ok();
    assert_eq!(volumes(&t).len(), 3);
    t.coracle(["volume", "prune"]).stdin("y\n").stdout_has(&anonymous).ok();
    let without = ["volume", "prune", "-a", "-f", "--filter", "label!=tier"];
    t.coracle(without).stdout("Total reclaimed space: 0B\n").ok();
    let all = "Deleted Volumes:\nweb\n\nTotal reclaimed space: 1kB\n";
    t.coracle(["volume", "prune", "--all", "--force"]).stdout(all).ok();
    assert_eq!(volumes(&t), ["used"]);
}

/// An image whose /big takes some time to copy.
fn import_big(t: &Test) {
    let mut root = busybox_root();
    root.dir("big", 0o755);
    for n in 0..BIG {
        root.file(&format!("big/{n}"), 0o644, &[b'x'; 2000]);
    }
    import(t, root, "big", &["CMD [\"true\"]"]);
}

const BIG: usize = 2000;

#[test]
fn a_kill_while_a_volume_is_filled_leaves_all_of_it_or_nothing() {
    let t = test!();
    import_big(&t);
    // A bystander holds the second volume from the beginning, still empty.
    t.coracle(["create", "--name", "other", "-v", "shared:/else", "big"]).ok();
    let mut undone = 0;
    for round in 0..60_u64 {
        let create = ["create", "--name", "c", "-v", "/big", "-v", "mine:/big/", "big"];
        let create = match round % 2 {
            0 => create,
            _ => ["create", "--name", "c", "-v", "shared:/big", "--stop-timeout", "1", "big"],
        };
        let running = t.coracle(create).spawn();
        running.ends_within(Duration::from_micros(round * 1500));
        drop(running); // killed
        t.coracle(["run", "--rm", "big"]).any_stderr().ok();
        let is_there = t.containers().len() == 2;
        undone += usize::from(!is_there);
        for name in volumes(&t) {
            let entries = fs::read_dir(t.root().join("volumes").join(&name)).expect("a volume");
            assert_eq!(entries.count(), 2, "round {round}: something is left in {name}");
            let count = fs::read_dir(data(&t, &name)).expect("a volume").count();
            assert!(count == 0 || count == BIG, "round {round}: {count} files in {name}");
            assert!(!is_there || count == BIG, "round {round}: {name} was not filled");
        }
        if is_there {
            t.coracle(["rm", "-v", "c"]).ok();
            t.coracle(["volume", "rm", "-f", "mine"]).ok();
        }
        assert_eq!(volumes(&t), ["shared"], "round {round}");
        t.coracle(["rm", "other"]).ok();
        t.coracle(["volume", "rm", "shared"]).ok();
        t.coracle(["create", "--name", "other", "-v", "shared:/else", "big"]).ok();
    }
    assert!(undone > 5, "no kill came in time: {undone}");
}

#[test]
fn a_removal_with_volumes_that_was_killed_is_finished() {
    let t = test!();
    import_big(&t);
    for round in 0..30_u64 {
        t.coracle(["create", "--name", "user", "-v", "/big", "big"]).ok();
        let shared = source(&t, "user", "/big");
        let options = ["--name", "c", "--volumes-from", "user", "-v", "/more", "big"];
        t.coracle(["create"].into_iter().chain(options)).ok();
        t.coracle(["create", "--name", "alone", "-v", "/big", "big"]).ok();
        let rm = t.coracle(["rm", "-v", "c", "alone"]).spawn();
        rm.ends_within(Duration::from_micros(round * 700));
        drop(rm); // killed
        t.coracle(["run", "--rm", "big"]).any_stderr().ok();
        assert_eq!(fs::read_dir(shared).expect("still there").count(), BIG, "round {round}");
        let left: Vec<String> = t.containers();
        let expected = [1, 2, 4][left.len() - 1];
        let names = volumes(&t);
        let hidden = names.iter().any(|name| name.starts_with('.'));
        assert!(!hidden, "round {round}: {names:?}");
        // user alone has 1 volume; alone has one more, c one more.
        assert!(names.len() <= expected.min(3), "round {round}: {names:?} of {left:?}");
        t.coracle(["rm", "-v"].into_iter().map(String::from).chain(left)).ok();
        assert_eq!(volumes(&t).len(), 0, "round {round}");
    }
}

#[test]
fn many_at_once_find_a_shared_volume_filled() {
    let t = test!();
    import_big(&t);
    let count = ["run", "--rm", "-v", "shared:/big", "big", "sh", "-c", "ls /big | wc -l"];
    for _ in 0..3 {
        let mut all: Vec<_> = (0..6).map(|_| t.coracle(count).spawn()).collect();
        for running in &mut all {
            assert_eq!(running.line_with("").trim(), BIG.to_string());
            assert_eq!(running.wait(), 0);
        }
        t.coracle(["volume", "rm", "shared"]).ok();
    }
}

#[test]
fn a_full_disk_while_filling_is_told_and_nothing_remains() {
    let t = test!();
    let mut root = busybox_root();
    root.dir("big", 0o755);
    root.file("big/file", 0o644, &vec![b'x'; 40 << 20]);
    import(&t, root, "big", &["CMD [\"true\"]"]);
    t.coracle(["volume", "create", "old"]).ok();
    let full = t.fill_disk();
    let fill = fs::File::options().write(true).open(t.path("fill")).expect("open the filling");
    let size = fill.metadata().expect("stat").len();
    fill.set_len(size - (20 << 20)).expect("make some room");
    let told = match t.copies() {
        true => "copy the image's files: would leave less than",
        false => "copy the image's /big to its volume: would leave less than",
    };
    for volume in ["/big", "new:/big", "old:/big"] {
        t.coracle(["run", "--name", "c", "-v", volume, "big"]).code(125).stderr_has(told).ok();
        assert_eq!(volumes(&t), ["old"]);
        assert_eq!(fs::read_dir(t.root().join("volumes/old")).expect("read").count(), 2);
        assert_eq!(fs::read_dir(data(&t, "old")).expect("read").count(), 0);
        assert!(t.containers().is_empty());
    }
    drop((full, fill));
    t.coracle(["run", "--rm", "-v", "old:/big", "big", "ls", "/big"]).stdout("file\n").ok();
}
