//! Images: import, images, tag, rmi, inspect, save and load, and tars that mean harm.

use crate::common::image::Root;
use crate::test;
use std::fs;
use std::process::Command;

#[test]
fn import_prints_the_id_and_images_lists_it() {
    let t = test!();
    let id = t.coracle(["import", "-", "base:1"]).stdin(crate::common::image::busybox()).ok();
    let id = id.stdout_text();
    assert!(id.starts_with("sha256:") && id.trim_end().len() == 71, "{id}");
    let list = t.says(["images"]);
    let lines: Vec<_> = list.lines().collect();
    for title in ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"] {
        assert!(lines[0].contains(title), "{list}");
    }
    assert!(lines[1].starts_with("base") && lines[1].contains(&id[7..19]), "{list}");
    assert_eq!(t.says(["images", "-q"]), id[7..19]);
}

#[test]
fn a_gzipped_tar_in_a_file_is_imported_as_well() {
    let t = test!();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &crate::common::image::busybox()).expect("compress");
    fs::write(t.path("root.tar.gz"), gz.finish().expect("compress")).expect("write a file");
    let path = t.path("root.tar.gz");
    t.coracle(["import", path.to_str().expect("a plain path"), "base"]).ok();
    t.coracle(["run", "--rm", "base", "echo", "hi"]).stdout("hi\n").ok();
}

#[test]
fn an_import_gets_what_its_changes_and_its_message_say() {
    let t = test!();
    let changes = ["CMD echo $A", "ENV A=1 B='two words'", "EXPOSE 80", "WORKDIR /srv", "USER 7"];
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let args = ["import", "-m", "from the attic"].into_iter().chain(changes).chain(["-", "base"]);
    t.coracle(args).stdin(crate::common::image::busybox()).ok();
    t.coracle(["run", "--rm", "base"]).stdout("1\n").ok();
    t.coracle(["run", "--rm", "base", "sh", "-c", "echo $B; pwd; id -u"])
        .stdout("two words\n/srv\n7\n")
        .ok();
    assert_eq!(t.says(["history", "--format", "{{.Comment}}", "base"]), "from the attic");
    assert_eq!(t.inspect("base")["Comment"], "from the attic");
    t.coracle(["import", "-c", "RUN make", "-", "bad"])
        .code(125)
        .stderr_has("change \"RUN make\": unknown instruction RUN")
        .ok();
}

#[test]
fn nobody_types_an_archive() {
    let t = test!();
    for (args, cure) in [(&["import", "-"][..], "use import - <FILE"), (&["load"], "load <FILE")] {
        let mut command = t.coracle(args).on_terminal(24, 80);
        command.until("stdin is a terminal, not an archive");
        command.until(cure);
        assert_eq!(command.wait(), 1);
    }
}

