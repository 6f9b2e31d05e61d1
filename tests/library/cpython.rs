//! CPython's own tests of http.server (Lib/test/test_httpservers.py) for httpoll. Where the answer differs on purpose, a
//! comment says so.

use std::io::{self, Read as _, Write as _};

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer};

use crate::client::{Framing, Reply};
use crate::handlers::{answering, send_text};
use crate::running::Running;

/// The request handler of these tests in CPython, without what only Python can do.
struct Handler;

impl BaseHttpRequestHandler for Handler {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", "text/html");
        exchange.end_headers();
        Ok(exchange
            .wfile()
            .write_all(b"<html><body>Data</body></html>\r\n")?)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        Ok(())
    }

    fn do_other(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let custom = HttpStatus::try_from(999)?;
        match exchange.command() {
            "CUSTOM" => exchange.send_response(custom),
            "NOCONTENT" => exchange.send_response(HttpStatus::NO_CONTENT),
            "UNKNOWNERROR" => {
                exchange.send_error(custom, None, None);
                return Ok(());
            }
            "EXPLAINERROR" => {
                exchange.send_error(
                    custom,
                    Some("Short Message"),
                    Some("This is a long \n explanation"),
                );
                return Ok(());
            }
            "SENDERROR" => {
                let code: u16 = exchange.path()[1..].parse().map_err(io::Error::other)?;
                exchange.send_error(HttpStatus::try_from(code)?, None, None);
                return Ok(());
            }
            "LATIN1" => {
                exchange.send_response(HttpStatus::OK);
                exchange.send_header("X-Special", b"D\xe4ngerous Mind".as_slice());
            }
            _ => return Err("unsupported".into()),
        }
        exchange.end_headers();
        Ok(())
    }

    fn handle_error(&mut self, _exchange: &mut Exchange<'_>, _failure: &str) {}
}

fn respond(request: &str) -> Vec<u8> {
    MemoryServer::new(Handler).respond(request.as_bytes())
}

/// The only reply to the only request.
fn only_reply(request: &str) -> Reply {
    let method = request.split(' ').next().unwrap();
    Reply::all(&respond(request), &[method]).pop().unwrap()
}

