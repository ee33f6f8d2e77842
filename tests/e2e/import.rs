//! `import`: from a URL, and in every compression.

use crate::common::image;
use crate::common::server::Server;
use crate::test;
use std::fs;
use std::process::Command;

#[test]
fn an_archive_is_imported_from_a_url() {
    let t = test!();
    let server = Server::start(&t, &image::busybox());
    for (path, name) in [
        ("plain.tar?a=b", "plain"),
        ("chunked", "chunked"),
        ("closed", "closed"),
        ("hops/9", "hops"),
    ] {
        t.coracle(["import", &server.url(path), name]).stdout_has("sha256:").ok();
        t.coracle(["run", "--rm", name, "echo", "hi"]).stdout("hi\n").ok();
    }
    // The same tar, the same layer.
    assert_eq!(fs::read_dir(t.root().join("images/layers")).expect("layers").count(), 1);
}

#[test]
fn what_a_server_does_wrong_is_told_and_nothing_stays() {
    let t = test!();
    let server = Server::start(&t, &image::busybox());
    let length = image::busybox().len();
    let sent = format!("the server sent 5000 of {length} bytes");
    for (path, words) in [
        ("short", sent.as_str()),
        ("broken-chunks", "the server broke off after 5000 bytes"),
        ("missing", "the server answers 404 Not Found"),
        ("hops/10", "more than 10 redirects"),
        ("to-https", "https is not built in yet"),
        ("to-file", "no http URL"),
        ("nowhere", "the server answers 301 without a place"),
    ] {
        t.coracle(["import", &server.url(path), "bad"]).code(1).stderr_has(words).ok();
    }
    let closed = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("take a port");
        taken.local_addr().expect("an address").to_string()
    };
    t.coracle(["import", &format!("http://{closed}/x")])
        .code(1)
        .stderr_has(&format!("connect to {closed}: connection refused"))
        .ok();
    t.coracle(["import", "https://example.com/x.tgz"])
        .code(125)
        .stderr_has("https is not built in yet")
        .stderr_has("curl -L URL | coracle import - NAME")
        .ok();
    assert_eq!(t.says(["images", "-q"]), "");
}

#[test]
fn every_compression_is_imported_and_loaded() {
    let t = test!();
    fs::write(t.path("t.tar"), image::busybox()).expect("write a file");
    let compressed = |tool: &str, file: &str| {
        let output = Command::new(tool).args(["-c", "-q"]).arg(t.path(file)).output();
        let output = output.unwrap_or_else(|e| panic!("{tool}: {e}"));
        assert!(output.status.success());
        output.stdout
    };
    for tool in ["gzip", "bzip2", "xz", "zstd"] {
        t.coracle(["import", "-", tool]).stdin(compressed(tool, "t.tar")).ok();
        t.coracle(["run", "--rm", tool, "echo", "hi"]).stdout("hi\n").ok();
    }
    assert_eq!(fs::read_dir(t.root().join("images/layers")).expect("layers").count(), 1);
    fs::write(t.path("saved.tar"), t.coracle(["save", "xz"]).ok().stdout).expect("write a file");
    for tool in ["gzip", "bzip2", "xz", "zstd"] {
        let whole = compressed(tool, "saved.tar");
        t.coracle(["load"]).stdin(&whole[..]).stdout_has("xz:latest").ok();
        let cut = format!("its {tool} stream is cut off at byte {}", whole.len() / 2);
        t.coracle(["load"]).stdin(&whole[..whole.len() / 2]).code(1).stderr_has(&cut).ok();
    }
}
