//! Where a request ends: ambiguous framing is refused, and no request can be smuggled behind another one (RFC 9112 §6, §11.2).

use proptest::prelude::*;

use crate::support::{Server, Site, get};

/// The request that an attacker hides behind a body.
const SMUGGLED: &str = "GET /hello.txt HTTP/1.1\r\nHost: smuggled\r\n\r\n";

/// Asserts that a head is refused, that the connection closes, and that nothing behind it is answered.
#[track_caller]
fn assert_refused(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let mut client = server.connect();
    client.send([request, SMUGGLED.as_bytes(), SMUGGLED.as_bytes()].concat());
    let reply = client.read_reply();
    assert_eq!(reply.status(), status, "{}", request.escape_ascii());
    assert!(reply.head.closes(), "{}", request.escape_ascii());
    client.assert_closed();
}

fn assert_fields_refused(cases: &[(&str, u16)]) {
    let server = Server::start(&Site::new());
    for (fields, status) in cases {
        for method in ["GET", "POST"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n0\r\n\r\n");
            assert_refused(&server, head, *status);
        }
    }
}

#[test]
fn content_length_beside_transfer_encoding_is_refused() {
    assert_fields_refused(&[
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
        ("content-length: 5\r\nTRANSFER-ENCODING: CHUNKED", 400),
        (
            "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 5",
            400,
        ),
        ("Transfer-Encoding: \r\nContent-Length: 5", 400),
    ]);
}

#[test]
fn ambiguous_lengths_are_refused() {
    assert_fields_refused(&[
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length: 0\r\nContent-Length: 5", 400),
        ("Content-Length: 5, 6", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: -5", 400),
        ("Content-Length: -0", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 5x", 400),
        ("Content-Length: 5 5", 400),
        ("Content-Length: 5.0", 400),
        ("Content-Length: 1_0", 400),
        ("Content-Length: \"5\"", 400),
        ("Content-Length: five", 400),
        ("Content-Length: \u{661}", 400),
        ("Content-Length:", 400),
        ("Content-Length: ,", 400),
    ]);
}

#[test]
fn other_transfer_codings_are_refused() {
    assert_fields_refused(&[
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: chunked, identity", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            400,
        ),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: \x0bchunked", 400),
    ]);
    let server = Server::start(&Site::new());
    let old =
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n";
    assert_refused(&server, old, 400);
}

#[test]
fn malformed_field_lines_are_refused() {
    assert_fields_refused(&[
        ("Content-Length : 5", 400),
        ("Transfer-Encoding : chunked", 400),
        ("X\t: y", 400),
        ("X: y\r\n folded", 400),
        ("X: y\r\n\tfolded", 400),
        (" X: y", 400),
        ("X", 400),
        ("no colon here", 400),
        (": nameless", 400),
        ("X(y): z", 400),
        ("X\u{e9}: y", 400),
        ("X: a\0b", 400),
        ("X: a\x01b", 400),
        ("X: a\x1bb", 400),
        ("X: a\x7fb", 400),
        ("X: a\rb", 400),
        ("X: a\r\rb", 400),
        ("X: y\r\rContent-Length: 5", 400),
    ]);
}

#[test]
fn a_folded_line_after_the_request_line_is_refused() {
    let server = Server::start(&Site::new());
    assert_refused(&server, "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400);
    assert_refused(
        &server,
        "GET / HTTP/1.1\r\n\tHost: x\r\nHost: y\r\n\r\n",
        400,
    );
}

#[test]
fn a_bare_cr_is_refused() {
    let server = Server::start(&Site::new());
    for request in [
        "GET / HTTP/1.1\rHost: x\r\n\r\n",
        "GET /\rx HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_refused(&server, request, 400);
    }
}

#[test]
fn a_field_value_may_have_bytes_beyond_ascii() {
    let server = Server::start(&Site::new());
    let mut client = server.connect();
    let reply = client.ask(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nX: \xff\xe9\t\xc3\xa9\r\n\r\n");
    assert_eq!(reply.status(), 200);
    client.assert_open();
}

#[test]
fn the_next_request_starts_after_the_body() {
    let server = Server::start(&Site::new());
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Content-Length: 0\r\n\r\n",
        "Content-Length: \t5 \r\n\r\nhello",
        "Content-Length: 00005\r\n\r\nhello",
        &format!("Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n00005;name=value;x=\"y;z\"\r\nhello\r\na\r\n0123456789\r\n000;last\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5; a\r\nhello\r\n3 ;a\r\nabc\r\n0;a=\"b\\\"c\"\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\nContent-Length: 50\r\n\r\n",
        &format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
            SMUGGLED.len()
        ),
    ] {
        for (method, status) in [("GET", 200), ("POST", 405)] {
            let request = format!("{method} /hello.txt HTTP/1.1\r\nHost: x\r\n{body}");
            let mut client = server.connect();
            client.send(request + &get("/docs/"));
            assert_eq!(client.read_reply().status(), status, "{method} {body}");
            assert_eq!(
                client.read_reply().body,
                b"<p>index</p>\n",
                "{method} {body}"
            );
            client.assert_open();
        }
    }
}

#[test]
fn a_body_may_arrive_late() {
    let server = Server::start(&Site::new());
    let mut bystander = server.connect();
    let mut client = server.connect();
    let body = "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for byte in format!("POST / HTTP/1.1\r\nHost: x\r\n{body}").into_bytes() {
        client.send([byte]);
        bystander.assert_open();
    }
    assert_eq!(client.read_reply().status(), 405);
    client.assert_open();
}

#[test]
fn malformed_chunks_are_refused() {
    let server = Server::start(&Site::new());
    for chunks in [
        "\r\n",
        "x\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;;a\r\nhello\r\n0\r\n\r\n",
        "5;a;\r\nhello\r\n0\r\n\r\n",
        "5;a b\r\nhello\r\n0\r\n\r\n",
        "5;a \r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a=@\r\nhello\r\n0\r\n\r\n",
        "5;a=b=c\r\nhello\r\n0\r\n\r\n",
        "5;=b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0;\r\n\r\n",
        "5\r\nhello\r\n0;a=\"\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "10000000000000000\r\nhello",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_refused(&server, format!("{head}{chunks}"), 400);
    }
}

#[test]
fn a_body_beyond_the_limit_gets_a_reply_and_a_close() {
    let server = Server::start(&Site::new());
    for length in [
        "2000000",
        "5000000000",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        let mut client = server.connect();
        client.send(format!(
            "GET /hello.txt HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"
        ));
        let reply = client.read_reply();
        assert_eq!(reply.body, b"Hello, world!\n", "{length}");
        assert!(reply.head.closes());
        client.assert_closed();
    }
}

#[test]
fn chunks_beyond_the_limit_end_the_connection() {
    let server = Server::start(&Site::new());
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65536));
    for _ in 0..20 {
        client.send(&chunk);
    }
    let reply = client.read_reply();
    assert_eq!(reply.status(), 405);
    client.assert_closed();
}

#[test]
fn the_server_survives_any_input() {
    let server = Server::start(&Site::new());
    let words = "(GET|HEAD|POST| |/|\\*|hello.txt|%00|HTTP/1\\.[019]|\r\n|\n|\r|\t|Host: x|Range: bytes=|Content-Length: |Transfer-Encoding: chunked|:|,|-|[0-9a-f]{1,3}|\\PC){0,60}";
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(junk in words)| {
        let mut client = server.connect();
        client.send(&junk).half_close();
        let reply = client.read_to_end();
        prop_assert!(!reply.starts_with(b"HTTP/1.1 500"), "{junk:?}");
        server.connect().assert_open();
    });
}
