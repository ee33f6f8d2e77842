//! Archives of images as Docker had them in 2014: what it wrote is loaded, what we save it can
//! load, and its ids and files come back byte for byte.

use crate::common::Test;
use crate::common::image::{Root, busybox};
use crate::test;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The id of the image that adds `layer` to the others.
fn id(layer: usize) -> String {
    format!("{}{layer}", "c0ffee0123456789".repeat(4).split_at(63).0)
}

/// One member of a 2014 archive.
type Member = (String, Vec<u8>);

/// The `json` of an image as Docker 0.8.1 wrote it: with fields nobody knows any more, and blanks.
fn json(layer: usize, parent: Option<usize>, made_by: &str, cmd: &str) -> Vec<u8> {
    let parent = parent.map(|p| format!("\"parent\":\"{}\",", id(p))).unwrap_or_default();
    format!(
        r#"{{"id":"{}",{parent}"created":"2014-02-0{}T12:00:00.5Z","container":"e0d2",
"container_config":{{"Hostname":"b4","Memory":0,"PortSpecs":null,"Cmd":["/bin/sh","-c","{made_by}"]}},
"docker_version":"0.8.1","author":"me","config":{{"Hostname":"b4","Env":["A=b"],"Cmd":["{cmd}"],
"ExposedPorts":{{"80/tcp":{{}}}},"Dns":null}},"architecture":"amd64","os":"linux","Size": 7.0 }}"#,
        id(layer),
        layer + 1,
    )
    .into_bytes()
}

fn layers() -> [Vec<u8>; 3] {
    let mut upper = Root::new();
    upper.dir("etc", 0o755);
    upper.file("etc/.wh.passwd", 0o644, b"");
    upper.file("hello", 0o644, b"from 2014\n");
    // As Docker wrote what added nothing: an end and no member, and nothing at all.
    [busybox(), upper.tar(), Vec::new()]
}

/// Three images, each the next one's parent: the first is base:1, the last boat:1 and boat:latest.
fn members() -> Vec<Member> {
    let mut members = Vec::new();
    let made_by = ["#(nop) ADD file:x in /", "rm /etc/passwd;  echo \\\"x\\\"", "#(nop) CMD [cat]"];
    for (at, layer) in layers().into_iter().enumerate() {
        members.push((format!("{}/VERSION", id(at)), b"1.0".to_vec()));
        members.push((format!("{}/json", id(at)), json(at, at.checked_sub(1), made_by[at], "cat")));
        members.push((format!("{}/layer.tar", id(at)), layer));
    }
    let names =
        format!(r#"{{"base":{{"1":"{}"}},"boat":{{"1":"{1}","latest":"{1}"}}}}"#, id(0), id(2));
    members.push(("repositories".to_string(), names.into_bytes()));
    members
}

fn archive(members: &[Member]) -> Vec<u8> {
    let mut tar = Root::new();
    for (name, bytes) in members {
        tar.file(name, 0o644, bytes);
    }
    tar.tar()
}

/// Has tar(1) unpack an archive, as Docker of 2014 did, and reads it from there as that did: the
/// members by their names, without those of other layouts.
fn read_as_in_2014(t: &Test, archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let dir = t.dir("reader");
    fs::write(dir.join("saved.tar"), archive).expect("write");
    let tar = Command::new("tar").args(["-x", "-f", "saved.tar"]).current_dir(&dir).status();
    assert!(tar.expect("tar runs").success());
    let read = |name: &str| fs::read(dir.join(name)).expect(name);
    let mut found = BTreeMap::new();
    let repositories: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&read("repositories")).expect("repositories");
    for mut id in repositories.values().flat_map(BTreeMap::values).cloned() {
        loop {
            for file in ["VERSION", "json", "layer.tar"] {
                found.insert(format!("{id}/{file}"), read(&format!("{id}/{file}")));
            }
            let json: Value = serde_json::from_slice(&found[&format!("{id}/json")]).expect("json");
            assert_eq!(json["id"], *id);
            match json["parent"].as_str() {
                Some(parent) => id = parent.to_string(),
                None => break,
            }
        }
    }
    found.insert("repositories".to_string(), read("repositories"));
    fs::remove_dir_all(&dir).expect("remove");
    found
}

