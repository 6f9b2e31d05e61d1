//! HEAD, which is answered as GET is, without the body (RFC 9110 §9.3.2).

use std::io::{self, Seek as _, Write as _};
use std::thread;

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpStatus, MemoryServer, Source,
};

use crate::client::{Framing, Reply, get};
use crate::handlers::send_text;

/// Has `do_get` alone; the path names the kind of the reply.
struct OnlyGet;

impl BaseHttpRequestHandler for OnlyGet {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let path = exchange.path();
        if path == "/deferred" {
            let deferred = exchange.defer();
            thread::spawn(move || deferred.answer(|exchange| Ok(send_text(exchange, "later")?)));
            return Ok(());
        } else if path == "/error" {
            exchange.send_error(HttpStatus::NOT_FOUND, None, None);
            return Ok(());
        } else if path == "/written" {
            return Ok(send_text(exchange, "in memory")?);
        }
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        if path == "/file" {
            let mut file = tempfile::tempfile()?;
            file.write_all(b"in a file")?;
            file.rewind()?;
            exchange.copyfile(file, 0..9);
        } else {
            exchange.stream(Box::new(Endless));
        }
        Ok(())
    }
}

struct Endless;

impl Source for Endless {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(b"x");
        Ok(Fill::NotNow)
    }
}

/// Returns the head of the reply without the fields that change with time.
fn head_of(reply: &Reply) -> String {
    let lines = reply.head.lines().filter(|line| !line.starts_with("Date:"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn head_has_the_head_of_get_and_the_next_request_is_in_step() {
    for path in ["/written", "/file", "/deferred", "/error"] {
        let head = get(path).replace("GET", "HEAD");
        let all = [get(path), head, get("/written")].concat();
        let bytes = MemoryServer::new(OnlyGet).respond(all.as_bytes());
        let replies = Reply::all(&bytes, &["GET", "HEAD", "GET"]);
        assert_eq!(head_of(&replies[1]), head_of(&replies[0]), "{path}");
        assert!(!replies[0].body.is_empty() && replies[1].body.is_empty());
        assert_eq!(replies[2].text(), "in memory");
    }
}

#[test]
fn head_of_a_stream_ends_with_its_head() {
    let all = get("/stream").replace("GET", "HEAD") + &get("/written");
    let bytes = MemoryServer::new(OnlyGet).respond(all.as_bytes());
    let replies = Reply::all(&bytes, &["HEAD", "GET"]);
    assert_eq!(replies[0].field("transfer-encoding"), Some("chunked"));
    assert_eq!(replies[0].framing, Framing::Bodiless);
    assert_eq!(replies[1].text(), "in memory");
}

#[test]
fn a_handler_may_answer_head_itself() {
    struct Own;
    impl BaseHttpRequestHandler for Own {
        fn do_get(&mut self, _exchange: &mut Exchange<'_>) -> HandlerResult {
            panic!("it must not be called");
        }
        fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            exchange.send_response(HttpStatus::NO_CONTENT);
            exchange.end_headers();
            Ok(())
        }
    }
    let head = get("/").replace("GET", "HEAD");
    let bytes = MemoryServer::new(Own).respond(head.as_bytes());
    assert_eq!(Reply::all(&bytes, &["HEAD"])[0].status, 204);
}
