//! Expect: 100-continue (RFC 9110 §10.1.1).

use crate::support::{Client, Server, Site, request};

fn client() -> (Server, Client) {
    let server = Server::start(&Site::new());
    let client = server.connect();
    (server, client)
}

const EXPECT: &str = "Expect: 100-continue";

#[track_caller]
fn assert_continues(client: &mut Client) {
    let head = client.read_head();
    assert_eq!((head.status, head.reason.as_str()), (100, "Continue"));
    assert_eq!(head.version, "HTTP/1.1");
}

#[test]
fn a_body_that_has_not_begun_gets_100_continue() {
    let (_server, mut client) = client();
    client.send(request("POST", "/", &["Content-Length: 5", EXPECT]));
    assert_continues(&mut client);
    assert_eq!(client.send("hello").read_reply().status(), 405);
    client.assert_open();
}

#[test]
fn a_chunked_body_gets_100_continue() {
    let (_server, mut client) = client();
    client.send(request(
        "GET",
        "/hello.txt",
        &["Transfer-Encoding: chunked", "expect: 100-Continue"],
    ));
    assert_continues(&mut client);
    assert_eq!(
        client.send("5\r\nhello\r\n0\r\n\r\n").read_reply().body,
        b"Hello, world!\n"
    );
    client.assert_open();
}

#[test]
fn a_body_that_has_begun_gets_no_100_continue() {
    let (_server, mut client) = client();
    let head = request("POST", "/", &["Content-Length: 5", EXPECT]);
    for (begun, rest) in [("h", "ello"), ("hello", "")] {
        client.send(head.clone() + begun).send(rest);
        assert_eq!(client.read_reply().status(), 405, "{begun}");
    }
    client.assert_open();
}

#[test]
fn a_request_without_a_body_gets_no_100_continue() {
    let (_server, mut client) = client();
    for fields in [&[EXPECT][..], &["Content-Length: 0", EXPECT]] {
        assert_eq!(
            client.ask(request("GET", "/hello.txt", fields)).status(),
            200
        );
    }
    client.assert_open();
}

#[test]
fn http_1_0_gets_no_100_continue() {
    let (_server, mut client) = client();
    let head = "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.send(head).send("hello").read_reply().status(), 405);
}

#[test]
fn a_body_beyond_the_limit_gets_no_100_continue() {
    let (_server, mut client) = client();
    let reply = client.ask(request("POST", "/", &["Content-Length: 5000000", EXPECT]));
    assert_eq!(reply.status(), 405);
    assert!(reply.head.closes());
    client.assert_closed();
}

#[test]
fn other_expectations_are_417() {
    let (server, _) = client();
    for expectation in ["200-ok", "100-continue, x", "100-continue=x", "x"] {
        let reply = server.ask(request(
            "GET",
            "/hello.txt",
            &[&format!("Expect: {expectation}")],
        ));
        assert_eq!(reply.status(), 417, "{expectation}");
    }
}
