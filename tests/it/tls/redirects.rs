//! Plain HTTP on the port of TLS, and `--redirect-http`: each request is redirected to HTTPS on the same host, and none elsewhere.

use std::net::TcpListener;

use crate::support::{Client, HttpsServer, Reply, Site, get, request, wait_until};

fn server() -> HttpsServer {
    HttpsServer::start(&Site::new())
}

/// Asserts that a reply redirects to `location`, by a method that stays the same.
#[track_caller]
fn assert_redirects(reply: &Reply, location: &str) {
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (308, Some(location))
    );
    assert!(!reply.text().contains("Hello, world!"));
}

fn get_from(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Behind a mapping of ports, the client knows another port than the listener does, so the field Host decides.
#[test]
fn a_request_in_plain_text_is_redirected_to_the_host_and_port_of_its_field() {
    let server = server();
    let port = server.port();
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "www.example.test",
        "a-b_c.test",
    ] {
        for (written, port) in [
            (host.to_owned(), 80),
            (format!("{host}:{port}"), port),
            (format!("{host}:8443"), 8443),
        ] {
            let reply = server.connect_plain().ask(get_from(&written, "/hello.txt"));
            assert_redirects(&reply, &format!("https://{host}:{port}/hello.txt"));
        }
    }
    let reply = server.connect_plain().ask(get_from("localhost:443", "/"));
    assert_redirects(&reply, "https://localhost/");
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn path_and_query_stay_as_they_were_sent() {
    let server = server();
    for target in [
        "/",
        "/hello.txt?x=y&z=%20",
        "/a%2Fb/../c/./d",
        "/?//x",
        "/\\evil.test",
        "/@evil.test",
        "/%0d%0aX:%20y",
        "/missing",
        "/hello.txt?http://evil.test/",
    ] {
        let reply = server.connect_plain().ask(get_from("localhost:1", target));
        assert_redirects(&reply, &format!("https://localhost:1{target}"));
    }
    // Slashes at the front are one, as in every other redirect of the server.
    let reply = server
        .connect_plain()
        .ask(get_from("localhost:1", "//evil.test/x"));
    assert_redirects(&reply, "https://localhost:1/evil.test/x");
}

#[test]
fn every_method_is_redirected() {
    let server = server();
    let location = "https://test:80/hello.txt";
    let head = server
        .connect_plain()
        .ask(request("HEAD", "/hello.txt", &[]));
    assert_redirects(&head, location);
    for (fields, body) in [
        (&["Content-Length: 5"][..], "hello"),
        (&["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"),
        (&["Content-Length: 5", "Expect: 100-continue"], "hello"),
        (&["Content-Length: 0"], ""),
    ] {
        for method in ["POST", "PUT", "DELETE", "GET"] {
            let mut client = server.connect_plain();
            client.send(request(method, "/hello.txt", fields) + body);
            assert_redirects(&client.read_reply(), location);
        }
    }
}

#[test]
fn a_redirect_is_read_after_a_large_upload() {
    let server = server();
    let upload = "x".repeat(3_000_000);
    let length = format!("Content-Length: {}", upload.len());
    let mut client = server.connect_plain();
    client.send(request("POST", "/", &[&length])).send(&upload);
    assert_redirects(&client.read_reply(), "https://test:80/");
}

#[test]
fn no_request_is_redirected_to_another_host() {
    let server = server();
    let prefix = "https://localhost:80/";
    for target in [
        "http://evil.test/",
        "https://evil.test/x",
        "http://evil.test",
        "http://localhost@evil.test/",
        "@evil.test/",
        ".evil.test/",
        ":1@evil.test/",
        "evil.test",
        "evil.test:443",
        "\\\\evil.test",
        "?x",
        "*",
        "/\u{e9}",
        "/\t//evil.test",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "CONNECT"] {
            let bytes = format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
            );
            let reply = server.connect_plain().ask(bytes);
            let location = reply.field("Location").unwrap_or(prefix);
            assert!(
                location.starts_with(prefix),
                "{method} {target}: {location}"
            );
            assert!(matches!(reply.status(), 308 | 400 | 405 | 501), "{reply:?}");
        }
    }
}

#[test]
fn an_absolute_target_is_redirected_only_if_host_agrees() {
    let server = server();
    for (target, host) in [
        ("http://evil.test/", "localhost"),
        ("https://evil.test/x", "localhost"),
        ("http://localhost/", "evil.test"),
        ("http://localhost:8080/", "localhost"),
        ("http://localhost/", "localhost:8080"),
    ] {
        let reply = server.connect_plain().ask(get_from(host, target));
        assert_eq!(
            (reply.status(), reply.field("Location")),
            (400, None),
            "{target} {host}"
        );
    }
    let reply = server
        .connect_plain()
        .ask(get_from("localhost:8080", "http://LOCALHOST:8080/x?y"));
    assert_redirects(&reply, "https://LOCALHOST:8080/x?y");
}

