//! The example `cgi`: what a script is told, what becomes of its output, and that its source stays hidden.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::child::Child;
use crate::client::{Client, Framing, Reply, get, post};
use crate::running::eventually;

const ENVIRONMENT: &str = "echo Content-Type: text/plain; echo; pwd; env | sort; echo; cat";

/// Starts the example on a site with these scripts for sh.
fn serve(scripts: &[(&str, &str)]) -> (TempDir, Child) {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir_all(site.path().join("cgi-bin/sub")).unwrap();
    fs::write(site.path().join("open"), "a file").unwrap();
    for (name, text) in scripts {
        script(&site.path().join("cgi-bin").join(name), text);
    }
    let server = Child::example("cgi", &[OsStr::new(site.path())]);
    (site, server)
}

/// Stores a script. It is copied, because a file that this process has open for writing cannot be run: another test may start a
/// program meanwhile, which has the descriptor until it runs.
fn script(path: &Path, text: &str) {
    let source = path.with_extension("text");
    fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
    let copied = std::process::Command::new("install")
        .args([OsStr::new("-m755"), source.as_ref(), path.as_ref()])
        .status();
    assert!(copied.unwrap().success());
    fs::remove_file(source).unwrap();
}

fn head(client: &mut Client, path: &str) -> Reply {
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.send(request).reply_to("HEAD")
}

