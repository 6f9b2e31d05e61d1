//! Error pages: their text, their form, and what a handler may change.

use std::io::{self, Write as _};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer, ServerConfig,
    SimpleHttpRequestHandler,
};

use crate::client::{Framing, Reply, get};
use crate::errors::begin;
use crate::handlers::{answering, reply, request, send_text};

#[test]
fn an_error_page_names_code_message_and_explanation() {
    let reply = reply(&request("GET"), |exchange| {
        let explain = Some("Brew it elsewhere");
        exchange.send_error(
            HttpStatus::IM_A_TEAPOT,
            Some("No <coffee> & \"tea\""),
            explain,
        );
        exchange.send_header("X-Pot", "tea");
        Ok(())
    });
    assert!(reply.head.starts_with("HTTP/1.1 418 "), "{}", reply.head);
    assert!(
        !reply.head.contains("coffee"),
        "the status line has the standard phrase"
    );
    assert_eq!(
        reply.field("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(reply.field("x-pot"), Some("tea"));
    for text in [
        "418",
        "No &lt;coffee&gt; &amp; &quot;tea&quot;",
        "Brew it elsewhere",
    ] {
        assert!(reply.text().contains(text), "{text}");
    }
    assert!(
        !reply.closes(),
        "an error of the application does not break the framing"
    );
}

#[test]
fn an_error_replaces_the_reply_that_was_begun() {
    let reply = reply(&request("GET"), |exchange| {
        begin(exchange);
        exchange.send_header("Content-Length", "5");
        exchange.end_headers();
        exchange.wfile().write_all(b"other")?;
        exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        Ok(())
    });
    assert_eq!(reply.status, 404);
    assert_eq!(reply.field("x-mine"), None);
    assert!(!reply.text().contains("other"));
}

#[test]
fn an_error_has_no_page_where_its_status_or_method_has_no_body() {
    for status in [HttpStatus::NO_CONTENT, HttpStatus::NOT_MODIFIED] {
        let reply = reply(&request("GET"), |exchange| {
            exchange.send_error(status, Some("nothing to see"), None);
            Ok(())
        });
        assert_eq!(reply.status, status.code());
        assert_eq!(reply.framing, Framing::Bodiless);
        assert_eq!(reply.field("content-type"), None);
        assert_eq!(reply.field("content-length"), None);
    }
    let head = reply(&request("HEAD"), |exchange| {
        exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        Ok(())
    });
    assert_ne!(head.field("content-length"), Some("0"));
}

#[test]
fn a_client_that_accepts_no_html_reads_plain_text() {
    for (accept, media_type) in [
        ("*/*", "text/html; charset=utf-8"),
        ("text/html;q=0.1, */*", "text/html; charset=utf-8"),
        ("application/json", "text/plain; charset=utf-8"),
        ("text/html;q=0, */*", "text/plain; charset=utf-8"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\n\r\n");
        let reply = reply(&request, |exchange| {
            exchange.send_error(HttpStatus::NOT_FOUND, None, None);
            Ok(())
        });
        assert_eq!(reply.field("content-type"), Some(media_type), "{accept}");
        assert_eq!(reply.text().contains('<'), media_type.contains("html"));
        assert_eq!(reply.field("vary"), Some("Accept"));
    }
}

#[test]
fn a_handler_brings_its_own_error_page_and_name() {
    struct Own;
    impl BaseHttpRequestHandler for Own {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            exchange.send_error(HttpStatus::NOT_FOUND, Some("<no> 100%(code)d"), Some("'&'"));
            Ok(())
        }
        fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
            Some("%(code)d|%(message)s|%(explain)s|100%%|%d".to_owned())
        }
        fn error_content_type(&self) -> String {
            "text/x-own".to_owned()
        }
        fn version_string(&self) -> String {
            "Own/1.0".to_owned()
        }
    }
    let bytes = MemoryServer::new(Own).respond(format!("{}X\r\n\r\n", get("/")).as_bytes());
    let replies = Reply::all(&bytes, &["GET"; 2]);
    assert_eq!(
        replies[0].text(),
        "404|&lt;no&gt; 100%(code)d|&#39;&amp;&#39;|100%|%d"
    );
    assert!(
        replies[1].text().starts_with("400|"),
        "refusals use it, too"
    );
    for reply in replies {
        assert_eq!(reply.field("content-type"), Some("text/x-own"));
        assert_eq!(reply.field("server"), Some("Own/1.0"));
        assert_eq!(reply.field(NOSNIFF), Some("nosniff"));
        let policy = reply.field(POLICY);
        assert_eq!(
            policy, None,
            "the server does not know what this page needs"
        );
    }
}

#[test]
fn an_own_page_may_be_for_one_status_alone() {
    struct Site(SimpleHttpRequestHandler);
    impl BaseHttpRequestHandler for Site {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            match exchange.path() {
                "/files" => return self.0.do_get(exchange),
                path => exchange.send_error(path[1..].parse::<HttpStatus>().unwrap(), None, None),
            }
            Ok(())
        }
        fn error_message_format(&self, status: HttpStatus) -> Option<String> {
            match status.code() {
                404 => Some("nothing here".to_owned()),
                500.. => Some("sorry: %(code)d".to_owned()),
                _ => None,
            }
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    let mut server = MemoryServer::new(Site(files));
    for (path, own) in [
        ("/files", Some("nothing here")),
        ("/404", Some("nothing here")),
        ("/500", Some("sorry: 500")),
        ("/599", Some("sorry: 599")),
        ("/401", None),
        ("/403", None),
        ("/405", None),
        ("/499", None),
        ("/399", None),
        ("/600", None),
    ] {
        let bytes = server.respond(get(path).as_bytes());
        let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
        match own {
            Some(own) => assert_eq!(reply.text(), own, "{path}"),
            None => assert!(reply.text().contains("Error code: "), "{path}"),
        }
    }
}

const NOSNIFF: &str = "x-content-type-options";
const POLICY: &str = "content-security-policy";

#[test]
fn an_error_page_has_nosniff_and_a_strict_policy() {
    for (accept, has_policy) in [("text/html", true), ("text/plain", false)] {
        let request = format!("GET / HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\n\r\n");
        let reply = reply(&request, |exchange| {
            exchange.send_error(HttpStatus::NOT_FOUND, None, None);
            Ok(())
        });
        assert_eq!(reply.field(NOSNIFF), Some("nosniff"));
        let policy = reply.field(POLICY).unwrap_or_default();
        assert_eq!(policy.starts_with("default-src 'none';"), has_policy);
        assert!(!policy.contains("-inline"), "{policy}");
    }
    let hello = reply(&request("GET"), |exchange| send_text(exchange, "hello"));
    assert_eq!((hello.field(NOSNIFF), hello.field(POLICY)), (None, None));
}

#[test]
fn a_replaced_error_page_leaves_no_fields() {
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        exchange.send_error(HttpStatus::NOT_MODIFIED, None, None);
        Ok(())
    });
    assert_eq!((reply.status, reply.field(NOSNIFF)), (304, None));
}

#[test]
fn a_policy_of_the_handler_or_the_configuration_replaces_that_of_the_page() {
    let own = "default-src 'self'";
    let reply = reply(&request("GET"), |exchange| {
        exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        exchange.send_header("content-security-POLICY", own);
        // Neither this name nor this value is the field X-Content-Type-Options.
        exchange.send_header("X-Content-Type", "X-Content-Type-Options: off");
        Ok(())
    });
    assert_eq!(reply.field(POLICY), Some(own));
    assert_eq!(reply.field(NOSNIFF), Some("nosniff"));
    let config = ServerConfig::default().with(|config| {
        config.extra_response_headers =
            vec![("Content-Security-Policy".to_owned(), own.to_owned())];
    });
    let failing = answering(|_| Err(io::Error::other("expected in this test")));
    let bytes = MemoryServer::with_config(failing, config).respond(get("/").as_bytes());
    let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
    assert_eq!(reply.field(POLICY), Some(own));
}
