//! `httpoll` answers ordinary requests as `python3 -m http.server` does.

use std::io::Read;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::{Server, Site, resolve, skip};

struct Python {
    child: Child,
    address: SocketAddr,
}

impl Python {
    /// Starts Python's server; `None` where there is no Python.
    fn start(site: &Site) -> Option<Self> {
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]);
        command
            .current_dir(site.root())
            .stderr(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut banner = String::new();
        let stdout = BufReader::new(child.stdout.take()?);
        let _ = stdout.take(1000).read_line(&mut banner);
        let port = banner
            .split_once(" port ")
            .and_then(|(_, rest)| rest.split(' ').next());
        let Some(port) = port.and_then(|port| port.parse().ok()) else {
            let _ = child.kill();
            return None;
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Some(Self { child, address })
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What both servers must agree on.
#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    fields: Vec<(&'static str, Option<String>)>,
    body: Option<Vec<u8>>,
}

/// Sends an HTTP/1.0 request, because Python's server speaks HTTP/1.0.
fn ask(address: SocketAddr, method: &str, target: &str, fields: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(crate::support::TIMEOUT))
        .unwrap();
    write!(stream, "{method} {target} HTTP/1.0\r\n{fields}\r\n").unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let body = reply.split_off(end + 4);
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    let status = head.split(' ').nth(1).unwrap().to_owned();
    let is_file = status == "200" && field("Last-Modified").is_some();
    let main_type = field("Content-Type").map(|value| value.split(';').next().unwrap().to_owned());
    // Python's Location begins with a slash, and with only one where the target begins with several.
    let location = field("Location").map(|location| resolve(target, &location).replace("//", "/"));
    let mut fields = vec![("Location", location), ("Content-Type", main_type)];
    if is_file {
        fields.push(("Content-Length", field("Content-Length")));
        fields.push(("Last-Modified", field("Last-Modified")));
    }
    if status == "301" {
        // Python sends no Content-Type without a body.
        fields.truncate(1);
    }
    Answer {
        body: is_file.then_some(body),
        fields,
        status,
    }
}

#[test]
fn paths_are_answered_like_http_server() {
    let site = Site::new();
    site.file("style.css", "a{}")
        .file("data.json", "{}")
        .file("picture.png", "png")
        .file("a b/c d.txt", "blanks");
    site.file("htm/index.htm", "htm")
        .file("\u{e9}.txt", "accent")
        // Python sends text without a suffix as application/octet-stream.
        .file("%41", "not text: \0")
        .file("README", "not text: \0");
    let Some(python) = Python::start(&site) else {
        return skip("there is no python3");
    };
    let server = Server::start(&site);
    for target in [
        "/",
        "/hello.txt",
        "/page.html",
        "/empty.txt",
        "/style.css",
        "/data.json",
        "/picture.png",
        "/README",
        "/dir",
        "/dir/",
        "/dir/file.txt",
        "/dir?x=1",
        "/docs",
        "/docs/",
        "/docs/index.html",
        "/htm/",
        "/hello.txt?query",
        "/hello.txt#fragment",
        "/hello.txt/",
        "/missing",
        "/missing/",
        "/dir/missing",
        "/a%20b/c%20d.txt",
        "/a%20b",
        "/%C3%A9.txt",
        "/%2541",
        "/%41",
        "/../hello.txt",
        "/./dir/../hello.txt",
        "//hello.txt",
        "//dir",
        "/dir//file.txt",
        "/dir/../../../hello.txt",
        "/%2e%2e/hello.txt",
        "/dir%2Ffile.txt",
    ] {
        for method in ["GET", "HEAD"] {
            let theirs = ask(python.address, method, target, "");
            let ours = ask(server.address(), method, target, "");
            assert_eq!(ours, theirs, "{method} {target}");
        }
    }
}

#[test]
fn if_modified_since_is_answered_like_http_server() {
    let site = Site::new();
    site.changed_at("hello.txt", 1_577_836_800_000_000_000);
    let Some(python) = Python::start(&site) else {
        return skip("there is no python3");
    };
    let server = Server::start(&site);
    for since in [
        "Wed, 01 Jan 2020 00:00:00 GMT",
        "Thu, 02 Jan 2020 00:00:00 GMT",
        "Tue, 31 Dec 2019 00:00:00 GMT",
        "nonsense",
    ] {
        let fields = format!("If-Modified-Since: {since}\r\n");
        let theirs = ask(python.address, "GET", "/hello.txt", &fields);
        let ours = ask(server.address(), "GET", "/hello.txt", &fields);
        assert_eq!(ours.status, theirs.status, "{since}");
        assert_eq!(ours.body, theirs.body, "{since}");
    }
}
