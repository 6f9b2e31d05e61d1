//! Request line, versions, limits, Host, methods, and how long a connection stays (RFC 9112 §2, §3, §9).

use crate::support::{Reply, Server, Site, get, request};

fn server() -> Server {
    Server::start(&Site::new())
}

/// Sends a request, reads the reply, and asserts that the connection then closes.
#[track_caller]
fn last_reply(server: &Server, request: impl AsRef<[u8]>) -> Reply {
    let mut client = server.connect();
    let reply = client.ask(request);
    assert!(reply.head.closes());
    client.assert_closed();
    reply
}

#[test]
fn an_http_0_9_reply_is_the_body_alone() {
    let site = Site::new();
    site.sparse("big", 8 << 20);
    let server = Server::start(&site);
    let say = |bytes: &str| server.connect().send(bytes).read_to_end();
    assert_eq!(say("GET /hello.txt\r\n"), b"Hello, world!\n");
    assert_eq!(say("GET /hello.txt\n"), b"Hello, world!\n");
    assert_eq!(say("GET /big\r\n").len(), 8 << 20);
    assert!(say("GET /\r\n").starts_with(b"<!DOCTYPE html>"));
    assert!(!say("GET /missing\r\n").starts_with(b"HTTP/"));
}

#[test]
fn http_0_9_allows_only_get() {
    let server = server();
    for line in [
        "HEAD /hello.txt\r\n",
        "POST /hello.txt\r\n",
        "get /hello.txt\r\n",
        "GET hello.txt\r\n",
    ] {
        assert_eq!(last_reply(&server, line).status(), 400, "{line}");
    }
}

#[test]
fn lines_may_end_with_a_bare_lf() {
    let server = server();
    let mut client = server.connect();
    let reply = client.ask("GET /hello.txt HTTP/1.1\nHost: x\nConnection: keep-alive\n\n");
    assert_eq!(reply.body, b"Hello, world!\n");
    let reply = client.ask("GET /hello.txt HTTP/1.1\r\nHost: x\n\r\n");
    assert_eq!(reply.status(), 200);
    client.assert_open();
}

#[test]
fn extra_blanks_in_the_request_line_are_accepted() {
    let server = server();
    for line in [
        "GET  /hello.txt  HTTP/1.1",
        "GET\t/hello.txt\tHTTP/1.1",
        "GET \t /hello.txt \t HTTP/1.1",
        "GET /hello.txt HTTP/1.1 ",
        "GET /hello.txt HTTP/1.1\t \t",
    ] {
        let reply = server.ask(format!("{line}\r\nHost: x\r\n\r\n"));
        assert_eq!(reply.body, b"Hello, world!\n", "{line:?}");
    }
    for line in [
        "GET\u{a0}/hello.txt HTTP/1.1",
        "GET /hello.txt\x0bHTTP/1.1",
        "GET /hello.txt HTTP/1.1\x0c",
    ] {
        let request = format!("{line}\r\nHost: x\r\n\r\n");
        assert_eq!(last_reply(&server, request).status(), 400, "{line:?}");
    }
}

#[test]
fn up_to_four_empty_lines_may_come_first() {
    let server = server();
    let mut client = server.connect();
    for lines in ["\r\n", "\n", "\r\n\r\n", "\n\r\n\n", "\r\n\r\n\r\n\r\n"] {
        let reply = client.ask(format!("{lines}{}", get("/hello.txt")));
        assert_eq!(reply.body, b"Hello, world!\n", "{lines:?}");
    }
    let five = format!("{}{}", "\r\n".repeat(5), get("/hello.txt"));
    assert_eq!(last_reply(&server, five).status(), 400);
}

#[test]
fn versions_are_accepted_or_refused() {
    let server = server();
    for (version, status) in [
        ("HTTP/1.1", 200),
        ("HTTP/1.0", 200),
        ("HTTP/1.2", 200),
        ("HTTP/1.9", 200),
        ("HTTP/2.0", 505),
        ("HTTP/3.0", 505),
        ("HTTP/9.9", 505),
        ("HTTP/1.10", 400),
        ("HTTP/1.999", 400),
        ("HTTP/1.00", 400),
        ("HTTP/01.1", 400),
        ("HTTP/01.10", 400),
        ("HTTP/10.1", 400),
        ("HTTP/11.1", 400),
        ("HTTP/2.00", 400),
        ("HTTP/00.9", 400),
        ("HTTP/0.8", 400),
        ("HTTP/2", 400),
        ("HTTP/1", 400),
        ("HTTP/1.", 400),
        ("HTTP/.1", 400),
        ("HTTP/1.1.1", 400),
        ("HTTP/1.x", 400),
        ("HTTP/+1.1", 400),
        ("HTTP/1,1", 400),
        ("http/1.1", 400),
        ("FTP/1.1", 400),
        ("HTTP", 400),
        ("HTTP/1.1 HTTP/1.1", 400),
    ] {
        let mut client = server.connect();
        let reply = client.ask(format!("GET /hello.txt {version}\r\nHost: x\r\n\r\n"));
        assert_eq!(reply.status(), status, "{version}");
        assert_eq!(reply.head.version, "HTTP/1.1");
        if status != 200 {
            assert!(reply.head.closes(), "{version}");
            client.assert_closed();
        }
    }
}

