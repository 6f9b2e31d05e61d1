//! The header of the PROXY protocol before the handshake, and forwarded addresses within TLS.

use crate::support::{Client, Handshake, HttpsServer, Site, get, request};

const REQUIRING: [&str; 3] = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol"];
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";

fn server() -> HttpsServer {
    HttpsServer::with(&Site::new(), &REQUIRING)
}

/// Connects with a header, and sends it with the first flight in two pieces, split at `split`.
fn handshake(
    server: &HttpsServer,
    header: &[u8],
    split: usize,
    between: impl FnOnce(),
) -> Handshake {
    let mut handshake = Handshake::with(server, server.client_config());
    let bytes = [header, &handshake.flight()].concat();
    let (front, rest) = bytes.split_at(split.min(bytes.len()));
    handshake.send(front);
    between();
    handshake.send(rest);
    handshake
}

/// Asserts that all clients in the log are `client`.
#[track_caller]
fn assert_logged(server: &HttpsServer, count: usize, client: &str) {
    for line in server.log_lines(count) {
        assert!(line.starts_with(&format!("{client} ")), "{line}");
    }
}

#[test]
fn the_header_comes_before_the_handshake() {
    for header in [LINE, BINARY] {
        let server = server();
        // In one packet with the first flight, and alone.
        for split in [0, header.len()] {
            let handshake = handshake(&server, header, split, || {});
            let mut client = handshake.complete().unwrap();
            for _ in 0..2 {
                assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
            }
        }
        assert_logged(&server, 4, "203.0.113.7");
    }
}

#[test]
fn header_and_handshake_may_be_split_anywhere() {
    for header in [LINE, BINARY] {
        let server = server();
        let mut bystander = handshake(&server, header, 0, || {}).complete().unwrap();
        let first = Handshake::with(&server, server.client_config()).flight();
        for split in 1..header.len() + first.len() {
            let handshake = handshake(&server, header, split, || bystander.assert_open());
            let mut client = handshake.complete().unwrap();
            let reply = client.get("/hello.txt");
            assert_eq!(reply.body, b"Hello, world!\n", "split at {split}");
        }
    }
}

#[test]
fn without_the_header_there_is_no_handshake() {
    let server = server();
    let connected = server.try_connect(server.client_config(), "localhost");
    assert!(connected.is_err());
    let within = Handshake::with(&server, server.client_config());
    let mut wrong = within;
    let hello = wrong.flight();
    wrong.send(&[b"PROXY TCP4 nonsense\r\n", &hello[..]].concat());
    assert!(wrong.complete().is_err());
}

#[test]
fn plain_text_behind_the_header_is_redirected() {
    let server = server();
    for header in [LINE, BINARY] {
        let mut client: Client = server.connect_plain();
        client.send([header, get("/hello.txt").as_bytes()].concat());
        let reply = client.read_reply();
        let location = reply.field("Location");
        assert_eq!(
            (reply.status(), location),
            (308, Some("https://test:80/hello.txt"))
        );
    }
    assert_logged(&server, 2, "203.0.113.7");
}

#[test]
fn forwarded_fields_name_the_client_within_tls() {
    let server = HttpsServer::with(&Site::new(), &["--trusted-proxy", "127.0.0.1"]);
    let fields = ["X-Forwarded-For: 203.0.113.1", "X-Forwarded-Proto: https"];
    server.ask(request("GET", "/hello.txt", &fields));
    assert_logged(&server, 1, "203.0.113.1");
}