#[test]
fn an_archive_of_2014_is_loaded_whatever_the_order_of_its_members() {
    let mut last = String::new();
    for order in [|_: &mut Vec<Member>| (), |all: &mut Vec<Member>| all.reverse()] {
        let t = test!();
        let mut all = members();
        order(&mut all);
        t.coracle(["load"])
            .stdin(archive(&all))
            .stdout("Loaded image: base:1\nLoaded image: boat:1\nLoaded image: boat:latest\n")
            .ok();
        t.coracle(["run", "--rm", "boat", "cat", "/hello"]).stdout("from 2014\n").ok();
        t.coracle(["run", "--rm", "boat", "test", "-e", "/etc/passwd"]).code(1).ok();
        t.coracle(["run", "--rm", "base:1", "test", "-e", "/etc/passwd"]).ok();
        let image = t.inspect("boat:1");
        assert_eq!(image["Created"], "2014-02-03T12:00:00.500000000Z");
        assert_eq!((&image["Author"], &image["Config"]["Cmd"][0]), (&"me".into(), &"cat".into()));
        assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(3));
        let id = image["Id"].as_str().expect("an id").to_string();
        assert!(last.is_empty() || last == id, "the order of the members makes another image");
        last = id;
    }
}

#[test]
fn ids_of_2014_are_known() {
    let t = test!();
    t.coracle(["load", "-q"]).stdin(archive(&members())).ok();
    let boat = t.inspect("boat")["Id"].clone();
    assert_eq!(t.inspect(&id(2))["Id"], boat);
    t.coracle(["tag", &id(0), "other"]).ok();
    assert_eq!(t.inspect("other")["Id"], t.inspect("base:1")["Id"]);
    let layer = id(1);
    t.coracle(["inspect", &layer]).any_stderr().code(1).ok();
    t.coracle(["tag", &layer, "x"]).code(1).stderr_has("is only a layer of image").ok();
    // All begin alike.
    t.coracle(["tag", "c0ffee", "x"]).code(1).stderr_has("\"c0ffee\" is ambiguous").ok();
}

#[test]
fn what_came_in_the_layout_of_2014_goes_out_in_it_byte_for_byte() {
    let t = test!();
    let members = members();
    t.coracle(["load", "-q"]).stdin(archive(&members)).ok();
    let saved = t.coracle(["save", "base", "boat"]).ok().stdout;
    let expected: BTreeMap<String, Vec<u8>> = members.into_iter().collect();
    let found = read_as_in_2014(&t, &saved);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{name} is another");
    }
    // And through the layouts of today, where the same image comes in again.
    let image = t.inspect("boat");
    t.coracle(["rmi", "-f", "boat:1", "boat:latest", "base:1"]).ok();
    t.coracle(["load", "-q"]).stdin(saved.clone()).ok();
    assert_eq!(t.inspect("boat"), image);
    assert!(t.coracle(["save", "base", "boat"]).ok().stdout == saved, "saved again, it differs");
}

#[test]
fn an_image_of_today_is_saved_for_2014_with_its_history() {
    let t = test!();
    t.coracle(["import", "-m", "by hand", "-", "boat:1"]).stdin(busybox()).ok();
    let saved = t.coracle(["save", "boat"]).ok().stdout;
    let found = read_as_in_2014(&t, &saved);
    let file = |name: &str| &found.iter().find(|(path, _)| path.ends_with(name)).expect(name).1[..];
    assert!(file("/layer.tar") == busybox(), "the layer is another");
    let json: Value = serde_json::from_slice(file("/json")).expect("json");
    assert_eq!((&json["comment"], &json["os"]), (&"by hand".into(), &"linux".into()));
    // The bytes of a layer are in the archive once.
    assert!(saved.len() < busybox().len() + 20_000, "{} bytes", saved.len());

    // Only what 2014 knows goes on, and what comes back is the same to 2014.
    let members: Vec<Member> = found.clone().into_iter().collect();
    t.coracle(["rmi", "boat:1"]).ok();
    t.coracle(["load"]).stdin(archive(&members)).stdout("Loaded image: boat:1\n").ok();
    let again = t.coracle(["save", "boat"]).ok().stdout;
    assert!(read_as_in_2014(&t, &again) == found, "it came back as another");
}

#[test]
fn manifest_json_comes_before_repositories() {
    let t = test!();
    t.coracle(["import", "-", "boat:1"]).stdin(busybox()).ok();
    let image = t.inspect("boat:1");
    let saved = t.coracle(["save", "boat"]).ok().stdout;
    // What the other index says would be refused.
    let text = String::from_utf8_lossy(&saved).into_owned();
    assert!(text.contains("{\"boat\":{\"1\":"), "no repositories");
    let at = saved.windows(9).position(|w| w == b"{\"boat\":{").expect("repositories");
    let mut broken = saved.clone();
    broken[at] = b'[';
    t.coracle(["rmi", "boat:1"]).ok();
    t.coracle(["load", "-q"]).stdin(broken).ok();
    assert_eq!(t.inspect("boat:1"), image);
}

