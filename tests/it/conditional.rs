//! If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, in the order of RFC 9110 §13.2.2.

use std::thread;

use crate::support::{SETTLED, Server, Site, request};

const CHANGED: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const EARLIER: &str = "Tue, 31 Dec 2019 23:59:59 GMT";
const LATER: &str = "Wed, 01 Jan 2020 00:00:01 GMT";

/// A site whose `hello.txt` was changed a nanosecond after [`CHANGED`].
fn site() -> Site {
    let site = Site::new();
    site.changed_at("hello.txt", 1_577_836_800_000_000_001);
    site
}

/// Asserts the status of requests with these fields; `TAG` stands for the tag of the file. It asks twice: while the file
/// has just changed, so that the server reads it for each request, and when the server keeps the replies.
fn assert_statuses(cases: &[(&[&str], u16)]) {
    let site = site();
    let server = Server::start(&site);
    assert_statuses_now(&server, cases);
    thread::sleep(SETTLED);
    assert_statuses_now(&server, cases);
}

fn assert_statuses_now(server: &Server, cases: &[(&[&str], u16)]) {
    let mut client = server.connect();
    let tag = client.get("/hello.txt").field("ETag").unwrap().to_owned();
    for (fields, status) in cases {
        let fields: Vec<_> = fields
            .iter()
            .map(|field| field.replace("TAG", &tag))
            .collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        for method in ["GET", "HEAD"] {
            let reply = client.ask(request(method, "/hello.txt", &fields));
            assert_eq!(reply.status(), *status, "{method} {fields:?}");
        }
    }
}

#[test]
fn if_none_match_compares_weakly() {
    assert_statuses(&[
        (&["If-None-Match: TAG"], 304),
        (&["If-None-Match: W/TAG"], 304),
        (&["If-None-Match: *"], 304),
        (&["If-None-Match: \"a\", W/\"b\" ,\tTAG, \"c\""], 304),
        (&["If-None-Match: \"a\"", "If-None-Match: TAG"], 304),
        (&["If-None-Match: TAG", "If-None-Match: \"a\""], 304),
        (&["If-None-Match: TAGx"], 200),
        (&["If-None-Match: "], 200),
        (&["If-None-Match: \"other\""], 200),
        (&["If-None-Match: W/\"other\", \"a, b\""], 200),
        (&["If-None-Match: \"*\""], 200),
    ]);
}

#[test]
fn if_match_compares_strongly() {
    assert_statuses(&[
        (&["If-Match: TAG"], 200),
        (&["If-Match: *"], 200),
        (&["If-Match: \"a\", TAG"], 200),
        (&["If-Match: \"wrong\""], 412),
        (&["If-Match: W/TAG"], 412),
    ]);
}

#[test]
fn if_modified_since_counts_seconds() {
    let since = |date: &str| format!("If-Modified-Since: {date}");
    assert_statuses(&[
        (&[&since(CHANGED)], 304),
        (&[&since(LATER)], 304),
        (&[&since(EARLIER)], 200),
        (&[&since("Wednesday, 01-Jan-20 00:00:00 GMT")], 304),
        (&[&since("Wed Jan  1 00:00:00 2020")], 304),
        (&[&since("yesterday")], 200),
        (&[&since("")], 200),
    ]);
}

#[test]
fn if_unmodified_since_counts_seconds() {
    let since = |date: &str| format!("If-Unmodified-Since: {date}");
    assert_statuses(&[
        (&[&since(CHANGED)], 200),
        (&[&since(LATER)], 200),
        (&[&since(EARLIER)], 412),
        (&[&since("yesterday")], 200),
    ]);
}

