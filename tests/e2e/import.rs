//! `import`: from a URL, and in every compression.

use crate::common::{Test, image};
use crate::test;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A server on the test's own loopback, killed when dropped.
struct Server {
    child: Child,
    port: String,
}

/// Answers each path in a way of its own; says its port once it listens.
const SERVER: &str = r#"
import http.server, sys
tar = open(sys.argv[1], 'rb').read()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def answer(self, code, **fields):
        self.send_response(code)
        for name, value in fields.items(): self.send_header(name.replace('_', '-'), value)
        self.end_headers()
    def do_GET(self):
        path = self.path
        self.close_connection = True
        if path == '/plain.tar?a=b':
            self.answer(200, Content_Length=len(tar))
            self.wfile.write(tar)
        elif path == '/chunked':
            self.answer(200, Transfer_Encoding='chunked')
            for at in range(0, len(tar), 7777):
                part = tar[at:at + 7777]
                self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
            self.wfile.write(b'0\r\n\r\n')
        elif path == '/broken-chunks':
            self.answer(200, Transfer_Encoding='chunked')
            self.wfile.write(b'%x\r\n%s' % (len(tar), tar[:5000]))
        elif path == '/closed':
            self.answer(200)
            self.wfile.write(tar)
        elif path == '/short':
            self.answer(200, Content_Length=len(tar))
            self.wfile.write(tar[:5000])
        elif path.startswith('/hops/'):
            hops = int(path[6:])
            self.answer(302, Location=f'{hops - 1}' if hops else '/plain.tar?a=b', Content_Length=0)
        elif path == '/to-https': self.answer(301, Location='https://localhost/x', Content_Length=0)
        elif path == '/to-file': self.answer(301, Location='file:///etc/passwd', Content_Length=0)
        elif path == '/nowhere': self.answer(301, Content_Length=0)
        else: self.answer(404, Content_Length=0)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

impl Server {
    fn start(t: &Test) -> Server {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("run ip").success());
        fs::write(t.path("served.tar"), image::busybox()).expect("write a file");
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .arg(t.path("served.tar"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("start python3");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut port).expect("read the port");
        Server { child, port: port.trim().to_string() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_archive_is_imported_from_a_url() {
    let t = test!();
    let server = Server::start(&t);
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
    let server = Server::start(&t);
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