#[test]
fn skopeo_reads_what_we_save_in_either_layout() {
    let t = test!();
    if Command::new("skopeo").arg("--version").output().is_err() {
        return crate::common::skipped("needs skopeo");
    }
    t.coracle(["load", "-q"]).stdin(archive(&members())).ok();
    let work = t.dir("skopeo");
    for format in ["docker-archive", "oci-archive"] {
        let saved = work.join("saved.tar");
        let path = saved.to_str().expect("a plain path");
        t.coracle(["save", "--format", format, "-o", path, "boat:1"]).ok();
        let from = format!("{format}:{path}");
        skopeo(&work, &["inspect", "--config", &from]);
        skopeo(&work, &["copy", &from, "dir:copy"]);
        let manifest = fs::read(work.join("copy/manifest.json")).expect("read");
        let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest");
        assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(3), "{manifest}");
        fs::remove_dir_all(work.join("copy")).expect("remove");
    }
    t.coracle(["save", "--format", "oci-dir", "boat:1"])
        .code(125)
        .stderr_has("--format: cannot save as \"oci-dir\"")
        .ok();
}

#[track_caller]
fn skopeo(dir: &Path, args: &[&str]) {
    let run = Command::new("skopeo")
        .args(["--insecure-policy", "--tmpdir", "."])
        .args(args)
        .current_dir(dir)
        .output()
        .expect("skopeo runs");
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn without_names_the_images_that_are_no_parents_come_in() {
    let t = test!();
    let mut all = members();
    all.retain(|(name, _)| name != "repositories");
    let said = t.coracle(["load"]).stdin(archive(&all)).ok().stdout_text();
    assert!(said.starts_with("Loaded image ID: sha256:") && said.lines().count() == 1, "{said}");
    assert_eq!(t.inspect(&id(2))["RepoTags"], serde_json::json!([]));
}

#[test]
fn a_damaged_archive_of_2014_is_refused_with_the_member_named() {
    let t = test!();
    t.coracle(["import", "-", "old"]).stdin(busybox()).ok();
    let before = store(&t);
    let without = |member: &str| {
        let mut all = members();
        all.retain(|(name, _)| name != member);
        assert_eq!(all.len(), members().len() - 1, "{member}");
        all
    };
    let with = |member: &str, bytes: &[u8]| {
        let mut all = without(member);
        all.push((member.to_string(), bytes.to_vec()));
        all
    };
    let [json0, json1, json2] = [0, 1, 2].map(|at| format!("{}/json", id(at)));
    let torn = json(1, Some(0), "x", "y").split_at(99).0.to_vec();
    for (archive_of, told) in [
        (without(&json0), format!("the archive lacks the image it stands for, {json0}")),
        (without(&json1), format!("member {json2}: the archive lacks its parent {}", id(1))),
        (without(&format!("{}/layer.tar", id(1))), format!("lacks its layer {}/layer", id(1))),
        (with(&json0, &json(0, Some(2), "x", "y")), "is among its own parents".to_string()),
        (with(&json1, &torn), format!("member {json1}: EOF")),
        (with(&json1, b"\xff"), format!("member {json1}: is not UTF-8")),
        (with(&json1, &json(2, None, "x", "y")), format!("says that it is image {}", id(2))),
        (with(&format!("{}/layer.tar", id(0)), b"text"), format!("{}/layer.tar: no tar", id(0))),
        (with(&format!("{}/VERSION", id(0)), b"2.0"), format!("{}/VERSION: \"2.0\"", id(0))),
        (with("repositories", b"{\"boat\":"), "repositories: EOF".to_string()),
        (with("repositories", b"{\"boat\":{\"1\":\"up\"}}"), "repositories: boat:1: ".to_string()),
        (with("repositories", b"{\"B\":{\"1\":\"\"}}"), "repositories: B:1: invalid".to_string()),
    ] {
        let run = t.coracle(["load"]).stdin(archive(&archive_of)).code(1).stderr_has(&told).ok();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let lines = said.lines().filter(|line| !line.starts_with("hint: ")).count();
        assert_eq!(lines, 1, "{said}");
        assert_eq!(store(&t), before, "{told}");
    }
}

/// All that lies in the store.
fn store(t: &Test) -> String {
    let images = t.root().join("images");
    let find = Command::new("find").arg(images).output().expect("find runs");
    let text = String::from_utf8_lossy(&find.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn history_tells_each_step_with_the_ids_of_2014() {
    let t = test!();
    t.coracle(["load", "-q"]).stdin(archive(&members())).ok();
    let top = t.inspect("boat")["Id"].as_str().expect("an id").to_string();
    let base = t.inspect("base:1")["Id"].as_str().expect("an id").to_string();
    let lines = t.says(["history", "--no-trunc", "boat"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), TITLES);
    for (line, id, made_by) in [
        (lines[1], &top, "/bin/sh -c #(nop) CMD [cat]   0B"),
        (lines[2], &id(1), "/bin/sh -c rm /etc/passwd;  echo \"x\"   10B"),
        // An image of its own, which the other begins with.
        (lines[3], &base, "/bin/sh -c #(nop) ADD file:x in /"),
    ] {
        assert!(line.starts_with(id.as_str()) && line.contains("years ago"), "{line}");
        let blanks = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(blanks(line).contains(&blanks(made_by)), "{line}");
    }
    let ids = [&top[7..19], &id(1)[..12], &base[7..19]].join("\n");
    assert_eq!(t.says(["history", "-q", "boat"]), ids);
    assert_eq!(t.says(["history", "--format", "{{.ID}} {{.CreatedAt}}", "base:1"]).len(), 12 + 21);
    t.coracle(["history", "none"]).code(1).stderr_has("no such image: none").ok();
}

const TITLES: &str = "IMAGE CREATED CREATED BY SIZE COMMENT";

#[test]
fn images_are_drawn_with_what_they_were_made_from() {
    let t = test!();
    t.coracle(["load", "-q"]).stdin(archive(&members())).ok();
    t.coracle(["import", "-", "other"]).stdin(busybox()).ok();
    let short = |name: &str| t.says(["images", "-q", name]);
    let (top, base, other) = (short("boat:1"), short("base"), short("other"));
    let drawn = t.says(["images", "--tree"]);
    let lines: Vec<&str> = drawn.lines().collect();
    let starts = [
        format!("├─{other} Virtual Size: "),
        format!("└─{base} Virtual Size: "),
        format!("  └─{} Virtual Size: ", &id(1)[..12]),
        format!("    └─{top} Virtual Size: "),
    ];
    assert_eq!(lines.len(), starts.len(), "{drawn}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(lines[3].ends_with(" Tags: boat:1, boat:latest"), "{drawn}");
    let from = t.says(["images", "--tree", "boat"]);
    assert!(from.starts_with(&format!("└─{top} ")) && from.lines().count() == 1, "{from}");
    let viz = t.says(["images", "--viz"]);
    assert!(viz.contains(&format!("\n \"{}\" -> \"{top}\"\n", &id(1)[..12])), "{viz}");
}

#[test]
fn images_are_chosen_by_filters() {
    let t = test!();
    t.coracle(["load", "-q"]).stdin(archive(&members())).ok();
    t.coracle(["import", "--change", "LABEL tier=front", "-", "team/other:2"])
        .stdin(busybox())
        .ok();
    let names = |args: &[&str]| {
        let format = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        t.says([&format, args].concat()).replace('\n', " ")
    };
    assert_eq!(names(&[]), "team/other:2 boat:1 boat:latest base:1");
    assert_eq!(names(&["b*"]), "boat:1 boat:latest base:1");
    for (filter, shown) in [
        ("before=boat", "base:1"),
        ("since=base:1", "team/other:2 boat:1 boat:latest"),
        ("until=2014-03-01", "boat:1 boat:latest base:1"),
        ("label=tier", "team/other:2"),
        ("label=tier=back", ""),
        ("reference=*:1", "boat:1 base:1"),
        ("reference=*/*", "team/other:2"),
        ("dangling=true", ""),
    ] {
        assert_eq!(names(&["-f", filter]), shown, "{filter}");
    }
    assert_eq!(names(&["-f", "reference=base", "-f", "reference=*/*"]), "team/other:2 base:1");

    // Without a name: shown, unless others were made from it.
    t.coracle(["rmi", "team/other:2"]).ok();
    t.coracle(["import", "-", "boat:1"]).stdin(busybox()).ok();
    t.coracle(["tag", "boat:1", "base:1"]).ok();
    t.coracle(["tag", "boat:1", "boat:latest"]).ok();
    assert_eq!(names(&["-f", "dangling=true"]), "<none>:<none>");
    assert_eq!(names(&["-a"]).matches("<none>:<none>").count(), 2);
    assert_eq!(names(&[]).matches("<none>:<none>").count(), 1);
    t.coracle(["images", "-f", "since=none"]).code(1).stderr_has("no such image: none").ok();
    t.coracle(["images", "-f", "danglin=true"])
        .code(125)
        .stderr_has("--filter: there is no filter \"danglin\"")
        .stderr_has("hint: did you mean dangling?")
        .ok();
}