#[test]
fn http_1_2_is_treated_as_1_1() {
    let server = server();
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(
            client
                .ask("GET /hello.txt HTTP/1.2\r\nHost: x\r\n\r\n")
                .status(),
            200
        );
    }
    assert_eq!(
        client.ask("GET /hello.txt HTTP/1.2\r\n\r\n").status(),
        400,
        "no Host"
    );
}

#[test]
fn a_malformed_request_line_is_400() {
    let server = server();
    for line in [
        "GET",
        "GET /a b HTTP/1.1",
        "G\x01T / HTTP/1.1",
        "GE(T / HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "\x16\x03\x01\x02",
        "{}",
    ] {
        assert_eq!(
            last_reply(&server, format!("{line}\r\nHost: x\r\n\r\n")).status(),
            400,
            "{line:?}"
        );
    }
}

#[test]
fn a_long_request_line_is_414() {
    let server = server();
    let target = |length| format!("/hello.txt?{}", "x".repeat(length));
    assert_eq!(server.get(&target(8000)).status(), 200);
    assert_eq!(last_reply(&server, get(&target(8192))).status(), 414);
    let endless = "GET /".to_owned() + &"x".repeat(9000);
    assert_eq!(
        last_reply(&server, endless).status(),
        414,
        "without an end of line"
    );
}

#[test]
fn a_large_head_is_431() {
    let server = server();
    let field = |length| format!("X-Long: {}", "x".repeat(length));
    let ask = |length| request("GET", "/hello.txt", &[&field(length)]);
    assert_eq!(server.ask(ask(30_000)).status(), 200);
    assert_eq!(last_reply(&server, ask(33_000)).status(), 431);
    let endless = format!("GET / HTTP/1.1\r\n{}", field(33_000));
    assert_eq!(
        last_reply(&server, endless).status(),
        431,
        "without an end of line"
    );
}

#[test]
fn more_than_a_hundred_fields_are_431() {
    let server = server();
    let ask = |count| request("GET", "/hello.txt", &vec!["X: y"; count]);
    assert_eq!(server.ask(ask(99)).status(), 200, "99 fields and Host");
    assert_eq!(last_reply(&server, ask(100)).status(), 431);
    assert_eq!(last_reply(&server, ask(5000)).status(), 431);
}

