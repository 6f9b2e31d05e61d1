//! The end of a connection: every reply arrives whole, whichever side closes.

use std::io::{Read, Write};
use std::process::Command;
use std::thread;

use crate::support::{Server, Site, get, request, skip, wait_until};

const BIG: u64 = 16 << 20;

fn server() -> (Site, Server) {
    let site = Site::new();
    site.sparse("big", BIG);
    let server = Server::start(&site);
    (site, server)
}

#[test]
fn a_half_closed_client_gets_its_whole_reply() {
    let (_site, server) = server();
    let mut client = server.connect();
    client.send(get("/big")).half_close();
    assert_eq!(client.read_reply().body.len() as u64, BIG);
    client.assert_closed();
}

#[test]
fn a_half_closed_client_gets_all_replies() {
    let (_site, server) = server();
    let mut client = server.connect();
    client
        .send(get("/hello.txt") + &get("/big") + &get("/docs/"))
        .half_close();
    assert_eq!(client.read_reply().body, b"Hello, world!\n");
    assert_eq!(client.read_reply().body.len() as u64, BIG);
    assert_eq!(client.read_reply().body, b"<p>index</p>\n");
    client.assert_closed();
}

#[test]
fn a_client_that_closes_within_a_request_gets_no_reply() {
    let (_site, server) = server();
    for unfinished in ["", "GET / HTTP/1.1\r\nHost: x"] {
        server
            .connect()
            .send(unfinished)
            .half_close()
            .assert_closed();
    }
    let mut client = server.connect();
    client.send(get("/hello.txt") + "GET /").half_close();
    assert_eq!(client.read_reply().status(), 200);
    client.assert_closed();
}

#[test]
fn a_client_that_closes_within_an_unwanted_body_gets_its_reply() {
    let (_site, server) = server();
    let head = request("POST", "/", &["Content-Length: 5"]);
    let mut client = server.connect();
    client.send(head + "hell").half_close();
    assert_eq!(client.read_reply().status(), 405);
    client.assert_closed();
}

#[test]
fn a_refusal_is_read_after_a_large_upload() {
    let (_site, server) = server();
    let upload = "x".repeat(3_000_000);
    let length = format!("Content-Length: {}", upload.len());
    for (head, status) in [
        (request("POST", "/", &[&length]), 405),
        (request("PUT", "/", &[&length, "Connection: close"]), 405),
        (
            request("POST", "/", &[&length, "Transfer-Encoding: chunked"]),
            400,
        ),
        ("POST / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(), 505),
    ] {
        let mut client = server.connect();
        client.send(&head).send(&upload);
        assert_eq!(client.read_reply().status(), status, "{head}");
        client.assert_closed();
    }
}

#[test]
fn a_refusal_is_read_during_an_endless_upload() {
    let (_site, server) = server();
    let mut client = server.connect();
    let mut upload = client.stream().try_clone().unwrap();
    client.send(request("POST", "/", &["Content-Length: 99999999999"]));
    let uploading = thread::spawn(move || while upload.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(client.read_reply().status(), 405);
    client.half_close();
    uploading.join().unwrap();
    client.assert_closed();
}

/// Python's http.client, like many others, reads no reply before it has sent the whole body.
#[test]
fn a_refusal_is_read_after_an_upload_of_50_megabytes() {
    const PUT: &str = "
import http.client, sys
body = bytes(50_000_000)
for attempt in range(20):
    connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)
    connection.request('PUT', '/hello.txt', body)
    reply = connection.getresponse()
    assert reply.status == 405, reply.status
    reply.read()
    connection.close()
";
    if Command::new("python3").arg("-V").output().is_err() {
        return skip("there is no python3");
    }
    let (_site, server) = server();
    let address = server.connect().stream().peer_addr().unwrap();
    let port = address.port().to_string();
    let output = Command::new("python3").args(["-c", PUT, &port]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_server_closes_after_the_last_reply() {
    let (_site, server) = server();
    let mut client = server.connect();
    client.send(request("GET", "/hello.txt", &["Connection: close"]));
    assert_eq!(client.read_reply().body, b"Hello, world!\n");
    client.assert_closed();
    assert_eq!(client.stream().read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_reset_leaves_other_connections_alone() {
    let (_site, server) = server();
    for _ in 0..5 {
        let mut gone = server.connect();
        gone.send(get("/big")).read_head();
        let mut staying = server.connect();
        staying.send(get("/big")).read_head();
        gone.reset();
        assert_eq!(staying.take(BIG as usize).len() as u64, BIG);
        staying.assert_open();
    }
}

#[test]
fn closed_connections_free_their_descriptors() {
    let (_site, server) = server();
    server.get("/hello.txt");
    // The server may keep the large file open.
    let before = server.descriptors() + 1;
    for round in 0..60 {
        let mut client = server.connect();
        client
            .send(get(["/hello.txt", "/big", "/"][round % 3]))
            .read_head();
        if round % 2 == 0 {
            client.reset();
        }
    }
    wait_until("all descriptors are closed", || {
        server.descriptors() <= before
    });
}
