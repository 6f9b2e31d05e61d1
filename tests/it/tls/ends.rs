//! The end of a connection within TLS: close_notify in both directions, and its absence.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::{End, HttpsServer, Site, TlsClient, get, request, wait_until};

const BIG: u64 = 16 << 20;

fn server() -> HttpsServer {
    let site = Site::new();
    site.sparse("big", BIG);
    HttpsServer::start(&site)
}

#[test]
fn a_client_that_has_sent_close_notify_gets_its_replies() {
    let server = server();
    let mut client = server.connect();
    client.send(get("/big")).close_notify();
    assert_eq!(client.read_reply().body.len() as u64, BIG);
    client.assert_notified();
    let mut client = server.connect();
    client
        .send(get("/hello.txt") + &get("/big") + &get("/docs/"))
        .close_notify();
    assert_eq!(client.read_reply().body, b"Hello, world!\n");
    assert_eq!(client.read_reply().body.len() as u64, BIG);
    assert_eq!(client.read_reply().body, b"<p>index</p>\n");
    client.assert_notified();
}

#[test]
fn close_notify_is_answered_with_close_notify() {
    let server = server();
    let mut fresh = server.connect();
    fresh.close_notify().assert_notified();
    let mut used = server.connect();
    used.get("/hello.txt");
    used.close_notify().assert_notified();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x");
    client.close_notify().assert_notified();
}

#[test]
fn close_notify_and_the_request_may_come_at_once() {
    let server = server();
    let mut client = server.connect();
    let connection = client.tls_mut();
    let request = get("/hello.txt");
    connection.writer().write_all(request.as_bytes()).unwrap();
    connection.send_close_notify();
    assert_eq!(client.flush().read_reply().body, b"Hello, world!\n");
    client.assert_notified();
}

#[test]
fn a_client_that_closes_its_sending_side_gets_its_reply() {
    let server = server();
    let mut client = server.connect();
    client.send(get("/big")).half_close_tcp();
    assert_eq!(client.read_reply().body.len() as u64, BIG);
    client.read_to_its_end();
}

#[test]
fn a_client_that_leaves_between_requests_is_not_logged() {
    let server = server();
    drop(server.connect());
    let mut client = server.connect();
    client.get("/hello.txt");
    drop(client);
    let mut client = server.connect();
    client.get("/hello.txt");
    client.reset_tcp();
    let mut client = server.connect();
    client.get("/hello.txt");
    client.close_notify();
    drop(client);
    server.assert_serving();
    for line in server.log_lines(4) {
        assert!(line.contains("\"GET /hello.txt HTTP/1.1\" 200 "), "{line}");
    }
}

/// Asserts that the log gets one line that is not about a reply when a client leaves after `leave`.
fn assert_logs_one_line(leave: impl FnOnce(TlsClient)) {
    let server = server();
    let mut client = server.connect();
    client.get("/hello.txt");
    leave(client);
    wait_until("the end is logged", || {
        server.log().matches('\n').count() >= 2
    });
    server.assert_serving();
    let lines = server.log_lines(3);
    assert!(!lines[1].contains("\" 200 "), "{lines:#?}");
}

#[test]
fn a_client_that_leaves_within_a_head_is_logged_once() {
    assert_logs_one_line(|mut client| {
        client.send("GET /hello.txt HTTP/1.1\r\nHost");
    });
}

#[test]
fn a_client_that_leaves_within_an_unwanted_body_is_not_logged() {
    let server = server();
    let mut client = server.connect();
    let fields = ["Content-Length: 5"];
    client.send(request("GET", "/hello.txt", &fields) + "hel");
    assert_eq!(client.read_reply().status(), 200);
    drop(client);
    server.assert_serving();
    server.log_lines(2);
}

#[test]
fn a_client_that_leaves_within_a_record_is_logged_once() {
    assert_logs_one_line(|mut client| {
        let connection = client.tls_mut();
        let request = get("/hello.txt");
        connection.writer().write_all(request.as_bytes()).unwrap();
        let mut record = Vec::new();
        connection.write_tls(&mut record).unwrap();
        client.tcp().write_all(&record[..record.len() / 2]).unwrap();
    });
}

#[test]
fn a_record_that_was_changed_on_its_way_ends_the_connection() {
    let server = server();
    let mut client = server.connect();
    client.get("/hello.txt");
    let connection = client.tls_mut();
    let request = get("/docs/");
    connection.writer().write_all(request.as_bytes()).unwrap();
    let mut record = Vec::new();
    connection.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    client.tcp().write_all(&record).unwrap();
    let error = std::io::Read::read(client.stream_mut(), &mut [0]).unwrap_err();
    let alert = "received fatal alert: BadRecordMac";
    assert!(error.to_string().contains(alert), "{error}");
    server.assert_serving();
}

#[test]
fn bytes_in_plain_text_after_the_handshake_end_the_connection() {
    let server = server();
    let mut client = server.connect();
    client.get("/hello.txt");
    client.tcp().write_all(get("/docs/").as_bytes()).unwrap();
    assert!(std::io::Read::read(client.stream_mut(), &mut [0]).is_err());
    server.assert_serving();
}

#[test]
fn a_reset_leaves_other_connections_alone() {
    let server = server();
    for _ in 0..5 {
        let mut gone = server.connect();
        gone.send(get("/big")).read_head();
        let mut staying = server.connect();
        staying.send(get("/big")).read_head();
        gone.reset_tcp();
        assert_eq!(staying.take(BIG as usize).len() as u64, BIG);
        staying.assert_open();
    }
}

#[test]
fn closed_connections_free_their_descriptors() {
    let server = server();
    server.get("/hello.txt");
    // The server may keep the large file open.
    let before = server.descriptors() + 1;
    for round in 0..60 {
        let mut client = server.connect();
        client
            .send(get(["/hello.txt", "/big", "/"][round % 3]))
            .read_head();
        match round % 4 {
            0 => client.reset_tcp(),
            1 => drop(client.close_notify()),
            _ => {}
        }
    }
    wait_until("all descriptors are closed", || {
        server.descriptors() <= before
    });
}

/// The server sends a refusal, then reads on for a while, so that the client sees the refusal before a reset.
#[test]
fn a_refusal_is_read_during_an_endless_upload() {
    let server = server();
    let mut client = server.connect();
    client.send(request("POST", "/", &["Content-Length: 99999999999"]));
    for _ in 0..100 {
        client.send([b'x'; 16_384]);
    }
    assert_eq!(client.read_reply().status(), 405);
    client.close_notify();
    assert_eq!(client.read_to_its_end(), (0, End::Notified));
}

#[test]
fn a_connection_that_sends_nothing_is_not_logged() {
    let server = server();
    for _ in 0..5 {
        drop(TcpStream::connect(server.address()).unwrap());
    }
    server.assert_serving();
    server.log_lines(1);
}