#[test]
fn what_images_and_files_are_called_is_no_command_for_a_terminal() {
    let t = test!();
    let message = "\u{1b}[2J\u{9b}2J red";
    let label = ["-c", "LABEL of=\u{9b}31m"];
    let args = ["import", "-m", message, label[0], label[1], "-", "base"];
    t.coracle(args).stdin(crate::common::image::busybox()).ok();
    let touch = r#"touch "$(printf '/tmp/a\033[2J\n\233b')""#;
    t.coracle(["run", "--name", "c", "base", "sh", "-c", touch]).ok();
    let format = ["history", "--format", "\u{1b}[1m{{.Comment}}", "base"];
    for (args, raw, shown) in [
        (&["diff", "c"][..], &b"A /tmp/a\x1b[2J\n\x9bb\n"[..], r"A /tmp/a\u{1b}[2J\n\x9bb"),
        (&["inspect", "base"], "\"of\": \"\u{9b}31m\"".as_bytes(), r#""of": "\u{9b}31m""#),
        (
            &format,
            "\u{1b}[1m\u{1b}[2J\u{9b}2J red\n".as_bytes(),
            "\u{1b}[1m\\u{1b}[2J\\u{9b}2J red",
        ),
    ] {
        let piped = t.coracle(args).ok().stdout;
        assert!(piped.windows(raw.len()).any(|part| part == raw), "{}", piped.escape_ascii());
        let mut command = t.coracle(args).on_terminal(24, 80);
        assert_eq!(command.wait(), 0);
        let text = String::from_utf8(command.rest_of_stdout()).expect("text for a terminal");
        assert!(text.contains(shown), "{text:?}");
    }
}

#[test]
fn the_same_tar_at_the_same_source_date_is_the_same_image() {
    let t = test!();
    let import = |name: &str, date: &str| {
        let run = t.coracle(["import", "-", name]).stdin(crate::common::image::busybox());
        run.env("SOURCE_DATE_EPOCH", date).ok().stdout_text()
    };
    assert_eq!(import("one", "1000000000"), import("two", "1000000000"));
    assert_eq!(t.inspect("two")["Created"], "2001-09-09T01:46:40.000000000Z");
    assert_ne!(import("three", "1000000001"), import("four", ""));
    t.coracle(["import", "-", "bad"])
        .env("SOURCE_DATE_EPOCH", "yesterday")
        .code(125)
        .stderr_has("SOURCE_DATE_EPOCH: \"yesterday\" is not a whole number")
        .ok();
}

#[test]
fn a_tag_is_another_name_and_rmi_takes_names_before_the_image() {
    let t = test!(busybox);
    t.coracle(["tag", "busybox", "example.org/boat:2"]).ok();
    t.coracle(["run", "--rm", "example.org/boat:2", "echo", "hi"]).stdout("hi\n").ok();
    t.coracle(["rmi", "busybox"]).stdout_has("Untagged: busybox:latest").ok();
    t.coracle(["run", "--rm", "example.org/boat:2", "true"]).ok();
    t.coracle(["rmi", "example.org/boat:2"]).stdout_has("Deleted: sha256:").ok();
    assert_eq!(t.says(["images", "-q"]), "");
    let layers = fs::read_dir(t.root().join("images/layers")).into_iter().flatten().count();
    assert_eq!(layers, 0, "layers are left");
}

/// The chapter on rmi of the old documentation.
#[test]
fn each_name_is_removed_before_the_image() {
    let t = test!(busybox);
    let id = t.says(["images", "-q", "--no-trunc"]);
    let short = t.says(["images", "-q"]);
    t.coracle(["tag", "busybox", "test1"]).ok();
    t.coracle(["tag", "busybox", "test2"]).ok();
    let conflict = t.coracle(["rmi", &short]).code(1);
    conflict.stderr_has("has names in several repositories").ok();
    t.coracle(["rmi", "test1", "none", "test2"])
        .code(1)
        .stdout("Untagged: test1:latest\nUntagged: test2:latest\n")
        .stderr_has("no such image: none")
        .ok();
    t.coracle(["rmi", &short]).stdout(format!("Untagged: busybox:latest\nDeleted: {id}\n")).ok();
}

#[test]
fn what_an_image_alone_was_made_from_goes_with_it() {
    let t = test!(busybox);
    let commit = |image: &str, file: &str, name: &[&str]| {
        t.coracle(["run", "--name", "c", image, "touch", file]).ok();
        let id = t.says([&["commit", "c"], name].concat());
        t.coracle(["rm", "c"]).ok();
        id
    };
    let below = commit("busybox", "/a", &[]);
    let left = commit(&below, "/b", &["left"]);
    let right = commit(&below, "/c", &["right"]);
    t.coracle(["run", "--name", "user", &right, "true"]).ok();
    let said = format!("Untagged: left:latest\nDeleted: {left}\n");
    t.coracle(["rmi", "left"]).stdout(said.as_str()).ok();
    t.coracle(["rm", "user"]).ok();
    t.coracle(["tag", &right, "again"]).ok();
    t.coracle(["rmi", "again"]).stdout("Untagged: again:latest\n").ok();
    let said = format!("Untagged: right:latest\nDeleted: {right}\n");
    t.coracle(["rmi", "--no-prune", "right"]).stdout(said.as_str()).ok();
    let right = commit(&below, "/d", &["right"]);
    let said = format!("Untagged: right:latest\nDeleted: {right}\nDeleted: {below}\n");
    t.coracle(["rmi", "right"]).stdout(said.as_str()).ok();
    assert_eq!(t.says(["images", "-a", "--format", "{{.Repository}}"]), "busybox");
}

#[test]
fn an_image_in_use_is_not_removed() {
    let t = test!(busybox);
    t.coracle(["run", "-d", "--name", "c", "busybox", "sleep", "1000"]).ok();
    t.coracle(["rmi", "busybox"]).code(1).stderr_has("is used by the running container").ok();
    t.coracle(["rmi", "-f", "busybox"]).stdout("Untagged: busybox:latest\n").ok();
    t.coracle(["exec", "c", "true"]).ok();
    let id = t.says(["images", "-q"]);
    t.coracle(["rmi", "-f", &id]).code(1).stderr_has("stop and remove the container first").ok();
    t.coracle(["restart", "-t", "0", "c"]).ok();
    t.coracle(["exec", "c", "true"]).ok();
}

#[test]
fn a_saved_image_is_loaded_again_bit_for_bit() {
    let t = test!(busybox);
    let saved = t.coracle(["save", "busybox"]).ok().stdout;
    let id = t.says(["inspect", "busybox"]);
    t.coracle(["rmi", "busybox"]).ok();
    t.coracle(["load"]).stdin(saved.clone()).stdout_has("busybox:latest").ok();
    assert_eq!(t.says(["inspect", "busybox"]), id);
    assert_eq!(t.coracle(["save", "busybox"]).ok().stdout, saved);
    t.coracle(["run", "--rm", "busybox", "echo", "hi"]).stdout("hi\n").ok();
}

#[test]
fn the_layer_in_a_saved_image_is_the_tar_that_was_imported() {
    let t = test!();
    let tar = crate::common::image::busybox();
    t.coracle(["import", "-", "busybox"]).stdin(tar.clone()).ok();
    let saved = t.coracle(["save", "busybox"]).ok().stdout;
    let same = members(&saved).contains(&sha256(&tar));
    assert!(same, "no entry of the saved tar equals the imported one");
}

#[test]
fn whiteouts_of_an_upper_layer_hide_and_never_show() {
    let t = test!(busybox);
    // A second layer over busybox, as `docker save` would write it.
    let mut layer = Root::new();
    layer.dir("etc", 0o755);
    layer.file("etc/.wh.passwd", 0o644, b"");
    layer.dir("home", 0o755);
    layer.file("home/.wh..wh..opq", 0o644, b"");
    layer.file("home/new", 0o644, b"new\n");
    t.coracle(["load"])
        .stdin(two_layers(&crate::common::image::busybox(), &layer.tar()))
        .any_stderr()
        .ok();
    let script = "test ! -e /etc/passwd && test -e /etc/group && ls -A /home && ls -A /etc";
    t.coracle(["run", "--rm", "two", "sh", "-c", script])
        .stdout_has("new\n")
        .stdout_has("group\n")
        .ok();
}

#[test]
fn an_oci_layout_is_loaded_and_its_layers_come_out_bit_for_bit() {
    let t = test!();
    let work = t.dir("oci");
    let mut upper = Root::new();
    upper.file("hello", 0o644, b"from the upper layer\n");
    let layers = [crate::common::image::busybox(), upper.tar()];
    fs::write(work.join("docker.tar"), two_layers(&layers[0], &layers[1])).expect("write");
    let skopeo = Command::new("skopeo")
        .args(["--insecure-policy", "--tmpdir", ".", "copy", "docker-archive:docker.tar"])
        .arg("oci-archive:oci.tar:boat:1")
        .current_dir(&work)
        .output();
    let Ok(skopeo) = skopeo else {
        return crate::common::skipped("needs skopeo");
    };
    assert!(skopeo.status.success(), "{}", String::from_utf8_lossy(&skopeo.stderr));

    let layout = fs::read(work.join("oci.tar")).expect("read");
    t.coracle(["load"]).stdin(layout).stdout_has("boat:1").ok();
    t.coracle(["run", "--rm", "boat:1", "cat", "/hello"]).stdout("from the upper layer\n").ok();
    let saved = t.coracle(["save", "boat:1"]).ok().stdout;
    let inside = members(&saved);
    for layer in layers {
        assert!(inside.contains(&sha256(&layer)), "a layer is not as it was");
    }
}

/// The digests of all that a tar holds.
fn members(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("a tar");
    let digest = |entry: std::io::Result<tar::Entry<&[u8]>>| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry.expect("an entry"), &mut bytes).expect("read");
        sha256(&bytes)
    };
    entries.map(digest).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `docker save` tar of an image `two:latest` with those two layers.