#[test]
fn conditions_apply_in_the_order_of_the_rfc() {
    let modified = format!("If-Modified-Since: {CHANGED}");
    let changed = format!("If-Modified-Since: {EARLIER}");
    let unmodified = format!("If-Unmodified-Since: {EARLIER}");
    assert_statuses(&[
        (&["If-None-Match: \"other\"", &modified], 200),
        (&["If-None-Match: TAG", &changed], 304),
        (&[&changed, "If-None-Match: TAG"], 304),
        (&[&modified, "If-None-Match: \"other\""], 200),
        (&[&unmodified, "If-None-Match: TAG"], 412),
        (&["If-None-Match: TAG", &unmodified], 412),
        (&["If-None-Match: TAG", "If-Match: \"wrong\""], 412),
        (&["If-None-Match: TAG", "If-Range: TAG"], 304),
        (&["If-Match: TAG", &unmodified], 200),
        (&["If-Match: \"wrong\"", "If-None-Match: TAG"], 412),
        (&["If-Match: TAG", "If-None-Match: TAG"], 304),
        (&[&unmodified, &modified], 412),
        (&["If-None-Match: TAG", "Range: bytes=0-0"], 304),
        (&["If-Match: \"wrong\"", "Range: bytes=0-0"], 412),
    ]);
}

#[test]
fn not_modified_carries_the_validators() {
    let site = site();
    let server = Server::start(&site);
    let mut client = server.connect();
    let whole = client.get("/hello.txt");
    let reply = client.ask(request("GET", "/hello.txt", &["If-None-Match: *"]));
    assert_eq!(
        (reply.status(), reply.head.reason.as_str()),
        (304, "Not Modified")
    );
    for name in ["ETag", "Last-Modified", "Date"] {
        assert!(reply.field(name).is_some(), "{name}");
    }
    assert_eq!(reply.field("ETag"), whole.field("ETag"));
    assert_eq!(reply.field("Last-Modified"), whole.field("Last-Modified"));
    assert_ne!(reply.field("Content-Length"), Some("0"));
    client.assert_open();
}

#[test]
fn a_cached_304_equals_an_evaluated_304() {
    let site = site();
    let server = Server::with(&site, &["-H", "X-Mine: 1"]);
    thread::sleep(SETTLED);
    let mut client = server.connect();
    let tag = client.get("/hello.txt").field("ETag").unwrap().to_owned();
    for method in ["GET", "HEAD"] {
        for connection in ["Connection: keep-alive", "Connection: close"] {
            let ask = |tag: &str| {
                let none_match = format!("If-None-Match: {tag}");
                let reply = server.ask(request(method, "/hello.txt", &[&none_match, connection]));
                assert_eq!((reply.status(), reply.body.len()), (304, 0));
                let mut fields = reply.head.fields;
                fields.retain(|(name, _)| name != "Date");
                fields
            };
            assert_eq!(ask(&tag), ask(&format!("\"other\", {tag}")));
        }
    }
}

#[test]
fn conditions_apply_to_index_pages() {
    let server = Server::start(&Site::new());
    let reply = server.ask(request("GET", "/docs/", &["If-None-Match: *"]));
    assert_eq!(reply.status(), 304);
}

#[test]
fn conditions_do_not_hide_errors() {
    let server = Server::start(&Site::new());
    for (method, target, status) in [
        ("GET", "/missing", 404),
        ("POST", "/hello.txt", 405),
        ("GET", "/dir", 301),
    ] {
        for field in ["If-None-Match: *", "If-Match: \"wrong\""] {
            let reply = server.ask(request(method, target, &[field]));
            assert_eq!(reply.status(), status, "{method} {target} {field}");
        }
    }
}

/// An HTTP/0.9 reply has no status, so it cannot say that it has no body or only a part of one.
#[test]
fn http_0_9_ignores_conditions() {
    let site = site();
    let server = Server::start(&site);
    for _ in 0..2 {
        for field in [
            "If-None-Match: *",
            "If-Match: \"other\"",
            "Range: bytes=0-0",
        ] {
            let mut client = server.connect();
            client.send(format!("GET /hello.txt HTTP/0.9\r\n{field}\r\n\r\n"));
            let whole = std::fs::metadata(site.at("hello.txt")).unwrap().len();
            assert_eq!(client.count_to_end(), whole, "{field}");
        }
        thread::sleep(SETTLED);
    }
}
