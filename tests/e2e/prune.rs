//! What nobody needs goes: prune, gc, and what `system df` says of it.

use crate::common::Test;
use crate::common::image::Root;
use crate::test;
use std::fs;

/// An image of one file.
fn import(t: &Test, name: &str, size: usize) -> String {
    let mut root = Root::new();
    root.file(&format!("of-{name}"), 0o644, &vec![b'x'; size]);
    let name = if name.starts_with("none") { vec![] } else { vec![name] };
    let words = ["import", "-"].into_iter().chain(name);
    t.coracle(words).stdin(root.tar()).ok().stdout_text().trim_end().to_string()
}

fn entries(t: &Test, dir: &str) -> usize {
    fs::read_dir(t.root().join("images").join(dir)).expect("read the store").count()
}

#[test]
fn rmi_leaves_the_files_to_the_next_gc() {
    let t = test!();
    import(&t, "big", 1_000_000);
    t.coracle(["rmi", "big"]).ok();
    assert_eq!((entries(&t, "layers"), entries(&t, "blobs/sha256")), (0, 0));
    assert_eq!(entries(&t, "trash"), 2, "the layer and the config wait there");
    t.coracle(["system", "df"])
        .stdout_has("Trash           0         0         1MB       1MB (100%)")
        .ok();
    t.coracle(["gc"]).stdout_has("Total reclaimed space: 1MB").ok();
    assert_eq!(entries(&t, "trash"), 0);
    t.coracle(["gc"]).stdout("Total reclaimed space: 0B\n").ok();
}

#[test]
fn sizes_are_told_of_each_image_container_and_volume() {
    let t = test!(busybox);
    t.script("c", &["-v", "data:/data"], "head -c 3000 /dev/zero >/f; echo hi >/data/f");
    t.coracle(["wait", "c"]).ok();
    let size: u64 = t.says(["inspect", "--size", "-f", "{{.SizeRw}}", "c"]).parse().unwrap();
    let whole: u64 = t.says(["inspect", "-s", "-f", "{{.SizeRootFs}}", "c"]).parse().unwrap();
    assert_eq!(size, 3000);
    t.coracle(["commit", "c", "more"]).ok();
    let image: u64 = t.says(["inspect", "-f", "{{.Size}}", "more"]).parse().unwrap();
    assert_eq!(whole, image);
    let shown = t.says(["ps", "-as", "--format", "{{.Size}}"]);
    assert!(shown.starts_with("3kB (virtual "), "{shown}");
    let details = t.says(["system", "df", "-v"]);
    let row = |start: &str| {
        let row = details.lines().find(|line| line.starts_with(start));
        row.unwrap_or_else(|| panic!("{start}: {details}")).split("  ").filter(|w| !w.is_empty())
    };
    let ends = |start: &str, count: usize| {
        let cells: Vec<_> = row(start).map(str::trim).collect();
        cells[cells.len() - count..].join("|")
    };
    assert!(ends("more ", 2).starts_with("3kB|0"), "{details}");
    assert!(ends("busybox ", 2).starts_with("0B|1"), "{details}");
    assert_eq!(ends("data ", 2), "1|3B");
    // There they take the room of the image's files too.
    let total = t.says(["system", "df", "--format", "{{.Type}} {{.Size}}"]);
    assert_eq!(total.contains("Containers 3kB"), !t.copies(), "{total}");
}

#[test]
fn image_prune_takes_what_has_no_name_and_with_all_what_no_container_uses() {
    let t = test!(busybox);
    let unnamed = import(&t, "none", 2_000);
    import(&t, "app:1", 3_000);
    t.coracle(["create", "--name", "c", "busybox", "true"]).ok();

    t.coracle(["image", "prune"]).stdin("n\n").stdout_has("Are you sure").ok();
    assert_eq!(t.says(["images", "-q"]).lines().count(), 3);
    let pruned = format!("Deleted Images:\nDeleted: {unnamed}\n\nTotal reclaimed space: 2kB\n");
    t.coracle(["image", "prune", "-f"]).stdout(pruned.as_str()).ok();
    t.coracle(["image", "prune", "-f"]).stdout("Total reclaimed space: 0B\n").ok();

    t.coracle(["image", "prune", "-a", "-f", "--filter", "until=1h"]).ok();
    assert_eq!(t.says(["images", "-q"]).lines().count(), 2, "it is younger");
    t.coracle(["image", "prune", "-a", "-f"]).stdout_has("Untagged: app:1\nDeleted: sha256:").ok();
    assert_eq!(t.says(["images", "--format", "{{.Repository}}"]), "busybox");
    assert_eq!(entries(&t, "trash"), 0, "a prune empties the trash");
    t.coracle(["image", "prune", "--filter", "nonsense"])
        .code(125)
        .stderr_has("--filter: \"nonsense\" is not key=value")
        .ok();
}

#[test]
fn container_and_system_prune_leave_what_runs() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "done", "busybox", "sh", "-c", "echo 0123456789 >/f"]).ok();
    t.coracle(["run", "-d", "--name", "on", "busybox", "sleep", "1000"]).ok();
    let id = t.inspect("done")["Id"].as_str().expect("an id").to_string();
    // With the image's files where they were copied.
    let [one, all] = if t.copies() { ["", ""] } else { ["11B\n", "12"] };
    let pruned = format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: {one}");
    t.coracle(["container", "prune", "-f"]).stdout_has(&pruned).ok();
    assert_eq!(t.says(["ps", "-a", "--format", "{{.Names}}"]), "on");

    let keeps = "tier=front";
    t.coracle(["create", "--label", keeps, "--name", "kept", "busybox", "true"]).ok();
    t.coracle(["create", "--name", "gone", "busybox", "true"]).ok();
    import(&t, "none", 5_000);
    t.coracle(["rmi", &import(&t, "app", 7_000)]).ok();
    t.coracle(["system", "prune"]).stdin("").stdout_has("all stopped containers").ok();
    t.coracle(["system", "prune", "-f", "--filter", "label!=tier"])
        .stdout_has(&format!("Total reclaimed space: {all}"))
        .ok();
    let names = t.says(["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(names.lines().collect::<Vec<_>>(), ["kept", "on"]);

    t.coracle(["create", "--name", "v", "-v", "/data", "-v", "mine:/m", "busybox", "true"]).ok();
    let df = ["system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}"];
    assert_eq!(t.says(df).lines().nth(2), Some("Local Volumes|2|2"));
    t.coracle(["rm", "v"]).ok();
    assert_eq!(t.says(df).lines().nth(2), Some("Local Volumes|2|0"));
    let prune = ["system", "prune", "-f", "--volumes", "--filter", "label!=tier"];
    t.coracle(prune).stdout_has("Deleted Volumes:\n").ok();
    assert_eq!(t.says(["volume", "ls", "-q"]), "mine");
    assert_eq!(t.says(["images", "--format", "{{.Repository}}"]), "busybox");
}

#[test]
fn df_counts_a_shared_layer_once() {
    let t = test!();
    import(&t, "one", 1_000);
    t.coracle(["tag", "one", "two"]).ok();
    // The same layer under another image.
    let mut root = Root::new();
    root.file("of-one", 0o644, &[b'x'; 1_000]);
    t.coracle(["import", "-m", "again", "-", "three"]).stdin(root.tar()).ok();
    assert_eq!(entries(&t, "layers"), 1);
    let df =
        t.says(["system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}"]);
    assert_eq!(df.lines().next(), Some("Images|2|0|1kB"));
}
