//! Handlers that fail, panic or misuse their exchange.

use std::io::{self, Write as _};
use std::panic::panic_any;

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerError, HandlerResult, HttpStatus, MemoryServer,
    Source,
};

use crate::child::Child;
use crate::client::{Reply, get};
use crate::handlers::{answering, reply, request, send_text};
use crate::running::Running;

type Answer = fn(&mut Exchange<'_>) -> io::Result<()>;

/// Asserts that `wrong` leads to a clean 500, an open connection and one call of `handle_error`; returns the argument of that call.
fn failure(wrong: Answer) -> String {
    let mut server = MemoryServer::new(answering(|exchange| match exchange.path() {
        "/wrong" => wrong(exchange),
        _ => send_text(exchange, "alive"),
    }));
    let two = format!("{}{}", get("/wrong"), get("/"));
    let bytes = server.respond(two.as_bytes());
    let replies = Reply::all(&bytes, &["GET"; 2]);
    assert_eq!(replies[0].status, 500, "{}", replies[0].head);
    assert!(replies[0].text().contains("Internal Server Error"));
    assert!(!replies[0].head.contains("X-Mine"), "{}", replies[0].head);
    assert_eq!(replies[1].text(), "alive");
    let failures = &server.handler().failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    failures[0].clone()
}

pub(crate) fn begin(exchange: &mut Exchange<'_>) {
    exchange.send_response(HttpStatus::OK);
    exchange.send_header("X-Mine", "1");
}

#[test]
fn an_error_of_the_handler_is_a_500_at_any_point() {
    let wrongs: [Answer; 3] = [
        |_| Err(io::Error::other("the disk is on fire")),
        |exchange| {
            begin(exchange);
            Err(io::Error::other("the disk is on fire"))
        },
        |exchange| {
            begin(exchange);
            exchange.end_headers();
            exchange.wfile().write_all(b"half of it")?;
            Err(io::Error::other("the disk is on fire"))
        },
    ];
    for wrong in wrongs {
        assert_eq!(failure(wrong), "the disk is on fire");
    }
}

#[test]
fn a_panic_of_the_handler_is_a_500() {
    let told = failure(|exchange| {
        begin(exchange);
        panic!("expected in this test")
    });
    assert_eq!(told, "the handler panicked: expected in this test");
}

#[test]
fn a_panic_is_told_with_its_message_if_that_is_text() {
    assert_eq!(
        failure(|exchange| panic!("no {} at {}", exchange.command(), exchange.path())),
        "the handler panicked: no GET at /wrong"
    );
    assert_eq!(failure(|_| panic_any(7)), "the handler panicked");
}

#[test]
fn a_method_may_return_any_error() {
    #[derive(Default)]
    struct Fails(Vec<String>);
    impl BaseHttpRequestHandler for Fails {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            match exchange.path() {
                "/number" => drop("x".parse::<u32>()?),
                "/file" => drop(std::fs::File::open("/nonexistent")?),
                "/utf-8" => drop(String::from_utf8(vec![0xff])?),
                "/status" => drop(HttpStatus::try_from(1)?),
                "/text" => return Err("in words".into()),
                _ => return Err(format!("no {}", exchange.path()).into()),
            }
            Ok(())
        }
        fn handle_error(&mut self, _exchange: &mut Exchange<'_>, failure: &str) {
            self.0.push(failure.to_owned());
        }
    }
    for (path, expected) in [
        ("/number", "invalid digit found in string"),
        ("/file", "No such file or directory"),
        ("/utf-8", "invalid utf-8 sequence"),
        ("/status", "three digits"),
        ("/text", "in words"),
        ("/other", "no /other"),
    ] {
        let mut server = MemoryServer::new(Fails::default());
        let bytes = server.respond(get(path).as_bytes());
        assert_eq!(Reply::all(&bytes, &["GET"])[0].status, 500);
        let told = &server.handler().0;
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    }
}

#[test]
fn an_error_may_have_a_status() {
    #[derive(Default)]
    struct Refuses(Vec<String>);
    impl BaseHttpRequestHandler for Refuses {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            begin(exchange);
            let status: u16 = exchange.path().trim_start_matches('/').parse()?;
            Err(HandlerError::new(status, "no <tea>"))
        }
        fn handle_error(&mut self, _exchange: &mut Exchange<'_>, failure: &str) {
            self.0.push(failure.to_owned());
        }
    }
    let mut server = MemoryServer::new(Refuses::default());
    for (asked, status, is_of_client) in [
        ("/400", 400, true),
        ("/404", 404, true),
        ("/499", 499, true),
        ("/500", 500, false),
        ("/503", 503, false),
        ("/599", 599, false),
        // Not the status of an error.
        ("/200", 500, false),
        ("/100", 500, false),
        ("/304", 500, false),
        ("/600", 500, false),
        ("/7", 500, false),
    ] {
        let told = server.handler().0.len();
        let two = [get(asked), get(asked)].concat();
        for reply in Reply::all(&server.respond(two.as_bytes()), &["GET"; 2]) {
            assert_eq!(reply.status, status, "{asked}");
            let page = reply.text();
            assert_eq!(page.contains("no &lt;tea&gt;"), is_of_client, "{page}");
            assert_eq!(reply.field("x-mine"), None);
        }
        let failures = &server.handler().0[told..];
        let expected: &[_] = if is_of_client { &[] } else { &["no <tea>"; 2] };
        assert_eq!(failures, expected, "{asked}");
    }
}

