//! Pipelined requests, and requests that arrive in pieces.

use proptest::prelude::*;

use crate::support::{Server, Site, get, request};

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let server = Server::start(&Site::new());
    let mut client = server.connect();
    client.send(get("/hello.txt") + &get("/dir/file.txt") + &get("/docs/"));
    for body in ["Hello, world!\n", "in dir\n", "<p>index</p>\n"] {
        assert_eq!(client.read_reply().text(), body);
    }
    client.assert_open();
}

#[test]
fn all_kinds_of_replies_keep_their_order() {
    let site = Site::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i >> 4) as u8).collect();
    site.file("big", &content);
    let server = Server::start(&site);
    let mut client = server.connect();
    let body = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    client.send(
        get("/big")
            + &request("HEAD", "/big", &[])
            + body
            + &get("/missing")
            + &get("/")
            + &get("/big")
            + &get("/empty.txt"),
    );
    assert!(client.read_reply().body == content);
    assert_eq!(client.reply(true).field("Content-Length"), Some("3000000"));
    assert_eq!(client.read_reply().status(), 405);
    assert_eq!(client.read_reply().status(), 404);
    assert!(client.read_reply().text().ends_with("</html>\n"));
    assert!(client.read_reply().body == content);
    assert_eq!(client.read_reply().body, b"");
    client.assert_open();
}

#[test]
fn a_thousand_requests_are_all_answered() {
    let site = Site::new();
    for number in 0..10 {
        site.file(number.to_string(), number.to_string());
    }
    let server = Server::start(&site);
    let mut client = server.connect();
    let requests: String = (0..1000)
        .map(|number| get(&format!("/{}", number % 10)))
        .collect();
    client.send(requests);
    for number in 0..1000 {
        assert_eq!(client.read_reply().text(), (number % 10).to_string());
    }
    client.assert_open();
}

#[test]
fn requests_after_connection_close_are_not_answered() {
    let server = Server::start(&Site::new());
    let mut client = server.connect();
    let last = request("GET", "/docs/", &["Connection: close"]);
    client.send(get("/hello.txt") + &last + &get("/dir/file.txt"));
    assert_eq!(client.read_reply().body, b"Hello, world!\n");
    assert_eq!(client.read_reply().body, b"<p>index</p>\n");
    client.assert_closed();
}

#[test]
fn requests_after_a_refusal_are_not_answered() {
    let server = Server::start(&Site::new());
    let mut client = server.connect();
    client.send(get("/hello.txt") + "GET / HTTP/1.1\r\n\r\n" + &get("/docs/"));
    assert_eq!(client.read_reply().status(), 200);
    assert_eq!(client.read_reply().status(), 400);
    client.assert_closed();
}

/// Sends `whole` in two pieces, split at each place in turn, and asserts that replies with these bodies come.
fn assert_split_anywhere(whole: &str, bodies: &[&str]) {
    let server = Server::start(&Site::new());
    let (mut client, mut bystander) = (server.connect(), server.connect());
    for split in 1..whole.len() {
        let (front, rest) = whole.split_at(split);
        client.send(front);
        // The server has one loop, so it has read the front before it answers this.
        bystander.assert_open();
        client.send(rest);
        for body in bodies {
            assert_eq!(client.read_reply().text(), *body, "split at {split}");
        }
    }
}

#[test]
fn a_request_may_be_split_anywhere() {
    let request = request("GET", "/hello.txt", &["Content-Length: 3"]);
    assert_split_anywhere(&format!("\r\n{request}abc"), &["Hello, world!\n"]);
}

#[test]
fn two_requests_may_be_split_anywhere() {
    let both = get("/docs/") + &get("/hello.txt");
    assert_split_anywhere(&both, &["<p>index</p>\n", "Hello, world!\n"]);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(&Site::new());
    let (mut client, mut bystander) = (server.connect(), server.connect());
    for byte in get("/hello.txt").into_bytes() {
        client.send([byte]);
        bystander.assert_open();
    }
    assert_eq!(client.read_reply().body, b"Hello, world!\n");
    client.assert_open();
}

#[test]
fn a_refusal_may_come_byte_by_byte() {
    let server = Server::start(&Site::new());
    let (mut client, mut bystander) = (server.connect(), server.connect());
    for byte in *b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r" {
        client.send([byte]);
        bystander.assert_open();
    }
    assert_eq!(client.send("\n").read_reply().status(), 400);
    client.assert_closed();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_replies(pieces in prop::collection::vec(1..60_usize, 40)) {
        let server = Server::start(&Site::new());
        let mut client = server.connect();
        let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
        let stream = get("/hello.txt") + chunked + "\nGET /missing HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc" + &get("/docs/") + &get("/dir");
        let mut rest = stream.as_str();
        for length in pieces {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            client.send(piece);
            rest = after;
        }
        client.send(rest);
        for status in [200, 405, 404, 200, 301] {
            prop_assert_eq!(client.read_reply().status(), status);
        }
        client.assert_open();
    }
}