#[test]
fn a_host_that_is_none_is_refused() {
    let server = server();
    for host in [
        "",
        "a b",
        "a/b",
        "evil.test/",
        "a@b",
        "a\\b",
        "a\"b",
        "a?b",
        "a#b",
        "<a>",
        "a,b",
        "[::1",
        "::1",
        "[::1]x",
        "localhost:x",
        "localhost:80:80",
        "localhost:-1",
        "localhost:99999",
        "a\u{e9}",
        "a%0d%0ab",
    ] {
        let reply = server.connect_plain().ask(get_from(host, "/"));
        assert_eq!(reply.status(), 400, "{host}: {reply:?}");
    }
    let twice = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n";
    assert_eq!(server.connect_plain().ask(twice).status(), 400);
    let none = "GET / HTTP/1.1\r\n\r\n";
    assert_eq!(server.connect_plain().ask(none).status(), 400);
}

#[test]
fn http_1_0_without_a_host_is_refused_or_gets_the_address() {
    let server = server();
    let reply = server
        .connect_plain()
        .ask("GET /hello.txt HTTP/1.0\r\n\r\n");
    let location = format!("https://{}/hello.txt", server.address());
    match reply.status() {
        400 => assert_eq!(reply.field("Location"), None),
        _ => assert_redirects(&reply, &location),
    }
    let with_host = "GET /hello.txt HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let reply = server.connect_plain().ask(with_host);
    assert_redirects(&reply, "https://localhost:80/hello.txt");
}

#[test]
fn text_that_is_no_request_is_refused() {
    let server = server();
    for text in [
        "\r\n\r\n\n\nx\n\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "EHLO evil.test\r\n\r\n",
        "{}\r\n\r\n",
    ] {
        let mut client = server.connect_plain();
        assert_eq!(client.ask(text).status(), 400, "{text}");
        client.assert_closed();
    }
    server.assert_serving();
}

#[test]
fn http_0_9_gets_no_file() {
    let server = server();
    for request in [
        "GET /hello.txt\r\n",
        "GET /hello.txt\r\n\r\n",
        "GET\r\n\r\n",
        "G\r\n\r\n",
    ] {
        let mut client = server.connect_plain();
        let bytes = client.send(request).half_close().read_to_end();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("Hello, world!"), "{text}");
        assert!(!text.contains("https://evil"), "{text}");
    }
    server.assert_serving();
}

#[test]
fn a_request_in_plain_text_may_come_byte_by_byte() {
    let server = server();
    let (mut client, mut bystander) = (server.connect_plain(), server.connect());
    for byte in get("/hello.txt").into_bytes() {
        client.send([byte]);
        bystander.assert_open();
    }
    assert_redirects(&client.read_reply(), "https://test:80/hello.txt");
}

#[test]
fn a_redirect_is_logged() {
    let server = server();
    server.connect_plain().get("/hello.txt?x");
    let line = &server.log_lines(1)[0];
    assert!(
        line.starts_with("127.0.0.1 ") && line.contains("\"GET /hello.txt?x HTTP/1.1\" 308 "),
        "{line}"
    );
}

#[test]
fn a_client_that_leaves_within_a_request_in_plain_text_leaves_others_alone() {
    let server = server();
    let request = get("/hello.txt");
    for end in 1..request.len() {
        server
            .connect_plain()
            .send(&request[..end])
            .half_close()
            .assert_closed();
    }
    server.assert_serving();
}

#[test]
fn redirect_http_redirects_to_the_port_of_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = HttpsServer::with(&Site::new(), &["--redirect-http", &address.to_string()]);
    let port = server.port();
    wait_until("the other address listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    for host in [
        "localhost".to_owned(),
        format!("localhost:{}", address.port()),
    ] {
        let reply = Client::connect(address).ask(get_from(&host, "//evil.test/x?y"));
        assert_redirects(&reply, &format!("https://localhost:{port}/evil.test/x?y"));
    }
    let reply = Client::connect(address).ask(request("POST", "/", &["Content-Length: 0"]));
    assert_redirects(&reply, &format!("https://test:{port}/"));
    let reply = Client::connect(address).ask(get_from("a@b", "/"));
    assert_eq!(reply.status(), 400);
    // TLS is spoken only on the other port.
    let hello = crate::support::Handshake::with(&server, server.client_config()).flight();
    let mut client = Client::connect(address);
    assert_eq!(client.send(hello).half_close().read_reply().status(), 400);
    server.assert_serving();
}