#[test]
fn exactly_one_valid_host_is_required() {
    let server = server();
    for (fields, status) in [
        ("Host: example.com\r\n", 200),
        ("hOST:example.com:8000\r\n", 200),
        ("Host: [::1]\r\n", 200),
        ("Host: [::1]:8000\r\n", 200),
        ("Host: example.com:\r\n", 200),
        ("", 400),
        ("Host:\r\n", 400),
        ("Host: \t \r\n", 400),
        ("Host: :80\r\n", 400),
        ("Host: :\r\n", 400),
        ("Host: []\r\n", 400),
        ("Host: []:80\r\n", 400),
        ("Host: [::1\r\n", 400),
        ("Host: [::1]:80x\r\n", 400),
        ("Host: x:80:80\r\n", 400),
        ("Host: x:abc\r\n", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: a/b\r\n", 400),
        ("Host: a@b\r\n", 400),
        ("Host: <a>\r\n", 400),
    ] {
        let mut client = server.connect();
        let reply = client.ask(format!("GET /hello.txt HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(reply.status(), status, "{fields:?}");
        assert_eq!(reply.head.closes(), status == 400, "{fields:?}");
    }
    // HTTP/1.0 needs no Host. An empty Host counts as none, because the server has only one site (RFC 9112 §3.3).
    for fields in ["", "Host:\r\n", "Host: :80\r\n", "Host: a\r\n"] {
        let request = format!("GET /hello.txt HTTP/1.0\r\n{fields}\r\n");
        assert_eq!(server.ask(request).status(), 200, "{fields:?}");
    }
    for fields in ["Host: []\r\n", "Host:\r\nHost:\r\n", "Host: a b\r\n"] {
        let request = format!("GET /hello.txt HTTP/1.0\r\n{fields}\r\n");
        assert_eq!(server.ask(request).status(), 400, "{fields:?}");
    }
    let absolute = "GET http://any.example/hello.txt HTTP/1.1\r\nHost:\r\n\r\n";
    assert_eq!(server.ask(absolute).status(), 400);
    assert_eq!(
        server
            .ask("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")
            .status(),
        400
    );
}

#[test]
fn targets_may_be_absolute() {
    let server = server();
    for (target, body) in [
        ("http://any.example/hello.txt", "Hello, world!\n"),
        (
            "HTTP://ANY.EXAMPLE:8000/hello.txt?x=http://y/",
            "Hello, world!\n",
        ),
        ("https://[::1]/dir/../docs/", "<p>index</p>\n"),
        ("http://any.example//hello.txt", "Hello, world!\n"),
    ] {
        assert_eq!(server.get(target).text(), body, "{target}");
    }
    for target in ["http://any.example", "http://any.example?x"] {
        assert_eq!(server.get(target).status(), 200, "{target}");
    }
    for target in [
        "ftp://any.example/",
        "any.example:80",
        "http:/hello.txt",
        "http:///hello.txt",
        "http://:80/hello.txt",
        "http://:/hello.txt",
        "HTTPS://:8000",
        "http://[]/hello.txt",
        "http://[]:80/hello.txt",
        "*",
        "hello.txt",
    ] {
        assert_eq!(server.get(target).status(), 400, "{target}");
    }
}

#[test]
fn options_lists_the_methods() {
    let server = server();
    let mut client = server.connect();
    for target in ["*", "/", "/hello.txt", "/missing"] {
        let reply = client.ask(request("OPTIONS", target, &[]));
        assert_eq!(
            (reply.status(), reply.head.reason.as_str()),
            (204, "No Content")
        );
        let allow: Vec<_> = reply.field("Allow").unwrap().split(", ").collect();
        assert_eq!(allow, ["GET", "HEAD", "OPTIONS"], "{target}");
    }
}

/// The HTTP Method Registry of IANA in June 2026, without CONNECT, whose target is an authority, and the methods that are allowed.
const KNOWN: &str = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL \
    MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PATCH POST PRI PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND \
    UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL";

#[test]
fn known_methods_are_405() {
    let server = server();
    let mut client = server.connect();
    for method in KNOWN.split_ascii_whitespace() {
        for target in ["/hello.txt", "/missing", "/"] {
            let reply = client.ask(request(method, target, &[]));
            assert_eq!(reply.status(), 405, "{method} {target}");
            assert_eq!(reply.field("Allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    let reply = client.ask(request("CONNECT", "example.com:443", &[]));
    assert_eq!(reply.status(), 405);
}

#[test]
fn unknown_methods_are_501() {
    let server = server();
    let mut client = server.connect();
    for method in [
        "SPAM",
        "get",
        "GETT",
        "propfind",
        "PURGE",
        "!#$%&'*+-.^_`|~",
    ] {
        let reply = client.ask(request(method, "/hello.txt", &[]));
        assert_eq!(reply.status(), 501, "{method}");
        assert!(reply.text().contains("Unsupported method"), "{method}");
    }
    client.assert_open();
}

#[test]
fn the_client_decides_whether_the_connection_stays() {
    let server = server();
    for (version, connection, lives) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: close, x\r\n", false),
        ("1.1", "Connection: x , close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: x, Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let mut client = server.connect();
        let reply = client.ask(format!(
            "GET /hello.txt HTTP/{version}\r\nHost: x\r\n{connection}\r\n"
        ));
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.head.closes(), !lives, "{version} {connection:?}");
        if lives {
            client.assert_open();
        } else {
            client.assert_closed();
        }
        let echoed = reply
            .field("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"));
        assert_eq!(
            echoed,
            lives && version == "1.0",
            "{version} {connection:?}"
        );
    }
}

#[test]
fn errors_and_redirects_keep_the_connection() {
    let server = server();
    let mut client = server.connect();
    for (request, status) in [
        (get("/missing"), 404),
        (get("/dir"), 301),
        (request("POST", "/", &[]), 405),
        (request("SPAM", "/", &[]), 501),
        (request("GET", "/hello.txt", &["Range: bytes=99-"]), 416),
        (request("GET", "/hello.txt", &["If-Match: \"x\""]), 412),
        (request("HEAD", "/missing", &[]), 404),
    ] {
        let reply = client.ask(&request);
        assert_eq!(reply.status(), status, "{request}");
        assert!(!reply.head.closes(), "{request}");
    }
    assert_eq!(client.get("/hello.txt").status(), 200);
}

#[test]
fn the_http_1_0_option_closes_after_each_reply() {
    let server = Server::with(&Site::new(), &["-p", "HTTP/1.0"]);
    for request in [
        get("/hello.txt"),
        "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
    ] {
        let mut client = server.connect();
        let reply = client.ask(&request);
        assert_eq!(reply.head.version, "HTTP/1.0");
        assert_eq!(reply.body, b"Hello, world!\n");
        client.assert_closed();
    }
    let mut client = server.connect();
    client.send(get("/hello.txt") + &get("/docs/"));
    assert_eq!(client.read_reply().body, b"Hello, world!\n");
    client.assert_closed();
}

#[test]
fn the_date_is_an_imf_fixdate() {
    let reply = server().get("/hello.txt");
    let date = reply.field("Date").unwrap();
    let shape: String = date
        .chars()
        .map(|c| match c {
            '0'..='9' => '0',
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            c => c,
        })
        .collect();
    assert_eq!(shape, "Aaa, 00 Aaa 0000 00:00:00 AAA", "{date}");
}
