//! `--host`: requests for other hosts get 421, which protects against DNS rebinding.

use crate::support::{Server, Site, command, get, request, run};

/// A request for the file that every site has.
fn hello(host: &str) -> String {
    format!("GET /hello.txt HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn a_rebound_name_is_421() {
    let server = Server::with(&Site::new(), &["--host", "localhost", "--host=127.0.0.1"]);
    let port = server.port();
    let mut client = server.connect();
    for host in ["localhost", "LOCALHOST.", "127.0.0.1", "localhost:1"] {
        assert_eq!(client.ask(hello(host)).body, b"Hello, world!\n", "{host}");
    }
    for host in ["rebound.example", "localhost.rebound.example", "127.0.0.2"] {
        let reply = client.ask(hello(&format!("{host}:{port}")));
        assert_eq!(reply.status(), 421, "{host}");
        assert!(!reply.text().contains("Hello"));
        assert!(
            !reply.head.closes(),
            "the framing is certain, so the connection stays"
        );
    }
    let log = server.log_lines(7);
    assert!(
        log[4].contains("\"GET /hello.txt HTTP/1.1\" 421 "),
        "{log:?}"
    );
}

#[test]
fn every_version_and_kind_of_request_is_checked() {
    let server = Server::with(&Site::new(), &["--host", "good"]);
    for target in ["/hello.txt", "/", "/dir", "/missing", "/dir/?format=json"] {
        for fields in [&[][..], &["Range: bytes=0-0"], &["If-None-Match: *"]] {
            // `request` sends the Host `test`.
            for method in ["GET", "HEAD", "POST", "OPTIONS"] {
                let reply = server.ask(request(method, target, fields));
                assert_eq!(reply.status(), 421, "{method} {target}");
            }
        }
        let reply = server.ask(format!("GET {target} HTTP/1.0\r\n\r\n"));
        assert_eq!(reply.status(), 421, "{target}");
        assert!(reply.head.closes());
        let mut client = server.connect();
        let page = client.send(format!("GET {target}\r\n")).read_to_end();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("421") && !page.contains("Hello"), "{page}");
    }
    let absolute = "GET http://GOOD:1/hello.txt HTTP/1.1\r\nHost: evil\r\n\r\n";
    assert_eq!(server.ask(absolute).status(), 200);
    let absolute = "GET http://evil/hello.txt HTTP/1.1\r\nHost: good\r\n\r\n";
    assert_eq!(server.ask(absolute).status(), 421);
}

#[test]
fn the_next_request_starts_after_a_refused_upload() {
    let server = Server::with(&Site::new(), &["--host", "test"]);
    let mut client = server.connect();
    let upload = "PUT /x HTTP/1.1\r\nHost: evil\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.ask(upload).status(), 421);
    assert_eq!(client.ask(get("/hello.txt")).status(), 200);
}

#[test]
fn command_line_hosts_replace_those_of_the_config_file() {
    let site = Site::new();
    site.file("httpoll.conf", "host one\n--host two:8000\nhost = [::1]\n");
    let file = site.at("httpoll.conf");
    let options = ["-c", file.to_str().unwrap()];
    let server = Server::with(&site, &options);
    for (host, status) in [
        ("one", 200),
        ("two:8000", 200),
        ("two", 421),
        ("[::1]:5", 200),
        ("three", 421),
    ] {
        assert_eq!(server.ask(hello(host)).status(), status, "{host}");
    }
    let server = Server::with(&site, &[&options[..], &["--host", "three"]].concat());
    assert_eq!(server.ask(hello("three")).status(), 200);
    assert_eq!(server.ask(hello("one")).status(), 421);
}

#[test]
fn every_host_is_served_without_the_option() {
    let server = Server::start(&Site::new());
    for host in ["rebound.example", "[::1]:80", "127.0.0.1"] {
        assert_eq!(server.ask(hello(host)).status(), 200, "{host}");
    }
    assert_eq!(server.ask("GET /hello.txt HTTP/1.0\r\n\r\n").status(), 200);
}

#[test]
fn a_malformed_host_is_bad_usage() {
    for nonsense in [
        "",
        " ",
        "http://a/",
        "a/b",
        "a b",
        "*",
        "a:",
        "a:x",
        "a:99999",
        "::1",
        "[::1",
        "[::1]:",
    ] {
        let output = run(&["--host", nonsense]);
        assert_eq!(output.status.code(), Some(2), "{nonsense:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("httpoll: --host wants a host name"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1);
    }
    assert_eq!(run(&["--host"]).status.code(), Some(2));
    let site = Site::new();
    site.file("httpoll.conf", "host a b\n");
    let file = site.at("httpoll.conf");
    let output = command(&["-c", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