#[test]
fn a_script_gets_the_variables_of_the_request() {
    let (site, server) = serve(&[("env", ENVIRONMENT), ("sub/env", ENVIRONMENT)]);
    let root = fs::canonicalize(site.path()).unwrap();
    let root = root.to_str().unwrap();
    let port = server.address.port();
    let mut client = server.client();
    let request = "GET /cgi-bin/env/a%20b/c?q=1&%20+ HTTP/1.1\r\nHost: test\r\nX-A: 1\r\nx-a: 2\r\n\
        X_A: 3\r\nProxy: http://evil/\r\nAuthorization: Basic YTpi\r\nProxy-Authorization: Basic YTpi\r\n\r\n";
    let reply = client.send(request).reply();
    assert_eq!(
        (reply.status, reply.field("content-type")),
        (200, Some("text/plain"))
    );
    let text = reply.text();
    for line in [
        format!("{root}/cgi-bin"),
        "GATEWAY_INTERFACE=CGI/1.1".into(),
        "HTTP_HOST=test".into(),
        "HTTP_X_A=1, 2".into(),
        "PATH_INFO=/a b/c".into(),
        format!("PATH_TRANSLATED={root}/a b/c"),
        "QUERY_STRING=q=1&%20+".into(),
        "REMOTE_ADDR=127.0.0.1".into(),
        "REQUEST_METHOD=GET".into(),
        "SCRIPT_NAME=/cgi-bin/env".into(),
        "SERVER_NAME=127.0.0.1".into(),
        format!("SERVER_PORT={port}"),
        "SERVER_PROTOCOL=HTTP/1.1".into(),
        "SERVER_SOFTWARE=httpoll/0.1.0".into(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    for absent in ["PROXY", "AUTH", "YTpi", "CONTENT_", "CARGO"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    // A script in a folder runs there, and without a path or a query.
    let reply = client.get("/cgi-bin/sub/env");
    let text = reply.text();
    assert!(text.starts_with(&format!("{root}/cgi-bin/sub\n")), "{text}");
    assert!(
        text.contains("\nQUERY_STRING=\n") && text.contains("\nSCRIPT_NAME=/cgi-bin/sub/env\n")
    );
    assert!(!text.contains("PATH_INFO") && !text.contains("PATH_TRANSLATED"));
}

#[test]
fn a_script_reads_the_body_of_the_request() {
    let (_site, server) = serve(&[("env", ENVIRONMENT), ("cat", "echo Status: 200; echo; cat")]);
    let mut client = server.client();
    let reply = client
        .send(
            "POST /cgi-bin/env HTTP/1.1\r\nHost: test\r\nContent-Type: text/x-tea\r\n\
            Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .reply();
    let text = reply.text();
    assert!(text.ends_with("\n\nhello"), "{text}");
    assert!(text.contains("\nCONTENT_LENGTH=5\n") && text.contains("\nCONTENT_TYPE=text/x-tea\n"));
    assert!(text.contains("\nREQUEST_METHOD=POST\n") && !text.contains("TRANSFER_ENCODING"));
    let body: Vec<u8> = (0..1_000_000_u32).map(|index| (index / 3) as u8).collect();
    assert!(client.send(post("/cgi-bin/cat", &body)).reply().body == body);
    assert_eq!(client.send(post("/cgi-bin/cat", "")).reply().text(), "");
}

#[test]
fn the_head_of_the_output_becomes_that_of_the_reply() {
    let (_site, server) = serve(&[
        (
            "status",
            "echo 'Status: 404 No Tea'; echo 'X-Tea: none'; echo 'Content-Type: text/x-tea'; echo; echo no tea",
        ),
        ("location", "echo Location: /open; echo"),
        ("created", "echo Status: 201; echo Location: /tea; echo"),
        (
            "lines",
            "printf 'content-type: text/a\\r\\nSet-Cookie: a=1\\r\\nSet-Cookie: b=2\\r\\n\\r\\nlines\\n'",
        ),
        (
            "framed",
            "printf 'Content-Type: a/b\\nContent-Length: 999\\nTransfer-Encoding: x\\nConnection: close\\nDate: x\\n\\nbody'",
        ),
        ("nothing", "echo Status: 204; echo"),
    ]);
    let mut client = server.client();
    let reply = client.get("/cgi-bin/status");
    assert_eq!((reply.status, reply.text()), (404, "no tea\n"));
    assert_eq!(
        (reply.field("x-tea"), reply.field("content-type")),
        (Some("none"), Some("text/x-tea"))
    );
    assert_eq!(reply.field("status"), None);
    let reply = client.get("/cgi-bin/location");
    assert_eq!(
        (reply.status, reply.field("location")),
        (302, Some("/open"))
    );
    let reply = client.get("/cgi-bin/created");
    assert_eq!((reply.status, reply.field("location")), (201, Some("/tea")));
    let reply = client.get("/cgi-bin/lines");
    assert_eq!((reply.status, reply.text()), (200, "lines\n"));
    assert_eq!(reply.head.matches("cookie").count(), 2, "{}", reply.head);
    let reply = client.get("/cgi-bin/framed");
    assert_eq!((reply.status, reply.text()), (200, "body"));
    assert!(!reply.closes());
    let reply = client.get("/cgi-bin/nothing");
    assert_eq!((reply.status, reply.framing), (204, Framing::Bodiless));
}

#[test]
fn the_output_is_sent_as_it_comes_and_others_are_served_meanwhile() {
    let (site, server) = serve(&[
        (
            "large",
            "echo Content-Type: text/plain; echo; head -c 20000000 /dev/zero",
        ),
        (
            "slow",
            "echo Content-Type: text/plain; echo; echo first; read line <../fifo; echo $line",
        ),
        (
            "mute",
            "read line <../fifo; echo Content-Type: text/plain; echo; echo $line",
        ),
        (
            "endless",
            "echo Content-Type: text/plain; echo; echo $$ >../pid; exec cat /dev/zero",
        ),
    ]);
    let fifo = site.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let mut client = server.client();
    let reply = client.get("/cgi-bin/large");
    assert!(reply.body.len() == 20_000_000 && reply.body.iter().all(|byte| *byte == 0));
    assert_eq!(reply.framing, Framing::Chunked);
    for name in ["slow", "mute"] {
        let mut waiting = server.client();
        waiting.send(get(&format!("/cgi-bin/{name}")));
        if name == "slow" {
            waiting.read_until("first\n");
        }
        assert_eq!(client.get("/open").text(), "a file");
        fs::write(&fifo, "second\n").unwrap();
        waiting.read_until("second\n");
        waiting.read_until("0\r\n\r\n");
    }
    // A script whose client leaves ends, and leaves no zombie.
    let mut leaving = server.client();
    leaving.send(get("/cgi-bin/endless")).read_until("\0");
    let pid = fs::read_to_string(site.path().join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    drop(leaving);
    eventually(|| !process.exists());
}

#[test]
fn a_broken_script_is_a_502_and_a_missing_one_a_404() {
    let (site, server) = serve(&[
        ("silent", ""),
        ("half", "echo Content-Type: text/plain"),
        ("page", "echo '<p style=\"color:red\">tea'; echo; echo tea"),
        ("blank", "echo; echo tea"),
        ("text", "echo tea"),
        ("status", "echo Status: tea; echo"),
        ("control", "printf 'X-A: a\\vb\\n\\n'"),
        ("binary", "printf '\\377\\n\\n'"),
        ("endless", "exec cat /dev/zero"),
        ("failing", "exit 1"),
        ("locked", "echo Content-Type: text/plain; echo"),
    ]);
    let scripts = site.path().join("cgi-bin");
    fs::set_permissions(scripts.join("locked"), Permissions::from_mode(0o644)).unwrap();
    fs::write(scripts.join("text.txt"), "no script").unwrap();
    let mut client = server.client();
    for name in [
        "silent", "half", "page", "blank", "text", "status", "control", "binary", "endless",
        "failing", "locked", "text.txt",
    ] {
        let reply = client.get(&format!("/cgi-bin/{name}"));
        assert_eq!(reply.status, 502, "{name}");
        assert!(!reply.text().contains("tea"), "{name}: {}", reply.text());
        assert_eq!(head(&mut client, &format!("/cgi-bin/{name}")).status, 502);
        server.errors_with(&format!("GET /cgi-bin/{name} HTTP/1.1: "), 1);
    }
    for path in [
        "/cgi-bin/none",
        "/cgi-bin",
        "/cgi-bin/",
        "/cgi-bin/sub",
        "/cgi-bin/none/silent",
        "/none",
    ] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    assert_eq!(client.send(post("/cgi-bin/none", "x")).reply().status, 404);
}

#[test]
fn a_script_runs_however_its_path_is_spelled_and_its_source_is_never_sent() {
    let (_site, server) = serve(&[(
        "script",
        "echo Content-Type: text/plain; echo; expr 20 + 22",
    )]);
    let mut client = server.client();
    assert_eq!(client.get("/open").text(), "a file");
    for path in [
        "/cgi-bin/script",
        "//cgi-bin/script",
        "/%63gi-bin/script",
        "/./cgi-bin/script",
        "/cgi-bin/./script",
        "/cgi-bin//script",
        "/cgi-bin%2fscript",
        "/cgi-bin/%73cript",
        "/a/../cgi-bin/script",
        "/a/%2e%2e/cgi-bin/script",
        "/cgi-bin/sub/../script",
        "/cgi-bin/script/",
        "/cgi-bin/script/.",
        "/cgi-bin/script?query",
        "http://test/cgi-bin/script",
    ] {
        let reply = client.get(path);
        assert_eq!((reply.status, reply.text()), (200, "42\n"), "{path}");
        assert_eq!(head(&mut client, path).status, 200, "{path}");
    }
    for path in [
        "/CGI-BIN/script",
        "/cgi-bin/script%00",
        "/cgi-bin/.script",
        "/cgi-bin/script/.hidden",
    ] {
        let reply = client.get(path);
        assert!(matches!(reply.status, 400 | 404), "{path}");
        assert!(!reply.text().contains("expr"), "{path}");
    }
}