#[test]
fn no_reply_at_all_is_a_500() {
    failure(|_| Ok(()));
}

#[test]
fn two_replies_are_a_500() {
    failure(|exchange| {
        begin(exchange);
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        Ok(())
    });
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.send_response(HttpStatus::NOT_FOUND);
        Ok(())
    });
}

#[test]
fn a_head_that_ends_twice_or_never_began_is_a_500() {
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.end_headers();
        Ok(())
    });
    failure(|exchange| {
        exchange.end_headers();
        Ok(())
    });
}

#[test]
fn an_unfinished_head_is_finished() {
    let reply = reply(&request("GET"), |exchange| {
        begin(exchange);
        Ok(())
    });
    assert_eq!((reply.status, reply.field("x-mine")), (200, Some("1")));
    assert_eq!(reply.field("content-length"), Some("0"));
}

#[test]
fn a_field_before_or_after_the_head_is_a_500() {
    failure(|exchange| {
        exchange.send_header("X-Mine", "1");
        begin(exchange);
        exchange.end_headers();
        Ok(())
    });
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.send_header("X-Mine", "2");
        Ok(())
    });
}

#[test]
fn a_framing_field_after_the_head_is_a_500() {
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.send_header("Content-Length", "0");
        Ok(())
    });
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.send_header("Connection", "close");
        Ok(())
    });
}

#[test]
fn malformed_framing_fields_are_a_500() {
    let wrongs: [Answer; 4] = [
        |exchange| with_field(exchange, "Transfer-Encoding", b"chunked"),
        |exchange| with_field(exchange, "Content-Length", b"a few"),
        |exchange| with_field(exchange, "Content-Length", b"-1"),
        |exchange| with_field(exchange, "Content-Length", b""),
    ];
    for wrong in wrongs {
        failure(wrong);
    }
}

fn with_field(exchange: &mut Exchange<'_>, name: &str, value: &[u8]) -> io::Result<()> {
    exchange.send_response(HttpStatus::OK);
    exchange.send_header(name, value);
    exchange.end_headers();
    Ok(())
}

#[test]
fn a_body_longer_or_shorter_than_announced_is_a_500() {
    fn announcing(exchange: &mut Exchange<'_>, length: &str) -> io::Result<()> {
        begin(exchange);
        exchange.send_header("Content-Length", length);
        exchange.end_headers();
        exchange.wfile().write_all(b"1234567890")
    }
    failure(|exchange| announcing(exchange, "9"));
    failure(|exchange| announcing(exchange, "11"));
    failure(|exchange| announcing(exchange, "0"));
}

#[test]
fn a_file_of_another_length_than_announced_is_a_500() {
    failure(|exchange| {
        begin(exchange);
        exchange.send_header("Content-Length", "9");
        exchange.end_headers();
        exchange.copyfile(std::fs::File::open("Cargo.toml")?, 0..10);
        Ok(())
    });
}

#[test]
fn two_lengths_that_differ_are_a_500() {
    failure(|exchange| {
        begin(exchange);
        exchange.send_header("Content-Length", "9");
        exchange.send_header("Content-Length", "10");
        exchange.end_headers();
        exchange.wfile().write_all(b"1234567890")
    });
}

#[test]
fn a_write_before_the_head_has_ended_is_an_error() {
    failure(|exchange| {
        begin(exchange);
        exchange.wfile().write_all(b"too early")
    });
    failure(|exchange| exchange.wfile().write_all(b"much too early"));
    failure(|exchange| {
        begin(exchange);
        exchange.copyfile(std::fs::File::open("Cargo.toml")?, 0..10);
        exchange.end_headers();
        Ok(())
    });
}

#[test]
fn two_bodies_are_a_500() {
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.wfile().write_all(b"one")?;
        exchange.copyfile(std::fs::File::open("Cargo.toml")?, 0..10);
        Ok(())
    });
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.copyfile(std::fs::File::open("Cargo.toml")?, 0..10);
        exchange.wfile().write_all(b"two")
    });
}

#[test]
fn an_interim_status_alone_is_a_500() {
    failure(|exchange| {
        exchange.send_response_only(HttpStatus::CONTINUE);
        exchange.end_headers();
        Ok(())
    });
}

