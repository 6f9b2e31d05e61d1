//! The commands in the README that protect a server from pages of other sites, and that isolate its own pages.

use crate::support::{Server, Site, get, request};

/// The options of that command in the README which has `option`.
fn readme_options(option: &str) -> Vec<String> {
    let readme = include_str!("../../README.md").replace("\\\n", " ");
    let command = readme
        .lines()
        .find(|line| line.starts_with("$ httpoll ") && line.contains(option));
    let mut options = Vec::new();
    // Every second piece was quoted.
    for (number, piece) in command.unwrap().split('\'').enumerate() {
        if number % 2 == 1 {
            options.push(piece.to_owned());
        } else {
            options.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    options.split_off(2)
}

fn start(site: &Site, options: &[String]) -> Server {
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    Server::with(site, &options)
}

#[test]
fn isolation_fields_are_in_every_reply() {
    let site = Site::new();
    site.sparse("large", 100_000);
    let options = readme_options("Cross-Origin-Opener-Policy");
    assert_eq!(options.len(), 6, "{options:?}");
    let server = start(&site, &options);
    let with = |target, field| request("GET", target, &[field]);
    let requests = [
        (get("/hello.txt"), 200),
        (get("/large"), 200),
        (request("HEAD", "/hello.txt", &[]), 200),
        (with("/hello.txt", "Range: bytes=0-0"), 206),
        (with("/hello.txt", "Range: bytes=0-0, 2-3"), 206),
        (with("/large", "Range: bytes=0-0, 2-3"), 206),
        (with("/hello.txt", "If-None-Match: *"), 304),
        (with("/hello.txt", "If-Match: \"other\""), 412),
        (with("/hello.txt", "Range: bytes=999999-"), 416),
        (get("/"), 200),
        (get("/?format=json"), 200),
        (get("/dir"), 301),
        (get("/missing"), 404),
        (with("/missing", "Accept: text/plain"), 404),
        (request("POST", "/hello.txt", &[]), 405),
        (request("OPTIONS", "*", &[]), 204),
        (request("SPAM", "/", &[]), 501),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (get("/%00"), 400),
    ];
    // Twice, because the server keeps some replies.
    for (request, status) in [&requests[..], &requests].concat() {
        let reply = server.ask(&request);
        assert_eq!(reply.status(), status, "{request}");
        for option in options.chunks(2) {
            let (name, value) = option[1].split_once(": ").unwrap();
            assert_eq!(reply.field(name), Some(value), "{request}");
        }
    }
}

#[test]
fn the_readme_options_refuse_other_hosts() {
    let site = Site::new();
    let server = start(&site, &readme_options("--host"));
    let hello = |host| {
        format!(
            "GET /hello.txt HTTP/1.1\r\nHost: {host}:{}\r\n\r\n",
            server.port()
        )
    };
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(server.ask(hello(host)).status(), 200);
    }
    assert_eq!(server.ask(hello("rebound.example")).status(), 421);
}

#[test]
fn a_page_field_given_by_the_user_is_sent_once() {
    let server = Server::with(&Site::new(), &["-H", "X-Content-Type-Options: nosniff"]);
    for target in ["/hello.txt", "/", "/missing", "/dir"] {
        let reply = server.get(target);
        assert_eq!(reply.field("X-Content-Type-Options"), Some("nosniff"));
    }
    let server = Server::start(&Site::new());
    let reply = server.get("/hello.txt");
    for name in ["X-Content-Type-Options", "Cross-Origin-Resource-Policy"] {
        assert_eq!(reply.field(name), None, "only the user sets this field");
    }
}
