//! A web server on the test's own loopback, which serves one file in good ways and in bad ones.

use super::Test;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Killed when dropped.
pub struct Server {
    child: Child,
    port: String,
}

/// Answers each path in a way of its own; says its port once it listens.
const SERVER: &str = r#"
import http.server, sys
file = open(sys.argv[1], 'rb').read()
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
        if path in ('/plain.tar?a=b', '/dir/a%20file'):
            self.answer(200, Content_Length=len(file))
            self.wfile.write(file)
        elif path == '/chunked':
            self.answer(200, Transfer_Encoding='chunked')
            for at in range(0, len(file), 7777):
                part = file[at:at + 7777]
                self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
            self.wfile.write(b'0\r\n\r\n')
        elif path == '/broken-chunks':
            self.answer(200, Transfer_Encoding='chunked')
            self.wfile.write(b'%x\r\n%s' % (len(file), file[:5000]))
        elif path == '/closed':
            self.answer(200)
            self.wfile.write(file)
        elif path == '/short':
            self.answer(200, Content_Length=len(file))
            self.wfile.write(file[:5000])
        elif path == '/endless':
            self.answer(200)
            while True: self.wfile.write(file)
        elif path.startswith('/hops/'):
            hops = int(path[6:])
            self.answer(302, Location=f'{hops - 1}' if hops else '/plain.tar?a=b', Content_Length=0)
        elif path == '/to-https': self.answer(301, Location='https://localhost/x', Content_Length=0)
        elif path == '/to-file': self.answer(301, Location='file:///etc/passwd', Content_Length=0)
        elif path == '/nowhere': self.answer(301, Content_Length=0)
        else: self.answer(404, Content_Length=0)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
# Clients may go away.
server.handle_error = lambda *args: None
print(server.server_port, flush=True)
server.serve_forever()
"#;

impl Server {
    pub fn start(t: &Test, file: &[u8]) -> Server {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("run ip").success());
        fs::write(t.path("served"), file).expect("write a file");
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .arg(t.path("served"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("start python3");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut port).expect("read the port");
        Server { child, port: port.trim().to_string() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