fn two_layers(lower: &[u8], upper: &[u8]) -> Vec<u8> {
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids":
            [format!("sha256:{}", sha256(lower)), format!("sha256:{}", sha256(upper))]},
    })
    .to_string();
    let manifest = serde_json::json!([{
        "Config": format!("{}.json", sha256(config.as_bytes())), "RepoTags": ["two:latest"],
        "Layers": ["1/layer.tar", "2/layer.tar"],
    }])
    .to_string();
    let mut tar = Root::new();
    tar.file(&format!("{}.json", sha256(config.as_bytes())), 0o644, config.as_bytes());
    tar.dir("1", 0o755);
    tar.file("1/layer.tar", 0o644, lower);
    tar.dir("2", 0o755);
    tar.file("2/layer.tar", 0o644, upper);
    tar.file("manifest.json", 0o644, manifest.as_bytes());
    tar.tar()
}

#[test]
fn a_tar_that_reaches_outside_is_refused_and_writes_nothing() {
    let t = test!();
    let outside = t.dir("outside");
    let target = outside.join("victim");
    let target = target.to_str().expect("a plain path");
    let mut dots = raw_tar("../../../../../../../../../../../../victim", b'0', b"");
    dots.extend([0; 1024]);
    t.coracle(["import", "-", "bad"]).stdin(dots).code(1).stderr_has("..").ok();

    // A link out of the root, then a file through it.
    let mut through = raw_tar("way", b'2', outside.to_str().expect("a plain path").as_bytes());
    through.extend(raw_tar("way/victim", b'0', b""));
    through.extend([0; 1024]);
    t.coracle(["import", "-", "bad"]).stdin(through).any_stderr().code(1).ok();

    assert!(!std::path::Path::new(target).exists());
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 0);
    assert_eq!(t.says(["images", "-q"]), "");
}

/// One ustar header, which the tar crate would refuse to write.
fn raw_tar(name: &str, kind: u8, link: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(b"00000000000");
    block[136..147].copy_from_slice(b"00000000000");
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

#[test]
fn a_tar_that_breaks_off_leaves_nothing() {
    let t = test!();
    let tar = crate::common::image::busybox();
    t.coracle(["import", "-", "bad"]).stdin(&tar[..tar.len() / 2]).code(1).any_stderr().ok();
    t.coracle(["import", "-", "bad"]).stdin("this is no tar").code(1).any_stderr().ok();
    assert_eq!(t.says(["images", "-q"]), "");
    for place in ["layers", "blobs/sha256"] {
        let left = fs::read_dir(t.root().join("images").join(place)).into_iter().flatten().count();
        assert_eq!(left, 0, "{place} is not empty");
    }
}