#[test]
fn a_source_that_fails_at_once_is_a_500() {
    #[derive(Debug)]
    struct Broken;
    impl Source for Broken {
        fn fill(&mut self, _out: &mut Vec<u8>) -> io::Result<Fill> {
            Err(io::Error::other("no source"))
        }
    }
    let told = failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.stream(Box::new(Broken));
        Ok(())
    });
    assert_eq!(told, "no source");
}

#[test]
fn a_source_that_panics_at_once_is_a_500() {
    #[derive(Debug)]
    struct Broken;
    impl Source for Broken {
        fn fill(&mut self, _out: &mut Vec<u8>) -> io::Result<Fill> {
            panic!("expected in this test")
        }
    }
    failure(|exchange| {
        begin(exchange);
        exchange.end_headers();
        exchange.stream(Box::new(Broken));
        Ok(())
    });
}

#[test]
fn a_source_that_panics_later_ends_only_its_connection() {
    #[derive(Debug)]
    struct Breaking(bool);
    impl Source for Breaking {
        fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
            assert!(!self.0, "expected in this test");
            self.0 = true;
            out.extend_from_slice(b"first");
            Ok(Fill::More)
        }
    }
    let server = Running::new(|| {
        answering(|exchange| {
            if exchange.path() == "/" {
                return send_text(exchange, "alive");
            }
            begin(exchange);
            exchange.end_headers();
            exchange.stream(Box::new(Breaking(false)));
            Ok(())
        })
    });
    let mut other = server.client();
    assert_eq!(other.get("/").text(), "alive");
    let bytes = server.client().send(get("/break")).rest();
    assert!(Reply::parse(&bytes, "GET", true).is_none());
    assert_eq!(other.get("/").text(), "alive");
}

#[test]
fn hooks_that_panic_leave_the_loop_alive() {
    struct PanickingHook;
    impl BaseHttpRequestHandler for PanickingHook {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            match exchange.path() {
                "/" => Ok(send_text(exchange, "alive")?),
                _ => Err("fails".into()),
            }
        }
        fn handle_error(&mut self, _exchange: &mut Exchange<'_>, _failure: &str) {
            panic!("expected in this test")
        }
    }
    let server = Running::new(|| PanickingHook);
    let reply = server.client().get("/fail");
    assert_eq!(reply.status, 500);
    assert_eq!(server.client().get("/").text(), "alive");
}

#[test]
fn a_failure_is_one_line_in_the_log_with_its_request() {
    let server = Child::handler("failing");
    assert_eq!(server.client().get("/error").status, 500);
    assert_eq!(server.client().get("/panic").status, 500);
    assert_eq!(server.client().get("/").text(), "alive");
    let log = server.errors_with("\" 200 ", 1);
    let with = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        with("] GET /error HTTP/1.1: it failed\\x0abadly"),
        1,
        "{log}"
    );
    assert_eq!(
        with("] GET /panic HTTP/1.1: the handler panicked: expected in this test"),
        1,
        "{log}"
    );
    assert_eq!(with("\"GET /error HTTP/1.1\" 500 "), 1, "{log}");
    assert_eq!(with("\"GET /panic HTTP/1.1\" 500 "), 1, "{log}");
    assert_eq!(with("127.0.0.1 - - ["), 5, "{log}");
}

#[test]
fn an_unserved_method_is_501_and_is_named() {
    struct Nothing;
    impl BaseHttpRequestHandler for Nothing {}
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "SPAM", "get",
    ] {
        let bytes = MemoryServer::new(Nothing).respond(request(method).as_bytes());
        let reply = Reply::all(&bytes, &[method]).pop().unwrap();
        assert_eq!(reply.status, 501);
        if method != "HEAD" {
            let said = format!("Unsupported method (&#39;{method}&#39;)");
            assert!(reply.text().contains(&said), "{}", reply.text());
        }
    }
}

#[test]
fn every_method_reaches_its_own() {
    macro_rules! named {
        ($($name:ident)*) => {
            struct Named;
            impl BaseHttpRequestHandler for Named {
                $(fn $name(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
                    exchange.send_response(HttpStatus::OK);
                    exchange.send_header("X-Called", stringify!($name));
                    exchange.end_headers();
                    Ok(())
                })*
            }
        };
    }
    named!(do_get do_head do_post do_put do_delete do_patch do_options do_trace do_other);
    for (method, called) in [
        ("GET", "do_get"),
        ("HEAD", "do_head"),
        ("POST", "do_post"),
        ("PUT", "do_put"),
        ("DELETE", "do_delete"),
        ("PATCH", "do_patch"),
        ("OPTIONS", "do_options"),
        ("TRACE", "do_trace"),
        ("SPAM", "do_other"),
        ("get", "do_other"),
    ] {
        let bytes = MemoryServer::new(Named).respond(request(method).as_bytes());
        let replies = Reply::all(&bytes, &[method]);
        assert_eq!(replies[0].field("x-called"), Some(called), "{method}");
    }
}