#[test]
fn request_lines_are_understood_or_refused_with_the_right_code() {
    for (request, status) in [
        ("GET / HTTP/1.1\nHost: a\n\n", 200),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("POST / HTTP/1.1\nHost: a\n\n", 501),
        ("GET / FUBAR\r\n\r\n", 400),
        ("GET / HTTP/9.9.9\r\n\r\n", 400),
        ("GET / HTTP/-9.9\r\n\r\n", 400),
        ("GET / HTTP/+1.0\r\n\r\n", 400),
        ("GET / HTTP/1_0.0\r\n\r\n", 400),
        ("GET / HTTP/1\r\n\r\n", 400),
        ("GET / HTTP/1.\r\n\r\n", 400),
        ("GET / HTTP/.1\r\n\r\n", 400),
        ("GET / http/1.1\r\n\r\n", 400),
        ("GET / FTP/1.1\r\n\r\n", 400),
        // Differs: RFC 9112 §2.3 allows one digit on each side of the dot, Python ten.
        ("GET / HTTP/99.9\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 505),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1 more\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("PUT /\r\n\r\n", 400),
    ] {
        let reply = only_reply(request);
        assert_eq!(reply.status, status, "{request:?}");
        // Differs: Python sends no status line before it has parsed a version.
        assert_eq!(reply.closes(), matches!(status, 400 | 505), "{request:?}");
    }
}

#[test]
fn a_request_without_a_version_is_answered_with_the_body_alone() {
    let body = b"<html><body>Data</body></html>\r\n";
    for request in [
        "GET /\r\n",
        "GET /\n",
        "GET /\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
    ] {
        assert_eq!(respond(request), body, "{request:?}");
    }
}

#[test]
fn an_empty_line_is_skipped() {
    assert_eq!(respond("\r\n"), b"");
    assert_eq!(respond(""), b"");
    // Differs: a server should skip an empty line (RFC 9112 §2.2), Python closes.
    assert_eq!(only_reply("\r\nGET / HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn keep_alive_depends_on_the_version_and_on_what_the_client_says() {
    for (version, connection, stays) in [
        ("1.1", None, true),
        ("1.1", Some("keep-alive"), true),
        ("1.1", Some("close"), false),
        ("1.1", Some("CLOSE"), false),
        ("1.1", Some("close, x"), false), // differs: Python compares the whole value
        ("1.1", Some("closed"), true),
        ("1.0", None, false),
        ("1.0", Some("keep-alive"), true),
        ("1.0", Some("Keep-Alive"), true),
        ("1.0", Some("close"), false),
    ] {
        let connection =
            connection.map_or(String::new(), |value| format!("Connection: {value}\r\n"));
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        let methods = if stays {
            ["GET"; 3].as_slice()
        } else {
            &["GET"]
        };
        for reply in Reply::all(&respond(&request.repeat(3)), methods) {
            let said = match (stays, version) {
                (false, _) => Some("close"),
                (true, "1.0") => Some("keep-alive"), // differs: Python does not echo it
                (true, _) => None,
            };
            assert_eq!(reply.field("connection"), said, "{request}");
        }
    }
}

#[test]
fn a_failing_handler_is_a_500() {
    assert_eq!(
        only_reply("BREAK / HTTP/1.1\r\nHost: a\r\n\r\n").status,
        500
    );
}

#[test]
fn an_unregistered_status_has_a_placeholder_phrase() {
    let custom = only_reply("CUSTOM / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        custom.head.starts_with("HTTP/1.1 999 ???\r\n"),
        "{}",
        custom.head
    );
    let unknown = only_reply("UNKNOWNERROR / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(unknown.status, 999);
    assert!(unknown.text().contains("???"));
    let explained = only_reply("EXPLAINERROR / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Differs: the message is never in the status line.
    assert!(
        explained.head.starts_with("HTTP/1.1 999 ???\r\n"),
        "{}",
        explained.head
    );
    for text in ["Short Message", "This is a long \n explanation"] {
        assert!(explained.text().contains(text));
    }
}

#[test]
fn a_field_may_have_bytes_beyond_ascii() {
    let bytes = respond("LATIN1 / HTTP/1.1\r\nHost: a\r\n\r\n");
    let wanted = b"X-Special: D\xe4ngerous Mind\r\n";
    assert!(crate::client::find(&bytes, wanted).is_some());
}

#[test]
fn an_error_has_a_length_unless_it_has_no_body() {
    for code in [404, 400, 505, 204, 205, 304] {
        let request = format!("SENDERROR /{code} HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = only_reply(&request);
        assert_eq!(reply.status, code);
        let length = reply.field("content-length");
        match code {
            204 | 304 => assert_eq!((length, reply.framing), (None, Framing::Bodiless)),
            205 => assert_eq!(length, Some("0")),
            _ => assert_eq!(length, Some(reply.body.len().to_string().as_str())),
        }
        if matches!(code, 204 | 205 | 304) {
            assert_eq!(reply.field("content-type"), None, "{code}");
        }
    }
}

#[test]
fn head_of_an_error_has_the_length_and_no_body() {
    let reply = only_reply("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reply.status, 404);
    assert!(
        reply
            .field("content-length")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    assert!(reply.field("content-type").is_some());
    assert_eq!(reply.body, b"");
}

#[test]
fn a_204_has_no_content() {
    let two = "NOCONTENT / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let replies = Reply::all(&respond(two), &["NOCONTENT", "GET"]);
    assert_eq!(replies[0].status, 204);
    assert_eq!(replies[0].field("content-length"), None);
}

#[test]
fn request_text_is_escaped_in_the_error_page() {
    let reply = only_reply("GET /<script>alert(1)</script> SPAM\r\n\r\n");
    assert_eq!(reply.status, 400);
    assert!(!reply.text().contains("<script>alert"));
    let bytes = MemoryServer::new(answering(|exchange| {
        let message = format!("no {}", exchange.path());
        exchange.send_error(HttpStatus::NOT_FOUND, Some(&message), None);
        Ok(())
    }))
    .respond(b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: a\r\n\r\n");
    let text = Reply::all(&bytes, &["GET"]).pop().unwrap();
    assert!(
        text.text()
            .contains("no /&lt;script&gt;alert(1)&lt;/script&gt;")
    );
}

#[test]
fn long_lines_are_414_and_many_fields_are_431() {
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65537));
    assert_eq!(only_reply(&long_line).status, 414);
    let long_field = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n",
        "x".repeat(65537)
    );
    assert_eq!(only_reply(&long_field).status, 431);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X-A: 1\r\n".repeat(100)
    );
    assert_eq!(only_reply(&many).status, 431);
    let enough = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X-A: 1\r\n".repeat(99)
    );
    assert_eq!(only_reply(&enough).status, 200);
}

#[test]
fn leading_slashes_are_one() {
    let path = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let bytes = MemoryServer::new(answering(|exchange| {
            let path = exchange.path().to_owned();
            send_text(exchange, &path)
        }))
        .respond(request.as_bytes());
        Reply::all(&bytes, &["GET"])[0].text().to_owned()
    };
    assert_eq!(
        path("//evil.example/%2e%2e?a#b"),
        "/evil.example/%2e%2e?a#b"
    );
    assert_eq!(path("/////x"), "/x");
    assert_eq!(path("/a//b"), "/a//b");
    assert_eq!(path("http://evil.example//x"), "/x");
}

#[test]
fn expectations_need_http_1_1() {
    let refusing = |version: &str| {
        struct Refusing;
        impl BaseHttpRequestHandler for Refusing {
            fn reads_body(&self, _command: &str, _path: &str) -> bool {
                true
            }
            fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
                Ok(send_text(exchange, "put")?)
            }
            fn handle_expect_100(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult<bool> {
                exchange.send_error(HttpStatus::EXPECTATION_FAILED, None, None);
                Ok(false)
            }
        }
        let server = Running::new(|| Refusing);
        let mut client = server.client();
        client.send(format!(
            "PUT / HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        ));
        if version == "1.0" {
            client.send("x");
        }
        client.reply().status
    };
    assert_eq!(refusing("1.1"), 417);
    assert_eq!(refusing("1.0"), 200);
    let unknown = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(only_reply(unknown).status, 417);
}

#[test]
fn head_and_body_leave_in_one_write() {
    let server = Running::new(|| {
        answering(|exchange| match exchange.path() {
            "/error" => {
                exchange.send_error(HttpStatus::NOT_FOUND, None, None);
                Ok(())
            }
            _ => {
                exchange.send_response(HttpStatus::OK);
                for number in 0..50 {
                    exchange.send_header(&format!("X-{number}"), "value");
                }
                exchange.end_headers();
                (0..1000).try_for_each(|_| exchange.wfile().write_all(b"line of text\n"))
            }
        })
    });
    for path in ["/error", "/"] {
        for _ in 0..20 {
            let mut client = server.client();
            client.send(crate::client::get(path));
            let mut buffer = vec![0; 64 * 1024];
            let length = client.stream.read(&mut buffer).unwrap();
            let whole = Reply::parse(&buffer[..length], "GET", false);
            assert!(
                whole.is_some_and(|(_, end)| end == length),
                "{path}: not in one piece"
            );
        }
    }
}
