//! Requests and replies within TLS, and how they are cut into records.

use crate::support::{End, HttpsServer, Site, get, request};

fn server() -> HttpsServer {
    HttpsServer::start(&Site::new())
}

#[test]
fn get_and_head_are_answered() {
    let server = server();
    let mut client = server.connect();
    let reply = client.get("/hello.txt");
    assert_eq!((reply.status(), reply.text()), (200, "Hello, world!\n"));
    let reply = client.ask(request("HEAD", "/hello.txt", &[]));
    assert_eq!(reply.field("Content-Length"), Some("14"));
    client.assert_open();
    let lines = server.log_lines(3);
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{lines:?}");
    assert!(
        lines[0].ends_with("\"GET /hello.txt HTTP/1.1\" 200 14"),
        "{lines:?}"
    );
}

#[test]
fn ranges_and_conditions_are_answered() {
    let server = server();
    let mut client = server.connect();
    let part = client.ask(request("GET", "/hello.txt", &["Range: bytes=7-11"]));
    assert_eq!((part.status(), part.text()), (206, "world"));
    let several = client.ask(request("GET", "/hello.txt", &["Range: bytes=0-0,7-7"]));
    assert!(several.status() == 206 && several.text().contains("bytes 7-7/14"));
    let beyond = client.ask(request("GET", "/hello.txt", &["Range: bytes=14-"]));
    assert_eq!(beyond.status(), 416);
    let tag = part.field("ETag").unwrap();
    let same = client.ask(request(
        "GET",
        "/hello.txt",
        &[&format!("If-None-Match: {tag}")],
    ));
    assert_eq!(same.status(), 304);
    client.assert_open();
}

#[test]
fn listings_redirects_and_errors_are_sent() {
    let server = server();
    let mut client = server.connect();
    assert!(client.get("/").text().contains("hello.txt"));
    assert_eq!(client.get("/docs/").text(), "<p>index</p>\n");
    assert_eq!(client.get("/docs").field("Location"), Some("docs/"));
    assert_eq!(client.get("/missing").status(), 404);
    assert_eq!(client.get("/../secret.txt").status(), 404);
    assert_eq!(client.get("/empty.txt").body, b"");
    client.assert_open();
    assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    client.assert_notified();
}

#[test]
fn a_connection_serves_a_hundred_requests() {
    let server = server();
    let mut client = server.connect();
    for _ in 0..100 {
        assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
    }
    server.log_lines(100);
}

#[test]
fn several_loops_serve() {
    let server = HttpsServer::with(&Site::new(), &["-n", "3"]);
    let mut clients: Vec<_> = (0..12).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
    }
}

#[test]
fn requests_in_one_record_are_answered_in_order() {
    let server = server();
    let mut client = server.connect();
    let pair = get("/hello.txt") + &get("/dir/file.txt");
    client.send(pair.repeat(16));
    for _ in 0..16 {
        assert_eq!(client.read_reply().text(), "Hello, world!\n");
        assert_eq!(client.read_reply().text(), "in dir\n");
    }
    client.assert_open();
}

#[test]
fn many_requests_and_large_replies_are_answered_in_order() {
    let site = Site::new();
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i >> 4) as u8).collect();
    site.file("big", &content);
    let server = HttpsServer::start(&site);
    let mut client = server.connect();
    // Far more than a record holds.
    client.send((get("/hello.txt") + &get("/big") + &get("/missing")).repeat(20));
    for _ in 0..20 {
        assert_eq!(client.read_reply().text(), "Hello, world!\n");
        assert!(client.read_reply().body == content);
        assert_eq!(client.read_reply().status(), 404);
    }
    client.assert_open();
}

#[test]
fn a_request_may_come_in_records_of_one_byte() {
    let server = server();
    let mut client = server.connect();
    client.send_in_bytes(get("/hello.txt") + &get("/docs/"));
    assert_eq!(client.read_reply().text(), "Hello, world!\n");
    assert_eq!(client.read_reply().text(), "<p>index</p>\n");
    client.assert_open();
}

#[test]
fn a_request_may_be_split_over_records_anywhere() {
    let server = server();
    let (mut client, mut bystander) = (server.connect(), server.connect());
    let both = get("/docs/") + &get("/hello.txt");
    for split in 1..both.len() {
        let (front, rest) = both.split_at(split);
        client.send(front);
        // The server has one loop, so it has read the front before it answers this.
        bystander.assert_open();
        client.send(rest);
        for body in ["<p>index</p>\n", "Hello, world!\n"] {
            assert_eq!(client.read_reply().text(), body, "split at {split}");
        }
    }
}

#[test]
fn after_connection_close_come_close_notify_and_fin() {
    let server = server();
    let mut client = server.connect();
    let last = request("GET", "/docs/", &["Connection: close"]);
    client.send(get("/hello.txt") + &last + &get("/dir/file.txt"));
    assert_eq!(client.read_reply().text(), "Hello, world!\n");
    let reply = client.read_reply();
    assert!(reply.head.closes() && reply.text() == "<p>index</p>\n");
    client.assert_notified();
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let server = server();
    let mut client = server.connect();
    let reply = client.ask("GET /hello.txt HTTP/1.0\r\n\r\n");
    assert_eq!(reply.text(), "Hello, world!\n");
    client.assert_notified();
    let mut client = server.connect();
    let kept = "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(client.ask(kept).text(), "Hello, world!\n");
    }
    client.assert_open();
}

#[test]
fn the_body_of_a_refused_upload_is_read_or_the_connection_closes() {
    let server = server();
    let mut client = server.connect();
    client.send(request("POST", "/", &["Content-Length: 5"]) + "hello");
    assert_eq!(client.read_reply().status(), 405);
    client.send(request("POST", "/", &["Transfer-Encoding: chunked"]) + "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.read_reply().status(), 405);
    client.assert_open();
    let upload = "x".repeat(3_000_000);
    let length = format!("Content-Length: {}", upload.len());
    client.send(request("POST", "/", &[&length])).send(&upload);
    let reply = client.read_reply();
    assert_eq!((reply.status(), reply.head.closes()), (405, true));
    assert_eq!(client.read_to_its_end(), (0, End::Notified));
}

#[test]
fn a_chunked_body_may_be_split_over_records_anywhere() {
    let server = server();
    let (mut client, mut bystander) = (server.connect(), server.connect());
    let head = request("GET", "/hello.txt", &["Transfer-Encoding: chunked"]);
    let whole = head + "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for split in 1..whole.len() {
        let (front, rest) = whole.split_at(split);
        client.send(front);
        bystander.assert_open();
        let reply = client.send(rest).read_reply();
        assert_eq!(reply.text(), "Hello, world!\n", "split at {split}");
    }
}

#[test]
fn expect_100_continue_is_answered() {
    let server = server();
    let mut client = server.connect();
    let fields = ["Content-Length: 5", "Expect: 100-continue"];
    client.send(request("POST", "/", &fields));
    assert_eq!(client.read_head().status, 100);
    assert_eq!(client.send("hello").read_reply().status(), 405);
    client.assert_open();
    client.send(request("POST", "/", &fields) + "hello");
    assert_eq!(client.read_reply().status(), 405);
    client.assert_open();
}

#[test]
fn refusals_are_sent_and_close() {
    let server = server();
    let long = "x".repeat(40_000);
    for (bytes, status) in [
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(), 505),
        (get(&format!("/{long}")), 414),
        (request("GET", "/", &[&format!("X: {long}")]), 431),
    ] {
        let mut client = server.connect();
        assert_eq!(client.ask(&bytes).status(), status, "{bytes:.60}");
        client.assert_notified();
    }
}
