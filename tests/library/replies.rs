//! Replies of one call, statuses and values as numbers and text, and what an exchange tells of request and reply.

use std::borrow::Cow;
use std::io::{self, Write as _};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, InvalidStatus, LogFormat,
    MemoryServer, ProtocolVersion,
};

use crate::client::{Reply, get, post};
use crate::handlers::{answering, reply, request, send_text};

fn answer(wrong: fn(&mut Exchange<'_>)) -> (Reply, Vec<String>) {
    let mut server = MemoryServer::new(answering(|exchange: &mut Exchange<'_>| {
        wrong(exchange);
        Ok(())
    }));
    let bytes = server.respond(get("/path").as_bytes());
    let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
    (reply, server.handler().failures.clone())
}

#[test]
fn text_and_json_have_their_fields_and_take_more() {
    for (send, status, media_type, body) in [
        (
            (|exchange| exchange.send_text(200, "text")) as fn(&mut Exchange<'_>),
            200,
            "text/plain; charset=utf-8",
            "text",
        ),
        (
            |exchange| exchange.send_text(HttpStatus::CREATED, format!("{}", 1)),
            201,
            "text/plain; charset=utf-8",
            "1",
        ),
        (
            |exchange| exchange.send_json(400, vec![b'{', b'}']),
            400,
            "application/json",
            "{}",
        ),
        (
            |exchange| {
                exchange.send_text(200, "");
                exchange.send_header("X-Mine", 1);
            },
            200,
            "text/plain; charset=utf-8",
            "",
        ),
        (
            |exchange| {
                exchange.send_json(200, "[");
                exchange.end_headers();
                exchange.wfile().write_all(b"]").unwrap();
            },
            200,
            "application/json",
            "[]",
        ),
    ] {
        let (reply, failures) = answer(send);
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!((reply.status, reply.text()), (status, body));
        assert_eq!(reply.field("content-type"), Some(media_type));
        assert_eq!(
            reply.field("content-length"),
            Some(&*body.len().to_string())
        );
        assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
        let mine = body.is_empty().then_some("1");
        assert_eq!(reply.field("x-mine"), mine);
    }
    let head = reply(&request("HEAD"), |exchange| {
        exchange.send_json(200, "{}");
        Ok(())
    });
    assert_eq!(head.field("content-length"), Some("2"));
    let empty = reply(&request("GET"), |exchange| {
        exchange.send_text(204, "left out");
        Ok(())
    });
    assert_eq!((empty.status, empty.text()), (204, ""));
    for without_content in [204, 205, 304] {
        let reply = reply(&request("GET"), |exchange| {
            exchange.send_json(without_content, "{}");
            Ok(())
        });
        assert_eq!(reply.field("content-type"), None, "{without_content}");
    }
}

#[test]
fn a_media_type_of_the_handler_replaces_that_of_text_and_json() {
    for send in [
        (|exchange| exchange.send_text(200, "text")) as fn(&mut Exchange<'_>),
        |exchange| exchange.send_json(200, "{}"),
    ] {
        let reply = reply(&request("GET"), |exchange| {
            send(exchange);
            exchange.send_header("content-type", "application/problem+json");
            Ok(())
        });
        let types = reply
            .head
            .to_ascii_lowercase()
            .matches("content-type:")
            .count();
        assert_eq!(types, 1, "{}", reply.head);
        assert_eq!(
            reply.field("content-type"),
            Some("application/problem+json")
        );
    }
}

#[test]
fn a_second_reply_of_one_call_is_misuse() {
    let (reply, failures) = answer(|exchange| {
        exchange.send_text(200, "one");
        exchange.send_json(200, "2");
    });
    assert_eq!(reply.status, 500);
    assert_eq!(failures, ["a second status line"]);
}

#[test]
fn a_number_is_a_status_if_it_has_three_digits() {
    for send in [
        (|exchange| exchange.send_response(1000)) as fn(&mut Exchange<'_>),
        |exchange| exchange.send_response_only(99),
        |exchange| exchange.send_error(0, None, None),
        |exchange| exchange.send_text(65_535, "text"),
        |exchange| {
            exchange.send_text(200, "replaced");
            exchange.send_error(1, None, None);
        },
    ] {
        let (reply, failures) = answer(send);
        assert_eq!(reply.status, 500);
        assert_eq!(failures, ["a status without three digits"]);
    }
    let (reply, _) = answer(|exchange| exchange.send_error(404, Some("gone"), None));
    assert_eq!(reply.status, 404);
    let (reply, _) = answer(|exchange| exchange.send_response(299));
    assert!(reply.head.starts_with("HTTP/1.1 299 ???"), "{}", reply.head);
}

#[test]
fn statuses_versions_and_formats_are_read_as_they_are_written() {
    assert_eq!(HttpStatus::try_from(404), Ok(HttpStatus::NOT_FOUND));
    assert_eq!(HttpStatus::try_from(99), Err(InvalidStatus));
    assert_eq!(u16::from(HttpStatus::NOT_FOUND), 404);
    for text in ["404", "404 Not Found", "404 "] {
        assert_eq!(text.parse(), Ok(HttpStatus::NOT_FOUND), "{text:?}");
    }
    for text in [
        "",
        "99",
        "099",
        "0404",
        "+404",
        "1000",
        " 404",
        "404x",
        "Not Found",
    ] {
        assert_eq!(text.parse::<HttpStatus>(), Err(InvalidStatus), "{text:?}");
    }
    for format in [
        LogFormat::None,
        LogFormat::Common,
        LogFormat::Combined,
        LogFormat::Json,
    ] {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    for version in [ProtocolVersion::Http10, ProtocolVersion::Http11] {
        assert_eq!(version.to_string(), version.name());
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    let error = "xml".parse::<LogFormat>().unwrap_err();
    assert_eq!(error.to_string(), "not one of none, common, combined, json");
    let error = "HTTP/2".parse::<ProtocolVersion>().unwrap_err();
    assert_eq!(error.to_string(), "not one of HTTP/1.0, HTTP/1.1");
}

#[test]
fn a_field_may_be_text_bytes_or_a_number() {
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_response(200);
        exchange.send_header("A", 5);
        exchange.send_header("B", -7_i64);
        exchange.send_header("C", u64::MAX);
        exchange.send_header("D", "text");
        exchange.send_header("E", String::from("string"));
        exchange.send_header("F", b"bytes");
        exchange.send_header("G", vec![b'v']);
        exchange.send_header("H", Cow::Borrowed("cow"));
        for (name, value) in &[("I", "reference"), ("K", "second")] {
            exchange.send_header(name, value);
        }
        exchange.send_header("J", &[b'x'][..]);
        exchange.send_header("Content-Length", 0_usize);
        Ok(())
    });
    for (name, value) in [
        ("a", "5"),
        ("b", "-7"),
        ("c", "18446744073709551615"),
        ("d", "text"),
        ("e", "string"),
        ("f", "bytes"),
        ("g", "v"),
        ("h", "cow"),
        ("i", "reference"),
        ("j", "x"),
        ("k", "second"),
        ("content-length", "0"),
    ] {
        assert_eq!(reply.field(name), Some(value), "{name}");
    }
}

#[test]
fn the_fields_of_a_request_can_be_looped_over() {
    let reply = reply(
        "GET / HTTP/1.1\r\nHost: test\r\nA: 1\r\na: 2\r\n\r\n",
        |exchange| {
            let headers = exchange.headers();
            let mut names = String::new();
            for (name, _) in &headers {
                names += name;
            }
            assert_eq!(headers.iter().len(), 3);
            for (_, value) in headers {
                names += str::from_utf8(value).unwrap();
            }
            send_text(exchange, &names)
        },
    );
    assert_eq!(reply.text(), "HostAatest12");
}

#[test]
fn the_query_is_decoded_pairs_and_not_in_the_path() {
    for (target, expected) in [
        ("/a/b", "/a/b"),
        ("/a?", "/a"),
        ("/%61?q=a+b%2b&x&=y&q=%C3%A9", "/%61 q=a b+ x= =y q=é"),
        ("http://test/a?b=c?d", "/a b=c?d"),
        ("//a?b", "/a b="),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        let reply = reply(&request, |exchange| {
            let mut text = exchange.path_only().to_owned();
            for (name, value) in exchange.query() {
                text += &format!(" {name}={value}");
            }
            send_text(exchange, &text)
        });
        assert_eq!(reply.text(), expected);
    }
}

#[test]
fn the_status_of_a_begun_reply_is_known() {
    let reply = reply(&request("GET"), |exchange| {
        assert_eq!(exchange.status(), None);
        exchange.send_response(HttpStatus::CREATED);
        assert_eq!(exchange.status(), Some(HttpStatus::CREATED));
        exchange.send_error(404, None, None);
        assert_eq!(exchange.status(), Some(HttpStatus::NOT_FOUND));
        exchange.send_error(1, None, None);
        assert_eq!(exchange.status(), None);
        exchange.send_error(410, None, None);
        Ok(())
    });
    assert_eq!(reply.status, 410, "an error page replaces all before it");
}

#[test]
fn the_length_of_a_body_stays_when_the_body_is_read_or_taken() {
    struct Takes;
    impl BaseHttpRequestHandler for Takes {
        fn reads_body(&self, _command: &str, _path: &str) -> bool {
            true
        }
        fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            let length = exchange.body_length();
            let mut start = [0; 1];
            io::Read::read(&mut exchange.rfile(), &mut start)?;
            assert_eq!(exchange.body_length(), length);
            let mut body = exchange.take_body();
            assert_eq!(exchange.body_length(), length);
            assert_eq!(io::read_to_string(exchange.rfile())?, "");
            assert_eq!(io::read_to_string(exchange.take_body())?, "");
            assert_eq!(exchange.body_length(), length);
            let rest = io::read_to_string(&mut body)?;
            let deferred = exchange.defer();
            deferred.answer(move |exchange| {
                let length = exchange.body_length();
                Ok(send_text(exchange, &format!("{length} {rest}"))?)
            });
            Ok(())
        }
    }
    for (body, expected) in [("", "0 "), ("x", "1 "), ("12345", "5 2345")] {
        let bytes = MemoryServer::new(Takes).respond(&post("/", body));
        assert_eq!(Reply::all(&bytes, &["POST"])[0].text(), expected);
    }
}
